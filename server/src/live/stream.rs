//! Server-sent events (HTML Standard, 9.2): a response that tells changes until its caller goes away, may not go on,
//! or the server stops. Nothing queues: a change is asked for when the connection takes it.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use rand::RngExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use super::{session::permit::SessionPermit, wire::frame::Frame};
use crate::{
    http::{error::Error, quota::QuotaGuard, visitor::Visitor},
    identity::access::Caller,
    live::{error::LiveError, state::LiveState},
};

/// Milliseconds that clients wait before they come back: not all at the same moment, when a server goes away.
const RETRY_MS: std::ops::Range<u32> = 500..2_000;

/// The longest time without an event or a comment: clients are not told the setting, and give a silent stream up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Changes that are told as events.
pub(super) trait Changes: Send + 'static {
    /// Ends when there is something to tell, and its time has come; `None` if there will be nothing more.
    fn changed(&mut self) -> impl Future<Output = Option<()>> + Send;

    /// Returns the frames that are due now; `None` if the caller can't be told any more, and has to come back.
    fn frames(&mut self) -> Option<Vec<Frame>>;

    /// Returns the end of the client's state, if it can go on from there later.
    fn id(&self) -> Option<String>;
}

/// A caller's place among the live sessions.
pub(super) struct Place {
    leave: Pin<Box<dyn Future<Output = ()> + Send>>,
    heartbeat: Duration,
    _permit: SessionPermit,
    _share: Option<QuotaGuard<Uuid>>,
    /// A server that stops waits for it.
    _open: TaskTrackerToken,
}

impl Place {
    /// Takes a place, unless all are taken, or the caller has too many.
    pub(super) fn take(state: &LiveState, caller: &Caller, visitor: &Visitor) -> Result<Self, Error> {
        let permit = SessionPermit::take(&state.sessions, &state.addresses, visitor.address)?;
        let share = match caller.account_id {
            Some(account_id) => Some(state.sessions.by_account.try_take(account_id).ok_or(LiveError::Full)?),
            None => None,
        };
        let sessions = state.sessions.clone();
        let ending = state.access.ending(caller);
        let leave = Box::pin(async move {
            match ending {
                Some(ending) => {
                    tokio::select! { () = sessions.leave() => {}, _ = ending => {} }
                }
                None => sessions.leave().await,
            }
        });
        let (heartbeat, open) = (state.sessions.heartbeat, state.sessions.tracker.token());
        Ok(Self { leave, heartbeat, _permit: permit, _share: share, _open: open })
    }

    /// Answers with the changes as events, and a comment whenever there is none for a heartbeat's time.
    pub(super) fn tell(self, changes: impl Changes) -> Response {
        let every = self.heartbeat.min(HEARTBEAT);
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = Events { changes, heartbeat, place: self };
        let first = Bytes::from(format!("retry: {}\n\n", rand::rng().random_range(RETRY_MS)));
        let events =
            stream::unfold((vec![first].into_iter(), events), |(mut pieces, mut events)| async move {
                loop {
                    if let Some(piece) = pieces.next() {
                        return Some((Ok::<_, Infallible>(piece), (pieces, events)));
                    }
                    pieces = events.next().await?.into_iter();
                }
            });
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            // nginx would collect them first.
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        (headers, Body::from_stream(events)).into_response()
    }
}

/// One client's events.
struct Events<C> {
    changes: C,
    heartbeat: Interval,
    place: Place,
}

impl<C: Changes> Events<C> {
    /// The pieces to be sent next; `None` when the server goes away, or the caller may not go on.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        tokio::select! {
            // First: who may not go on is not told what has changed meanwhile.
            biased;
            () = &mut self.place.leave => return None,
            changed = self.changes.changed() => changed?,
            _ = self.heartbeat.tick() => return Some(vec![Bytes::from_static(b":\n\n")]),
        }
        let frames = self.changes.frames()?;
        // Before the last of them: what came before it is whole only with it.
        let id = self.changes.id().map(|id| format!("id: {id}\n"));
        let mut pieces = Vec::with_capacity(frames.len() * 3);
        for (left, frame) in (0..frames.len()).rev().zip(&frames) {
            let (own, shared) = frame.payload();
            let mut start =
                if left == 0 { id.clone().unwrap_or_default() } else { String::new() }.into_bytes();
            start.extend(b"data: ");
            start.extend(own);
            pieces.extend([start.into(), shared, Bytes::from_static(b"\n\n")]);
        }
        Some(pieces)
    }
}
