//! `clickwire-chaos`: breaks everything for a while and then counts; `cargo xtask chaos` runs it.

#![allow(clippy::print_stdout, reason = "a command-line tool talks on its standard output")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use clickwire_e2e::chaos::{self, Machines};

/// Sends awkward clicks while programs and services are killed and wires are cut, then compares what
/// was sent with what is counted, everywhere.
#[derive(Parser)]
struct Arguments {
    /// Minutes in which clicks are sent and things are broken.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Fixes what is sent and what breaks when; a random one, if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Breaks nodes of three brokers, of a cluster of Redis and of a database with a standby, instead of one of each.
    #[arg(long)]
    cluster: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { minutes, seed, cluster } = Arguments::parse();
    let (machines, flag) = if cluster { (Machines::Cluster, " --cluster") } else { (Machines::One, "") };
    let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let Ok(duration) = Duration::try_from_secs_f64(minutes * 60.0) else {
        eprintln!("error: --minutes: {minutes}");
        return ExitCode::FAILURE;
    };
    match chaos::run(seed, duration, machines, &|text| println!("{text}")).await {
        Ok(()) => {
            println!("Nothing lost, nothing counted twice, everything judged right.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            eprintln!("To repeat: cargo xtask chaos --minutes {minutes} --seed {seed}{flag}");
            ExitCode::FAILURE
        }
    }
}
