//! Commands beside archiving.

mod adopt;
mod erase;
mod restore;
mod verify;

use std::process::ExitCode;

use anyhow::Context as _;
use async_nats::{ConnectOptions, jetstream};
use clickwire_process::nats;

use crate::{
    catalog::Catalog,
    config::{self, Command, Config},
    objects::Objects,
    schema::CLICKS,
    stream::Source,
    table::Table,
};

/// Performs a command, and says how the program is to end.
///
/// # Errors
/// It could not be done.
pub async fn perform(config: &Config, command: &Command) -> anyhow::Result<ExitCode> {
    match *command {
        Command::Run => Ok(ExitCode::SUCCESS),
        Command::Verify { from, to } => Ok(verify::command(config, from, to).await),
        Command::Restore { from, to } => restore::command(config, from, to).await,
        Command::EraseUser { ref advertiser, ref user } => erase::command(config, advertiser, user).await,
        Command::Adopt => adopt::command(config).await,
        Command::Detach => detach(config).await,
    }
}

async fn detach(config: &Config) -> anyhow::Result<ExitCode> {
    let nats = broker(config).await?;
    let catalog = Catalog::connect(config).await?;
    // Whoever archives must have ended: it would attach again.
    let _lock = catalog.lock(config.names().lake_lock()).await?;
    catalog.detach().await?;
    Source::open(&nats, &config.names()).await?.forget_readers(None).await?;
    Ok(ExitCode::SUCCESS)
}

async fn broker(config: &Config) -> anyhow::Result<jetstream::Context> {
    let client = nats::connect(ConnectOptions::new().name("clickwire-lake"), &config.nats_url).await?;
    Ok(jetstream::new(client))
}

/// The table of clicks, which must be there.
async fn clicks(config: &Config, catalog: &Catalog) -> anyhow::Result<(Table, Objects)> {
    let objects = Objects::open(&config.url, config::object_store_options())?;
    let table = Table::load(catalog, &objects, &CLICKS).await?;
    Ok((table.context("nothing is archived yet")?, objects))
}
