//! The page: an advertiser's clicks as they happen.
//!
//! What is worth testing is pure and runs natively; what touches the browser is thin.
//!
//! - pure: [`session`] (the protocol as a reducer: events in, effects out), [`backoff`],
//!   [`board`] (sums that are kept up), [`freshness`] (what they are worth), [`overview`] (what is shown of
//!   them), [`palette`], [`scale`], [`decimation`], [`stack`], [`format`]
//! - browser: [`connection`] (socket, timers), [`directory`] (names over HTTP), [`token`], [`clock`], [`locale`]
//! - components: [`app`] and what it shows
//!
//! Nothing here computes a count of its own: cells carry absolute values, and what they mean
//! (clicks, fraud, billable) is decided by `clickwire_protocol::counts` alone.

pub mod account;
pub mod app;
pub mod backoff;
pub mod board;
pub mod breakdown;
pub mod chart;
pub mod clock;
pub mod connection;
pub mod decimation;
pub mod directory;
pub mod format;
pub mod freshness;
pub mod kpi;
pub mod locale;
pub mod logo;
pub mod model;
pub mod numbers;
pub mod overview;
pub mod page;
pub mod palette;
pub mod scale;
pub mod session;
pub mod sign_in;
pub mod stack;
pub mod status;
pub mod theme;
pub mod token;
