//! Changes in one view, for callers that ask for the next change when they have dealt with the last: server-sent
//! events, and subscriptions of GraphQL. Nothing queues for them.

use std::sync::Arc;

use clickwire_process::now_ms;
use clickwire_protocol::{
    feed::Position,
    live::{ServerMessage, View},
};
use tokio::{sync::watch, time::sleep};

use super::{error::LiveError, feed::subscription::ViewSubscription, state::LiveState, wire::frame::Frame};
use crate::{http::error::Error, identity::access::Caller};

/// The number of the one subscription.
const SUBSCRIPTION: u32 = 1;

/// Changes of a view.
pub(crate) struct Updates {
    clicks: ViewSubscription,
    news: watch::Receiver<u64>,
}

impl Updates {
    /// Begins to watch a view that [`watched`](super::watched) has let through, from where the caller's state ends.
    pub(crate) fn watch(
        state: &LiveState,
        caller: &Caller,
        view: View,
        since: Option<Position>,
        min_interval_ms: Option<u32>,
    ) -> Result<Self, Error> {
        let watched = state.hub.watch(view, caller).ok_or(LiveError::Full)?;
        let clicks = ViewSubscription::new(watched, since, Arc::clone(&caller.name), min_interval_ms);
        let mut news = clicks.subscribe();
        if *news.borrow() > 0 {
            news.mark_changed();
        }
        Ok(Self { clicks, news })
    }

    /// Ends when there is something new, and its time has come; `None` if there will be nothing more.
    pub(in crate::live) async fn changed(&mut self) -> Option<()> {
        sleep(self.clicks.time_left(now_ms())).await;
        self.news.changed().await.ok()
    }

    /// The frames that are due now.
    pub(in crate::live) fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.clicks.add_frames(SUBSCRIPTION, now_ms(), &mut frames);
        frames
    }

    /// The position up to which the caller was told.
    pub(in crate::live) fn told(&self) -> Option<Position> {
        self.clicks.told()
    }

    /// The next messages; `None` if there will be none.
    pub(crate) async fn next(&mut self) -> Option<Vec<ServerMessage>> {
        loop {
            self.changed().await?;
            let messages: Vec<ServerMessage> = self.frames().iter().filter_map(read).collect();
            if !messages.is_empty() {
                return Some(messages);
            }
        }
    }
}

/// Reads the message back from its frame. Few callers ask this way: what many are told is encoded once, for sockets.
fn read(frame: &Frame) -> Option<ServerMessage> {
    let (own, shared) = frame.payload();
    serde_json::from_slice(&[own, &shared].concat()).ok()
}
