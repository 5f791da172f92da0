//! Storing hours anew whose minutes have changed after they were stored, and the rows of their days.
//!
//! A late click costs the hour of one advertiser: its minutes are read, and the rows that change are
//! written, one of the hour and one of the day at each grain.
//!
//! Triggers of `hour_counts` and `day_counts` keep the coarser grains right (`0026_grains.sql`). They are made
//! anew here all the same: a mark may stand for a grain that was found wrong ([`check`](super::check)), while the
//! rows that it is the sum of are right and do not change. Minutes by campaign are made anew when the marks go
//! (`0040_finer_grains.sql`).

use clickwire_protocol::ids::AdvertiserId;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use time::{Duration, OffsetDateTime};

use super::begin;
use crate::counts::{COLUMNS, SUMS, each};
use std::sync::LazyLock;

use clickwire_process::failpoint;

/// Hours of one advertiser each that one transaction stores anew, at most.
const AT_ONCE: i64 = 100;

/// Statements that make buckets of `table` what is in the table `below`, by `dimensions`: `$1` advertisers and `$2`
/// the beginnings of their buckets, each as long as `width`; `$3` the first of these and `$4` the end of the last,
/// which leave out chunks.
///
/// What is below is added up in a LATERAL sub-query, so it is found by index for each bucket, whatever the
/// planner believes.
fn statements(table: &str, below: &str, width: &str, dimensions: &str) -> [String; 2] {
    let buckets = "unnest($1::text[], $2::timestamptz[]) AS d (advertiser_id, bucket)";
    let of_bucket = format!(
        "advertiser_id = d.advertiser_id AND bucket >= d.bucket AND bucket < d.bucket + INTERVAL '{width}' \
         AND bucket >= $3 AND bucket < $4"
    );
    let of = |row: &str| each(|column| format!("{row}.{column}"));
    [
        format!(
            "WITH made AS MATERIALIZED (SELECT d.advertiser_id, d.bucket, b.* FROM {buckets} CROSS JOIN LATERAL ( \
               SELECT DISTINCT {dimensions} FROM {below} WHERE {of_bucket}) AS b) \
             DELETE FROM {table} AS r USING {buckets} \
              WHERE r.advertiser_id = d.advertiser_id AND r.bucket = d.bucket AND r.bucket >= $3 AND r.bucket < $4 \
                AND (r.advertiser_id, r.bucket, {own}) NOT IN (TABLE made)",
            own = dimensions.split(", ").map(|column| format!("r.{column}")).collect::<Vec<_>>().join(", "),
        ),
        format!(
            "INSERT INTO {table} AS r (bucket, advertiser_id, {dimensions}, {COLUMNS}) \
             SELECT d.bucket, d.advertiser_id, b.* FROM {buckets} CROSS JOIN LATERAL ( \
               SELECT {dimensions}, {SUMS} FROM {below} WHERE {of_bucket} GROUP BY {dimensions}) AS b \
             ON CONFLICT (advertiser_id, bucket, {dimensions}) DO UPDATE SET {replacements} \
             WHERE ({stored}) <> ({excluded})",
            replacements = each(|column| format!("{column} = excluded.{column}")),
            stored = of("r"),
            excluded = of("excluded"),
        ),
    ]
}

/// The columns of a bucket's key, behind its time and advertiser.
const DIMENSIONS: &str = "campaign_id, ad_id, country, device_type";

/// The same at each coarser grain, by the end of its tables' names.
const GRAINS: [(&str, &str); 3] =
    [("by_campaign", "campaign_id"), ("by_place", "country, device_type"), ("by_ad", "campaign_id, ad_id")];

static HOURS: LazyLock<Vec<String>> = LazyLock::new(|| all("hour_counts", "click_minutes", "1 hour"));
static DAYS: LazyLock<Vec<String>> = LazyLock::new(|| all("day_counts", "hour_counts", "24 hours"));

/// The statements of a table and of its coarser grains, which are made from it.
fn all(table: &str, below: &str, width: &str) -> Vec<String> {
    let grains = GRAINS.into_iter().flat_map(|(name, dimensions)| {
        statements(&format!("{table}_{name}"), table, "1 microsecond", dimensions)
    });
    statements(table, below, width, DIMENSIONS).into_iter().chain(grains).collect()
}

/// Advertisers and the beginnings of their buckets.
#[derive(Debug, Default)]
struct Buckets {
    advertisers: Vec<AdvertiserId>,
    times: Vec<OffsetDateTime>,
}

/// Stores stale hours anew, those first that have been stale the longest. Returns whether more may be left.
///
/// # Errors
/// What the database says; nothing is stored then, and the marks stay.
pub async fn store(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let Some(mut transaction) = begin(connection).await? else { return Ok(false) };
    // Of an hour whose minutes are dropped only the roll-ups know.
    sqlx::query(
        "DELETE FROM stale_hours WHERE bucket < coalesce((SELECT min(range_start) \
           FROM timescaledb_information.chunks WHERE hypertable_name = 'click_minutes'), 'infinity')",
    )
    .execute(&mut *transaction)
    .await?;
    let rows: Vec<(AdvertiserId, OffsetDateTime, OffsetDateTime, bool)> = sqlx::query_as(
        "SELECT s.advertiser_id, s.bucket, min(s.day), bool_or(s.day < p.days_before) \
           FROM stale_hours AS s JOIN rollup_progress AS p ON s.bucket < p.hours_before \
          GROUP BY s.advertiser_id, s.bucket ORDER BY min(s.stale_since) LIMIT $1",
    )
    .bind(AT_ONCE)
    .fetch_all(&mut *transaction)
    .await?;
    let is_last = rows.len() < AT_ONCE as usize;
    let (mut hours, mut days) = (Buckets::default(), Buckets::default());
    for (advertiser_id, hour, day, is_day_stored) in rows {
        if is_day_stored {
            days.advertisers.push(advertiser_id.clone());
            days.times.push(day);
        }
        hours.advertisers.push(advertiser_id);
        hours.times.push(hour);
    }
    days.deduplicate();
    hours.run(&mut transaction, HOURS.as_slice(), Duration::HOUR).await?;
    days.run(&mut transaction, DAYS.as_slice(), Duration::DAY).await?;
    failpoint::reached("stale_hours_stored");
    // Of these hours' marks only those that the snapshot has seen, which the rows above are made from.
    let removed = sqlx::query(
        "DELETE FROM stale_hours AS s USING unnest($1::text[], $2::timestamptz[]) AS d (advertiser_id, bucket) \
          WHERE s.advertiser_id = d.advertiser_id AND s.bucket = d.bucket",
    );
    removed.bind(&hours.advertisers).bind(&hours.times).execute(&mut *transaction).await?;
    failpoint::reached("stale_hours_unmarked");
    transaction.commit().await?;
    Ok(!is_last)
}

impl Buckets {
    fn deduplicate(&mut self) {
        let mut pairs: Vec<_> =
            std::mem::take(&mut self.advertisers).into_iter().zip(std::mem::take(&mut self.times)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        (self.advertisers, self.times) = pairs.into_iter().unzip();
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        statements: &'static [String],
        width: Duration,
    ) -> Result<(), sqlx::Error> {
        let (Some(&first), Some(&last)) = (self.times.iter().min(), self.times.iter().max()) else {
            return Ok(());
        };
        for sql in statements {
            sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(&self.advertisers)
                .bind(&self.times)
                .bind(first)
                .bind(last + width)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }
}
