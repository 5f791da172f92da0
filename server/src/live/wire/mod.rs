//! Messages on their way to clients; knows neither sessions nor feeds.
//!
//! - [`frame`]: messages that many sessions share
//! - [`socket`]: frames on their way to the kernel, over a [`transport`] with TLS or without

pub(in crate::live) mod frame;
pub(in crate::live) mod socket;
mod transport;
