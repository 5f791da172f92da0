//! Pointers to tables and ranges of the stream, in PostgreSQL.
//!
//! A commit is one transaction: it moves the pointer from the metadata that the new ones were made from, and
//! writes down the range of messages that they hold. Either is refused if another has done it before.

use std::time::Duration;

use clickwire_ledger::primary::{Database, Primary};
use clickwire_protocol::stream::AdvisoryLock;
use sqlx::{
    ConnectOptions as _, PgConnection, PgPool, Postgres, Transaction, pool::PoolConnection,
    postgres::PgPoolOptions,
};
use tokio::sync::watch;

use crate::{
    config::Config,
    error::Unavailable,
    schema::{CATALOG, NAMESPACE},
    table::Prepared,
};

/// Connections: for the lock, for commits, for questions.
const CONNECTIONS: u32 = 4;

/// A statement that takes longer is given up, and what it was to do is tried again.
const STATEMENT_TIMEOUT: &str = "30s";

/// A lake that is frozen for longer loses its lock, and its open transaction much sooner.
const IDLE_TIMEOUT: &str = "20s";
const FROZEN_AFTER: &str = "2s";

/// The database; cheap to clone.
#[derive(Clone)]
pub(crate) struct Catalog {
    hosts: Database,
    database: PgPool,
}

/// Messages of one stream, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Time at which the stream was made, in µs since the Unix epoch.
    pub(crate) stream_created_us: i64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Catalog {
    /// Connects when first used.
    pub(crate) async fn connect(config: &Config) -> Result<Self, sqlx::Error> {
        let hosts = Database::open(&config.database_url).await?;
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(Duration::from_secs(5));
        let database = hosts.pool(pool, |options| {
            options
                .application_name("clickwire-lake")
                .options([
                    ("statement_timeout", STATEMENT_TIMEOUT),
                    ("idle_in_transaction_session_timeout", FROZEN_AFTER),
                    ("plan_cache_mode", "force_custom_plan"),
                ])
                .log_slow_statements(log::LevelFilter::Off, Duration::ZERO)
        });
        Ok(Self { hosts, database })
    }

    /// The database's primary, and what becomes of it.
    pub(crate) fn primary(&self) -> watch::Receiver<Option<Primary>> {
        self.hosts.primary()
    }

    /// The database itself, for questions.
    pub(crate) fn database(&self) -> &PgPool {
        &self.database
    }

    /// A connection that holds the lake's lock for as long as it lives and is used.
    pub(crate) async fn lock(&self, lock: AdvisoryLock) -> Result<PoolConnection<Postgres>, Unavailable> {
        let mut connection = self.database.acquire().await?;
        // It is never given back: the lock ends with it.
        connection.close_on_drop();
        sqlx::query("SELECT set_config('idle_session_timeout', $1, false)")
            .bind(IDLE_TIMEOUT)
            .execute(&mut *connection)
            .await?;
        let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
            .bind(lock.deployment)
            .bind(lock.work)
            .fetch_one(&mut *connection)
            .await?;
        if is_ours { Ok(connection) } else { Err(Unavailable::Another) }
    }

    /// From now on the stream forgets nothing that the lake has not read.
    pub(crate) async fn attach(&self) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO lake_attachment DEFAULT VALUES ON CONFLICT DO NOTHING")
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Notes what the lake waits for, for whoever watches; `None`: for nothing.
    pub(crate) async fn waits(&self, service: Option<&str>) -> Result<(), sqlx::Error> {
        let noted = "UPDATE lake_attachment SET waiting_for = $1 WHERE waiting_for IS DISTINCT FROM $1";
        sqlx::query(noted).bind(service).execute(&self.database).await?;
        Ok(())
    }

    /// The stream need not wait for the lake any more.
    pub(crate) async fn detach(&self) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM lake_attachment").execute(&self.database).await?;
        Ok(())
    }

    /// The message behind the last range of a stream; `None` before its first.
    pub(crate) async fn next(
        &self,
        stream: &str,
        stream_created_us: i64,
    ) -> Result<Option<u64>, sqlx::Error> {
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(last_seq) FROM lake_ranges WHERE stream = $1 AND stream_created_us = $2",
        )
        .bind(stream)
        .bind(stream_created_us)
        .fetch_one(&self.database)
        .await?;
        Ok(last.map(|last| last as u64 + 1))
    }

    /// Returns the location of a table's metadata; `None` if there is no such table.
    pub(crate) async fn pointer(&self, table: &str) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT metadata_location FROM iceberg_tables \
              WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3",
        )
        .bind(CATALOG)
        .bind(NAMESPACE)
        .bind(table)
        .fetch_optional(&self.database)
        .await
    }

    /// A transaction for a commit.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.database.begin().await
    }
}

/// Puts a new table into the catalog.
pub(crate) async fn create(
    transaction: &mut PgConnection,
    table: &str,
    location: &str,
    metadata: &str,
) -> Result<(), Unavailable> {
    sqlx::query(
        "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value) \
         VALUES ($1, $2, 'exists', 'true') ON CONFLICT DO NOTHING",
    )
    .bind(CATALOG)
    .bind(NAMESPACE)
    .execute(&mut *transaction)
    .await?;
    let created = sqlx::query(
        "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) \
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(CATALOG)
    .bind(NAMESPACE)
    .bind(table)
    .bind(location)
    .execute(&mut *transaction)
    .await?;
    if created.rows_affected() != 1 {
        return Err(Unavailable::Another);
    }
    show(transaction, table, location, metadata).await
}

/// Moves a table's pointer, unless another has moved it since.
pub(crate) async fn move_pointer(
    transaction: &mut PgConnection,
    table: &str,
    prepared: &Prepared,
) -> Result<(), Unavailable> {
    let moved = sqlx::query(
        "UPDATE iceberg_tables SET metadata_location = $5, previous_metadata_location = $4 \
          WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND metadata_location = $4",
    )
    .bind(CATALOG)
    .bind(NAMESPACE)
    .bind(table)
    .bind(&prepared.previous)
    .bind(&prepared.location)
    .execute(&mut *transaction)
    .await?;
    if moved.rows_affected() != 1 {
        return Err(Unavailable::Another);
    }
    show(transaction, table, &prepared.location, &prepared.text).await
}

/// Stores a table's metadata for servers, which show them.
async fn show(
    transaction: &mut PgConnection,
    table: &str,
    location: &str,
    metadata: &str,
) -> Result<(), Unavailable> {
    sqlx::query(
        "INSERT INTO lake_metadata (table_namespace, table_name, metadata_location, metadata) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (table_namespace, table_name) \
         DO UPDATE SET metadata_location = excluded.metadata_location, metadata = excluded.metadata",
    )
    .bind(NAMESPACE)
    .bind(table)
    .bind(location)
    .bind(metadata)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Writes down a range that a snapshot names, unless it is known.
pub(crate) async fn restore(
    transaction: &mut PgConnection,
    stream: &str,
    range: Range,
    rows: usize,
    snapshot_id: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO lake_ranges (stream, stream_created_us, first_seq, last_seq, rows, snapshot_id) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(stream)
    .bind(range.stream_created_us)
    .bind(range.first as i64)
    .bind(range.last as i64)
    .bind(rows as i64)
    .bind(snapshot_id)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Writes down that a range of the stream is archived, and the number of its rows.
pub(crate) async fn record(
    transaction: &mut PgConnection,
    stream: &str,
    range: Range,
    rows: usize,
    snapshot_id: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO lake_ranges (stream, stream_created_us, first_seq, last_seq, rows, snapshot_id) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(stream)
    .bind(range.stream_created_us)
    .bind(range.first as i64)
    .bind(range.last as i64)
    .bind(rows as i64)
    .bind(snapshot_id)
    .execute(transaction)
    .await?;
    Ok(())
}
