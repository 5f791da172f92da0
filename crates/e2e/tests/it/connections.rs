//! What a client may do with a connection, and what it sees of a server that stops.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually, raw};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const HEADERS: &str = "x-api-key: ingest-key-of-the-tests\r\ncontent-type: application/json\r\n";

async fn connect(stack: &Stack) -> Result<TcpStream> {
    Ok(TcpStream::connect(stack.server_url().trim_start_matches("http://")).await?)
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.context("it stays open")??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_ends_is_given_up_and_holds_up_nobody() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_REQUEST_TIMEOUT_MS", "1000");
    stack.set("CLICKWIRE_CONNECTIONS_MAX", "16");
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    // Every place is taken by somebody who sends nothing more.
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = connect(&stack).await?;
        let head =
            format!("POST /api/v1/clicks HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n{HEADERS}\r\n{{");
        stream.write_all(head.as_bytes()).await?;
        slow.push(stream);
    }
    let body = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"}).to_string();
    let answer = raw::send(stack.server_url(), "POST /api/v1/clicks", HEADERS, body.as_bytes()).await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    for mut stream in slow {
        let answer = rest(&mut stream).await?;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("too_long"), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let large = format!("x-large: {}\r\n", "a".repeat(40_000));
    let answer = raw::send(stack.server_url(), "GET /livez", &large, b"").await?;
    assert_eq!(answer.status, 431, "{answer:?}");
    let answer = raw::send(stack.server_url(), "GET /livez", "", b"").await?;
    assert_eq!(answer.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answers_what_it_has_begun() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let body = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"}).to_string();
    let mut stream = connect(&stack).await?;
    let head =
        format!("POST /api/v1/clicks HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{HEADERS}\r\n", body.len());
    let (begun, left) = body.split_at(10);
    stream.write_all(format!("{head}{begun}").as_bytes()).await?;
    // It has been read: what comes after it on the same machine is answered.
    assert_eq!(raw::send(stack.server_url(), "GET /livez", "", b"").await?.status, 200);

    let stopped = tokio::spawn(server.stop(Duration::from_secs(20)));
    eventually("no new connections are taken", Duration::from_secs(5), async || {
        connect(&stack).await.is_err().then_some(())
    })
    .await?;
    stream.write_all(left.as_bytes()).await?;
    let answer = rest(&mut stream).await?;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(stopped.await??, "it ended with an error");
    eventually("the click is counted", Duration::from_secs(10), async || {
        (stack.ledger().await.ok()? == 1).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_an_id_and_is_counted_by_route() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let answer = raw::send(stack.server_url(), "GET /livez", "x-request-id: ours-1\r\n", b"").await?;
    assert_eq!(answer.header("x-request-id"), Some("ours-1"));
    let answer = raw::send(stack.server_url(), "GET /nowhere/at/all", "x-request-id: a b\r\n", b"").await?;
    assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "{answer:?}");
    let counted = "clickwire_http_requests_total{route=\"/livez\",status=\"200\"}";
    assert_eq!(server.metric(counted).await?, 1.0);
    assert_eq!(server.metric("clickwire_refused_total{code=\"not_found\"}").await?, 1.0);
    let bucket = "clickwire_http_request_seconds_bucket{route=\"/livez\",le=\"+Inf\"}";
    assert_eq!(server.metric(bucket).await?, 1.0);
    Ok(())
}
