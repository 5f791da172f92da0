//! The law that everything here serves: what was sent is what is counted, wherever one looks.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_ledger::counts::RECEIVED;
use sqlx::AssertSqlSafe;

use crate::{Sent, Stack, eventually};

/// Places where clicks are counted, and their tables.
const PLACES: [(&str, &str); 8] = [
    ("ledger", "clicks"),
    ("minutes", "click_minutes"),
    ("hours", "click_hours"),
    ("days", "click_days"),
    ("hours by campaign", "click_hours_by_campaign"),
    ("hours by place", "click_hours_by_place"),
    ("days by campaign", "click_days_by_campaign"),
    ("days by place", "click_days_by_place"),
];

/// Waits until the ledger holds what was sent, then compares it and all buckets with that, advertiser
/// by advertiser.
pub async fn holds(stack: &Stack, sent: &Sent, within: Duration) -> Result<()> {
    let expected: i64 = sent.values().sum();
    let counted = eventually("every click that was taken is in the ledger", within, async || {
        stack.ledger().await.ok().filter(|&ledger| ledger >= expected)
    })
    .await;
    if counted.is_err() {
        ensure!(false, "after {within:?} the ledger holds {} of {expected} clicks", stack.ledger().await?);
    }
    for (place, table) in PLACES {
        let total =
            if table == "clicks" { "count(*)".to_owned() } else { format!("sum({RECEIVED})::bigint") };
        let sql = format!("SELECT advertiser_id, {total} FROM {table} GROUP BY 1");
        let counted: Vec<(String, i64)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(stack.database()).await?;
        let counted: Sent = counted.into_iter().collect();
        ensure!(counted == *sent, "{place}: {counted:?} instead of {sent:?}");
    }
    Ok(())
}
