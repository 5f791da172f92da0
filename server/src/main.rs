//! `clickwire-server`: click intake, analytics, live gateway and dashboard.

use anyhow::Context as _;
use clap::Parser as _;
use clickwire_server::{config::Config, run};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    config.validate()?;
    clickwire_process::log_to_stderr(&config.log);
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    run(config, listener, clickwire_process::stop_on_signal()?).await
}
