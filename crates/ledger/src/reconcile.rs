//! Counting again: what the ledger adds up to, against what stands in the minute buckets.
//!
//! Both are read by one statement, that is, in one state of the database: no lock is needed for it to
//! be true while clicks come in. Only mending takes the lock under which batches change buckets: ask it for
//! short ranges.

use std::collections::BTreeMap;

use clickwire_protocol::{
    counts::{Counts, Disposition, MinuteCell},
    ids::AdvertiserId,
    stream::Names,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use time::OffsetDateTime;

use crate::{
    counts::each,
    locks::lock,
    minutes::{self, CellKey, unix_ms},
    retention::interval_days,
};

/// Differences that one comparison returns, at most; it counts all of them.
pub const LIMIT: usize = 10_000;

/// A bucket that is not what the ledger adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The bucket.
    pub key: CellKey,
    /// The counts in the bucket; `None` if there is no such bucket.
    pub stands: Option<Counts>,
    /// The counts by the ledger; zeroes if it has no such clicks.
    pub ledger: Counts,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Differences {
    /// The number of all differences.
    pub total: usize,
    /// The first [`LIMIT`] differences.
    pub first: Vec<Difference>,
}

/// Compares the minutes of `[from, to)`. A bucket of zeroes equals none.
///
/// # Errors
/// What the database says.
pub async fn compare(
    connection: &mut PgConnection,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Differences, sqlx::Error> {
    let of = |table: &str| each(|column| format!("{table}.{column}"));
    let or_zero = |table: &str| each(|column| format!("coalesce({table}.{column}, 0)"));
    let sql = format!(
        "WITH recount AS (SELECT time_bucket(INTERVAL '1 minute', clicked_at) AS bucket, \
             advertiser_id, campaign_id, ad_id, country, device_type, {counted} \
           FROM clicks WHERE clicked_at >= $1 AND clicked_at < $2 GROUP BY 1, 2, 3, 4, 5, 6), \
         stands AS (SELECT * FROM click_minutes WHERE bucket >= $1 AND bucket < $2) \
         SELECT bucket, advertiser_id, campaign_id, ad_id, country, device_type, s.version IS NOT NULL AS is_there, \
                ARRAY[{s}] AS stands, ARRAY[{r}] AS ledger, count(*) OVER () AS total \
           FROM stands s FULL JOIN recount r USING (bucket, advertiser_id, campaign_id, ad_id, country, device_type) \
          WHERE ({s_or_zero}) <> ({r_or_zero}) \
          ORDER BY bucket, advertiser_id, campaign_id, ad_id, country, device_type LIMIT $3",
        counted = each(|column| format!("count(*) FILTER (WHERE disposition = '{column}') AS {column}")),
        s = of("s"),
        r = of("r"),
        s_or_zero = or_zero("s"),
        r_or_zero = or_zero("r"),
    );
    let rows =
        sqlx::query(AssertSqlSafe(sql)).bind(from).bind(to).bind(LIMIT as i64).fetch_all(connection).await?;
    let mut differences = Differences::default();
    for row in &rows {
        differences.total = row.try_get::<i64, _>("total")? as usize;
        let stands = counts(&row.try_get::<Vec<Option<i64>>, _>("stands")?);
        differences.first.push(Difference {
            key: minutes::cell_key(row, unix_ms(row, "bucket")?)?,
            stands: row.try_get::<bool, _>("is_there")?.then_some(stands),
            ledger: counts(&row.try_get::<Vec<Option<i64>>, _>("ledger")?),
        });
    }
    Ok(differences)
}

/// Makes the first differences of `[from, to)` what the ledger says, in one transaction and under the
/// lock under which batches change buckets. Returns the buckets as they are then, to be published.
///
/// # Errors
/// What the database says; nothing is mended then.
pub async fn mend(
    connection: &mut PgConnection,
    names: &Names,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<(AdvertiserId, MinuteCell)>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction, names.deployment_lock()).await?;
    // What was found before the lock may have changed; and a batch that waits for the lock adds to
    // what we write.
    let found = compare(&mut transaction, from, to).await?;
    let keys: Vec<CellKey> = found.first.iter().map(|found| found.key.clone()).collect();
    minutes::raise(&mut transaction, &keys).await?;
    let changes: BTreeMap<CellKey, Counts> = found
        .first
        .into_iter()
        .map(|found| (found.key, found.ledger - found.stands.unwrap_or_default()))
        .collect();
    let cells = minutes::add(&mut transaction, &changes).await?;
    transaction.commit().await?;
    Ok(cells)
}

/// The start of what can be recounted: retention has left ledger and minutes whole from there on, and
/// takes nothing of it for a day. `retention_days` is how long both are kept.
///
/// # Errors
/// What the database says.
pub async fn kept_from(
    connection: &mut PgConnection,
    retention_days: u32,
) -> Result<OffsetDateTime, sqlx::Error> {
    // What is configured now is not all: a shorter retention may have been in force.
    sqlx::query_scalar(
        "SELECT greatest(date_trunc('minute', now() - make_interval(days => $1)), \
           (SELECT max(oldest) FROM (SELECT min(range_start) AS oldest FROM timescaledb_information.chunks \
             WHERE hypertable_name IN ('clicks', 'click_minutes') GROUP BY hypertable_name) AS tables))",
    )
    .bind(interval_days(retention_days.saturating_sub(1)))
    .fetch_one(connection)
    .await
}

/// The result of a comparison on schedule or on demand.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// `schedule` or `command`.
    pub started_by: &'a str,
    /// The start of the range.
    pub from: OffsetDateTime,
    /// The end of the range; not in it.
    pub to: OffsetDateTime,
    /// Buckets that were not what they should be.
    pub differences: usize,
    /// Mended buckets among these.
    pub repaired: usize,
}

impl Record<'_> {
    /// Writes it down, with the time.
    ///
    /// # Errors
    /// What the database says.
    pub async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO reconciliations (started_by, range_start, range_end, differences, repaired) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.started_by)
        .bind(self.from)
        .bind(self.to)
        .bind(self.differences as i64)
        .bind(self.repaired as i64)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Counts in the order of the columns, as [`compare`] selects them.
fn counts(columns: &[Option<i64>]) -> Counts {
    let mut counts = Counts::default();
    for (disposition, count) in Disposition::ALL.into_iter().zip(columns) {
        *counts.get_mut(disposition) = count.unwrap_or(0);
    }
    counts
}
