//! The table of keys: created, listed, rotated, revoked.

use clickwire_protocol::ids::{self, AdvertiserId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    http::{
        cursor::{self, Asked, Page},
        error::Error,
        label,
    },
    identity::secret,
    store::database::{self, Version, answer},
};

/// Advertisers of one key, at most.
const ADVERTISERS_MAX: usize = 1_000;

/// Allowance of a key unless it is created with another: clicks a second, and at once.
pub(crate) const RATE: i32 = 1_000;
pub(crate) const BURST: i32 = 5_000;

/// Mode of a key, by which its clicks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyMode)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Clicks count.
    Live,
    /// Clicks are counted as tests.
    Test,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// A key that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = WantedKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Name for people.
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// The advertisers that it may post for; not given: all.
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) advertisers: Option<Vec<AdvertiserId>>,
    /// The key may name users' addresses and browsers.
    #[serde(default)]
    pub(crate) speaks_for_users: bool,
    /// Fields that no click has are passed over instead of refusing the click.
    #[serde(default)]
    pub(crate) ignores_unknown_fields: bool,
    /// The key is told in `is_fraudulent` which clicks look fraudulent: for programs that the operator trusts.
    #[serde(default)]
    pub(crate) hints: bool,
    /// Clicks a second in the long run.
    #[serde(default = "rate")]
    pub(crate) rate_per_second: i32,
    /// Clicks at once.
    #[serde(default = "burst")]
    pub(crate) burst: i32,
}

fn rate() -> i32 {
    RATE
}

fn burst() -> i32 {
    BURST
}

/// The visible part of a key.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Key {
    pub(crate) key_id: String,
    pub(crate) name: String,
    pub(crate) mode: String,
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) advertisers: Option<Vec<AdvertiserId>>,
    pub(crate) speaks_for_users: bool,
    pub(crate) ignores_unknown_fields: bool,
    pub(crate) hints: bool,
    pub(crate) rate_per_second: i32,
    pub(crate) burst: i32,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    created_by: String,
    #[serde(with = "time::serde::rfc3339::option")]
    rotated_at: Option<OffsetDateTime>,
    /// Time until which the key before the last rotation is taken.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) previous_until: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
    revoked_by: Option<String>,
}

/// A key with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub(crate) struct Issued {
    #[serde(flatten)]
    pub(crate) known: Key,
    pub(crate) key: String,
}

/// A key as the ring needs it.
#[derive(sqlx::FromRow)]
pub(crate) struct Valid {
    #[sqlx(flatten)]
    pub(crate) key: Key,
    pub(crate) secret_hash: Vec<u8>,
    pub(crate) previous_secret_hash: Option<Vec<u8>>,
}

const COLUMNS: &str = "key_id, name, mode, advertisers, speaks_for_users, ignores_unknown_fields, hints, \
    rate_per_second, burst, created_at, \
    created_by, rotated_at, previous_until, revoked_at, revoked_by";

impl Wanted {
    fn check(&self) -> Result<(), Error> {
        let advertisers = self.advertisers.as_deref().unwrap_or_default();
        let is_some = self.advertisers.as_ref().is_none_or(|named| !named.is_empty());
        let wrong = [
            ("name", label::fault(&self.name)),
            (
                "advertisers",
                (!is_some || advertisers.len() > ADVERTISERS_MAX)
                    .then(|| format!("Expected 1 to {ADVERTISERS_MAX}, or none at all for every advertiser."))
                    .or_else(|| {
                        advertisers.iter().find_map(|advertiser| ids::check(advertiser.as_str()).err())
                    }),
            ),
            ("rate_per_second", (self.rate_per_second < 1).then(|| "At least 1.".to_owned())),
            ("burst", (self.burst < 1).then(|| "At least 1.".to_owned())),
        ];
        Error::fields(wrong)
    }
}

/// Keys, revoked ones included, the newest first.
pub(crate) async fn list(database: &PgPool, asked: &Asked<(i64, String)>) -> Result<Page<Key>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM api_keys WHERE $1::timestamptz IS NULL OR (created_at, key_id) < ($1, $2) \
          ORDER BY created_at DESC, key_id DESC LIMIT $3"
    );
    let (created_at, key_id) = asked.after().map(|(micros, key_id)| (cursor::at(*micros), key_id)).unzip();
    let keys = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(created_at).bind(key_id).bind(asked.limit());
    let keys: Vec<Key> = answer(keys.fetch_all(database)).await?;
    Ok(asked.page(keys, |key| (cursor::micros(key.created_at), key.key_id.clone())))
}

/// Makes a key.
pub(crate) async fn create(
    database: &mut PgConnection,
    wanted: &Wanted,
    actor: &str,
) -> Result<Issued, Error> {
    wanted.check()?;
    let key = secret::generate(wanted.mode.as_str());
    let sql = format!(
        "INSERT INTO api_keys (key_id, name, mode, advertisers, speaks_for_users, rate_per_second, burst, \
           secret_hash, created_by, ignores_unknown_fields, hints) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING {COLUMNS}"
    );
    let known = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(secret::generate_id("key"))
        .bind(wanted.name.trim())
        .bind(wanted.mode.as_str())
        .bind(wanted.advertisers.as_deref())
        .bind(wanted.speaks_for_users)
        .bind(wanted.rate_per_second)
        .bind(wanted.burst)
        .bind(secret::hash(&key).to_vec())
        .bind(actor)
        .bind(wanted.ignores_unknown_fields)
        .bind(wanted.hints)
        .fetch_one(database);
    Ok(Issued { known: answer(known).await?, key })
}

/// Replaces a key's secret; the one before is still taken for a while.
pub(crate) async fn rotate(
    database: &mut PgConnection,
    key_id: &str,
    grace_hours: u32,
) -> Result<Issued, Error> {
    let mode = "SELECT mode FROM api_keys WHERE key_id = $1 AND revoked_at IS NULL";
    let mode: Option<String> =
        answer(sqlx::query_scalar(mode).bind(key_id).fetch_optional(&mut *database)).await?;
    let mode = match mode.as_deref() {
        None => return Err(Error::NotFound),
        Some("test") => Mode::Test,
        Some(_) => Mode::Live,
    };
    let key = secret::generate(mode.as_str());
    let sql = format!(
        "UPDATE api_keys SET previous_secret_hash = secret_hash, \
             previous_until = now() + $3 * INTERVAL '1 hour', secret_hash = $2, rotated_at = now() \
          WHERE key_id = $1 AND revoked_at IS NULL RETURNING {COLUMNS}"
    );
    let known = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(key_id)
        .bind(secret::hash(&key).to_vec())
        .bind(f64::from(grace_hours))
        .fetch_optional(database);
    Ok(Issued { known: answer(known).await?.ok_or(Error::NotFound)?, key })
}

/// Ends a key, and the one before it. Again does nothing.
pub(crate) async fn revoke(database: &mut PgConnection, key_id: &str, actor: &str) -> Result<Key, Error> {
    let sql = format!(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), revoked_by = coalesce(revoked_by, $2) \
          WHERE key_id = $1 RETURNING {COLUMNS}"
    );
    let known = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(key_id).bind(actor).fetch_optional(database);
    answer(known).await?.ok_or(Error::NotFound)
}

/// Grows with every change of a key.
pub(crate) async fn version(database: &PgPool) -> Result<Version, sqlx::Error> {
    database::version(database, "api_keys_version").await
}

/// The keys that are taken, as they are now.
pub(crate) async fn valid(database: &PgPool) -> Result<Vec<Valid>, sqlx::Error> {
    let sql =
        format!("SELECT {COLUMNS}, secret_hash, previous_secret_hash FROM api_keys WHERE revoked_at IS NULL");
    answer(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(database)).await
}
