//! The aggregator: takes clicks from the stream, counts each once, publishes what changed.
//!
//! # Delivery contract
//! A batch goes through four steps, and a crash between any two of them changes no count:
//! 1. **fetch** from one partition's durable consumer ([`partition`]),
//! 2. **commit** ledger and buckets in one transaction ([`clickwire_ledger`]), which small batches of several partitions
//!    share ([`group`]),
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
mod counter;
mod feed;
mod group;
mod health;
mod housekeeping;
mod partition;
mod replicas;
mod rollups;
mod stream;
mod watermark;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::Context;
use clickwire_dead_letters::DeadLetters;
use clickwire_ledger::{
    Ledger, deployment,
    primary::{Database, Primary, is_replaced, timeline},
    schema,
};
use clickwire_process::Backoff;
use sqlx::{PgPool, migrate::MigrateError};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{Watch, Webhook},
    config::Config,
    counter::Counter,
    feed::Feed,
    group::Group,
    health::{Health, Service},
    partition::Partition,
};

/// Grace period of batches in hand when the aggregator stops.
const GRACE: Duration = Duration::from_secs(10);

/// Connections to the database beside the partitions': for housekeeping, for roll-ups, for whoever watches
/// for incidents, for webhooks, and one to spare.
const SHARED_CONNECTIONS: u32 = 5;

/// Counts until `stop` is cancelled, then finishes the batches in hand under a grace period.
///
/// When the database has another primary, all work is left as in a crash, and begun anew there.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let (count_of_dead_letters, dead_letters_waiting) = watch::channel(None);
    let metrics = clickwire_process::metrics::record(stop.clone());
    let health = Arc::new(Health::new(config.partitions, dead_letters_waiting, metrics));
    let serving = tokio::spawn(health::serve(listener, Arc::clone(&health), stop.clone()));
    let failed = async {
        serving.await.context("the server of /health panicked")??;
        std::future::pending().await
    };
    let counting = async {
        let database = Database::open(&config.database_url).await.context("CLICKWIRE_DATABASE_URL")?;
        let pool = schema::connect(&database, u32::from(config.partitions) + SHARED_CONNECTIONS);
        let nats = stream::connect(&config, &health).await?;
        let aggregator =
            Aggregator { config, database, pool, nats, health: Arc::clone(&health), count_of_dead_letters };
        aggregator.run(&stop).await
    };
    tokio::select! { ended = counting => ended, ended = failed => ended }
}

/// What work begins with.
struct Aggregator {
    config: Config,
    database: Database,
    pool: PgPool,
    nats: Context,
    health: Arc<Health>,
    count_of_dead_letters: watch::Sender<Option<u64>>,
}

impl Aggregator {
    async fn run(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut primary = self.database.primary();
        tokio::spawn(watch_primary(self.database.primary(), Arc::clone(&self.health)));
        loop {
            let timeline = tokio::select! {
                begun = self.begin() => begun?,
                () = is_replaced(&mut primary, None) => continue,
                () = stop.cancelled() => return Ok(()),
            };
            let mut tasks = JoinSet::new();
            tokio::select! {
                ended = self.count(&mut tasks, timeline, stop) => return ended,
                () = is_replaced(&mut primary, Some(timeline)) => {}
            }
            tracing::warn!("the database has another primary: begins anew");
            tasks.shutdown().await;
            for partition in 0..self.config.partitions {
                self.health.detached(partition);
            }
        }
    }

    /// Waits for the database, and brings its schema up to date. Returns the timeline that it is on.
    async fn begin(&self) -> anyhow::Result<i64> {
        let mut backoff = Backoff::default();
        loop {
            match self.try_to_begin().await {
                Err(Unready::Outage(error)) => self.health.waiting_for(Service::Database, &error),
                Err(Unready::Refused(error)) => return Err(error),
                Ok(timeline) => return Ok(timeline),
            }
            backoff.wait().await;
        }
    }

    async fn try_to_begin(&self) -> Result<i64, Unready> {
        // Whatever is wrong with the way there may be mended while this waits.
        let mut connection = self.pool.acquire().await.map_err(Unready::Outage)?;
        self.health.installed(schema::migrate_on(&mut connection).await?);
        deployment::claim(&mut connection, &self.config.names()).await?;
        Ok(timeline(&mut connection).await?)
    }

    async fn count(
        &self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        timeline: i64,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Self { config, pool, nats, health, .. } = self;
        let feed = Feed::new(&config.redis_url, &config.redis_prefix, Arc::clone(health))?;
        feed.renew_all().await;
        tasks.spawn(feed.clone().run(stop.clone()));
        let housekeeping = housekeeping::Rounds {
            database: pool.clone(),
            nats: nats.clone(),
            feed: feed.clone(),
            dead_letters_waiting: self.count_of_dead_letters.clone(),
            health: Arc::clone(health),
            config: config.clone(),
            timeline,
        };
        tasks.spawn(housekeeping.run(stop.clone()));
        tasks.spawn(rollups::run(pool.clone(), Arc::clone(health), config.clone(), stop.clone()));
        let watch =
            Watch { database: pool.clone(), nats: nats.clone(), feed: feed.clone(), config: config.clone() };
        tasks.spawn(watch.run(stop.clone()));
        if let Some(webhook) = Webhook::new(pool.clone(), config)? {
            tasks.spawn(webhook.run(stop.clone()));
        }
        tasks.spawn(reconcile::run(pool.clone(), feed.clone(), config.clone(), stop.clone()));
        tasks.spawn(watermark::follow(
            pool.clone(),
            nats.clone(),
            feed.clone(),
            config.clone(),
            timeline,
            stop.clone(),
        ));
        let counter = || Counter {
            ledger: Ledger::new(pool.clone(), config.ledger()),
            feed: feed.clone(),
            health: Arc::clone(health),
        };
        let (group, orders) = Group::new(config.partitions, config.linger(), config.batch_max);
        tasks.spawn(orders.run(counter()));
        for number in 0..config.partitions {
            let partition = Partition {
                number,
                timeline,
                nats: nats.clone(),
                dead_letters: DeadLetters::new(nats.clone(), config.names()),
                group: group.clone(),
                counter: counter(),
                health: Arc::clone(health),
                config: config.clone(),
            };
            tasks.spawn(partition.run(stop.clone()));
        }
        // It ends with the last partition.
        drop(group);
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
}

/// Says whether the database's commits wait for a standby, where there is one.
async fn watch_primary(mut primary: watch::Receiver<Option<Primary>>, health: Arc<Health>) {
    loop {
        if let Some(primary) = *primary.borrow_and_update() {
            metrics::gauge!("clickwire_database_timeline").set(primary.timeline as f64);
            health.set_alone(primary.is_alone);
        }
        if primary.changed().await.is_err() {
            return;
        }
    }
}

/// The reason why work can't begin.
enum Unready {
    /// The database is away, or was in the middle.
    Outage(sqlx::Error),
    /// The database is not one to count in.
    Refused(anyhow::Error),
}

impl From<sqlx::Error> for Unready {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().map(|error| error.code().unwrap_or_default().into_owned());
        // Connection exception, read-only transaction, insufficient resources, operator intervention.
        let is_outage = |code: String| ["08", "25", "53", "57"].iter().any(|class| code.starts_with(class));
        if code.is_none_or(is_outage) { Self::Outage(error) } else { Self::Refused(error.into()) }
    }
}

impl From<schema::Error> for Unready {
    fn from(error: schema::Error) -> Self {
        match error {
            schema::Error::Database(error)
            | schema::Error::Migration(
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
            ) => error.into(),
            error => Self::Refused(anyhow::Error::from(error).context("migrating the database")),
        }
    }
}

impl From<deployment::Error> for Unready {
    fn from(error: deployment::Error) -> Self {
        match error {
            deployment::Error::Database(error) => error.into(),
            error @ deployment::Error::Another { .. } => Self::Refused(error.into()),
        }
    }
}
