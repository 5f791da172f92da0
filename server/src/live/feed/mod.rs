//! One advertiser's live state: the recent minute cells, and the views computed from them.
//!
//! The state is loaded from the database once, however many dashboards arrive, and kept up by the
//! feed over Redis. The order makes it right: subscribe, read the feed's head, read the database
//! ([`load`]). Whenever something may have been missed (a gap, another epoch, a new connection
//! to Redis, a head that is ahead of us) the database is read again; only differences are passed on. However
//! long that takes, what is published is shown meanwhile.
//!
//! - [`subscriber`]: what is heard from Redis, for all feeds
//! - [`load`]: one reading of the database
//! - [`cells`]: the recent cells, and the views computed from them; [`rates`]: how fast clicks come
//! - [`view`]: what one kind of dashboard shows, computed once for all that show it
//! - [`watched`]: a view that is watched
//! - [`clicks`]: one watcher of a view, whatever carries its messages
//! - [`alerts`]: news about incidents, for operators

pub(in crate::live) mod alerts;
mod cells;
pub(in crate::live) mod clicks;
mod load;
mod rates;
pub(in crate::live) mod subscriber;
pub(in crate::live) mod view;
pub(in crate::live) mod watched;

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{now_ms, redis::Connection};
use clickwire_protocol::{
    MINUTE_MS,
    feed::{Delta, Keys, Position},
    live::View,
};
use rand::RngExt as _;
use redis::{AsyncCommands as _, RedisError};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    http::quota::Holder,
    live::{
        feed::{
            cells::{Cells, Ticked},
            load::{Loaded, Loader, Loading},
            view::SharedView,
        },
        session::listeners::Listeners,
        wire::frame::InFlight,
    },
    store::database::Tenants,
};

/// How often the feed's head is compared with what has come: a lost last message leaves no gap.
const CHECK_HEAD: Duration = Duration::from_millis(1_500);

/// A message that the head counts may still be on its way to us for so long.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Subscribing takes less when Redis is there.
const SUBSCRIBED_WITHIN: Duration = Duration::from_millis(250);

/// How long a load that failed waits, at most: less than screens may be behind.
pub(in crate::live) const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// One advertiser's state; lives as long as somebody watches.
pub(crate) struct Feed {
    cells: Mutex<Cells>,
    listeners: Listeners,
    in_flight: InFlight,
    /// Set when the database must be read again.
    suspect: Arc<AtomicBool>,
    _stop: DropGuard,
}

/// What the connection to Redis tells a feed.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message of the channel.
    Message(Vec<u8>),
    /// The channel was subscribed to, for the first time or again.
    Subscribed,
}

/// What a feed reads from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) tenants: Tenants,
    pub(crate) redis: Connection,
    pub(crate) prefix: Arc<str>,
    pub(crate) tick: Duration,
    pub(crate) cells_max: usize,
    /// Of the server.
    pub(crate) in_flight: InFlight,
}

impl Feed {
    /// Starts to follow an advertiser, on the account of those that have begun to watch it. `suspect` is set when
    /// events were dropped.
    pub(crate) fn start(
        advertiser_id: &str,
        source: Source,
        watcher: Vec<Holder>,
        events: mpsc::Receiver<Event>,
        suspect: Arc<AtomicBool>,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let listeners = Listeners::default();
        let in_flight = source.in_flight.of_another_feed();
        let feed = Arc::new(Self {
            cells: Mutex::new(Cells::new(in_flight.clone())),
            listeners: listeners.clone(),
            in_flight,
            suspect: Arc::clone(&suspect),
            _stop: stop.clone().drop_guard(),
        });
        let loader = Loader {
            advertiser_id: advertiser_id.into(),
            feed: Arc::downgrade(&feed),
            source: source.clone(),
            suspect: Arc::clone(&suspect),
            watcher: watcher.into(),
        };
        let follower = Follower {
            advertiser_id: advertiser_id.to_owned(),
            feed: Arc::downgrade(&feed),
            listeners,
            lag: metrics::histogram!("clickwire_live_lag_seconds"),
            source,
            suspect,
            loader,
        };
        let ended = tokio::spawn(async move {
            tokio::select! { () = follower.run(events) => {}, () = stop.cancelled() => {} }
        });
        (feed, ended)
    }

    /// The state of `view`, shared with every other session that watches an equal one; `None` if the
    /// advertiser is watched in too many different ways.
    pub(crate) fn view(&self, view: View, holder: Holder) -> Option<SharedView> {
        self.cells().view(view, holder, now_minute())
    }

    /// Whether the database has been read.
    pub(in crate::live) fn is_loaded(&self) -> bool {
        self.cells().is_loaded()
    }

    /// Where the feed is before the database is read; what comes from now on is kept beside what is read.
    pub(in crate::live) fn begin_load(&self) -> Position {
        self.cells().begin_load()
    }

    /// Those that are told as soon as there is something to tell.
    pub(in crate::live) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// What is encoded for its sessions.
    pub(in crate::live) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Has the database read again: messages may have been lost.
    pub(in crate::live) fn doubt(&self) {
        self.suspect.store(true, Ordering::Relaxed);
    }

    /// The views and who watches each, over how many connections.
    pub(crate) fn watchers(&self) -> Vec<(View, BTreeMap<Arc<str>, usize>)> {
        self.cells().watchers()
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that keeps a feed's state up to date.
struct Follower {
    advertiser_id: String,
    feed: Weak<Feed>,
    listeners: Listeners,
    source: Source,
    suspect: Arc<AtomicBool>,
    lag: metrics::Histogram,
    loader: Loader,
}

impl Follower {
    async fn run(self, mut events: mpsc::Receiver<Event>) {
        let mut tick = tokio::time::interval(self.source.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let share: f64 = rand::rng().random_range(0.7..1.0);
        let mut check = tokio::time::interval(CHECK_HEAD.mul_f64(share));
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut loading: Option<Loading> = None;
        let mut expected = None;
        // A session wants to be told later what it was not told.
        let mut is_waited_for = false;
        // What is read after the subscription need not be read again. Dashboards that arrive while Redis
        // is away are shown the database, too.
        let first = timeout(SUBSCRIBED_WITHIN, events.recv()).await;
        if let Ok(Some(Event::Message(payload))) = first {
            self.apply(&payload, false);
        }
        self.suspect.store(true, Ordering::Relaxed);
        loop {
            if loading.is_none() && self.suspect.load(Ordering::Relaxed) {
                loading = Some(self.loader.begin());
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Message(payload)) => self.apply(&payload, loading.is_some()),
                    Some(Event::Subscribed) => self.suspect.store(true, Ordering::Relaxed),
                    None => return,
                },
                loaded = ended(&mut loading) => {
                    loading = None;
                    match loaded {
                        Some(loaded) => self.take(loaded),
                        None => return,
                    }
                }
                _ = tick.tick() => {
                    let Some(ticked) = self.tick() else { return };
                    if ticked.has_news || is_waited_for {
                        is_waited_for = self.listeners.tell().await;
                    }
                    if let Some(published_ms) = ticked.published_ms {
                        self.lag.record(now_ms().saturating_sub(published_ms).max(0) as f64 / 1e3);
                    }
                }
                // What is read now will say as much.
                _ = check.tick(), if loading.is_none() => {
                    expected = self.check_head(expected).await;
                    if expected.is_some() {
                        check.reset_after(ON_ITS_WAY);
                    }
                }
            }
        }
    }

    fn tick(&self) -> Option<Ticked> {
        Some(self.feed.upgrade()?.cells().tick(now_minute(), self.source.cells_max))
    }

    /// Takes what was read; if messages are missing between it and those that have come, it is read again.
    fn take(&self, Loaded { position, cells }: Loaded) {
        let Some(feed) = self.feed.upgrade() else { return };
        if !feed.cells().replace(position, cells) {
            metrics::counter!("clickwire_live_gaps_total").increment(1);
            self.suspect.store(true, Ordering::Relaxed);
        }
    }

    /// Takes a message's cells; a message that does not follow the last one makes us read again, unless we do
    /// so already.
    fn apply(&self, payload: &[u8], is_loading: bool) {
        let Some(feed) = self.feed.upgrade() else { return };
        let delta: Delta = match serde_json::from_slice(payload) {
            Ok(delta) => delta,
            Err(error) => {
                tracing::warn!(advertiser_id = self.advertiser_id, %error, "a message of the feed can't be read");
                self.suspect.store(true, Ordering::Relaxed);
                return;
            }
        };
        let follows = feed.cells().apply(delta, now_ms().div_euclid(1_000));
        if !follows && !is_loading {
            metrics::counter!("clickwire_live_gaps_total").increment(1);
            self.suspect.store(true, Ordering::Relaxed);
        }
    }

    /// Whether Redis knows of messages that have not come. A head that is ahead is looked at again
    /// when what was on its way must have arrived: returns the position expected by then.
    async fn check_head(&self, expected: Option<Position>) -> Option<Position> {
        let ours = self.feed.upgrade()?.cells().position().clone();
        if let Some(expected) = expected {
            if expected.epoch != ours.epoch || expected.seq > ours.seq {
                metrics::counter!("clickwire_live_gaps_total").increment(1);
                self.suspect.store(true, Ordering::Relaxed);
            }
            return None;
        }
        // Away: the next subscription makes us suspect anyway.
        let head = self.head().await.ok()?;
        (head.epoch != ours.epoch || head.seq > ours.seq).then_some(head)
    }

    async fn head(&self) -> Result<Position, RedisError> {
        let key = Keys::new(&self.source.prefix, &self.advertiser_id).head;
        let (epoch, seq): (Option<String>, Option<u64>) =
            self.source.redis.clone().hmget(key, &["epoch", "seq"]).await?;
        Ok(Position { epoch: epoch.unwrap_or_default(), seq: seq.unwrap_or_default() })
    }
}

pub(in crate::live) fn now_minute() -> i64 {
    now_ms().div_euclid(MINUTE_MS)
}

/// Ends when a reading does; `None` when the feed has ended, or it could not be read at all.
async fn ended(loading: &mut Option<Loading>) -> Option<Loaded> {
    match loading {
        Some(loading) => loading.await.ok().flatten(),
        None => pending().await,
    }
}
