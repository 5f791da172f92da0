//! The dashboard: a page for each role, an advertiser's clicks as they happen among them.
//!
//! What is worth testing is pure and runs natively; what touches the browser is thin.
//!
//! - pure: [`session`] (the protocol as a reducer: events in, effects out), [`backoff`],
//!   [`board`] (sums that are kept up), [`freshness`] (what they are worth), [`overview`] (what is shown of
//!   them), [`palette`], [`scale`], [`decimation`], [`stack`], [`mod@format`], [`json`]
//! - browser: [`connection`] (socket, timers), [`events`] (a stream where no socket comes about),
//!   [`directory`] (names over HTTP), [`token`], [`clock`], [`locale`], [`preferences`] (choices that it keeps),
//!   [`calls`] (of an operator)
//! - the address: [`router`], [`route`] (which page), [`query`] (what it shows)
//! - the API: [`api`] (types), [`http`] (requests), [`ask`] (hooks), [`access`] (who asks), [`download`] (files)
//! - paper: [`mod@print`]
//! - components: [`app`] and what it shows: [`frame`] around every page, [`pages`], made of [`kit`]
//! - [`bundles`]: which pages are in which of the two programs
//! - [`words`]: what people read, in English and by its English in other languages ([`language`])
//!
//! Nothing here computes a count of its own: cells carry absolute values, and what they mean
//! (clicks, fraud, billable) is decided by `clickwire_protocol::counts` alone.

pub mod access;
pub mod account;
pub mod api;
pub mod app;
pub mod ask;
pub mod backoff;
pub mod board;
pub mod breakdown;
pub mod bundles;
pub mod calls;
pub mod chart;
pub mod clock;
pub mod connection;
pub mod decimation;
pub mod directory;
pub mod download;
pub mod events;
pub mod format;
pub mod frame;
pub mod freshness;
pub mod http;
pub mod incidents;
pub mod json;
pub mod kept;
pub mod kit;
pub mod kpi;
pub mod language;
pub mod locale;
pub mod logo;
pub mod model;
pub mod numbers;
pub mod overview;
pub mod page;
pub mod pages;
pub mod palette;
pub mod preferences;
pub mod print;
pub mod query;
pub mod route;
pub mod router;
pub mod scale;
pub mod session;
pub mod sign_in;
pub mod stack;
pub mod status;
pub mod theme;
pub mod token;
pub mod words;
pub mod zone;
