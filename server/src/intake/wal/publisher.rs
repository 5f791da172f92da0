//! Publishes what the log has taken: what comes within a moment goes to the broker together, in the order in which it
//! was taken, and again until the broker has it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{Backoff, failpoint};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::writer::Progress;
use crate::intake::broker::{Addressed, Broker};

/// Time that a click waits for others. A batch costs the broker as much as some dozen clicks by themselves.
const GATHERS_FOR: Duration = Duration::from_millis(20);

/// Clicks that are not waited with any longer: a batch of the broker's.
const TOGETHER: usize = 512;

/// A broker that is back is noticed within this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the writer has for the publisher.
pub(super) enum Item {
    /// Clicks, and the first one's number.
    Clicks(u64, Vec<Addressed>),
    /// Is answered when everything before it is published.
    Flush(oneshot::Sender<()>),
}

/// The writer's way to the publisher.
pub(super) struct Outbox {
    items: mpsc::UnboundedSender<Item>,
    progress: Progress,
    keeps_up: Arc<AtomicBool>,
    /// A batch is full, and is not to be waited with.
    hurry: Arc<Notify>,
}

impl Outbox {
    pub(super) fn send(&self, item: Item) {
        let waiting = self.progress.waiting();
        metrics::gauge!("clickwire_wal_clicks").set(waiting as f64);
        if self.items.send(item).is_err() {
            // The publisher is gone: what is on the disk stays there until the server starts again.
            self.keeps_up.store(false, Ordering::Relaxed);
        }
        if waiting >= TOGETHER as u64 {
            self.hurry.notify_one();
        }
    }
}

/// The task's own.
pub(super) struct Publisher {
    broker: Broker,
    patience: Duration,
    progress: Progress,
    /// The broker has taken something of the last publish.
    keeps_up: Arc<AtomicBool>,
    items: mpsc::UnboundedReceiver<Item>,
    hurry: Arc<Notify>,
}

impl Publisher {
    pub(super) fn new(
        broker: Broker,
        patience: Duration,
        progress: Progress,
        keeps_up: Arc<AtomicBool>,
    ) -> (Self, Outbox) {
        let (sender, items) = mpsc::unbounded_channel();
        let hurry = Arc::new(Notify::new());
        let (of_outbox, hurries) = (progress.clone(), Arc::clone(&hurry));
        let outbox =
            Outbox { items: sender, progress: of_outbox, keeps_up: Arc::clone(&keeps_up), hurry: hurries };
        (Self { broker, patience, progress, keeps_up, items, hurry }, outbox)
    }

    /// Publishes until nothing comes any more, or `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut round = Round::default();
        let mut backoff = Backoff::up_to(LOOK_EVERY);
        loop {
            if round.is_empty() {
                let Some(item) = stop.run_until_cancelled(self.items.recv()).await.flatten() else { return };
                round.add(item);
            }
            if round.clicks.len() < TOGETHER {
                // Without being woken for each: nobody waits for it to be published.
                let _due = timeout(GATHERS_FOR, self.hurry.notified()).await;
            }
            while round.clicks.len() < TOGETHER
                && let Ok(item) = self.items.try_recv()
            {
                round.add(item);
            }
            let clicks = round.clicks.iter().map(|(_, click)| click);
            let published = self.broker.publish_all(clicks, self.patience);
            let Some(answers) = stop.run_until_cancelled(published).await else { return };
            failpoint::reached("wal_published");
            let (before, mut answers) = (round.clicks.len(), answers.into_iter());
            round.clicks.retain(|_| !matches!(answers.next(), Some(Ok(_))));
            let left = round.clicks.len();
            self.keeps_up.store(left == 0 || left < before, Ordering::Relaxed);
            self.progress.published.fetch_max(round.published(), Ordering::AcqRel);
            metrics::gauge!("clickwire_wal_clicks").set(self.progress.waiting() as f64);
            round.answer();
            if left < before {
                backoff.reset();
            } else if left > 0 {
                tracing::debug!(clicks = left, "clicks of the write-ahead log are not published");
                if stop.run_until_cancelled(backoff.wait()).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Clicks that are published next. What the broker does not take is published again, with what comes then.
#[derive(Default)]
struct Round {
    /// In the order of their numbers.
    clicks: Vec<(u64, Addressed)>,
    /// Answers that are due when the clicks below a number are published.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    /// The number behind the last click's that was ever here.
    end: u64,
}

impl Round {
    fn is_empty(&self) -> bool {
        self.clicks.is_empty() && self.flushes.is_empty()
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::Clicks(first, clicks) => {
                self.end = first + clicks.len() as u64;
                self.clicks.extend((first..).zip(clicks));
            }
            Item::Flush(answer) => self.flushes.push((self.end, answer)),
        }
    }

    /// The number below which everything is published.
    fn published(&self) -> u64 {
        self.clicks.first().map_or(self.end, |(number, _)| *number)
    }

    fn answer(&mut self) {
        let published = self.published();
        for (_, answer) in self.flushes.extract_if(.., |(end, _)| *end <= published) {
            // Whoever gave up waiting needs no answer.
            let _gone = answer.send(());
        }
    }
}
