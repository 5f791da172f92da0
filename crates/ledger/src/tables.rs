//! The owners of tables: which of them the ledger alone writes, and which others do.

/// The tables that this crate writes and no other: clicks and verdicts on them, what is counted from clicks, how
/// far that is, and incidents with the notes and the news about them.
///
/// Every other table of `migrations/` is in [`OTHERS`]; `tests/one_writer.rs` says so when one is in neither.
pub const TABLES: [&str; 26] = [
    "adjustments",
    "alert_changes",
    "alert_notes",
    "alerts",
    "click_minutes",
    "clicks",
    "day_counts",
    "day_counts_by_ad",
    "day_counts_by_campaign",
    "day_counts_by_place",
    "deployment",
    "erasures",
    "hour_counts",
    "hour_counts_by_ad",
    "hour_counts_by_campaign",
    "hour_counts_by_place",
    "judged",
    "minute_counts_by_advertiser",
    "minute_counts_by_campaign",
    "reconciliations",
    "rollup_progress",
    "stale_hours",
    "unique_days",
    "unique_hours",
    "unique_minutes",
    "watermarks",
];

/// The tables that others write: the handlers that are about accounts, keys, rules, exports and the catalogue, the dead
/// letters' crate, the lake, and the database's own triggers.
pub const OTHERS: [&str; 24] = [
    "account_tokens",
    "accounts",
    "accounts_version",
    "ads",
    "advertisers",
    "api_keys",
    "api_keys_version",
    "audit_log",
    "campaigns",
    "day_changes",
    "dead_letter_actions",
    "ended_sessions",
    "export_jobs",
    "export_pieces",
    "fraud_rules",
    "iceberg_namespace_properties",
    "iceberg_tables",
    "lake_adjustments",
    "lake_attachment",
    "lake_days",
    "lake_erasures",
    "lake_metadata",
    "lake_ranges",
    "report_schedules",
];
