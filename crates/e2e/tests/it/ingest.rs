//! Clicks that the intake takes and refuses; what is refused leaves nothing behind.

use std::time::Duration;

use anyhow::Result;
use clickwire_e2e::{Stack, eventually};
use clickwire_services::Server as Service;
use serde_json::{Value, json};

/// Sends raw HTTP and returns status and body.
async fn raw(stack: &Stack, headers: &str, body: &[u8]) -> Result<(u16, Value)> {
    let answer = clickwire_e2e::raw::post(stack.server_url(), "/api/v1/clicks", headers, body).await?;
    Ok((answer.status, answer.body))
}

const KEY: &str = "x-api-key: ingest-key-of-the-tests\r\n";
const JSON: &str = "content-type: application/json\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_and_leaves_nothing_behind() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let good = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"});
    let unknown =
        json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001", "price": 1});
    let long = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "a".repeat(65)});
    let both = [KEY, JSON].concat();
    for (name, headers, body, status, pointer, expected) in [
        ("no key", JSON, good.to_string(), 401, "/error/code", json!("unauthorized")),
        (
            "a wrong key",
            "x-api-key: nonsense\r\ncontent-type: application/json\r\n",
            good.to_string(),
            401,
            "/error/code",
            json!("unauthorized"),
        ),
        ("no content type", KEY, good.to_string(), 415, "/error/code", json!("unsupported_media_type")),
        ("a truncated body", &both, "{\"ad_id\":".into(), 400, "/error/fieldErrors", json!({})),
        ("an empty body", &both, String::new(), 400, "/error/fieldErrors", json!({})),
        (
            "an array",
            &both,
            "[]".into(),
            400,
            "/error/formErrors/0",
            json!("The body must be a JSON object."),
        ),
        (
            "an unknown field",
            &both,
            unknown.to_string(),
            400,
            "/error/fieldErrors/price/0",
            json!("Unknown field."),
        ),
        (
            "a long id",
            &both,
            long.to_string(),
            400,
            "/error/fieldErrors/ad_id/0",
            json!("At most 64 characters."),
        ),
        ("a missing field", &both, "{}".into(), 400, "/error/fieldErrors/ad_id/0", json!("Required.")),
        ("a large body", &both, " ".repeat(20_000), 413, "/error/code", json!("too_large")),
    ] {
        let (answered, answer) = raw(&stack, headers, body.as_bytes()).await?;
        assert_eq!(answered, status, "{name}: {answer}");
        assert_eq!(answer.pointer(pointer), Some(&expected), "{name}: {answer}");
    }
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let mut stream = nats.get_stream(stack.names().stream()).await?;
    assert_eq!(stream.info().await?.state.last_sequence, 0, "something was published");

    let (status, answer) = raw(&stack, &both, good.to_string().as_bytes()).await?;
    assert_eq!((status, &answer["success"]), (202, &json!(true)));
    assert_eq!(stream.info().await?.state.last_sequence, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_raw_address_goes_further_than_the_server() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let body = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001", "ip_address": "203.0.113.77"});
    stack.poster()?.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
    eventually("the click is in the ledger", Duration::from_secs(10), async || {
        (stack.ledger().await.ok()? == 1).then_some(())
    })
    .await?;
    let row: String =
        sqlx::query_scalar("SELECT to_jsonb(c)::text FROM clicks c").fetch_one(stack.database()).await?;
    assert!(!row.contains("203.0.113.77"), "{row}");
    let hash: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT ip_hash FROM clicks").fetch_one(stack.database()).await?;
    assert_eq!(hash.map(|hash| hash.len()), Some(16));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_broker_posts_are_refused_and_later_taken() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let body = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"}).to_string();
    let mut poster = stack.poster()?;
    let (status, _) = poster.post("/api/v1/clicks", body.clone().into_bytes()).await?;
    assert_eq!(status.as_u16(), 202);

    tokio::task::block_in_place(|| stack.services().kill(Service::Nats))?;
    let (status, answer) = poster.post("/api/v1/clicks", body.clone().into_bytes()).await?;
    assert_eq!(status.as_u16(), 503, "{}", String::from_utf8_lossy(&answer));
    let both = [KEY, JSON].concat();
    let (status, answer) = raw(&stack, &both, body.as_bytes()).await?;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("broker_unavailable")));

    tokio::task::block_in_place(|| stack.services().restart(Service::Nats))?;
    eventually("posts are taken again", Duration::from_secs(20), async || {
        let (status, _) = poster.post("/api/v1/clicks", body.clone().into_bytes()).await.ok()?;
        (status.as_u16() == 202).then_some(())
    })
    .await?;
    // Two were accepted; what was refused must not turn up later.
    eventually("accepted clicks are counted", Duration::from_secs(30), async || {
        (stack.ledger().await.ok()? >= 2).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sender_leaves_out_is_told_by_the_user_agent() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let click = json!({
        "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001",
        "user_agent": "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/604.1",
    });
    // One alone, and as many as the ledger writes in another way.
    stack.poster()?.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
    let many = Value::Array(vec![click; 1_000]);
    let (status, _) = stack.poster()?.post("/api/v1/clicks/batch", many.to_string().into_bytes()).await?;
    assert_eq!(status.as_u16(), 202);
    eventually("the clicks are in the ledger", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == 1_001).then_some(())
    })
    .await?;
    let told: Vec<(String, Option<String>, Option<String>, i64)> =
        sqlx::query_as("SELECT device_type, os, browser, count(*) FROM clicks GROUP BY 1, 2, 3")
            .fetch_all(stack.database())
            .await?;
    assert_eq!(told, [("tablet".to_owned(), Some("iPad".to_owned()), Some("Safari".to_owned()), 1_001)]);
    Ok(())
}
