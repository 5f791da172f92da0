//! The disk that tables take.

use sqlx::{FromRow, PgConnection};

use crate::tables::{OTHERS, TABLES};

/// A table on disk, with its indexes and, if it is a hypertable, all its chunks, compressed or not.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Usage {
    /// The table.
    pub table: String,
    /// Its bytes.
    pub bytes: i64,
    /// Its chunks; `None` of a table that has none.
    pub chunks: Option<i64>,
}

/// The use of every table.
///
/// # Errors
/// What the database says.
pub async fn usage(connection: &mut PgConnection) -> Result<Vec<Usage>, sqlx::Error> {
    let tables: Vec<&str> = TABLES.iter().chain(&OTHERS).copied().collect();
    // A hypertable may be dropped or made while sizes are added up: it has none then.
    sqlx::query_as(
        "SELECT c.relname::text AS \"table\", \
                coalesce(CASE WHEN h.hypertable_name IS NULL THEN pg_total_relation_size(c.oid) \
                              ELSE hypertable_size(c.oid::regclass) END, 0) AS bytes, \
                CASE WHEN h.hypertable_name IS NOT NULL THEN \
                  (SELECT count(*) FROM timescaledb_information.chunks AS k \
                    WHERE k.hypertable_schema = n.nspname AND k.hypertable_name = c.relname) END AS chunks \
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN timescaledb_information.hypertables h ON h.hypertable_schema = n.nspname AND h.hypertable_name = c.relname \
          WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname = ANY($1) ORDER BY c.relname",
    )
    .bind(tables)
    .fetch_all(connection)
    .await
}
