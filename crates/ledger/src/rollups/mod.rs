//! Hours and days: rolled up from the minutes into `hour_counts` and `day_counts`, under both licences
//! of TimescaleDB, and from these into the coarser grains that pages ask for.
//!
//! The views `click_hours` and `click_days` show what is stored where it is known to be right, and add up
//! the minutes everywhere else, in one snapshot (`0018_rollups.sql`). So what is done here never changes
//! what they show, only what it costs to show it, and may come late or not at all:
//! - [`closing`] stores hours that are final, and days of which all hours are stored;
//! - [`stale`] stores hours anew whose minutes have changed since, which the table's triggers have marked in
//!   the transaction that changed them;
//! - [`retention`](crate::retention) drops minutes that are rolled up, and not others;
//! - [`check`] compares what the views show with the minutes, and has what differs stored anew.
//!
//! The coarser grains, by campaign, by place and device, by ad, and minutes by campaign and by advertiser,
//! have tables of their own. Triggers make their rows anew in the transaction that changes hours or days, whichever
//! version of this task does (`0026_grains.sql`, `0040_finer_grains.sql`, `0042_minutes_by_advertiser.sql`).
//!
//! No writer of minutes waits for any of it, nor it for them: they only add marks, and it removes those
//! that its one snapshot has seen. It is done by one aggregator at a time.

pub mod check;
pub mod closing;
mod retention;
pub mod stale;

pub(crate) use retention::{delete_rollups, drop_minutes};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// SQLSTATE of a lock that somebody else has.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The columns of a bucket's key, behind its time.
const KEY: &str = "advertiser_id, campaign_id, ad_id, country, device_type";

/// The progress of the roll-ups.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct Progress {
    /// Hours before it are stored.
    pub hours_before: OffsetDateTime,
    /// Age of `hours_before`, in seconds.
    pub lag_seconds: f64,
    /// Stored hours that are to be stored anew.
    pub stale_hours: i64,
    /// Time since the first of them became stale, in seconds.
    pub stale_seconds: f64,
    /// Every change of the minutes leaves a mark, and every change of stored hours and days gets into their
    /// coarser grains: the triggers are there and on.
    pub is_marked: bool,
}

/// The lag from which on nothing works, in seconds: hours are stored an hour and some minutes after they began.
/// What is shown is right all the same, and takes longer.
const BEHIND_SECONDS: f64 = 2.0 * 3_600.0;

/// Stale hours are stored anew every minute or so.
const STALE_SECONDS: f64 = 600.0;

impl Progress {
    /// Returns whether nobody rolls up, or in vain.
    pub fn is_behind(&self) -> bool {
        !self.is_marked || self.lag_seconds > BEHIND_SECONDS || self.stale_seconds > STALE_SECONDS
    }

    /// The report for `/health`.
    pub fn report(&self) -> Value {
        let Self { hours_before, lag_seconds, stale_hours, stale_seconds, is_marked } = self;
        json!({
            "status": if self.is_behind() { "behind" } else { "ok" },
            "hours_stored_until": hours_before.format(&Rfc3339).ok(),
            "lag_seconds": lag_seconds.round(),
            "stale_hours": stale_hours,
            "oldest_stale_seconds": stale_seconds.round(),
            "changes_are_marked": is_marked,
        })
    }

    /// Reads the progress.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(
            "SELECT hours_before, extract(epoch FROM now() - hours_before)::float8 AS lag_seconds, stale_hours, \
                    coalesce(extract(epoch FROM now() - since), 0)::float8 AS stale_seconds, \
                    (SELECT count(*) = 15 FROM pg_trigger \
                      WHERE (tgrelid = 'click_minutes'::regclass \
                             AND tgname IN ('marks_inserted', 'marks_updated', 'marks_deleted') \
                          OR tgrelid IN ('hour_counts'::regclass, 'stale_hours'::regclass) \
                             AND tgname IN ('minutes_of_inserted', 'minutes_of_inserted_by_advertiser', \
                                            'minutes_of_unmarked', 'minutes_of_unmarked_by_advertiser') \
                          OR tgrelid IN ('hour_counts'::regclass, 'day_counts'::regclass) \
                             AND tgname IN ('grains_locked', 'grains_of_inserted', 'grains_of_updated', 'grains_of_deleted')) \
                        AND tgenabled IN ('O', 'A')) AS is_marked \
               FROM rollup_progress, \
                    (SELECT count(DISTINCT (advertiser_id, bucket)) AS stale_hours, min(stale_since) AS since \
                       FROM stale_hours) AS marks",
        )
        .fetch_one(connection)
        .await
    }
}

/// A transaction that may change the roll-ups, with one snapshot; `None` if somebody else has one.
///
/// LOCK takes no snapshot, so the one that is taken after it holds everything that earlier holders of the lock
/// have done.
async fn begin(connection: &mut PgConnection) -> Result<Option<Transaction<'_, Postgres>>, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let locked = sqlx::raw_sql("LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE NOWAIT")
        .execute(&mut *transaction)
        .await;
    match locked {
        Ok(_) => Ok(Some(transaction)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => {
            transaction.rollback().await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
