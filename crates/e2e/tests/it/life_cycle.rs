//! Retentions are set in one place and in an order that works; the space that is taken is seen.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};

use super::live::{counted, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_of_each_table_is_in_the_metrics() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    post(&stack, 3).await?;
    counted(&stack, 3).await?;
    // A round that came before the first chunk sees the next one a minute later; so it is another aggregator's.
    aggregator.kill().await?;
    let aggregator = stack.start_aggregator().await?;
    eventually("tables are measured", Duration::from_secs(20), async || {
        (aggregator.metric("clickwire_table_bytes{table=\"clicks\"}").await.ok()? > 0.0).then_some(())
    })
    .await?;
    for table in ["clicks", "click_minutes", "unique_minutes", "accounts", "audit_log", "erasures"] {
        let bytes = aggregator.metric(&format!("clickwire_table_bytes{{table=\"{table}\"}}")).await?;
        ensure!(bytes > 0.0, "{table}: {bytes} bytes");
    }
    // As the database itself counts them.
    let chunks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'clicks'",
    )
    .fetch_one(stack.database())
    .await?;
    let measured = aggregator.metric("clickwire_table_chunks{table=\"clicks\"}").await?;
    assert_eq!((measured, measured > 0.0), (chunks as f64, true));
    assert_eq!(aggregator.metric("clickwire_table_chunks{table=\"accounts\"}").await?, 0.0, "it has none");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retentions_in_a_wrong_order_end_the_program_with_the_name_of_the_setting() -> Result<()> {
    for (name, value) in [
        ("CLICKWIRE_LEDGER_RETENTION_DAYS", "12"),
        ("CLICKWIRE_MINUTES_RETENTION_DAYS", "29"),
        ("CLICKWIRE_ROLLUPS_RETENTION_DAYS", "399"),
        ("CLICKWIRE_UNIQUE_MINUTES_RETENTION_DAYS", "2"),
        ("CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS", "91"),
    ] {
        let mut stack = Stack::new().await?;
        stack.set(name, value);
        let output = stack.command(&[]).await?;
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && says.contains(&format!("{name} ({value}): ")), "{name}: {says}");
    }
    Ok(())
}
