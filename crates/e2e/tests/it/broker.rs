//! Requirements on the broker that we install, for exactly-once counts to hold.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use async_nats::jetstream::{
    consumer::{AckPolicy, pull},
    stream::Config,
};
use clickwire_e2e::{Stack, eventually};
use futures_util::StreamExt as _;

/// Messages of the stream, and how many of them the client takes that goes away.
const MESSAGES: usize = 100;
const TAKEN: u64 = 3;

/// A client that is killed leaves a request behind, and the broker delivers to nobody. What then happens to
/// the stream, as when an aggregator that takes over forgets what is counted, must lose none of these messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_reached_nobody_is_delivered_again() -> Result<()> {
    let stack = Stack::new().await?;
    let broker = stack.broker().await?;
    let name = format!("{}_UNDELIVERED", stack.names().stream());
    let stream = broker
        .create_stream(Config { name: name.clone(), subjects: vec![name.clone()], ..Config::default() })
        .await?;
    let mut consumer = stream
        .create_consumer(pull::Config {
            durable_name: Some("reader".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(1),
            ..pull::Config::default()
        })
        .await?;
    for _ in 0..MESSAGES {
        broker.publish(name.clone(), "click".into()).await?.await?;
    }

    // The broker ends this subscription by itself, in the middle of what it delivers.
    let client = broker.client();
    let inbox = client.new_inbox();
    let mut subscription = client.subscribe(inbox.clone()).await?;
    subscription.unsubscribe_after(TAKEN).await?;
    let request = format!(r#"{{"batch":{MESSAGES},"expires":{}}}"#, Duration::from_millis(900).as_nanos());
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.reader");
    client.publish_with_reply(next, inbox, request.into()).await?;
    let mut taken = 0;
    while subscription.next().await.is_some() {
        taken += 1;
    }
    ensure!(taken == TAKEN, "{taken} messages were taken");

    // The first one is forgotten; the others wait until they are taken for lost.
    stream.purge().sequence(2).await?;
    let mut delivered = BTreeSet::new();
    eventually("all others are delivered", Duration::from_secs(20), async || {
        let mut messages = consumer.fetch().max_messages(MESSAGES).messages().await.ok()?;
        while let Some(Ok(message)) = messages.next().await {
            delivered.insert(message.info().ok()?.stream_sequence);
            message.ack().await.ok()?;
        }
        let floor = consumer.info().await.ok()?.ack_floor.stream_sequence;
        (floor == MESSAGES as u64).then_some(())
    })
    .await?;
    ensure!(
        delivered.len() == MESSAGES - 1,
        "{} of {} messages were delivered",
        delivered.len(),
        MESSAGES - 1
    );
    Ok(())
}
