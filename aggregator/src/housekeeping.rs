//! What must happen now and then, under both licences of TimescaleDB: chunks made ahead of time,
//! old chunks dropped, counted clicks removed from the stream.
//!
//! Any aggregator may do it; a lock in the database sees to it that one does.

use std::time::Duration;

use async_nats::jetstream::Context;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

const EVERY: Duration = Duration::from_secs(60);

/// Advisory lock: "clickwire housekeeping", an arbitrary number.
const LOCK: i64 = 0x636c_6b68;

/// Runs at once and then every minute until `stop` is cancelled.
pub(crate) async fn run(
    database: PgPool,
    nats: Context,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return Ok(()) }
        for (task, outcome) in [
            ("chunks ahead", create_chunks(&database).await),
            ("retention", drop_chunks(&database, &config).await),
            ("stream", forget_counted(&nats, &config).await),
        ] {
            if let Err(error) = outcome {
                tracing::warn!(task, %error, "housekeeping: will try again");
            }
        }
    }
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
    sqlx::raw_sql(
        "CREATE TEMPORARY TABLE missing_chunks ON COMMIT DROP AS \
         SELECT hypertable, day FROM unnest(ARRAY['clicks', 'click_minutes']) AS hypertable, \
                generate_series(now() - INTERVAL '1 day', now() + INTERVAL '2 days', INTERVAL '1 day') AS day \
          WHERE NOT EXISTS (SELECT 1 FROM timescaledb_information.chunks \
                             WHERE hypertable_name = hypertable AND day >= range_start AND day < range_end); \
         INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
                             device_type, disposition, stream_seq) \
         SELECT '00000000-0000-0000-0000-000000000000', day, day, '', '', '', '', '', 'test', 0 \
           FROM missing_chunks WHERE hypertable = 'clicks'; \
         DELETE FROM clicks WHERE click_id = '00000000-0000-0000-0000-000000000000' AND stream_seq = 0; \
         INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type) \
         SELECT day, '', '', '', '', '' FROM missing_chunks WHERE hypertable = 'click_minutes'; \
         DELETE FROM click_minutes WHERE advertiser_id = '';",
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

async fn drop_chunks(database: &PgPool, config: &Config) -> anyhow::Result<()> {
    for (hypertable, days) in
        [("clicks", config.ledger_retention_days), ("click_minutes", config.minutes_retention_days)]
    {
        let dropped = sqlx::query("SELECT drop_chunks($1::regclass, make_interval(days => $2))")
            .bind(hypertable)
            .bind(days as i32)
            .fetch_all(database)
            .await?;
        if !dropped.is_empty() {
            tracing::info!(hypertable, chunks = dropped.len(), "retention dropped chunks");
        }
    }
    Ok(())
}

/// Removes from the stream what every consumer has acknowledged, so that a stream which refuses
/// when full holds only what is still to be counted. A deleted consumer removes nothing: unless all
/// partitions' consumers are there, nobody knows what is counted.
async fn forget_counted(nats: &Context, config: &Config) -> anyhow::Result<()> {
    use futures_util::TryStreamExt as _;
    let names = config.names();
    let mut stream = nats.get_stream(names.stream()).await?;
    let last = stream.info().await?.state.last_sequence;
    let consumers: Vec<_> = stream.consumers().try_collect().await?;
    let all_there = (0..config.partitions)
        .all(|partition| consumers.iter().any(|consumer| consumer.name == names.consumer(partition)));
    // A consumer with nothing pending and nothing unacknowledged is past everything there was.
    let floor = consumers.iter().map(|consumer| {
        let idle = consumer.num_pending == 0 && consumer.num_ack_pending == 0;
        if idle { last } else { consumer.ack_floor.stream_sequence }
    });
    if let (true, Some(floor)) = (all_there, floor.min()) {
        // `purge` keeps the given sequence and what follows it.
        stream.purge().sequence(floor + 1).await?;
    }
    Ok(())
}
