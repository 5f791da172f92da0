//! `clickwire-aggregator`: counts clicks from the stream into TimescaleDB.

use anyhow::Context as _;
use clap::Parser as _;
use clickwire_aggregator::{config::Command, config::Config, run, schema};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut config = Config::parse();
    config.validate()?;
    clickwire_process::log_to_stderr(&config.log);
    if let Some(Command::Migrate { demo }) = config.command.take() {
        return schema::migrate(&config.database_url, demo).await.context("migrating the database");
    }
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    run(config, listener, clickwire_process::stop_on_signal()?).await
}
