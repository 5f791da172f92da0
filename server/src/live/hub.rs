//! The feeds that are watched, and the other followers of channels in Redis.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicBool},
    time::Duration,
};

use clickwire_process::redis::Connection;
use clickwire_protocol::{
    feed::{Keys, alerts_channel, generation_key},
    ids::AdvertiserId,
    live::View,
};
use redis::AsyncCommands as _;
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::feed::watched::Watched;
use crate::{
    config::Config,
    identity::access::Caller,
    live::{
        feed::{
            Event, Feed, Source,
            alerts::Alerts,
            progress::Watermark,
            subscriber::{Request, Subscriber},
        },
        presence::Advertiser,
        wire::frame::InFlight,
    },
    store::database::Tenants,
};

/// Messages that wait for one feed, at most; when more come, they are dropped and the feed reads the
/// database again.
const MAX_EVENTS: usize = 256;

/// Time between two requests for the feed generation.
const CHECK_GENERATION: Duration = Duration::from_secs(1);

/// Hands out views; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    feeds: Feeds,
    alerts: Arc<Mutex<Weak<Alerts>>>,
    requests: mpsc::UnboundedSender<Request>,
    source: Source,
    /// The database of the news about incidents.
    database: PgPool,
}

/// The feeds, by advertiser.
type Feeds = Arc<Mutex<HashMap<AdvertiserId, Weak<Feed>>>>;

impl Hub {
    /// Starts to listen to Redis, until `stop`.
    pub(crate) fn start(
        config: &Config,
        redis: Connection,
        database: PgPool,
        tenants: Tenants,
        stop: &CancellationToken,
    ) -> Self {
        // Emptied at least at every attempt to connect, so what waits here is a few seconds' worth.
        let (requests, received) = mpsc::unbounded_channel();
        let subscriber = Subscriber::new(redis.clone(), received);
        let feeds = Feeds::default();
        let generations =
            follow_generations(Arc::clone(&feeds), redis.clone(), generation_key(&config.redis_prefix));
        let watermark = Watermark::default();
        let progress = watermark.clone().follow(redis.clone(), config.redis_prefix.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = subscriber.run() => {}
                () = generations => {}
                () = progress => {}
                () = stop.cancelled() => {}
            }
        });
        let source = Source {
            tenants,
            redis,
            prefix: config.redis_prefix.as_str().into(),
            tick: Duration::from_millis(config.live_tick_ms),
            cells_max: config.live_cells_max,
            watermark,
            in_flight: InFlight::default(),
        };
        Self { feeds, alerts: Arc::default(), requests, source, database }
    }

    /// The shared state of `view`; the first watcher of an advertiser starts its feed. `None` if the caller
    /// watches the advertiser in too many different ways.
    pub(crate) fn watch(&self, view: View, caller: &Caller) -> Option<Watched> {
        let feed = self.feed(&view.advertiser_id, caller);
        Some(Watched::new(feed.view(view, caller.holder())?, feed))
    }

    /// The news about incidents, shared by every session that watches them.
    pub(crate) fn alerts(&self) -> Arc<Alerts> {
        let mut watched = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alerts) = watched.upgrade() {
            return alerts;
        }
        let database = self.database.clone();
        let channel = alerts_channel(&self.source.prefix);
        let alerts = self.follow(channel, |events, needs_resync| {
            Alerts::start(database, self.source.in_flight.of_another_feed(), events, needs_resync)
        });
        *watched = Arc::downgrade(&alerts);
        alerts
    }

    /// The advertisers whose views are watched, and their watchers.
    pub(crate) fn watchers(&self) -> Vec<Advertiser> {
        let feeds: Vec<(AdvertiserId, Arc<Feed>)> = {
            let feeds = lock(&self.feeds);
            feeds.iter().filter_map(|(id, feed)| Some((id.clone(), feed.upgrade()?))).collect()
        };
        feeds.into_iter().map(|(id, feed)| Advertiser::new(id, feed.watchers())).collect()
    }

    fn feed(&self, advertiser_id: &AdvertiserId, watcher: &Caller) -> Arc<Feed> {
        let mut feeds = lock(&self.feeds);
        if let Some(feed) = feeds.get(advertiser_id).and_then(Weak::upgrade) {
            return feed;
        }
        let channel = Keys::new(&self.source.prefix, advertiser_id).channel;
        let source = self.source.clone();
        let watcher = watcher.holders(Some(advertiser_id));
        let feed = self.follow(channel, |events, needs_resync| {
            Feed::start(advertiser_id, source, watcher, events, needs_resync)
        });
        feeds.retain(|_, feed| feed.strong_count() > 0);
        feeds.insert(advertiser_id.clone(), Arc::downgrade(&feed));
        feed
    }

    /// Starts the follower of a channel, and leaves the channel when the follower ends.
    pub(crate) fn follow<T>(
        &self,
        channel: String,
        start: impl FnOnce(mpsc::Receiver<Event>, Arc<AtomicBool>) -> (T, JoinHandle<()>),
    ) -> T {
        let (events, received) = mpsc::channel(MAX_EVENTS);
        let needs_resync = Arc::new(AtomicBool::new(false));
        let (follower, ended) = start(received, Arc::clone(&needs_resync));
        let requests = self.requests.clone();
        self.request(Request::Follow { channel: channel.clone(), events, needs_resync });
        tokio::spawn(async move {
            // However it ended, its receiver is gone, and without a subscriber the server is stopping.
            let _ = ended.await;
            let _ = requests.send(Request::Leave { channel });
        });
        follower
    }

    fn request(&self, request: Request) {
        if self.requests.send(request).is_err() {
            tracing::debug!("the subscriber has stopped");
        }
    }
}

fn lock(feeds: &Feeds) -> MutexGuard<'_, HashMap<AdvertiserId, Weak<Feed>>> {
    feeds.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Invalidates all feeds, so that they read the database again, when an aggregator says, by a new feed generation,
/// that messages of any may have been lost; also when the generation is first known, for feeds that began before.
async fn follow_generations(feeds: Feeds, mut redis: Connection, key: String) {
    let mut every = interval(CHECK_GENERATION);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<Option<String>> = None;
    loop {
        every.tick().await;
        // Away: feeds are read again when it is back.
        let Ok(generation) = redis.get::<_, Option<String>>(&key).await else { continue };
        if known.as_ref() != Some(&generation) {
            lock(&feeds).values().filter_map(Weak::upgrade).for_each(|feed| feed.invalidate());
            known = Some(generation);
        }
    }
}
