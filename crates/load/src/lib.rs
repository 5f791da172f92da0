//! Clients for demonstrations, tests and measurements.
//!
//! - [`http`]: the server that commands work on
//! - [`traffic`]: a believable mix of clicks, some of them by robots
//! - [`demo`], [`latency`], [`intake`], [`fill`], [`fanout`], [`questions`]: what the program does

pub mod demo;
pub mod fanout;
pub mod fill;
pub mod http;
pub mod intake;
pub mod latency;
pub mod outage;
pub mod questions;
pub mod traffic;
pub mod usage;
pub mod writes;
pub mod yardstick;

mod wire;
