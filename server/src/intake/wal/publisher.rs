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
    /// There is something not to wait with: a batch is full, or somebody asks for it.
    hurry: Arc<Notify>,
}

impl Outbox {
    pub(super) fn send(&self, item: Item) {
        let waiting = self.progress.waiting();
        metrics::gauge!("clickwire_wal_clicks").set(waiting as f64);
        let hurries = matches!(item, Item::Flush(_)) || waiting >= TOGETHER as u64;
        if self.items.send(item).is_err() {
            // The publisher is gone: what is on the disk stays there until the server starts again.
            self.keeps_up.store(false, Ordering::Relaxed);
        }
        if hurries {
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
        let (mut clicks, mut flushes, mut end, mut first) = (Vec::new(), Vec::new(), 0, None);
        loop {
            if first.is_none() {
                first = stop.run_until_cancelled(self.items.recv()).await.flatten();
                if first.is_none() {
                    return;
                }
                // Without being woken for each: nobody waits for it to be published.
                let _due = timeout(GATHERS_FOR, self.hurry.notified()).await;
            }
            while let Some(item) = first.take().or_else(|| self.items.try_recv().ok()) {
                match item {
                    Item::Clicks(number, more) => {
                        end = number + more.len() as u64;
                        clicks.extend(more);
                    }
                    Item::Flush(answer) => flushes.push(answer),
                }
                if clicks.len() >= TOGETHER {
                    break;
                }
            }
            if stop.run_until_cancelled(self.publish(&mut clicks)).await.is_none() {
                return;
            }
            failpoint::reached("wal_published");
            self.progress.published.fetch_max(end, Ordering::AcqRel);
            metrics::gauge!("clickwire_wal_clicks").set(self.progress.waiting() as f64);
            for answer in flushes.drain(..) {
                // Whoever gave up waiting needs no answer.
                let _gone = answer.send(());
            }
            // What is a batch already is not waited with.
            if self.progress.waiting() >= TOGETHER as u64 {
                first = self.items.try_recv().ok();
            }
        }
    }

    /// Publishes clicks, until the broker has all.
    async fn publish(&self, clicks: &mut Vec<Addressed>) {
        let mut backoff = Backoff::up_to(LOOK_EVERY);
        while !clicks.is_empty() {
            let mut answers = self.broker.publish_all(clicks, self.patience).await.into_iter();
            let before = clicks.len();
            clicks.retain(|_| !matches!(answers.next(), Some(Ok(_))));
            self.keeps_up.store(clicks.len() < before, Ordering::Relaxed);
            if !clicks.is_empty() {
                tracing::debug!(clicks = clicks.len(), "clicks of the write-ahead log are not published");
                backoff.wait().await;
            }
        }
    }
}
