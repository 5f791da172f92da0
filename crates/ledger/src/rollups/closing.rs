//! Storing hours that are final, for all advertisers at once, and then their days.
//!
//! Changes of an hour leave marks from the moment that it is to be stored: first `marks_before` is moved
//! ahead, then the transactions are waited for that may not have known of it, and then the hours are added up, in a
//! snapshot that holds whatever these have done. Nothing else waits.

use sqlx::{AssertSqlSafe, PgConnection};
use time::{Duration, OffsetDateTime};

use super::{KEY, begin};
use crate::counts::{COLUMNS, SUMS};
use clickwire_process::failpoint;

/// The outcome of an attempt to store hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hours were stored, up to this time.
    Stored(OffsetDateTime),
    /// All hours are stored that were to be.
    Done,
    /// A transaction is still running that may change these hours without a mark, or somebody else is
    /// at work: to be tried again.
    NotYet,
}

/// Closes the hours before `until`, so that the steps that follow store them. `false`: to be tried again.
///
/// # Errors
/// What the database says.
pub async fn close(connection: &mut PgConnection, until: OffsetDateTime) -> Result<bool, sqlx::Error> {
    let Some(mut transaction) = begin(connection).await? else { return Ok(false) };
    let closed = sqlx::query(
        "UPDATE rollup_progress SET marks_before = $1, settled_after = NULL \
          WHERE marks_before < $1 AND hours_before = marks_before",
    )
    .bind(until)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    failpoint::reached("hours_closed");
    if closed.rows_affected() > 0 {
        settle(connection).await?;
    }
    Ok(true)
}

/// Notes whom to wait for: the transactions that had a number when `marks_before` was committed. So this
/// needs a snapshot that was taken after that. A number that is still to come is another cluster's, from which
/// this database was restored.
async fn settle(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let Some(mut transaction) = begin(connection).await? else { return Ok(()) };
    sqlx::query(
        "UPDATE rollup_progress SET settled_after = pg_snapshot_xmax(pg_current_snapshot()) \
          WHERE settled_after IS NULL OR settled_after > pg_snapshot_xmax(pg_current_snapshot())",
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Stores the next hours, `width` at most.
///
/// # Errors
/// What the database says; nothing is stored then.
pub async fn store_hours(connection: &mut PgConnection, width: Duration) -> Result<Step, sqlx::Error> {
    let Some(mut transaction) = begin(connection).await? else { return Ok(Step::NotYet) };
    let (from, target, is_settled): (OffsetDateTime, OffsetDateTime, bool) = sqlx::query_as(
        "SELECT hours_before, marks_before, \
                coalesce(settled_after <= pg_snapshot_xmin(pg_current_snapshot()), false) FROM rollup_progress",
    )
    .fetch_one(&mut *transaction)
    .await?;
    if from >= target {
        return Ok(Step::Done);
    }
    if !is_settled {
        transaction.rollback().await?;
        settle(connection).await?;
        return Ok(Step::NotYet);
    }
    let until = target.min(from + width);
    let fill = format!(
        "INSERT INTO hour_counts (bucket, {KEY}, {COLUMNS}) \
         SELECT time_bucket(INTERVAL '1 hour', bucket), {KEY}, {SUMS} FROM click_minutes \
          WHERE bucket >= $1 AND bucket < $2 GROUP BY 1, {KEY}"
    );
    for sql in [
        "DELETE FROM hour_counts WHERE bucket >= $1 AND bucket < $2",
        &fill,
        "UPDATE rollup_progress SET hours_before = $2 WHERE hours_before = $1",
    ] {
        sqlx::query(AssertSqlSafe(sql)).bind(from).bind(until).execute(&mut *transaction).await?;
    }
    failpoint::reached("hours_stored");
    transaction.commit().await?;
    Ok(Step::Stored(until))
}

/// Stores the next day, if all its hours are.
///
/// # Errors
/// What the database says; nothing is stored then.
pub async fn store_day(connection: &mut PgConnection) -> Result<Step, sqlx::Error> {
    let Some(mut transaction) = begin(connection).await? else { return Ok(Step::NotYet) };
    let (from, hours_before): (OffsetDateTime, OffsetDateTime) =
        sqlx::query_as("SELECT days_before, hours_before FROM rollup_progress")
            .fetch_one(&mut *transaction)
            .await?;
    let until = from + Duration::DAY;
    if until > hours_before {
        return Ok(Step::Done);
    }
    let fill = format!(
        "INSERT INTO day_counts (bucket, {KEY}, {COLUMNS}) \
         SELECT $1, {KEY}, {SUMS} FROM hour_counts WHERE bucket >= $1 AND bucket < $2 GROUP BY {KEY}"
    );
    for sql in [
        "DELETE FROM day_counts WHERE bucket >= $1 AND bucket < $2",
        &fill,
        "UPDATE rollup_progress SET days_before = $2 WHERE days_before = $1",
    ] {
        sqlx::query(AssertSqlSafe(sql)).bind(from).bind(until).execute(&mut *transaction).await?;
    }
    failpoint::reached("day_stored");
    transaction.commit().await?;
    Ok(Step::Stored(until))
}
