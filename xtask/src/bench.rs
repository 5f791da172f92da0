//! `cargo xtask bench`: measurements of release builds on services of their own; instructions on those of the tests.
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
    test,
    up::launch::Launch,
};

/// The measurement to run.
#[derive(clap::Subcommand)]
pub(crate) enum Measurement {
    /// Time from a click's 202 to its change at a WebSocket client.
    Latency(latency::Options),
    /// Way from requests to the ledger: requests a second, times of answers, and the cost of each.
    Ingest(ingest::Options),
    /// Costs of telling many dashboards about changes, and of having them at all.
    Fanout(fanout::Options),
    /// Way from a full stream into the ledger: clicks a second, and the cost of each.
    Aggregate(aggregate::Options),
    /// Time from a question to its answer, over HTTP: 30 days of some advertisers, beside other engines.
    Query(query::Options),
    /// Instructions of the parts of a click's way that are pure, by callgrind, in the builds of the tests.
    Instructions,
    /// Export of clicks of a range as a file: clicks a second, and the memory that the server takes for it.
    Export(export::Options),
}

pub(crate) fn run(measurement: &Measurement) -> Result<()> {
    match measurement {
        Measurement::Latency(options) => latency::run(options),
        Measurement::Ingest(options) => ingest::run(options),
        Measurement::Fanout(options) => fanout::run(options),
        Measurement::Aggregate(options) => aggregate::run(options),
        Measurement::Query(options) => query::run(options),
        Measurement::Instructions => test::count_instructions(),
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

/// The services that a measurement runs on: its own, with their data and the deployment's in a folder that is removed
/// with them.
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

    /// Returns the means to start programs on them.
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
