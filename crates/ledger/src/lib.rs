//! The ledger: the one writer of clicks and of everything that is counted from them.
//!
//! The tables of [`tables::TABLES`] change here and nowhere else: in the transaction that counts a batch
//! ([`Ledger::commit`]), when a person releases a click ([`release`]) or erases a user ([`erasure`]), when hours and days are rolled up
//! ([`rollups`]), when buckets are compared with the ledger and mended ([`reconcile`]), when time has passed
//! ([`retention`], [`watermark`]), and where incidents are opened and closed ([`incidents`], [`deliveries`]). A
//! test walks the sources of the workspace and fails where another crate writes one of them
//! (`tests/one_writer.rs`). Reading is free to all.
//!
//! The crate owns the schema, too: it embeds `migrations/` ([`schema`]). It is not a crate for all SQL: accounts,
//! keys, rules and the catalogue are written by the handlers that are about them.
//!
//! Nothing here reads configuration or talks to the broker or Redis. *When* something is done is for the
//! aggregator and the server to say; *what* is done, and under which lock, is said here.

mod commit;
mod judge;
mod locks;
mod minutes;
mod received;
mod rules;
mod uniques;

pub mod counts;
pub mod deliveries;
pub mod deployment;
pub mod disk;
pub mod erasure;
pub mod incidents;
pub mod preview;
pub mod primary;
pub mod reconcile;
pub mod release;
pub mod retention;
pub mod rollups;
pub mod schema;
pub mod stages;
pub mod tables;
pub mod timescaledb;
pub mod watermark;

#[cfg(test)]
mod fixture;

use clickwire_protocol::times::UnixMs;
use time::OffsetDateTime;

pub use crate::{
    commit::{Batch, Committed, Ledger, Settings},
    minutes::CellKey,
    received::Received,
};

/// Rows in one statement: measured best, 100 and 5,000 are slower.
const ROWS: usize = 1_000;

/// A time as the database has it. What has none is at the epoch, where nothing is counted:
/// the judge counts nothing under such a time.
pub fn at(time: UnixMs) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
