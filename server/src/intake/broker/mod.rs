//! The way to the broker: what is published is acknowledged or it is not known to be there.
//!
//! While the broker is known to be away nothing is handed to the client library, which would keep it
//! and send it later. What the library has in hand at the moment of a break it may still send, so a
//! failure never means that the broker does not have the click: it can be sent again under its id.
//!
//! - [`group`]: what is posted at the same time goes in one batch

mod group;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{
    ConnectOptions, Event, Subject,
    connection::State as ConnectionState,
    jetstream::{
        Context, ContextBuilder,
        context::{PublishAckFuture, PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use bytes::Bytes;
use clickwire_process::nats;
use clickwire_protocol::{
    click::message_id,
    ids::AdvertiserId,
    stream::{Names, partition_of},
    times::UnixMs,
};
use serde::Deserialize;
use thiserror::Error as ThisError;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout, timeout_at},
};
use uuid::Uuid;

use self::group::{Entry, Group};
use crate::config::Config;

/// Publishes waiting for the broker's acknowledgement, at most; further ones wait for their turn.
const MAX_IN_FLIGHT: usize = 4_096;

/// The reason why it is not known whether the broker has a click.
#[derive(Debug, ThisError)]
pub(super) enum Failure {
    #[error("not connected")]
    Away,
    #[error("no acknowledgement in time")]
    Silent,
    #[error("{0}")]
    Refused(PublishError),
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error.kind() {
            PublishErrorKind::TimedOut => Self::Silent,
            _ => Self::Refused(error),
        }
    }
}

/// What names a click: an id, and the advertiser within which it is one.
pub(super) type Name<'a> = (Uuid, &'a AdvertiserId);

/// A click with its partition, and the id under which the broker knows it.
#[derive(Clone, Debug)]
pub(super) struct Addressed {
    partition: usize,
    pub(super) message_id: String,
    pub(super) click: Bytes,
}

/// What a click that waited on the disk says of itself. What can't be read goes to any partition: the aggregator sets it
/// aside with the reason.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Stored {
    pub(super) click_id: Uuid,
    pub(super) received_at_ms: Option<UnixMs>,
    advertiser_id: AdvertiserId,
}

impl Stored {
    pub(super) fn read(click: &[u8]) -> Self {
        serde_json::from_slice(click).unwrap_or_default()
    }

    pub(super) fn name(&self) -> Name<'_> {
        (self.click_id, &self.advertiser_id)
    }
}

/// A connection that is made in the background and for ever again; cheap to clone.
#[derive(Clone)]
pub(super) struct Broker {
    wire: Wire,
    /// `None`: each click goes by itself.
    group: Option<Group>,
}

/// The sending side of the connection; cheap to clone.
#[derive(Clone)]
struct Wire {
    stream: Context,
    /// Its name: another deployment's may have the same subjects.
    name: Arc<str>,
    /// Subjects, by partition.
    subjects: Arc<[Subject]>,
    /// The last publish was answered.
    answers: Arc<AtomicBool>,
}

impl Broker {
    pub(super) async fn connect(config: &Config) -> anyhow::Result<Self> {
        let (lost, connections) = watch::channel(0);
        let options = ConnectOptions::new()
            .name("clickwire-server")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .event_callback(move |event| {
                tracing::debug!(%event, "broker");
                if event == Event::Disconnected {
                    lost.send_modify(|connection| *connection += 1);
                }
                async {}
            });
        let client = nats::connect(options, &config.nats_url).await?;
        let timeout = Duration::from_millis(config.publish_timeout_ms);
        let stream = ContextBuilder::new()
            .timeout(timeout)
            .ack_timeout(timeout)
            .max_ack_inflight(MAX_IN_FLIGHT)
            .backpressure_on_inflight(true)
            .build(client);
        let names = Names::new(&config.stream);
        let subjects = (0..config.partitions).map(|partition| names.subject(partition).into()).collect();
        let wire =
            Wire { stream, name: names.stream().into(), subjects, answers: Arc::new(AtomicBool::new(true)) };
        let group = config.publish_batches.then(|| Group::start(wire.clone(), connections));
        Ok(Self { wire, group })
    }

    /// Publishes a click, with others that come at the same time if that is configured, and waits until the broker has it, but not for
    /// longer than `patience`; says whether the broker had it before.
    pub(super) async fn publish(
        &self,
        name: Name<'_>,
        click: Bytes,
        patience: Duration,
    ) -> Result<bool, Failure> {
        if !self.is_connected() {
            return Err(Failure::Away);
        }
        let started = Instant::now();
        let click = self.addressed(name, click);
        let published = self.answered(click);
        let is_duplicate = match timeout(patience, published).await {
            Ok(answer) => answer?,
            Err(_) => {
                self.wire.answers.store(false, Ordering::Relaxed);
                return Err(Failure::Silent);
            }
        };
        metrics::histogram!("clickwire_broker_ack_seconds").record(started.elapsed());
        Ok(is_duplicate)
    }

    /// Hands a click to the client library, by itself. What is sent one after the other arrives in that order.
    pub(super) async fn send(&self, name: Name<'_>, click: Bytes) -> Result<PublishAckFuture, Failure> {
        self.wire.send(self.addressed(name, click)).await
    }

    /// Publishes clicks in this order and waits until each is answered, but not for longer than `patience`; says of each
    /// whether the broker had it before.
    pub(super) async fn publish_all(
        &self,
        clicks: impl ExactSizeIterator<Item = &Addressed>,
        patience: Duration,
    ) -> Vec<Result<bool, Failure>> {
        let (count, until) = (clicks.len(), Instant::now() + patience);
        if !self.is_connected() {
            return (0..count).map(|_| Err(Failure::Away)).collect();
        }
        let mut answers = Vec::with_capacity(count);
        if let Some(group) = &self.group {
            match timeout_at(until, group.add_all(clicks)).await {
                Ok(Ok(queued)) => {
                    for answer in queued {
                        let answer = timeout_at(until, answer).await;
                        answers.push(
                            answer
                                .map_or(Err(Failure::Silent), |answer| answer.unwrap_or(Err(Failure::Away))),
                        );
                    }
                }
                Ok(Err(_)) => answers.extend((0..count).map(|_| Err(Failure::Away))),
                Err(_) => answers.extend((0..count).map(|_| Err(Failure::Silent))),
            }
        } else {
            let mut sent = Vec::with_capacity(count);
            for click in clicks {
                sent.push(
                    timeout_at(until, self.wire.send(click.clone())).await.unwrap_or(Err(Failure::Silent)),
                );
            }
            for sent in sent {
                let acknowledged = async { self.acknowledged(sent?).await };
                answers.push(timeout_at(until, acknowledged).await.unwrap_or(Err(Failure::Silent)));
            }
        }
        if answers.iter().any(|answer| matches!(answer, Err(Failure::Silent))) {
            self.wire.answers.store(false, Ordering::Relaxed);
        }
        answers
    }

    /// Publishes a click, among others if that is configured; says whether the broker had it before.
    async fn answered(&self, click: Addressed) -> Result<bool, Failure> {
        let Some(group) = &self.group else { return self.acknowledged(self.wire.send(click).await?).await };
        let (stored, answer) = oneshot::channel();
        group.add(Entry { click, stored }).await?;
        // The connection was lost on the way.
        answer.await.unwrap_or(Err(Failure::Away))
    }

    /// The click with its partition, and the id under which the broker knows it.
    pub(super) fn addressed(&self, (click_id, advertiser_id): Name<'_>, click: Bytes) -> Addressed {
        let partition = usize::from(partition_of(click_id, self.wire.subjects.len() as u16));
        Addressed { partition, message_id: message_id(click_id, advertiser_id), click }
    }

    /// Waits until the broker has what was sent; says whether it had it before.
    pub(super) async fn acknowledged(&self, sent: PublishAckFuture) -> Result<bool, Failure> {
        self.wire.acknowledged(sent).await
    }

    /// The connection, for others that talk to the broker.
    pub(super) fn jetstream(&self) -> &Context {
        &self.wire.stream
    }

    /// Returns whether there is a connection to the broker at this moment.
    pub(super) fn is_connected(&self) -> bool {
        self.wire.is_connected()
    }

    /// Returns whether the broker has answered the last publish: a connection alone does not say that the other end is
    /// alive.
    pub(super) fn answers(&self) -> bool {
        self.wire.answers.load(Ordering::Relaxed)
    }
}

impl Wire {
    async fn send(&self, click: Addressed) -> Result<PublishAckFuture, Failure> {
        let Addressed { partition, message_id, click } = click;
        if !self.is_connected() {
            return Err(Failure::Away);
        }
        let message =
            PublishMessage::build().message_id(message_id).expected_stream(&self.name).payload(click);
        Ok(self.stream.send_publish(self.subjects[partition].clone(), message).await?)
    }

    async fn acknowledged(&self, sent: PublishAckFuture) -> Result<bool, Failure> {
        let answer = sent.await.map_err(Failure::from);
        self.answers.store(!matches!(answer, Err(Failure::Silent)), Ordering::Relaxed);
        Ok(answer?.duplicate)
    }

    fn is_connected(&self) -> bool {
        self.stream.client().connection_state() == ConnectionState::Connected
    }
}
