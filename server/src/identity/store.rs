//! The tables of accounts, their tokens, and the sessions that ended before their time.

use clickwire_protocol::ids::{self, AdvertiserId};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Role;
use crate::{
    http::{
        cursor::{self, Asked, Page},
        error::Error,
        label,
    },
    identity::{
        access::Credential,
        secret::{self, Hash},
    },
    store::database::{self, Version, answer},
};

/// Longest login, in bytes.
const LOGIN_MAX_BYTES: usize = 100;

/// Advertisers of one account, at most.
const ADVERTISERS_MAX: usize = 1_000;

/// Tokens of one account that are good at the same time, at most.
const TOKENS_MAX: i64 = 50;

/// An account that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = WantedAccount)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Login of its owner, an e-mail address say: printable ASCII; capitals don't count.
    pub(crate) login: String,
    #[serde(flatten)]
    pub(crate) profile: Profile,
}

/// The part of an account that may change.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = WantedProfile)]
pub(crate) struct Profile {
    /// Name for people.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The advertisers that it sees; for `advertiser` alone, which needs one at least.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub(crate) advertisers: Vec<AdvertiserId>,
}

/// The visible part of an account.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Account {
    pub(crate) account_id: Uuid,
    pub(crate) login: String,
    pub(crate) name: String,
    #[schema(value_type = Role)]
    pub(crate) role: String,
    #[schema(value_type = Vec<String>)]
    pub(crate) advertisers: Vec<AdvertiserId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Time since which nobody can sign in to it.
    #[serde(with = "time::serde::rfc3339::option")]
    disabled_at: Option<OffsetDateTime>,
}

/// A token of an account's program.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = AccountToken)]
pub(crate) struct ProgramToken {
    token_id: String,
    name: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

/// A token with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IssuedAccountToken)]
pub(crate) struct IssuedToken {
    #[serde(flatten)]
    known: ProgramToken,
    token: String,
}

/// The part of an account that signing in needs.
#[derive(sqlx::FromRow)]
pub(crate) struct ToSignIn {
    pub(crate) account_id: Uuid,
    pub(crate) password_hash: String,
    pub(crate) generation: i32,
}

/// An account as the directory needs it.
#[derive(sqlx::FromRow)]
pub(crate) struct Valid {
    pub(crate) account_id: Uuid,
    pub(crate) login: String,
    pub(crate) role: String,
    pub(crate) advertisers: Vec<AdvertiserId>,
    pub(crate) generation: i32,
}

/// A token as the directory needs it.
#[derive(sqlx::FromRow)]
pub(crate) struct ValidToken {
    pub(crate) account_id: Uuid,
    pub(crate) secret_hash: Vec<u8>,
    pub(crate) expires_at: OffsetDateTime,
}

const COLUMNS: &str = "account_id, login, name, role, advertisers, created_at, disabled_at";
const TOKEN_COLUMNS: &str = "token_id, name, created_at, expires_at, revoked_at";

/// A login as it is kept.
pub(crate) fn canonical(login: &str) -> String {
    login.trim().to_ascii_lowercase()
}

impl Wanted {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let login = canonical(&self.login);
        let is_login =
            (3..=LOGIN_MAX_BYTES).contains(&login.len()) && login.bytes().all(|b| b.is_ascii_graphic());
        let login =
            (!is_login).then(|| format!("Expected 3 to {LOGIN_MAX_BYTES} printable ASCII characters."));
        Error::fields([("login", login)].into_iter().chain(self.profile.wrong()))
    }
}

impl Profile {
    fn wrong(&self) -> [(&'static str, Option<String>); 2] {
        let advertisers = match (self.role, self.advertisers.len()) {
            (Role::Advertiser, 1..=ADVERTISERS_MAX) => {
                self.advertisers.iter().find_map(|named| ids::check(named.as_str()).err())
            }
            (Role::Advertiser, _) => Some(format!("Expected 1 to {ADVERTISERS_MAX}.")),
            (Role::Finance | Role::Ops | Role::Admin, 0) => None,
            (Role::Finance | Role::Ops | Role::Admin, _) => {
                Some("This role sees every advertiser.".to_owned())
            }
        };
        [("name", label::fault(&self.name)), ("advertisers", advertisers)]
    }
}

/// Accounts, the newest first.
pub(crate) async fn list(database: &PgPool, asked: &Asked<(i64, Uuid)>) -> Result<Page<Account>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM accounts WHERE $1::timestamptz IS NULL OR (created_at, account_id) < ($1, $2) \
          ORDER BY created_at DESC, account_id DESC LIMIT $3"
    );
    let (created_at, account_id) = asked.after().map(|(micros, id)| (cursor::at(*micros), id)).unzip();
    let accounts = sqlx::query_as(AssertSqlSafe(sql)).bind(created_at).bind(account_id).bind(asked.limit());
    let accounts: Vec<Account> = answer(accounts.fetch_all(database)).await?;
    Ok(asked.page(accounts, |account| (cursor::micros(account.created_at), account.account_id)))
}

/// One account.
pub(crate) async fn find(database: &PgPool, account_id: Uuid) -> Result<Account, Error> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE account_id = $1");
    let found = sqlx::query_as(AssertSqlSafe(sql)).bind(account_id).fetch_optional(database);
    answer(found).await?.ok_or(Error::NotFound)
}

/// The account that a login names, disabled or not.
pub(crate) async fn named(database: &mut PgConnection, login: &str) -> Result<Account, Error> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE login = $1");
    let found = sqlx::query_as(AssertSqlSafe(sql)).bind(canonical(login)).fetch_optional(database);
    answer(found).await?.ok_or(Error::NotFound)
}

/// Makes an account, which has been checked.
pub(crate) async fn create(
    database: &mut PgConnection,
    wanted: &Wanted,
    password_hash: &str,
) -> Result<Account, Error> {
    let sql = format!(
        "INSERT INTO accounts (account_id, login, name, role, advertisers, password_hash) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (login) DO NOTHING RETURNING {COLUMNS}"
    );
    let created = sqlx::query_as(AssertSqlSafe(sql))
        .bind(Uuid::now_v7())
        .bind(canonical(&wanted.login))
        .bind(wanted.profile.name.trim())
        .bind(wanted.profile.role.as_str())
        .bind(&wanted.profile.advertisers)
        .bind(password_hash)
        .fetch_optional(database);
    answer(created).await?.ok_or(Error::Conflict("There is an account with this login already."))
}

/// Changes an account; one that is disabled has no sessions and no tokens any more.
pub(crate) async fn change(
    database: &mut PgConnection,
    account_id: Uuid,
    profile: &Profile,
    is_disabled: bool,
) -> Result<Account, Error> {
    Error::fields(profile.wrong())?;
    let sql = format!(
        "UPDATE accounts SET name = $2, role = $3, advertisers = $4, \
             disabled_at = CASE WHEN $5 THEN coalesce(disabled_at, now()) END, \
             generation = generation + $5::integer \
          WHERE account_id = $1 RETURNING {COLUMNS}"
    );
    let changed = sqlx::query_as(AssertSqlSafe(sql))
        .bind(account_id)
        .bind(profile.name.trim())
        .bind(profile.role.as_str())
        .bind(&profile.advertisers)
        .bind(is_disabled)
        .fetch_optional(&mut *database);
    let changed = answer(changed).await?.ok_or(Error::NotFound)?;
    if is_disabled {
        let sql = "UPDATE account_tokens SET revoked_at = now() WHERE account_id = $1 AND revoked_at IS NULL";
        answer(sqlx::query(sql).bind(account_id).execute(database)).await?;
    }
    Ok(changed)
}

/// Gives an account another password, which ends its sessions; returns its new generation.
pub(crate) async fn set_password(
    database: &mut PgConnection,
    account_id: Uuid,
    password_hash: &str,
) -> Result<i32, Error> {
    let sql = "UPDATE accounts SET password_hash = $2, generation = generation + 1 WHERE account_id = $1 RETURNING generation";
    let changed = sqlx::query_scalar(sql).bind(account_id).bind(password_hash).fetch_optional(database);
    answer(changed).await?.ok_or(Error::NotFound)
}

/// Gives an account another password if `old_hash` is still the one it has; see [`set_password`].
pub(crate) async fn replace_password(
    database: &mut PgConnection,
    account_id: Uuid,
    old_hash: &str,
    password_hash: &str,
) -> Result<Option<i32>, sqlx::Error> {
    let sql = "UPDATE accounts SET password_hash = $3, generation = generation + 1 \
                WHERE account_id = $1 AND password_hash = $2 AND disabled_at IS NULL RETURNING generation";
    let changed = sqlx::query_scalar(sql).bind(account_id).bind(old_hash).bind(password_hash);
    answer(changed.fetch_optional(database)).await
}

/// Ends all sessions of an account.
pub(crate) async fn end_sessions(database: &mut PgConnection, account_id: Uuid) -> Result<(), Error> {
    let sql = "UPDATE accounts SET generation = generation + 1 WHERE account_id = $1";
    let ended = answer(sqlx::query(sql).bind(account_id).execute(database)).await?;
    if ended.rows_affected() == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Ends one session, which would have ended by itself so many seconds from now, and forgets those of which
/// nothing is left.
pub(crate) async fn end_session(
    database: &mut PgConnection,
    session_id: Uuid,
    seconds: f64,
) -> Result<(), sqlx::Error> {
    answer(sqlx::query("DELETE FROM ended_sessions WHERE until < now()").execute(&mut *database)).await?;
    let sql = "INSERT INTO ended_sessions (session_id, until) VALUES ($1, now() + make_interval(secs => $2)) \
               ON CONFLICT DO NOTHING";
    answer(sqlx::query(sql).bind(session_id).bind(seconds).execute(database)).await.map(drop)
}

/// Writes down what changes no table.
pub(crate) async fn record(
    database: &mut PgConnection,
    action: &str,
    account_id: Uuid,
) -> Result<(), sqlx::Error> {
    let sql = "SELECT audit($1, 'accounts', $2, NULL, NULL)";
    answer(sqlx::query(sql).bind(action).bind(account_id.to_string()).execute(database)).await.map(drop)
}

/// The account that a login names, if one can sign in to it.
pub(crate) async fn to_sign_in(database: &PgPool, login: &str) -> Result<Option<ToSignIn>, sqlx::Error> {
    let sql =
        "SELECT account_id, password_hash, generation FROM accounts WHERE login = $1 AND disabled_at IS NULL";
    answer(sqlx::query_as(sql).bind(canonical(login)).fetch_optional(database)).await
}

/// Returns whether an account may still act in this role by this credential. Until the transaction ends this can't
/// change: a change waits, or has come before.
pub(crate) async fn is_still(
    database: &mut PgConnection,
    account_id: Uuid,
    role: Role,
    credential: &Credential,
) -> Result<bool, sqlx::Error> {
    let locked = "SELECT role, generation FROM accounts WHERE account_id = $1 AND disabled_at IS NULL \
                   FOR NO KEY UPDATE";
    let locked = sqlx::query_as::<_, (String, i32)>(locked).bind(account_id).fetch_optional(&mut *database);
    let Some((role_now, generation)) = answer(locked).await? else { return Ok(false) };
    if role_now != role.as_str() {
        return Ok(false);
    }
    // Asked after the lock is held: whoever held it before may have ended it.
    let is_good = match credential {
        Credential::Configured => return Ok(true),
        Credential::Session(token) if token.generation < generation => return Ok(false),
        Credential::Session(token) => {
            sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM ended_sessions WHERE session_id = $1)")
                .bind(token.session_id)
        }
        Credential::Token(hash) => sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM account_tokens \
                             WHERE secret_hash = $1 AND revoked_at IS NULL AND expires_at > now())",
        )
        .bind(hash.to_vec()),
    };
    answer(is_good.fetch_one(database)).await
}

/// Makes a token for a program of an account.
pub(crate) async fn create_token(
    database: &mut PgConnection,
    account_id: Uuid,
    name: &str,
    days: i32,
) -> Result<IssuedToken, Error> {
    Error::fields([("name", label::fault(name))])?;
    let token = secret::generate("user");
    let sql = format!(
        "INSERT INTO account_tokens (token_id, account_id, name, secret_hash, expires_at) \
         SELECT $1, $2, $3, $4, now() + make_interval(days => $5) \
          WHERE (SELECT count(*) FROM account_tokens \
                  WHERE account_id = $2 AND revoked_at IS NULL AND expires_at > now()) < $6 \
         RETURNING {TOKEN_COLUMNS}"
    );
    let created = sqlx::query_as(AssertSqlSafe(sql))
        .bind(secret::generate_id("tok"))
        .bind(account_id)
        .bind(name.trim())
        .bind(secret::hash(&token).to_vec())
        .bind(days)
        .bind(TOKENS_MAX)
        .fetch_optional(database);
    let known = answer(created).await?.ok_or(Error::Conflict("This account has 50 tokens. Revoke some."))?;
    Ok(IssuedToken { known, token })
}

/// An account's tokens, the newest first.
pub(crate) async fn tokens(
    database: &PgPool,
    account_id: Uuid,
    asked: &Asked<(i64, String)>,
) -> Result<Page<ProgramToken>, Error> {
    let sql = format!(
        "SELECT {TOKEN_COLUMNS} FROM account_tokens \
          WHERE account_id = $1 AND ($2::timestamptz IS NULL OR (created_at, token_id) < ($2, $3)) \
          ORDER BY created_at DESC, token_id DESC LIMIT $4"
    );
    let (created_at, token_id) = asked.after().map(|(micros, id)| (cursor::at(*micros), id)).unzip();
    let tokens = sqlx::query_as(AssertSqlSafe(sql))
        .bind(account_id)
        .bind(created_at)
        .bind(token_id)
        .bind(asked.limit());
    let tokens: Vec<ProgramToken> = answer(tokens.fetch_all(database)).await?;
    Ok(asked.page(tokens, |token| (cursor::micros(token.created_at), token.token_id.clone())))
}

/// Ends a token of an account. Again does nothing.
pub(crate) async fn revoke_token(
    database: &mut PgConnection,
    account_id: Uuid,
    token_id: &str,
) -> Result<ProgramToken, Error> {
    let sql = format!(
        "UPDATE account_tokens SET revoked_at = coalesce(revoked_at, now()) \
          WHERE account_id = $1 AND token_id = $2 RETURNING {TOKEN_COLUMNS}"
    );
    let revoked = sqlx::query_as(AssertSqlSafe(sql)).bind(account_id).bind(token_id).fetch_optional(database);
    answer(revoked).await?.ok_or(Error::NotFound)
}

/// Grows with every change of what the directory holds.
pub(crate) async fn version(database: &PgPool) -> Result<Version, sqlx::Error> {
    database::version(database, "accounts_version").await
}

/// The accounts that can be signed in to.
pub(crate) async fn valid(database: &PgPool) -> Result<Vec<Valid>, sqlx::Error> {
    let sql =
        "SELECT account_id, login, role, advertisers, generation FROM accounts WHERE disabled_at IS NULL";
    answer(sqlx::query_as(sql).fetch_all(database)).await
}

/// The tokens that are taken.
pub(crate) async fn valid_tokens(database: &PgPool) -> Result<Vec<ValidToken>, sqlx::Error> {
    let sql = "SELECT account_id, secret_hash, expires_at FROM account_tokens \
                WHERE revoked_at IS NULL AND expires_at > now()";
    answer(sqlx::query_as(sql).fetch_all(database)).await
}

/// The sessions that ended before their time.
pub(crate) async fn ended(database: &PgPool) -> Result<Vec<Uuid>, sqlx::Error> {
    answer(
        sqlx::query_scalar("SELECT session_id FROM ended_sessions WHERE until > now()").fetch_all(database),
    )
    .await
}

impl ValidToken {
    /// Its hash, and until when it is good: Unix time in milliseconds.
    pub(crate) fn held(self) -> Option<(Hash, Uuid, i64)> {
        let until_ms = (self.expires_at.unix_timestamp_nanos() / 1_000_000) as i64;
        Some((Hash::try_from(self.secret_hash).ok()?, self.account_id, until_ms))
    }
}
