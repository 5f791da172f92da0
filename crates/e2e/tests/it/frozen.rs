//! A process that stops without a word (SIGSTOP) holds nothing for longer than a few seconds: no lock, no
//! click, no watch, no news. One that is merely slow goes on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use clickwire_e2e::{Buckets, Load, Sent, Stack, conservation, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    stream::AdvisoryLock,
    times::UnixMs,
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::fraud::PERSON;

/// The longest standstill of counting when an aggregator freezes: a place in a line (1 s), a pause inside a
/// transaction (2 s), and what a busy test machine adds. It was up to 10 s for each partition.
const STANDSTILL: Duration = Duration::from_secs(5);

/// The time for which the ledger is watched after an aggregator has frozen; before, it stood still for all of it.
const WATCHED_FOR: Duration = Duration::from_secs(8);

/// The longest standstill: one that has just thawed may have been granted a pause of 4 s.
const LONGEST: Duration = Duration::from_secs(7);

/// The time within which a frozen aggregator's clicks must be counted by another: its last request has expired and
/// so has `ack_wait` (2 s each in tests), after a standstill.
const TAKEN_OVER: Duration = Duration::from_secs(15);

/// The time within which an incident must be open although its watcher is frozen: 3 s of silence, a round, and the
/// machine.
const WATCHED_AGAIN: Duration = Duration::from_secs(8);

/// The given number of clicks on each partition.
async fn publish_on_each(stack: &Stack, partitions: u16, clicks: usize) -> Result<()> {
    let broker = stack.broker().await?;
    let mut stored = Vec::new();
    for partition in 0..partitions {
        for _ in 0..clicks {
            let message = serde_json::to_vec(&click(partition))?;
            stored.push(broker.publish(stack.names().subject(partition), message.into()).await?);
        }
    }
    for stored in stored {
        stored.await?;
    }
    Ok(())
}

fn click(partition: u16) -> Click {
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked(format!("ad of partition {partition}")),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        clicked_at_ms: UnixMs(now_ms()),
        received_at_ms: UnixMs(now_ms()),
        user_agent: PERSON.into(),
        ..Click::bare(Uuid::new_v4())
    }
}

/// Waits until so many transactions that hold their partition's lock wait for the deployment's.
async fn queued(stack: &Stack, at_least: i64) -> Result<()> {
    let waiting = "SELECT count(*) FROM pg_locks AS turn JOIN pg_locks AS partition USING (database, pid) \
                    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                      AND turn.locktype = 'advisory' AND NOT turn.granted \
                      AND partition.locktype = 'advisory' AND partition.granted";
    eventually("partitions wait for the deployment's lock", Duration::from_secs(20), async || {
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(stack.database()).await.ok()?;
        (waiting >= at_least).then_some(())
    })
    .await
}

/// Waits until the ledger holds so many clicks, and says how long that took since `since`.
async fn counted(stack: &Stack, clicks: i64, since: Instant, within: Duration) -> Result<Duration> {
    eventually(&format!("{clicks} clicks are counted"), within.saturating_sub(since.elapsed()), async || {
        (stack.ledger().await.ok()? >= clicks).then(|| since.elapsed())
    })
    .await
}

/// The longest time for which the ledger did not grow, from now on for `watched`.
async fn longest_standstill(stack: &Stack, watched: Duration) -> Result<Duration> {
    let (start, mut since, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    let mut clicks = stack.ledger().await?;
    while start.elapsed() < watched {
        let now = stack.ledger().await?;
        if now > clicks {
            (clicks, since) = (now, Instant::now());
        }
        longest = longest.max(since.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    Ok(longest)
}

/// All of its partitions stand before the deployment's lock when it freezes, and all of another's behind
/// them. However many they are, the others are waited for once.
async fn frozen_in_the_line(partitions: u16) -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_PARTITIONS", &partitions.to_string());
    // Full batches, so each partition stands in the line by itself.
    stack.set("CLICKWIRE_BATCH_MAX", "20");
    let first = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    first.kill().await?;
    let mut line = stack.database().begin().await?;
    let AdvisoryLock { deployment, work } = stack.names().deployment_lock();
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(deployment).bind(work);
    lock.execute(&mut *line).await?;
    publish_on_each(&stack, partitions, 20).await?;
    let frozen = stack.start_aggregator().await?;
    queued(&stack, i64::from(partitions)).await?;
    let other = stack.start_aggregator().await?;
    frozen.freeze(true).await?;
    let since = Instant::now();
    line.rollback().await?;
    publish_on_each(&stack, partitions, 20).await?;

    let first_counted = counted(&stack, 1, since, STANDSTILL).await?;
    let all = i64::from(partitions) * 40;
    let all_counted = counted(&stack, all, since, TAKEN_OVER).await?;
    ensure!(first_counted <= all_counted, "{partitions} partitions: {first_counted:.1?}, {all_counted:.1?}");
    frozen.freeze(false).await?;
    ensure!(frozen.stop(Duration::from_secs(15)).await?);
    ensure!(other.stop(Duration::from_secs(15)).await?);
    assert_eq!(stack.ledger().await?, all);
    assert_eq!(stack.received(Buckets::Minutes).await?, all);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_frozen_in_the_line_is_waited_for_once() -> Result<()> {
    frozen_in_the_line(4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_sixteen_partitions() -> Result<()> {
    frozen_in_the_line(16).await
}

/// An aggregator may freeze in the middle of anything: under load, at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_ledger_stands_still_for_seconds_at_most() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    stack.has_chunks().await?;
    let load = Load::start(&stack, 4, 11)?;
    let mut standstills = Vec::new();
    for trial in 0..6 {
        load.goes_on(50).await?;
        let frozen = &aggregators[trial % 2];
        frozen.freeze(true).await?;
        standstills.push(longest_standstill(&stack, WATCHED_FOR).await);
        frozen.freeze(false).await?;
    }
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    let standstills = standstills.into_iter().collect::<Result<Vec<_>>>()?;
    println!("the ledger stood still for {standstills:.1?}");
    // One that has just thawed may be taken for slow, and has twice as long; all others a few seconds.
    let mut sorted = standstills.clone();
    sorted.sort_unstable();
    assert!(sorted[sorted.len() / 2] < STANDSTILL, "{standstills:?}");
    assert!(sorted.iter().all(|&standstill| standstill < LONGEST), "{standstills:?}");
    conservation::holds(&stack, &sent, Duration::from_secs(30)).await
}

/// In the middle of a `COPY` the database waits for the client without a limit: whoever needs the
/// partition ends the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_stopped_in_the_middle_of_a_copy_is_ended() -> Result<()> {
    let stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    let mut silent = stack.database().acquire().await?;
    sqlx::raw_sql("BEGIN").execute(&mut *silent).await?;
    let AdvisoryLock { deployment, work } = stack.names().partition_lock(0);
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(deployment).bind(work);
    lock.execute(&mut *silent).await?;
    let copy = silent.copy_in_raw("COPY judged FROM STDIN").await?;
    let since = Instant::now();
    publish_on_each(&stack, 1, 10).await?;
    let waited = counted(&stack, 10, since, Duration::from_secs(8)).await?;
    println!("counted after {waited:.1?}");
    ensure!(copy.finish().await.is_err(), "the session was not ended");
    Ok(())
}

/// A host that stands still again and again, each time for longer than the database waits, gets its
/// work done all the same, and nothing of it is set aside or counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_host_makes_progress() -> Result<()> {
    let stack = Stack::new().await?;
    let slow = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    publish_on_each(&stack, 4, 500).await?;
    // Awake for 60 ms at a time: too short for a transaction.
    let since = Instant::now();
    while stack.ledger().await? < 2_000 {
        ensure!(since.elapsed() < Duration::from_secs(120), "{} of 2000", stack.ledger().await?);
        slow.freeze(true).await?;
        sleep(Duration::from_millis(2_600)).await;
        slow.freeze(false).await?;
        sleep(Duration::from_millis(60)).await;
    }
    println!("counted after {:.1?}", since.elapsed());
    assert_eq!(stack.ledger().await?, 2_000);
    assert_eq!(stack.received(Buckets::Minutes).await?, 2_000);
    assert_eq!(stack.dead_letters().await?, 0);
    Ok(())
}

/// Clicks that it had in hand come again as soon as nobody renews them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_its_clicks_are_counted_within_seconds() -> Result<()> {
    let mut stack = Stack::new().await?;
    // As it is installed.
    stack.unset("CLICKWIRE_ACK_WAIT_SECONDS");
    stack.set("CLICKWIRE_BATCH_MAX", "100");
    let first = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    first.kill().await?;
    let mut line = stack.database().begin().await?;
    let AdvisoryLock { deployment, work } = stack.names().deployment_lock();
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(deployment).bind(work);
    lock.execute(&mut *line).await?;
    publish_on_each(&stack, 4, 100).await?;
    let killed = stack.start_aggregator().await?;
    queued(&stack, 4).await?;
    let _other = stack.start_aggregator().await?;
    killed.kill().await?;
    let since = Instant::now();
    line.rollback().await?;
    let waited = counted(&stack, 400, since, Duration::from_secs(8)).await?;
    println!("counted after {waited:.1?}");
    assert_eq!(stack.received(Buckets::Minutes).await?, 400);
    Ok(())
}

/// A consumer that an earlier version has made waits as long as this one wants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_there_gets_the_new_patience() -> Result<()> {
    let stack = Stack::new().await?;
    let (broker, names) = (stack.broker().await?, stack.names());
    let patience = async |partition| {
        let mut consumer: PullConsumer =
            broker.get_consumer_from_stream(names.consumer(partition), names.stream()).await.ok()?;
        Some(consumer.info().await.ok()?.config.ack_wait)
    };
    stack.start_aggregator().await?.kill().await?;
    let stream = broker.get_stream(names.stream()).await?;
    for partition in 0..4 {
        stream
            .create_consumer(pull::Config {
                durable_name: Some(names.consumer(partition)),
                filter_subject: names.subject(partition),
                ack_policy: AckPolicy::Explicit,
                ack_wait: Duration::from_secs(30),
                ..pull::Config::default()
            })
            .await?;
    }
    assert_eq!(patience(0).await, Some(Duration::from_secs(30)));
    let _aggregator = stack.start_aggregator().await?;
    for partition in 0..4 {
        assert_eq!(patience(partition).await, Some(Duration::from_secs(2)));
    }
    Ok(())
}

/// The aggregator that watches for incidents is frozen: another one does so within seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_aggregator_watches_for_incidents() -> Result<()> {
    let stack = Stack::new().await?;
    let mut watching = stack.start_aggregator().await?;
    // "clickwire alerts", as the aggregator has it.
    let watched = async |stack: &Stack| {
        let lock = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1668049761 \
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query(lock).fetch_optional(stack.database()).await.ok()?.map(drop)
    };
    eventually("the first one watches", Duration::from_secs(20), async || watched(&stack).await).await?;
    let mut next = stack.start_aggregator().await?;
    let mut delays = Vec::new();
    for trial in 0..4 {
        watching.freeze(true).await?;
        let (since, campaign) = (Instant::now(), format!("trial {trial}"));
        let cheated = "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, \
                         valid, givt) VALUES (date_trunc('minute', now()), 'adv_001', $1, 'ad', 'DE', 'mobile', 10, 90)";
        sqlx::query(cheated).bind(&campaign).execute(stack.database()).await?;
        let delay = eventually("the incident is open", WATCHED_AGAIN, async || {
            let open = "SELECT FROM alerts WHERE kind = 'fraud_rate' AND campaign_id = $1";
            sqlx::query(open).bind(&campaign).fetch_optional(stack.database()).await.ok()??;
            Some(since.elapsed())
        })
        .await;
        watching.freeze(false).await?;
        delays.push(delay?);
        std::mem::swap(&mut watching, &mut next);
    }
    println!("incidents were open after {delays:.1?}");
    Ok(())
}

/// An aggregator that freezes while it tells another system of an incident leaves that to another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_aggregator_tells_of_an_incident() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_WEBHOOK_URL", &format!("http://{}/hook", listener.local_addr()?));
    stack.set("CLICKWIRE_ALERT_WEBHOOK_SECRET", "webhook-secret-of-the-tests");
    let frozen = stack.start_aggregator().await?;
    sqlx::query(
        "INSERT INTO alerts (kind, subject, severity, details) VALUES ('lag', 'a test', 'warning', '{}')",
    )
    .execute(stack.database())
    .await?;
    let receive = async || timeout(Duration::from_secs(10), listener.accept()).await;
    let (first, _) = receive().await.context("the first attempt")??;
    // As long as it is alive it need not be quick: nobody else tries.
    let _other = stack.start_aggregator().await?;
    ensure!(timeout(Duration::from_secs(6), listener.accept()).await.is_err(), "sent twice at once");
    frozen.freeze(true).await?;
    let since = Instant::now();
    let second = receive().await.context("the second attempt");
    frozen.freeze(false).await?;
    drop((first, second??));
    println!("told again after {:.1?}", since.elapsed());
    Ok(())
}
