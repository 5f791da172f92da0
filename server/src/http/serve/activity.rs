//! The activity of a connection: its states, and a time limit for each.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

/// Times that a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Time before the first request: TLS, a preface, the request's head.
    pub(crate) head: Duration,
    /// Time from one request to the next one, its head included.
    pub(crate) idle: Duration,
    /// Time to take a piece of an answer.
    pub(crate) taken: Duration,
}

/// The reason why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The connection did not get to its first request in time.
    Silent,
    /// The connection had no request for too long.
    Idle,
    /// The client takes nothing of its answers.
    Stalled,
}

/// One connection's.
pub(crate) struct Activity {
    state: Mutex<State>,
    given_up: Notify,
}

struct State {
    /// Requests that are being answered.
    requests: usize,
    had_a_request: bool,
    /// Time at which the present state began.
    since: Instant,
    /// Unwritten pieces in HTTP/1; each stream of HTTP/2 has its own.
    unwritten: Unwritten,
}

/// Pieces of answers that were handed to the connection, and not written yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwritten {
    pieces: usize,
    /// Time at which the last one was written, or the first handed over.
    since: Instant,
}

/// A request that is being answered.
pub(crate) struct Request(Arc<Activity>);

impl Unwritten {
    pub(crate) fn new() -> Self {
        Self { pieces: 0, since: Instant::now() }
    }

    pub(crate) fn add(&mut self) {
        if self.pieces == 0 {
            self.since = Instant::now();
        }
        self.pieces += 1;
    }

    pub(crate) fn remove(&mut self) {
        self.pieces -= 1;
        self.since = Instant::now();
    }

    /// Returns the time by which a piece must have been written.
    pub(crate) fn until(&self, within: Duration) -> Option<Instant> {
        (self.pieces > 0).then(|| self.since + within)
    }
}

impl Activity {
    pub(crate) fn new() -> Self {
        let (since, unwritten) = (Instant::now(), Unwritten::new());
        let state = State { requests: 0, had_a_request: false, since, unwritten };
        Self { state: Mutex::new(state), given_up: Notify::new() }
    }

    /// Both ends have agreed on keys: the time begins anew.
    pub(crate) fn speaks(&self) {
        self.lock().since = Instant::now();
    }

    /// A request has come.
    pub(crate) fn request(self: &Arc<Self>) -> Request {
        let mut state = self.lock();
        state.requests += 1;
        state.had_a_request = true;
        Request(Arc::clone(self))
    }

    pub(crate) fn unwritten(&self, change: impl FnOnce(&mut Unwritten)) {
        let mut state = self.lock();
        change(&mut state.unwritten);
        state.since = Instant::now();
    }

    /// Returns whether there ever was a request, and the start of idleness; `None` unless idle for `least`.
    pub(super) fn idle(&self, least: Duration) -> Option<(bool, Instant)> {
        let state = self.lock();
        let is_idle = state.requests == 0 && state.unwritten.pieces == 0 && state.since.elapsed() >= least;
        is_idle.then_some((state.had_a_request, state.since))
    }

    /// Another connection needs its place.
    pub(super) fn give_up(&self) {
        self.given_up.notify_one();
    }

    /// Ends when another connection needs its place.
    pub(crate) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// Ends when a time has passed. Is to be awaited by the task that also drives the connection, for that
    /// is what changes its state.
    pub(crate) async fn over(&self, times: Times) -> Over {
        let mut sleep = Box::pin(sleep_until(self.until(times).0));
        poll_fn(|context| self.poll_over(times, &mut sleep, context)).await
    }

    fn poll_over(
        &self,
        times: Times,
        sleep: &mut std::pin::Pin<Box<Sleep>>,
        context: &mut Context<'_>,
    ) -> Poll<Over> {
        loop {
            let (until, over) = self.until(times);
            // A later one is asked for when the earlier one has come.
            if until < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(until);
            }
            ready!(sleep.as_mut().poll(context));
            if self.until(times).0 <= Instant::now() {
                return Poll::Ready(over);
            }
        }
    }

    fn until(&self, times: Times) -> (Instant, Over) {
        let state = self.lock();
        match state.unwritten.until(times.taken) {
            Some(until) => (until, Over::Stalled),
            // How long a request may take is not a matter of its connection.
            None if state.requests > 0 => (Instant::now() + times.idle, Over::Idle),
            None if state.had_a_request => (state.since + times.idle, Over::Idle),
            None => (state.since + times.head, Over::Silent),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Over {
    /// Returns its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.since = Instant::now();
    }
}
