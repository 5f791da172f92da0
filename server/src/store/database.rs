//! The database: pools of connections, each for one kind of work, and answers within a limit.
//!
//! One kind of work can't take another's connections: a flood of questions holds up questions, not the
//! following of keys, and of questions only those of the tenant that asks them. A server has as many
//! connections as all pools together: docs/operate/scaling.md says how many.
//!
//! | pool | what for | a request can make it work |
//! |---|---|---|
//! | [`Tenants::questions`] | counts and names that are asked for | yes: each tenant has a share |
//! | [`Tenants::exports`] | clicks that are exported, as long as clients take to read them | yes: each tenant has one |
//! | [`Tenants::feeds`] | what live views begin with | yes: each tenant has a share |
//! | [`Pools::following`] | what other servers have changed, news about incidents, health | no |
//! | [`Pools::ads`] | where an ad leads, and whose it is | yes: what is not in memory or Redis |
//! | [`Pools::sign_in`] | people who sign in and out, and what they change of their own account | yes: attempts are limited, accounts have one request at a time |
//! | [`Pools::reading`] | what operators and administrators ask; one question of finance at a time | theirs |
//! | [`Pools::writing`] | what they change | theirs |
//! | [`Pools::jobs`] | exports that nobody waits for, and their files | yes: each caller may keep five |
//!
//! One more connection asks each host of the database whether it is the primary ([`clickwire_ledger::primary`]).
//!
//! The other end of a connection may be gone without a word (a dead network, a frozen host). The
//! server's own `statement_timeout` does not help then: whoever waits must have a limit, too.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use anyhow::Context as _;
use clickwire_ledger::primary::{Database, Primary, TIMELINE};
use clickwire_protocol::ids::AdvertiserId;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::OffsetDateTime;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{sleep, timeout},
};

use super::scope::Scope;
use crate::{
    config::Config,
    http::{
        error::Error,
        quota::{Holder, Quota, QuotaGuard},
    },
};

/// The longest time for a query: longer than PostgreSQL itself lets it run, and a connection made first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Time between two questions to a replica about its progress.
const REPLICA_POLL: Duration = Duration::from_millis(100);

/// The statement that begins a transaction whose statements all see one moment.
pub(crate) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The part of a pool that one tenant can hold: a quarter of those for questions, half of those for feeds,
/// which are read once for all that watch.
const QUESTIONS_SHARE: u32 = 4;
const FEEDS_SHARE: u32 = 2;

/// Questions of one tenant that wait for its share, at most, and the longest time that they wait.
const WAITING_MAX: usize = 32;
const WAIT_WITHIN: Duration = Duration::from_secs(2);

const FEEDS: u32 = 6;
const EXPORTS: u32 = 4;
const FOLLOWING: u32 = 4;
const ADS: u32 = 4;
const SIGN_IN: u32 = 2;
const READING: u32 = 2;
const WRITING: u32 = 2;
const JOBS: u32 = 2;

/// Idle time of a transaction after which its server counts as frozen or gone: its locks may hold up counting.
const FROZEN_AFTER: [(&str, &str); 1] = [("idle_in_transaction_session_timeout", "2s")];

/// The role that answers about advertisers, and its search path: migration 14.
const READER: [(&str, &str); 3] = [
    ("default_transaction_read_only", "on"),
    ("role", "clickwire_reader"),
    ("search_path", "tenants,public"),
];

/// Where the database is.
pub(crate) struct Databases {
    own: Database,
    /// Where questions about counts are answered, if that is elsewhere or by another login.
    reader: Option<Database>,
}

impl Databases {
    /// Reads the addresses, and looks for the primary.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let own = Database::open(&config.database_url).await.context("CLICKWIRE_DATABASE_URL")?;
        let reader = match &config.reader_database_url {
            Some(url) => Some(Database::open(url).await.context("CLICKWIRE_READER_DATABASE_URL")?),
            None => None,
        };
        Ok(Self { own, reader })
    }
}

/// Connections for other work than questions about counts; cheap to clone.
#[derive(Clone)]
pub(crate) struct Pools {
    /// Keeps what is promised within seconds (a key that is revoked, a session that has ended, news about
    /// incidents): no request may hold it up.
    pub(crate) following: PgPool,
    pub(crate) ads: PgPool,
    /// People who sign in; can write: a sign-in is recorded.
    pub(crate) sign_in: PgPool,
    pub(crate) reading: PgPool,
    /// Changes by operators and administrators; can write.
    pub(crate) writing: PgPool,
    /// Exports and their files; can write.
    pub(crate) jobs: PgPool,
}

impl Pools {
    /// Pools that connect as soon as they can.
    pub(crate) fn connect(Databases { own: database, .. }: &Databases) -> Self {
        const READ_ONLY: [(&str, &str); 1] = [("default_transaction_read_only", "on")];
        Self {
            following: pool(database, FOLLOWING, &READ_ONLY),
            ads: pool(database, ADS, &READ_ONLY),
            sign_in: pool(database, SIGN_IN, &FROZEN_AFTER),
            reading: pool(database, READING, &READ_ONLY),
            writing: to_write(database),
            jobs: pool(database, JOBS, &FROZEN_AFTER),
        }
    }
}

/// The database as it answers questions about advertisers: it shows rows of those that a scope includes,
/// whatever is asked, and no tenant holds more than its share of the connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tenants {
    pool: PgPool,
    /// The database that counts are written to, where `pool` may lead to a replica of it, and what is known of it.
    primary: Option<(PgPool, watch::Receiver<Option<Primary>>)>,
    shares: Quota<Holder>,
}

/// A transaction that sees what a scope includes, and the shares that it uses up.
///
/// Its query goes on in the database when a request is given up in the middle of it; so do connection and
/// shares: a caller that gives up and asks again would otherwise soon hold every connection.
pub(crate) struct TenantTransaction {
    /// `None` while it is dropped.
    transaction: Option<Transaction<'static, Postgres>>,
    shares: Vec<QuotaGuard<Holder>>,
}

impl Tenants {
    /// Connections for questions.
    pub(crate) fn questions(database: &Databases, connections: u32) -> Self {
        Self::connect(database, connections, connections.div_ceil(QUESTIONS_SHARE))
    }

    /// Connections for exports: one for each tenant.
    pub(crate) fn exports(database: &Databases) -> Self {
        Self::connect(database, EXPORTS, 1)
    }

    /// Connections for the first reading of live views: all that the primary has when they ask.
    pub(crate) fn feeds(database: &Databases) -> Self {
        // One is enough to be asked how far it has come, and holds up nothing else.
        let primary = database.reader.as_ref().map(|_| (pool(&database.own, 1, &[]), database.own.primary()));
        Self { primary, ..Self::connect(database, FEEDS, FEEDS.div_ceil(FEEDS_SHARE)) }
    }

    fn connect(database: &Databases, connections: u32, share: u32) -> Self {
        let pool = match &database.reader {
            Some(reader) => reader.pool_to_read(options(connections), |options| with(options, &READER)),
            None => pool(&database.own, connections, &READER),
        };
        Self { pool, primary: None, shares: Quota::new(share as usize) }
    }

    /// Begins a transaction that sees what a scope includes, to answer a question that uses up shares of
    /// `holders`. Waits for these a moment; a caller that asks for much more than that is told to come again.
    pub(crate) async fn begin(
        &self,
        scope: &Scope,
        holders: Vec<Holder>,
    ) -> Result<TenantTransaction, Error> {
        let busy = || {
            metrics::counter!("clickwire_limited_total", "by" => "questions").increment(1);
            Error::TooManyAtOnce
        };
        let shares = self.take(holders, WAITING_MAX);
        let shares = timeout(WAIT_WITHIN, shares).await.ok().flatten().ok_or_else(busy)?;
        Ok(self.transaction(scope, shares).await?)
    }

    /// Begins a transaction that sees one advertiser, whose feed somebody has begun to watch, with all that has been
    /// committed before. Waits for their share as long as it takes, and for a replica up to a limit.
    pub(crate) async fn begin_load(
        &self,
        advertiser_id: &AdvertiserId,
        watcher: &[Holder],
    ) -> Result<TenantTransaction, sqlx::Error> {
        let shares = self.take(watcher.to_vec(), usize::MAX).await.unwrap_or_default();
        answer(self.catch_up()).await?;
        // Whoever watches has been asked whether it may: the feed is of this one advertiser.
        self.transaction(&Scope::Advertisers(vec![advertiser_id.clone()]), shares).await
    }

    /// Waits until the replica has what the primary has now: what is published from here on is laid over what is read,
    /// so nothing may be missing from that. The reader's address leads to one replica: of several, another one than
    /// answers here could be read from.
    async fn catch_up(&self) -> Result<(), sqlx::Error> {
        let Some((primary, known)) = &self.primary else { return Ok(()) };
        let sql = AssertSqlSafe(format!("SELECT {TIMELINE}"));
        let reader: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        let known = known.borrow().map(|primary| primary.timeline);
        if reader > 0 {
            let is_primary = known.is_none_or(|known| known == reader);
            let why = "the reader's host was the primary before another one";
            return if is_primary { Ok(()) } else { Err(sqlx::Error::Protocol(why.into())) };
        }
        let committed: String =
            sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(primary).await?;
        let has_it = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn";
        while !sqlx::query_scalar::<_, bool>(has_it).bind(&committed).fetch_one(&self.pool).await? {
            sleep(REPLICA_POLL).await;
        }
        Ok(())
    }

    async fn take(&self, holders: Vec<Holder>, waiting_max: usize) -> Option<Vec<QuotaGuard<Holder>>> {
        let mut shares = Vec::with_capacity(holders.len());
        for holder in holders {
            shares.push(self.shares.take(holder, waiting_max).await?);
        }
        Some(shares)
    }

    async fn transaction(
        &self,
        scope: &Scope,
        shares: Vec<QuotaGuard<Holder>>,
    ) -> Result<TenantTransaction, sqlx::Error> {
        // Ids have no commas.
        let tenants = scope.advertisers().map_or_else(|| "*".to_owned(), |ids| ids.join(","));
        answer(async {
            let transaction = Some(self.pool.begin_with(SNAPSHOT).await?);
            let mut begun = TenantTransaction { transaction, shares };
            sqlx::query("SELECT set_config('clickwire.tenants', $1, true)")
                .bind(tenants)
                .execute(&mut *begun)
                .await?;
            Ok(begun)
        })
        .await
    }
}

impl Deref for TenantTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.transaction.as_deref().unwrap_or_else(|| unreachable!("only a drop takes it"))
    }
}

impl DerefMut for TenantTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.transaction.as_deref_mut().unwrap_or_else(|| unreachable!("only a drop takes it"))
    }
}

impl Drop for TenantTransaction {
    fn drop(&mut self) {
        let (transaction, shares) = (self.transaction.take(), std::mem::take(&mut self.shares));
        // Without a runtime the program ends.
        if let (Some(transaction), Ok(runtime)) = (transaction, Handle::try_current()) {
            runtime.spawn(async move {
                // Waits until a query that was given up has ended.
                if let Err(error) = answer(transaction.rollback()).await {
                    tracing::debug!(%error, "a transaction could not be rolled back");
                }
                drop(shares);
            });
        }
    }
}

/// A pool for what administrators change.
pub(crate) async fn connect_to_write(config: &Config) -> anyhow::Result<PgPool> {
    Ok(to_write(&Database::open(&config.database_url).await.context("CLICKWIRE_DATABASE_URL")?))
}

fn to_write(database: &Database) -> PgPool {
    // Sooner than the statement itself must end: what waits for a lock is told so.
    pool(database, WRITING, &[FROZEN_AFTER[0], ("lock_timeout", "4s")])
}

/// A pool to the primary, with settings of its sessions.
fn pool(database: &Database, connections: u32, settings: &'static [(&str, &str)]) -> PgPool {
    database.pool(options(connections), |options| with(options, settings))
}

/// A pool that keeps one connection open: to make one while the server or the database is busy may take too long
/// for what is promised.
fn options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
}

fn with(options: PgConnectOptions, settings: &[(&str, &str)]) -> PgConnectOptions {
    options
        .application_name("clickwire-server")
        .options([
            ("statement_timeout", "5s"),
            ("plan_cache_mode", "force_custom_plan"),
            // Of a server that is gone without a word: nothing here pauses inside a transaction.
            ("idle_in_transaction_session_timeout", "10s"),
        ])
        .options(settings.iter().copied())
        .log_slow_statements(log::LevelFilter::Off, Duration::ZERO)
}

/// The version of a table's contents, and the database's timeline: on another one as many changes may be others.
pub(crate) type Version = (i64, i64);

/// The version that a table of one row holds.
pub(crate) async fn version(database: &PgPool, table: &'static str) -> Result<Version, sqlx::Error> {
    let sql = AssertSqlSafe(format!("SELECT {TIMELINE}, version FROM {table}"));
    answer(sqlx::query_as(sql).fetch_one(database)).await
}

/// A column of times as RFC 3339 with milliseconds, in UTC.
pub(crate) fn rfc3339(column: &str) -> String {
    format!(r#"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
}

/// A time of the database in milliseconds since the Unix epoch.
pub(crate) fn unix_ms(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000 + i64::from(at.millisecond())
}

/// Waits for an answer, up to a limit.
pub(crate) async fn answer<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_TIMEOUT, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_say_how_many_connections_a_server_has() {
        let others = FEEDS + EXPORTS + JOBS + FOLLOWING + ADS + SIGN_IN + READING + WRITING + 1;
        let settings = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/configuration.md"));
        let scaling = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/scaling.md"));
        assert!(
            settings.contains(&format!("hold a quarter; {others} more are for other things")),
            "{others}"
        );
        assert!(scaling.contains(&format!("up to {} connections to PostgreSQL", 8 + others)), "{others}");
    }
}
