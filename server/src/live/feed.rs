//! One advertiser's live state: the recent minute cells, and the views computed from them.
//!
//! The state is loaded from the database once, however many dashboards arrive, and kept up by the
//! feed over Redis. The order makes it right: subscribe, read the feed's head, read the database.
//! What is published later comes with a higher version than what was read. Whenever something may
//! have been missed (a gap, another epoch, a new connection to Redis, a head that is ahead of us)
//! the database is read again; only differences are passed on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{Backoff, now_ms, redis::Connection};
use clickwire_protocol::{
    MINUTE_MS,
    counts::{Counts, Dimensions, MinuteCell},
    feed::{BEGIN, Delta, HEAD_LIFETIME_SECONDS, Keys, Position, era_key},
    live::{MAX_WINDOW_MINUTES, View},
};
use rand::RngExt as _;
use redis::{AsyncCommands as _, RedisError};
use sqlx::FromRow as _;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{
    access::Scope,
    database::{self, Tenants},
    live::{
        cells::{Cells, Ticked},
        frame::InFlight,
        listeners::Listeners,
        view::SharedView,
    },
};

/// How often the feed's head is compared with what has come: a lost last message leaves no gap.
const CHECK_HEAD: Duration = Duration::from_millis(1_500);

/// A message that the head counts may still be on its way to us for so long.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Subscribing takes less when Redis is there.
const SUBSCRIBED_WITHIN: Duration = Duration::from_millis(250);

/// How long a load that failed waits, at most: less than screens may be behind.
const RETRY_WITHIN: Duration = Duration::from_secs(1);

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

#[derive(Debug, Error)]
enum LoadError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
}

impl Feed {
    /// Starts to follow an advertiser. `suspect` is set when events were dropped.
    pub(crate) fn start(
        advertiser_id: &str,
        source: Source,
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
        let follower = Follower {
            advertiser_id: advertiser_id.to_owned(),
            feed: Arc::downgrade(&feed),
            listeners,
            lag: metrics::histogram!("clickwire_live_lag_seconds"),
            source,
            suspect,
        };
        let ended = tokio::spawn(async move {
            tokio::select! { () = follower.run(events) => {}, () = stop.cancelled() => {} }
        });
        (feed, ended)
    }

    /// The state of `view`, shared with every other session that watches an equal one; `None` if the
    /// advertiser is watched in too many different ways.
    pub(crate) fn view(&self, view: View) -> Option<SharedView> {
        self.cells().view(view, now_minute())
    }

    /// Those that are told as soon as there is something to tell.
    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// What is encoded for its sessions.
    pub(super) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Has the database read again: messages may have been lost.
    pub(super) fn doubt(&self) {
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
}

impl Follower {
    async fn run(self, mut events: mpsc::Receiver<Event>) {
        let mut tick = tokio::time::interval(self.source.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let share: f64 = rand::rng().random_range(0.7..1.0);
        let mut check = tokio::time::interval(CHECK_HEAD.mul_f64(share));
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut backoff = Backoff::up_to(RETRY_WITHIN);
        let mut expected = None;
        // A session wants to be told later what it was not told.
        let mut is_waited_for = false;
        // What is read after the subscription need not be read again. Dashboards that arrive while Redis
        // is away are shown the database, too.
        let first = timeout(SUBSCRIBED_WITHIN, events.recv()).await;
        if let Ok(Some(Event::Message(payload))) = first {
            self.apply(&payload);
        }
        self.suspect.store(true, Ordering::Relaxed);
        loop {
            if self.suspect.swap(false, Ordering::Relaxed) {
                match self.load().await {
                    Ok(()) => backoff.reset(),
                    Err(error) => {
                        tracing::warn!(advertiser_id = self.advertiser_id, %error, "live state could not be loaded");
                        self.suspect.store(true, Ordering::Relaxed);
                        backoff.wait().await;
                        continue;
                    }
                }
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Message(payload)) => self.apply(&payload),
                    Some(Event::Subscribed) => self.suspect.store(true, Ordering::Relaxed),
                    None => return,
                },
                _ = tick.tick() => {
                    let Some(ticked) = self.tick() else { return };
                    if ticked.has_news || is_waited_for {
                        is_waited_for = self.listeners.tell().await;
                    }
                    if let Some(published_ms) = ticked.published_ms {
                        self.lag.record(now_ms().saturating_sub(published_ms).max(0) as f64 / 1e3);
                    }
                }
                _ = check.tick() => {
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

    /// Takes a message's cells; a message that does not follow the last one makes us read again.
    fn apply(&self, payload: &[u8]) {
        let Some(feed) = self.feed.upgrade() else { return };
        let delta: Delta = match serde_json::from_slice(payload) {
            Ok(delta) => delta,
            Err(error) => {
                tracing::warn!(advertiser_id = self.advertiser_id, %error, "a message of the feed can't be read");
                self.suspect.store(true, Ordering::Relaxed);
                return;
            }
        };
        if !feed.cells().apply(delta, now_ms().div_euclid(1_000)) {
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

    /// The feed's head, which is begun if there is none: else a feed that an aggregator begins anew, by
    /// deleting the head, would look like one that has not begun yet. One of an older era is begun anew:
    /// who comes from there must not resume as if nothing had been lost since.
    async fn begin(&self) -> Result<Position, RedisError> {
        let mut redis = self.source.redis.clone();
        // A cluster may have it on a shard that is away while the feed's own is not.
        let era: Option<String> = redis.get(era_key(&self.source.prefix)).await.unwrap_or_default();
        let mut begin = redis::cmd("EVAL");
        begin.arg(BEGIN).arg(1).arg(Keys::new(&self.source.prefix, &self.advertiser_id).head);
        begin.arg(era.unwrap_or_default()).arg(Uuid::now_v7().to_string()).arg(HEAD_LIFETIME_SECONDS);
        let (epoch, seq): (String, u64) = begin.query_async(&mut redis).await?;
        Ok(Position { epoch, seq })
    }

    /// Like [`Self::begin`], but never behind where we have been: a Redis that lost its last messages gives
    /// their numbers to others, and who saw the first must not resume as if they were the second.
    async fn begin_where_we_are(&self) -> Result<Position, RedisError> {
        let head = self.begin().await?;
        let Some(feed) = self.feed.upgrade() else { return Ok(head) };
        let ours = feed.cells().position().clone();
        if head.epoch != ours.epoch || head.seq >= ours.seq {
            return Ok(head);
        }
        let key = Keys::new(&self.source.prefix, &self.advertiser_id).head;
        let _: () = self.source.redis.clone().unlink(key).await?;
        self.begin().await
    }

    /// Reads everything that a window can hold. Without Redis the state has no position: it can't be
    /// resumed from, and is read again when Redis is back.
    async fn load(&self) -> Result<(), LoadError> {
        let position = match self.begin_where_we_are().await {
            Ok(position) => position,
            Err(error) => {
                let Some(feed) = self.feed.upgrade() else { return Ok(()) };
                if feed.cells().is_loaded() {
                    return Err(error.into());
                }
                Position::default()
            }
        };
        metrics::counter!("clickwire_live_loads_total").increment(1);
        let first_minute = now_minute() - i64::from(MAX_WINDOW_MINUTES) + 1;
        let since =
            OffsetDateTime::from_unix_timestamp(first_minute * 60).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let rows = sqlx::query(
            "SELECT bucket, campaign_id, ad_id, country, device_type, version, \
                    valid, duplicate, givt, sivt, test, defective \
               FROM click_minutes WHERE advertiser_id = $1 AND bucket >= $2 ORDER BY bucket DESC LIMIT $3",
        )
        .bind(&self.advertiser_id)
        .bind(since)
        .bind(self.source.cells_max as i64);
        // Whoever watches has been asked whether it may: the feed is of this one advertiser.
        let scope = Scope::Advertisers(vec![self.advertiser_id.clone()]);
        let mut tenants = self.source.tenants.begin(&scope).await?;
        let rows = database::answer(rows.fetch_all(&mut *tenants)).await?;
        let cells = rows.iter().map(CellRow::from_row).collect::<Result<Vec<_>, _>>()?;
        let mut cells = cells.into_iter().map(MinuteCell::try_from).collect::<Result<Vec<_>, _>>()?;
        if cells.len() >= self.source.cells_max {
            // The limit may have cut the oldest minute in two.
            let oldest = cells.last().map(|cell| cell.minute);
            cells.retain(|cell| Some(cell.minute) != oldest);
        }
        let Some(feed) = self.feed.upgrade() else { return Ok(()) };
        feed.cells().replace(position, cells);
        Ok(())
    }
}

fn now_minute() -> i64 {
    now_ms().div_euclid(MINUTE_MS)
}

/// A row of `click_minutes`.
#[derive(sqlx::FromRow)]
struct CellRow {
    bucket: OffsetDateTime,
    campaign_id: String,
    ad_id: String,
    country: String,
    device_type: String,
    version: i64,
    valid: i64,
    duplicate: i64,
    givt: i64,
    sivt: i64,
    test: i64,
    defective: i64,
}

impl TryFrom<CellRow> for MinuteCell {
    type Error = sqlx::Error;

    fn try_from(row: CellRow) -> Result<Self, sqlx::Error> {
        let device_type = row.device_type.parse().map_err(|error| sqlx::Error::ColumnDecode {
            index: "device_type".to_owned(),
            source: Box::<clickwire_protocol::counts::UnknownDeviceType>::new(error),
        })?;
        Ok(Self {
            minute: row.bucket.unix_timestamp().div_euclid(60),
            dimensions: Dimensions {
                campaign_id: row.campaign_id,
                ad_id: row.ad_id,
                country: row.country,
                device_type,
            },
            version: row.version,
            counts: Counts {
                valid: row.valid,
                duplicate: row.duplicate,
                givt: row.givt,
                sivt: row.sivt,
                test: row.test,
                defective: row.defective,
            },
        })
    }
}
