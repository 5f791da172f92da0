//! Clicks that are published while others are under way go together, next. Many are one batch, which the broker stores
//! whole or not at all, and brings to its disk with one write: an atomic batch publish (NATS ADR-50; nats-server
//! 2.15 syncs it once). Few go by themselves, one behind the other, for the broker stages a batch in files of its
//! own, which takes as long as some dozen clicks do: [`Pace`]. A lone click is not made to wait.
//!
//! A batch with an id that the broker has is refused as a whole. So an id that was sent lately goes by itself, and
//! so does each click of a batch that was refused: each has its own answer then.

use std::time::Duration;

use async_nats::{
    HeaderMap, HeaderValue,
    header::{
        NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_STREAM,
        NATS_MESSAGE_ID,
    },
    jetstream::message::PublishMessage,
};
use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Addressed, Failure, MAX_IN_FLIGHT, Wire};
use crate::intake::recent::Recent;

/// Clicks in a batch, at most; the broker refuses more than 1,000.
const MAX_BATCH: usize = 512;

/// Clicks in a batch, at least. The time of fewer clicks is the round trip's more than the broker's.
const MIN_BATCH: usize = 5;

/// A click that waits for its turn.
pub(super) struct Entry {
    pub(super) click: Addressed,
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
        tokio::spawn(
            Publisher { wire, connections, recent: Recent::default(), pace: Pace::default() }.run(waiting),
        );
        Self { entries }
    }

    /// Puts a click in; waits while the queue is full.
    pub(super) async fn add(&self, entry: Entry) -> Result<(), Failure> {
        self.entries.send(entry).await.map_err(|_| Failure::Away)
    }
}

impl Group {
    /// Puts clicks in, one behind the other, when there is room for all; their answers, in the same order. Fewer than
    /// 4,096 at once.
    pub(super) async fn add_all(
        &self,
        clicks: impl ExactSizeIterator<Item = &Addressed>,
    ) -> Result<Vec<oneshot::Receiver<Result<bool, Failure>>>, Failure> {
        let places = self.entries.reserve_many(clicks.len()).await.map_err(|_| Failure::Away)?;
        let queued = places.zip(clicks).map(|(place, click)| {
            let (stored, answer) = oneshot::channel();
            place.send(Entry { click: click.clone(), stored });
            answer
        });
        Ok(queued.collect())
    }
}

struct Publisher {
    wire: Wire,
    connections: watch::Receiver<u64>,
    recent: Recent,
    pace: Pace,
}

/// What a click in a batch takes beyond what the batch takes anyway, as it was measured of nats-server 2.15.
const CLICK_IN_BATCH: Duration = Duration::from_micros(40);

/// The time that publishing has lately taken, which decides who goes in a batch.
struct Pace {
    /// A click by itself, among others.
    click: Duration,
    /// A batch, without what its clicks take.
    batch: Duration,
}

impl Default for Pace {
    /// Before anything is known: sixteen clicks take as long as in a batch.
    fn default() -> Self {
        Self { click: Duration::from_micros(290), batch: Duration::from_millis(4) }
    }
}

impl Pace {
    /// Returns whether this number of clicks is stored sooner in a batch.
    fn is_worth_a_batch(&self, clicks: usize) -> bool {
        clicks >= MIN_BATCH && self.click.saturating_sub(CLICK_IN_BATCH) * clicks as u32 > self.batch
    }

    fn took_clicks(&mut self, clicks: usize, time: Duration) {
        if clicks >= MIN_BATCH {
            self.click = (self.click * 7 + time / clicks as u32) / 8;
            // A batch that once took long is tried again in time.
            self.batch -= self.batch / 256;
        }
    }

    fn took_batch(&mut self, clicks: usize, time: Duration) {
        self.batch = (self.batch * 7 + time.saturating_sub(CLICK_IN_BATCH * clicks as u32)) / 8;
        // Clicks by themselves that once took long are tried again in time.
        self.click -= self.click / 256;
    }
}

impl Publisher {
    async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        let mut taken = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut taken, MAX_BATCH).await > 0 {
            self.connections.borrow_and_update();
            let (wire, recent, pace) = (&self.wire, &mut self.recent, &mut self.pace);
            let publish = publish(wire, recent, pace, taken.drain(..));
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
async fn publish(wire: &Wire, recent: &mut Recent, pace: &mut Pace, taken: impl Iterator<Item = Entry>) {
    if !wire.is_connected() {
        return;
    }
    // Who has stopped waiting was told that nobody knows of the click.
    let waiting = taken.filter(|entry| !entry.stored.is_closed());
    let (fresh, repeated): (Vec<_>, Vec<_>) =
        waiting.partition(|entry| recent.is_new(&entry.click.message_id));
    // A repetition behind what it repeats.
    let mut single = Vec::new();
    let is_batch = pace.is_worth_a_batch(fresh.len());
    if is_batch {
        let started = Instant::now();
        match commit(wire, &fresh).await {
            Ok(()) => {
                pace.took_batch(fresh.len(), started.elapsed());
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
    } else {
        single.extend(fresh);
    }
    single.extend(repeated);
    let started = Instant::now();
    let mut sent = Vec::with_capacity(single.len());
    for Entry { click, stored } in single {
        sent.push((wire.send(click).await, stored));
    }
    let answers = join_all(sent.into_iter().map(async |(sent, stored)| {
        let published = async { wire.acknowledged(sent?).await }.await;
        let is_stored = published.is_ok();
        let _ = stored.send(published);
        is_stored
    }))
    .await;
    if !is_batch && answers.iter().all(|is_stored| *is_stored) {
        pace.took_clicks(answers.len(), started.elapsed());
    }
}

/// Publishes clicks as one batch and waits until the broker has it.
async fn commit(wire: &Wire, entries: &[Entry]) -> Result<(), Failure> {
    metrics::histogram!("clickwire_broker_batch_clicks").record(entries.len() as f64);
    let batch = Uuid::new_v4().simple().to_string();
    let client = wire.stream.client();
    let Some((Entry { click: last, .. }, others)) = entries.split_last() else { return Ok(()) };
    for (index, Entry { click, .. }) in others.iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, click.message_id.as_str());
        headers.insert(NATS_BATCH_ID, batch.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, HeaderValue::from(index + 1));
        if index == 0 {
            headers.insert(NATS_EXPECTED_STREAM, &*wire.name);
        }
        client
            .publish_with_headers(wire.subjects[click.partition].clone(), headers, click.click.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// Publishes groups of all sizes, on a disk whose write takes `sync`; other times are those of nats-server 2.15
    /// (decision 0073).
    fn rounds(pace: &mut Pace, rounds: usize, sync: Duration) {
        for clicks in [5, 8, 16, 32, 64, 128, 256, 512].repeat(rounds) {
            let number = clicks as u32;
            if pace.is_worth_a_batch(clicks) {
                pace.took_batch(clicks, US * 2_000 + sync * 4 + US * 40 * number);
            } else {
                pace.took_clicks(clicks, US * 200 + (sync + US * 60) * number);
            }
        }
    }

    /// The most clicks that go by themselves.
    fn most_by_themselves(pace: &Pace) -> usize {
        (1..=MAX_BATCH).rfind(|&clicks| !pace.is_worth_a_batch(clicks)).unwrap_or_default()
    }

    #[test]
    fn the_slower_the_disk_the_fewer_clicks_are_worth_a_batch() {
        assert!(!Pace::default().is_worth_a_batch(2), "a batch takes longer than two clicks");
        let on = |sync| {
            let mut pace = Pace::default();
            rounds(&mut pace, 200, sync);
            most_by_themselves(&pace)
        };
        let (slow, usual, quick) = (on(US * 5_000), on(US * 100), on(US));
        assert!(slow <= MIN_BATCH, "{slow}");
        assert!((10..50).contains(&usual), "{usual}");
        assert!((usual + 20..200).contains(&quick), "{quick}");
    }

    #[test]
    fn one_pause_decides_nothing_for_long() {
        let mut pace = Pace::default();
        rounds(&mut pace, 200, US * 100);
        let before = most_by_themselves(&pace);
        let after_rounds = |pace: &mut Pace| {
            rounds(pace, 200, US * 100);
            most_by_themselves(pace)
        };
        pace.took_clicks(5, US * 1_000_000);
        assert!(most_by_themselves(&pace) < MIN_BATCH, "every group is a batch");
        assert!(after_rounds(&mut pace).abs_diff(before) <= 5);
        pace.took_batch(64, US * 1_000_000);
        assert!(most_by_themselves(&pace) >= 256, "no group is a batch");
        assert!(after_rounds(&mut pace).abs_diff(before) <= 5);
    }
}
