//! `clickwire-load`: demonstration traffic and measurements.

use clap::{Parser, Subcommand};
use clickwire_load::{demo, fanout, fill, intake, latency, outage, questions, writes, yardstick};

/// Sends clicks to a Clickwire server, for demonstrations and measurements.
#[derive(Parser)]
#[command(version)]
struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends a believable mix of clicks until it is stopped: three advertisers, waves, robots.
    Demo(demo::Options),
    /// Measures the time from a click's 202 to its change at a WebSocket client.
    Latency(latency::Options),
    /// Measures how many clicks a server takes in, and how fast it answers.
    Intake(intake::Options),
    /// Measures what it takes to tell many dashboards what changes.
    Fanout(fanout::Options),
    /// Kills Redis, and measures how soon many dashboards show what the database has when it is back.
    Outage(outage::Options),
    /// Measures what plain writes to many sockets take, for comparison.
    Writes(writes::Options),
    /// Fills the stream as servers would, for an aggregator that is to be measured.
    Fill(fill::Options),
    /// Measures how long answers to questions take.
    Ask(questions::Options),
    /// Measures a fixed piece of work, so that figures of different days can be compared.
    Yardstick(yardstick::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let stop = clickwire_process::stop_on_signal()?;
    match config.command {
        Command::Demo(options) => demo::run(&options, &stop).await,
        Command::Latency(options) => latency::run(&options, &stop).await,
        Command::Intake(options) => intake::run(&options, &stop).await,
        Command::Fanout(options) => fanout::run(&options, &stop).await,
        Command::Outage(options) => outage::run(&options, &stop).await,
        Command::Writes(options) => writes::run(&options).await,
        Command::Fill(options) => fill::run(&options, &stop).await,
        Command::Ask(options) => questions::run(&options, &stop).await,
        Command::Yardstick(options) => yardstick::run(&options),
    }
}
