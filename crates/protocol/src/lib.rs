//! The words of Clickwire, shared by server, aggregator, dashboard and load tools.
//!
//! Plain data and pure functions: no I/O, no async runtime, so that everything here compiles to
//! WebAssembly and can be tested by itself.
//!
//! - [`ids`]: ids of advertisers, campaigns and ads, a type each
//! - [`click`]: the body that a client posts, and the message that travels on the stream
//! - [`attribution`]: the origin of a click, as its link says
//! - [`elements`]: the elements of a batch that arrives in pieces
//! - [`idempotency`]: the header that names a post
//! - [`answer`]: answers to callers that post clicks, and error answers
//! - [`country`]: countries by code and by name
//! - [`counts`]: dispositions, counts per disposition, and the cells that hold them
//! - [`reason`]: the reason for a person's action
//! - [`alerts`]: incidents that operations must hear of
//! - [`deliveries`]: webhook deliveries
//! - [`dead_letters`]: messages that could not be counted
//! - [`finality`]: final minutes
//! - [`rules`]: fraud rules, their modes and parameters
//! - [`storage`]: where a deployment's bytes are, and what housekeeping did last
//! - [`settings`]: settings by which a deployment judges numbers, for pages
//! - [`stream`]: subjects and partitions of the JetStream stream
//! - [`feed`]: messages that the aggregator publishes over Redis
//! - [`ledger`]: clicks as the ledger has them
//! - [`live`]: the WebSocket protocol between gateway and dashboards
//! - [`analytics`]: the answer of `GET /api/v1/analytics/aggregate`, and dimensions to filter and group clicks by
//! - [`annotations`]: events in a range of time that explain a chart
//! - [`times`]: times as programs tell them to each other; [`instant`]: as clients write them
//! - [`pipeline`]: the way of a click as a server measures it
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
pub mod pipeline;
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
