//! The part of a session that its task shares with the sources of its news: the socket, and its subscriptions.
//!
//! The task that has news writes it straight into the sockets of all subscribers, or several tasks do, each into those
//! of a part: to wake a task for each would cost more than the write does. Only where a socket is full the session's own task goes
//! on, as soon as there is room. Nothing queues: what it writes then is the state of that moment. What several
//! views have to tell at the same moment goes out in one write.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use clickwire_process::now_ms;
use clickwire_protocol::live::{ServerMessage, close};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{Source, end::End};
use crate::live::{
    session::subscribers::SubscriberGuard,
    wire::{frame::Frame, socket::Socket},
};

/// Heartbeats that may stay unanswered.
const UNANSWERED: u8 = 2;

/// Bytes of large messages for a session that are on their way at once: with more queued, its other views wait
/// until these are taken. So a session holds one message and this, at most.
const QUEUED_BYTES: usize = 64 * 1_024;

/// A session that has taken nothing for this long is closed when too much of its feed is in flight.
const STALLED_MS: i64 = 2_000;

/// A session's connection, with its state until the session ends.
pub(in crate::live) struct Connection(Mutex<Option<State>>);

struct State {
    socket: Socket,
    subscriptions: BTreeMap<u32, Subscription>,
    /// The subscription that is told first: the one that had to wait the last time.
    first: u32,
    /// Heartbeats since the other side was heard, or took what it had not taken.
    unanswered: u8,
    /// The end that the session has to come to, as was seen when it was told something.
    end: Option<End>,
    /// The session's task.
    task: Option<Waker>,
    deliveries: metrics::Counter,
}

/// One of a session's subscriptions.
struct Subscription {
    source: Box<dyn Source>,
    _guard: SubscriberGuard,
}

impl Connection {
    pub(in crate::live) fn new(socket: Socket, deliveries: metrics::Counter) -> Self {
        Self(Mutex::new(Some(State {
            socket,
            subscriptions: BTreeMap::new(),
            first: 0,
            unanswered: 0,
            end: None,
            task: None,
            deliveries,
        })))
    }

    /// The next message of the client; until it comes, what could not be written at once is written. The message of
    /// a call that is given up halfway comes with the next call.
    pub(in crate::live) async fn receive(&self) -> Result<Message, End> {
        poll_fn(|context| match &mut *self.lock() {
            Some(state) => state.poll_receive(context),
            None => Poll::Ready(Err(End::Gone)),
        })
        .await
    }

    /// Tells what is due at this time; returns whether there is something else whose time has not come.
    pub(in crate::live) fn tell(&self, now_ms: i64) -> bool {
        let mut connection = self.lock();
        let Some(state) = &mut *connection else { return false };
        let told = state.tell(now_ms);
        if (told.is_err() || state.socket.is_blocked())
            && let Some(task) = state.task.take()
        {
            task.wake();
        }
        told.unwrap_or_else(|end| {
            state.end = Some(end);
            false
        })
    }

    /// Answers the client.
    pub(in crate::live) fn answer(&self, message: &ServerMessage) -> Result<(), End> {
        self.with(|state| {
            state.socket.queue().push(Frame::of(message));
            state.deliveries.increment(1);
            Ok(state.socket.write()?)
        })
    }

    /// Tells a source's news from now on, as `id`, instead of those of the source that had this id.
    pub(in crate::live) fn subscribe(self: &Arc<Self>, id: u32, source: Box<dyn Source>) -> Result<(), End> {
        let _guard = source.subscribers().add(self);
        self.with(|state| {
            state.subscriptions.insert(id, Subscription { source, _guard });
            state.tell(now_ms()).map(drop)
        })
    }

    pub(in crate::live) fn unsubscribe(&self, id: u32) -> Result<(), End> {
        self.with(|state| {
            state.subscriptions.remove(&id);
            Ok(())
        })
    }

    /// The number of subscriptions beside `id`.
    pub(in crate::live) fn others(&self, id: u32) -> usize {
        self.lock().iter().flat_map(|state| state.subscriptions.keys()).filter(|key| **key != id).count()
    }

    /// Asks whether the client is still there; an error if it has not answered for too long.
    pub(in crate::live) fn heartbeat(&self) -> Result<(), End> {
        self.with(|state| {
            // Who takes what was written to it before, slowly, is there.
            if state.socket.has_taken() {
                state.unanswered = 0;
            }
            if state.unanswered >= UNANSWERED {
                return Err(End::close(close::HEARTBEAT_TIMEOUT, "no answer to heartbeats"));
            }
            state.unanswered += 1;
            // Who does not take what is written would not take this.
            if !state.socket.is_blocked() {
                state.socket.ping()?;
            }
            Ok(())
        })
    }

    /// Ends the session: it is told nothing more. Then says farewell.
    pub(in crate::live) async fn close(&self, farewell: Option<CloseFrame>) {
        let state = self.lock().take();
        if let (Some(State { socket, subscriptions, .. }), Some(farewell)) = (state, farewell) {
            drop(subscriptions);
            // Whether it arrives changes nothing.
            let _ = socket.close(farewell).await;
        }
    }

    /// Ends the session as the client wants it: its farewell is answered.
    pub(in crate::live) async fn leave(&self) {
        let state = self.lock().take();
        if let Some(State { socket, subscriptions, .. }) = state {
            drop(subscriptions);
            let _ = socket.leave().await;
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, End>) -> Result<T, End> {
        self.lock().as_mut().map_or(Err(End::Gone), work)
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, End>> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(Err(end));
        }
        if !self.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            self.task = Some(context.waker().clone());
        }
        while self.socket.is_blocked() {
            ready!(self.socket.poll_write(context))?;
            self.unanswered = 0;
            self.tell(now_ms())?;
        }
        let message = ready!(self.socket.poll_receive(context))?;
        self.unanswered = 0;
        Poll::Ready(Ok(message))
    }

    /// Tells what is due, unless what was told before is not written yet; returns whether there is something else whose
    /// time has not come.
    fn tell(&mut self, now_ms: i64) -> Result<bool, End> {
        if let Some(since_ms) = self.socket.stalled_since_ms() {
            let is_exceeded = || self.subscriptions.values().any(|one| one.source.is_exceeded());
            if now_ms - since_ms > STALLED_MS && is_exceeded() {
                return Err(End::TOO_SLOW);
            }
            return Ok(self.subscriptions.values().any(|subscription| subscription.source.waits(now_ms)));
        }
        let mut later = false;
        let mut from = self.first;
        for _ in 0..self.subscriptions.len() {
            let in_turn = self.subscriptions.range(from..).chain(&self.subscriptions).next();
            let Some((&id, _)) = in_turn else { break };
            from = id.wrapping_add(1);
            if self.socket.queued_bytes() >= QUEUED_BYTES {
                self.socket.write()?;
                if self.socket.is_blocked() {
                    self.first = id;
                    break;
                }
            }
            later |= self.tell_of(id, now_ms)?;
        }
        if !self.socket.queue().is_empty() {
            self.socket.write()?;
        }
        Ok(later)
    }

    /// Queues what is due of one subscription; returns whether it has something else whose time has not come.
    fn tell_of(&mut self, id: u32, now_ms: i64) -> Result<bool, End> {
        let Some(Subscription { source, .. }) = self.subscriptions.get_mut(&id) else { return Ok(false) };
        let frames = self.socket.queue();
        let queued = frames.len();
        if source.waits(now_ms) {
            return Ok(true);
        }
        source.frames(id, now_ms, frames)?;
        self.deliveries.increment((frames.len() - queued) as u64);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};

    use super::*;
    use crate::live::wire::socket::tests::pair;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_takes_it_late_gets_it() {
        let (socket, mut client) = pair().await;
        let connection = Connection::new(socket, metrics::Counter::noop());
        let long =
            ServerMessage::Error { id: None, code: "x".repeat(60_000), field: None, message: String::new() };
        let is_blocked = || connection.lock().as_ref().is_some_and(|state| state.socket.is_blocked());
        let mut said = 0;
        while !is_blocked() {
            assert!(connection.answer(&long).is_ok());
            said += 1;
        }
        // Far more than the kernel takes.
        for _ in 0..200 {
            assert!(connection.answer(&long).is_ok());
            said += 1;
        }
        for _ in 0..UNANSWERED {
            assert!(connection.heartbeat().is_ok());
        }
        assert!(matches!(connection.heartbeat(), Err(End::Close(close::HEARTBEAT_TIMEOUT, _))));
        // Whoever takes some of it, however little, is there, though it can't be asked.
        let takes_some = async {
            while connection.heartbeat().is_err() {
                client.next().await.unwrap().unwrap();
                said -= 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { () = takes_some => {}, heard = connection.receive() => assert!(heard.is_err()) }
        assert!(is_blocked());
        let takes = async {
            for _ in 0..said {
                let taken = client.next().await.unwrap().unwrap();
                assert_eq!(serde_json::from_str::<ServerMessage>(taken.to_text().unwrap()).unwrap(), long);
            }
            client.send(Message::text("here")).await.unwrap();
        };
        let ((), heard) = tokio::join!(takes, connection.receive());
        assert!(heard.is_ok_and(|heard| heard == Message::text("here")) && !is_blocked());
        assert!(connection.heartbeat().is_ok());
    }
}
