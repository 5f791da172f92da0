//! What redirects do without the services, and when many ask at once.

use anyhow::Result;
use clickwire_e2e::{Stack, eventually};
use clickwire_services::Server as Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{Answer, PATIENCE, click, published, verdict};
use crate::fraud::PERSON;

const FROM_DATABASE: &str = r#"clickwire_ad_lookups_total{from="database"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_and_the_database_known_ads_still_redirect() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut sent_on = vec![click(&stack, "ad_001").await?.click_id()?];
    for service in [Service::Redis, Service::Database] {
        tokio::task::block_in_place(|| stack.services().kill(service))?;
    }
    sent_on.push(click(&stack, "ad_001").await?.click_id()?);
    let cold = click(&stack, "ad_002").await?;
    assert_eq!((cold.status, cold.header("retry-after"), cold.header("location")), (503, "1", ""));
    assert!(cold.body.contains("<h1>One moment, please</h1>"), "{}", cold.body);
    assert_eq!(published(&stack).await?, 2, "no click is invented");

    // Redis is back and may have missed a change; the database, which would know, is not.
    tokio::task::block_in_place(|| stack.services().restart(Service::Redis))?;
    let before = server.metric(FROM_DATABASE).await?;
    eventually("the database is asked in vain, and the old target is served", PATIENCE, async || {
        sent_on.push(click(&stack, "ad_001").await.ok()?.click_id().ok()?);
        (server.metric(FROM_DATABASE).await.ok()? > before).then_some(())
    })
    .await?;
    assert_eq!(published(&stack).await?, sent_on.len() as u64);

    tokio::task::block_in_place(|| stack.services().restart(Service::Database))?;
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

/// Whether it goes out or not, a redirect and its click go together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_broker_nobody_is_sent_on_uncounted() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut sent_on = vec![click(&stack, "ad_001").await?.click_id()?];
    tokio::task::block_in_place(|| stack.services().kill(Service::Nats))?;
    for _ in 0..5 {
        let answer = click(&stack, "ad_001").await?;
        match answer.status {
            302 => sent_on.push(answer.click_id()?),
            status => {
                assert_eq!((status, answer.header("retry-after"), answer.header("location")), (503, "1", ""));
            }
        }
    }
    tokio::task::block_in_place(|| stack.services().restart(Service::Nats))?;
    sent_on.push(
        eventually("redirects go out again", PATIENCE, async || {
            click(&stack, "ad_001").await.ok()?.click_id().ok()
        })
        .await?,
    );
    for id in &sent_on {
        assert_eq!(verdict(&stack, *id).await?.0, "valid");
    }
    assert_eq!(stack.ledger().await?, sent_on.len() as i64);
    Ok(())
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
