//! Sends what waits in the spool to the broker, the oldest first, and removes what is acknowledged.
//!
//! - Clicks are sent in the order in which they came, a window at a time, each under its own id. What
//!   the broker did not acknowledge is sent again, so it may come behind others of its window.
//! - As long as the broker is silent it is asked with one click at a time.
//! - A click that has waited too long is dropped, counted, and named in the log once a drain.

use std::time::Duration;

use async_nats::jetstream::context::PublishAckFuture;
use clickwire_process::{Backoff, now_ms};
use clickwire_protocol::times::UnixMs;
use futures_util::future::join_all;
use thiserror::Error as ThisError;
use tokio_util::sync::CancellationToken;

use super::{Losses, Refusal, Spool, Waiting, store::Numbered};
use crate::intake::broker::{Broker, Failure, Stored};

/// Clicks sent before the first of them is acknowledged, at most. A broker takes one after the other, so new clicks
/// wait behind these.
const WINDOW: usize = 128;

/// A broker that is back is noticed within this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The reason why a round did not end well; the next one comes later.
#[derive(Debug, ThisError)]
enum Interruption {
    #[error("broker: {0}")]
    Broker(#[from] Failure),
    #[error("spool: {0}")]
    Spool(#[from] Refusal),
}

/// Empties a spool into a broker.
pub(in crate::intake) struct Drain {
    broker: Broker,
    spool: Spool,
    losses: Losses,
    max_age: Duration,
    /// Counts since the spool was last empty.
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    sent: usize,
    too_old: usize,
    was_interrupted: bool,
}

impl Drain {
    pub(in crate::intake) fn new(broker: Broker, spool: Spool, losses: Losses, max_age: Duration) -> Self {
        Self { broker, spool, losses, max_age, tally: Tally::default() }
    }

    /// Drains whenever there is something, until `stop` is cancelled. A round that has begun is ended.
    pub(in crate::intake) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::up_to(LOOK_EVERY);
        while stop.run_until_cancelled(self.spool.has_work()).await == Some(true) {
            match self.round().await {
                Ok(()) => backoff.reset(),
                Err(interruption) => {
                    tracing::debug!(%interruption, "the spool is not drained");
                    self.tally.was_interrupted = true;
                    if stop.run_until_cancelled(backoff.wait()).await.is_none() {
                        break;
                    }
                }
            }
            if self.spool.state().clicks == 0 {
                std::mem::take(&mut self.tally).log();
            }
        }
        self.tally.log();
    }

    /// Sends the oldest clicks.
    async fn round(&mut self) -> Result<(), Interruption> {
        let oldest = self.spool.oldest(WINDOW).await?;
        let earliest = UnixMs(now_ms()) - self.max_age.as_millis() as i64;
        let (too_old, due): (Vec<_>, Vec<_>) =
            oldest.into_iter().partition(|(_, click)| click.received_at_ms < earliest);
        if !too_old.is_empty() {
            let dropped = too_old.len();
            self.spool.remove(numbers(too_old)).await?;
            self.losses.count(dropped as u64, "too_old");
            self.tally.too_old += dropped;
        }
        let window = if self.broker.answers() { WINDOW } else { 1 };
        let (mut sent, mut failure) = (Vec::with_capacity(due.len()), None);
        for (number, click) in due.into_iter().take(window) {
            match self.send(click).await {
                Ok(acknowledgement) => sent.push((number, acknowledgement)),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let answers = sent.into_iter().map(async |(number, acknowledgement)| {
            self.broker.acknowledged(acknowledgement).await.map(|_is_duplicate| number)
        });
        let mut acknowledged = Vec::new();
        for answer in join_all(answers).await {
            match answer {
                Ok(number) => acknowledged.push(number),
                Err(error) => failure = Some(error),
            }
        }
        if !acknowledged.is_empty() {
            let drained = acknowledged.len();
            self.spool.remove(acknowledged).await?;
            metrics::counter!("clickwire_spool_drained_total").increment(drained as u64);
            self.tally.sent += drained;
        }
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

impl Drain {
    /// Hands a click to the broker.
    async fn send(&self, click: Waiting) -> Result<PublishAckFuture, Failure> {
        let stored = Stored::read(&click.payload);
        self.broker.send(stored.name(), click.payload).await
    }
}

impl Tally {
    fn log(self) {
        // A click that waits for a moment only is no news.
        if self.sent > 0 && self.was_interrupted {
            tracing::info!(clicks = self.sent, "clicks that waited in the spool are sent");
        }
        if self.too_old > 0 {
            tracing::error!(
                clicks = self.too_old,
                "clicks waited in the spool for too long and were dropped"
            );
        }
    }
}

fn numbers(clicks: Numbered) -> Vec<u64> {
    clicks.into_iter().map(|(number, _)| number).collect()
}
