//! `cargo xtask bench`: measurements of release builds on services of their own.
//!
//! Absolute times depend on the machine and on who shares it; CPU time per click holds.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clickwire_services::{Folder, Options, Port, Services};

use crate::installation::Installation;
use crate::interrupt::Interrupt;
use crate::status::Status;
use crate::steps::{Steps, print};
use crate::up::{self, launch::Launch};
use crate::wasm;
use crate::workspace::release_program;

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Measurement {
    /// From a click's 202 to its change at a WebSocket client.
    Latency {
        /// Clicks a second.
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// How long.
        #[arg(long, default_value_t = 20)]
        seconds: u32,
    },
}

pub(crate) fn run(measurement: &Measurement) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    steps.say("Building the dashboard");
    wasm::build(true)?;
    interrupt.check()?;
    up::build(&steps, &interrupt)?;

    let folder = TemporaryFolder::new()?;
    let installation = Installation::locate(Some(folder.0.clone()))?;
    installation.create()?;
    // As `up` has it, but for the data's place: what the broker acknowledges is on disk.
    let options = Options { folder: Folder::Temporary, ..Options::persistent(folder.0.clone()) };
    let services = Services::start(&options, &|step| steps.say(step))?;
    let launch =
        Launch { installation: &installation, services: &services, steps: &steps, interrupt: &interrupt };
    let running = launch.programs(Port::Free.reserve("the server")?, false)?;
    let status = running.status(&launch)?;
    match *measurement {
        Measurement::Latency { rate, seconds } => latency(&status, rate, seconds, &steps, &interrupt)?,
    }
    drop(running);
    services.stop();
    Ok(())
}

fn latency(status: &Status, rate: u32, seconds: u32, steps: &Steps, interrupt: &Interrupt) -> Result<()> {
    let mut load = Command::new(release_program("clickwire-load")?);
    load.arg("latency").args(["--server", &status.server]);
    load.args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()]);
    load.env("CLICKWIRE_INGEST_KEY", &status.ingest_key).env("CLICKWIRE_ADMIN_TOKEN", &status.admin_token);
    steps.say("Measuring");
    let before = processes(status)?;
    if !interrupt.run(&mut load)?.success() {
        bail!("the measurement failed");
    }
    let clicks = f64::from(rate) * f64::from(seconds);
    print(&format!("\nCPU µs per click, {}", machine()));
    for ((name, before), (_, after)) in before.into_iter().zip(processes(status)?) {
        print(&format!("{name:<12}{:>8.1}", (after - before) * 1e6 / clicks));
    }
    Ok(())
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
        .filter_map(|(name, pid)| Some((name, cpu_seconds(pid?))))
        .map(|(name, cpu)| Ok((name, cpu?)))
        .collect()
}

/// User and system time of a process, of its children, and of children that it has waited for
/// (proc(5), /proc/pid/stat).
fn cpu_seconds(pid: u32) -> Result<f64> {
    let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(") ") else { continue };
        let own: u32 = head.split(' ').next().unwrap_or_default().parse().unwrap_or_default();
        let fields: Vec<&str> = tail.split(' ').collect();
        let number =
            |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let is_child = number(4) == u64::from(pid);
        if own == pid {
            ticks += number(14) + number(15) + number(16) + number(17);
        } else if is_child {
            ticks += number(14) + number(15);
        }
    }
    Ok(ticks as f64 / ticks_a_second)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} cores of {}", model.trim_start_matches([' ', '\t', ':']))
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
