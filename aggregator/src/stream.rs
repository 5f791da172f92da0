//! The JetStream stream, its consumers, and the connection to the broker.

use std::{sync::Arc, time::Duration};

use async_nats::{
    ConnectOptions, Event,
    jetstream::{
        self, Context, ErrorCode,
        consumer::{AckPolicy, PullConsumer, pull},
        context::{CreateStreamError, GetStreamError},
        stream::{Config as StreamConfig, ConsumerError, ConsumerErrorKind, DiscardPolicy, StorageType},
    },
};
use clickwire_process::nats;
use futures_util::TryStreamExt as _;
use thiserror::Error;

use crate::{
    config::Config,
    health::{Health, Service},
};

/// Longest message that the broker takes; the longest click is a tenth of it. A dead letter is a
/// message and some headers, and must fit into what the broker takes at all (1 MiB by default).
const MESSAGE_MAX_BYTES: i32 = 64 << 10;

/// The oldest release of nats-server that redelivers every message. Before it a first delivery that fails, as it
/// does when an aggregator is killed, wraps the message's count of deliveries around; the consumer then takes
/// it for one that was delivered too often, whatever `max_deliver` says, and its acknowledgement floor passes a
/// click that nobody has counted (nats-server, pull request 8512).
const BROKER_LEAST: (u32, u32, u32) = (2, 14, 6);

/// The broker can't be used now.
#[derive(Debug, Error)]
pub(crate) enum Unavailable {
    #[error("it is nats-server {0}, which can lose clicks: upgrade it to 2.14.6 or newer")]
    TooOld(String),
    #[error("stream: {0}")]
    Create(#[from] CreateStreamError),
    #[error("stream: {0}")]
    Get(#[from] GetStreamError),
    #[error("consumer: {0}")]
    Consumer(#[from] ConsumerError),
    #[error("pull: {0}")]
    Pull(#[from] pull::MessagesError),
    #[error("subscription: {0}")]
    Subscribe(#[from] jetstream::consumer::StreamError),
    #[error("the subscription ended")]
    Ended,
    #[error("dead letter: {0}")]
    DeadLetter(#[from] clickwire_dead_letters::Error),
    #[error("acknowledgement: {0}")]
    Acknowledge(async_nats::Error),
}

/// Connects in the background and for ever again.
pub(crate) async fn connect(config: &Config, health: &Arc<Health>) -> anyhow::Result<Context> {
    let health = Arc::clone(health);
    let options = ConnectOptions::new()
        .name("clickwire-aggregator")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .event_callback(move |event| {
            tracing::debug!(%event, "broker");
            match &event {
                Event::Connected => health.works(Service::Broker),
                Event::Disconnected => health.waiting_for(Service::Broker, &"not connected"),
                // The partitions report what they can't do.
                _ => {}
            }
            async {}
        });
    let client = nats::connect(options, &config.nats_url).await?;
    Ok(jetstream::new(client))
}

/// The durable consumer of one partition on a timeline of the database; stream and consumer are made where they are
/// missing. On a new timeline it begins with the first message that is kept.
///
/// `discard = new`: a full broker refuses clicks, or dead letters, instead of silently forgetting older
/// ones.
pub(crate) async fn consumer(
    nats: &Context,
    config: &Config,
    partition: u16,
    timeline: i64,
) -> Result<PullConsumer, Unavailable> {
    let release = nats.client().server_info().version;
    if is_too_old(&release) {
        return Err(Unavailable::TooOld(release));
    }
    let names = config.names();
    nats.create_or_update_stream(StreamConfig {
        name: names.stream().to_owned(),
        // One by one: a server that is configured with more partitions than anybody counts is refused.
        subjects: (0..config.partitions).map(|partition| names.subject(partition)).collect(),
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_age: config.stream_max_age(),
        max_bytes: config.stream_max_bytes,
        max_message_size: MESSAGE_MAX_BYTES,
        duplicate_window: Duration::from_secs(config.duplicate_window_seconds),
        num_replicas: config.stream_replicas,
        // Servers publish in batches.
        allow_atomic_publish: true,
        ..StreamConfig::default()
    })
    .await?;
    nats.create_or_update_stream(StreamConfig {
        name: names.dead_letter_stream(),
        subjects: vec![names.dead_letter_subject()],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: config.dead_letters_max_bytes,
        duplicate_window: Duration::from_secs(config.duplicate_window_seconds),
        num_replicas: config.stream_replicas,
        ..StreamConfig::default()
    })
    .await?;
    let stream = nats.get_stream(names.stream()).await?;
    let consumer = stream
        .create_consumer(pull::Config {
            durable_name: Some(nats::on_timeline(&names.consumer(partition), timeline)),
            filter_subject: names.subject(partition),
            // Several aggregators share the consumer: acknowledging one click must not acknowledge
            // what another still holds.
            ack_policy: AckPolicy::Explicit,
            ack_wait: config.ack_wait(),
            max_deliver: -1,
            max_ack_pending: 4 * config.batch_max as i64,
            ..pull::Config::default()
        })
        .await?;
    Ok(consumer)
}

/// Deletes the partitions' consumers of older timelines of the database, which nobody reads any more and the stream
/// would wait for. Returns whether there were any.
pub(crate) async fn delete_older(nats: &Context, config: &Config, timeline: i64) -> anyhow::Result<bool> {
    let stream = nats.get_stream(config.names().stream()).await?;
    let consumers: Vec<String> = stream.consumer_names().try_collect().await?;
    let is_older = |consumer: &String| {
        nats::timeline_of(consumer, config.consumers()).is_some_and(|older| older < timeline)
    };
    let mut were_any = false;
    for consumer in consumers.iter().filter(|consumer| is_older(consumer)) {
        match stream.delete_consumer(consumer).await {
            Ok(_) => were_any = true,
            // Another aggregator was first.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if were_any {
        tracing::warn!(timeline, "the database has another history: consumers of the one before are deleted");
    }
    Ok(were_any)
}

fn is_missing(error: &ConsumerError) -> bool {
    matches!(error.kind(), ConsumerErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
}

/// Returns whether a release of nats-server loses messages. A name that can't be read is an operator's own build.
fn is_too_old(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    let read = numbers.next().zip(numbers.next()).zip(numbers.next());
    read.is_some_and(|((major, minor), patch)| (major, minor, patch) < BROKER_LEAST)
}

#[cfg(test)]
mod tests {
    use super::is_too_old;

    #[test]
    fn releases_that_lose_messages_are_refused() {
        assert!(["2.9.25", "2.10.27", "2.14.5", "1.4.1"].into_iter().all(is_too_old));
        let good = ["2.14.6", "2.15.0", "2.15.1", "2.16.0-RC.1", "3.0.0", "", "built here"];
        assert!(!good.into_iter().any(is_too_old));
    }
}
