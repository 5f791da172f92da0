//! Texts for operators about storage.

use clickwire_protocol::storage::{Removal, TableStorage};

use crate::format;

texts! {
    STORAGE = "Storage";
    DATABASE_SIZE = "Database";
    STREAM_SIZE = "Stream";
    SPOOL_SIZE = "Spool of this server";
    FREE_DISK = "Free on its disk";
    RETENTION = "Retention";
    RETENTION_DONE = "Done";
    RETENTION_FAILED = "Failed";
    RETENTION_NEVER_SEEN = "No round is known. An aggregator tells of each of its rounds over Redis.";
    NOT_KNOWN = "not known";
    TABLES_OF_DATABASE = "Tables of the database";
    TABLE = "Table";
    HOLDS = "Holds";
    CHUNKS = "Chunks";
    OLDEST = "Oldest";
    KEPT_FOR = "Kept";
    SETTING = "Setting of the aggregator";
    REMOVED_BY = "Removed by";
    FOR_EVER = "for ever";
    OVERDUE = "Overdue";
    OVERDUE_WHY = "The oldest chunk should have been dropped by now.";
    OTHER_TABLES = "Everything else";
    WHOLE_DATABASE = "Database";
    NO_LIMIT = "no limit";
    STORAGE_SETTINGS = "How long data is kept is set in the environment of the aggregator and takes effect after its restart. This page changes nothing.";
    STREAM_LIMIT_WHY = "The stream’s limit is CLICKWIRE_STREAM_MAX_BYTES of the aggregator: a full stream refuses clicks.";
    SPOOL_LIMIT_WHY = "The spool’s limit is CLICKWIRE_SPOOL_MAX_BYTES of the server; its file stays as large as it once was.";
    TASKS = "Tasks of the last round";
}

/// Content of a table.
pub fn table_holds(table: &str) -> &'static str {
    match table {
        "clicks" => say!("the ledger: every click"),
        "click_minutes" => say!("counts by minute"),
        "unique_minutes" => say!("unique users by minute"),
        "unique_hours" => say!("unique users by hour"),
        "unique_days" => say!("unique users by day"),
        "minute_counts_by_advertiser" => say!("minutes by advertiser"),
        "minute_counts_by_campaign" => say!("minutes by campaign"),
        "hour_counts" => say!("hours"),
        "hour_counts_by_ad" => say!("hours by ad"),
        "hour_counts_by_campaign" => say!("hours by campaign"),
        "hour_counts_by_place" => say!("hours by country and device"),
        "day_counts" => say!("days"),
        "day_counts_by_ad" => say!("days by ad"),
        "day_counts_by_campaign" => say!("days by campaign"),
        "day_counts_by_place" => say!("days by country and device"),
        "alerts" => say!("incidents"),
        "alert_changes" => say!("news about incidents"),
        "export_pieces" => say!("files of exports"),
        "adjustments" => say!("changes of verdicts"),
        "audit_log" => say!("the audit log"),
        "dead_letter_actions" => say!("what was done with dead letters"),
        "reconciliations" => say!("comparisons with the ledger"),
        _ => "",
    }
}

/// Way in which old rows leave a table.
pub fn removed_by(table: &TableStorage) -> &'static str {
    match (table.removal, table.table.as_str(), table.days) {
        (Removal::Never, _, _) | (_, _, Some(0)) => say!("nothing"),
        (Removal::Rows, "export_pieces", _) => say!("each file’s own end"),
        (Removal::Chunks, _, _) => say!("housekeeping, by the chunk"),
        (Removal::Rows, _, _) => say!("housekeeping, by the row"),
    }
}

/// Retention of a table.
pub fn kept_for(table: &TableStorage) -> String {
    match (table.removal, &table.setting, table.days) {
        (Removal::Never, _, _) | (_, Some(_), Some(0)) => FOR_EVER.to_string(),
        (_, Some(_), Some(1)) => say!("1 day").to_owned(),
        (_, Some(_), Some(days)) => say!("{days} days", days = format::count(i64::from(days))),
        (_, Some(_), None) => NOT_KNOWN.to_string(),
        (_, None, _) => say!("up to 8 days").to_owned(),
    }
}

/// The chunks of a table, and those that are compressed.
pub fn chunks_of(chunks: i64, compressed: i64) -> String {
    match compressed {
        0 => format::count(chunks),
        compressed => say!(
            "{chunks}, {compressed} compressed",
            chunks = format::count(chunks),
            compressed = format::count(compressed)
        ),
    }
}

/// Number of bytes, and its limit.
pub fn bytes_of(bytes: u64, limit: Option<u64>) -> String {
    match limit {
        Some(limit) => say!(
            "of {limit}, {percent} %",
            limit = format::bytes(limit as f64),
            percent = filled(bytes, limit)
        ),
        None => NO_LIMIT.to_string(),
    }
}

/// Returns the share of a limit that is used, in whole percent.
pub fn filled(bytes: u64, limit: u64) -> u64 {
    (u128::from(bytes) * 100 / u128::from(limit.max(1))).try_into().unwrap_or(u64::MAX)
}

/// A round of housekeeping.
pub fn last_round(at: &str, every_seconds: u64) -> String {
    say!("{at}, every {every_seconds} s", at, every_seconds)
}

/// A task of housekeeping.
pub fn housekeeping_task(name: &str) -> String {
    match name {
        "chunks ahead" => say!("Make chunks ahead").to_owned(),
        "retention" => say!("Remove what is old").to_owned(),
        "unique users" => say!("Fold unique users into hours and days").to_owned(),
        "stream" => say!("Remove counted clicks from the stream").to_owned(),
        "disk" => say!("Measure tables").to_owned(),
        "background jobs" => say!("Look at the database’s jobs").to_owned(),
        "replicas" => say!("Look at copies of the stream").to_owned(),
        "dead letters" => say!("Count dead letters").to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(table: &str, removal: Removal, setting: Option<&str>, days: Option<u32>) -> TableStorage {
        TableStorage {
            table: table.to_owned(),
            bytes: 0,
            chunks: None,
            compressed_chunks: None,
            oldest_ms: None,
            removal,
            setting: setting.map(str::to_owned),
            days,
        }
    }

    #[test]
    fn how_long_a_table_is_kept_is_said_as_far_as_it_is_known() {
        for (table, kept, by) in [
            (table("clicks", Removal::Chunks, Some("S"), Some(30)), "30 days", "housekeeping, by the chunk"),
            (table("alerts", Removal::Rows, Some("S"), Some(1)), "1 day", "housekeeping, by the row"),
            (table("hour_counts", Removal::Rows, Some("S"), Some(0)), "for ever", "nothing"),
            (table("clicks", Removal::Chunks, Some("S"), None), "not known", "housekeeping, by the chunk"),
            (table("audit_log", Removal::Never, None, None), "for ever", "nothing"),
            (table("export_pieces", Removal::Rows, None, None), "up to 8 days", "each file’s own end"),
        ] {
            assert_eq!((kept_for(&table).as_str(), removed_by(&table)), (kept, by), "{}", table.table);
        }
    }

    #[test]
    fn a_limit_is_said_with_what_is_used_of_it() {
        assert_eq!(bytes_of(1_500_000, Some(3_000_000)), "of 3 MB, 50 %");
        assert_eq!(bytes_of(1, None), "no limit");
        assert_eq!([filled(0, 0), filled(1, 0), filled(u64::MAX, u64::MAX)], [0, 100, 100]);
        assert_eq!([chunks_of(30, 0), chunks_of(30, 18)], ["30", "30, 18 compressed"]);
    }
}
