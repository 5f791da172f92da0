//! Measurements of the pipeline at one moment, from all services. One that is away is `None`, and delays no other.

use std::time::Duration;

use async_nats::jetstream::{Context, context::GetStreamError, stream::ConsumersError};
use clickwire_dead_letters::DeadLetters;
use clickwire_ledger::{rollups::Progress, timescaledb};
use clickwire_process::{nats::timeline_of, now_ms, redis::Connection};
use clickwire_protocol::{
    pipeline::{PipelineIdleJob, PipelineServer},
    stream::Names,
    times::UnixMs,
};
use futures_util::TryStreamExt as _;
use sqlx::{FromRow, PgPool};
use thiserror::Error as ThisError;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::servers::Reporter;
use crate::{admin::state::AdminState, live, query::watermark::Watermark};

/// A service that does not answer by then is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// A measurement of one moment.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Unix time in milliseconds.
    pub(super) at_ms: i64,
    pub(super) stream: Option<Stream>,
    pub(super) database: Option<Database>,
    /// Time up to which screens know that all is counted; `None` if Redis is away or does not know.
    pub(super) screens: Option<UnixMs>,
    pub(super) servers: Vec<PipelineServer>,
    /// The servers are all that there are; else Redis was away, and this one is listed alone.
    pub(super) are_all: bool,
}

/// The stream of clicks, and who reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    /// Messages that it has stored so far.
    pub(super) stored: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: Option<u64>,
    /// Messages that aggregators have acknowledged so far: all of them are counted or set aside.
    pub(super) counted: u64,
    /// Messages that they have not.
    pub(super) waiting: u64,
    /// Time at which the last of them was acknowledged, after its commit.
    pub(super) last_commit: Option<OffsetDateTime>,
    /// Messages that the lake has still to read; `None`: no lake reads.
    pub(super) lake_waiting: Option<u64>,
    pub(super) dead_letters: u64,
}

/// The state of the database.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// Time before which everything received is counted.
    pub(super) watermark: Option<UnixMs>,
    pub(super) bytes: i64,
    pub(super) idle_jobs: Vec<PipelineIdleJob>,
    pub(super) is_rolled_up: bool,
    pub(super) reconciliation: Option<Reconciliation>,
    pub(super) lake: Option<Lake>,
}

/// The last comparison of buckets with the ledger.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Reconciliation {
    pub(super) finished_at: OffsetDateTime,
    pub(super) differences: i64,
    pub(super) repaired: i64,
}

/// The lake that is in use.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Lake {
    /// The service that it says it waits for.
    pub(super) waiting_for: Option<String>,
}

/// The reason why the broker has given no measurement.
#[derive(Debug, ThisError)]
enum Silent {
    #[error("stream: {0}")]
    Stream(#[from] GetStreamError),
    #[error("consumers: {0}")]
    Consumers(#[from] ConsumersError),
    #[error("{0}")]
    DeadLetters(#[from] clickwire_dead_letters::Error),
}

/// Asks all services at once.
pub(super) async fn measure(nats: &Context, state: &AdminState, reporter: &Reporter) -> Measured {
    let own = reporter.own();
    let (stream, database, screens, servers) = tokio::join!(
        answered("the broker", stream(nats, &state.names, state.partitions, &state.dead_letters)),
        answered("the database", database(&state.reading, state.partitions)),
        answered("Redis", screens(&state.redis, &state.redis_prefix)),
        reporter.exchange(&own),
    );
    let are_all = servers.is_some();
    Measured {
        at_ms: now_ms(),
        stream,
        database,
        screens: screens.flatten(),
        servers: servers.unwrap_or_else(|| vec![own]),
        are_all,
    }
}

async fn answered<T, E: std::fmt::Display>(
    whom: &str,
    question: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "pipeline: {whom} can't be asked");
            None
        }
        Err(_) => None,
    }
}

async fn stream(
    nats: &Context,
    names: &Names,
    partitions: u16,
    dead_letters: &DeadLetters,
) -> Result<Stream, Silent> {
    let stream = nats.get_stream(names.stream()).await?;
    let info = stream.cached_info();
    let mut measured = Stream {
        stored: info.state.last_sequence,
        bytes: info.state.bytes,
        max_bytes: u64::try_from(info.config.max_bytes).ok(),
        ..Stream::default()
    };
    let mut consumers = stream.consumers();
    while let Some(consumer) = consumers.try_next().await? {
        let waiting = consumer.num_pending + consumer.num_ack_pending as u64;
        let firsts = (0..partitions).map(|partition| names.consumer(partition));
        if timeline_of(&consumer.name, firsts).is_some() {
            measured.counted += consumer.ack_floor.consumer_sequence;
            measured.waiting += waiting;
            measured.last_commit = measured.last_commit.max(consumer.ack_floor.last_active);
        } else if consumer.name.starts_with(Names::LAKE_CONSUMER) {
            // Of several the newest one reads, and has the least before it.
            measured.lake_waiting = Some(measured.lake_waiting.map_or(waiting, |least| least.min(waiting)));
        }
    }
    measured.dead_letters = dead_letters.waiting().await?;
    Ok(measured)
}

async fn database(pool: &PgPool, partitions: u16) -> Result<Database, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let watermark = Watermark::read(&mut *connection, partitions).await?.time();
    let bytes =
        sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut *connection).await?;
    let idle = timescaledb::idle_jobs(&mut connection).await?;
    let reconciliation = sqlx::query_as(
        "SELECT finished_at, differences, repaired FROM reconciliations ORDER BY finished_at DESC LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    let lake =
        sqlx::query_as("SELECT waiting_for FROM lake_attachment").fetch_optional(&mut *connection).await?;
    Ok(Database {
        watermark,
        bytes,
        idle_jobs: idle
            .into_iter()
            .map(|idle| PipelineIdleJob { job: idle.job, state: idle.state })
            .collect(),
        is_rolled_up: !Progress::read(&mut connection).await?.is_behind(),
        reconciliation,
        lake,
    })
}

async fn screens(redis: &Connection, prefix: &str) -> redis::RedisResult<Option<UnixMs>> {
    Ok(live::watermark(redis, prefix).await?.map(|watermark| watermark.counted_until))
}
