//! Posts that are sent again under the same `Idempotency-Key` count once, whatever goes away meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clickwire_e2e::{
    Program, Stack, Wire, eventually,
    raw::{self, Answer},
};
use clickwire_process::now_ms;
use clickwire_services::Server as Service;
use redis::AsyncCommands as _;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, task::JoinSet};

const CLICKS: &str = "/api/v1/clicks";
pub(super) const BODY: &str = r#"{"advertiser_id":"adv_001","campaign_id":"camp_001","ad_id":"ad_001"}"#;

/// A wire so slow that posts meet in flight on a busy machine. There and back it is far from the five seconds after which
/// a post in flight counts as dead: the next one would then be the first.
const SLOW: Wire = Wire::Slow(Duration::from_millis(1_200));

fn headers(api_key: &str, key: &str) -> String {
    format!("x-api-key: {api_key}\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\n")
}

pub(super) async fn post(url: &str, key: &str, body: &str) -> Result<Answer> {
    raw::post(url, CLICKS, &headers(Stack::ingest_key(), key), body.as_bytes()).await
}

/// Posts until the answer has this status.
async fn posted(url: &str, key: &str, status: u16) -> Result<Answer> {
    eventually(&format!("the post is answered {status}"), Duration::from_secs(20), async || {
        post(url, key, BODY).await.ok().filter(|answer| answer.status == status)
    })
    .await
}

async fn is_counted(stack: &Stack, expected: i64) -> Result<()> {
    eventually("the clicks are in the ledger", Duration::from_secs(30), async || {
        stack.ledger().await.ok().filter(|&ledger| ledger >= expected)
    })
    .await?;
    assert_eq!(stack.ledger().await?, expected);
    Ok(())
}

/// The names under which Redis knows so many posts, once it knows them.
async fn known(stack: &Stack, posts: usize) -> Result<(Vec<String>, redis::aio::MultiplexedConnection)> {
    let client = redis::Client::open(stack.services().redis_url())?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let pattern = format!("{}:idempotency:*", stack.redis_prefix());
    let names = eventually(&format!("{posts} posts are known"), Duration::from_secs(10), async || {
        let names: Vec<String> = redis.keys(&pattern).await.ok()?;
        (names.len() == posts).then_some(names)
    })
    .await?;
    Ok((names, redis))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_post_gets_the_first_answer_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.set("CLICKWIRE_INGEST_KEYS", "ingest-key-of-the-tests,another-key-of-the-tests");
    let _servers = [stack.start_server().await?, stack.start_server().await?];
    let url = stack.server_url();
    let first = post(url, "\"order-7\"", BODY).await?;
    assert_eq!((first.status, &first.body["is_duplicate"]), (202, &json!(false)), "{first:?}");
    assert_eq!(first.header("idempotency-replayed"), None);
    for key in ["\"order-7\"", "order-7"] {
        let again = post(url, key, BODY).await?;
        assert_eq!((again.status, &again.body), (202, &first.body), "{key}");
        assert_eq!(again.header("content-type"), Some("application/json"));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    let other = post(url, "\"order-7\"", &BODY.replace("ad_001", "ad_002")).await?;
    assert_eq!((other.status, &other.body["error"]["code"]), (422, &json!("idempotency_key_reused")));
    for wrong in ["", "\"order", "\"two words\"", "a, b", &"k".repeat(256)] {
        let answer = post(url, wrong, BODY).await?;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body["error"]["fieldErrors"]["Idempotency-Key"][0].is_string(), "{wrong}: {answer:?}");
    }
    // Whoever posts with another key knows nothing of ours.
    let theirs =
        raw::post(url, CLICKS, &headers("another-key-of-the-tests", "order-7"), BODY.as_bytes()).await?;
    assert_eq!((theirs.status, &theirs.body["is_duplicate"]), (202, &json!(false)), "{theirs:?}");
    assert_ne!(theirs.body["click_id"], first.body["click_id"]);

    let (names, mut redis) = known(&stack, 2).await?;
    for name in names {
        let left_seconds: i64 = redis.ttl(&name).await?;
        assert!((86_000..=86_400).contains(&left_seconds), "{left_seconds}");
        let kept: Vec<(String, Vec<u8>)> = redis.hgetall(&name).await?;
        let kept = kept.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect::<String>();
        assert!(
            !name.contains("order-7") && !kept.contains("order-7") && !kept.contains("camp_001"),
            "{kept}"
        );
    }
    is_counted(&stack, 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_on_two_servers_count_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut servers: Vec<(Program, String)> = Vec::new();
    for _ in 0..2 {
        let server = stack.start_server().await?;
        servers.push((server, stack.server_url().to_owned()));
    }
    let mut posts = JoinSet::new();
    for number in 0..50 {
        let url = servers[number % 2].1.clone();
        posts.spawn(async move { post(&url, "order-7", BODY).await });
    }
    let mut accepted = Vec::new();
    while let Some(answer) = posts.join_next().await {
        let answer = answer??;
        match answer.status {
            202 => accepted.push(answer.body),
            409 => assert_eq!(answer.header("retry-after"), Some("1")),
            _ => panic!("{answer:?}"),
        }
    }
    let first = post(&servers[0].1, "order-7", BODY).await?.body;
    assert_eq!(post(&servers[1].1, "order-7", BODY).await?.body, first);
    assert!(accepted.iter().all(|body| body["click_id"] == first["click_id"]), "{accepted:?}");
    // On a busy machine Redis may take longer than a post waits for it.
    let mut unchecked = 0.0;
    for (server, _) in &servers {
        unchecked += server.metric("clickwire_idempotency_unchecked_total").await?;
    }
    let others = accepted.iter().filter(|&body| *body != first).count();
    assert!(!accepted.is_empty() && others as f64 <= unchecked, "{unchecked} {accepted:?}");
    is_counted(&stack, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_in_flight_is_not_repeated_and_ends_without_its_client() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _near = stack.start_server().await?;
    let near_url = stack.server_url().to_owned();
    stack.wire().await?;
    stack.set("CLICKWIRE_PUBLISH_TIMEOUT_MS", "20000");
    let server = stack.start_server().await?;
    let url = stack.server_url();
    stack.wire_to(Service::Nats)?.set(SLOW);
    let (one, other) = tokio::try_join!(post(url, "order-7", BODY), post(url, "order-7", BODY))?;
    let (first, refused) = if one.status == 202 { (one, other) } else { (other, one) };
    assert_eq!((first.status, refused.status), (202, 409), "{first:?} {refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.body["error"]["code"], json!("idempotency_key_in_flight"));
    assert_eq!(post(url, "order-7", BODY).await?.body, first.body);

    // A client that hangs up finds its post answered, and needs not wait until the mark expires.
    let head = format!("content-length: {}\r\n{}", BODY.len(), headers(Stack::ingest_key(), "order-8"));
    let mut client = raw::begin(url, &format!("POST {CLICKS}"), &head).await?;
    client.write_all(BODY.as_bytes()).await?;
    // Before this server has begun it, another post under its key would be the first.
    known(&stack, 2).await?;
    drop(client);
    let again = posted(url, "order-8", 202).await?;
    // On a busy machine Redis may take longer than a post waits for it.
    let unchecked = server.metric("clickwire_idempotency_unchecked_total").await?;
    let is_replayed = again.header("idempotency-replayed") == Some("true");
    assert!(is_replayed || unchecked > 0.0, "{unchecked} {again:?}");

    stack.wire_to(Service::Nats)?.set(Wire::Whole);
    // An answer is written down before it is given, also by a server that is further from Redis.
    stack.wire_to(Service::Redis)?.set(Wire::Slow(Duration::from_millis(15)));
    // On a busy machine it may take longer than a post waits for it, but not every time.
    for number in 9..15 {
        let key = format!("order-{number}");
        let first = post(url, &key, BODY).await?;
        let again = post(&near_url, &key, BODY).await?;
        if again.status != 409 {
            assert_eq!((again.status, again.body), (202, first.body));
            return is_counted(&stack, number - 6).await;
        }
    }
    bail!("no answer was written down in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_failed_is_tried_again_with_its_first_time() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.wire().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    stack.wire_to(Service::Nats)?.set(Wire::Cut);
    let began_ms = now_ms();
    let failed = posted(url, "order-7", 503).await?;
    let failed_ms = now_ms();
    stack.wire_to(Service::Nats)?.set(Wire::Whole);
    let taken = posted(url, "order-7", 202).await?;
    assert_eq!(taken.body["click_id"], failed.body["error"]["click_id"]);
    is_counted(&stack, 1).await?;
    let at_ms: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clicked_at) * 1000)::bigint FROM clicks")
        .fetch_one(stack.database())
        .await?;
    assert!((began_ms..=failed_ms).contains(&at_ms), "{began_ms} {at_ms} {failed_ms}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_flight_leaves_a_mark_that_expires() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    // The mark would be gone before a server had started.
    let _near = stack.start_server().await?;
    let near_url = stack.server_url().to_owned();
    stack.wire().await?;
    stack.set("CLICKWIRE_PUBLISH_TIMEOUT_MS", "20000");
    let server = stack.start_server().await?;
    let url = stack.server_url().to_owned();
    stack.wire_to(Service::Nats)?.set(Wire::HalfOpen);
    let lost = tokio::spawn(async move { post(&url, "order-7", BODY).await });
    let (names, mut redis) = known(&stack, 1).await?;
    server.kill().await?;
    ensure!(lost.await?.is_err(), "a dead server answered");
    let url = &*near_url;
    assert_eq!(post(url, "order-7", BODY).await?.status, 409);
    let busy_until_ms: i64 = redis.hget(&names[0], "busy_until_ms").await?;
    let left_ms = busy_until_ms - now_ms();
    assert!((1..=5_000).contains(&left_ms), "{left_ms}");
    // Half a minute later.
    let _new: i64 = redis.hset(&names[0], "busy_until_ms", busy_until_ms - 5_000).await?;
    let taken = post(url, "order-7", BODY).await?;
    assert_eq!(taken.status, 202, "{taken:?}");
    assert_eq!(post(url, "order-7", BODY).await?.body, taken.body);
    is_counted(&stack, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_repetition_counts_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.wire().await?;
    let server = stack.start_server().await?;
    let url = stack.server_url();
    let mut ids: Vec<Value> = Vec::new();
    let (away, mut unchecked) = ([Wire::Cut, Wire::HalfOpen], 0.0);
    for wire in away {
        stack.wire_to(Service::Redis)?.set(wire);
        for is_duplicate in [!ids.is_empty(), true] {
            let begun = Instant::now();
            let answer = post(url, "order-7", BODY).await?;
            // A tenth of a second of it is Redis'.
            assert!(begun.elapsed() < Duration::from_secs(1), "{wire:?}: {:?}", begun.elapsed());
            assert_eq!(
                (answer.status, &answer.body["is_duplicate"]),
                (202, &json!(is_duplicate)),
                "{answer:?}"
            );
            ids.push(answer.body["click_id"].clone());
            unchecked += 1.0;
        }
        assert!(server.metric("clickwire_idempotency_unchecked_total").await? >= unchecked, "{wire:?}");
        stack.wire_to(Service::Redis)?.set(Wire::Whole);
        // With Redis back, posts are remembered again.
        let key = format!("\"after {wire:?}\"").replace(' ', "-");
        eventually("repetitions are answered again", Duration::from_secs(20), async || {
            let answer = post(url, &key, BODY).await.ok()?;
            answer.header("idempotency-replayed").map(|_| ())
        })
        .await?;
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    is_counted(&stack, 3).await
}
