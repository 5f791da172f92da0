//! A lake that dies anywhere, or gets no answers, writes no click twice and loses none.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Load, Program, Sent, Stack, Wire, conservation, eventually};
use clickwire_services::Server as Service;

use super::{PATIENCE, click};

/// SIGABRT: what dies at a point dies by this, and nothing else does.
const ABORTED: i32 = 6;

const POINTS: [&str; 8] = [
    "lake_read",
    "lake_settled",
    "lake_file_written",
    "lake_written",
    "lake_before_commit",
    "lake_committed",
    "lake_acknowledged",
    // A second time, into what the crashes before have left.
    "lake_committed",
];

/// Waits that end by a limit of the lake: a commit over a wire that is gone takes 15 s, with those before it.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_no_click_and_writes_none_twice() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut sent = Sent::new();
    for (round, point) in POINTS.into_iter().enumerate() {
        let load = Load::start(&stack, 2, round as u64)?;
        let lake = stack.begin_lake(Some(&format!("{point}={}*off->return", round % 3))).await?;
        let ended = lake.ended(HEALED_WITHIN).await.with_context(|| point.to_owned())?;
        ensure!(ended.signal() == Some(ABORTED), "{point}: {ended}");
        load.goes_on(50).await?;
        load.finish(&mut sent).await?;
        let successor = stack.start_lake().await?;
        conservation::holds(&stack, &sent, PATIENCE).await?;
        stack.lake_equals_ledger(PATIENCE).await.with_context(|| point.to_owned())?;
        successor.kill().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_found_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut lake = stack.begin_lake(Some("lake_unanswered=1*off->2*return->off")).await?;
    lake.await_ready().await?;
    for batch in 0..4 {
        stack.publish(&(0..20).map(|user| click(batch * 100 + user)).collect::<Vec<_>>()).await?;
        let expected = (batch as i64 + 1) * 20;
        eventually("the batch is archived", PATIENCE, async || {
            (stack.archived().await.ok()? == expected).then_some(())
        })
        .await?;
    }
    stack.lake_equals_ledger(PATIENCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_to_the_broker() -> Result<()> {
    faults(Service::Nats, "nats").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_to_the_database() -> Result<()> {
    faults(Service::Database, "database").await
}

async fn faults(service: Service, name: &str) -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    // Between the lake and the service alone.
    stack.wire().await?;
    let lake = stack.start_lake().await?;
    let mut sent = Sent::new();
    for (round, wire) in [Wire::Cut, Wire::HalfOpen, Wire::HalfOpen].into_iter().enumerate() {
        let load = Load::start(&stack, 2, round as u64)?;
        load.goes_on(50).await?;
        stack.wire_to(service)?.set(wire);
        says(&lake, name, "waiting").await.with_context(|| format!("{wire:?}"))?;
        load.goes_on(50).await?;
        stack.wire_to(service)?.set(Wire::Whole);
        load.finish(&mut sent).await?;
        conservation::holds(&stack, &sent, PATIENCE).await?;
        stack.lake_equals_ledger(HEALED_WITHIN).await.with_context(|| format!("{name}, after {wire:?}"))?;
        says(&lake, name, "ok").await?;
    }
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    Ok(())
}

async fn says(lake: &Program, service: &str, expected: &str) -> Result<()> {
    eventually(&format!("/health says that {service} is {expected}"), HEALED_WITHIN, async || {
        (lake.says_of(service).await.ok()? == expected).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_is_read_from_its_beginning() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    let mut clicks = 0;
    for generation in 0..3 {
        let batch: Vec<_> = (0..60).map(|user| click(generation * 1_000 + user)).collect();
        stack.publish(&batch).await?;
        clicks += 60;
        eventually("all are archived", HEALED_WITHIN, async || {
            (stack.archived().await.ok()? == clicks).then_some(())
        })
        .await?;
        stack.lake_equals_ledger(PATIENCE).await?;
        let broker = stack.broker().await?;
        broker.delete_stream(stack.names().stream()).await?;
        // The aggregator makes it anew, and its housekeeping goes on; the lake comes later.
        eventually("the stream is there again", HEALED_WITHIN, async || {
            let stream = broker.get_stream(stack.names().stream()).await.ok()?;
            let mut consumers = 0;
            for partition in 0..4 {
                let name = stack.names().consumer(partition);
                consumers += usize::from(stream.consumer_info(name).await.is_ok());
            }
            (consumers == 4).then_some(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_object_store_clicks_wait_on_the_stream() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    stack.publish(&(0..30).map(click).collect::<Vec<_>>()).await?;
    eventually("all are archived", PATIENCE, async || (stack.archived().await.ok()? == 30).then_some(()))
        .await?;
    stack.object_store(false)?;
    stack.publish(&(30..60).map(click).collect::<Vec<_>>()).await?;
    says(&lake, "object_store", "waiting").await?;
    eventually("they are counted", PATIENCE, async || (stack.ledger().await.ok()? == 60).then_some(()))
        .await?;
    assert_eq!(stack.archived().await?, 30);
    assert!(super::kept(&stack).await.is_some_and(|kept| kept >= 30));
    stack.object_store(true)?;
    eventually("all are archived", HEALED_WITHIN, async || {
        (stack.archived().await.ok()? == 60).then_some(())
    })
    .await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    says(&lake, "object_store", "ok").await
}
