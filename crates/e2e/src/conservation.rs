//! The law that everything here serves: what was sent is what is counted, wherever one looks.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Sent, Stack, eventually};

/// Where clicks are counted.
const PLACES: [(&str, &str); 4] = [
    ("ledger", "SELECT advertiser_id, count(*) FROM clicks GROUP BY 1"),
    (
        "minutes",
        "SELECT advertiser_id, sum(valid + duplicate + givt + sivt + test + defective)::bigint FROM click_minutes GROUP BY 1",
    ),
    (
        "hours",
        "SELECT advertiser_id, sum(valid + duplicate + givt + sivt + test + defective)::bigint FROM click_hours GROUP BY 1",
    ),
    (
        "days",
        "SELECT advertiser_id, sum(valid + duplicate + givt + sivt + test + defective)::bigint FROM click_days GROUP BY 1",
    ),
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
    for (place, sql) in PLACES {
        let counted: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(stack.database()).await?;
        let counted: Sent = counted.into_iter().collect();
        ensure!(counted == *sent, "{place}: {counted:?} instead of {sent:?}");
    }
    Ok(())
}
