//! Storage on its page: tables with their sizes and what is set, limits, the last round of housekeeping.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, Wire, eventually};
use clickwire_services::Server as Service;
use serde_json::Value;

use super::{Browser, dead_letters::signed_in};
use crate::live;

/// Longer than an answer is given again.
const PATIENCE: Duration = Duration::from_secs(30);

async fn measured(stack: &Stack) -> Result<Value> {
    let (status, body) = stack.as_admin()?.connection().get("/api/v1/admin/storage").await?;
    ensure!(status.is_success(), "{status}");
    Ok(serde_json::from_slice(&body)?)
}

/// Waits until the API says so of storage.
async fn becomes(stack: &Stack, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let outcome = eventually(what, PATIENCE, async || measured(stack).await.ok().filter(&is_so)).await;
    match outcome {
        Ok(storage) => Ok(storage),
        Err(error) => Err(error.context(measured(stack).await.unwrap_or_default().to_string())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_bytes_are_is_seen_and_how_long_they_are_kept() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post_for(&stack, "adv_001", 10).await?;
    live::counted(&stack, 10).await?;
    let storage = becomes(&stack, "a round of housekeeping is known", |storage| {
        storage["housekeeping"]["tasks"].as_array().is_some_and(|tasks| {
            tasks.iter().any(|task| task["task"] == "retention" && task["is_done"] == true)
        })
    })
    .await?;
    let tables = storage["tables"].as_array().context("no tables")?;
    let clicks = tables.iter().find(|table| table["table"] == "clicks").context("no table of clicks")?;
    ensure!(clicks["days"] == 30 && clicks["setting"] == "CLICKWIRE_LEDGER_RETENTION_DAYS", "{clicks}");
    ensure!(
        clicks["chunks"].as_i64().is_some_and(|chunks| chunks >= 4),
        "yesterday to the day after tomorrow: {clicks}"
    );
    ensure!(clicks["oldest_ms"].is_i64() && clicks["compressed_chunks"].is_i64(), "{clicks}");
    let listed: i64 = tables.iter().filter_map(|table| table["bytes"].as_i64()).sum();
    let all = storage["database_bytes"].as_i64().context("no size")?;
    ensure!(listed > 0 && listed <= all, "{listed} of {all} bytes");
    ensure!(storage["stream"]["max_bytes"].is_u64() && storage["spool"]["free_bytes"].is_u64(), "{storage}");

    let browser = signed_in(&stack, "olga@clickwire.example", "ops", "/storage?z=UTC").await?;
    browser.sees("CLICKWIRE_LEDGER_RETENTION_DAYS").await?;
    browser.sees("30 days").await?;
    browser.sees("Remove what is old").await?;
    ensure!(browser.text().await?.contains("Everything else"), "what is in no row is left out");
    browser
        .looks(&[
            ("storage-light.png", 1440, 900, "light"),
            ("storage-dark.png", 1440, 900, "dark"),
            ("storage-phone.png", 360, 780, "light"),
            ("storage-4k.png", 3840, 2160, "dark"),
        ])
        .await?;

    // What only the broker knows is not known without it.
    stack.wire_to(Service::Nats)?.set(Wire::Cut);
    becomes(&stack, "the stream is not known", |storage| storage["stream"].is_null()).await?;
    browser.client.refresh().await?;
    eventually("the page says so", PATIENCE, async || says_unknown(&browser).await).await
}

async fn says_unknown(browser: &Browser) -> Option<()> {
    let script = "return document.querySelector('[data-testid=stream-bytes]')?.innerText";
    browser.run(script).await.ok()?.as_str()?.contains("not known").then_some(())
}
