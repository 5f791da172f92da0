//! Watermarks of idle partitions follow the wall clock; those of busy ones advance with the batches. Gateways are
//! told of the deployment's through Redis, so that a screen on which nothing moves knows whether nothing happens or
//! nothing is counted.
//!
//! Any number of aggregators may do this: who comes first writes, the others find nothing behind.

use std::time::Duration;

use anyhow::ensure;
use async_nats::jetstream::{Context, stream::Stream};
use clickwire_ledger::{primary, watermark};
use clickwire_process::nats::on_timeline;
use clickwire_protocol::times::UnixMs;
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, feed::Feed, housekeeping::last_on};

/// The interval between looks at watermarks: the state that a screen shows is as old as this and as the later steps.
const EVERY: Duration = Duration::from_millis(500);

/// A connection that is gone without a word is given up after this.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(10);

/// Runs until `stop` is cancelled. What fails is tried again soon: meanwhile minutes stay
/// provisional, and the partitions themselves say what they wait for.
pub(crate) async fn follow(
    database: PgPool,
    nats: Context,
    feed: Feed,
    config: Config,
    timeline: i64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return Ok(()) }
        let followed = tokio::select! {
            followed = timeout(FOLLOWED_WITHIN, follow_clock(&database, &nats, &feed, &config, timeline)) => followed,
            () = stop.cancelled() => return Ok(()),
        };
        if let Err(error) = followed.map_err(anyhow::Error::from).flatten() {
            tracing::debug!(%error, "watermarks stay where they are");
        }
    }
}

async fn follow_clock(
    database: &PgPool,
    nats: &Context,
    feed: &Feed,
    config: &Config,
    timeline: i64,
) -> anyhow::Result<()> {
    let mut connection = database.acquire().await?;
    // The clock is read before the broker is asked: whatever is stored later was received later, or
    // is under way for less than the allowance.
    let (now, behind) = watermark::behind(&mut connection, config.partitions).await?;
    if !behind.is_empty() {
        ensure!(primary::timeline(&mut connection).await? == timeline, "the database has another primary");
        let stream = nats.get_stream(config.names().stream()).await?;
        let mut idle = Vec::with_capacity(behind.len());
        for partition in behind {
            if is_idle(&stream, config, partition, timeline).await? {
                idle.push((partition, now));
            }
        }
        watermark::advance(&mut connection, &idle).await?;
    }
    let watermark = watermark::of_deployment(&mut *connection, config.partitions).await?;
    drop(connection);
    if let Some(watermark) = watermark {
        feed.tell_watermark(watermark).await;
        let lag_ms = UnixMs(clickwire_process::now_ms()) - watermark;
        metrics::gauge!("clickwire_watermark_lag_seconds").set(lag_ms as f64 / 1e3);
    }
    Ok(())
}

/// Returns whether everything stored on a partition is acknowledged, that is, counted or set aside. A
/// consumer's `num_pending` lags behind what is stored; its floor, read before the last message on
/// its subject, can be trusted.
async fn is_idle(stream: &Stream, config: &Config, partition: u16, timeline: i64) -> anyhow::Result<bool> {
    let names = config.names();
    let consumer = on_timeline(&names.consumer(partition), timeline);
    let floor = stream.consumer_info(consumer).await?.ack_floor.stream_sequence;
    Ok(floor >= last_on(stream, &names.subject(partition), u64::MAX).await?)
}
