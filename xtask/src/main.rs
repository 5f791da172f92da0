//! `cargo xtask`: runs Clickwire on this machine, and runs its tests.
//!
//! Both commands start from nothing but Rust, Node and Debian's apt: what is missing is installed
//! into a cache folder, and into the system only with root's rights and only for tests.

#![allow(clippy::print_stdout, reason = "a command-line tool talks on its standard output")]

mod bench;
mod chaos;
mod deployment;
mod docs;
mod down;
mod interrupt;
mod lists;
mod manifests;
mod status;
mod steps;
mod supply_chain;
mod test;
mod toolbox;
mod up;
mod wasm;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::deployment::Deployment;
use crate::interrupt::Interrupted;

/// Run Clickwire on this machine, and run its tests.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    /// Folder of the servers' data, the keys and the logs [default: /var/lib/clickwire for root, else
    /// clickwire in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, global = true, env = "CLICKWIRE_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start everything: servers, programs, demo traffic. Ctrl-C stops it.
    Up(up::Arguments),
    /// Stop what `up` started.
    Down,
    /// Show addresses, keys and process ids of what runs.
    Status(status::Arguments),
    /// Check formatting and lints, and run all tests.
    Test(test::Arguments),
    /// Ask whether dependencies are known to be vulnerable, unmaintained or withdrawn.
    Advisories,
    /// Write the tables of the documents that are made from the code, and check all documents.
    Docs(docs::Arguments),
    /// Lint, render and validate the Helm chart and the files of Compose, and hold them to the code.
    Manifests,
    /// Build the dashboard into dashboard/dist.
    Dashboard,
    /// Fetch the published lists that are compiled in: robots, data centres.
    Lists,
    /// Measure release builds on services of their own, or count instructions.
    #[command(subcommand)]
    Bench(bench::Measurement),
    /// Send awkward clicks while programs and services are killed and wires are cut, then count.
    Chaos(chaos::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let deployment = || Deployment::locate(arguments.data.clone());
    let result = match arguments.task {
        Task::Up(up) => deployment().and_then(|deployment| up::run(&up, &deployment)),
        Task::Down => deployment().and_then(|deployment| down::run(&deployment)),
        Task::Status(status) => deployment().and_then(|deployment| status::run(&status, &deployment)),
        Task::Test(test) => test::run(&test),
        Task::Docs(docs) => docs::run(&docs),
        Task::Manifests => manifests::run(),
        Task::Lists => lists::run(),
        Task::Advisories => supply_chain::advisories(),
        Task::Chaos(chaos) => chaos::run(&chaos),
        Task::Bench(measurement) => bench::run(&measurement),
        Task::Dashboard => {
            wasm::build(true).map(|folder| steps::print(&format!("Built {}", folder.display())))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
