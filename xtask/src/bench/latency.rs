//! Measures the time from a click's 202 to its change at a WebSocket client.

use std::process::Command;

use anyhow::{Result, bail};
use clickwire_services::Port;

use super::{Stand, processes, usage};
use crate::deployment::Secrets;
use crate::interrupt::Interrupt;
use crate::status::Status;
use crate::steps::{Steps, print};
use crate::up;
use crate::wasm;
use crate::workspace::release_program;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Clicks a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Length of the load.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    steps.say("Building the dashboard");
    wasm::build(true)?;
    interrupt.check()?;
    up::build(&up::PACKAGES, &steps, &interrupt)?;

    let stand = Stand::start(&steps, |_| ())?;
    let launch = stand.launch(&steps, &interrupt);
    let running = launch.programs(Port::Free.reserve("the server")?, false, &[])?;
    measure(&running.status(&launch)?, &stand.deployment.secrets()?, options, &steps, &interrupt)
}

fn measure(
    status: &Status,
    secrets: &Secrets,
    options: &Options,
    steps: &Steps,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut load = Command::new(release_program("clickwire-load")?);
    load.arg("latency").args(["--server", &status.server]);
    load.args(["--rate", &options.rate.to_string(), "--seconds", &options.seconds.to_string()]);
    load.env("CLICKWIRE_INGEST_KEY", &secrets.ingest_key).env("CLICKWIRE_ADMIN_TOKEN", &secrets.admin_token);
    steps.say("Measuring");
    let before = processes(status)?;
    if !interrupt.run(&mut load)?.success() {
        bail!("the measurement failed");
    }
    let clicks = f64::from(options.rate) * f64::from(options.seconds);
    let after = processes(status)?;
    print(&format!("\nCPU µs per click, {}", usage::machine()?));
    for ((name, before), (_, after)) in before.into_iter().zip(after) {
        print(&format!("{name:<12}{:>8.1}", (after - before) * 1e6 / clicks));
    }
    Ok(())
}
