//! Tests of the whole system on real services.

mod accounts;
mod alerts;
mod analytics;
mod batch;
mod browser;
mod chaos;
mod connections;
mod contract;
mod dead_letters;
mod exactly_once;
mod failpoints;
mod fraud;
mod gateway;
mod idempotency;
mod ingest;
mod keys;
mod live;
mod outages;
mod reconcile;
mod redirects;
mod rules;
mod spool;
mod tenants;
mod uniques;
mod watermark;
mod wires;
