//! One watcher of a view of clicks, whatever carries its messages: how far it was told, and what it is to
//! be told now.

use std::sync::Arc;

use clickwire_protocol::{feed::Position, live::ServerMessage};
use tokio::sync::watch;

use super::{
    hub::Watched,
    socket::Frame,
    view::{Told, encode, lock},
};

/// A watched view, and how far its watcher was told; `None` before the first message.
pub(super) struct Clicks {
    watched: Watched,
    /// Under this name it is present.
    who: Arc<str>,
    told: Option<Told>,
    since: Option<Position>,
}

impl Clicks {
    /// A watcher whose state ends at `since`, and what it is called in records.
    pub(super) fn new(watched: Watched, since: Option<Position>, who: Arc<str>) -> Self {
        lock(&watched.view).comes(&who);
        Self { watched, who, told: None, since }
    }

    /// Wakes when there is something to tell; 0 until the state is loaded.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        lock(&self.watched.view).subscribe()
    }

    /// Adds what is to be told now.
    pub(super) fn frames(&mut self, id: u32, frames: &mut Vec<Frame>) {
        let mut view = lock(&self.watched.view);
        let (frame, told) = match self.told.take() {
            None => {
                let Some((message, told)) = view.start(id, self.since.as_ref()) else { return };
                if self.since.take().is_some() {
                    let found = if matches!(message, ServerMessage::Delta { .. }) { "hit" } else { "miss" };
                    metrics::counter!("clickwire_live_resumes_total", "found" => found).increment(1);
                }
                (encode(&message), told)
            }
            Some(earlier) => {
                let (frame, told) = view.next(id, &earlier).unwrap_or_else(|| {
                    let (snapshot, told) = view.snapshot(id);
                    frames.push(encode(&ServerMessage::Reset { id }));
                    (encode(&snapshot), told)
                });
                let conflated = told.conflated_since(&earlier);
                if conflated > 0 {
                    metrics::counter!("clickwire_live_conflated_total").increment(conflated);
                }
                (frame, told)
            }
        };
        frames.push(frame);
        self.told = Some(told);
    }

    /// How far the watcher was told.
    pub(super) fn told(&self) -> Option<Position> {
        self.told.as_ref().map(Told::position)
    }
}

impl Drop for Clicks {
    fn drop(&mut self) {
        lock(&self.watched.view).goes(&self.who);
    }
}
