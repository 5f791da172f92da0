//! A service that is away is waited for: nothing is lost, doubled or blamed on a click.

use std::time::Duration;

use anyhow::Result;
use clickwire_e2e::{Buckets, Stack, eventually};
use clickwire_load::traffic;
use clickwire_services::Server as Service;
use rand::{SeedableRng as _, rngs::StdRng};

async fn post(stack: &Stack, clicks: usize, seed: u64) -> Result<i64> {
    let mut poster = stack.poster()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut accepted = 0;
    for _ in 0..clicks {
        let click = traffic::click(&mut random, 0.0);
        let (status, _) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        accepted += i64::from(status.as_u16() == 202);
    }
    Ok(accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_crashes_under_load() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _server = stack.start_server().await?;
    let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    let mut accepted = 0;
    for round in 0..3 {
        let (posted, crashed) = tokio::join!(post(&stack, 300, round), async {
            tokio::task::block_in_place(|| stack.services().kill(Service::Database))
        });
        crashed?;
        // Clicks are taken while the database is away.
        accepted += posted? + post(&stack, 100, 100 + round).await?;
        tokio::task::block_in_place(|| stack.services().restart(Service::Database))?;
    }
    assert_eq!(accepted, 1_200);
    eventually("all accepted clicks are counted", Duration::from_secs(60), async || {
        (stack.ledger().await.ok()? >= accepted).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, accepted);
    assert_eq!(stack.received(Buckets::Minutes).await?, accepted);
    for aggregator in aggregators {
        assert!(aggregator.stop(Duration::from_secs(15)).await?);
    }
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let mut dead_letters = nats.get_stream(stack.names().dead_letter_stream()).await?;
    assert_eq!(dead_letters.info().await?.state.messages, 0, "an outage is never the click's fault");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_consumer_is_made_again_and_nothing_is_counted_twice() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let before = post(&stack, 200, 1).await?;
    eventually("clicks are counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == before).then_some(())
    })
    .await?;
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let names = stack.names();
    for partition in 0..4 {
        nats.delete_consumer_from_stream(names.consumer(partition), names.stream()).await?;
    }
    let expected = before + post(&stack, 200, 2).await?;
    eventually("clicks are counted again", Duration::from_secs(40), async || {
        (stack.ledger().await.ok()? >= expected).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, expected);
    assert_eq!(stack.received(Buckets::Minutes).await?, expected);
    Ok(())
}

/// A stream that refuses when full must not fill up with what is counted, nor forget what is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_forgets_what_is_counted_and_nothing_else() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let mut stream = nats.get_stream(stack.names().stream()).await?;
    let mut kept = async || Some(stream.info().await.ok()?.state.messages);
    post(&stack, 100, 1).await?;
    eventually("the stream is empty", Duration::from_secs(20), async || {
        (kept().await? == 0 && stack.ledger().await.ok()? == 100).then_some(())
    })
    .await?;

    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE clicks IN EXCLUSIVE MODE").execute(&mut *blocking).await?;
    post(&stack, 50, 2).await?;
    const ROUNDS: &str = "clickwire_housekeeping_rounds_total";
    let before = aggregator.metric(ROUNDS).await?;
    eventually("housekeeping went round", Duration::from_secs(20), async || {
        (aggregator.metric(ROUNDS).await.ok()? >= before + 2.0).then_some(())
    })
    .await?;
    assert_eq!(kept().await, Some(50));
    blocking.rollback().await?;
    eventually("the rest is counted and forgotten", Duration::from_secs(20), async || {
        (kept().await? == 0 && stack.ledger().await.ok()? == 150).then_some(())
    })
    .await
}
