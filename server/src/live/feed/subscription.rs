//! One watcher of a view of clicks, whatever carries its messages: its cursor, and what it is to be told now.

use std::{sync::Arc, time::Duration};

use clickwire_protocol::{
    feed::Position,
    live::{MAX_INTERVAL_MS, ServerMessage},
};
use tokio::sync::watch;

use crate::live::{
    feed::view::{Cursor, lock},
    feed::watched::Watched,
    session::{Source, end::End, subscribers::Subscribers},
    wire::frame::Frame,
};

/// A watched view, and its watcher's cursor; `None` before the first message.
pub(in crate::live) struct ViewSubscription {
    watched: Watched,
    /// The name under which the watcher is present.
    who: Arc<str>,
    told: Option<Cursor>,
    since: Option<Position>,
    min_interval_ms: Option<i64>,
    /// The earliest time of the next message: Unix time in milliseconds.
    not_before_ms: i64,
}

impl ViewSubscription {
    /// A watcher whose state ends at `since`, with its name in records and the shortest time between two messages.
    pub(in crate::live) fn new(
        watched: Watched,
        since: Option<Position>,
        who: Arc<str>,
        min_interval_ms: Option<u32>,
    ) -> Self {
        lock(&watched.view).viewer_joined(&who);
        let min_interval_ms =
            min_interval_ms.map(|min_interval_ms| min_interval_ms.clamp(1, MAX_INTERVAL_MS).into());
        Self { watched, who, told: None, since, min_interval_ms, not_before_ms: 0 }
    }

    /// Subscribes to the view's version, announced when there is something to tell; 0 until the state is loaded.
    pub(in crate::live) fn subscribe(&self) -> watch::Receiver<u64> {
        lock(&self.watched.view).subscribe()
    }

    /// Returns whether there is something to tell whose time has not come.
    pub(in crate::live) fn waits(&self, now_ms: i64) -> bool {
        now_ms < self.not_before_ms && lock(&self.watched.view).has_news(self.told.as_ref())
    }

    /// Time until the watcher may be told something.
    pub(in crate::live) fn time_left(&self, now_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.not_before_ms - now_ms).unwrap_or(0))
    }

    /// Adds the frames that are due now.
    pub(in crate::live) fn add_frames(&mut self, id: u32, now_ms: i64, frames: &mut Vec<Frame>) {
        let mut view = lock(&self.watched.view);
        if !view.has_news(self.told.as_ref()) {
            return;
        }
        let step = match &self.told {
            None => {
                let Some(start) = view.start(self.since.as_ref()) else { return };
                if self.since.take().is_some() {
                    let found = if start.is_delta { "hit" } else { "miss" };
                    metrics::counter!("clickwire_live_resumes_total", "found" => found).increment(1);
                }
                start
            }
            Some(told) if view.has_begun_anew_since(told) => {
                let Some(start) = view.start(None) else { return };
                frames.push(Frame::of(&ServerMessage::Reset { id }));
                start
            }
            Some(told) => {
                let Some(next) = view.next(told) else { return };
                let conflated = next.to.conflated_since(told);
                if conflated > 0 {
                    metrics::counter!("clickwire_live_conflated_total").increment(conflated);
                }
                next
            }
        };
        frames.push(step.body.frame(id));
        self.told = Some(step.to);
        if let Some(min_interval_ms) = self.min_interval_ms {
            // Periods are the same for all, so that those who ask for the same are told by the same frames.
            self.not_before_ms = (now_ms / min_interval_ms + 1) * min_interval_ms;
        }
    }

    /// The position up to which the watcher was told.
    pub(in crate::live) fn told(&self) -> Option<Position> {
        self.told.as_ref().map(Cursor::position)
    }
}

impl Drop for ViewSubscription {
    fn drop(&mut self) {
        lock(&self.watched.view).viewer_left(&self.who);
    }
}

impl Source for ViewSubscription {
    fn subscribers(&self) -> &Subscribers {
        self.watched.subscribers()
    }

    fn waits(&self, now_ms: i64) -> bool {
        self.waits(now_ms)
    }

    fn is_exceeded(&self) -> bool {
        self.watched.in_flight().is_exceeded()
    }

    fn frames(&mut self, id: u32, now_ms: i64, frames: &mut Vec<Frame>) -> Result<(), End> {
        self.add_frames(id, now_ms, frames);
        Ok(())
    }
}
