//! Small batches of several partitions are counted in one transaction, and what is wrong with one of them is nothing
//! to the others.

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream;
use clickwire_e2e::{Buckets, Program, Stack, eventually};
use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::dead_letters::{click, nats, publish, wait_for_letters};

const PARTITIONS: u16 = 4;

const COUNTED_WITHIN: Duration = Duration::from_secs(20);

/// Publishes clicks on all partitions at once: a number for each.
async fn publish_on_all(stack: &Stack, nats: &jetstream::Context, clicks: [usize; 4]) -> Result<()> {
    let names = stack.names();
    try_join_all((0..PARTITIONS).zip(clicks).map(async |(partition, clicks)| {
        let messages = (0..clicks).map(|_| click("ad_001").to_string().into_bytes()).collect();
        publish(nats, &names.subject(partition), messages).await
    }))
    .await?;
    Ok(())
}

async fn wait_for(stack: &Stack, clicks: i64) -> Result<()> {
    eventually(&format!("{clicks} clicks are counted"), COUNTED_WITHIN, async || {
        (stack.ledger().await.ok()? == clicks).then_some(())
    })
    .await
}

async fn transactions(aggregator: &Program) -> Result<f64> {
    aggregator.metric("clickwire_batch_clicks_count").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_clicks_of_all_partitions_share_a_transaction() -> Result<()> {
    let stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let nats = nats(&stack).await?;
    publish_on_all(&stack, &nats, [1; 4]).await?;
    wait_for(&stack, 4).await?;

    let before = transactions(&aggregator).await?;
    for round in 1..=10 {
        publish_on_all(&stack, &nats, [5; 4]).await?;
        wait_for(&stack, 4 + round * 20).await?;
    }
    // A round that meets the end of the batches is two; four partitions apart are four. The last is noted a moment
    // after others see what it counted.
    let in_all = eventually("all transactions are noted", COUNTED_WITHIN, async || {
        let in_all = transactions(&aggregator).await.ok()? - before;
        (in_all >= 10.0).then_some(in_all)
    })
    .await?;
    assert!(in_all < 40.0, "{in_all} transactions for 10 rounds of 4 partitions");
    assert_eq!(stack.received(Buckets::Minutes).await?, 204);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_click_a_large_batch_and_few_clicks_are_counted_beside_each_other() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.start_aggregator().await?.kill().await?;
    let server = stack.start_server().await?;
    let nats = nats(&stack).await?;
    // Readable, but PostgreSQL stores no NUL: only the database finds out, for all that are in the transaction.
    let refused = vec![click("ad\u{0}1").to_string().into_bytes()];
    publish(&nats, &stack.names().subject(1), refused).await?;
    publish_on_all(&stack, &nats, [1, 10, 2_000, 40]).await?;
    let aggregator = stack.start_aggregator().await?;
    wait_for(&stack, 2_051).await?;
    let letters = wait_for_letters(&stack.as_admin()?, 1).await?;
    assert_eq!(letters[0]["code"], "refused");
    assert_eq!(stack.received(Buckets::Minutes).await?, 2_051);

    // What was in one transaction with it does not come again.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(aggregator.metric("clickwire_clicks_known_total").await?, 0.0);
    drop(server);
    Ok(())
}
