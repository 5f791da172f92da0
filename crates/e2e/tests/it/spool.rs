//! Posts while the broker is away: what the server has answered 202 waits on its disk, whatever
//! becomes of the server, and is counted once; what it has not is refused.
//!
//! Posts stand for redirects here (those are in `redirects::outages`), which use the same spool:
//! `CLICKWIRE_SPOOL_POSTS` lets them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Load, Program, Sent, Stack, Wire, conservation, eventually, load::post_until_taken};
use clickwire_load::http::Connection;
use clickwire_services::Server as Service;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

/// The program's metrics.
const SILENT: &str = "clickwire_broker_silent_total";
const COMMITS: &str = "clickwire_spool_commit_seconds_count";
const TAKEN: &str = "clickwire_spool_taken_total";
const TOO_OLD: &str = "clickwire_spool_lost_total{reason=\"too_old\"}";
const REFUSED: &str = "clickwire_spool_refused_total{reason=\"full\"}";

fn click(ad_id: &str) -> Value {
    json!({"click_id": Uuid::now_v7(), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": ad_id})
}

/// Posts clicks on one ad, the next when the one before is taken; their ids in this order.
async fn post_in_order(poster: &mut Connection, ad_id: &str, clicks: usize) -> Result<Vec<Uuid>> {
    let mut ids = Vec::with_capacity(clicks);
    for _ in 0..clicks {
        let click = click(ad_id);
        post_until_taken(poster, &click).await?;
        ids.push(serde_json::from_value(click["click_id"].clone())?);
    }
    Ok(ids)
}

async fn post(poster: &mut Connection) -> Result<u16> {
    let (status, _) = poster.post("/api/v1/clicks", click("ad_001").to_string().into_bytes()).await?;
    Ok(status.as_u16())
}

fn kill_broker(stack: &Stack) -> Result<()> {
    block_in_place(|| stack.services().kill(Service::Nats))?;
    Ok(())
}

fn restart_broker(stack: &Stack) -> Result<()> {
    block_in_place(|| stack.services().restart(Service::Nats))?;
    Ok(())
}

/// Returns the report of `/health` on the spool.
async fn spool(server: &Program) -> Result<Value> {
    Ok(server.health().await?["services"]["spool"].clone())
}

async fn emptied(server: &Program) -> Result<()> {
    eventually("the spool is empty", SOON, async || (spool(server).await.ok()?["clicks"] == 0).then_some(()))
        .await
}

/// Under load: the broker is killed, the server is killed while it spools, and again before the broker
/// is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_without_the_broker_is_counted_once_and_in_order() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let load = Load::start(&stack, 4, 1)?;
    load.goes_on(50).await?;
    kill_broker(&stack)?;
    let mut poster = stack.poster()?;
    let mut ids = post_in_order(&mut poster, "ad_ordered", 40).await?;
    load.goes_on(200).await?;
    for _ in 0..2 {
        server.crash().await?;
        server.revive().await?;
        ids.extend(post_in_order(&mut poster, "ad_ordered", 20).await?);
        load.goes_on(100).await?;
    }
    // Ready without the broker, as long as there is room.
    server.await_ready().await?;
    let holds = spool(&server).await?;
    assert!(holds["clicks"].as_u64() >= Some(380), "{holds}");
    assert_eq!((holds["status"].as_str(), holds["lost"].as_u64()), (Some("up"), Some(0)));

    restart_broker(&stack)?;
    load.goes_on(100).await?;
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    *sent.entry("adv_001".to_owned()).or_default() += ids.len() as i64;
    emptied(&server).await?;
    conservation::holds(&stack, &sent, SOON).await?;
    let counted: Vec<Uuid> =
        sqlx::query_scalar("SELECT click_id FROM clicks WHERE ad_id = 'ad_ordered' ORDER BY stream_seq")
            .fetch_all(stack.database())
            .await?;
    assert_eq!(counted, ids);
    assert_eq!(stack.dead_letters().await?, 0);
    Ok(())
}

/// SIGTERM under load: what was answered is on the disk, and the next server sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_leaves_what_it_took_to_its_successor() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    stack.set("CLICKWIRE_SPOOL", &stack.spool("shared"));
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    kill_broker(&stack)?;
    let mut posting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut poster = stack.poster()?;
        posting.spawn(async move {
            let mut taken = 0;
            // Until nobody is there any more.
            while let Ok(202) = post(&mut poster).await {
                taken += 1;
            }
            taken
        });
    }
    eventually("the spool is in use", SOON, async || {
        (server.metric(TAKEN).await.ok()? > 100.0).then_some(())
    })
    .await?;
    assert!(server.stop(Duration::from_secs(20)).await?);
    let taken: i64 = posting.join_all().await.into_iter().sum();

    let successor = stack.start_server().await?;
    let holds = spool(&successor).await?;
    assert!(holds["clicks"].as_i64() >= Some(taken), "{taken}: {holds}");
    restart_broker(&stack)?;
    let expected = holds["clicks"].as_i64().context("no number of clicks")?;
    eventually("all of it is counted", SOON, async || (stack.ledger().await.ok()? >= expected).then_some(()))
        .await?;
    emptied(&successor).await?;
    assert_eq!(stack.ledger().await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_refuses_posts_until_there_is_room() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    stack.set("CLICKWIRE_SPOOL_MAX_BYTES", "65536");
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    kill_broker(&stack)?;
    let mut poster = stack.poster()?;
    let mut taken = 0;
    eventually("the spool is full", SOON, async || match post(&mut poster).await.ok()? {
        202 => {
            taken += 1;
            None
        }
        status => Some(status),
    })
    .await
    .map(|status| assert_eq!(status, 503))?;
    assert!(taken > 50, "{taken}");
    assert_eq!(server.metric(REFUSED).await?, 1.0);
    let holds = spool(&server).await?;
    assert_eq!((holds["status"].as_str(), holds["clicks"].as_i64()), (Some("full"), Some(taken)));
    assert_eq!(server.health().await?["status"], "unhealthy");

    restart_broker(&stack)?;
    emptied(&server).await?;
    assert_eq!(post(&mut poster).await?, 202);
    assert_eq!(server.health().await?["status"], "healthy");
    eventually("all of it is counted", SOON, async || (stack.ledger().await.ok()? > taken).then_some(()))
        .await?;
    assert_eq!(stack.ledger().await?, taken + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_too_long_is_dropped_and_counted() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    stack.set("CLICKWIRE_SPOOL_MAX_AGE_SECONDS", "1");
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    kill_broker(&stack)?;
    let mut poster = stack.poster()?;
    for _ in 0..5 {
        assert_eq!(post(&mut poster).await?, 202);
    }
    eventually("all of them are dropped", SOON, async || {
        (server.metric(TOO_OLD).await.ok()? == 5.0).then_some(())
    })
    .await?;
    let holds = spool(&server).await?;
    assert_eq!((holds["clicks"].as_i64(), holds["lost"].as_i64()), (Some(0), Some(5)));
    restart_broker(&stack)?;
    eventually("the broker is back", SOON, async || {
        (server.says_of("nats").await.ok()? == "up").then_some(())
    })
    .await?;
    assert_eq!(post(&mut poster).await?, 202);
    eventually("a later click is counted", SOON, async || (stack.ledger().await.ok()? >= 1).then_some(()))
        .await?;
    assert_eq!(stack.ledger().await?, 1);
    Ok(())
}

/// A broker that is connected and says nothing keeps one click waiting, not every one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_waited_for_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    assert_eq!(post(&mut poster).await?, 202);
    stack.wire_to(Service::Nats)?.set(Wire::HalfOpen);
    for _ in 0..20 {
        assert_eq!(post(&mut poster).await?, 202);
    }
    assert_eq!(server.metric(SILENT).await?, 1.0);
    stack.wire_to(Service::Nats)?.set(Wire::Whole);
    eventually("all of it is counted", SOON * 2, async || (stack.ledger().await.ok()? >= 21).then_some(()))
        .await?;
    emptied(&server).await?;
    assert_eq!(stack.ledger().await?, 21);
    Ok(())
}

/// 64 senders share the disk: there are fewer commits than clicks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_that_come_together_share_a_commit() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    stack.start_aggregator().await?.kill().await?;
    let server = stack.start_server().await?;
    kill_broker(&stack)?;
    let load = Load::start(&stack, 64, 1)?;
    load.goes_on(100).await?;
    let (commits, taken, began) =
        (server.metric(COMMITS).await?, server.metric(TAKEN).await?, std::time::Instant::now());
    load.goes_on(3_000).await?;
    let commits = server.metric(COMMITS).await? - commits;
    let taken = server.metric(TAKEN).await? - taken;
    println!("{taken} clicks in {commits} commits, {:.0} clicks/s", taken / began.elapsed().as_secs_f64());
    assert!(commits * 2.0 < taken, "{commits} commits for {taken} clicks");
    load.finish(&mut Sent::new()).await
}
