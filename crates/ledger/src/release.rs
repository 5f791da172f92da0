//! The release of a click that a rule has convicted wrongly.
//!
//! A release is an adjustment like those that the rules make: it moves the click in its bucket, is recorded for
//! ever, and no rule convicts the click again. It is about one row of the ledger, under the lock under which
//! batches change verdicts and buckets.

use clickwire_protocol::{finality, ids::AdvertiserId, stream::Names, times::Minute};
use sqlx::{PgConnection, Postgres, postgres::PgArguments};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{schema::COMPRESSION_DAYS, watermark};

/// The age, in days, from which a click can't be released any more: younger ones lie in chunks that are not
/// compressed yet.
pub const RELEASED_FOR_DAYS: u32 = 8;

const _: () = assert!(RELEASED_FOR_DAYS < COMPRESSION_DAYS);

/// What identifies one row of the ledger. An id is a name within an advertiser, and may have come back after days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickKey {
    /// The click's id.
    pub click_id: Uuid,
    /// The time that it is counted under.
    pub clicked_at: OffsetDateTime,
    /// Its advertiser.
    pub advertiser_id: AdvertiserId,
}

/// What came of an attempt to release a click.
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
    // The line before the lock is left by the connection's own `lock_timeout`.
    let lock = names.deployment_lock();
    let taken = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(lock.deployment).bind(lock.work);
    taken.execute(&mut *connection).await?;
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
    let watermark = watermark::of_deployment(&mut *connection, partitions).await?;
    let is_correction = watermark
        .is_some_and(|watermark| finality::is_final(click.minute(), finality::final_before(watermark)));
    let record = click.bind(RECORD).bind(actor).bind(reason);
    for change in [record, click.bind(MOVE), click.bind(RELEASE)] {
        change.execute(&mut *connection).await?;
    }
    Ok(Outcome::Released { is_correction })
}

type Statement<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

impl ClickKey {
    /// A statement about this row: `$1` is its id, `$2` its time, `$3` its advertiser.
    fn bind<'q>(&'q self, sql: &'static str) -> Statement<'q> {
        sqlx::query(sql).bind(self.click_id).bind(self.clicked_at).bind(&self.advertiser_id)
    }

    /// Its minute.
    fn minute(&self) -> Minute {
        Minute(self.clicked_at.unix_timestamp().div_euclid(60))
    }
}

// The statements of a release, in this order; each is about one row: see `ClickKey::bind`.

/// `$4` is the person, `$5` the reason.
const RECORD: &str = "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
     SELECT click_id, clicked_at, advertiser_id, disposition, 'valid', $4, $5 FROM clicks \
      WHERE click_id = $1 AND clicked_at = $2 AND advertiser_id = $3";
const MOVE: &str = "UPDATE click_minutes m SET valid = m.valid + 1, version = m.version + 1, \
       duplicate = m.duplicate - (c.disposition = 'duplicate')::int, \
       givt = m.givt - (c.disposition = 'givt')::int, sivt = m.sivt - (c.disposition = 'sivt')::int \
       FROM clicks c WHERE c.click_id = $1 AND c.clicked_at = $2 AND c.advertiser_id = $3 \
        AND m.advertiser_id = c.advertiser_id AND m.bucket = date_trunc('minute', c.clicked_at) \
        AND m.campaign_id = c.campaign_id AND m.ad_id = c.ad_id AND m.country = c.country \
        AND m.device_type = c.device_type";
const RELEASE: &str = "UPDATE clicks SET disposition = 'valid', rule = NULL, rule_version = NULL, released = true \
      WHERE click_id = $1 AND clicked_at = $2 AND advertiser_id = $3";
