//! A view that is watched, kept up to date for as long as this is held.

use std::sync::Arc;

use super::{Feed, view::SharedView};
use crate::live::{session::subscribers::Subscribers, wire::frame::InFlight};

/// A view that is watched. Feed and view live as long as somebody holds one of these.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) view: SharedView,
    feed: Arc<Feed>,
}

impl Watched {
    pub(in crate::live) fn new(view: SharedView, feed: Arc<Feed>) -> Self {
        Self { view, feed }
    }

    /// The sessions that are told as soon as the feed has something to tell.
    pub(in crate::live) fn subscribers(&self) -> &Subscribers {
        self.feed.subscribers()
    }

    /// The bytes that are encoded for the feed's sessions.
    pub(in crate::live) fn in_flight(&self) -> &InFlight {
        self.feed.in_flight()
    }
}
