//! Measures the way from a full stream into the ledger, with everything on this machine: the speed, and the cost of a
//! click for each process.
//!
//! Twice: clicks that spread over all ads, and clicks of which one ad takes nine in ten, which all
//! meet the same partition. With `--systems` a third time: what it would cost if minutes told operating
//! systems and browsers apart, too.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_services::Services;

use super::aggregator::{Aggregator, Metrics};
use super::{TemporaryFolder, usage};
use crate::deployment::Deployment;
use crate::interrupt::Interrupt;
use crate::steps::{Steps, print};
use crate::up::{self, launch::Launch};
use crate::workspace::release_program;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Clicks in the stream.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    clicks: u32,
    /// Aggregators that share them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    aggregators: u32,
    /// Measure, too, what it would cost if minutes told operating systems and browsers apart.
    #[arg(long)]
    systems: bool,
}

/// Packages that are built for it.
const PACKAGES: [&str; 2] = ["clickwire-aggregator", "clickwire-load"];

/// Kinds of traffic, and what the load tool is told; each is compared with the first.
const TRAFFIC: [(&str, &[&str]); 3] =
    [("uniform", &[]), ("viral", &["--viral", "0.9"]), ("by system", &["--systems"])];

/// The stages that an aggregator reports (`crates/ledger/src/stages.rs`), in a batch's order.
const STAGES: [&str; 14] = [
    "fetch",
    "read",
    "lock",
    "examine",
    "look_up",
    "insert",
    "suspect",
    "queue",
    "judge",
    "minutes",
    "uniques",
    "commit",
    "publish",
    "acknowledge",
];

/// Tables whose size is told, with their indexes; the last are sketches of unique users.
const TABLES: [&str; 3] = ["clicks", "click_minutes", "unique_minutes"];

/// Clicks a second below which the measurement ends.
const SLOWEST: u32 = 500;
const START_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    up::build(&PACKAGES, &steps, &interrupt)?;
    let mut columns = Vec::new();
    let traffic = &TRAFFIC[..if options.systems { 3 } else { 2 }];
    for (name, arguments) in traffic {
        steps.say(&format!("{} clicks, {name}", options.clicks));
        columns.push(measure(options, arguments, &steps, &interrupt)?.rows());
    }
    let (clicks, aggregators) = (options.clicks, options.aggregators);
    print(&format!("\n{clicks} clicks, aggregators: {aggregators}, {}", usage::machine()?));
    let heads: String = traffic.iter().map(|(name, _)| format!("{name:>12}")).collect();
    let ratios: String = traffic[1..].iter().map(|(name, _)| format!("{name:>12} ×")).collect();
    print(&format!("{:<34}{heads}{ratios}", ""));
    for (row, (name, first)) in columns[0].iter().enumerate() {
        let values: String = columns.iter().map(|column| format!("{:>12.1}", column[row].1)).collect();
        let ratios: String =
            columns[1..].iter().map(|column| format!("{:>14.2}", column[row].1 / first)).collect();
        print(&format!("{name:<34}{values}{ratios}"));
    }
    Ok(())
}

/// Measures on services of its own, as durable as those of `up`, once the stream is full.
fn measure(options: &Options, traffic: &[&str], steps: &Steps, interrupt: &Interrupt) -> Result<Usage> {
    let folder = TemporaryFolder::new()?;
    let deployment = Deployment::locate(Some(folder.0.clone()))?;
    deployment.create()?;
    let durable = clickwire_services::Options::persistent(deployment.services());
    // Filling is not what is measured: there the broker need not wait for the disk.
    let quick = clickwire_services::Options { nats_sync_interval: "2m".to_owned(), ..durable.clone() };
    let say = |step: &str| steps.say(step);

    let services = Services::start(&quick, &say)?;
    fill(options, traffic, &Launch { deployment: &deployment, services: &services, steps, interrupt })?;
    services.stop();
    let stream = folder_bytes(&deployment.services().join("nats"))?;
    let services = Services::start(&durable, &say)?;
    let launch = Launch { deployment: &deployment, services: &services, steps, interrupt };
    let before = services.psql("clickwire", "SELECT pg_current_wal_lsn()")?;
    let mut usage = aggregate(options, &launch)?;
    usage.bytes.push(("stream, on one broker", stream));
    usage.bytes.extend(database_bytes(&services, before.trim())?);
    let rows = services.psql("clickwire", "SELECT count(*) FROM clicks")?;
    ensure!(rows == options.clicks.to_string(), "the ledger holds {rows} clicks of {}", options.clicks);
    services.stop();
    Ok(usage)
}

/// Bytes of all files of a folder.
fn folder_bytes(folder: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() as f64 };
    }
    Ok(bytes)
}

/// Returns the bytes that the database has written since a place in its log, and the sizes of its tables.
fn database_bytes(services: &Services, since: &str) -> Result<Vec<(&'static str, f64)>> {
    let ask = |sql: &str| -> Result<f64> {
        let answer = services.psql("clickwire", sql)?;
        answer.trim().parse().with_context(|| format!("{sql}: {answer:?}"))
    };
    let log = ask(&format!("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{since}')"))?;
    let mut bytes = vec![("PostgreSQL's log", log)];
    for table in TABLES {
        bytes.push((table, ask(&format!("SELECT coalesce(hypertable_size('{table}'), 0)"))?));
    }
    Ok(bytes)
}

/// Leaves a full stream on the disk, and a database that no click has met yet.
fn fill(options: &Options, traffic: &[&str], launch: &Launch<'_>) -> Result<()> {
    launch.migrate(false)?;
    // It makes the stream and the chunks, and leaves.
    let first = Aggregator::start(launch)?;
    wait(launch, &[&first], START_WITHIN, "is not ready", || first.is_ready())?;
    drop(first);
    launch.steps.say("Filling the stream");
    let mut load = Command::new(release_program("clickwire-load")?);
    load.args(["fill", "--clicks", &options.clicks.to_string()]).args(traffic);
    load.args(["--nats-url", launch.services.nats_url()]);
    if !launch.interrupt.run(&mut load)?.success() {
        bail!("the stream could not be filled");
    }
    // Or the kernel would write it while we measure.
    launch.interrupt.run(&mut Command::new("sync"))?;
    Ok(())
}

/// Measures from the aggregators' start until every click is counted.
fn aggregate(options: &Options, launch: &Launch<'_>) -> Result<Usage> {
    launch.steps.say("Aggregating");
    let servers = servers(launch.services);
    let before = servers.iter().map(|&(_, pid)| usage::cpu_seconds(pid)).collect::<Result<Vec<_>>>()?;
    let (started, busy) = (Instant::now(), usage::busy_seconds()?);
    let aggregators =
        (0..options.aggregators).map(|_| Aggregator::start(launch)).collect::<Result<Vec<_>>>()?;
    let all: Vec<&Aggregator> = aggregators.iter().collect();
    let within = START_WITHIN + Duration::from_secs(u64::from(options.clicks / SLOWEST));
    let mut metrics = Metrics::default();
    wait(launch, &all, within, "has not counted every click", || {
        metrics = all.iter().map(|aggregator| aggregator.metrics()).collect();
        Ok(metrics.sum("clickwire_clicks_counted_total") >= f64::from(options.clicks))
    })?;
    let (seconds, busy) = (started.elapsed().as_secs_f64(), usage::busy_seconds()? - busy);

    let own = all.iter().map(|aggregator| usage::cpu_seconds(aggregator.pid())).sum::<Result<f64>>()?;
    let mut cpu_seconds = vec![("aggregator", own)];
    for ((name, pid), before) in servers.into_iter().zip(before) {
        cpu_seconds.push((name, usage::cpu_seconds(pid)? - before));
    }
    let stage_seconds = STAGES
        .map(|stage| (stage, metrics.sum(&format!("clickwire_stage_seconds_sum{{stage=\"{stage}\"}}"))));
    let peak_memory_mib =
        all.iter().map(|aggregator| usage::peak_memory_mib(aggregator.pid())).collect::<Result<Vec<_>>>()?;
    let ours: f64 = cpu_seconds.iter().map(|(_, seconds)| seconds).sum();
    Ok(Usage {
        clicks: f64::from(options.clicks),
        seconds,
        others_seconds: (busy - ours).max(0.0),
        cpu_seconds,
        stage_seconds,
        peak_memory_mib,
        bytes: Vec::new(),
    })
}

/// Waits for a condition while everything runs.
fn wait(
    launch: &Launch<'_>,
    aggregators: &[&Aggregator],
    within: Duration,
    otherwise: &str,
    mut is_met: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let give_up = Instant::now() + within;
    while !is_met()? {
        launch.interrupt.check()?;
        launch.services.check()?;
        for aggregator in aggregators {
            aggregator.check()?;
        }
        ensure!(Instant::now() < give_up, "an aggregator {otherwise} within {} s", within.as_secs());
        thread::sleep(POLL_EVERY);
    }
    Ok(())
}

/// Servers that run here, with their process ids.
fn servers(services: &Services) -> Vec<(&'static str, u32)> {
    let pids = services.pids();
    [("NATS", pids.nats), ("PostgreSQL", pids.database), ("Redis", pids.redis)]
        .into_iter()
        .filter_map(|(name, pid)| Some((name, pid?)))
        .collect()
}

/// The resources that a measurement used.
struct Usage {
    clicks: f64,
    seconds: f64,
    /// CPU time of all other processes on the machine: if it is much, only what follows holds.
    others_seconds: f64,
    /// CPU time in seconds, by process.
    cpu_seconds: Vec<(&'static str, f64)>,
    /// Time in seconds by stage, summed over all partitions.
    stage_seconds: [(&'static str, f64); STAGES.len()],
    /// Peak memory in MiB, one for each aggregator.
    peak_memory_mib: Vec<f64>,
    /// Bytes on disk, or written to it.
    bytes: Vec<(&'static str, f64)>,
}

impl Usage {
    /// The lines of the report.
    fn rows(&self) -> Vec<(String, f64)> {
        let micros = |seconds: f64| seconds * 1e6 / self.clicks;
        let all: f64 = self.cpu_seconds.iter().map(|(_, seconds)| seconds).sum();
        let mut rows = vec![
            ("clicks a second".to_owned(), self.clicks / self.seconds),
            ("time, s".to_owned(), self.seconds),
            ("cores taken by others meanwhile".to_owned(), self.others_seconds / self.seconds),
            ("CPU µs per click".to_owned(), micros(all)),
        ];
        let part = |(name, seconds): &(&str, f64)| (format!("  {name}"), micros(*seconds));
        rows.extend(self.cpu_seconds.iter().map(part));
        let all: f64 = self.stage_seconds.iter().map(|(_, seconds)| seconds).sum();
        rows.push(("partitions' time, µs per click".to_owned(), micros(all)));
        rows.extend(self.stage_seconds.iter().map(part));
        rows.extend(
            self.peak_memory_mib.iter().map(|&mib| ("aggregator's peak memory, MiB".to_owned(), mib)),
        );
        let part = |(name, bytes): &(&str, f64)| (format!("bytes per click: {name}"), bytes / self.clicks);
        rows.extend(self.bytes.iter().map(part));
        rows
    }
}
