//! Retention of minutes, and of hours and days. No minutes are dropped that are not rolled up, and what was
//! dropped is never rolled up again from a click that gets there later.

use sqlx::PgConnection;

use super::begin;
use crate::retention::interval_days;

/// Drops the chunks of minutes that are older than `days`, whole ones. Returns how many.
pub(crate) async fn drop_minutes(connection: &mut PgConnection, days: u32) -> Result<usize, sqlx::Error> {
    let Some(mut transaction) = begin(connection).await? else { return Ok(0) };
    // Whoever reads these chunks is waited for, but not while everybody else waits behind us.
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    sqlx::query(
        "UPDATE rollup_progress SET minutes_from = greatest(minutes_from, least(days_before, \
           date_trunc('day', now() - make_interval(days => $1), 'UTC'), (SELECT min(day) FROM stale_hours)))",
    )
    .bind(interval_days(days))
    .execute(&mut *transaction)
    .await?;
    let dropped =
        sqlx::query("SELECT drop_chunks('click_minutes', (SELECT minutes_from FROM rollup_progress))")
            .fetch_all(&mut *transaction)
            .await?;
    transaction.commit().await?;
    for sql in [
        "DELETE FROM minute_counts_by_campaign WHERE ctid = ANY (ARRAY(SELECT ctid FROM minute_counts_by_campaign \
           WHERE bucket < (SELECT minutes_from FROM rollup_progress) + make_interval(days => $1) LIMIT $2))",
        "DELETE FROM minute_counts_by_advertiser WHERE ctid = ANY (ARRAY(SELECT ctid FROM minute_counts_by_advertiser \
           WHERE bucket < (SELECT minutes_from FROM rollup_progress) + make_interval(days => $1) LIMIT $2))",
    ] {
        delete_all(connection, sql, 0).await?;
    }
    Ok(dropped.len())
}

/// Rows that one statement deletes, at most.
const DELETED_AT_ONCE: u64 = 50_000;

/// Deletes the hours and days that are older than `days`; what they are rows of at the coarser grains goes with
/// them, by triggers.
pub(crate) async fn delete_rollups(connection: &mut PgConnection, days: u32) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM hour_counts WHERE ctid = ANY (ARRAY(SELECT ctid FROM hour_counts \
           WHERE bucket < date_trunc('day', now() - make_interval(days => $1), 'UTC') LIMIT $2))",
        "DELETE FROM day_counts WHERE ctid = ANY (ARRAY(SELECT ctid FROM day_counts \
           WHERE bucket < date_trunc('day', now() - make_interval(days => $1), 'UTC') LIMIT $2))",
    ] {
        delete_all(connection, sql, days).await?;
    }
    Ok(())
}

/// Repeats a statement of days and of rows at most until it deletes fewer.
async fn delete_all(connection: &mut PgConnection, sql: &'static str, days: u32) -> Result<(), sqlx::Error> {
    loop {
        let deleted = sqlx::query(sql)
            .bind(interval_days(days))
            .bind(DELETED_AT_ONCE as i64)
            .execute(&mut *connection)
            .await?;
        if deleted.rows_affected() < DELETED_AT_ONCE {
            return Ok(());
        }
    }
}
