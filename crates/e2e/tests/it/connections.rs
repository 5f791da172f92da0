//! Limits of what a client may do with a connection, and its view of a server that stops.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{
    Stack, eventually, raw,
    way::{Client, Way},
};
use http_body_util::Full;
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

const HEADERS: &str = "x-api-key: ingest-key-of-the-tests\r\ncontent-type: application/json\r\n";

async fn connect(stack: &Stack) -> Result<TcpStream> {
    Ok(TcpStream::connect(stack.authority()).await?)
}

/// Returns the bytes that come until the server closes, as text.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_no_place_from_others() -> Result<()> {
    for (is_tls, ways) in [(false, Way::PLAIN), (true, Way::TLS)] {
        let mut stack = Stack::new().await?;
        if is_tls {
            stack.certify()?;
        }
        stack.set("CLICKWIRE_CONNECTIONS_MAX", "16");
        // They would stay for as long as the test lasts.
        stack.set("CLICKWIRE_HEAD_TIMEOUT_MS", "600000");
        let server = stack.start_server().await?;
        let mut silent = Vec::new();
        // Of TLS, the beginning of a handshake.
        let beginnings: [&[u8]; 3] =
            if is_tls { [b"", b"\x16", b"\x16\x03\x01\x02"] } else { [b"", b"P", b"PRI * HTTP/2.0"] };
        for beginning in beginnings.iter().cycle().take(16) {
            let mut stream = connect(&stack).await?;
            stream.write_all(beginning).await?;
            silent.push(stream);
        }
        for way in ways {
            let answer = async { stack.connect(way).await?.send("GET /livez", &[], b"").await };
            let answer = timeout(Duration::from_secs(10), answer).await.context("no place")??;
            assert_eq!(answer.status, 200, "{way:?}");
        }
        let given_up = "clickwire_connections_closed_total{reason=\"given_up\"}";
        assert!(server.metric(given_up).await? >= 1.0);
    }
    Ok(())
}

/// The bytes that clients of one address may leave unread with the limit that the test sets.
const ADDRESS_MAX_BYTES: u64 = 2 << 20;

/// Requests of each connection: without a bound 100 MiB of answers would lie there, of a third of a megabyte each.
/// The allocator alone makes a difference of up to 45 MiB when other programs keep the machine busy.
const REQUESTS: usize = 20;

/// The memory of a server that does next to nothing for a second: the allocator gives back what it does not use
/// when it is asked for something the next time.
async fn settled_kib(client: &mut Client, resident_kib: &dyn Fn() -> Result<u64>) -> Result<u64> {
    let mut least_kib = resident_kib()?;
    for _ in 0..20 {
        sleep(Duration::from_millis(50)).await;
        client.send("GET /livez", &[], b"").await?;
        least_kib = least_kib.min(resident_kib()?);
    }
    Ok(least_kib)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_take_a_bounded_part_of_memory() -> Result<()> {
    for (is_tls, way) in [(false, Way::Http2), (true, Way::Http2OverTls)] {
        let mut stack = Stack::new().await?;
        if is_tls {
            stack.certify()?;
        }
        stack.set("CLICKWIRE_UNREAD_MAX_BYTES", &(8 * ADDRESS_MAX_BYTES).to_string());
        stack.set("CLICKWIRE_UNREAD_TIMEOUT_MS", "20000");
        let server = stack.start_server().await?;
        let resident_kib = || -> Result<u64> {
            let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()?))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        // 15 KB that are answered with what is wrong with each of 5,000 clicks: a third of a megabyte.
        let batch = Bytes::from(serde_json::to_vec(&vec![json!({}); 5_000])?);
        // What handling them takes, the allocator keeps.
        let headers = [("x-api-key", Stack::ingest_key()), ("content-type", "application/json")];
        let mut reader = stack.connect(way).await?;
        for _ in 0..30 {
            assert_eq!(reader.send("POST /api/v1/clicks/batch", &headers, &batch).await?.status, 400);
        }
        let before_kib = settled_kib(&mut reader, &resident_kib).await?;
        let (mut unread, mut connections, mut refused) = (Vec::new(), Vec::new(), 0);
        for _ in 0..15 {
            let stream = TokioIo::new(way.connect(stack.authority(), stack.certificate()).await?);
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.initial_stream_window_size(0);
            let (mut sender, connection) = http.handshake::<_, Full<Bytes>>(stream).await?;
            let mut driver = JoinSet::new();
            driver.spawn(async move { drop(connection.await) });
            for _ in 0..REQUESTS {
                let request = Request::post(format!("http://{}/api/v1/clicks/batch", stack.authority()))
                    .header("x-api-key", Stack::ingest_key())
                    .header("content-type", "application/json")
                    .body(Full::new(batch.clone()))?;
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                match response.status().as_u16() {
                    400 => unread.push(response),
                    503 => refused += 1,
                    other => anyhow::bail!("{other}"),
                }
            }
            connections.push((sender, driver));
        }
        let after_kib = settled_kib(&mut reader, &resident_kib).await?;
        let unsent = server.metric("clickwire_unsent_bytes").await?;
        println!(
            "{way:?}: {} unread, {refused} refused, {before_kib} KiB before, {after_kib} KiB after",
            unread.len()
        );
        assert!(refused > 0 && unsent <= ADDRESS_MAX_BYTES as f64, "{unsent} bytes");
        assert!(
            after_kib.saturating_sub(before_kib) < 64 << 10,
            "{before_kib} KiB before, {after_kib} KiB after"
        );
        eventually("what nobody reads is given up", Duration::from_secs(40), async || {
            (server.metric("clickwire_unsent_bytes").await.ok()? == 0.0).then_some(())
        })
        .await?;
        assert!(server.metric("clickwire_streams_reset_total{reason=\"stalled\"}").await? > 0.0);
        drop(unread);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_none_are_a_wrong_request() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    for path in ["/api/v1/clicks", "/api/v1/clicks/batch", "/api/v1/session"] {
        for chunks in ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}nonsense", "ffffffffffffffffffff\r\n{}"] {
            let headers = format!("transfer-encoding: chunked\r\n{HEADERS}");
            let mut stream = raw::begin(stack.server_url(), &format!("POST {path}"), &headers).await?;
            stream.write_all(chunks.as_bytes()).await?;
            let answer = rest(&mut stream).await?;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path} {chunks:?}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_told_to_the_operators_programs_alone() -> Result<()> {
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    assert_eq!(raw::send(stack.server_url(), "GET /metrics", "", b"").await?.status, 404);
    let operators = server.http()?;
    for (path, status) in [
        ("/metrics", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/health", 200),
        ("/api/v1/openapi.json", 404),
        ("/r/ad_001", 404),
        ("/", 404),
    ] {
        assert_eq!(operators.connection().get(path).await?.0.as_u16(), status, "{path}");
    }
    let mut client = stack.poster()?;
    ensure!(client.get("/livez").await?.0.is_success());
    ensure!(server.metric("clickwire_connections").await? == 1.0, "one client is connected");
    drop(client);
    eventually("nobody is connected", Duration::from_secs(10), async || {
        (server.metric("clickwire_connections").await.ok()? == 0.0).then_some(())
    })
    .await
}
