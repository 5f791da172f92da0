//! The lake: archives clicks from the stream into Apache Iceberg tables on an object store.
//!
//! # Delivery contract
//! A batch goes through four steps, and a crash between any two of them loses no click and writes none twice:
//! 1. **read** messages of the stream in their order, and find in the ledger what became of each ([`counted`]),
//! 2. **write** files under names that are never used again ([`table`]),
//! 3. **commit** in one transaction of PostgreSQL the range of the stream and the pointer to the table's new
//!    metadata ([`catalog`]),
//! 4. **acknowledge**, so that the stream may forget the messages.
//!
//! The ranges are the truth: after any error, and after a commit without an answer, a new session reads them and
//! goes on behind the last one ([`archive`]). Files that no commit names are removed later. A range that overlaps
//! another one is refused by the database, as is a pointer that another has moved.
//!
//! A row is a click that the ledger holds, as it was counted. A resend is no second row: its message is not the
//! one that the ledger has counted. What the aggregator sets aside is none either; when it is replayed, it comes
//! as a new message.
//!
//! Two more tables follow the ledger: verdicts that change later ([`adjustments`]) and counts of whole days
//! ([`days`]). How far they are is stored in the transactions that move their pointers, too.

pub mod commands;
pub mod config;

mod adjustments;
mod archive;
mod catalog;
mod columns;
mod counted;
mod days;
mod erase;
mod erasures;
mod error;
mod health;
mod manifests;
mod objects;
mod rows;
mod schema;
mod stream;
mod table;
mod tables;
mod upkeep;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{archive::Archive, catalog::Catalog, config::Config, health::Health, objects::Objects};

/// Archives until `stop` is cancelled. A batch in hand is left: it is read again.
///
/// # Errors
/// The settings can't be used, or the address of health is taken.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = clickwire_process::metrics::record(stop.clone());
    let health = Arc::new(Health::new(metrics));
    let mut tasks = JoinSet::new();
    tasks.spawn(health::serve(listener, Arc::clone(&health), stop.clone()));
    let objects = Objects::open(&config.url, config::object_store_options())?;
    let catalog = Catalog::connect(&config).await?;
    let nats = stream::connect(&config, &health).await?;
    let archive = Archive { nats, catalog, objects, health, config };
    tasks.spawn(archive.run(stop.clone()));
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task of the lake panicked")??;
    }
    Ok(())
}
