//! `clickwire-aggregator`: counts clicks from the stream into TimescaleDB.

use std::process::ExitCode;

use anyhow::Context as _;
use clickwire_aggregator::{config::Command, config::Config, operator, reconcile, run};
use clickwire_ledger::schema;
use clickwire_process::failpoint;
use tokio::net::TcpListener;

/// A batch is a hundred thousand small allocations, made by one thread and freed by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut config: Config = clickwire_process::settings::parse();
    config.validate()?;
    clickwire_process::log_to_stderr(&config.log, config.log_format);
    match config.command.take() {
        Some(Command::Migrate { demo }) => {
            schema::migrate(&config.database_url, demo).await.context("migrating the database")?;
        }
        Some(Command::ReadAgain) => operator::read_again(&config).await?,
        Some(Command::DeadLetters { order, actor }) => {
            operator::dead_letters(&config, order, &actor).await?;
        }
        Some(Command::Reconcile { from, to, repair }) => {
            return Ok(reconcile::command(&config, from, to, repair).await);
        }
        None => {
            let _points = failpoint::arm()?;
            let listener = TcpListener::bind(config.listen)
                .await
                .with_context(|| format!("listening on {}", config.listen))?;
            run(config, listener, clickwire_process::stop_on_signal()?).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
