//! The erasure of a user: rows keep what is counted and judged, and lose whom it was about.
//!
//! A user is a name within an advertiser, so all clicks of one are known, and a random name in its place leaves them
//! beside each other: the rules about users find what they found. So does a random address in place of each of the
//! user's addresses, as far as the user was alone there. What a rule has found beside other people's clicks stands in
//! the rows' evidence, which stays. Operating system, browser, parameters of the link and referrer go without a trace.
//!
//! Names and addresses are made with a secret of the erasure, so that one that was cut off goes on with the same; its
//! end forgets the secret. An erasure is many short transactions: nothing waits for it.

use clickwire_protocol::{ids::AdvertiserId, stream::Names};
use sqlx::{FromRow, PgConnection};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{ROWS, release::RELEASED_FOR_DAYS};

/// An order to erase a user.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The advertiser whose user it is.
    pub advertiser_id: &'a AdvertiserId,
    /// The user.
    pub user_id: &'a str,
    /// A code over both, which stays in the record.
    pub user_mac: &'a [u8],
    /// The person who orders it.
    pub actor: &'a str,
    /// The reason.
    pub reason: &'a str,
}

/// An erasure that has begun.
#[derive(Clone, Debug, FromRow)]
pub struct Erasure {
    /// Its name in the record.
    pub erasure_id: Uuid,
    secret_hash: Vec<u8>,
}

/// A part of the ledger that was looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Clicks that were changed in it.
    pub clicks: u64,
    /// The time from which on to look further.
    pub next: OffsetDateTime,
}

/// The result of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Totals {
    /// Clicks that have lost their user.
    pub clicks: i64,
    /// Incidents that named the user.
    pub incidents: i64,
    /// Recorded dead letters that had the user in them.
    pub dead_letters: i64,
}

impl Erasure {
    /// The name that stands for the user. Only this erasure makes it, and nobody after its end.
    pub fn stand_in(&self) -> String {
        // 128 of the secret's 256 bits; the others make addresses.
        let bytes: [u8; 16] =
            self.secret_hash.get(..16).and_then(|half| half.try_into().ok()).unwrap_or_default();
        format!("erased-{}", Uuid::from_bytes(bytes).simple())
    }
}

/// Writes the order down, or finds the same one that has not come to its end.
///
/// # Errors
/// What the database says.
pub async fn begin(connection: &mut PgConnection, order: &Order<'_>) -> Result<Erasure, sqlx::Error> {
    // The random bytes of two UUIDs of version 4 and more, hashed: 32 bytes that nobody can guess.
    sqlx::query(
        "INSERT INTO erasures (erasure_id, advertiser_id, user_mac, actor, reason, secret_hash) \
         VALUES ($1, $2, $3, $4, $5, sha256(convert_to(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), 'UTF8'))) \
         ON CONFLICT (advertiser_id, user_mac) WHERE finished_at IS NULL DO NOTHING",
    )
    .bind(Uuid::now_v7())
    .bind(order.advertiser_id)
    .bind(order.user_mac)
    .bind(order.actor)
    .bind(order.reason)
    .execute(&mut *connection)
    .await?;
    sqlx::query_as(
        "SELECT erasure_id, secret_hash FROM erasures \
          WHERE advertiser_id = $1 AND user_mac = $2 AND finished_at IS NULL",
    )
    .bind(order.advertiser_id)
    .bind(order.user_mac)
    .fetch_one(connection)
    .await
}

/// The condition for the user's clicks as their index has it: `$1` is the user, `$2` the advertiser.
const OF_USER: &str = "hashtextextended(c.user_id, hashtextextended(c.advertiser_id, 0)) \
       = hashtextextended($1, hashtextextended($2, 0)) AND c.user_id = $1 AND c.advertiser_id = $2";

/// Erases the user from some of its clicks that are counted at `since` or later; `None` if there are none.
/// `connection` must be in a transaction; where clicks are young enough to be judged again, it has the deployment's
/// lock from here on.
///
/// # Errors
/// What the database says. The transaction must be rolled back then.
pub async fn erase_some(
    connection: &mut PgConnection,
    names: &Names,
    order: &Order<'_>,
    erasure: &Erasure,
    since: OffsetDateTime,
) -> Result<Option<Part>, sqlx::Error> {
    let first = format!("SELECT min(c.clicked_at) FROM clicks c WHERE {OF_USER} AND c.clicked_at >= $3");
    let first: Option<OffsetDateTime> = sqlx::query_scalar(sqlx::AssertSqlSafe(first))
        .bind(order.user_id)
        .bind(order.advertiser_id)
        .bind(since)
        .fetch_one(&mut *connection)
        .await?;
    let Some(first) = first else { return Ok(None) };
    let until = first.saturating_add(Duration::DAY);
    if until > OffsetDateTime::now_utc().saturating_sub(Duration::days(RELEASED_FOR_DAYS.into())) {
        // Batches and releases change rows of that age under it. As for a release, the connection's own
        // `lock_timeout` leaves the line.
        let lock = names.deployment_lock();
        let taken = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(lock.deployment).bind(lock.work);
        taken.execute(&mut *connection).await?;
    } else {
        // One day of one advertiser may be more than a statement may uncompress. The Apache licence has no such
        // setting.
        let setting = "SELECT set_config(name, '0', true) FROM pg_settings \
                        WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'";
        sqlx::query(setting).execute(&mut *connection).await?;
    }
    erase_between(connection, order, erasure, (first, until)).await.map(Some)
}

/// The same of up to [`ROWS`] of its clicks in a range.
async fn erase_between(
    connection: &mut PgConnection,
    order: &Order<'_>,
    erasure: &Erasure,
    (first, until): (OffsetDateTime, OffsetDateTime),
) -> Result<Part, sqlx::Error> {
    let rows = format!(
        "SELECT c.click_id, c.clicked_at FROM clicks c WHERE {OF_USER} AND c.clicked_at >= $3 AND c.clicked_at < $4 \
          ORDER BY c.clicked_at, c.click_id LIMIT $5"
    );
    let rows: Vec<(Uuid, OffsetDateTime)> = sqlx::query_as(sqlx::AssertSqlSafe(rows))
        .bind(order.user_id)
        .bind(order.advertiser_id)
        .bind(first)
        .bind(until)
        .bind(ROWS as i64)
        .fetch_all(&mut *connection)
        .await?;
    let (ids, times): (Vec<Uuid>, Vec<OffsetDateTime>) = rows.into_iter().unzip();
    // The bounds keep other chunks, and what is compressed of other times, out of it.
    let changed = sqlx::query(
        "UPDATE clicks c SET user_id = $3, os = NULL, browser = NULL, params = NULL, referrer = NULL, \
           ip_hash = substring(sha256($4 || c.ip_hash) FROM 1 FOR octet_length(c.ip_hash)) \
           FROM unnest($5::uuid[], $6::timestamptz[]) AS k (click_id, clicked_at) \
          WHERE c.click_id = k.click_id AND c.clicked_at = k.clicked_at AND c.advertiser_id = $2 AND c.user_id = $1 \
            AND c.clicked_at >= $7 AND c.clicked_at < $8",
    )
    .bind(order.user_id)
    .bind(order.advertiser_id)
    .bind(erasure.stand_in())
    .bind(&erasure.secret_hash)
    .bind(&ids)
    .bind(&times)
    .bind(first)
    .bind(until)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let count = "UPDATE erasures SET clicks = clicks + $2 WHERE erasure_id = $1";
    sqlx::query(count).bind(erasure.erasure_id).bind(changed as i64).execute(connection).await?;
    // A full part may end in the middle of a time.
    let next = if ids.len() < ROWS { until } else { times.last().copied().unwrap_or(until) };
    Ok(Part { clicks: changed, next })
}

/// Takes the user out of incidents and of what is recorded of them, and ends the erasure; `dead_letters` is what its
/// caller has taken out of the record of dead letters. `connection` must be in a transaction.
///
/// # Errors
/// What the database says. The transaction must be rolled back then.
pub async fn finish(
    connection: &mut PgConnection,
    order: &Order<'_>,
    erasure: &Erasure,
    dead_letters: u64,
) -> Result<Totals, sqlx::Error> {
    // As bursts of users are named: see `commit/bursts.rs`.
    let (named, unnamed) = (
        format!("{}/{}", order.advertiser_id, order.user_id),
        format!("{}/{}", order.advertiser_id, erasure.stand_in()),
    );
    sqlx::query("SELECT set_config('clickwire.erasing', 'on', true)").execute(&mut *connection).await?;
    for sql in [
        "UPDATE audit_log SET before = CASE WHEN before ->> 'subject' = $1 THEN jsonb_set(before, '{subject}', to_jsonb($2::text)) ELSE before END, \
           after = CASE WHEN after ->> 'subject' = $1 THEN jsonb_set(after, '{subject}', to_jsonb($2::text)) ELSE after END \
          WHERE subject = 'alerts' AND $1 IN (before ->> 'subject', after ->> 'subject')",
        "UPDATE alert_changes SET alert = jsonb_set(alert, '{subject}', to_jsonb($2::text)) \
          WHERE alert ->> 'kind' = 'user_burst' AND alert ->> 'subject' = $1",
    ] {
        sqlx::query(sql).bind(&named).bind(&unnamed).execute(&mut *connection).await?;
    }
    let incidents = "UPDATE alerts SET subject = $2 WHERE kind = 'user_burst' AND subject = $1";
    let incidents = sqlx::query(incidents).bind(&named).bind(&unnamed).execute(&mut *connection).await?;
    sqlx::query_as(
        "UPDATE erasures SET finished_at = clock_timestamp(), secret_hash = NULL, incidents = incidents + $2, \
           dead_letters = dead_letters + $3 WHERE erasure_id = $1 RETURNING clicks, incidents, dead_letters",
    )
    .bind(erasure.erasure_id)
    .bind(incidents.rows_affected() as i64)
    .bind(dead_letters as i64)
    .fetch_one(connection)
    .await
}
