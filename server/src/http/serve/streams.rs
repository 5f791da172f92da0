//! Streams of HTTP/2, each served by a task of its own, which ends when a piece of its answer was not written in
//! time: others on the same connection may be other people's, behind a proxy.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Sleep, sleep_until};

use super::activity::Unwritten;

tokio::task_local! {
    /// The stream of HTTP/2 that a task serves.
    static STREAM: Arc<Stream>;
}

/// The unwritten pieces of a stream.
pub(super) struct Stream(Mutex<Unwritten>);

impl Stream {
    /// The one that this task serves; none in HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Unwritten)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Starts those tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) taken: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, serving: F) {
        let taken = self.taken;
        tokio::spawn(async move {
            let stream = Arc::new(Stream(Mutex::new(Unwritten::new())));
            let mut serving = Box::pin(STREAM.scope(Arc::clone(&stream), serving));
            let mut sleep = None;
            let is_stalled = poll_fn(|context| {
                if serving.as_mut().poll(context).is_ready() {
                    return Poll::Ready(false);
                }
                stream.poll_stalled(taken, &mut sleep, context).map(|()| true)
            });
            if is_stalled.await {
                metrics::counter!("clickwire_streams_reset_total", "reason" => "stalled").increment(1);
            }
        });
    }
}

impl Stream {
    fn poll_stalled(
        &self,
        within: Duration,
        sleep: &mut Option<Pin<Box<Sleep>>>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).until(within);
            let Some(until) = until else {
                *sleep = None;
                return Poll::Pending;
            };
            let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if sleep.is_elapsed() {
                if until <= sleep.deadline() {
                    return Poll::Ready(());
                }
                sleep.as_mut().reset(until);
            }
            ready!(sleep.as_mut().poll(context));
        }
    }
}
