//! Commands for operators, run where the programs run; the API's tokens are not needed. The work itself is
//! [`clickwire_dead_letters`]'s, as it is for the API.

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;
use async_nats::{ConnectOptions, jetstream};
use clickwire_dead_letters::{Actor, DeadLetters, PAGE_MAX};
use clickwire_ledger::{primary::Database, schema};
use clickwire_process::nats;
use futures_util::TryStreamExt as _;

use crate::config::{Config, Order};

/// Deletes the partitions' consumers: those that the next aggregator makes begin with the first message that is kept.
pub async fn read_again(config: &Config) -> anyhow::Result<()> {
    let stream = connect(config).await?.get_stream(config.names().stream()).await?;
    let kept = stream.cached_info().state.messages;
    let names: Vec<String> = stream.consumer_names().try_collect().await?;
    for name in names.iter().filter(|name| nats::timeline_of(name, config.consumers()).is_some()) {
        stream.delete_consumer(name).await?;
    }
    print(&format!("{kept} messages will be read again"))?;
    Ok(())
}

async fn connect(config: &Config) -> anyhow::Result<jetstream::Context> {
    let options = ConnectOptions::new().name("clickwire-operator");
    Ok(jetstream::new(nats::connect(options, &config.nats_url).await?))
}

/// Does what is ordered with dead letters, or says why not; `actor` stands in the record.
pub async fn dead_letters(config: &Config, order: Order, actor: &str) -> anyhow::Result<()> {
    let letters = DeadLetters::new(connect(config).await?, config.names());
    let database = schema::connect(&Database::open(&config.database_url).await?, 1);
    // Accounts are recorded as `account:…`, the token of the configuration as `admin`.
    let name = format!("shell:{actor}");
    // Who works where the programs run has the database's password.
    let actor = Actor { name: &name, is_administrator: true };
    match order {
        Order::List { after } => list(&letters, after).await?,
        Order::Show { sequence } => print(&serde_json::to_string_pretty(&letters.read(sequence).await?)?)?,
        Order::Replay { sequence, file, reason } => {
            let read =
                |path: PathBuf| std::fs::read(&path).with_context(|| format!("reading {}", path.display()));
            let edited = file.map(read).transpose()?.map(Into::into);
            let replayed = letters.replay(&database, sequence, edited, actor, reason.as_ref()).await?;
            print(&serde_json::to_string(&replayed)?)?;
        }
        Order::Dismiss { sequence, reason } => {
            letters.dismiss(&database, sequence, actor, &reason).await?;
        }
    }
    Ok(())
}

async fn list(letters: &DeadLetters, after: u64) -> anyhow::Result<()> {
    let mut next = Some(after);
    while let Some(after) = next {
        let page = letters.list(after, PAGE_MAX).await?;
        for letter in page.data {
            print(&serde_json::to_string(&letter)?)?;
        }
        next = page.next;
    }
    Ok(())
}

fn print(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}
