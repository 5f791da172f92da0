//! What must happen now and then, under both licences of TimescaleDB: chunks made ahead of time,
//! old chunks dropped, minutes of unique users folded into hours, counted clicks removed from the
//! stream, dead letters counted, the database's own jobs looked after.
//!
//! Every aggregator does it; doing it twice does no harm.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    Context,
    stream::{LastRawMessageErrorKind, Stream},
};
use clickwire_dead_letters::DeadLetters;
use futures_util::TryStreamExt as _;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    health::Health,
    ledger::{rollups::retention, uniques},
    timescaledb,
};

/// Advisory lock: "clickwire housekeeping", an arbitrary number.
const LOCK: i64 = 0x636c_6b68;

/// Dropping chunks waits for whoever reads them; what takes longer is given up until the next round.
const TASK_TIMEOUT: Duration = Duration::from_secs(60);
/// Folded minutes of unique users are dropped after so many days: a day after the last click that is
/// counted into them.
const UNIQUE_MINUTES_RETENTION_DAYS: u32 = 3;

/// Runs at once and then again and again until `stop` is cancelled.
pub(crate) async fn run(
    database: PgPool,
    nats: Context,
    dead_letters_waiting: watch::Sender<Option<u64>>,
    health: Arc<Health>,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // Each task can be left in the middle, and one that waits for a dead connection must be.
    Box::pin(stop.run_until_cancelled(rounds(&database, &nats, &config, &dead_letters_waiting, &health)))
        .await;
    Ok(())
}

async fn rounds(
    database: &PgPool,
    nats: &Context,
    config: &Config,
    dead_letters_waiting: &watch::Sender<Option<u64>>,
    health: &Health,
) {
    let dead_letters = DeadLetters::new(nats.clone(), config.names());
    let mut every = tokio::time::interval(Duration::from_secs(config.housekeeping_seconds));
    loop {
        every.tick().await;
        for (task, outcome) in [
            ("chunks ahead", within(create_chunks(database)).await),
            ("retention", within(drop_chunks(database, config)).await),
            ("unique users", within(fold_uniques(database, config)).await),
            ("stream", within(forget_counted(nats, config)).await),
            ("background jobs", within(watch_jobs(database, health)).await),
            ("dead letters", within(count_waiting(&dead_letters, dead_letters_waiting)).await),
        ] {
            if let Err(error) = outcome {
                tracing::warn!(task, %error, "housekeeping: will try again");
            }
        }
        metrics::counter!("clickwire_housekeeping_rounds_total").increment(1);
    }
}

/// A service that is gone without a word must not end housekeeping for ever.
async fn within(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::time::timeout(TASK_TIMEOUT, task).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
}

/// Makes the chunks from yesterday to the day after tomorrow, before a click needs them: a
/// transaction that creates a chunk blocks all other writers to it.
///
/// There is no public call for it, so a row is written and deleted in one transaction.
pub(crate) async fn create_chunks(database: &PgPool) -> anyhow::Result<()> {
    let mut transaction = database.begin().await?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if !locked {
        return Ok(());
    }
    let missing: Vec<(String, OffsetDateTime)> = sqlx::query_as(
        "SELECT hypertable, day FROM unnest(ARRAY['clicks', 'click_minutes', 'unique_minutes', 'unique_hours']) AS hypertable, \
                generate_series(now() - INTERVAL '1 day', now() + INTERVAL '2 days', INTERVAL '1 day') AS day \
          WHERE NOT EXISTS (SELECT 1 FROM timescaledb_information.chunks \
                             WHERE hypertable_name = hypertable AND day >= range_start AND day < range_end)",
    )
    .fetch_all(&mut *transaction)
    .await?;
    for (hypertable, day) in missing {
        let (insert, delete) = match hypertable.as_str() {
            "clicks" => (
                "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
                   device_type, disposition, stream_seq) \
                 VALUES ('00000000-0000-0000-0000-000000000000', $1, $1, '', '', '', '', '', 'test', 0)",
                "DELETE FROM clicks WHERE clicked_at = $1 AND stream_seq = 0",
            ),
            "unique_minutes" => (
                "INSERT INTO unique_minutes (bucket, advertiser_id, campaign_id, sketch) VALUES ($1, '', '', '')",
                "DELETE FROM unique_minutes WHERE bucket = $1 AND advertiser_id = ''",
            ),
            "unique_hours" => (
                "INSERT INTO unique_hours (bucket, advertiser_id, campaign_id, sketch) VALUES ($1, '', '', '')",
                "DELETE FROM unique_hours WHERE bucket = $1 AND advertiser_id = ''",
            ),
            _ => (
                "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type) \
                 VALUES ($1, '', '', '', '', '')",
                "DELETE FROM click_minutes WHERE bucket = $1 AND advertiser_id = ''",
            ),
        };
        for sql in [insert, delete] {
            sqlx::query(sql).bind(day).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

pub(crate) async fn drop_chunks(database: &PgPool, config: &Config) -> anyhow::Result<()> {
    drop_older(database, "clicks", config.ledger_retention_days).await?;
    drop_older(database, "unique_hours", config.minutes_retention_days).await?;
    let mut connection = database.acquire().await?;
    if config.rollups_retention_days > 0 {
        retention::delete_rollups(&mut connection, config.rollups_retention_days).await?;
    }
    let chunks = retention::drop_minutes(&mut connection, config.minutes_retention_days).await?;
    if chunks > 0 {
        tracing::info!(hypertable = "click_minutes", chunks, "retention dropped chunks");
    }
    Ok(())
}

/// Hours first, for minutes are dropped that only they remember.
pub(crate) async fn fold_uniques(database: &PgPool, config: &Config) -> anyhow::Result<()> {
    uniques::fold(database, &config.names()).await?;
    drop_older(database, "unique_minutes", UNIQUE_MINUTES_RETENTION_DAYS).await
}

async fn drop_older(database: &PgPool, hypertable: &str, days: u32) -> anyhow::Result<()> {
    let dropped = sqlx::query("SELECT drop_chunks($1::regclass, make_interval(days => $2))")
        .bind(hypertable)
        .bind(days as i32)
        .fetch_all(database)
        .await?;
    if !dropped.is_empty() {
        tracing::info!(hypertable, chunks = dropped.len(), "retention dropped chunks");
    }
    Ok(())
}

/// Removes from the stream what is counted, so that a stream which refuses when full holds only what
/// is still to be counted. Unless each of the stream's subjects has its consumer, nobody knows what is
/// counted, and nothing is removed. Consumers of others, such as an archiver, are waited for.
async fn forget_counted(nats: &Context, config: &Config) -> anyhow::Result<()> {
    let mut stream = nats.get_stream(config.names().stream()).await?;
    // The order matters: whatever arrives after this has a higher number.
    let info = stream.info().await?.clone();
    let last = info.state.last_sequence;
    let consumers: Vec<_> = stream.consumers().try_collect().await?;
    let is_read =
        |subject: &String| consumers.iter().any(|consumer| consumer.config.filter_subject == *subject);
    if !info.config.subjects.iter().all(is_read) {
        return Ok(());
    }
    let mut counted = last;
    for consumer in &consumers {
        let floor = consumer.ack_floor.stream_sequence;
        if floor < last_on(&stream, &consumer.config.filter_subject, last).await? {
            counted = counted.min(floor);
        }
    }
    if counted > 0 {
        // The given sequence number is the first that is kept.
        stream.purge().sequence(counted + 1).await?;
    }
    Ok(())
}

async fn watch_jobs(database: &PgPool, health: &Health) -> anyhow::Result<()> {
    let idle = timescaledb::idle_jobs(&mut *database.acquire().await?).await?;
    metrics::gauge!("clickwire_database_jobs_idle").set(idle.len() as f64);
    health.idle_jobs(idle);
    Ok(())
}

async fn count_waiting(
    dead_letters: &DeadLetters,
    waiting: &watch::Sender<Option<u64>>,
) -> anyhow::Result<()> {
    let letters = dead_letters.waiting().await?;
    metrics::gauge!("clickwire_dead_letters_waiting").set(letters as f64);
    waiting.send_replace(Some(letters));
    Ok(())
}

/// The last message on a subject; on a stream's every subject, if none is named.
pub(crate) async fn last_on(stream: &Stream, subject: &str, last: u64) -> anyhow::Result<u64> {
    if subject.is_empty() {
        return Ok(last);
    }
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(message.sequence),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}
