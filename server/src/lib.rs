//! The server: takes clicks in over HTTP, answers analytics, pushes changes to dashboards.
//!
//! Its wings, of which each may use those below it, and nothing above (`tests/order.rs`):
//! - [`app`]: builds, serves, drains; composes the wings' states and routes; [`health`]: whether it works
//! - [`cli`]: commands beside serving
//! - [`admin`]: what operators and administrators do
//! - [`redirect`]: a click on an ad's link
//! - [`graphql`]: questions and live data in GraphQL
//! - [`live`]: the gateway that dashboards are connected to
//! - [`intake`]: a click is answered 202 only when the broker, or the spool, has it on the disk
//! - [`query`]: questions to the database
//! - [`identity`]: callers, and what each may see and do
//! - [`store`]: the database's connections, and copies in memory that follow it
//! - [`config`]: the settings
//! - [`http`]: how HTTP is spoken; knows no click

pub mod cli;
pub mod config;

mod admin;
mod app;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod graphql;
mod health;
mod http;
mod identity;
mod intake;
mod live;
mod query;
mod redirect;
mod store;

pub use self::app::run;
