//! The spool: clicks wait on this server's own disk while the broker is away.
//!
//! - [`store`]: the queue in a file
//! - [`writer`]: the one thread that uses it; everything that waits for it shares a transaction
//! - [`drain`]: sends the oldest first when the broker is back, and removes what it has acknowledged
//!
//! A click is in the spool when [`Spool::add`] has returned; it leaves it when the broker has it, or
//! when it has waited too long, which is counted. Restarts change nothing: what was not removed is
//! sent again under its id, and counted once.

pub(super) mod drain;
mod store;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clickwire_process::now_ms;
use clickwire_protocol::times::UnixMs;
use thiserror::Error as ThisError;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use uuid::Uuid;

use self::{
    store::{Numbered, Store},
    writer::{Job, Opener, Writer},
};

/// Clicks, and what else the writer is asked for, that wait for it in memory, at most; others wait for
/// their turn.
const QUEUE: usize = 1_024;

/// A click that waits: what the broker is to be sent, and what is asked about it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) click_id: Uuid,
    pub(super) received_at_ms: UnixMs,
    /// The click as it travels on the stream.
    pub(super) payload: Bytes,
}

/// The reason why a click is not in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(super) enum Refusal {
    #[error("off")]
    Off,
    #[error("full")]
    Full,
    #[error("broken")]
    Broken,
    /// The disk took too long. It may be there all the same.
    #[error("slow")]
    Slow,
}

impl Refusal {
    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Full => "full",
            Self::Broken => "broken",
            Self::Slow => "slow",
        }
    }
}

/// The state of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) condition: Condition,
    pub(crate) clicks: u64,
    pub(crate) bytes: u64,
    /// Time at which the oldest of them was received; Unix time in milliseconds.
    pub(crate) oldest: Option<UnixMs>,
}

impl State {
    /// Seconds since the oldest was received; 0 if there is none.
    pub(crate) fn oldest_age_seconds(&self) -> i64 {
        self.oldest.map_or(0, |oldest| ((UnixMs(now_ms()) - oldest) / 1_000).max(0))
    }
}

/// Condition of the spool: it can take another click, or can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Up,
    Full,
    /// The file could not be written or read; it is tried again.
    Broken,
}

/// The spool of this server; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    jobs: mpsc::Sender<Job>,
    state: watch::Receiver<State>,
}

impl Spool {
    /// Opens the spool in this file, whose clicks may have so many bytes.
    pub(super) fn open(path: &Path, max_bytes: u64) -> anyhow::Result<Self> {
        let path = path.to_owned();
        Self::on(Box::new(move || Store::open(&path, max_bytes)))
    }

    fn on(open: Opener) -> anyhow::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (writer, state) = Writer::new(open)?;
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || writer.run(queue))?;
        Ok(Self { jobs, state })
    }

    /// Returns when the click is on the disk; waits for that no longer than `patience`.
    pub(super) async fn add(&self, click: Waiting, patience: Duration) -> Result<(), Refusal> {
        timeout(patience, self.ask(|answer| Job::Add(click, answer))).await.unwrap_or(Err(Refusal::Slow))
    }

    /// The oldest clicks with their numbers, the oldest first.
    async fn oldest(&self, limit: usize) -> Result<Numbered, Refusal> {
        self.ask(|answer| Job::Oldest(limit, answer)).await
    }

    /// Removes clicks by number.
    async fn remove(&self, numbers: Vec<u64>) -> Result<(), Refusal> {
        self.ask(|answer| Job::Remove(numbers, answer)).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Job,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| Refusal::Broken)?;
        answered.await.unwrap_or(Err(Refusal::Broken))
    }

    /// Commits and answers what waits, and closes the file; nothing is taken afterwards.
    pub(super) async fn close(&self) {
        // The writer ends when it is told to, or is gone already: either way it is closed.
        let _ended = self.ask(Job::Close).await;
    }

    /// Returns its state at this moment.
    pub(super) fn state(&self) -> State {
        let state = *self.state.borrow();
        // Without its writer it takes nothing any more.
        if self.jobs.is_closed() { State { condition: Condition::Broken, ..state } } else { state }
    }

    /// Waits until there is something in it, or it must be opened again, which asking it for something
    /// does; false if it is closed.
    async fn has_work(&self) -> bool {
        let has_work = |state: &State| state.clicks > 0 || state.condition == Condition::Broken;
        self.state.clone().wait_for(has_work).await.is_ok()
    }
}

/// Clicks that nobody has any more, counted since the start; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(Arc<AtomicU64>);

impl Losses {
    pub(super) fn count(&self, clicks: u64, reason: &'static str) {
        self.0.fetch_add(clicks, Ordering::Relaxed);
        metrics::counter!("clickwire_spool_lost_total", "reason" => reason).increment(clicks);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
