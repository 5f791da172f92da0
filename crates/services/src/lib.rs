//! Real NATS with JetStream, PostgreSQL with TimescaleDB, and Redis (or Valkey) on loopback, as child
//! processes: for `cargo xtask up`, and for every test that talks to one of them.
//!
//! ```no_run
//! # fn main() -> Result<(), clickwire_services::Error> {
//! use clickwire_services::{Options, Services};
//!
//! let services = Services::start(&Options::temporary(), &|step| eprintln!("{step}"))?;
//! let database_url = services.fresh_database()?;
//! # drop(database_url);
//! services.stop();
//! # Ok(()) }
//! ```
//!
//! Promises: what is missing is installed into a cache folder, never into the system. Servers listen
//! on 127.0.0.1 only. They end when we end, even by SIGKILL, and a temporary folder ends with them.
//! Everything blocks: asynchronous callers use `spawn_blocking`, or start before their runtime.
//!
//! Linux with Debian's apt, or with suitable servers on PATH.

mod account;
mod apt;
mod error;
mod install;
mod libraries;
mod listener;
mod nats;
mod options;
mod package;
mod patch;
mod ports;
mod postgres;
mod redis;
mod running;
mod secret;
mod supervisor;
mod wheel;

pub use account::Account;
pub use error::Error;
pub use install::{Programs, cache_folder};
pub use libraries::{node_modules, python_path};
pub use listener::{Listener, listener, owner};
pub use options::{Folder, Options, Server, Source};
pub use package::Package;
pub use ports::{Port, Reservation};
pub use running::{Pids, Services, Standby, tail};
pub use secret::secret;
pub use supervisor::{Program, Supervisor, alive};
