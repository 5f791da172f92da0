//! Clicks that are published while a batch is under way are the next batch. The broker stores a batch whole or not
//! at all, and brings it to its disk with one write: an atomic batch publish (NATS ADR-50; nats-server 2.15 syncs
//! it once). A lone click is not made to wait.
//!
//! A batch with an id that the broker has is refused as a whole. So an id that was sent lately goes by itself, and
//! so does each click of a batch that was refused: each has its own answer then.

use async_nats::{
    HeaderMap, HeaderValue,
    header::{
        NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_STREAM,
        NATS_MESSAGE_ID,
    },
    jetstream::message::PublishMessage,
};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::{Failure, MAX_IN_FLIGHT, Wire, recent::Recent};

/// Clicks in a batch, at most; the broker refuses more than 1,000.
const MAX_BATCH: usize = 512;

/// A click that waits for its turn.
pub(super) struct Entry {
    pub(super) partition: usize,
    pub(super) message_id: String,
    pub(super) click: Bytes,
    /// Hears whether the broker had it before.
    pub(super) stored: oneshot::Sender<Result<bool, Failure>>,
}

/// The queue of what is to be published; cheap to clone.
#[derive(Clone)]
pub(super) struct Group {
    entries: mpsc::Sender<Entry>,
}

impl Group {
    /// Begins to publish; ends when the last clone is dropped. `connections` changes whenever a connection is lost.
    pub(super) fn start(wire: Wire, connections: watch::Receiver<u64>) -> Self {
        let (entries, waiting) = mpsc::channel(MAX_IN_FLIGHT);
        tokio::spawn(Publisher { wire, connections, recent: Recent::default() }.run(waiting));
        Self { entries }
    }

    /// Puts a click in; waits while the queue is full.
    pub(super) async fn add(&self, entry: Entry) -> Result<(), Failure> {
        self.entries.send(entry).await.map_err(|_| Failure::Away)
    }
}

struct Publisher {
    wire: Wire,
    connections: watch::Receiver<u64>,
    recent: Recent,
}

impl Publisher {
    async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        let mut taken = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut taken, MAX_BATCH).await > 0 {
            self.connections.borrow_and_update();
            let (wire, recent) = (&self.wire, &mut self.recent);
            let publish = publish(wire, recent, taken.drain(..));
            // An answer to what was sent over a connection that is lost never comes: those who wait hear that nobody
            // knows, and the next batch does not wait for them.
            tokio::select! {
                () = publish => {}
                _ = self.connections.changed() => {}
            }
        }
    }
}

/// Publishes and answers. Who is not answered because this is dropped hears of that by the end of its channel.
async fn publish(wire: &Wire, recent: &mut Recent, taken: impl Iterator<Item = Entry>) {
    if !wire.is_connected() {
        return;
    }
    // Who has stopped waiting was told that nobody knows of the click.
    let waiting = taken.filter(|entry| !entry.stored.is_closed());
    let (fresh, mut single): (Vec<_>, Vec<_>) = waiting.partition(|entry| recent.is_new(&entry.message_id));
    if fresh.len() < 2 {
        single.extend(fresh);
    } else {
        match commit(wire, &fresh).await {
            Ok(()) => {
                count("stored");
                for entry in fresh {
                    let _ = entry.stored.send(Ok(false));
                }
            }
            Err(Failure::Refused(error)) => {
                tracing::debug!(%error, clicks = fresh.len(), "a batch was refused; each click goes by itself");
                count("refused");
                single.extend(fresh);
            }
            Err(Failure::Silent) => {
                count("unanswered");
                for entry in fresh {
                    let _ = entry.stored.send(Err(Failure::Silent));
                }
            }
            // They are dropped.
            Err(Failure::Away) => count("unanswered"),
        }
    }
    join_all(single.into_iter().map(async |entry| {
        let Entry { partition, message_id, click, stored } = entry;
        let published = async { wire.acknowledged(wire.send(partition, message_id, click).await?).await };
        let _ = stored.send(published.await);
    }))
    .await;
}

/// Publishes at least two clicks as one batch and waits until the broker has it.
async fn commit(wire: &Wire, entries: &[Entry]) -> Result<(), Failure> {
    metrics::histogram!("clickwire_broker_batch_clicks").record(entries.len() as f64);
    let batch = Uuid::new_v4().simple().to_string();
    let client = wire.stream.client();
    let Some((last, others)) = entries.split_last() else { return Ok(()) };
    for (index, entry) in others.iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, entry.message_id.as_str());
        headers.insert(NATS_BATCH_ID, batch.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, HeaderValue::from(index + 1));
        if index == 0 {
            headers.insert(NATS_EXPECTED_STREAM, &*wire.name);
        }
        client
            .publish_with_headers(wire.subjects[entry.partition].clone(), headers, entry.click.clone())
            .await
            .map_err(|_| Failure::Away)?;
    }
    let message = PublishMessage::build()
        .message_id(&last.message_id)
        .expected_stream(&wire.name)
        .header(NATS_BATCH_ID, batch.as_str())
        .header(NATS_BATCH_SEQUENCE, HeaderValue::from(entries.len()))
        .header(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL)
        .payload(last.click.clone());
    let sent = wire.stream.send_publish(wire.subjects[last.partition].clone(), message).await?;
    wire.acknowledged(sent).await?;
    Ok(())
}

fn count(outcome: &'static str) {
    metrics::counter!("clickwire_broker_batches_total", "outcome" => outcome).increment(1);
}
