//! `cargo xtask chaos`: breaks everything for a while, on services of its own, and then counts.

use anyhow::{Result, bail};

use crate::interrupt::Interrupt;
use crate::steps::Steps;
use crate::workspace;

/// Options of `chaos`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Minutes for which clicks are sent and things are broken.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Fixes what is sent and what breaks when [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Breaks nodes of three brokers, of a cluster of Redis and of a database with a standby, instead of one of each
    #[arg(long)]
    cluster: bool,
}

/// Programs that are built for it, by package. Debug builds: the tests' programs, not those of `up`.
const PACKAGES: [&str; 4] = ["clickwire-server", "clickwire-aggregator", "clickwire-lake", "clickwire-e2e"];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    Steps::start().say("Building the programs");
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--bins"]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    if !interrupt.run(&mut cargo)?.success() {
        bail!("the programs could not be built");
    }
    let programs = workspace::debug_programs()?;
    let mut chaos = std::process::Command::new(programs.join("clickwire-chaos"));
    chaos.args(["--minutes", &arguments.minutes.to_string()]).env("CLICKWIRE_PROGRAMS", &programs);
    if let Some(seed) = arguments.seed {
        chaos.args(["--seed", &seed.to_string()]);
    }
    if arguments.cluster {
        chaos.arg("--cluster");
    }
    if !interrupt.run(&mut chaos)?.success() {
        bail!("something was lost, counted twice or misjudged: see above");
    }
    Ok(())
}
