//! The write-ahead log: what a server has answered 202 is on its disk, whatever becomes of it or of the broker, and is
//! counted once.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Load, Program, Sent, Stack, Wire, conservation, eventually, load::post_until_taken};
use clickwire_load::http::Connection;
use clickwire_services::Server as Service;
use serde_json::{Value, json};
use tokio::task::{JoinSet, block_in_place};
use uuid::Uuid;

use crate::failpoints::ABORTED;

const SOON: Duration = Duration::from_secs(30);

/// The program's metrics.
const COMMITS: &str = "clickwire_wal_commit_seconds_count";
const TAKEN: &str = "clickwire_wal_taken_total";
const REPLAYED: &str = "clickwire_wal_replayed_total";
const BROKEN: &str = "clickwire_wal_refused_total{reason=\"broken\"}";
const REPEATED: &str = "clickwire_wal_refused_total{reason=\"repeated\"}";
const TOO_OLD: &str = "clickwire_spool_lost_total{reason=\"too_old\"}";

fn click() -> Value {
    json!({"click_id": Uuid::now_v7(), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"})
}

/// Posts a click; its status and its answer.
async fn post(poster: &mut Connection, click: &Value) -> Result<(u16, Value)> {
    let (status, body) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body)?))
}

/// Posts some clicks, each of which is taken.
async fn post_all(poster: &mut Connection, clicks: usize) -> Result<()> {
    for _ in 0..clicks {
        let (status, answer) = post(poster, &click()).await?;
        ensure!(status == 202, "{answer}");
    }
    Ok(())
}

/// Begins to post clicks over eight connections until the server is gone; of each the number of those that were
/// answered 202, and the one that was not.
fn post_until_gone(stack: &Stack) -> Result<JoinSet<(usize, Value)>> {
    let mut posting = JoinSet::new();
    for _ in 0..8 {
        let mut poster = stack.poster()?;
        posting.spawn(async move {
            let mut answered = 0;
            loop {
                let click = click();
                match post(&mut poster, &click).await {
                    Ok((202, _)) => answered += 1,
                    _ => return (answered, click),
                }
            }
        });
    }
    Ok(posting)
}

/// A stack whose servers have one log between them, one after the other.
async fn stack(stack: Result<Stack>) -> Result<Stack> {
    let mut stack = stack?;
    stack.set("CLICKWIRE_WAL", &stack.wal("server"));
    Ok(stack)
}

async fn says(server: &Program, status: &str) -> Result<()> {
    eventually(&format!("the log is {status}"), SOON, async || {
        (server.says_of("wal").await.ok()? == status).then_some(())
    })
    .await
}

async fn counted(stack: &Stack, clicks: usize) -> Result<()> {
    conservation::holds(stack, &Sent::from([("adv_001".to_owned(), clicks as i64)]), SOON).await
}

/// Connections that were swallowed end at once, as after minutes, and new ones work.
async fn heal(stack: &Stack) -> Result<()> {
    let wire = stack.wire_to(Service::Nats)?;
    wire.set(Wire::Cut);
    tokio::time::sleep(Duration::from_millis(200)).await;
    wire.set(Wire::Whole);
    Ok(())
}

/// Dies when clicks are on the disk and nobody has been answered; or when the broker has them and the log does not say so.
/// Those who were not answered post again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_at_any_point_changes_no_count() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut all = 0;
    for point in ["wal_written=40*off->return", "wal_published=3*off->return", "wal_written=0*off->return"] {
        let server = stack.start_server_with_failpoint(point).await?;
        let posting = post_until_gone(&stack)?;
        let ended = server.ended(Duration::from_secs(20)).await.context(point)?;
        ensure!(ended.signal() == Some(ABORTED), "{point}: {ended}");
        let mut unanswered = Vec::new();
        for (answered, click) in posting.join_all().await {
            all += answered;
            unanswered.push(click);
        }
        let successor = stack.start_server().await?;
        ensure!(successor.metric(REPLAYED).await? > 0.0, "{point}: nothing was left");
        let mut poster = stack.poster()?;
        for click in &unanswered {
            post_until_taken(&mut poster, click).await?;
        }
        all += unanswered.len();
        counted(&stack, all).await.context(point)?;
        ensure!(successor.stop(SOON).await?);
    }
    Ok(())
}

/// The broker is connected and silent, and the server is killed with what it has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_while_the_broker_was_silent_outlives_the_server() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    stack.set("CLICKWIRE_PUBLISH_TIMEOUT_MS", "20000");
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    post_all(&mut poster, 20).await?;
    counted(&stack, 20).await?;
    stack.wire_to(Service::Nats)?.set(Wire::HalfOpen);
    post_all(&mut poster, 30).await?;
    server.crash().await?;
    heal(&stack).await?;
    server.revive().await?;
    server.await_ready().await?;
    let replayed = server.metric(REPLAYED).await?;
    ensure!((30.0..=50.0).contains(&replayed), "{replayed}");
    counted(&stack, 50).await
}

/// A log that can't be published takes no more: posts are answered as they are without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_silent_posts_are_refused_and_then_taken_again() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    stack.set("CLICKWIRE_PUBLISH_TIMEOUT_MS", "500");
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    says(&server, "up").await?;
    stack.wire_to(Service::Nats)?.set(Wire::HalfOpen);
    let mut poster = stack.poster()?;
    let mut clicks = vec![click()];
    eventually("a post is refused", SOON, async || {
        let (status, _) = post(&mut poster, clicks.last()?).await.ok()?;
        if status == 202 {
            clicks.push(click());
        }
        (status == 503).then_some(())
    })
    .await?;
    says(&server, "behind").await?;
    ensure!(clicks.len() > 1, "the log took nothing");
    heal(&stack).await?;
    says(&server, "up").await?;
    // The one that was refused may be there.
    post_until_taken(&mut poster, clicks.last().context("no click")?).await?;
    post_all(&mut poster, 10).await?;
    counted(&stack, clicks.len() + 10).await
}

/// Killed brokers: the log is published when one is back, be it by another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_under_load_costs_nothing() -> Result<()> {
    let mut stack = stack(Stack::alone().await).await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let load = Load::start(&stack, 8, 7)?;
    for round in 0..2 {
        load.goes_on(150).await?;
        ensure!(server.metric(TAKEN).await? > 0.0, "the log is not used");
        block_in_place(|| stack.services().kill(Service::Nats))?;
        if round == 1 {
            server.crash().await?;
            server.revive().await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        block_in_place(|| stack.services().restart(Service::Nats))?;
        load.goes_on(100).await?;
    }
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    conservation::holds(&stack, &sent, SOON).await
}

/// SIGTERM under load: what was answered is published, and nothing is left for the next server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_leaves_nothing_to_its_successor() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let posting = post_until_gone(&stack)?;
    eventually("the log is in use", SOON, async || (server.metric(TAKEN).await.ok()? > 300.0).then_some(()))
        .await?;
    let taken = server.metric(TAKEN).await?;
    ensure!(server.metric(COMMITS).await? < taken, "no two clicks shared a write");
    ensure!(server.stop(Duration::from_secs(20)).await?);
    let answered: usize = posting.join_all().await.into_iter().map(|(answered, _)| answered).sum();
    let successor = stack.start_server().await?;
    assert_eq!(successor.metric(REPLAYED).await?, 0.0);
    counted(&stack, answered).await
}

/// The sender of a click that was posted before hears so, one after the other and at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_is_told_as_one() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    let one = click();
    for is_duplicate in [false, true, true] {
        let (status, answer) = post(&mut poster, &one).await?;
        assert_eq!((status, &answer["is_duplicate"]), (202, &json!(is_duplicate)), "{answer}");
    }
    let (other, mut posting) = (click(), JoinSet::new());
    for _ in 0..8 {
        let (mut poster, other) = (stack.poster()?, other.clone());
        posting.spawn(async move { post(&mut poster, &other).await });
    }
    let mut firsts = 0;
    for posted in posting.join_all().await {
        let (status, answer) = posted?;
        ensure!(status == 202, "{answer}");
        firsts += usize::from(answer["is_duplicate"] == false);
    }
    assert_eq!((firsts, server.metric(REPEATED).await?), (1, 9.0));
    counted(&stack, 2).await
}

/// One click that is posted again and again holds up no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repetitions_do_not_push_others_out_of_the_log() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut posting = JoinSet::new();
    for number in 0..16 {
        let (mut poster, repeats) = (stack.poster()?, number % 2 == 0);
        posting.spawn(async move {
            let mut one = click();
            for _ in 0..150 {
                if !repeats {
                    one = click();
                }
                let (status, answer) = post(&mut poster, &one).await?;
                ensure!(status == 202, "{answer}");
            }
            anyhow::Ok(if repeats { 1 } else { 150 })
        });
    }
    let mut clicks = 0;
    for posted in posting.join_all().await {
        clicks += posted?;
    }
    assert_eq!((server.metric(TAKEN).await?, server.metric(REPEATED).await?), (clicks as f64, 8.0 * 149.0));
    counted(&stack, clicks).await
}

/// All doors: a batch shares a write, and a browser is sent on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_redirects_go_through_the_log() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let batch: Vec<_> = (0..500).map(|_| click()).collect();
    let (status, _) =
        stack.poster()?.post("/api/v1/clicks/batch", json!(batch).to_string().into_bytes()).await?;
    assert_eq!(status.as_u16(), 202);
    assert_eq!(server.metric(TAKEN).await?, 500.0);
    let commits = server.metric(COMMITS).await?;
    ensure!(commits < 50.0, "{commits} writes");
    crate::redirects::follow(&stack, "ad_001").await?;
    assert_eq!(server.metric(TAKEN).await?, 501.0);
    counted(&stack, 501).await
}

/// A disk that fails for a moment: clicks go to the broker first meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_costs_nothing() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server_with_failpoint("wal_fails=5*off->1*return->off").await?;
    let mut poster = stack.poster()?;
    post_all(&mut poster, 5).await?;
    says(&server, "up").await?;
    post_all(&mut poster, 1).await?;
    says(&server, "down").await?;
    assert_eq!((server.metric(TAKEN).await?, server.metric(BROKEN).await?), (5.0, 1.0));
    let mut clicks = 6;
    eventually("the log is written again", SOON, async || {
        post_all(&mut poster, 1).await.ok()?;
        clicks += 1;
        (server.metric(TAKEN).await.ok()? > 5.0).then_some(())
    })
    .await?;
    says(&server, "up").await?;
    counted(&stack, clicks).await
}

/// What a server that was down for too long has in its log is dropped and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_too_long_is_dropped_and_counted() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    stack.set("CLICKWIRE_PUBLISH_TIMEOUT_MS", "20000");
    stack.set("CLICKWIRE_SPOOL_MAX_AGE_SECONDS", "3");
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    stack.wire_to(Service::Nats)?.set(Wire::HalfOpen);
    let mut poster = stack.poster()?;
    post_all(&mut poster, 5).await?;
    server.crash().await?;
    heal(&stack).await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.revive().await?;
    server.await_ready().await?;
    assert_eq!((server.metric(TOO_OLD).await?, server.metric(REPLAYED).await?), (5.0, 0.0));
    post_all(&mut poster, 1).await?;
    counted(&stack, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_do_not_share_a_log() -> Result<()> {
    let mut stack = stack(Stack::new().await).await?;
    let _server = stack.start_server().await?;
    let other = stack.serve_to_the_end().await?;
    let says = String::from_utf8_lossy(&other.stderr);
    ensure!(
        !other.status.success() && says.contains("CLICKWIRE_WAL") && says.contains("another server"),
        "{says}"
    );
    Ok(())
}
