//! Hours and days as the views show them, and every grain, against what the minutes add up to.
//!
//! Each comparison is one statement, that is, in one state of the database, and takes no lock. What
//! differs is marked as stale, which makes it right at once: the views add it up from the minutes then.

use std::collections::BTreeSet;

use clickwire_protocol::ids::AdvertiserId;
use sqlx::{AssertSqlSafe, PgConnection};
use time::{Duration, OffsetDateTime};

use super::KEY;
use crate::counts::{COLUMNS, SUMS};

/// The number of rows in a range that differed, and of those that still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that differed; minutes of one group count once an hour.
    pub differences: usize,
    /// Those that still do, counted likewise.
    pub left: usize,
}

/// A view or a table, and what its rows are the sums of.
struct Level {
    view: &'static str,
    below: &'static str,
    width: Duration,
    /// The length of time that one statement compares.
    step: Duration,
    /// The columns of the view's key, behind its time.
    key: &'static str,
    /// The rows that are compared: those that questions read.
    shown: &'static str,
}

const ALL: &str = "true";

/// The rows that are read of a table without a view: those that are not stale.
const FRESH_HOURS: &str = "(advertiser_id, bucket) NOT IN (SELECT advertiser_id, bucket FROM stale_hours)";
const FRESH_DAYS: &str = "(advertiser_id, bucket) NOT IN (SELECT advertiser_id, day FROM stale_hours)";
const FRESH_MINUTES: &str = "bucket < (SELECT hours_before FROM rollup_progress) \
    AND (advertiser_id, date_trunc('hour', bucket, 'UTC')) NOT IN (SELECT advertiser_id, bucket FROM stale_hours)";

/// Hours against the minutes, days against the hours, and each grain against what it is a grain of.
const LEVELS: [Level; 10] = {
    const fn hours(view: &'static str, below: &'static str, key: &'static str) -> Level {
        Level { view, below, width: Duration::HOUR, step: Duration::HOUR, key, shown: ALL }
    }
    const fn days(view: &'static str, below: &'static str, key: &'static str) -> Level {
        Level { view, below, width: Duration::DAY, step: Duration::DAY, key, shown: ALL }
    }
    const fn minutes(view: &'static str, key: &'static str) -> Level {
        let (width, step) = (Duration::MINUTE, Duration::HOUR);
        Level { view, below: "click_minutes", width, step, key, shown: FRESH_MINUTES }
    }
    [
        hours("click_hours", "click_minutes", KEY),
        days("click_days", "click_hours", KEY),
        hours("click_hours_by_campaign", "click_hours", "advertiser_id, campaign_id"),
        hours("click_hours_by_place", "click_hours", "advertiser_id, country, device_type"),
        days("click_days_by_campaign", "click_days", "advertiser_id, campaign_id"),
        days("click_days_by_place", "click_days", "advertiser_id, country, device_type"),
        Level {
            shown: FRESH_HOURS,
            ..hours("hour_counts_by_ad", "hour_counts", "advertiser_id, campaign_id, ad_id")
        },
        Level {
            shown: FRESH_DAYS,
            ..days("day_counts_by_ad", "day_counts", "advertiser_id, campaign_id, ad_id")
        },
        minutes("minute_counts_by_campaign", "advertiser_id, campaign_id"),
        minutes("minute_counts_by_advertiser", "advertiser_id"),
    ]
};

/// Compares the hours and the days that `[from, to)` touches, a bucket at a time; marks as stale what
/// differs, if asked to.
///
/// # Errors
/// What the database says.
pub async fn check(
    connection: &mut PgConnection,
    (from, to): (OffsetDateTime, OffsetDateTime),
    repair: bool,
) -> Result<Checked, sqlx::Error> {
    let mut checked = Checked::default();
    let minutes_from: OffsetDateTime =
        sqlx::query_scalar("SELECT minutes_from FROM rollup_progress").fetch_one(&mut *connection).await?;
    for level in &LEVELS {
        let width = level.step.whole_seconds();
        let mut start = OffsetDateTime::from_unix_timestamp(from.unix_timestamp().div_euclid(width) * width)
            .unwrap_or(from);
        // What retention has left nothing to compare with stays as it is.
        while start < minutes_from {
            start += level.step;
        }
        while start < to {
            let found = level.compare(connection, start).await?;
            checked.differences += found.len();
            if repair && !found.is_empty() {
                mark(connection, &found).await?;
                checked.left += level.compare(connection, start).await?.len();
            } else {
                checked.left += found.len();
            }
            start += level.step;
        }
    }
    Ok(checked)
}

impl Level {
    /// The advertiser of each group with a row that differs, and such a row's bucket.
    async fn compare(
        &self,
        connection: &mut PgConnection,
        start: OffsetDateTime,
    ) -> Result<Vec<(AdvertiserId, OffsetDateTime)>, sqlx::Error> {
        let Level { view, below, width, step, key, shown } = self;
        let seconds = width.whole_seconds();
        let sql = format!(
            "WITH below AS (SELECT time_bucket(INTERVAL '{seconds} s', bucket) AS bucket, {key}, {SUMS} \
               FROM {below} WHERE bucket >= $1 AND bucket < $2 AND {shown} GROUP BY 1, {key}), \
             shown AS (SELECT bucket, {key}, {COLUMNS} \
               FROM {view} WHERE bucket >= $1 AND bucket < $2 AND {shown}) \
             SELECT DISTINCT ON ({key}) advertiser_id, bucket \
               FROM ((TABLE below EXCEPT ALL TABLE shown) UNION ALL (TABLE shown EXCEPT ALL TABLE below)) AS d"
        );
        sqlx::query_as(AssertSqlSafe(sql)).bind(start).bind(start + *step).fetch_all(connection).await
    }
}

/// Marks the hours to be stored anew; a day's first hour stands for the day, an hour for its minutes.
async fn mark(
    connection: &mut PgConnection,
    found: &[(AdvertiserId, OffsetDateTime)],
) -> Result<(), sqlx::Error> {
    let found: BTreeSet<&(AdvertiserId, OffsetDateTime)> = found.iter().collect();
    let (advertisers, buckets): (Vec<&str>, Vec<OffsetDateTime>) =
        found.into_iter().map(|(advertiser_id, bucket)| (advertiser_id.as_str(), *bucket)).unzip();
    sqlx::query(
        "INSERT INTO stale_hours (advertiser_id, bucket, day) \
         SELECT advertiser_id, date_trunc('hour', bucket, 'UTC'), date_trunc('day', bucket, 'UTC') \
           FROM unnest($1::text[], $2::timestamptz[]) AS d (advertiser_id, bucket)",
    )
    .bind(advertisers)
    .bind(buckets)
    .execute(connection)
    .await?;
    Ok(())
}
