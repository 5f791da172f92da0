//! Two lakes at once: one archives, and the other takes over when the first is gone or stands still.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Load, Sent, Stack, conservation, eventually};

use super::PATIENCE;

/// The lock of a lake that does not use it ends after 20 s; and what a busy machine adds.
const TAKEN_OVER: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_lake_is_replaced_and_does_no_harm_when_it_thaws() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut sent = Sent::new();
    let load = Load::start(&stack, 2, 1)?;
    let first = stack.start_lake().await?;
    load.goes_on(100).await?;
    first.freeze(true).await?;
    let mut second = stack.begin_lake(None).await?;
    load.goes_on(100).await?;
    eventually("the second takes over", TAKEN_OVER, async || second.await_ready().await.ok()).await?;
    load.goes_on(100).await?;
    first.freeze(false).await?;
    load.goes_on(200).await?;
    load.finish(&mut sent).await?;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    // It is there still, and takes over in its turn.
    second.kill().await?;
    let load = Load::start(&stack, 2, 2)?;
    load.goes_on(100).await?;
    load.finish(&mut sent).await?;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    stack.lake_equals_ledger(TAKEN_OVER).await?;
    ensure!(first.stop(Duration::from_secs(10)).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_lakes_that_run_at_once_one_archives_at_a_time() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut lakes = [stack.begin_lake(None).await?, stack.begin_lake(None).await?];
    let mut sent = Sent::new();
    for round in 0..4 {
        let load = Load::start(&stack, 2, round)?;
        load.goes_on(100).await?;
        // Whichever of them archives, it is gone in one of two rounds.
        let lake = &mut lakes[round as usize % 2];
        lake.crash().await?;
        lake.revive().await?;
        load.finish(&mut sent).await?;
        conservation::holds(&stack, &sent, PATIENCE).await?;
        stack.lake_equals_ledger(TAKEN_OVER).await?;
        let mut ready = 0;
        for lake in &lakes {
            let (status, _) = lake.http()?.connection().get("/readyz").await?;
            ready += usize::from(status.is_success());
        }
        ensure!(ready <= 1, "{ready} lakes archive");
    }
    Ok(())
}
