//! Storing hours anew whose minutes have changed after they were stored, and the rows of their days.
//!
//! A late click costs the hour of one advertiser: its minutes are read, and the rows that change are
//! written, one of the hour and one of the day.

use sqlx::{PgConnection, Postgres, Transaction};
use time::{Duration, OffsetDateTime};

use super::begin;
use clickwire_process::failpoint;

/// Hours of one advertiser each that one transaction stores anew, at most.
const AT_ONCE: i64 = 100;

/// Statements that make buckets of `$table` what is below: `$1` advertisers and `$2` the beginnings of their
/// buckets, `$3` the first of these and `$4` the end of the last, which leave out chunks.
///
/// What is below is added up in a LATERAL sub-query, so it is found by index for each bucket, whatever the
/// planner believes.
macro_rules! statements {
    ($table:literal, $below:literal, $width:literal) => {
        [
            concat!(
                "WITH made AS MATERIALIZED (SELECT d.advertiser_id, d.bucket, b.* \
                   FROM unnest($1::text[], $2::timestamptz[]) AS d (advertiser_id, bucket) CROSS JOIN LATERAL ( \
                     SELECT DISTINCT campaign_id, ad_id, country, device_type FROM ",
                $below,
                " WHERE advertiser_id = d.advertiser_id AND bucket >= d.bucket AND bucket < d.bucket + INTERVAL '",
                $width,
                "' AND bucket >= $3 AND bucket < $4) AS b) \
                 DELETE FROM ",
                $table,
                " AS r USING unnest($1::text[], $2::timestamptz[]) AS d (advertiser_id, bucket) \
                  WHERE r.advertiser_id = d.advertiser_id AND r.bucket = d.bucket AND r.bucket >= $3 AND r.bucket < $4 \
                    AND (r.advertiser_id, r.bucket, r.campaign_id, r.ad_id, r.country, r.device_type) NOT IN (TABLE made)"
            ),
            concat!(
                "INSERT INTO ",
                $table,
                " AS r (bucket, advertiser_id, campaign_id, ad_id, country, device_type, \
                        valid, duplicate, givt, sivt, test, defective) \
                 SELECT d.bucket, d.advertiser_id, b.* \
                   FROM unnest($1::text[], $2::timestamptz[]) AS d (advertiser_id, bucket) CROSS JOIN LATERAL ( \
                     SELECT campaign_id, ad_id, country, device_type, sum(valid)::bigint, sum(duplicate)::bigint, \
                            sum(givt)::bigint, sum(sivt)::bigint, sum(test)::bigint, sum(defective)::bigint FROM ",
                $below,
                " WHERE advertiser_id = d.advertiser_id AND bucket >= d.bucket AND bucket < d.bucket + INTERVAL '",
                $width,
                "' AND bucket >= $3 AND bucket < $4 GROUP BY campaign_id, ad_id, country, device_type) AS b \
                 ON CONFLICT (advertiser_id, bucket, campaign_id, ad_id, country, device_type) DO UPDATE SET \
                   valid = excluded.valid, duplicate = excluded.duplicate, givt = excluded.givt, \
                   sivt = excluded.sivt, test = excluded.test, defective = excluded.defective \
                 WHERE (r.valid, r.duplicate, r.givt, r.sivt, r.test, r.defective) \
                    <> (excluded.valid, excluded.duplicate, excluded.givt, excluded.sivt, excluded.test, \
                        excluded.defective)"
            ),
        ]
    };
}

const HOURS: [&str; 2] = statements!("hour_counts", "click_minutes", "1 hour");
const DAYS: [&str; 2] = statements!("day_counts", "hour_counts", "24 hours");

/// Advertisers and the beginnings of their buckets.
#[derive(Debug, Default)]
struct Buckets {
    advertisers: Vec<String>,
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
    let rows: Vec<(String, OffsetDateTime, OffsetDateTime, bool)> = sqlx::query_as(
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
    hours.run(&mut transaction, &HOURS, Duration::HOUR).await?;
    days.run(&mut transaction, &DAYS, Duration::DAY).await?;
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
        statements: &[&'static str],
        width: Duration,
    ) -> Result<(), sqlx::Error> {
        let (Some(&first), Some(&last)) = (self.times.iter().min(), self.times.iter().max()) else {
            return Ok(());
        };
        for sql in statements {
            sqlx::query(*sql)
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
