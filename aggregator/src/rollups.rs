//! The task that rolls minutes up into hours and days: [`clickwire_ledger::rollups`] says how, this
//! says when.
//!
//! Hours are stored when they are final, by the watermark: what is late in the stream as a whole, after an
//! outage say, is then no late click. What does come late is stored anew once a round, however many clicks of
//! an hour came. Every aggregator does it; who comes second finds the roll-ups locked and nothing to do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clickwire_ledger::{
    at,
    rollups::{
        Progress, check,
        closing::{self, Step},
        stale,
    },
    watermark,
};
use clickwire_process::Backoff;
use clickwire_protocol::{finality, times::UnixMs};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, health::Health};

/// A round that takes longer is given up; what it has stored stays.
const ROUND_WITHIN: Duration = Duration::from_secs(600);

/// A step that takes less is followed by one of twice the hours, one that takes more by one of half of them.
const STEP_TAKES: Duration = Duration::from_secs(2);

/// Hours of one step, at most.
const MOST_HOURS: i32 = 24;

/// The longest wait, in one round, for transactions that may change minutes without a mark.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// The range that is compared with the minutes when an aggregator starts, back from the end of what is stored.
const CHECKED_AT_START: time::Duration = time::Duration::hours(26);

/// Between reports of how far a long way is gone.
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// Rolls up again and again until `stop` is cancelled.
pub(crate) async fn run(
    database: PgPool,
    health: Arc<Health>,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // Each transaction can be left in the middle, and one that waits for a dead connection must be.
    Box::pin(stop.run_until_cancelled(rounds(&database, &health, &config))).await;
    Ok(())
}

async fn rounds(database: &PgPool, health: &Health, config: &Config) {
    let mut every = tokio::time::interval(Duration::from_secs(config.housekeeping_seconds));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_checked = false;
    loop {
        every.tick().await;
        let round = tokio::time::timeout(ROUND_WITHIN, round(database, health, config, &mut is_checked));
        match round.await.map_err(anyhow::Error::from).flatten() {
            Ok(()) => metrics::counter!("clickwire_rollup_rounds_total").increment(1),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "rolling up: will try again");
            }
        }
    }
}

async fn round(
    database: &PgPool,
    health: &Health,
    config: &Config,
    is_checked: &mut bool,
) -> anyhow::Result<()> {
    // A connection of its own: whatever ends this in the middle ends the transaction with it.
    let mut connection = database.acquire().await?;
    connection.close_on_drop();
    sqlx::query("SET statement_timeout = '5min'").execute(&mut *connection).await?;
    if !*is_checked {
        check_recent(&mut connection).await.context("comparing hours and days with minutes")?;
        *is_checked = true;
    }
    roll_up(&mut connection, config).await?;
    let progress = Progress::read(&mut connection).await?;
    metrics::gauge!("clickwire_rollup_lag_seconds").set(progress.lag_seconds);
    metrics::gauge!("clickwire_rollup_stale_hours").set(progress.stale_hours as f64);
    metrics::gauge!("clickwire_rollup_stale_seconds").set(progress.stale_seconds);
    if !progress.is_marked {
        tracing::error!(
            "triggers are missing or off: changes of click_minutes leave no marks, or those of hour_counts and \
             day_counts do not get into their coarser grains"
        );
    }
    health.rolled_up(progress);
    Ok(())
}

/// Stores what is stale, then what is final, until nothing is left or somebody else is at work.
async fn roll_up(connection: &mut PgConnection, config: &Config) -> Result<(), sqlx::Error> {
    while stale::store(connection).await? {}
    if let Some(watermark) = watermark::of_deployment(&mut *connection, config.partitions).await? {
        let until = UnixMs(finality::final_before(watermark).0.div_euclid(HOUR_MS) * HOUR_MS);
        if !closing::close(connection, at(until)).await? {
            return Ok(());
        }
    }
    let (mut hours, started, mut reported) = (1, Instant::now(), Instant::now());
    let mut backoff = Backoff::up_to(Duration::from_secs(1));
    loop {
        let began = Instant::now();
        match closing::store_hours(connection, time::Duration::hours(hours.into())).await? {
            Step::Stored(until) => {
                while let Step::Stored(_) = closing::store_day(connection).await? {}
                while stale::store(connection).await? {}
                hours = match began.elapsed() < STEP_TAKES {
                    true => (hours * 2).min(MOST_HOURS),
                    false => (hours / 2).max(1),
                };
                if reported.elapsed() >= REPORT_EVERY {
                    tracing::info!(%until, "rolling up hours and days");
                    reported = Instant::now();
                }
            }
            Step::NotYet if started.elapsed() < SETTLES_WITHIN => backoff.wait().await,
            Step::NotYet => return Ok(()),
            Step::Done => break,
        }
    }
    // What a crash came before.
    while let Step::Stored(_) = closing::store_day(connection).await? {}
    Ok(())
}

const HOUR_MS: i64 = 3_600_000;

/// Finds and mends differences of recent stored hours and days from their minutes, whatever made them.
async fn check_recent(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let to: OffsetDateTime = Progress::read(connection).await?.hours_before;
    let checked = check::check(connection, (to - CHECKED_AT_START, to), true).await?;
    if checked.differences > 0 {
        let check::Checked { differences, left } = checked;
        tracing::error!(differences, left, "stored hours and days differed from their minutes");
    }
    Ok(())
}
