//! Clicks that are posted at once share a write of the broker's, and each has its own answer, whatever is refused.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Program, Stack, eventually, raw};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: &str = "x-api-key: ingest-key-of-the-tests\r\ncontent-type: application/json\r\n";
const COUNTED_WITHIN: Duration = Duration::from_secs(60);

fn clicks(count: usize) -> Vec<Value> {
    let click = |ad: usize| json!({"click_id": Uuid::now_v7(), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": format!("ad_{ad}")});
    (0..count).map(|ad| click(ad % 40)).collect()
}

/// Posts clicks at once; how many were known before. All are taken.
async fn post(url: &str, clicks: &[Value]) -> Result<usize> {
    let body = json!(clicks).to_string();
    let answer = raw::post(url, "/api/v1/clicks/batch", KEY, body.as_bytes()).await?;
    ensure!(answer.body["accepted"] == clicks.len(), "{}", answer.body);
    let results = answer.body["results"].as_array().into_iter().flatten();
    Ok(results.filter(|result| result["is_duplicate"] == true).count())
}

async fn batches(server: &Program, outcome: &str) -> Result<f64> {
    server.metric(&format!("clickwire_broker_batches_total{{outcome=\"{outcome}\"}}")).await
}

async fn holds(stack: &Stack, clicks: usize) -> Result<()> {
    eventually("all are in the ledger", COUNTED_WITHIN, async || {
        (stack.ledger().await.ok()? >= clicks as i64).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, clicks as i64);
    let mut stream = stack.broker().await?.get_stream(stack.names().stream()).await?;
    assert_eq!(stream.info().await?.state.last_sequence, clicks as u64, "the broker has each once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_among_new_clicks_is_told_from_them_whichever_server_it_comes_to() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let first = stack.start_server().await?;
    let first_url = stack.server_url().to_owned();
    let second = stack.start_server().await?;
    let (old, new, newest) = (clicks(300), clicks(100), clicks(100));

    assert_eq!(post(&first_url, &old).await?, 0);
    ensure!(batches(&first, "stored").await? > 0.0, "no click shared a write");
    assert_eq!(batches(&first, "refused").await?, 0.0);

    // The second knows nothing of the first one's ids: the broker refuses what has one of them among others.
    let mixed: Vec<Value> = old[..150].iter().zip(&new).flat_map(|(old, new)| [old, new]).cloned().collect();
    assert_eq!(post(stack.server_url(), &mixed).await?, 100);
    ensure!(batches(&second, "refused").await? > 0.0, "nothing was refused");
    holds(&stack, 400).await?;

    // The first knows its own, and keeps them apart. An id may come twice in one post.
    let mixed: Vec<Value> = old.iter().chain(&newest).chain(&newest[..30]).cloned().collect();
    assert_eq!(post(&first_url, &mixed).await?, 330);
    assert_eq!(batches(&first, "refused").await?, 0.0);
    holds(&stack, 500).await?;

    // Ids are names within an advertiser: another's are others, in one write, too.
    let mut anothers = newest.clone();
    for click in &mut anothers {
        click["advertiser_id"] = json!("adv_002");
    }
    let newest = clicks(100);
    let mixed: Vec<Value> =
        anothers.iter().zip(&newest).flat_map(|(one, other)| [one, other]).cloned().collect();
    assert_eq!(post(&first_url, &mixed).await?, 0);
    assert_eq!(batches(&first, "refused").await?, 0.0);
    holds(&stack, 700).await
}

/// The stream is as an older aggregator makes it, which may be started beside newer servers at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_takes_no_batches_has_each_click_by_itself() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let broker = stack.broker().await?;
    let mut config = broker.get_stream(stack.names().stream()).await?.cached_info().config.clone();
    ensure!(config.allow_atomic_publish, "the aggregator makes a stream that takes batches");
    config.allow_atomic_publish = false;
    broker.update_stream(&config).await?;

    assert_eq!(post(stack.server_url(), &clicks(300)).await?, 0);
    ensure!(batches(&server, "refused").await? > 0.0, "nothing was refused");
    assert_eq!(batches(&server, "stored").await?, 0.0);
    holds(&stack, 300).await?;

    config.allow_atomic_publish = true;
    broker.update_stream(&config).await?;
    assert_eq!(post(stack.server_url(), &clicks(300)).await?, 0);
    ensure!(batches(&server, "stored").await? > 0.0, "nothing is stored together");
    holds(&stack, 600).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_batches_each_click_goes_by_itself() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_PUBLISH_BATCHES", "false");
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let clicks = clicks(300);
    assert_eq!(post(stack.server_url(), &clicks).await?, 0);
    assert_eq!(post(stack.server_url(), &clicks[..100]).await?, 100);
    for outcome in ["stored", "refused", "unanswered"] {
        assert_eq!(batches(&server, outcome).await?, 0.0, "{outcome}");
    }
    holds(&stack, 300).await
}
