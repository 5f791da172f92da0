//! `cargo xtask up`: from nothing to a page with a moving chart, in one command.
//!
//! Whatever happens, it stops what it started and nothing else: both supervisors, of the servers and
//! of our own programs, stop their children when they are dropped or when this process dies.

pub(crate) mod ask;
mod deaths;
mod detach;
pub(crate) mod launch;

use anyhow::{Context, Result, bail};
use clickwire_services::{Port, Services, owner};

use crate::deployment::Deployment;
use crate::interrupt::{Interrupt, Interrupted};
use crate::steps::{Steps, print};
use crate::{lists, wasm, workspace};

/// Options of `up`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Return when everything is ready, and leave it running.
    #[arg(long)]
    detach: bool,
    /// Start without demo advertisers and demo traffic.
    #[arg(long)]
    no_demo: bool,
    /// Begin with an empty data folder: clicks, keys and logs of earlier runs are deleted.
    #[arg(long)]
    fresh: bool,
    /// Port of the dashboard and the API [default: 8080, or a free one if that is taken]
    #[arg(long)]
    port: Option<u16>,
}

const DEFAULT_PORT: u16 = 8080;

/// Programs that are built for `up`, by package.
pub(crate) const PACKAGES: [&str; 4] =
    ["clickwire-server", "clickwire-aggregator", "clickwire-lake", "clickwire-load"];

pub(crate) fn run(arguments: &Arguments, deployment: &Deployment) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    deployment.create()?;
    if arguments.detach {
        return detach::run(deployment, &interrupt);
    }
    let Some(_lock) = deployment.lock()? else { bail!(already_running(deployment)) };
    deployment.clear_status()?;
    let steps = Steps::start();
    if arguments.fresh {
        steps.say("Deleting the data of earlier runs");
        deployment.wipe()?;
    }
    deployment.clear_logs()?;
    let result = start_and_watch(arguments, deployment, &steps, &interrupt);
    deployment.clear_status()?;
    if result.as_ref().is_err_and(anyhow::Error::is::<Interrupted>) {
        steps.say("Stopped");
    }
    result
}

fn start_and_watch(
    arguments: &Arguments,
    deployment: &Deployment,
    steps: &Steps,
    interrupt: &Interrupt,
) -> Result<()> {
    // Before the long part: a port that is taken should not be news after ten minutes.
    let taken_by = |port: u16| owner(port).map_or_else(String::new, |owner| format!(" by {owner}"));
    let port = match arguments.port {
        Some(wanted) => Port::Exactly(wanted)
            .reserve("the server")
            .with_context(|| format!("port {wanted} is taken{}", taken_by(wanted)))?,
        None => Port::Prefer(DEFAULT_PORT).reserve("the server")?,
    };
    if arguments.port.is_none() && port.port() != DEFAULT_PORT {
        steps.say(&format!("Port {DEFAULT_PORT} is taken{}: using {}", taken_by(DEFAULT_PORT), port.port()));
    }
    steps.say("Building the dashboard");
    wasm::build(true)?;
    interrupt.check()?;
    build(&PACKAGES, steps, interrupt)?;
    let services = Services::start(&launch::services(deployment), &|step| steps.say(step))?;
    interrupt.check()?;

    let launch = launch::Launch { deployment, services: &services, steps, interrupt };
    let mut running = launch.programs(port, !arguments.no_demo, &countries(steps))?;
    let status = running.status(&launch)?;
    deployment.set_status(&status)?;

    steps.say("Clickwire is up");
    print(&status.welcome());

    let end = running.watch(&launch, |running| deployment.set_status(&running.status(&launch)?));
    deployment.clear_status()?;
    steps.say("Stopping the programs");
    drop(running);
    steps.say("Stopping the servers");
    services.stop();
    match end {
        // That is how `up` is meant to end.
        Err(error) if error.is::<Interrupted>() => {
            steps.say("Stopped");
            Ok(())
        }
        end => end,
    }
}

/// The setting of a file of countries, unless there is one already; without npm, none.
fn countries(steps: &Steps) -> Vec<(&'static str, String)> {
    const SETTING: &str = "CLICKWIRE_GEOIP_FILE";
    if std::env::var_os(SETTING).is_some_and(|file| !file.is_empty()) {
        return Vec::new();
    }
    match lists::countries() {
        Ok(file) => vec![(SETTING, file.display().to_string())],
        Err(error) => {
            steps.say(&format!("No file of countries, so clicks without one have none: {error:#}"));
            Vec::new()
        }
    }
}

/// Builds the programs for speed.
pub(crate) fn build(packages: &[&str], steps: &Steps, interrupt: &Interrupt) -> Result<()> {
    steps.say("Building the programs");
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if !interrupt.run(&mut cargo)?.success() {
        bail!("the programs could not be built");
    }
    Ok(())
}

fn already_running(deployment: &Deployment) -> String {
    match deployment.status() {
        Ok(Some(status)) => {
            format!("Clickwire already runs: {} (`cargo xtask down` stops it)", status.link())
        }
        _ => "another `cargo xtask up` is starting or stopping: wait, or `cargo xtask down`".to_owned(),
    }
}
