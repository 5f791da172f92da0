//! What can't be read is set aside with its reason and holds up nobody else.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Buckets, Stack, eventually};
use clickwire_process::now_ms;
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_message_in_a_batch_is_set_aside_and_the_rest_is_counted() -> Result<()> {
    let stack = Stack::new().await?;
    let names = stack.names();
    let aggregator = stack.start_aggregator().await?;
    aggregator.kill().await?;
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let good = |ad: &str| {
        json!({"click_id": Uuid::new_v4(), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": ad,
            "country": "DE", "device_type": "mobile", "clicked_at_ms": now_ms(), "received_at_ms": now_ms()})
    };
    for number in 0..500 {
        let message = match number {
            100 => b"{\"not\": \"a click\"}".to_vec(),
            // Readable, but PostgreSQL stores no NUL: only the database finds out.
            300 => good("ad\u{0}1").to_string().into_bytes(),
            _ => good("ad_001").to_string().into_bytes(),
        };
        nats.publish(names.subject(0), message.into()).await?.await?;
    }
    let _aggregator = stack.start_aggregator().await?;
    eventually("the rest is counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == 498).then_some(())
    })
    .await?;
    assert_eq!(stack.received(Buckets::Minutes).await?, 498);

    let mut dead_letters = nats.get_stream(names.dead_letter_stream()).await?;
    assert_eq!(dead_letters.info().await?.state.messages, 2);
    for (sequence, stream_sequence, code) in [(1, "101", "unreadable"), (2, "301", "refused")] {
        let message = dead_letters.get_raw_message(sequence).await?;
        let header = |name: &str| {
            message.headers.get(name).map(|value| value.as_str().to_owned()).context(name.to_owned())
        };
        assert_eq!(header("Clickwire-Code")?, code);
        assert_eq!(header("Clickwire-Sequence")?, stream_sequence);
        assert_eq!(header("Clickwire-Subject")?, names.subject(0));
        assert!(!header("Clickwire-Reason")?.is_empty());
    }
    let kept = dead_letters.get_raw_message(1).await?;
    assert_eq!(&kept.payload[..], b"{\"not\": \"a click\"}", "the original bytes are kept");
    Ok(())
}
