//! The task that keeps a feed's state up to date: it does what [`Resync`] decides, and waits for nothing that
//! would keep a message from being applied.

use std::{
    future::pending,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::now_ms;
use clickwire_protocol::{
    feed::{Delta, Keys, Position},
    finality::Progress,
    ids::AdvertiserId,
    times::UnixMs,
};
use rand::RngExt as _;
use redis::{AsyncCommands as _, RedisError};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    Event, Feed, Source,
    cells::Ticked,
    load::{Loaded, Loader, Loading},
    now_minute,
    progress::{Contained, part_of},
    resync::Resync,
};
use crate::live::session::subscribers::Subscribers;

/// Time between two comparisons of the feed's high-water mark with what has come: a lost last message leaves no gap.
const CHECK_HIGH_WATER_MARK: Duration = Duration::from_millis(1_500);

/// Time allowed for a message that the high-water mark counts and that is still on its way to us.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// The longest wait for the subscription; with Redis there, it takes less.
const SUBSCRIBED_WITHIN: Duration = Duration::from_millis(250);

/// The task that keeps a feed's state up to date.
pub(super) struct Follower {
    pub(super) advertiser_id: AdvertiserId,
    pub(super) feed: Weak<Feed>,
    pub(super) subscribers: Subscribers,
    pub(super) source: Source,
    pub(super) needs_resync: Arc<AtomicBool>,
    pub(super) lag: metrics::Histogram,
    pub(super) loader: Loader,
}

impl Follower {
    /// Follows until the feed has ended, or nothing comes any more.
    pub(super) async fn run(self, mut events: mpsc::Receiver<Event>) {
        let period = self.source.tick;
        let mut tick = tokio::time::interval(period);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let share: f64 = rand::rng().random_range(0.7..1.0);
        let mut check = tokio::time::interval(CHECK_HIGH_WATER_MARK.mul_f64(share));
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut loading: Option<Loading> = None;
        let mut resync = Resync::default();
        let part = part_of(&self.source.prefix, &self.advertiser_id);
        let mut contained = Contained::new(self.source.watermark.read(part));
        // The mark could be read when it was last asked for: what is published is heard of.
        let mut is_heard = true;
        // A session wants to be told later what it was not told.
        let mut is_waited_for = false;
        // From then on a change is sent at once: one a tick on average, two of them half a tick apart at least.
        let mut due = Instant::now();
        let mut is_early = false;
        let mut watermark = None;
        let mut watermark_at: Option<Instant> = None;
        // What is read after the subscription need not be read again. Dashboards that arrive while Redis
        // is away are shown the database, too.
        let first = timeout(SUBSCRIBED_WITHIN, events.recv()).await;
        if let Ok(Some(Event::Message(payload))) = first {
            self.apply(&payload);
        }
        self.needs_resync.store(true, Ordering::Relaxed);
        loop {
            // While it is being read the mark belongs to the loader, which begins anew after a failure.
            if loading.is_none() && resync.begins(self.needs_resync.load(Ordering::Relaxed)) {
                loading = Some(self.loader.begin());
            }
            let is_gap = tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Message(payload)) => {
                        let follows = self.apply(&payload);
                        if !is_early && Instant::now() >= due {
                            is_early = true;
                            tick.reset_immediately();
                        }
                        follows.is_some_and(|follows| resync.message(follows))
                    }
                    Some(Event::Subscribed) => {
                        self.needs_resync.store(true, Ordering::Relaxed);
                        false
                    }
                    None => return,
                },
                loaded = ended(&mut loading) => {
                    loading = None;
                    let Some(Loaded { position, cells }) = loaded else { return };
                    let Some(feed) = self.feed.upgrade() else { return };
                    resync.loaded(feed.cells().replace(position, cells))
                }
                _ = tick.tick() => {
                    // What was published before a watermark has come within a whole tick.
                    let now = Instant::now();
                    // Timers are not exact.
                    if watermark_at.is_none_or(|at| now - at >= period.mul_f64(0.9)) {
                        watermark_at = Some(now);
                        let is_complete = is_heard && loading.is_none() && resync.is_complete();
                        watermark = contained.at_tick(self.source.watermark.read(part), is_complete);
                    }
                    let Some(ticked) = self.tick(watermark) else { return };
                    if is_early || ticked.published_at.is_some() {
                        due = (due + period).max(now + period / 2);
                        is_early = false;
                    }
                    if ticked.has_news || is_waited_for {
                        is_waited_for = self.subscribers.tell().await;
                    }
                    if let Some(published_at) = ticked.published_at {
                        let lag_ms = now_ms().saturating_sub(published_at.0).max(0);
                        self.lag.record(lag_ms as f64 / 1e3);
                    }
                    false
                }
                // What is read now will say as much.
                _ = check.tick(), if loading.is_none() => {
                    let mark = if resync.expects() {
                        None
                    } else {
                        let read = self.high_water_mark().await.ok();
                        is_heard = read.is_some();
                        read
                    };
                    let Some(feed) = self.feed.upgrade() else { return };
                    let ours = feed.cells().position().clone();
                    let is_gap = resync.checked(mark, &ours);
                    if resync.expects() {
                        check.reset_after(ON_ITS_WAY);
                    }
                    is_gap
                }
            };
            if is_gap {
                metrics::counter!("clickwire_live_gaps_total").increment(1);
            }
        }
    }

    fn tick(&self, watermark: Option<UnixMs>) -> Option<Ticked> {
        let progress = Progress::new(UnixMs(now_ms()), watermark);
        Some(self.feed.upgrade()?.cells().tick(now_minute(), self.source.cells_max, progress))
    }

    /// Takes a message's cells; returns whether it follows the last one, if it can be read.
    fn apply(&self, payload: &[u8]) -> Option<bool> {
        let feed = self.feed.upgrade()?;
        match serde_json::from_slice::<Delta>(payload) {
            Ok(delta) => Some(feed.cells().apply(delta, now_ms().div_euclid(1_000))),
            Err(error) => {
                tracing::warn!(%error, "a message of the feed can't be read");
                self.needs_resync.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    async fn high_water_mark(&self) -> Result<Position, RedisError> {
        let key = Keys::new(&self.source.prefix, &self.advertiser_id).high_water_mark;
        let (epoch, seq): (Option<String>, Option<u64>) =
            self.source.redis.clone().hmget(key, &["epoch", "seq"]).await?;
        Ok(Position { epoch: epoch.unwrap_or_default(), seq: seq.unwrap_or_default() })
    }
}

/// Ends when a reading does; `None` when the feed has ended, or it could not be read at all.
async fn ended(loading: &mut Option<Loading>) -> Option<Loaded> {
    match loading {
        Some(loading) => loading.await.ok().flatten(),
        None => pending().await,
    }
}
