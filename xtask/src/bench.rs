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
use clickwire_services::{Folder, Options, Services};

use crate::{
    deployment::Deployment,
    interrupt::Interrupt,
    status::Status,
    steps::{Steps, print},
    up::launch::Launch,
};

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

/// What a measurement stands on: services of its own, with their data and the deployment's in a folder that goes with it.
struct Stand {
    // Stopped before the folder is removed.
    services: Services,
    deployment: Deployment,
    folder: TemporaryFolder,
}

impl Stand {
    /// Starts them as `up` has them, so that what the broker acknowledges is on the disk, but for what `change` says.
    fn start(steps: &Steps, change: impl FnOnce(&mut Options)) -> Result<Self> {
        let folder = TemporaryFolder::new()?;
        let deployment = Deployment::locate(Some(folder.0.clone()))?;
        deployment.create()?;
        let mut options = Options::persistent(folder.0.clone());
        options.folder = Folder::Temporary;
        change(&mut options);
        let services = Services::start(&options, &|step| steps.say(step))?;
        Ok(Self { services, deployment, folder })
    }

    /// How programs are started on them.
    fn launch<'a>(&'a self, steps: &'a Steps, interrupt: &'a Interrupt) -> Launch<'a> {
        Launch { deployment: &self.deployment, services: &self.services, steps, interrupt }
    }
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
