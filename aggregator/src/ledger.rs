//! The transaction that counts: ledger and buckets together, or not at all.
//!
//! For each batch, in one transaction:
//! 1. a lock on the partition, so that commits for it are serialised whoever makes them;
//! 2. which ids does the ledger know already, under whatever time;
//! 3. insert the others;
//! 4. add exactly what was inserted to the minute buckets.
//!
//! Keys are sorted wherever rows are written, because two writers on the same keys in different
//! order deadlock.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use clickwire_protocol::{
    MINUTE_MS,
    click::Click,
    counts::{Counts, DeviceType, Dimensions, MinuteCell},
    stream::partition_of,
};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    config::Config,
    judge::{Judge, Rule, Verdict},
    message::Received,
};

/// Rows in one statement: measured best, 100 and 5,000 are slower.
const ROWS: usize = 1_000;

/// A transaction that takes longer is given up and tried again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes one partition's batches.
pub(crate) struct Ledger {
    database: PgPool,
    judge: Judge,
    horizon: Duration,
    lock: (i32, i32),
}

/// What a commit did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Clicks that were new.
    pub(crate) counted: usize,
    /// Clicks that the ledger knew.
    pub(crate) known: usize,
    /// The buckets that the batch touched, as they are now, by advertiser.
    pub(crate) cells: BTreeMap<String, Vec<MinuteCell>>,
}

/// Names one bucket.
type CellKey = (String, i64, Dimensions);

/// A click and what it is counted as.
struct Judged<'a> {
    received: &'a Received,
    verdict: Verdict,
}

impl Judged<'_> {
    fn click(&self) -> &Click {
        &self.received.click
    }

    fn key(&self) -> CellKey {
        let minute = self.verdict.counted_at_ms.div_euclid(MINUTE_MS);
        (self.click().advertiser_id.clone(), minute, self.click().dimensions.clone())
    }
}

impl Ledger {
    pub(crate) fn new(database: PgPool, config: &Config, partition: u16) -> Self {
        // The stream's name keeps installations apart that share a database server.
        let stream = i32::from(partition_of(&config.stream, u16::MAX));
        Self {
            database,
            judge: Judge::new(config.horizon()),
            horizon: config.horizon(),
            lock: (stream, i32::from(partition)),
        }
    }

    /// Counts a batch. After an error nothing of it is counted; a commit whose answer was lost may
    /// have happened, which the next attempt finds out from the ledger.
    pub(crate) async fn commit(&mut self, batch: &[Received]) -> Result<Committed, sqlx::Error> {
        tokio::time::timeout(COMMIT_TIMEOUT, self.transaction(batch))
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut))
    }

    async fn transaction(&mut self, batch: &[Received]) -> Result<Committed, sqlx::Error> {
        let mut distinct: BTreeMap<Uuid, Judged<'_>> = BTreeMap::new();
        for received in batch {
            let verdict = self.judge.verdict(&received.click);
            distinct.entry(received.click.click_id).or_insert(Judged { received, verdict });
        }

        let mut transaction = self.database.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
            .bind(self.lock.0)
            .bind(self.lock.1)
            .execute(&mut *transaction)
            .await?;

        let known = self.known(&mut transaction, &distinct).await?;
        let fresh: Vec<&Judged<'_>> =
            distinct.iter().filter(|(id, _)| !known.contains(*id)).map(|(_, judged)| judged).collect();
        let mut increments: BTreeMap<CellKey, Counts> = BTreeMap::new();
        let mut counted = 0;
        for rows in fresh.chunks(ROWS) {
            let inserted = insert_clicks(&mut transaction, rows).await?;
            counted += inserted.len();
            for judged in rows.iter().filter(|judged| inserted.contains(&judged.click().click_id)) {
                increments.entry(judged.key()).or_default().record(judged.verdict.disposition);
            }
        }

        let mut cells = add_to_minutes(&mut transaction, &increments).await?;
        // What was known may not have been published: the crash that redelivered it may have come
        // between commit and publish.
        let untouched: HashSet<CellKey> = distinct
            .values()
            .filter(|judged| known.contains(&judged.click().click_id))
            .map(Judged::key)
            .filter(|key| !increments.contains_key(key))
            .collect();
        cells.extend(read_minutes(&mut transaction, &untouched.into_iter().collect::<Vec<_>>()).await?);
        transaction.commit().await?;

        let mut committed = Committed { counted, known: batch.len() - counted, cells: BTreeMap::new() };
        for (advertiser_id, cell) in cells {
            committed.cells.entry(advertiser_id).or_default().push(cell);
        }
        Ok(committed)
    }

    /// Which of the ids the ledger holds, under whatever time they were counted.
    ///
    /// A click can stand between one horizon before its receive time and just after it; a resend
    /// can come up to one horizon later. So a click's earlier arrival lies within two horizons, or,
    /// as long as the ledger keeps it, at the very time that a late resend claims.
    async fn known(
        &self,
        connection: &mut PgConnection,
        clicks: &BTreeMap<Uuid, Judged<'_>>,
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        let times = || clicks.values().map(|judged| judged.verdict.counted_at_ms);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Ok(HashSet::new());
        };
        let horizon = time::Duration::try_from(self.horizon).unwrap_or(time::Duration::DAY);
        let ids: Vec<Uuid> = clicks.keys().copied().collect();
        // LATERAL with LIMIT keeps the planner at one index probe an id and chunk.
        let known: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM unnest($1::uuid[]) AS id \
             CROSS JOIN LATERAL (SELECT 1 FROM clicks \
              WHERE click_id = id AND clicked_at >= $2 AND clicked_at <= $3 LIMIT 1) AS known",
        )
        .bind(&ids)
        .bind(at(first) - horizon * 2)
        .bind(at(last) + horizon * 2)
        .fetch_all(&mut *connection)
        .await?;
        let mut known: HashSet<Uuid> = known.into_iter().collect();
        // What comes too late may be a resend of what was counted in time, under the time it claims.
        let late: Vec<&Judged<'_>> =
            clicks.values().filter(|judged| judged.verdict.rule == Some(Rule::TooLate)).collect();
        if !late.is_empty() {
            let counted: Vec<Uuid> = sqlx::query_scalar(
                "SELECT click_id FROM unnest($1::uuid[], $2::timestamptz[]) AS late (click_id, clicked_at) \
                 JOIN clicks USING (click_id, clicked_at)",
            )
            .bind(late.iter().map(|judged| judged.click().click_id).collect::<Vec<_>>())
            .bind(late.iter().map(|judged| at(judged.click().clicked_at_ms)).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
            known.extend(counted);
        }
        Ok(known)
    }
}

async fn insert_clicks(
    connection: &mut PgConnection,
    rows: &[&Judged<'_>],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    fn column<'a, T>(rows: &'a [&'a Judged<'a>], value: impl Fn(&'a Judged<'a>) -> T) -> Vec<T> {
        rows.iter().map(|judged| value(judged)).collect()
    }
    let inserted: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
           device_type, user_id, ip_hash, disposition, rule, rule_version, stream_seq) \
         SELECT id, clicked, received, advertiser, campaign, ad, country, device, \
                usr, decode(ip, 'hex'), judged::disposition, rule, version, seq \
           FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], \
                       $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::int[], $14::bigint[]) \
             AS t (id, clicked, received, advertiser, campaign, ad, country, device, usr, ip, judged, rule, version, seq) \
         ON CONFLICT DO NOTHING RETURNING click_id",
    )
    .bind(column(rows, |judged| judged.click().click_id))
    .bind(column(rows, |judged| at(judged.verdict.counted_at_ms)))
    .bind(column(rows, |judged| at(judged.click().received_at_ms)))
    .bind(column(rows, |judged| judged.click().advertiser_id.as_str()))
    .bind(column(rows, |judged| judged.click().dimensions.campaign_id.as_str()))
    .bind(column(rows, |judged| judged.click().dimensions.ad_id.as_str()))
    .bind(column(rows, |judged| judged.click().dimensions.country.as_str()))
    .bind(column(rows, |judged| judged.click().dimensions.device_type.as_str()))
    .bind(column(rows, |judged| judged.click().user_id.as_deref()))
    .bind(column(rows, |judged| judged.click().ip_hash.as_deref()))
    .bind(column(rows, |judged| judged.verdict.disposition.as_str()))
    .bind(column(rows, |judged| judged.verdict.rule.map(Rule::name)))
    .bind(column(rows, |judged| judged.verdict.rule.map(Rule::version)))
    .bind(column(rows, |judged| judged.received.stream_seq as i64))
    .fetch_all(connection)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Adds to the buckets, in the order of their keys, and returns them as they are then.
async fn add_to_minutes(
    connection: &mut PgConnection,
    increments: &BTreeMap<CellKey, Counts>,
) -> Result<Vec<(String, MinuteCell)>, sqlx::Error> {
    let increments: Vec<(&CellKey, &Counts)> = increments.iter().collect();
    let mut cells = Vec::with_capacity(increments.len());
    for rows in increments.chunks(ROWS) {
        let counts =
            |value: fn(&Counts) -> i64| rows.iter().map(|(_, counts)| value(counts)).collect::<Vec<_>>();
        let keys: Vec<&CellKey> = rows.iter().map(|(key, _)| *key).collect();
        let returned = bind_keys(
            sqlx::query(
                "INSERT INTO click_minutes AS m (advertiser_id, bucket, campaign_id, ad_id, country, device_type, \
                   valid, duplicate, givt, sivt, test, defective) \
                 SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], \
                   $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) \
                 ON CONFLICT (advertiser_id, bucket, campaign_id, ad_id, country, device_type) DO UPDATE SET \
                   valid = m.valid + excluded.valid, duplicate = m.duplicate + excluded.duplicate, \
                   givt = m.givt + excluded.givt, sivt = m.sivt + excluded.sivt, test = m.test + excluded.test, \
                   defective = m.defective + excluded.defective, version = m.version + 1 \
                 RETURNING m.*",
            ),
            &keys,
        )
        .bind(counts(|counts| counts.valid))
        .bind(counts(|counts| counts.duplicate))
        .bind(counts(|counts| counts.givt))
        .bind(counts(|counts| counts.sivt))
        .bind(counts(|counts| counts.test))
        .bind(counts(|counts| counts.defective))
        .fetch_all(&mut *connection)
        .await?;
        for row in returned {
            cells.push(cell(&row)?);
        }
    }
    Ok(cells)
}

async fn read_minutes(
    connection: &mut PgConnection,
    keys: &[CellKey],
) -> Result<Vec<(String, MinuteCell)>, sqlx::Error> {
    let mut cells = Vec::with_capacity(keys.len());
    for keys in keys.chunks(ROWS) {
        let keys: Vec<&CellKey> = keys.iter().collect();
        let query = sqlx::query(
            "SELECT m.* FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[]) \
               AS k (advertiser_id, bucket, campaign_id, ad_id, country, device_type) \
             JOIN click_minutes m USING (advertiser_id, bucket, campaign_id, ad_id, country, device_type)",
        );
        for row in bind_keys(query, &keys).fetch_all(&mut *connection).await? {
            cells.push(cell(&row)?);
        }
    }
    Ok(cells)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_keys<'q>(query: Query<'q>, keys: &[&CellKey]) -> Query<'q> {
    fn column<T>(keys: &[&CellKey], value: impl Fn(&CellKey) -> T) -> Vec<T> {
        keys.iter().map(|key| value(key)).collect()
    }
    query
        .bind(column(keys, |(advertiser, _, _)| advertiser.clone()))
        .bind(column(keys, |(_, minute, _)| at(minute * MINUTE_MS)))
        .bind(column(keys, |(_, _, dimensions)| dimensions.campaign_id.clone()))
        .bind(column(keys, |(_, _, dimensions)| dimensions.ad_id.clone()))
        .bind(column(keys, |(_, _, dimensions)| dimensions.country.clone()))
        .bind(column(keys, |(_, _, dimensions)| dimensions.device_type.as_str()))
}

fn cell(row: &PgRow) -> Result<(String, MinuteCell), sqlx::Error> {
    let bucket: OffsetDateTime = row.try_get("bucket")?;
    let device_type: DeviceType = row.try_get::<&str, _>("device_type")?.parse().map_err(|error| {
        sqlx::Error::ColumnDecode { index: "device_type".into(), source: Box::new(error) }
    })?;
    let cell = MinuteCell {
        minute: bucket.unix_timestamp().div_euclid(60),
        dimensions: Dimensions {
            campaign_id: row.try_get("campaign_id")?,
            ad_id: row.try_get("ad_id")?,
            country: row.try_get("country")?,
            device_type,
        },
        version: row.try_get("version")?,
        counts: Counts {
            valid: row.try_get("valid")?,
            duplicate: row.try_get("duplicate")?,
            givt: row.try_get("givt")?,
            sivt: row.try_get("sivt")?,
            test: row.try_get("test")?,
            defective: row.try_get("defective")?,
        },
    };
    Ok((row.try_get("advertiser_id")?, cell))
}

/// Unix milliseconds as the database's time. What has none is at the epoch, where nothing is counted:
/// [`Judge`] counts nothing under such a time.
fn at(unix_ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
