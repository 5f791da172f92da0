//! The database: connections that answer questions about advertisers, some for what the server itself
//! wants to know, a few that write for administrators, and answers within a limit.
//!
//! The other end of a connection may be gone without a word (a dead network, a frozen host). The
//! server's own `statement_timeout` does not help then: whoever waits must have a limit, too.

use std::{str::FromStr as _, time::Duration};

use anyhow::Context as _;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{access::Scope, config::Config};

/// How long a connection that comes back to the pool may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a query may take: longer than PostgreSQL itself lets it run, and a connection made first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Connections for what administrators write, at most.
const WRITE_CONNECTIONS: u32 = 2;

/// Connections for what the server itself wants to know, at most.
const OWN_CONNECTIONS: u32 = 4;

/// Of a server that is frozen or gone without a word: what it has locked, counting may wait for.
const FROZEN_AFTER: [(&str, &str); 1] = [("idle_in_transaction_session_timeout", "2s")];

/// The role that answers about advertisers, and where it looks first: migration 14.
const READER: [(&str, &str); 3] = [
    ("default_transaction_read_only", "on"),
    ("role", "clickwire_reader"),
    ("search_path", "tenants,public"),
];

/// The database as it answers questions about advertisers: it shows rows of those that a scope includes,
/// whatever is asked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tenants(PgPool);

impl Tenants {
    /// A pool that connects when first used.
    pub(crate) fn connect(config: &Config) -> anyhow::Result<Self> {
        let options = match &config.reader_database_url {
            Some(url) => options(url).context("CLICKWIRE_READER_DATABASE_URL")?,
            None => own(config)?,
        };
        Ok(Self(pool(options.options(READER), config.database_connections)))
    }

    /// Begins a transaction that sees what a scope includes; there is no other way to ask.
    pub(crate) async fn begin(&self, scope: &Scope) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        // Ids have no commas.
        let tenants = scope.advertisers().map_or_else(|| "*".to_owned(), |ids| ids.join(","));
        answer(async {
            let mut transaction = self.0.begin().await?;
            sqlx::query("SELECT set_config('clickwire.tenants', $1, true)")
                .bind(tenants)
                .execute(&mut *transaction)
                .await?;
            Ok(transaction)
        })
        .await
    }
}

/// A pool that connects when first used, for what the server itself wants to know.
pub(crate) fn connect_to_read(config: &Config) -> anyhow::Result<PgPool> {
    Ok(pool(own(config)?.options([("default_transaction_read_only", "on")]), OWN_CONNECTIONS))
}

/// A pool that connects when first used, for what administrators change.
pub(crate) fn connect_to_write(config: &Config) -> anyhow::Result<PgPool> {
    Ok(pool(own(config)?.options(FROZEN_AFTER), WRITE_CONNECTIONS))
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

fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
        .after_release(|connection, _| Box::pin(is_alive(connection)))
        .connect_lazy_with(options)
}

/// A column of times as RFC 3339 with milliseconds, in UTC.
pub(crate) fn rfc3339(column: &str) -> String {
    format!(r#"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
}

/// Waits for an answer, up to a limit.
pub(crate) async fn answer<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_TIMEOUT, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Whether a connection that comes back to the pool still answers. The pool's own test has no limit:
/// it would hold a dead connection's place for ever.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    timeout(PING_TIMEOUT, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(true)
}
