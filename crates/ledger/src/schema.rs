//! The schema: connections as the ledger's statements need them, migrations, demonstration data.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::timescaledb::{self, Installed, Unsupported};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Advertisers, campaigns and ads to show and to test with.
const DEMO: &str = include_str!("demo.sql");

/// Age in days at which TimescaleDB's community licence compresses chunks; fixed by `0003_buckets.sql`. Many
/// clicks can't be counted into a chunk that is compressed.
pub const COMPRESSION_DAYS: u32 = 12;

/// The reason why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A migration failed, or is not the one that was applied.
    #[error(transparent)]
    Migration(#[from] MigrateError),
    /// There is no TimescaleDB, or one that is too old.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// The longest pause inside a transaction before the database ends the session, with all that it holds: nothing here
/// pauses there, unless the process is frozen or its host is gone without a word.
pub const FROZEN_AFTER: Duration = Duration::from_secs(2);

/// The longest time that a connection that comes back to the pool may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A pool of at most `connections`, which connects when first used.
///
/// # Errors
/// `url` can't be read.
pub fn connect(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    let frozen_after = format!("{}ms", FROZEN_AFTER.as_millis());
    let options = PgConnectOptions::from_str(url)?.application_name("clickwire-aggregator").options([
        // Chunks are excluded by the bounds of each batch, which only a custom plan sees.
        ("plan_cache_mode", "force_custom_plan"),
        // The same bounds make these useless, and beginning again for each of a batch's index probes
        // they cost 10 µs a probe; the probe itself takes 2.
        ("timescaledb.enable_chunk_append", "off"),
        ("timescaledb.enable_constraint_aware_append", "off"),
        ("idle_in_transaction_session_timeout", &frozen_after),
        // Nor does a statement go on, holding locks, whose connection was given up.
        ("client_connection_check_interval", "2s"),
    ]);
    // What a slow statement means for clicks is in the metrics; its text tells nothing more.
    let options = options.log_slow_statements(log::LevelFilter::Off, Duration::ZERO);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .after_release(|connection, _| Box::pin(is_alive(connection)))
        .connect_lazy_with(options))
}

/// Returns whether a connection that comes back to the pool still answers. The pool's own test has no limit:
/// it would hold the place of a connection for ever whose other end is gone without a word.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    tokio::time::timeout(PING_TIMEOUT, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(true)
}

/// Brings the schema up to date, and adds demonstration data if asked.
///
/// # Errors
/// See [`Error`]. What was migrated before stays.
pub async fn migrate(url: &str, demo: bool) -> Result<(), Error> {
    let mut connection = PgConnection::connect(url).await?;
    timescaledb::require(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await?;
    if demo {
        sqlx::raw_sql(DEMO).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Brings the schema up to date beside others that may do so, too. Returns which TimescaleDB there is.
///
/// # Errors
/// See [`Error`]. What was migrated before stays.
pub async fn migrate_on(connection: &mut PgConnection) -> Result<Installed, Error> {
    timescaledb::require(connection).await?;
    // Others wait for the lock under which it is done; whoever freezes between two steps must not keep it.
    sqlx::query("SET idle_session_timeout = '5s'").execute(&mut *connection).await?;
    MIGRATIONS.run(&mut *connection).await?;
    sqlx::query("RESET idle_session_timeout").execute(&mut *connection).await?;
    Ok(timescaledb::look(connection).await?)
}
