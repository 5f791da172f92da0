//! Dashboards that are sent much and read nothing: what they leave unread is bounded, and costs others nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Stack, eventually};
use clickwire_protocol::live::MAX_WINDOW_MINUTES;
use serde_json::json;

use super::live::{SOON, connect, hear, post, say, shows};

/// Sessions that read nothing, each with as many views as it may have.
const SILENT: u32 = 40;
const VIEWS: u32 = 8;

/// The memory that the server may hold for all of them, in MiB, with what it needs to hold anyway. Messages that are
/// not shared take three times as much: a megabyte for each of their views.
const HELD_MIB: f64 = 120.0;

/// Fills the window of adv_001 so that a message by ad has more than a megabyte; returns the number of clicks.
async fn fill(stack: &Stack) -> Result<i64> {
    sqlx::query(
        "INSERT INTO click_minutes (advertiser_id, bucket, campaign_id, ad_id, country, device_type, valid) \
         SELECT 'adv_001', date_trunc('minute', now()) - minute * INTERVAL '1 minute', 'camp_unread', 'ad_' || ad, 'DE', 'mobile', 1 \
           FROM generate_series(1, 235) AS minute, generate_series(1, 60) AS ad",
    )
    .execute(stack.database())
    .await?;
    Ok(235 * 60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_read_nothing_fill_no_memory_and_hold_up_nobody() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LIVE_SESSIONS_PER_ADDRESS", "1000");
    let aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut healthy = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut healthy, 0, SOON).await?;
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut socket = connect(&stack).await?;
        say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
        for id in 0..VIEWS {
            let view = json!({
                "kind": "clicks", "advertiser_id": "adv_001", "group_by": ["ad_id"],
                "window_minutes": MAX_WINDOW_MINUTES - id,
            });
            say(&mut socket, json!({"type": "subscribe", "id": number * VIEWS + id, "view": view})).await?;
            while hear(&mut socket).await?["type"] != "snapshot" {}
        }
        silent.push(socket);
    }

    // Much changes at once: a new aggregator has the database read again.
    let before = server.memory_mib()?;
    let filled = fill(&stack).await?;
    aggregator.kill().await?;
    let _aggregator = stack.start_aggregator().await?;
    shows(&mut healthy, filled, SOON * 2).await?;
    let mut most: f64 = 0.0;
    for posted in 1..=10 {
        most = most.max(server.memory_mib()? - before);
        post(&stack, 1).await?;
        shows(&mut healthy, filled + posted, SOON).await?;
    }
    ensure!(most < HELD_MIB, "{most} MiB more for what nobody reads");

    // One that comes late is served, and those that read nothing are not kept for as long as they please.
    let mut late = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut late, filled + 10, SOON).await?;
    eventually("they are given up", Duration::from_secs(60), async || {
        (server.metric("clickwire_live_sessions").await.ok()? < f64::from(SILENT / 2)).then_some(())
    })
    .await?;
    drop(silent);
    Ok(())
}
