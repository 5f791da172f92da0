//! Every click is counted once, whatever is resent and whoever is killed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::PullConsumer;
use clickwire_client::Watch;
use clickwire_e2e::{Buckets, Stack, eventually};
use clickwire_load::traffic;
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use uuid::Uuid;

const CONNECTIONS: usize = 8;

/// Distinct clicks; set `CLICKWIRE_E2E_CLICKS` for more.
fn distinct_clicks() -> usize {
    std::env::var("CLICKWIRE_E2E_CLICKS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

/// Clicks of the last hour with ids and times of their own, a tenth of them twice, in random order.
fn clicks(distinct: usize) -> Result<Vec<Value>> {
    let mut random = StdRng::seed_from_u64(7);
    let mut clicks: Vec<Value> = (0..distinct)
        .map(|_| {
            let at = now_ms() - random.random_range(0..3_600_000);
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000)?;
            let mut click = traffic::click(&mut random, 0.05);
            click["click_id"] = json!(Uuid::new_v4());
            click["clicked_at"] = json!(at.format(&Rfc3339)?);
            click["advertiser_id"] = json!("adv_001");
            Ok(click)
        })
        .collect::<Result<_>>()?;
    let resent: Vec<Value> = clicks.iter().take(distinct / 10).cloned().collect();
    clicks.extend(resent);
    clicks.shuffle(&mut random);
    Ok(clicks)
}

async fn post(
    stack: &Stack,
    clicks: &Arc<Vec<Value>>,
    number: usize,
    progress: watch::Sender<usize>,
) -> Result<JoinSet<Result<()>>> {
    let mut posts = JoinSet::new();
    let mut connection = stack.poster()?;
    let clicks = Arc::clone(clicks);
    posts.spawn(async move {
        for click in clicks.iter().skip(number).step_by(CONNECTIONS) {
            let (status, body) = connection.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
            ensure!(status.as_u16() == 202, "{status}: {}", String::from_utf8_lossy(&body));
            progress.send_modify(|done| *done += 1);
        }
        Ok(())
    });
    Ok(posts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resends_and_killed_aggregators_change_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let mut aggregators = vec![stack.start_aggregator().await?, stack.start_aggregator().await?];
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));

    let clicks = Arc::new(clicks(distinct_clicks())?);
    let distinct: HashSet<&str> = clicks.iter().filter_map(|click| click["click_id"].as_str()).collect();
    let (progress, mut posted) = watch::channel(0);
    let mut posts = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut one = post(&stack, &clicks, number, progress.clone()).await?;
        posts.spawn(async move {
            while let Some(done) = one.join_next().await {
                done??;
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    // Four crashes, spread over the run; each time the other aggregator is at work.
    for crash in 1..=4 {
        posted.wait_for(|done| *done >= clicks.len() * crash / 5).await?;
        aggregators.remove(0).kill().await?;
        aggregators.push(stack.start_aggregator().await?);
    }
    while let Some(done) = posts.join_next().await {
        done??;
    }

    let expected = distinct.len() as i64;
    let counted = eventually("every click is in the ledger", Duration::from_secs(120), async || {
        stack.ledger().await.ok().filter(|&ledger| ledger >= expected)
    })
    .await?;
    assert_eq!(counted, expected, "ledger");
    for table in [Buckets::Minutes, Buckets::Hours, Buckets::Days] {
        assert_eq!(stack.received(table).await?, expected, "{table:?}");
    }
    let shown = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            dashboard.update().await?;
            if dashboard.state().total().received() >= expected {
                return anyhow::Ok(dashboard.state().total().received());
            }
        }
    })
    .await;
    let shown = shown.unwrap_or_else(|_| Ok(dashboard.state().total().received()))?;
    assert_eq!(shown, expected, "dashboard: {:?}", dashboard.counters());
    // What was redelivered after the last crash must change nothing either.
    drop(aggregators);
    let _fresh = stack.start_aggregator().await?;
    assert_eq!(stack.received(Buckets::Minutes).await?, expected);
    assert_eq!(stack.ledger().await?, expected);
    Ok(())
}

/// A client that sends its spool again after days gets nothing counted twice, not even as too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_after_days_is_the_click_that_was_counted_in_time() -> Result<()> {
    let stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let names = stack.names();
    let message = |id: Uuid, clicked_at_ms: i64, received_at_ms: i64| {
        json!({"click_id": id, "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001",
            "country": "DE", "device_type": "mobile", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0)",
            "clicked_at_ms": clicked_at_ms, "received_at_ms": received_at_ms})
    };
    let (counted, late) = (Uuid::new_v4(), Uuid::new_v4());
    let days_ago = now_ms() - 3 * 86_400_000;
    for message in [
        message(counted, days_ago, days_ago),
        message(counted, days_ago, now_ms()),
        message(late, days_ago, now_ms()),
    ] {
        nats.publish(names.subject(0), message.to_string().into()).await?.await?;
    }
    eventually("all three are read", Duration::from_secs(20), async || {
        let mut consumer: PullConsumer =
            nats.get_consumer_from_stream(names.consumer(0), names.stream()).await.ok()?;
        (consumer.info().await.ok()?.ack_floor.stream_sequence >= 3).then_some(())
    })
    .await?;
    let ledger: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT click_id, disposition::text FROM clicks ORDER BY clicked_at")
            .fetch_all(stack.database())
            .await?;
    assert_eq!(ledger, [(counted, "valid".to_owned()), (late, "defective".to_owned())]);
    assert_eq!(stack.received(Buckets::Minutes).await?, 2);
    Ok(())
}

/// The broker forgets message ids after its duplicate window, and a client may resend an id with
/// another time: the ledger still knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_is_known_after_the_broker_forgot_it_and_under_another_time() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let mut poster = stack.poster()?;
    let id = Stack::ids_in(0).next().context("no id")?;
    for minutes_ago in [0, 90, 23 * 60] {
        let at = OffsetDateTime::now_utc() - time::Duration::minutes(minutes_ago);
        let body = json!({"click_id": id, "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001",
            "clicked_at": at.format(&Rfc3339)?});
        let (status, answer) = poster.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
        assert_eq!(status.as_u16(), 202);
        assert_eq!(serde_json::from_slice::<Value>(&answer)?["is_duplicate"], json!(minutes_ago != 0));
        // Past the broker's memory: the same click as a message without an id.
        let names = stack.names();
        let stream = nats.get_stream(names.stream()).await?;
        let mut stored: Value = serde_json::from_slice(
            &stream.get_last_raw_message_by_subject(&names.subject(0)).await?.payload,
        )?;
        stored["clicked_at_ms"] = json!(at.unix_timestamp() * 1000);
        nats.publish(names.subject(0), stored.to_string().into()).await?.await?;
    }
    let names = stack.names();
    let last = nats.get_stream(names.stream()).await?.info().await?.state.last_sequence;
    assert_eq!(last, 4, "the broker refused two of three posts");
    eventually("the stream is counted", Duration::from_secs(20), async || {
        let mut consumer: PullConsumer =
            nats.get_consumer_from_stream(names.consumer(0), names.stream()).await.ok()?;
        (consumer.info().await.ok()?.ack_floor.stream_sequence >= last).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, 1);
    assert_eq!(stack.received(Buckets::Minutes).await?, 1);
    Ok(())
}

/// Two partitions may have the same click in hand, if a server that makes other partitions has sent it again, as during
/// an upgrade. Who comes second counts the rest of its batch, in one piece.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_partition_counts_meanwhile_is_not_counted_again_and_the_rest_of_the_batch_is()
-> Result<()> {
    counted_beside_another(1_100, "COPY clicks").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_a_small_batch() -> Result<()> {
    counted_beside_another(300, "INSERT INTO clicks").await
}

/// Waits until the aggregator has this number of a partition's clicks in hand.
async fn delivered(stack: &Stack, partition: u16, clicks: usize) -> Result<()> {
    let (broker, names) = (stack.broker().await?, stack.names());
    eventually(&format!("{clicks} clicks are delivered"), Duration::from_secs(20), async || {
        let mut consumer: PullConsumer =
            broker.get_consumer_from_stream(names.consumer(partition), names.stream()).await.ok()?;
        (consumer.info().await.ok()?.num_ack_pending == clicks).then_some(())
    })
    .await
}

/// Counts a batch of `count` clicks, which goes into the ledger by `statement`; another transaction has one of them.
///
/// An earlier click waits for the partition's lock until the batch is delivered, so the batch is whole.
async fn counted_beside_another(count: usize, statement: &str) -> Result<()> {
    let stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    let now = now_ms();
    let partition = 0;
    let clicks: Vec<Click> = (0..count as u128)
        .zip(Stack::ids_in(partition))
        .map(|(number, id)| Click {
            advertiser_id: AdvertiserId::unchecked("adv_001"),
            dimensions: Dimensions {
                campaign_id: CampaignId::unchecked("camp_001"),
                ad_id: AdId::unchecked("ad_001"),
                country: "DE".into(),
                device_type: DeviceType::Mobile,
            },
            user_id: Some(format!("user_{number}")),
            clicked_at_ms: UnixMs(now),
            received_at_ms: UnixMs(now),
            ip_hash: Some(format!("{number:032X}")),
            data_center: number == 0,
            ..Click::bare(id)
        })
        .collect();
    let mut other = stack.database().begin().await?;
    let insert = "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
                    device_type, disposition, stream_seq) \
                  VALUES ($1, to_timestamp($2 / 1000.0), now(), 'adv_001', 'camp_001', 'ad_002', 'DE', 'mobile', 'valid', 1)";
    sqlx::query(insert).bind(clicks[7].click_id).bind(now).execute(&mut *other).await?;
    let turn = stack.names().partition_lock(partition);
    let mut held = stack.database().begin().await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(turn.deployment).bind(turn.work);
    lock.execute(&mut *held).await?;
    let earlier = Click { clicked_at_ms: UnixMs(now - 120_000), ..clicks[0].clone() };
    let another = Stack::ids_in(partition).next().context("no id")?;
    stack.publish(&[Click { click_id: another, ..earlier }]).await?;
    delivered(&stack, partition, 1).await?;
    // The earlier click's batch has ended.
    sleep(Duration::from_secs(1)).await;
    stack.publish(&clicks).await?;
    delivered(&stack, partition, 1 + count).await?;
    held.rollback().await?;
    eventually("the batch waits for the other partition", Duration::from_secs(20), async || {
        let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() \
                        AND wait_event = 'transactionid' AND starts_with(query, $1)";
        sqlx::query(waiting).bind(statement).fetch_optional(stack.database()).await.ok()?.map(|_| ())
    })
    .await?;
    other.commit().await?;

    eventually("the batch is counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == count as i64 + 1).then_some(())
    })
    .await?;
    let ours = "SELECT count(*), count(DISTINCT xmin::text), count(*) FILTER (WHERE evidence = '{user_agent}'), \
                  count(*) FILTER (WHERE evidence = '{user_agent,data_center}'), \
                  count(*) FILTER (WHERE encode(ip_hash, 'hex') = lpad(to_hex(substr(user_id, 6)::int), 32, '0')) \
                  FROM clicks WHERE ad_id = 'ad_001' AND clicked_at = to_timestamp($1 / 1000.0) \
                   AND received_at = clicked_at AND disposition = 'givt' AND rule = 'user_agent' AND rule_version = 2";
    let ours: (i64, i64, i64, i64, i64) = sqlx::query_as(ours).bind(now).fetch_one(stack.database()).await?;
    let rest = count as i64 - 1;
    assert_eq!(ours, (rest, 1, rest - 1, 1, rest), "clicks, transactions, evidence, addresses");
    assert_eq!(stack.received(Buckets::Minutes).await?, rest + 1);
    assert_eq!(stack.dead_letters().await?, 0);
    Ok(())
}
