//! `cargo xtask bench`: measurements of release builds on services of their own.
//!
//! Absolute times depend on the machine and on who shares it; CPU time per click holds.

mod aggregate;
mod aggregator;
mod export;
mod fanout;
mod ingest;
mod latency;
mod query;
mod usage;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{status::Status, steps::print};

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Measurement {
    /// From a click's 202 to its change at a WebSocket client.
    Latency(latency::Options),
    /// From requests to the ledger: how many a second, answered how soon, and what each costs.
    Ingest(ingest::Options),
    /// What it takes to tell many dashboards what changes, and to have them at all.
    Fanout(fanout::Options),
    /// From a full stream into the ledger: clicks a second, and what each costs.
    Aggregate(aggregate::Options),
    /// From a question to its answer, over HTTP: 30 days of some advertisers, beside other engines.
    Query(query::Options),
    /// Clicks of a range as a file: how many a second, and what memory the server takes for it.
    Export(export::Options),
}

pub(crate) fn run(measurement: &Measurement) -> Result<()> {
    match measurement {
        Measurement::Latency(options) => latency::run(options),
        Measurement::Ingest(options) => ingest::run(options),
        Measurement::Fanout(options) => fanout::run(options),
        Measurement::Aggregate(options) => aggregate::run(options),
        Measurement::Query(options) => query::run(options),
        Measurement::Export(options) => export::run(options),
    }
}

/// CPU seconds that each part has used, its children included.
fn processes(status: &Status) -> Result<Vec<(&'static str, f64)>> {
    let pids = &status.pids;
    let parts = [
        ("server", Some(pids.server)),
        ("aggregator", Some(pids.aggregator)),
        ("NATS", pids.nats),
        ("Redis", pids.redis),
        ("PostgreSQL", pids.database),
    ];
    parts
        .into_iter()
        .filter_map(|(name, pid)| Some((name, usage::cpu_seconds(pid?))))
        .map(|(name, cpu)| Ok((name, cpu?)))
        .collect()
}

/// A folder that is removed in the end.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("clickwire-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            print(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}
