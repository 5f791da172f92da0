//! Tests of the whole system on real services.

mod analytics;
mod browser;
mod dead_letters;
mod exactly_once;
mod ingest;
mod live;
mod outages;
