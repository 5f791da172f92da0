//! `clickwire-aggregator`: counts clicks from the stream into TimescaleDB.

use anyhow::Context as _;
use clap::Parser as _;
use clickwire_aggregator::{config::Command, config::Config, run, schema};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut config = Config::parse();
    config.validate()?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&config.log))
        .with_writer(std::io::stderr)
        .init();
    if let Some(Command::Migrate { demo }) = config.command.take() {
        return schema::migrate(&config.database_url, demo).await.context("migrating the database");
    }
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    run(config, listener, stop).await
}

/// The first SIGTERM or SIGINT asks for a clean stop, the second ends at once.
async fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    for count in 0..2 {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        stop.cancel();
        if count == 1 {
            std::process::exit(130);
        }
    }
    Ok(())
}
