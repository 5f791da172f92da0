//! The disk space of tables, and the way in which old rows leave them.

use clickwire_protocol::storage::Removal;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use time::OffsetDateTime;

use crate::{
    incidents,
    retention::Kept,
    tables::{OTHERS, TABLES},
};

/// A table on disk, with its indexes and, if it is a hypertable, all its chunks, compressed or not.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Usage {
    /// The table.
    pub table: String,
    /// Its bytes.
    pub bytes: i64,
    /// Its chunks; `None` of a table that has none.
    pub chunks: Option<i64>,
    /// Its compressed chunks.
    pub compressed: Option<i64>,
    /// The start of its oldest chunk.
    pub oldest: Option<OffsetDateTime>,
}

/// The way in which the time of a table's oldest row is found: never by reading all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oldest {
    /// The start of the oldest chunk.
    Chunks,
    /// The first of an index over this column.
    Indexed(&'static str),
    /// The column of the row with the lowest number.
    Numbered(&'static str, &'static str),
    /// Rows have no time.
    Unknown,
}

/// A table that grows with use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growing {
    /// The table.
    pub table: &'static str,
    oldest: Oldest,
    /// The aggregator's setting that says how long it is kept; `None`: no setting does.
    pub setting: Option<&'static str>,
    /// The way in which old rows leave it.
    pub removal: Removal,
}

impl Growing {
    const fn chunks(table: &'static str, setting: &'static str) -> Self {
        Self { table, oldest: Oldest::Chunks, setting: Some(setting), removal: Removal::Chunks }
    }

    const fn rows(table: &'static str, column: &'static str, setting: &'static str) -> Self {
        Self { table, oldest: Oldest::Indexed(column), setting: Some(setting), removal: Removal::Rows }
    }

    const fn kept(table: &'static str, oldest: Oldest) -> Self {
        Self { table, oldest, setting: None, removal: Removal::Never }
    }

    /// The SQL of the time of its oldest row.
    fn oldest(&self) -> Option<String> {
        let table = self.table;
        match self.oldest {
            Oldest::Chunks | Oldest::Unknown => None,
            Oldest::Indexed(column) => Some(format!("SELECT min({column}) FROM {table}")),
            Oldest::Numbered(column, number) => {
                Some(format!("SELECT {column} FROM {table} ORDER BY {number} LIMIT 1"))
            }
        }
    }
}

const LEDGER: &str = "CLICKWIRE_LEDGER_RETENTION_DAYS";
const MINUTES: &str = "CLICKWIRE_MINUTES_RETENTION_DAYS";
const ROLLUPS: &str = "CLICKWIRE_ROLLUPS_RETENTION_DAYS";
const UNIQUE_MINUTES: &str = "CLICKWIRE_UNIQUE_MINUTES_RETENTION_DAYS";
const INCIDENTS: &str = "CLICKWIRE_INCIDENTS_RETENTION_DAYS";
const NEWS: &str = "CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS";

/// The value of each retention setting, by its name; 0: for ever.
pub fn settings(kept: Kept, incidents: incidents::Kept) -> [(&'static str, u32); 6] {
    [
        (LEDGER, kept.ledger_days),
        (MINUTES, kept.minutes_days),
        (ROLLUPS, kept.rollups_days.unwrap_or(0)),
        (UNIQUE_MINUTES, kept.unique_minutes_days),
        (INCIDENTS, incidents.incidents_days),
        (NEWS, incidents.news_days),
    ]
}

/// The tables that grow with use: with clicks, with incidents, with what people do.
pub const GROWING: [Growing; 22] = [
    Growing::chunks("clicks", LEDGER),
    Growing::chunks("click_minutes", MINUTES),
    Growing::chunks("unique_minutes", UNIQUE_MINUTES),
    Growing::chunks("unique_hours", MINUTES),
    Growing::rows("unique_days", "bucket", MINUTES),
    Growing::rows("minute_counts_by_advertiser", "bucket", MINUTES),
    Growing::rows("minute_counts_by_campaign", "bucket", MINUTES),
    Growing::rows("hour_counts", "bucket", ROLLUPS),
    Growing::rows("hour_counts_by_ad", "bucket", ROLLUPS),
    Growing::rows("hour_counts_by_campaign", "bucket", ROLLUPS),
    Growing::rows("hour_counts_by_place", "bucket", ROLLUPS),
    Growing::rows("day_counts", "bucket", ROLLUPS),
    Growing::rows("day_counts_by_ad", "bucket", ROLLUPS),
    Growing::rows("day_counts_by_campaign", "bucket", ROLLUPS),
    Growing::rows("day_counts_by_place", "bucket", ROLLUPS),
    Growing::rows("alerts", "opened_at", INCIDENTS),
    Growing::rows("alert_changes", "changed_at", NEWS),
    // A file has an end of its own: a day after it was asked for, or eight.
    Growing { table: "export_pieces", oldest: Oldest::Unknown, setting: None, removal: Removal::Rows },
    Growing::kept("adjustments", Oldest::Numbered("adjusted_at", "adjustment_id")),
    Growing::kept("audit_log", Oldest::Numbered("at", "entry_id")),
    Growing::kept("dead_letter_actions", Oldest::Numbered("acted_at", "action_id")),
    Growing::kept("reconciliations", Oldest::Indexed("finished_at")),
];

/// The time of the oldest row of each table of [`GROWING`] whose rows have one, by table; chunks are in [`usage`].
///
/// # Errors
/// What the database says.
pub async fn oldest(
    connection: &mut PgConnection,
) -> Result<Vec<(String, Option<OffsetDateTime>)>, sqlx::Error> {
    let tables = GROWING.iter().filter_map(|growing| Some((growing.table, growing.oldest()?)));
    let sql: Vec<String> = tables.map(|(table, oldest)| format!("SELECT '{table}', ({oldest})")).collect();
    sqlx::query_as(AssertSqlSafe(sql.join(" UNION ALL "))).fetch_all(connection).await
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
                CASE WHEN h.hypertable_name IS NOT NULL THEN coalesce(k.chunks, 0) END AS chunks, \
                CASE WHEN h.hypertable_name IS NOT NULL THEN coalesce(k.compressed, 0) END AS compressed, k.oldest \
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN timescaledb_information.hypertables h ON h.hypertable_schema = n.nspname AND h.hypertable_name = c.relname \
           LEFT JOIN (SELECT hypertable_schema, hypertable_name, count(*) AS chunks, \
                             count(*) FILTER (WHERE is_compressed) AS compressed, min(range_start) AS oldest \
                        FROM timescaledb_information.chunks GROUP BY 1, 2) AS k \
             ON k.hypertable_schema = n.nspname AND k.hypertable_name = c.relname \
          WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname = ANY($1) ORDER BY c.relname",
    )
    .bind(tables)
    .fetch_all(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_a_table_with_a_setting_that_is_known() {
        let incidents = incidents::Kept { incidents_days: 90, news_days: 7 };
        let kept = Kept { ledger_days: 30, minutes_days: 400, rollups_days: None, unique_minutes_days: 3 };
        let settings = settings(kept, incidents);
        for growing in GROWING {
            let table = growing.table;
            assert!(TABLES.iter().chain(&OTHERS).any(|known| *known == table), "{table}");
            assert_eq!(GROWING.iter().filter(|other| other.table == table).count(), 1, "{table}");
            if let Some(setting) = growing.setting {
                assert!(settings.iter().any(|(name, _)| *name == setting), "{table}: {setting}");
            }
        }
        assert!(settings.contains(&("CLICKWIRE_ROLLUPS_RETENTION_DAYS", 0)), "0 is for ever");
    }
}
