//! The write-ahead log: a click is answered when it is on this server's own disk, and goes to the broker with those that
//! come within the same moment.
//!
//! - [`ring`]: the log's file
//! - [`writer`]: the one thread that writes it; everything that waits for it shares a sync
//! - [`publisher`]: sends to the broker what was taken, and again until the broker has it
//!
//! A server that dies publishes what is left when it starts again, under the same ids, and it is counted once. While the
//! broker does not take what is published, and while the log is full or can't be written, nothing is taken: clicks
//! go to the broker first then, or to the spool.

mod publisher;
mod ring;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use clickwire_process::now_ms;
use clickwire_protocol::times::UnixMs;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use self::{
    publisher::{Item, Publisher},
    ring::{Left, Ring},
    writer::{Job, Progress, Writer},
};
use super::{
    broker::{Addressed, Broker, Stored},
    recent::Recent,
    spool::Losses,
};

/// Clicks that wait for the writer in memory, at most; others wait for their turn.
const QUEUE: usize = 4_096;

/// Published clicks are wiped so often, a part at a time.
const WIPES_EVERY: Duration = Duration::from_millis(100);

/// A log that is closed waits so long for what is being published.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

/// The reason why a click is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The broker does not take what the log has.
    Behind,
    /// There is no room.
    Full,
    /// The file could not be written.
    Broken,
    /// The disk took too long. It may be there all the same.
    Slow,
    /// A click with this id was here lately: the broker says whether it has it.
    Repeated,
}

impl Refusal {
    /// Its name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Full => "full",
            Self::Broken => "broken",
            Self::Slow => "slow",
            Self::Repeated => "repeated",
        }
    }
}

/// The state of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) condition: Condition,
    /// Clicks that the broker may not have yet.
    pub(crate) clicks: u64,
}

/// Condition of the log: it takes clicks, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Up,
    /// The broker does not take what the log has.
    Behind,
    /// The file could not be written, or not in time; it is tried again.
    Broken,
}

/// A click that was put before the writer.
enum Put {
    Added(oneshot::Receiver<Result<(), Refusal>>),
    /// Its id was here lately; answered when what was taken is published.
    Repeated(oneshot::Receiver<()>),
}

/// The write-ahead log of this server; cheap to clone.
#[derive(Clone)]
pub(super) struct Wal(Arc<Shared>);

struct Shared {
    jobs: mpsc::Sender<Job>,
    progress: Progress,
    is_written: Arc<AtomicBool>,
    keeps_up: Arc<AtomicBool>,
    /// Ids of clicks that were taken lately, whichever way.
    recent: Mutex<Recent>,
    closed: CancellationToken,
}

impl Wal {
    /// Opens the log in this file and publishes what is left there, except for what is older than `max_age`, which is
    /// lost.
    pub(super) fn open(
        path: &Path,
        broker: &Broker,
        patience: Duration,
        max_age: Duration,
        losses: &Losses,
    ) -> anyhow::Result<Self> {
        let (ring, left) = Ring::open(path)?;
        let progress = Progress::default();
        progress.next.store(ring.next(), Ordering::Release);
        let (is_written, keeps_up) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let (publisher, outbox) =
            Publisher::new(broker.clone(), patience, progress.clone(), Arc::clone(&keeps_up));
        let earliest = UnixMs(now_ms()) - max_age.as_millis() as i64;
        let due = due(left, earliest, broker, losses);
        // What is lost is not lost again with the next start.
        let first = due.first().map_or(ring.next(), |(number, _)| *number);
        progress.published.store(first, Ordering::Release);
        let mut recent = Recent::default();
        for (number, click) in due {
            recent.is_new(&click.message_id);
            outbox.send(Item::Clicks(number, vec![click]));
        }
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer {
            ring,
            progress: progress.clone(),
            outbox,
            is_written: Arc::clone(&is_written),
            failed_at: None,
        };
        std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || writer.run(queue))
            .context("its thread")?;
        let closed = CancellationToken::new();
        tokio::spawn(publisher.run(closed.clone()));
        tokio::spawn(wipe(jobs.clone(), closed.clone()));
        let recent = Mutex::new(recent);
        Ok(Self(Arc::new(Shared { jobs, progress, is_written, keeps_up, recent, closed })))
    }

    /// Returns when the click is on the disk; waits for that no longer than `patience`. Nothing is taken whose id was
    /// here lately: what was taken under it is published then. Nothing is taken, either, that can't be published:
    /// `is_connected` says whether there is a broker.
    pub(super) async fn add(
        &self,
        click: Addressed,
        is_connected: bool,
        patience: Duration,
    ) -> Result<(), Refusal> {
        let until = Instant::now() + patience;
        let added = match timeout_at(until, self.put(click, is_connected)).await {
            Ok(Ok(Put::Added(answer))) => timeout_at(until, answer)
                .await
                .map_or(Err(Refusal::Slow), |answer| answer.unwrap_or(Err(Refusal::Broken))),
            Ok(Ok(Put::Repeated(flushed))) => {
                // Without an answer it is closed, or the broker is slow: it is asked all the same.
                let _flushed = timeout_at(until, flushed).await;
                Err(Refusal::Repeated)
            }
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Refusal::Slow),
        };
        if added == Err(Refusal::Slow) {
            // Nobody else waits for a disk that hangs, until the writer has done something.
            self.0.is_written.store(false, Ordering::Relaxed);
        }
        if let Err(refusal) = added {
            metrics::counter!("clickwire_wal_refused_total", "reason" => refusal.name()).increment(1);
        }
        added
    }

    async fn put(&self, click: Addressed, is_connected: bool) -> Result<Put, Refusal> {
        let recent = || self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_written = self.0.is_written.load(Ordering::Relaxed);
        if !is_written || !is_connected || !self.0.keeps_up.load(Ordering::Relaxed) {
            // It goes another way, and is known here afterwards.
            recent().is_new(&click.message_id);
            return Err(if is_written { Refusal::Behind } else { Refusal::Broken });
        }
        let place = self.0.jobs.reserve().await.map_err(|_| Refusal::Broken)?;
        // A repetition is put behind what it repeats.
        let mut recent = recent();
        Ok(if recent.is_new(&click.message_id) {
            let (answer, answered) = oneshot::channel();
            place.send(Job::Add(click, answer));
            Put::Added(answered)
        } else {
            let (answer, flushed) = oneshot::channel();
            place.send(Job::Flush(answer));
            Put::Repeated(flushed)
        })
    }

    /// Returns when what was taken is published, or the log is closed.
    async fn flush(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.jobs.send(Job::Flush(answer)).await.is_ok() {
            // Without an answer it is closed.
            let _flushed = answered.await;
        }
    }

    /// Publishes what was taken, if that can be done soon, and closes the file; nothing is taken afterwards. What is not
    /// published is when the log is opened again.
    pub(super) async fn close(&self) {
        let _soon = timeout(CLOSES_WITHIN, self.flush()).await;
        // A disk that hangs does not hold up the spool's.
        let _closed = timeout(CLOSES_WITHIN, async {
            let (answer, closed) = oneshot::channel();
            if self.0.jobs.send(Job::Close(answer)).await.is_ok() {
                let _closed = closed.await;
            }
        })
        .await;
        self.0.closed.cancel();
    }

    /// Returns its state at this moment.
    pub(super) fn state(&self) -> State {
        // Without its writer it takes nothing any more.
        let condition = if self.0.jobs.is_closed() || !self.0.is_written.load(Ordering::Relaxed) {
            Condition::Broken
        } else if !self.0.keeps_up.load(Ordering::Relaxed) {
            Condition::Behind
        } else {
            Condition::Up
        };
        State { condition, clicks: self.0.progress.waiting() }
    }
}

/// Wipes clicks that are published, a part at a time, until the log is closed.
async fn wipe(jobs: mpsc::Sender<Job>, closed: CancellationToken) {
    while closed.run_until_cancelled(sleep(WIPES_EVERY)).await.is_some() {
        if jobs.send(Job::Wipe).await.is_err() {
            return;
        }
    }
}

/// The clicks that are to be published after a crash; others are lost, and counted.
fn due(left: Left, earliest: UnixMs, broker: &Broker, losses: &Losses) -> Vec<(u64, Addressed)> {
    if left.missing > 0 {
        tracing::error!(clicks = left.missing, "the write-ahead log is damaged, and clicks in it are lost");
        losses.count(left.missing, "damaged");
    }
    let (all, mut due) = (left.clicks.len(), Vec::with_capacity(left.clicks.len()));
    for (number, click) in left.clicks {
        let stored = Stored::read(&click);
        if stored.received_at_ms.is_none_or(|received_at| received_at >= earliest) {
            due.push((number, broker.addressed(stored.name(), click)));
        }
    }
    let too_old = all - due.len();
    if too_old > 0 {
        tracing::error!(
            clicks = too_old,
            "clicks waited in the write-ahead log for too long and were dropped"
        );
        losses.count(too_old as u64, "too_old");
    }
    if !due.is_empty() {
        tracing::info!(clicks = due.len(), "clicks of the write-ahead log are published");
        metrics::counter!("clickwire_wal_replayed_total").increment(due.len() as u64);
    }
    due
}

#[cfg(test)]
mod tests;
