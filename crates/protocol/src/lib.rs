//! The words of Clickwire, shared by server, aggregator, dashboard and load tools.
//!
//! Plain data and pure functions: no I/O, no async runtime, so that everything here compiles to
//! WebAssembly and can be tested by itself.
//!
//! - [`ids`]: ids of advertisers, campaigns and ads, a type each
//! - [`click`]: what a client posts and what travels on the stream
//! - [`attribution`]: where a click came from, as its link says
//! - [`elements`]: the elements of a batch that arrives in pieces
//! - [`idempotency`]: the header that names a post
//! - [`answer`]: what whoever posts clicks is answered
//! - [`country`]: countries by code and by name
//! - [`counts`]: dispositions, counts per disposition, and the cells that hold them
//! - [`reason`]: why somebody did something
//! - [`alerts`]: incidents that operations must hear of
//! - [`deliveries`]: what is sent to webhooks
//! - [`dead_letters`]: messages that could not be counted
//! - [`finality`]: when a minute is final
//! - [`rules`]: fraud rules, their modes and parameters
//! - [`storage`]: where a deployment's bytes are, and what housekeeping did last
//! - [`settings`]: how a deployment judges numbers, for pages
//! - [`stream`]: subjects and partitions of the JetStream stream
//! - [`feed`]: what the aggregator publishes over Redis
//! - [`ledger`]: clicks as the ledger has them
//! - [`live`]: the WebSocket protocol between gateway and dashboards
//! - [`analytics`]: the answer of `GET /api/v1/analytics/aggregate`, and what clicks are filtered and grouped by
//! - [`annotations`]: what happened in a range of time and explains a chart
//! - [`times`]: times as programs tell them to each other; [`instant`]: as clients write them
//! - [`pages`]: addresses of the dashboard's pages
//! - [`registry`]: registered ads as viewers see them
//! - [`object`]: JSON objects, with what is wrong said under the field's name

pub mod alerts;
pub mod analytics;
pub mod annotations;
pub mod answer;
pub mod attribution;
pub mod click;
pub mod country;
pub mod counts;
pub mod dead_letters;
pub mod deliveries;
pub mod elements;
pub mod feed;
pub mod finality;
pub mod idempotency;
pub mod ids;
pub mod instant;
pub mod ledger;
pub mod live;
pub mod object;
pub mod pages;
pub mod reason;
pub mod registry;
pub mod report;
pub mod rules;
pub mod settings;
pub mod storage;
pub mod stream;
pub mod times;

/// Milliseconds in a minute, the width of the smallest bucket.
pub const MINUTE_MS: i64 = 60_000;
