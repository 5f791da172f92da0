//! Questions are answered by a replica of the database, which is behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Stack, eventually};
use serde_json::Value;
use tokio::task::block_in_place;

use super::live::{self, SOON, shows};

const SUMMARY: &str = "/api/v1/analytics/summary?advertiser_id=adv_001";

async fn ask(stack: &Stack, path: &str) -> Result<Value> {
    let (status, body) = stack.as_viewer("adv_001")?.connection().get(path).await?;
    ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}

async fn received(stack: &Stack) -> Result<Option<i64>> {
    Ok(ask(stack, SUMMARY).await?["totals"]["received"].as_i64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_answers_as_of_what_it_has_and_a_live_view_begins_with_everything() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let standby = block_in_place(|| stack.services().start_standby())?;
    stack.set("CLICKWIRE_READER_DATABASE_URL", &standby.url("clickwire"));
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 20).await?;
    live::counted(&stack, 20).await?;
    eventually("the replica has them", Duration::from_secs(10), async || {
        (received(&stack).await.ok()? == Some(20)).then_some(())
    })
    .await?;
    let mut open = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut open, 20, SOON).await?;

    block_in_place(|| standby.psql("clickwire", "SELECT pg_wal_replay_pause()"))?;
    let before = ask(&stack, SUMMARY).await?["basis"]["final_before"].clone();
    live::post(&stack, 10).await?;
    live::counted(&stack, 30).await?;
    // A view that is open goes on by what is published; questions are answered as of the pause, and say so.
    shows(&mut open, 30, SOON).await?;
    let late = ask(&stack, SUMMARY).await?;
    ensure!(late["totals"]["received"] == 20 && late["basis"]["final_before"] == before, "{late}");
    for path in
        ["/api/v1/campaigns?advertiser_id=adv_001", "/api/v1/analytics/aggregate?advertiser_id=adv_001"]
    {
        ask(&stack, path).await?;
    }
    // Of a view that nobody has open the beginning is not on the replica: it waits, and never shows less.
    live::post_for(&stack, "adv_002", 7).await?;
    live::counted(&stack, 37).await?;
    let mut new = Watch::new(stack.as_viewer("adv_002")?, Stack::view("adv_002"));
    let early = shows(&mut new, 7, Duration::from_secs(2)).await;
    ensure!(early.is_err() && new.state().position.is_none(), "{:?}", new.state());
    block_in_place(|| standby.psql("clickwire", "SELECT pg_wal_replay_resume()"))?;
    shows(&mut new, 7, SOON).await?;
    shows(&mut open, 30, SOON).await?;
    eventually("the replica has everything", Duration::from_secs(10), async || {
        (received(&stack).await.ok()? == Some(30)).then_some(())
    })
    .await
}
