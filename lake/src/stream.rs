//! The stream as the lake reads it: every message, in order, from a given one on.
//!
//! Each session has a durable consumer of its own that begins where the ranges end, so nothing is delivered out
//! of order, whatever the sessions before have left. The consumer before is deleted when the new one is there:
//! there is always one whose acknowledgements the stream waits for.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use async_nats::{
    ConnectOptions, Event,
    jetstream::{
        self, AckKind, Context, Message,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
        context::ConsumerInfoErrorKind,
        stream::Stream,
    },
};
use clickwire_process::nats;
use clickwire_protocol::stream::Names;
use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use crate::{
    config::Config,
    error::Unavailable,
    health::{Health, Service},
};

/// The longest wait of one request for more messages.
const PULL_FOR: Duration = Duration::from_secs(1);

/// Messages in one request.
const PULL_MAX: usize = 5_000;

/// No message is delivered twice within a session: what was lost on its way ends the session.
const ACK_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Any other answer of the broker may take so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects in the background and for ever again.
pub(crate) async fn connect(config: &Config, health: &Arc<Health>) -> anyhow::Result<Context> {
    let health = Arc::clone(health);
    let options = ConnectOptions::new()
        .name("clickwire-lake")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .event_callback(move |event| {
            if event == Event::Disconnected {
                health.waiting_for(Service::Broker, &"not connected");
            }
            async {}
        });
    let client = nats::connect(options, &config.nats_url).await?;
    Ok(jetstream::new(client))
}

/// The stream, as it is now.
pub(crate) struct Source {
    stream: Stream,
    /// Time at which the stream was made, in µs since the Unix epoch.
    pub(crate) created_us: i64,
    /// Its first message.
    pub(crate) first: u64,
}

/// A session's consumer.
pub(crate) struct Reader {
    consumer: PullConsumer,
    /// The number of messages that the consumer has delivered.
    delivered: u64,
    last: Option<Message>,
}

/// A message with its number.
pub(crate) struct Delivered {
    pub(crate) message: Message,
    pub(crate) stream_seq: u64,
    pub(crate) stored_at_ms: i64,
}

impl Source {
    /// The stream of a deployment.
    pub(crate) async fn open(nats: &Context, names: &Names) -> Result<Self, Unavailable> {
        let stream = within(nats.get_stream(names.stream())).await?;
        let info = stream.cached_info();
        let created_us = (info.created.unix_timestamp_nanos() / 1_000) as i64;
        let first = info.state.first_sequence.max(1);
        Ok(Self { created_us, first, stream })
    }

    /// The stream's last message, as it is now.
    pub(crate) async fn last(&self) -> Result<u64, Unavailable> {
        Ok(within(self.stream.get_info()).await?.state.last_sequence)
    }

    /// A new consumer that begins with a message, in place of those of earlier sessions.
    pub(crate) async fn read_from(&self, first: u64) -> Result<Reader, Unavailable> {
        let name = format!("{}{}", Names::LAKE_CONSUMER, Uuid::new_v4().simple());
        let consumer = within(self.stream.create_consumer(pull::Config {
            durable_name: Some(name.clone()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: first },
            ack_policy: AckPolicy::All,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: -1,
            ..pull::Config::default()
        }))
        .await?;
        self.forget_readers(Some(&name)).await?;
        Ok(Reader { consumer, delivered: 0, last: None })
    }

    /// Deletes the lake's consumers but one.
    pub(crate) async fn forget_readers(&self, kept: Option<&str>) -> Result<(), Unavailable> {
        let names: Vec<String> = within(self.stream.consumer_names().try_collect()).await?;
        for name in names {
            if name.starts_with(Names::LAKE_CONSUMER) && Some(name.as_str()) != kept {
                within(self.stream.delete_consumer(&name)).await?;
            }
        }
        Ok(())
    }

    /// Up to which message the aggregators have dealt with a partition; `None` while it has no consumer.
    pub(crate) async fn counted_to(&self, consumer: &str) -> Result<Option<u64>, Unavailable> {
        let info = tokio::time::timeout(PATIENCE, self.stream.consumer_info(consumer)).await;
        match info.map_err(|_| Unavailable::Broker(anyhow!("no answer in time")))? {
            Ok(info) => Ok(Some(info.ack_floor.stream_sequence)),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unavailable::broker(error)),
        }
    }
}

impl Delivered {
    /// A message, which must be the consumer's next.
    fn read(message: Message, consumer_seq: u64) -> Result<Self, Unavailable> {
        let info = message.info().map_err(|error| Unavailable::Broker(anyhow!(error)))?;
        if info.consumer_sequence != consumer_seq {
            return Err(Unavailable::Broker(anyhow!("a message was lost on its way")));
        }
        let stored_at_ms = (info.published.unix_timestamp_nanos() / 1_000_000) as i64;
        let stream_seq = info.stream_sequence;
        Ok(Self { message, stream_seq, stored_at_ms })
    }
}

impl Reader {
    /// The next messages; none if there are none for a while. With an error there may be some, too.
    pub(crate) async fn next(&mut self, most: usize) -> (Vec<Delivered>, Option<Unavailable>) {
        let Self { consumer, delivered, last } = self;
        let mut read = Vec::new();
        let fetch = async {
            let request = consumer.batch().max_messages(most.clamp(1, PULL_MAX)).expires(PULL_FOR);
            let mut messages = request.messages().await.map_err(Unavailable::broker)?;
            while let Some(message) = messages.next().await {
                let message = message.map_err(|error| Unavailable::Broker(anyhow!(error)))?;
                let next = Delivered::read(message, *delivered + 1)?;
                *delivered += 1;
                *last = Some(next.message.clone());
                read.push(next);
            }
            Ok(())
        };
        let error = match tokio::time::timeout(PULL_FOR + PATIENCE, fetch).await {
            Ok(fetched) => fetched.err(),
            Err(_) => Some(Unavailable::Broker(anyhow!("no answer in time"))),
        };
        (read, error)
    }

    /// Lets the stream forget everything that was delivered.
    pub(crate) async fn acknowledge(&mut self) -> Result<(), Unavailable> {
        let Some(last) = self.last.take() else { return Ok(()) };
        let acknowledged = tokio::time::timeout(PATIENCE, last.double_ack_with(AckKind::Ack));
        let acknowledged =
            acknowledged.await.map_err(|_| Unavailable::Broker(anyhow!("no answer in time")))?;
        acknowledged.map_err(|error| Unavailable::Broker(anyhow!(error)))
    }

    /// Returns the number of messages not delivered yet; an error if the consumer is gone.
    pub(crate) async fn pending(&mut self) -> Result<u64, Unavailable> {
        Ok(within(self.consumer.get_info()).await?.num_pending)
    }
}

/// An answer of the broker, within a limit.
async fn within<T, E: Into<anyhow::Error>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Unavailable> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Unavailable::broker),
        Err(_) => Err(Unavailable::Broker(anyhow!("no answer in time"))),
    }
}
