//! The aggregator: takes clicks from the stream, counts each once, publishes what changed.
//!
//! # Delivery contract
//! A batch goes through four steps, and a crash between any two of them changes no count:
//! 1. **fetch** from one partition's durable consumer ([`partition`]),
//! 2. **commit** ledger and buckets in one transaction ([`clickwire_ledger`]),
//! 3. **publish** the changed cells as absolute values ([`feed`]),
//! 4. **acknowledge**.
//!
//! Crash before 2: redelivered, counted then. Crash after 2: redelivered, the ledger knows every
//! click and refuses it; its cells are published again, which is harmless because they are
//! absolute. What can't be read goes to the dead-letter stream ([`clickwire_dead_letters`]) before it is
//! acknowledged. A dependency that is down pauses the partition; it is never the click's fault.

pub mod config;
pub mod operator;
pub mod reconcile;

mod alerts;
mod feed;
mod health;
mod housekeeping;
mod partition;
mod replicas;
mod rollups;
mod stream;
mod watermark;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use clickwire_dead_letters::DeadLetters;
use clickwire_ledger::{Ledger, deployment, schema};
use clickwire_process::Backoff;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{Watch, Webhook},
    config::Config,
    feed::Feed,
    health::{Health, Service},
    partition::Partition,
};

/// Grace period of batches in hand when the aggregator stops.
const GRACE: Duration = Duration::from_secs(10);

/// Connections to the database beside the partitions': for housekeeping, for roll-ups, for whoever watches
/// for incidents, for webhooks, and one to spare.
const SHARED_CONNECTIONS: u32 = 5;

/// Counts until `stop` is cancelled, then finishes the batches in hand under a grace period.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let (count_of_dead_letters, dead_letters_waiting) = watch::channel(None);
    let metrics = clickwire_process::metrics::record(stop.clone());
    let health = Arc::new(Health::new(config.partitions, dead_letters_waiting, metrics));
    let mut tasks = JoinSet::new();
    tasks.spawn(health::serve(listener, Arc::clone(&health), stop.clone()));

    let database = schema::connect(&config.database_url, u32::from(config.partitions) + SHARED_CONNECTIONS)?;
    tokio::select! {
        migrated = migrate_when_up(&database, &health) => migrated.context("migrating the database")?,
        () = stop.cancelled() => return Ok(()),
    }
    deployment::claim(&mut *database.acquire().await?, &config.names()).await?;
    let nats = stream::connect(&config, &health).await?;
    let feed = Feed::new(&config.redis_url, &config.redis_prefix, Arc::clone(&health))?;
    feed.renew_all().await;
    tasks.spawn(feed.clone().run(stop.clone()));

    tasks.spawn(housekeeping::run(
        database.clone(),
        nats.clone(),
        feed.clone(),
        count_of_dead_letters,
        Arc::clone(&health),
        config.clone(),
        stop.clone(),
    ));
    tasks.spawn(rollups::run(database.clone(), Arc::clone(&health), config.clone(), stop.clone()));
    let watch =
        Watch { database: database.clone(), nats: nats.clone(), feed: feed.clone(), config: config.clone() };
    tasks.spawn(watch.run(stop.clone()));
    if let Some(webhook) = Webhook::new(database.clone(), &config)? {
        tasks.spawn(webhook.run(stop.clone()));
    }
    tasks.spawn(reconcile::run(database.clone(), feed.clone(), config.clone(), stop.clone()));
    tasks.spawn(watermark::follow(
        database.clone(),
        nats.clone(),
        feed.clone(),
        config.clone(),
        stop.clone(),
    ));
    for number in 0..config.partitions {
        let partition = Partition {
            number,
            nats: nats.clone(),
            dead_letters: DeadLetters::new(nats.clone(), config.names()),
            ledger: Ledger::new(database.clone(), config.ledger(), number),
            feed: feed.clone(),
            health: Arc::clone(&health),
            config: config.clone(),
        };
        tasks.spawn(partition.run(stop.clone()));
    }
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task of the aggregator panicked")??;
        }
        // What was not published at the end, nobody else would know of.
        feed.renew_to_the_end().await;
        // Acknowledgements may still be on their way to the socket.
        nats.client().flush().await.context("sending the last acknowledgements")
    };
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = ended => ended,
        () = overdue => anyhow::bail!("did not stop within {GRACE:?}; what was not acknowledged comes again"),
    }
}

/// Waits for the database, then brings its schema up to date and says which TimescaleDB it has.
async fn migrate_when_up(database: &PgPool, health: &Health) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    let mut connection = loop {
        match database.acquire().await {
            Ok(connection) => break connection,
            Err(error) => {
                health.waiting_for(Service::Database, &error);
                backoff.wait().await;
            }
        }
    };
    health.installed(schema::migrate_on(&mut connection).await?);
    Ok(())
}
