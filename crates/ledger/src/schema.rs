//! The schema: connections as the ledger's statements need them, migrations, demonstration data.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::PgPoolOptions,
};

use crate::{
    primary::Database,
    timescaledb::{self, Installed, Unsupported},
};

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

/// A pool of at most `connections` to the primary, which connects when first used.
pub fn connect(database: &Database, connections: u32) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(5));
    let frozen_after = format!("{}ms", FROZEN_AFTER.as_millis());
    database.pool(pool, move |options| {
        let options = options.application_name("clickwire-aggregator").options([
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
        options.log_slow_statements(log::LevelFilter::Off, Duration::ZERO)
    })
}

/// Brings the schema up to date, and adds demonstration data if asked.
///
/// # Errors
/// See [`Error`]. What was migrated before stays.
pub async fn migrate(url: &str, demo: bool) -> Result<(), Error> {
    let mut connection = Database::open(url).await?.connect().await?;
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
