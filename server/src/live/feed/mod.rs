//! One advertiser's live state: the recent minute cells, and the views computed from them.
//!
//! The state is loaded from the database once, however many dashboards arrive, and kept up by the
//! feed over Redis. The order makes it right: subscribe, read the feed's high-water mark, read the database
//! ([`load`]). Whenever something may have been missed (a gap, another epoch, a new connection
//! to Redis, a high-water mark that is ahead of us) the database is read again; only differences are passed on. However
//! long that takes, what is published is shown meanwhile.
//!
//! - [`subscriber`]: what is heard from Redis, for all feeds
//! - [`follower`]: the task that keeps the state up to date; [`resync`]: its decision to read the database again;
//!   [`load`]: one such reading
//! - [`cells`]: the recent cells, and the views computed from them; [`rates`]: a view's clicks per second
//! - [`progress`]: up to when the deployment is counted
//! - [`view`]: what one kind of dashboard shows, computed once for all that show it
//! - [`watched`]: a view that is watched
//! - [`subscription`]: one watcher of a view, whatever carries its messages
//! - [`alerts`]: news about incidents, for operators

pub(in crate::live) mod alerts;
mod cells;
mod follower;
mod load;
pub(in crate::live) mod progress;
mod rates;
mod resync;
pub(in crate::live) mod subscriber;
pub(in crate::live) mod subscription;
pub(in crate::live) mod view;
pub(in crate::live) mod watched;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{now_ms, redis::Connection};
use clickwire_protocol::{
    feed::Position,
    ids::AdvertiserId,
    live::View,
    times::{Minute, UnixMs},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use crate::{
    http::quota::Holder,
    live::{
        feed::{cells::Cells, follower::Follower, load::Loader, progress::Watermark, view::SharedView},
        session::subscribers::Subscribers,
        wire::frame::InFlight,
    },
    store::database::Tenants,
};

/// The longest wait after a failed load: less than screens may be behind.
pub(in crate::live) const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// One advertiser's state; lives as long as it has a watcher.
pub(crate) struct Feed {
    cells: Mutex<Cells>,
    subscribers: Subscribers,
    in_flight: InFlight,
    /// The mark that the database must be read again.
    needs_resync: Arc<AtomicBool>,
    _stop: DropGuard,
}

/// News of the connection to Redis for a feed.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message of the channel.
    Message(Vec<u8>),
    /// The channel was subscribed to, for the first time or again.
    Subscribed,
}

/// The sources and settings of a feed.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) tenants: Tenants,
    pub(crate) redis: Connection,
    pub(crate) prefix: Arc<str>,
    pub(crate) tick: Duration,
    pub(crate) cells_max: usize,
    /// The watermark of the deployment.
    pub(in crate::live) watermark: Watermark,
    /// The bytes that the server holds for its sessions.
    pub(crate) in_flight: InFlight,
}

impl Feed {
    /// Starts to follow an advertiser, on the account of those that have begun to watch it. `needs_resync` is set when
    /// events were dropped.
    pub(crate) fn start(
        advertiser_id: &AdvertiserId,
        source: Source,
        watcher: Vec<Holder>,
        events: mpsc::Receiver<Event>,
        needs_resync: Arc<AtomicBool>,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let subscribers = Subscribers::default();
        let in_flight = source.in_flight.of_another_feed();
        let feed = Arc::new(Self {
            cells: Mutex::new(Cells::new(in_flight.clone())),
            subscribers: subscribers.clone(),
            in_flight,
            needs_resync: Arc::clone(&needs_resync),
            _stop: stop.clone().drop_guard(),
        });
        let loader = Loader {
            advertiser_id: advertiser_id.clone(),
            feed: Arc::downgrade(&feed),
            source: source.clone(),
            needs_resync: Arc::clone(&needs_resync),
            watcher: watcher.into(),
        };
        let follower = Follower {
            advertiser_id: advertiser_id.clone(),
            feed: Arc::downgrade(&feed),
            subscribers,
            lag: metrics::histogram!("clickwire_live_lag_seconds"),
            source,
            needs_resync,
            loader,
        };
        let following = async move {
            tokio::select! { () = follower.run(events) => {}, () = stop.cancelled() => {} }
        };
        let ended = tokio::spawn(
            following.instrument(tracing::error_span!("feed", advertiser_id = advertiser_id.as_str())),
        );
        (feed, ended)
    }

    /// The state of `view`, shared with every other session that watches an equal one; `None` if the advertiser is
    /// watched in too many different ways.
    pub(crate) fn view(&self, view: View, holder: Holder) -> Option<SharedView> {
        self.cells().view(view, holder, now_minute())
    }

    /// Returns whether the database has been read.
    pub(in crate::live) fn is_loaded(&self) -> bool {
        self.cells().is_loaded()
    }

    /// Begins a reading of the database; returns the feed's position. Later messages are kept beside what is read.
    pub(in crate::live) fn begin_load(&self) -> Position {
        self.cells().begin_load()
    }

    /// The sessions that are told as soon as there is something to tell.
    pub(in crate::live) fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The bytes that are encoded for its sessions.
    pub(in crate::live) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Marks the feed for another reading of the database: messages may have been lost.
    pub(in crate::live) fn invalidate(&self) {
        self.needs_resync.store(true, Ordering::Relaxed);
    }

    /// The views, and the connections of each viewer.
    pub(crate) fn watchers(&self) -> Vec<(View, BTreeMap<Arc<str>, usize>)> {
        self.cells().watchers()
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(in crate::live) fn now_minute() -> Minute {
    UnixMs(now_ms()).minute()
}
