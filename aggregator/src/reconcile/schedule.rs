//! Comparing final minutes again and again, one aggregator at a time. When it is due is asked of the
//! database, so it does not matter how many aggregators there are or how often they start.

use std::time::Duration;

use clickwire_ledger::{at, reconcile::kept_from, watermark};
use clickwire_protocol::finality;
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Outcome, Reconciliation};
use crate::{config::Config, feed::Feed};

/// Compared every time; twice the default interval, so that one missed run leaves no gap.
const RECENT: time::Duration = time::Duration::hours(2);

/// Compared once a day: whatever may still have come inside the default horizon.
const WIDE: time::Duration = time::Duration::DAY;

/// Longer than any comparison takes: a connection that is gone without a word is given up.
const RUN_WITHIN: Duration = Duration::from_secs(3_600);

/// Runs when due, until `stop` is cancelled.
pub(crate) async fn run(
    database: PgPool,
    feed: Feed,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if config.reconcile_seconds == 0 {
        return Ok(());
    }
    let mut every = tokio::time::interval(Duration::from_secs(config.reconcile_seconds.min(10)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return Ok(()) }
        let done = tokio::select! {
            done = timeout(RUN_WITHIN, run_if_due(&database, &feed, &config)) => done,
            () = stop.cancelled() => return Ok(()),
        };
        if let Err(error) = done.map_err(anyhow::Error::from).flatten() {
            tracing::warn!(%error, "reconciliation: will try again");
        }
    }
}

async fn run_if_due(database: &PgPool, feed: &Feed, config: &Config) -> anyhow::Result<()> {
    let last = Last::read(&mut *database.acquire().await?).await?;
    last.record();
    if !last.is_due(config) {
        return Ok(());
    }
    // The lock ends with the connection, however this ends.
    let mut connection = database.acquire().await?.detach();
    let lock = config.names().reconciliation_lock();
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
        .bind(lock.deployment)
        .bind(lock.work)
        .fetch_one(&mut connection)
        .await?;
    if !locked {
        return Ok(());
    }
    // Whoever had the lock before may just have done it.
    let last = Last::read(&mut connection).await?;
    if last.is_due(config) {
        compare(&mut connection, feed, config, if last.is_wide_due() { WIDE } else { RECENT }).await?;
        Last::read(&mut connection).await?.record();
    }
    Ok(())
}

/// Compares the last minutes that are final, as far back as `span` and retention reach.
async fn compare(
    connection: &mut PgConnection,
    feed: &Feed,
    config: &Config,
    span: time::Duration,
) -> anyhow::Result<()> {
    let Some(watermark) = watermark::of_deployment(&mut *connection, config.partitions).await? else {
        return Ok(());
    };
    let to = at(finality::final_before(watermark));
    let from = (to - span).max(kept_from(connection, config.recountable_days()).await?);
    if from >= to {
        return Ok(());
    }
    let names = config.names();
    let reconciliation = Reconciliation { names: &names, feed, from, to, repair: config.reconcile_repair };
    let mut first = None;
    let outcome = reconciliation
        .run(connection, "schedule", |difference| {
            first.get_or_insert_with(|| difference.clone());
            Ok(())
        })
        .await?;
    metrics::counter!("clickwire_corrections_total").increment(outcome.repaired() as u64);
    if outcome.differences > 0 {
        let Outcome { differences, left } = outcome;
        tracing::error!(differences, left, %from, %to, ?first, "buckets differ from the ledger");
    }
    Ok(())
}

/// The last run on schedule: the differences that it left, and its age.
#[derive(Debug, sqlx::FromRow)]
struct Last {
    left_over: Option<i64>,
    age_seconds: Option<f64>,
    /// Age of the last run over a whole day, or over as much of one as there was.
    wide_age_seconds: Option<f64>,
}

impl Last {
    async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(
            "SELECT (array_agg(differences - repaired ORDER BY finished_at DESC))[1] AS left_over, \
                    extract(epoch FROM now() - max(finished_at))::float8 AS age_seconds, \
                    extract(epoch FROM now() - max(finished_at) \
                      FILTER (WHERE range_end - range_start > INTERVAL '2 hours'))::float8 AS wide_age_seconds \
               FROM reconciliations WHERE started_by = 'schedule' AND finished_at > now() - INTERVAL '40 days'",
        )
        .fetch_one(connection)
        .await
    }

    fn is_due(&self, config: &Config) -> bool {
        self.age_seconds.is_none_or(|age| age >= config.reconcile_seconds as f64)
    }

    fn is_wide_due(&self) -> bool {
        self.wide_age_seconds.is_none_or(|age| age >= WIDE.as_seconds_f64())
    }

    fn record(&self) {
        if let (Some(left_over), Some(age_seconds)) = (self.left_over, self.age_seconds) {
            metrics::gauge!("clickwire_reconcile_differences").set(left_over as f64);
            metrics::gauge!("clickwire_reconcile_age_seconds").set(age_seconds);
        }
    }
}
