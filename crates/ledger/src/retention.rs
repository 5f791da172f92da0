//! Chunks made before a click needs them, and dropped when they are old, under both licences of TimescaleDB.
//!
//! Every aggregator may do it; doing it twice does no harm.

use clickwire_protocol::stream::Names;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::{rollups, uniques};

/// Advisory lock: "clickwire housekeeping", an arbitrary number.
const LOCK: i64 = 0x636c_6b68;

/// The fewest days that folded minutes of unique users are kept: until a day after the last click that is
/// counted into them.
pub const UNIQUE_MINUTES_MIN_DAYS: u32 = 3;

/// The longest time that the database can subtract from now, in days: its calendar begins in 4713 BC.
const LONGEST_DAYS: i32 = 2_000_000;

/// The days of a retention as the database takes them. More than it can subtract from now is as good as for ever.
pub(crate) fn interval_days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX).min(LONGEST_DAYS)
}

/// The retention of what is counted.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Clicks, in days.
    pub ledger_days: u32,
    /// Minutes, and hours and days of unique users, in days.
    pub minutes_days: u32,
    /// Hours and days, in days; `None`: for ever.
    pub rollups_days: Option<u32>,
    /// Folded minutes of unique users, in days.
    pub unique_minutes_days: u32,
}

/// Makes the chunks from yesterday to the day after tomorrow, before a click needs them: a
/// transaction that creates a chunk blocks all other writers to it.
///
/// There is no public call for it, so a row is written and deleted in one transaction.
///
/// # Errors
/// What the database says.
pub async fn create_chunks(database: &PgPool) -> Result<(), sqlx::Error> {
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

/// Drops what is older than it is to be kept: chunks as a whole, rows of hours and days one by one.
///
/// # Errors
/// What the database says.
pub async fn drop_chunks(database: &PgPool, kept: Kept) -> Result<(), sqlx::Error> {
    drop_older(database, "clicks", kept.ledger_days).await?;
    drop_older(database, "unique_hours", kept.minutes_days).await?;
    let mut connection = database.acquire().await?;
    uniques::delete_days(&mut connection, kept.minutes_days).await?;
    if let Some(days) = kept.rollups_days {
        rollups::delete_rollups(&mut connection, days).await?;
    }
    let chunks = rollups::drop_minutes(&mut connection, kept.minutes_days).await?;
    if chunks > 0 {
        tracing::info!(hypertable = "click_minutes", chunks, "retention dropped chunks");
    }
    Ok(())
}

/// Folds minutes of unique users into hours and these into days, and drops old minutes. Folding first, for minutes
/// are dropped that only hours remember.
///
/// # Errors
/// What the database says.
pub async fn fold_uniques(database: &PgPool, names: &Names, kept: Kept) -> Result<(), sqlx::Error> {
    uniques::fold(database, names).await?;
    drop_older(database, "unique_minutes", kept.unique_minutes_days).await
}

async fn drop_older(database: &PgPool, hypertable: &str, days: u32) -> Result<(), sqlx::Error> {
    let dropped = sqlx::query("SELECT drop_chunks($1::regclass, make_interval(days => $2))")
        .bind(hypertable)
        .bind(interval_days(days))
        .fetch_all(database)
        .await?;
    if !dropped.is_empty() {
        tracing::info!(hypertable, chunks = dropped.len(), "retention dropped chunks");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_never_negative_and_never_longer_than_the_calendar() {
        for (days, expected) in
            [(0, 0), (30, 30), (i32::MAX as u32 + 1, LONGEST_DAYS), (u32::MAX, LONGEST_DAYS)]
        {
            assert_eq!(interval_days(days), expected, "{days}");
        }
    }
}
