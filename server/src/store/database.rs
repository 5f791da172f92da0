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
//! The other end of a connection may be gone without a word (a dead network, a frozen host). The
//! server's own `statement_timeout` does not help then: whoever waits must have a limit, too.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr as _,
    time::Duration,
};

use anyhow::Context as _;
use clickwire_protocol::ids::AdvertiserId;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::OffsetDateTime;
use tokio::{
    runtime::Handle,
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

/// The longest time that a connection that comes back to the pool may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

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
    pub(crate) fn connect(config: &Config) -> anyhow::Result<Self> {
        let reader = own(config)?.options([("default_transaction_read_only", "on")]);
        Ok(Self {
            following: pool(reader.clone(), FOLLOWING),
            ads: pool(reader.clone(), ADS),
            sign_in: pool(own(config)?.options(FROZEN_AFTER), SIGN_IN),
            reading: pool(reader, READING),
            writing: connect_to_write(config)?,
            jobs: pool(own(config)?.options(FROZEN_AFTER), JOBS),
        })
    }
}

/// The database as it answers questions about advertisers: it shows rows of those that a scope includes,
/// whatever is asked, and no tenant holds more than its share of the connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tenants {
    pool: PgPool,
    /// The database that counts are written to, where `pool` may lead to a replica of it.
    primary: Option<PgPool>,
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
    pub(crate) fn questions(config: &Config) -> anyhow::Result<Self> {
        let connections = config.database_connections;
        Self::connect(config, connections, connections.div_ceil(QUESTIONS_SHARE))
    }

    /// Connections for exports: one for each tenant.
    pub(crate) fn exports(config: &Config) -> anyhow::Result<Self> {
        Self::connect(config, EXPORTS, 1)
    }

    /// Connections for the first reading of live views: all that the primary has when they ask.
    pub(crate) fn feeds(config: &Config) -> anyhow::Result<Self> {
        let primary = match &config.reader_database_url {
            // One is enough to be asked how far it has come, and holds up nothing else.
            Some(_) => Some(pool(own(config)?, 1)),
            None => None,
        };
        Ok(Self { primary, ..Self::connect(config, FEEDS, FEEDS.div_ceil(FEEDS_SHARE))? })
    }

    fn connect(config: &Config, connections: u32, share: u32) -> anyhow::Result<Self> {
        let options = match &config.reader_database_url {
            Some(url) => options(url).context("CLICKWIRE_READER_DATABASE_URL")?,
            None => own(config)?,
        };
        Ok(Self {
            pool: pool(options.options(READER), connections),
            primary: None,
            shares: Quota::new(share as usize),
        })
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
        let Some(primary) = &self.primary else { return Ok(()) };
        let is_replica: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&self.pool).await?;
        if !is_replica {
            return Ok(());
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
pub(crate) fn connect_to_write(config: &Config) -> anyhow::Result<PgPool> {
    // Sooner than the statement itself must end: what waits for a lock is told so.
    let options = own(config)?.options(FROZEN_AFTER).options([("lock_timeout", "4s")]);
    Ok(pool(options, WRITING))
}

fn own(config: &Config) -> anyhow::Result<PgConnectOptions> {
    options(&config.database_url).context("CLICKWIRE_DATABASE_URL")
}

fn options(url: &str) -> anyhow::Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url)?
        .application_name("clickwire-server")
        .options([
            ("statement_timeout", "5s"),
            ("plan_cache_mode", "force_custom_plan"),
            // Of a server that is gone without a word: nothing here pauses inside a transaction.
            ("idle_in_transaction_session_timeout", "10s"),
        ])
        .log_slow_statements(log::LevelFilter::Off, Duration::ZERO))
}

/// A pool that keeps one connection open: to make one while the server or the database is busy may take too long
/// for what is promised.
fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
        .after_release(|connection, _| Box::pin(is_alive(connection)))
        .connect_lazy_with(options)
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

/// Returns whether a connection that comes back to the pool still answers. The pool's own test has no limit: it
/// would hold a dead connection's place for ever.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    timeout(PING_TIMEOUT, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_say_how_many_connections_a_server_has() {
        let others = FEEDS + EXPORTS + JOBS + FOLLOWING + ADS + SIGN_IN + READING + WRITING;
        let settings = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/configuration.md"));
        let scaling = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/scaling.md"));
        assert!(
            settings.contains(&format!("hold a quarter; {others} more are for other things")),
            "{others}"
        );
        assert!(scaling.contains(&format!("up to {} connections to PostgreSQL", 8 + others)), "{others}");
    }
}
