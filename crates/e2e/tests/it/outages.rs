//! A service that is away is waited for: nothing is lost, doubled or blamed on a click.

use std::time::{Duration, Instant};

use anyhow::Result;
use async_nats::jetstream::consumer::PullConsumer;
use clickwire_e2e::{Buckets, Load, Sent, Stack, conservation, eventually};
use clickwire_load::traffic;
use clickwire_services::Server as Service;
use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

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

/// Waits until so many clicks are in the ledger; there and in the buckets must be no more.
async fn counted(what: &str, stack: &Stack, expected: i64, within: Duration) -> Result<()> {
    eventually(what, within, async || (stack.ledger().await.ok()? >= expected).then_some(())).await?;
    assert_eq!(stack.ledger().await?, expected);
    assert_eq!(stack.received(Buckets::Minutes).await?, expected);
    Ok(())
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
    counted("all accepted clicks are counted", &stack, accepted, Duration::from_secs(60)).await?;
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
    counted("clicks are counted again", &stack, expected, Duration::from_secs(40)).await?;
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

/// The time after which the broker of a test offers clicks to another aggregator.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// Publishes before anybody counts, so that all of it is in one aggregator's hand or another's.
async fn publish_ahead(stack: &Stack, clicks: usize) -> Result<()> {
    stack.start_aggregator().await?.kill().await?;
    assert_eq!(post(stack, clicks, 9).await?, clicks as i64);
    Ok(())
}

/// Deliveries that were not the first, of clicks that are not acknowledged yet.
async fn redelivered(stack: &Stack) -> Result<usize> {
    let (broker, names) = (stack.broker().await?, stack.names());
    let mut redelivered = 0;
    for partition in 0..4 {
        let mut consumer: PullConsumer =
            broker.get_consumer_from_stream(names.consumer(partition), names.stream()).await?;
        redelivered += consumer.info().await?.num_redelivered;
    }
    Ok(redelivered)
}

async fn waited(since: Instant, time: Duration) -> Result<()> {
    eventually("time has passed", time * 2, async || (since.elapsed() > time).then_some(())).await
}

/// A batch in hand is renewed as long as its commit takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_longer_than_the_brokers_patience_is_not_offered_to_another() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    publish_ahead(&stack, 300).await?;
    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE clicks IN EXCLUSIVE MODE").execute(&mut *blocking).await?;
    let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    let blocked = Instant::now();
    eventually("/health names the database", Duration::from_secs(10), async || {
        for aggregator in &aggregators {
            if aggregator.says_of("database").await.ok()? == "waiting" {
                return Some(());
            }
        }
        None
    })
    .await?;
    waited(blocked, ACK_WAIT * 4).await?;
    assert_eq!(redelivered(&stack).await?, 0);
    blocking.rollback().await?;
    eventually("all is counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == 300).then_some(())
    })
    .await?;
    assert_eq!(stack.received(Buckets::Minutes).await?, 300);
    Ok(())
}

/// An aggregator that does not renew loses its clicks to another, and counts none of them when it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_aggregator_wakes_up_and_counts_nothing_twice() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    publish_ahead(&stack, 300).await?;
    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE clicks IN EXCLUSIVE MODE").execute(&mut *blocking).await?;
    let frozen = stack.start_aggregator().await?;
    eventually("it commits", Duration::from_secs(10), async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'clicks'::regclass",
        )
        .fetch_one(stack.database())
        .await
        .ok()?;
        (waiting > 0).then_some(())
    })
    .await?;
    frozen.freeze(true).await?;
    blocking.rollback().await?;
    let _other = stack.start_aggregator().await?;
    eventually("the other one has counted all", Duration::from_secs(40), async || {
        (stack.ledger().await.ok()? == 300).then_some(())
    })
    .await?;
    frozen.freeze(false).await?;
    let load = Load::start(&stack, 2, 5)?;
    load.goes_on(100).await?;
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    let expected = 300 + sent.values().sum::<i64>();
    eventually("the rest is counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? >= expected).then_some(())
    })
    .await?;
    assert!(frozen.stop(Duration::from_secs(15)).await?);
    assert_eq!(stack.ledger().await?, expected);
    assert_eq!(stack.received(Buckets::Minutes).await?, expected);
    Ok(())
}

/// A server that stops for good in the middle of a change does not keep its locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_hold_up_counting() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    assert_eq!(post(&stack, 1, 6).await?, 1);
    counted("the first", &stack, 1, Duration::from_secs(20)).await?;
    let click: Uuid = sqlx::query_scalar("SELECT click_id FROM clicks").fetch_one(stack.database()).await?;

    // It is given the lock while it is frozen.
    let mut before = stack.database().begin().await?;
    let lock = stack.names().deployment_lock();
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(lock.deployment).bind(lock.work);
    lock.execute(&mut *before).await?;
    let admin = stack.as_admin()?;
    let release = tokio::spawn(async move {
        let path = format!("/api/v1/admin/clicks/{click}/release");
        admin.connection().post(&path, br#"{"reason": "a test"}"#.to_vec()).await.map(drop)
    });
    stack.server_waits_for_a_lock().await?;
    server.freeze(true).await?;
    before.rollback().await?;
    let _other = stack.start_server().await?;
    assert_eq!(post(&stack, 10, 7).await?, 10);
    counted("the others", &stack, 11, Duration::from_secs(8)).await?;
    server.freeze(false).await?;
    release.await?.ok();
    Ok(())
}

/// A broker without room refuses clicks, and takes them again when there is some; what it took before
/// is all there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_broker_refuses_and_forgets_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_STREAM_MAX_BYTES", &(64 << 10).to_string());
    let _server = stack.start_server().await?;
    publish_ahead(&stack, 10).await?;
    let mut accepted = 10;
    eventually("the broker is full", Duration::from_secs(30), async || {
        let taken = post(&stack, 50, accepted as u64).await.ok()?;
        accepted += taken;
        (taken < 50).then_some(())
    })
    .await?;
    assert!(accepted > 50, "{accepted}");
    let _aggregator = stack.start_aggregator().await?;
    let load = Load::start(&stack, 2, 1)?;
    load.goes_on(100).await?;
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    let expected = accepted + sent.values().sum::<i64>();
    counted("all that was taken is counted", &stack, expected, Duration::from_secs(30)).await?;
    Ok(())
}

/// A database without room says so with SQLSTATE 53100; that is an outage, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_disk_is_full_is_waited_for() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    for statement in [
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON click_minutes FOR EACH ROW EXECUTE FUNCTION no_room()",
    ] {
        sqlx::raw_sql(statement).execute(stack.database()).await?;
    }
    let load = Load::start(&stack, 2, 1)?;
    load.goes_on(100).await?;
    eventually("/health names the database", Duration::from_secs(10), async || {
        (aggregator.says_of("database").await.ok()? == "waiting").then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, 0, "all of a batch or nothing");
    sqlx::raw_sql("DROP TRIGGER no_room ON click_minutes").execute(stack.database()).await?;
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    conservation::holds(&stack, &sent, Duration::from_secs(30)).await?;
    assert_eq!(stack.dead_letters().await?, 0);
    Ok(())
}
