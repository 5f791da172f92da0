//! The one thread that writes the log: whatever waits for it shares a frame and a sync, so that the disk sets how long
//! a click takes and not how many are taken.

use std::{
    mem::take,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clickwire_process::failpoint;
use tokio::sync::{mpsc, oneshot};

use super::{
    Refusal,
    publisher::{Item, Outbox},
    ring::{Medium, Ring},
};
use crate::intake::broker::Addressed;

/// Jobs done together, at most.
const GROUP: usize = 1_024;

/// After an error the disk is left alone for so long.
const TRIES_EVERY: Duration = Duration::from_secs(1);

/// Bytes that are wiped at once, about: the next sync takes them with it.
const WIPED_AT_ONCE: usize = 512 << 10;

/// A job for the writer.
pub(super) enum Job {
    Add(Addressed, oneshot::Sender<Result<(), Refusal>>),
    /// Is answered when everything before it is published.
    Flush(oneshot::Sender<()>),
    /// Wipes some of what is published.
    Wipe,
    /// Ends the writer, which is answered when it has noted what is published.
    Close(oneshot::Sender<()>),
}

/// Numbers of clicks, as far as they have come; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The next click's number.
    pub(super) next: Arc<AtomicU64>,
    /// The broker has all below this.
    pub(super) published: Arc<AtomicU64>,
}

impl Progress {
    /// Clicks that are not published.
    pub(super) fn waiting(&self) -> u64 {
        let published = self.published.load(Ordering::Acquire);
        self.next.load(Ordering::Acquire).saturating_sub(published)
    }
}

/// The thread's own.
pub(super) struct Writer<M> {
    pub(super) ring: Ring<M>,
    pub(super) progress: Progress,
    pub(super) outbox: Outbox,
    /// The last write went well.
    pub(super) is_written: Arc<AtomicBool>,
    pub(super) failed_at: Option<Instant>,
}

impl<M: Medium> Writer<M> {
    /// Works until it is told to close or nobody is left who could ask for something.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let (mut waiting, mut group) = (Vec::with_capacity(GROUP), Group::default());
        while jobs.blocking_recv_many(&mut waiting, GROUP) > 0 {
            for job in waiting.drain(..) {
                match job {
                    // Nobody waits for it any more: it is taken another way.
                    Job::Add(_, answer) if answer.is_closed() => {}
                    Job::Add(click, answer) => {
                        group.clicks.push(click);
                        group.answers.push(answer);
                    }
                    Job::Flush(answer) => group.flushes.push(answer),
                    Job::Wipe => group.wipes = true,
                    Job::Close(answer) => {
                        group.closer = Some(answer);
                        // What is in the queue already is still done.
                        jobs.close();
                    }
                }
            }
            self.write(&mut group);
            for answer in group.flushes.drain(..) {
                self.outbox.send(Item::Flush(answer));
            }
            if take(&mut group.wipes) {
                self.wipe(WIPED_AT_ONCE);
            }
        }
        self.wipe(usize::MAX);
        let closer = group.closer;
        drop(self);
        if let Some(closer) = closer {
            let _gone = closer.send(());
        }
    }

    fn write(&mut self, group: &mut Group) {
        if group.clicks.is_empty() {
            return;
        }
        let clicks = take(&mut group.clicks);
        let taken = self.append(&clicks).map(|first| {
            failpoint::reached("wal_written");
            self.outbox.send(Item::Clicks(first, clicks));
        });
        for answer in group.answers.drain(..) {
            // Whoever gave up waiting needs no answer.
            let _gone = answer.send(taken);
        }
    }

    fn append(&mut self, clicks: &[Addressed]) -> Result<u64, Refusal> {
        if self.leaves_the_disk_alone() {
            return Err(Refusal::Broken);
        }
        let started = Instant::now();
        let written = if failpoint::is_hit("wal_fails") {
            Err(std::io::Error::other("a test wants it"))
        } else {
            let published = self.progress.published.load(Ordering::Acquire);
            self.ring.append(clicks.iter().map(|click| &click.click), published)
        };
        self.note(written.as_ref().err());
        let first = written.map_err(|_| Refusal::Broken)?.ok_or(Refusal::Full)?;
        self.progress.next.store(self.ring.next(), Ordering::Release);
        metrics::histogram!("clickwire_wal_commit_seconds").record(started.elapsed());
        metrics::counter!("clickwire_wal_taken_total").increment(clicks.len() as u64);
        Ok(first)
    }

    /// Wipes some of what is published. After an error this, too, waits; when it goes well the log is tried again.
    fn wipe(&mut self, bytes: usize) {
        if self.leaves_the_disk_alone() {
            return;
        }
        let published = self.progress.published.load(Ordering::Acquire);
        let tried = if self.failed_at.is_some() { self.ring.try_again() } else { Ok(()) };
        let wiped = tried.and_then(|()| self.ring.wipe(published, bytes));
        self.note(wiped.as_ref().err());
    }

    /// Returns whether the last error is too young for another try.
    fn leaves_the_disk_alone(&self) -> bool {
        self.failed_at.is_some_and(|failed_at| failed_at.elapsed() < TRIES_EVERY)
    }

    fn note(&mut self, error: Option<&std::io::Error>) {
        if let Some(error) = error {
            tracing::error!(%error, "the write-ahead log does not work; clicks go to the broker first");
            self.failed_at = Some(Instant::now());
        } else if self.failed_at.take().is_some() {
            tracing::info!("the write-ahead log works again");
        }
        self.is_written.store(error.is_none(), Ordering::Relaxed);
    }
}

/// What is done together.
#[derive(Default)]
struct Group {
    clicks: Vec<Addressed>,
    answers: Vec<oneshot::Sender<Result<(), Refusal>>>,
    flushes: Vec<oneshot::Sender<()>>,
    wipes: bool,
    closer: Option<oneshot::Sender<()>>,
}
