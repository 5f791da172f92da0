//! Redirects without the services, and when many ask at once.

use std::time::Duration;

use anyhow::Result;
use clickwire_e2e::{Program, Stack, Wire, eventually};
use clickwire_services::Server as Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::{JoinSet, block_in_place},
    time::timeout,
};

use super::{Answer, PATIENCE, click, published, verdict};
use crate::fraud::PERSON;

/// Less than any time-out.
const AT_ONCE: Duration = Duration::from_millis(900);

/// Longer than Redis and the database are waited for, one after the other, and shorter than anybody
/// looks at an empty page.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(8);

const FROM_DATABASE: &str = r#"clickwire_ad_lookups_total{from="database"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_and_the_database_known_ads_still_redirect() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut sent_on = vec![click(&stack, "ad_001").await?.click_id()?];
    for service in [Service::Redis, Service::Database] {
        block_in_place(|| stack.services().kill(service))?;
    }
    sent_on.push(click(&stack, "ad_001").await?.click_id()?);
    let cold = click(&stack, "ad_002").await?;
    assert_eq!((cold.status, cold.header("retry-after"), cold.header("location")), (503, "1", ""));
    assert!(cold.body.contains("<h1>One moment, please</h1>"), "{}", cold.body);
    assert_eq!(published(&stack).await?, 2, "no click is invented");

    // Redis is back and may have missed a change; the database, which would know, is not.
    block_in_place(|| stack.services().restart(Service::Redis))?;
    let before = server.metric(FROM_DATABASE).await?;
    eventually("the database is asked in vain, and the old target is served", PATIENCE, async || {
        sent_on.push(click(&stack, "ad_001").await.ok()?.click_id().ok()?);
        (server.metric(FROM_DATABASE).await.ok()? > before).then_some(())
    })
    .await?;
    assert_eq!(published(&stack).await?, sent_on.len() as u64);

    block_in_place(|| stack.services().restart(Service::Database))?;
    sent_on.push(
        eventually("what was not known can be looked up", PATIENCE, async || {
            click(&stack, "ad_002").await.ok()?.click_id().ok()
        })
        .await?,
    );
    for id in &sent_on {
        assert_eq!(verdict(&stack, *id).await?.0, "valid");
    }
    assert_eq!(stack.ledger().await?, sent_on.len() as i64);
    Ok(())
}

/// A service that swallows everything holds nobody up for long: those who know the ad not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_do_not_answer_are_not_waited_for() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.wire().await?;
    let _server = stack.start_server().await?;
    click(&stack, "ad_001").await?.click_id()?;
    stack.wire_to(Service::Redis)?.set(Wire::HalfOpen);
    let within =
        async |limit: Duration, ad_id: &str| anyhow::Ok(timeout(limit, click(&stack, ad_id)).await??);
    let at_once = async |ad_id: &str| {
        eventually("a known ad redirects at once", PATIENCE, async || {
            within(AT_ONCE, ad_id).await.ok()?.click_id().ok()
        })
        .await
    };
    at_once("ad_001").await?;
    within(LOOKED_UP_WITHIN, "ad_002").await?.click_id()?;
    stack.wire_to(Service::Database)?.set(Wire::HalfOpen);
    at_once("ad_002").await?;
    assert_eq!(within(LOOKED_UP_WITHIN, "ad_003").await?.status, 503);
    Ok(())
}

/// A browser can't come again: its click waits on the server's disk, whatever becomes of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_broker_everybody_is_sent_on_and_counted_later() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let mut sent_on = vec![click(&stack, "ad_001").await?.click_id()?];
    block_in_place(|| stack.services().kill(Service::Nats))?;
    for _ in 0..20 {
        sent_on.push(click(&stack, "ad_001").await?.click_id()?);
    }
    let (status, _) = stack.poster()?.post("/api/v1/clicks", post()).await?;
    assert_eq!(status.as_u16(), 503, "who posts can come again");
    server.crash().await?;
    server.revive().await?;
    server.await_ready().await?;
    assert_eq!(server.health().await?["status"], "degraded");
    assert_eq!(spooled(&server).await?, (20, 0));
    sent_on.push(click(&stack, "ad_001").await?.click_id()?);
    block_in_place(|| stack.services().restart(Service::Nats))?;
    for id in &sent_on {
        assert_eq!(verdict(&stack, *id).await?.0, "valid");
    }
    assert_eq!(stack.ledger().await?, sent_on.len() as i64);
    assert_eq!(spooled(&server).await?, (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_sends_on_and_says_what_is_lost() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_SPOOL_MAX_BYTES", "65536");
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    // Known from here on: without the broker, too, somebody must know the ad.
    click(&stack, "ad_001").await?.click_id()?;
    block_in_place(|| stack.services().kill(Service::Nats))?;
    let mut redirects = 1;
    let lost = loop {
        click(&stack, "ad_001").await?.click_id()?;
        redirects += 1;
        let (_, lost) = spooled(&server).await?;
        if lost > 5 {
            break lost;
        }
        anyhow::ensure!(redirects < 2_000, "it is never full");
    };
    let counted = server.metric("clickwire_spool_lost_total{reason=\"full\"}").await?;
    assert_eq!(counted, lost as f64);
    block_in_place(|| stack.services().restart(Service::Nats))?;
    eventually("all that was kept is counted", PATIENCE, async || {
        (stack.ledger().await.ok()? == redirects - lost).then_some(())
    })
    .await
}

/// Clicks in the spool, and clicks that are lost.
async fn spooled(server: &Program) -> Result<(i64, i64)> {
    let health = server.health().await?;
    let number = |name: &str| health["services"]["spool"][name].as_i64().unwrap_or(-1);
    Ok((number("clicks"), number("lost")))
}

fn post() -> Vec<u8> {
    br#"{"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"}"#.to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_for_an_unknown_ad_ask_the_database_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let authority = stack.server_url().trim_start_matches("http://").to_owned();
    let mut connections = Vec::new();
    for _ in 0..200 {
        connections.push(TcpStream::connect(&authority).await?);
    }
    // The look-up takes as long as this.
    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE ads IN ACCESS EXCLUSIVE MODE").execute(&mut *blocking).await?;
    let request = format!(
        "GET /r/ad_005 HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\nuser-agent: {PERSON}\r\n\r\n"
    );
    let mut answers = JoinSet::new();
    for mut connection in connections {
        connection.write_all(request.as_bytes()).await?;
        answers.spawn(async move {
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).await?;
            Answer::read(&answer)
        });
    }
    eventually("the database is asked", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ads'::regclass",
        )
        .fetch_one(stack.database())
        .await
        .ok()?;
        (waiting > 0).then_some(())
    })
    .await?;
    blocking.rollback().await?;
    while let Some(answer) = answers.join_next().await {
        assert_eq!(answer??.status, 302);
    }
    assert_eq!(server.metric(FROM_DATABASE).await?, 1.0);
    assert_eq!(published(&stack).await?, 200);
    Ok(())
}
