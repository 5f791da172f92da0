//! Tables that follow the ledger have what it has: verdicts that changed later, and whole days.

use std::{ops::Range, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_protocol::{click::Click, ids::AdId};
use serde_json::{Value, json};

use super::{PATIENCE, click, yesterday};

/// Clicks of one user within a minute of yesterday, each on another ad: more than 50 of them are none of a person.
pub(super) fn burst(numbers: Range<usize>) -> Vec<Click> {
    let of_user = |number: usize| {
        let mut click = Click { user_id: Some("somebody-in-haste".to_owned()), ..yesterday(number, 20) };
        click.dimensions.ad_id = AdId::unchecked(format!("burst_{number}"));
        click
    };
    numbers.map(of_user).collect()
}

/// A table's metadata, as the last commit has left them.
async fn metadata(stack: &Stack, table: &str) -> Result<Value> {
    let metadata = "SELECT metadata FROM lake_metadata WHERE table_name = $1";
    let metadata: String = sqlx::query_scalar(metadata).bind(table).fetch_one(stack.database()).await?;
    Ok(serde_json::from_str(&metadata)?)
}

/// Rows of a table, and what its newest snapshot did.
async fn newest(stack: &Stack, table: &str) -> Result<(i64, String)> {
    let metadata = metadata(stack, table).await?;
    let snapshots = metadata["snapshots"].as_array().map(Vec::as_slice).unwrap_or_default();
    let current =
        snapshots.iter().find(|snapshot| snapshot["snapshot-id"] == metadata["current-snapshot-id"]);
    let Some(summary) = current.map(|snapshot| &snapshot["summary"]) else { return Ok((0, String::new())) };
    let rows = summary["total-records"].as_str().context("no rows")?.parse()?;
    Ok((rows, summary["operation"].as_str().context("no operation")?.to_owned()))
}

async fn adjustments(stack: &Stack) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM adjustments").fetch_one(stack.database()).await?)
}

async fn publish(stack: &Stack, clicks: &[Click]) -> Result<()> {
    let expected = stack.ledger().await? + clicks.len() as i64;
    stack.publish(clicks).await?;
    eventually("they are counted", PATIENCE, async || (stack.ledger().await.ok()? == expected).then_some(()))
        .await?;
    stack.lake_equals_ledger(PATIENCE).await
}

/// Releases a click that a rule has convicted.
pub(super) async fn release(stack: &Stack, click: &Click) -> Result<()> {
    let path = format!("/api/v1/admin/clicks/{}/release", click.click_id);
    let order = json!({"reason": "a race, by hand"}).to_string().into_bytes();
    let (status, body) = stack.as_admin()?.connection().post(&path, order).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_that_changes_is_copied_once_and_its_day_is_written_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    let first = burst(0..40);
    publish(&stack, &first).await?;
    assert_eq!(newest(&stack, "daily_counts").await?, (40, "append".to_owned()));
    assert_eq!(newest(&stack, "adjustments").await?.0, 0);

    publish(&stack, &burst(40..70)).await?;
    let convicted = adjustments(&stack).await?;
    ensure!(convicted >= 40, "{convicted} adjustments");
    assert_eq!(newest(&stack, "adjustments").await?.0, convicted);
    assert_eq!(newest(&stack, "daily_counts").await?, (70, "overwrite".to_owned()));

    // A person's decision, and one while no lake runs: the mark outlives it.
    release(&stack, &first[0]).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    release(&stack, &first[1]).await?;
    let differs = stack.lake_command_around_now("verify").await?;
    let says = String::from_utf8(differs.stdout)?;
    ensure!(says.contains("adjustments ") && says.contains("daily_counts "), "{says}");
    let _successor = stack.start_lake().await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    assert_eq!(newest(&stack, "adjustments").await?.0, convicted + 2);
    // Nothing is written that has not changed: the next commits are of clicks.
    let days = metadata(&stack, "daily_counts").await?["last-sequence-number"].clone();
    for batch in 0..3 {
        publish(&stack, &[click(1_000 + batch)]).await?;
    }
    assert_eq!(metadata(&stack, "daily_counts").await?["last-sequence-number"], days);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adjustments_that_a_restored_ledger_does_not_have_go_and_their_numbers_come_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    let clicks = burst(0..60);
    publish(&stack, &clicks).await?;
    for click in &clicks[..3] {
        release(&stack, click).await?;
    }
    stack.lake_equals_ledger(PATIENCE).await?;
    let last: i64 =
        sqlx::query_scalar("SELECT max(adjustment_id) FROM adjustments").fetch_one(stack.database()).await?;
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    // As after a restore of an older backup: two of them were never made.
    let restore = format!(
        "ALTER TABLE adjustments DISABLE TRIGGER append_only; DELETE FROM adjustments WHERE adjustment_id > {kept}; \
         ALTER TABLE adjustments ENABLE TRIGGER append_only; \
         ALTER TABLE adjustments ALTER COLUMN adjustment_id RESTART WITH {next}",
        kept = last - 2,
        next = last - 1
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(restore)).execute(stack.database()).await?;
    let adopted = stack.lake_command(&["adopt"]).await?;
    ensure!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    stack.lake_equals_ledger(PATIENCE).await?;
    for click in &clicks[3..6] {
        release(&stack, click).await?;
    }
    let _successor = stack.start_lake().await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    assert_eq!(newest(&stack, "adjustments").await?.0, adjustments(&stack).await?);
    Ok(())
}

/// Waits until the table of days has so many rows.
async fn has_rows(stack: &Stack, expected: i64) -> Result<()> {
    eventually(&format!("{expected} rows of days"), PATIENCE, async || {
        (newest(stack, "daily_counts").await.ok()?.0 == expected).then_some(())
    })
    .await
}

/// A day long gone, as a roll-up has left it.
const LONG_AGO: &str = "date_trunc('day', now() - INTERVAL '500 days', 'UTC')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_of_days_outlive_the_ledgers_and_end_with_their_own_retention() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    let stored = format!(
        "INSERT INTO day_counts SELECT {LONG_AGO}, 'adv_001', 'camp_001', 'ad_' || n, 'DE', 'mobile', n, 0, 0, 0, 0, 0 \
           FROM generate_series(1, 5) AS n"
    );
    sqlx::query(sqlx::AssertSqlSafe(stored)).execute(stack.database()).await?;
    has_rows(&stack, 5).await?;
    // The ledger's retention takes its own days.
    let rounds = "clickwire_housekeeping_rounds_total";
    let before = aggregator.metric(rounds).await?;
    eventually("housekeeping went round", PATIENCE, async || {
        (aggregator.metric(rounds).await.ok()? >= before + 2.0).then_some(())
    })
    .await?;
    sqlx::query("DELETE FROM day_counts").execute(stack.database()).await?;
    publish(&stack, &[yesterday(0, 30)]).await?;
    has_rows(&stack, 6).await?;
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    stack.set("CLICKWIRE_LAKE_RETENTION_DAYS", "30");
    stack.set("CLICKWIRE_LAKE_COUNTS_RETENTION_DAYS", "400");
    let _successor = stack.start_lake().await?;
    has_rows(&stack, 1).await?;
    stack.lake_equals_ledger(PATIENCE).await
}
