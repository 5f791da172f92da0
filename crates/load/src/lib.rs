//! Clients for demonstrations, tests and measurements.
//!
//! - [`http`]: posts clicks over one kept-alive connection
//! - [`live`]: a dashboard without a screen: keeps a view's state as the protocol says
//! - [`traffic`]: a believable mix of clicks, some of them by robots
//! - [`demo`], [`latency`], [`intake`], [`fill`], [`fanout`], [`questions`]: what the program does

pub mod demo;
pub mod fanout;
pub mod fill;
pub mod http;
pub mod intake;
pub mod latency;
pub mod live;
pub mod outage;
pub mod questions;
pub mod traffic;
pub mod usage;
pub mod writes;

mod wire;
