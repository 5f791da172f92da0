//! The one thread that reads and writes the spool's file.
//!
//! Whatever waits for it is done together, in one transaction with one fsync, and answered then: the
//! longer the disk takes, the more clicks share its next turn, so that the disk sets how long a click
//! takes and not how many are taken. A file that can't be written is opened anew.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Condition, Refusal, State, Waiting,
    store::{self, Numbered, Store},
};

/// Jobs done together, at most.
const GROUP: usize = 1_024;

/// A broken file is opened again so often, at most.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// A job for the writer.
#[derive(Debug)]
pub(super) enum Job {
    Add(Waiting, Answer<()>),
    Remove(Vec<u64>, Answer<()>),
    Oldest(usize, Answer<Numbered>),
    Close(Answer<()>),
}

/// Opens the file, now and after it was broken.
pub(super) type Opener = Box<dyn Fn() -> Result<Store, store::Error> + Send>;

/// The thread's own.
pub(super) struct Writer {
    open: Opener,
    /// `None` while it is broken.
    store: Option<Store>,
    broken_at: Option<Instant>,
    /// No click had this number or a higher one when the file broke.
    next: u64,
    state: watch::Sender<State>,
}

/// Jobs that are done together.
#[derive(Default)]
struct Group {
    added: Vec<Waiting>,
    adders: Vec<Answer<()>>,
    removed: Vec<u64>,
    removers: Vec<Answer<()>>,
    readers: Vec<(usize, Answer<Numbered>)>,
    closers: Vec<Answer<()>>,
}

impl Writer {
    pub(super) fn new(open: Opener) -> Result<(Self, watch::Receiver<State>), store::Error> {
        let store = Some(open()?);
        let nothing = State { condition: Condition::Up, clicks: 0, bytes: 0, oldest: None };
        let (state, watched) = watch::channel(nothing);
        let mut writer = Self { open, store, broken_at: None, next: 0, state };
        writer.tell();
        Ok((writer, watched))
    }

    /// Works until it is told to close or nobody is left who could ask for something.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(GROUP);
        let mut closers = Vec::new();
        while jobs.blocking_recv_many(&mut waiting, GROUP) > 0 {
            let group = Group::new(waiting.drain(..));
            closers.extend(self.work(group));
            if !closers.is_empty() {
                // What is in the queue already is still done.
                jobs.close();
            }
        }
        drop(self);
        for closer in closers {
            // Whoever gave up waiting needs no answer; here and below.
            let _gone = closer.send(Ok(()));
        }
    }

    fn work(&mut self, group: Group) -> Vec<Answer<()>> {
        let taken = self.commit(&group.removed, &group.added);
        let read: Vec<_> = group
            .readers
            .into_iter()
            .map(|(limit, reader)| (self.with(|store| store.oldest(limit)), reader))
            .collect();
        // Before the answers: whoever has one finds the state that it is of.
        self.tell();
        for (position, adder) in group.adders.into_iter().enumerate() {
            let _gone = adder.send(match taken {
                Ok(taken) if position < taken => Ok(()),
                Ok(_) => Err(Refusal::Full),
                Err(refusal) => Err(refusal),
            });
        }
        for remover in group.removers {
            let _gone = remover.send(taken.map(|_| ()));
        }
        for (oldest, reader) in read {
            let _gone = reader.send(oldest);
        }
        group.closers
    }

    fn commit(&mut self, removed: &[u64], added: &[Waiting]) -> Result<usize, Refusal> {
        if removed.is_empty() && added.is_empty() {
            return Ok(0);
        }
        let started = Instant::now();
        let taken = self.with(|store| store.commit(removed, added))?;
        metrics::histogram!("clickwire_spool_commit_seconds").record(started.elapsed());
        metrics::counter!("clickwire_spool_taken_total").increment(taken as u64);
        Ok(taken)
    }

    /// Does something with the file; after an error it is closed, for then redb does nothing more.
    fn with<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, redb::Error>) -> Result<T, Refusal> {
        if self.broken_at.is_some_and(|broken_at| broken_at.elapsed() >= REOPEN_EVERY) {
            self.reopen();
        }
        let store = self.store.as_mut().ok_or(Refusal::Broken)?;
        work(store).map_err(|error| {
            tracing::error!(%error, "the spool does not work");
            self.broken_at = Some(Instant::now());
            // It gives nothing back but its numbers, which nobody else is to have.
            if let Some(broken) = self.store.take() {
                self.next = broken.next();
            }
            Refusal::Broken
        })
    }

    fn reopen(&mut self) {
        match (self.open)() {
            Ok(mut store) => {
                store.number_from(self.next);
                tracing::info!(clicks = store.clicks(), "the spool works again");
                self.store = Some(store);
                self.broken_at = None;
            }
            Err(error) => {
                tracing::error!(%error, "the spool can't be opened");
                self.broken_at = Some(Instant::now());
            }
        }
    }

    /// Tells everybody what it holds now.
    fn tell(&mut self) {
        let oldest = self.with(|store| store.oldest(1));
        let state = match (&self.store, oldest) {
            (Some(store), Ok(oldest)) => State {
                condition: if store.is_full() { Condition::Full } else { Condition::Up },
                clicks: store.clicks(),
                bytes: store.bytes(),
                oldest: oldest.first().map(|(_, click)| click.received_at_ms),
            },
            // What it held it may still hold.
            _ => State { condition: Condition::Broken, ..*self.state.borrow() },
        };
        let before = self.state.send_replace(state);
        if state.condition == Condition::Full && before.condition != Condition::Full {
            tracing::error!(clicks = state.clicks, bytes = state.bytes, "the spool is full");
        }
        metrics::gauge!("clickwire_spool_clicks").set(state.clicks as f64);
        metrics::gauge!("clickwire_spool_bytes").set(state.bytes as f64);
    }
}

impl Group {
    fn new(jobs: impl Iterator<Item = Job>) -> Self {
        let mut group = Self::default();
        for job in jobs {
            match job {
                Job::Add(click, answer) => {
                    group.added.push(click);
                    group.adders.push(answer);
                }
                Job::Remove(numbers, answer) => {
                    group.removed.extend(numbers);
                    group.removers.push(answer);
                }
                Job::Oldest(limit, answer) => group.readers.push((limit, answer)),
                Job::Close(answer) => group.closers.push(answer),
            }
        }
        group
    }
}
