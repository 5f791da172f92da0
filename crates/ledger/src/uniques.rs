//! The sketches of unique users by campaign: of minutes in the batch's transaction, of hours and days folded
//! from them by housekeeping; of days those of all campaigns together, too.
//!
//! Everybody counts whose click was received, unless it is a test or defective; that a rule convicts
//! the click, then or later, removes nobody. A click without a user adds nobody, but the sketch is
//! there: where there is none, nobody knows.
//!
//! A sketch is read, merged and written back, which is safe because everybody who does so holds the
//! deployment's lock. Merging twice is merging once, so folding may be repeated, too.

use std::collections::{BTreeMap, HashMap};

use clickwire_protocol::{MINUTE_MS, stream::Names, times::UnixMs};
use clickwire_uniques::{MINUTES_KEPT, Sketch, Union, Unreadable};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{ROWS, at, commit::Entry, locks::lock, retention::interval_days};

/// Sketches folded in one transaction. Nothing is counted meanwhile, and what they are folded into takes a third
/// of a millisecond each.
const FOLDED_AT_ONCE: usize = 200;

/// Transactions that fold hours, in one round. There are more hours only after an upgrade, when all of them are to
/// be folded; questions read those that are not.
const FOLDS_OF_HOURS: usize = 50;

const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The campaign of a sketch of all campaigns.
const ALL_CAMPAIGNS: &str = "";

/// Names a sketch: advertiser, campaign and the start of the bucket in Unix milliseconds.
type Key<'a> = (&'a str, &'a str, i64);

/// The statements for sketches of one width.
struct Table {
    read: &'static str,
    write: &'static str,
}

// The bounds of time let the planner leave out chunks, which the keys don't.
const MINUTES: Table = Table {
    read: "SELECT n, sketch FROM unnest($1::text[], $2::text[], $3::timestamptz[]) \
             WITH ORDINALITY AS k (advertiser_id, campaign_id, bucket, n) \
             JOIN unique_minutes USING (advertiser_id, campaign_id, bucket) WHERE bucket BETWEEN $4 AND $5",
    write: "INSERT INTO unique_minutes (advertiser_id, campaign_id, bucket, sketch) \
            SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[]) \
            ON CONFLICT (advertiser_id, bucket, campaign_id) DO UPDATE SET sketch = excluded.sketch, folded = false",
};
const HOURS: Table = Table {
    read: "SELECT n, sketch FROM unnest($1::text[], $2::text[], $3::timestamptz[]) \
             WITH ORDINALITY AS k (advertiser_id, campaign_id, bucket, n) \
             JOIN unique_hours USING (advertiser_id, campaign_id, bucket) WHERE bucket BETWEEN $4 AND $5",
    write: "INSERT INTO unique_hours (advertiser_id, campaign_id, bucket, sketch) \
            SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[]) \
            ON CONFLICT (advertiser_id, bucket, campaign_id) DO UPDATE SET sketch = excluded.sketch, folded = false",
};
const DAYS: Table = Table {
    read: "SELECT n, sketch FROM unnest($1::text[], $2::text[], $3::timestamptz[]) \
             WITH ORDINALITY AS k (advertiser_id, campaign_id, bucket, n) \
             JOIN unique_days USING (advertiser_id, campaign_id, bucket) WHERE bucket BETWEEN $4 AND $5",
    write: "INSERT INTO unique_days (advertiser_id, campaign_id, bucket, sketch) \
            SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[]) \
            ON CONFLICT (advertiser_id, bucket, campaign_id) DO UPDATE SET sketch = excluded.sketch",
};

/// A fold: the sketches that are folded, and the table that they are folded into.
struct Fold {
    /// Selects the keys of what is to be folded, `$1` at most.
    changed: &'static str,
    /// Notes these as folded: `$1` to `$3` their keys, `$4` and `$5` the first and last bucket, which leave out
    /// chunks; returns their sketches.
    fold: &'static str,
    into: &'static Table,
    width_ms: i64,
    /// A sketch of all campaigns is made, too.
    with_all: bool,
}

const MINUTES_INTO_HOURS: Fold = Fold {
    changed: "SELECT advertiser_id, campaign_id, bucket FROM unique_minutes WHERE NOT folded \
               ORDER BY advertiser_id, campaign_id, bucket LIMIT $1",
    fold: "UPDATE unique_minutes AS m SET folded = true \
             FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (advertiser_id, campaign_id, bucket) \
            WHERE m.advertiser_id = k.advertiser_id AND m.campaign_id = k.campaign_id AND m.bucket = k.bucket \
              AND m.bucket BETWEEN $4 AND $5 \
           RETURNING m.advertiser_id, m.campaign_id, m.bucket, m.sketch",
    into: &HOURS,
    width_ms: HOUR_MS,
    with_all: false,
};
// Hours that are over, and their last minutes folded: an hour is written once a minute until then.
const HOURS_INTO_DAYS: Fold = Fold {
    changed: "SELECT advertiser_id, campaign_id, bucket FROM unique_hours \
               WHERE NOT folded AND bucket < now() - INTERVAL '70 minutes' \
               ORDER BY advertiser_id, campaign_id, bucket LIMIT $1",
    fold: "UPDATE unique_hours AS h SET folded = true \
             FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (advertiser_id, campaign_id, bucket) \
            WHERE h.advertiser_id = k.advertiser_id AND h.campaign_id = k.campaign_id AND h.bucket = k.bucket \
              AND h.bucket BETWEEN $4 AND $5 \
           RETURNING h.advertiser_id, h.campaign_id, h.bucket, h.sketch",
    into: &DAYS,
    width_ms: DAY_MS,
    with_all: true,
};

/// Adds the users of new clicks; what is too late for its minute goes into its hour.
pub(crate) async fn add(connection: &mut PgConnection, fresh: &[&Entry<'_>]) -> Result<(), sqlx::Error> {
    let kept_from_ms = unix_ms(OffsetDateTime::now_utc() - MINUTES_KEPT);
    let (mut minutes, mut hours) = (BTreeMap::new(), BTreeMap::new());
    for entry in fresh.iter().filter(|entry| entry.examined.outside.is_none()) {
        let (click, at_ms) = (entry.click(), entry.examined.counted_at_ms.0);
        let (users, width_ms) =
            if at_ms < kept_from_ms { (&mut hours, HOUR_MS) } else { (&mut minutes, MINUTE_MS) };
        let bucket_ms = at_ms - at_ms.rem_euclid(width_ms);
        let key: Key<'_> = (click.advertiser_id.as_str(), click.dimensions.campaign_id.as_str(), bucket_ms);
        let users: &mut Vec<&str> = users.entry(key).or_default();
        users.extend(click.user_id.as_deref());
    }
    let with_users = |stored: Option<&Vec<u8>>, users: &[&str]| {
        let mut sketch = stored.map_or_else(|| Ok(Sketch::default()), |bytes| Sketch::from_bytes(bytes))?;
        users.iter().for_each(|user_id| sketch.add(user_id));
        Ok(sketch)
    };
    merge(connection, &MINUTES, &minutes, with_users).await?;
    merge(connection, &HOURS, &hours, with_users).await
}

/// Folds minutes that changed into their hours, and hours into their days.
pub(crate) async fn fold(database: &PgPool, names: &Names) -> Result<(), sqlx::Error> {
    while fold_some(database, names, &MINUTES_INTO_HOURS).await? == FOLDED_AT_ONCE {}
    for _ in 0..FOLDS_OF_HOURS {
        if fold_some(database, names, &HOURS_INTO_DAYS).await? < FOLDED_AT_ONCE {
            break;
        }
    }
    Ok(())
}

async fn fold_some(database: &PgPool, names: &Names, fold: &Fold) -> Result<usize, sqlx::Error> {
    let mut transaction = database.begin().await?;
    lock(&mut transaction, names.deployment_lock()).await?;
    let keys: Vec<(String, String, OffsetDateTime)> =
        sqlx::query_as(fold.changed).bind(FOLDED_AT_ONCE as i64).fetch_all(&mut *transaction).await?;
    let buckets = || keys.iter().map(|(_, _, bucket)| *bucket);
    let (Some(first), Some(last)) = (buckets().min(), buckets().max()) else { return Ok(0) };
    let rows = bind_keys(sqlx::query(fold.fold), keys.iter().map(|(a, c, at)| (&**a, &**c, unix_ms(*at))))
        .bind(first)
        .bind(last)
        .fetch_all(&mut *transaction)
        .await?;
    let mut wider: BTreeMap<Key<'_>, Vec<&[u8]>> = BTreeMap::new();
    for (advertiser_id, campaign_id, at_ms, sketch) in
        rows.iter().map(sketch_of).collect::<Result<Vec<_>, _>>()?
    {
        let bucket_ms = at_ms - at_ms.rem_euclid(fold.width_ms);
        if fold.with_all {
            wider.entry((advertiser_id, ALL_CAMPAIGNS, bucket_ms)).or_default().push(sketch);
        }
        wider.entry((advertiser_id, campaign_id, bucket_ms)).or_default().push(sketch);
    }
    let with_sketches = |stored: Option<&Vec<u8>>, sketches: &[&[u8]]| {
        let mut union = Union::default();
        stored
            .map(Vec::as_slice)
            .into_iter()
            .chain(sketches.iter().copied())
            .try_for_each(|it| union.add(it))?;
        Ok(union.into_sketch())
    };
    merge(&mut transaction, fold.into, &wider, with_sketches).await?;
    transaction.commit().await?;
    Ok(keys.len())
}

/// Deletes days that are older than `days`.
pub(crate) async fn delete_days(connection: &mut PgConnection, days: u32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM unique_days WHERE bucket < date_trunc('day', now() - make_interval(days => $1), 'UTC')",
    )
    .bind(interval_days(days))
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to what is stored, by `with`, and writes what that changed or what was not there.
async fn merge<A>(
    connection: &mut PgConnection,
    table: &Table,
    additions: &BTreeMap<Key<'_>, Vec<A>>,
    with: impl Fn(Option<&Vec<u8>>, &[A]) -> Result<Sketch, Unreadable>,
) -> Result<(), sqlx::Error> {
    let buckets = || additions.keys().map(|(_, _, bucket_ms)| *bucket_ms);
    let (Some(first), Some(last)) = (buckets().min(), buckets().max()) else { return Ok(()) };
    let stored: HashMap<i64, Vec<u8>> = bind_keys(sqlx::query(table.read), additions.keys().copied())
        .bind(at(UnixMs(first)))
        .bind(at(UnixMs(last)))
        .try_map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?)))
        .fetch_all(&mut *connection)
        .await?
        .into_iter()
        .collect();
    let mut changed = Vec::with_capacity(additions.len());
    for (number, (key, additions)) in (1..).zip(additions) {
        let before = stored.get(&number);
        let after = with(before, additions).map_err(unreadable)?.to_bytes();
        // The same users, nearly always; the list of a small set may only be in another order.
        if before != Some(&after) {
            changed.push((*key, after));
        }
    }
    for rows in changed.chunks(ROWS) {
        bind_keys(sqlx::query(table.write), rows.iter().map(|(key, _)| *key))
            .bind(rows.iter().map(|(_, sketch)| sketch.as_slice()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_keys<'q, 'k>(query: Query<'q>, keys: impl Iterator<Item = Key<'k>>) -> Query<'q> {
    let (mut advertisers, mut campaigns, mut buckets) = (Vec::new(), Vec::new(), Vec::new());
    for (advertiser_id, campaign_id, bucket_ms) in keys {
        advertisers.push(advertiser_id.to_owned());
        campaigns.push(campaign_id.to_owned());
        buckets.push(at(UnixMs(bucket_ms)));
    }
    query.bind(advertisers).bind(campaigns).bind(buckets)
}

/// A sketch that is to be folded.
fn sketch_of(row: &PgRow) -> Result<(&str, &str, i64, &[u8]), sqlx::Error> {
    let at_ms = unix_ms(row.try_get::<OffsetDateTime, _>("bucket")?);
    Ok((row.try_get("advertiser_id")?, row.try_get("campaign_id")?, at_ms, row.try_get("sketch")?))
}

fn unreadable(error: Unreadable) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: "sketch".into(), source: Box::new(error) }
}

fn unix_ms(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1_000_000) as i64
}
