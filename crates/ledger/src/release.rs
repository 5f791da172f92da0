//! The release of clicks that a rule has convicted wrongly.
//!
//! A release is an adjustment like those that the rules make: it moves the click in its bucket, is recorded for
//! ever, and no rule convicts the click again. It is about rows of the ledger that are named one by one, under the
//! lock under which batches change verdicts and buckets.

use clickwire_protocol::{finality, ids::AdvertiserId, stream::Names, times::Minute};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, postgres::PgArguments, query::Query};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{schema::COMPRESSION_DAYS, watermark};

/// The age, in days, from which a click can't be released any more: younger ones lie in chunks that are not
/// compressed yet.
pub const RELEASED_FOR_DAYS: u32 = 8;

const _: () = assert!(RELEASED_FOR_DAYS < COMPRESSION_DAYS);

/// The key of one row of the ledger. An id is a name within an advertiser, and may have come back after days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickKey {
    /// The click's id.
    pub click_id: Uuid,
    /// The time that it is counted under.
    pub clicked_at: OffsetDateTime,
    /// Its advertiser.
    pub advertiser_id: AdvertiserId,
}

/// The outcome of an attempt to release a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The click is valid now.
    Released {
        /// Its minute was final.
        is_correction: bool,
    },
    /// The click was released before; nothing has changed.
    ReleasedBefore,
    /// No rule has convicted the click; nothing has changed.
    NotConvicted,
    /// The click is older than [`RELEASED_FOR_DAYS`]; nothing has changed.
    Settled,
    /// The ledger has no such click.
    Missing,
}

/// Makes a click valid; `connection` must be in a transaction, which holds the deployment's lock from here on.
/// `actor` and `reason` stand in the record.
///
/// # Errors
/// What the database says. The transaction must be rolled back then.
pub async fn release(
    connection: &mut PgConnection,
    names: &Names,
    partitions: u16,
    click: &ClickKey,
    (actor, reason): (&str, &str),
) -> Result<Outcome, sqlx::Error> {
    take_lock(connection, names).await?;
    let found: Option<(bool, bool, bool)> = sqlx::query_as(
        "SELECT disposition IN ('duplicate', 'givt', 'sivt'), coalesce(released, false), \
                clicked_at < now() - make_interval(days => $4) \
           FROM clicks WHERE click_id = $1 AND clicked_at = $2 AND advertiser_id = $3",
    )
    .bind(click.click_id)
    .bind(click.clicked_at)
    .bind(&click.advertiser_id)
    .bind(RELEASED_FOR_DAYS as i32)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((is_convicted, is_released, is_settled)) = found else { return Ok(Outcome::Missing) };
    match (is_convicted, is_released, is_settled) {
        (true, _, false) => {}
        (true, _, true) => return Ok(Outcome::Settled),
        (false, true, _) => return Ok(Outcome::ReleasedBefore),
        (false, false, _) => return Ok(Outcome::NotConvicted),
    }
    let released = change(connection, partitions, std::slice::from_ref(click), (actor, reason)).await?;
    Ok(Outcome::Released { is_correction: released.corrections > 0 })
}

/// The result of a release of several clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Clicks that are valid now, and were not before.
    pub clicks: u64,
    /// Clicks of these whose minutes were final.
    pub corrections: u64,
}

/// Makes those of `clicks` valid that a rule has convicted and that are not older than [`RELEASED_FOR_DAYS`]; the
/// others stay as they are. `connection` must be in a transaction, which holds the deployment's lock from here on, so
/// a few hundred clicks at once are enough. `actor` and `reason` stand in the record of each.
///
/// # Errors
/// What the database says. The transaction must be rolled back then.
pub async fn release_all(
    connection: &mut PgConnection,
    names: &Names,
    partitions: u16,
    clicks: &[ClickKey],
    by: (&str, &str),
) -> Result<Released, sqlx::Error> {
    take_lock(connection, names).await?;
    change(connection, partitions, clicks, by).await
}

async fn take_lock(connection: &mut PgConnection, names: &Names) -> Result<(), sqlx::Error> {
    // The line before the lock is left by the connection's own `lock_timeout`.
    let lock = names.deployment_lock();
    let taken = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(lock.deployment).bind(lock.work);
    taken.execute(connection).await.map(drop)
}

/// Records, moves in their minutes, and marks, in this order; under the lock.
async fn change(
    connection: &mut PgConnection,
    partitions: u16,
    clicks: &[ClickKey],
    (actor, reason): (&str, &str),
) -> Result<Released, sqlx::Error> {
    let Some(keys) = Keys::of(clicks) else { return Ok(Released::default()) };
    let watermark = watermark::of_deployment(&mut *connection, partitions).await?;
    let final_before = watermark.map(finality::final_before);
    let record = format!(
        "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
         SELECT click_id, clicked_at, advertiser_id, c.disposition, 'valid', $7, $8 {CHOSEN}"
    );
    keys.bind(&record).bind(actor).bind(reason).execute(&mut *connection).await?;
    let moved = format!(
        "UPDATE click_minutes AS m SET valid = m.valid + s.clicks, version = m.version + 1, \
                duplicate = m.duplicate - s.duplicate, givt = m.givt - s.givt, sivt = m.sivt - s.sivt \
           FROM (SELECT advertiser_id, date_trunc('minute', clicked_at) AS bucket, campaign_id, ad_id, country, \
                        device_type, count(*) AS clicks, count(*) FILTER (WHERE c.disposition = 'duplicate') AS duplicate, \
                        count(*) FILTER (WHERE c.disposition = 'givt') AS givt, \
                        count(*) FILTER (WHERE c.disposition = 'sivt') AS sivt \
                 {CHOSEN} GROUP BY 1, 2, 3, 4, 5, 6) AS s \
          WHERE m.advertiser_id = s.advertiser_id AND m.bucket = s.bucket AND m.campaign_id = s.campaign_id \
            AND m.ad_id = s.ad_id AND m.country = s.country AND m.device_type = s.device_type \
            AND m.bucket >= date_trunc('minute', $4::timestamptz) AND m.bucket <= $5"
    );
    keys.bind(&moved).execute(&mut *connection).await?;
    let marked = format!(
        "UPDATE clicks AS r SET disposition = 'valid', rule = NULL, rule_version = NULL, released = true \
           FROM (SELECT click_id, clicked_at, advertiser_id {CHOSEN}) AS s \
          WHERE r.click_id = s.click_id AND r.clicked_at = s.clicked_at AND r.advertiser_id = s.advertiser_id \
            AND r.clicked_at BETWEEN $4 AND $5 \
         RETURNING r.clicked_at"
    );
    let changed = keys.bind(&marked).fetch_all(connection).await?;
    let mut released = Released::default();
    for row in changed {
        let clicked_at: OffsetDateTime = row.try_get(0)?;
        let minute = Minute(clicked_at.unix_timestamp().div_euclid(60));
        released.clicks += 1;
        released.corrections +=
            u64::from(final_before.is_some_and(|final_before| finality::is_final(minute, final_before)));
    }
    Ok(released)
}

/// The clicks bound by [`Keys`] that can be released.
const CHOSEN: &str = "FROM clicks AS c \
    JOIN unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS k (click_id, clicked_at, advertiser_id) \
   USING (click_id, clicked_at, advertiser_id) \
   WHERE c.clicked_at BETWEEN $4 AND $5 AND c.clicked_at >= now() - make_interval(days => $6) \
     AND c.disposition IN ('duplicate', 'givt', 'sivt')";

/// Clicks as statements name them: `$1` are the ids, `$2` the times, `$3` the advertisers, `$4` the first time and
/// `$5` the last, which leave out chunks, `$6` the days after which a click is not released any more.
struct Keys {
    ids: Vec<Uuid>,
    times: Vec<OffsetDateTime>,
    advertisers: Vec<String>,
    first: OffsetDateTime,
    last: OffsetDateTime,
}

impl Keys {
    /// `None`: there are none.
    fn of(clicks: &[ClickKey]) -> Option<Self> {
        let times: Vec<_> = clicks.iter().map(|click| click.clicked_at).collect();
        Some(Self {
            first: times.iter().min().copied()?,
            last: times.iter().max().copied()?,
            times,
            ids: clicks.iter().map(|click| click.click_id).collect(),
            advertisers: clicks.iter().map(|click| click.advertiser_id.to_string()).collect(),
        })
    }

    fn bind<'q>(&'q self, sql: &str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(sql))
            .bind(&self.ids)
            .bind(&self.times)
            .bind(&self.advertisers)
            .bind(self.first)
            .bind(self.last)
            .bind(RELEASED_FOR_DAYS as i32)
    }
}
