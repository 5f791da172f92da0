//! Publishing what changed, one feed an advertiser, over Redis.
//!
//! Publishing never holds up counting. What can't be published is lost, and its feed gets a new epoch as
//! soon as Redis takes one: gateways compare their position with the feed's high-water mark every second or so, find
//! another epoch, and read the database again. An aggregator that starts begins a new feed generation, which is the
//! same for every feed at once; so does one that finds clicks counted which another has not acknowledged,
//! or which it has committed itself without an answer: nobody may have published what they changed of
//! other minutes than their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clickwire_process::{failpoint, now_ms, redis::Connection};
use clickwire_protocol::{
    counts::MinuteCell,
    feed::{HIGH_WATER_MARK_LIFETIME_SECONDS, Keys, PUBLISH, alerts_channel, generation_key, watermark_key},
    ids::AdvertiserId,
    storage::{Housekeeping, housekeeping_key},
    times::UnixMs,
};
use futures_util::future::join_all;
use redis::{AsyncCommands as _, RedisError, RedisResult};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::health::{Health, Service};

/// Cells in one message: about 100 KB.
const CELLS: usize = 500;

/// Publishes to the feeds of all advertisers.
#[derive(Clone)]
pub(crate) struct Feed {
    redis: Connection,
    prefix: Arc<str>,
    lost: Arc<Mutex<Lost>>,
    health: Arc<Health>,
}

/// Changes that were not published, or may not have been, and whose loss has not been announced yet.
#[derive(Default)]
struct Lost {
    /// The loss may concern every feed.
    any: bool,
    /// Advertisers whose feeds may have lost changes.
    advertisers: BTreeSet<AdvertiserId>,
    /// Redis, or a node of it, did not answer: nobody waits for it again before it does.
    is_silent: bool,
}

impl Feed {
    pub(crate) fn new(redis_url: &str, prefix: &str, health: Arc<Health>) -> RedisResult<Self> {
        let redis = Connection::open(redis_url)?;
        Ok(Self { redis, prefix: prefix.into(), lost: Arc::default(), health })
    }

    fn lost(&self) -> MutexGuard<'_, Lost> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes cells; failing that, remembers which feeds need a new epoch.
    pub(crate) async fn publish(&self, cells: &BTreeMap<AdvertiserId, Vec<MinuteCell>>) {
        failpoint::reached_after("half_published", async || {
            join_all(cells.iter().take(cells.len() / 2).map(|(id, cells)| self.try_publish(id, cells))).await;
        })
        .await;
        let waiting: Vec<_> = {
            let mut lost = self.lost();
            if lost.is_silent {
                lost.advertisers.extend(cells.keys().cloned());
                return;
            }
            cells.iter().filter(|(id, _)| !lost.advertisers.contains(*id)).collect()
        };
        let published = waiting.iter().map(async |(id, cells)| (*id, self.try_publish(id, cells).await));
        let failed =
            join_all(published).await.into_iter().filter_map(|(id, result)| Some((id, result.err()?)));
        self.note(failed.map(|(id, error)| (id.clone(), error)));
    }

    /// Takes what failed into the books.
    fn note(&self, failed: impl Iterator<Item = (AdvertiserId, RedisError)>) {
        let mut lost = self.lost();
        for (advertiser_id, error) in failed {
            if lost.advertisers.is_empty() {
                tracing::warn!(%error, "redis: changes were not published; dashboards will read the database again");
                self.health.waiting_for(Service::Redis, &error);
            }
            lost.is_silent |= error.is_timeout();
            lost.advertisers.insert(advertiser_id);
        }
    }

    async fn try_publish(&self, advertiser_id: &AdvertiserId, cells: &[MinuteCell]) -> RedisResult<()> {
        let mut keys = Keys::new(&self.prefix, advertiser_id);
        if failpoint::is_hit("unheard") {
            keys.channel += ":nobody";
        }
        let mut pipeline = redis::pipe();
        for cells in cells.chunks(CELLS) {
            let cells = serde_json::to_string(cells).map_err(std::io::Error::other)?;
            pipeline
                .cmd("EVAL")
                .arg(PUBLISH)
                .arg(2)
                .arg(&keys.high_water_mark)
                .arg(&keys.channel)
                .arg(cells)
                .arg(Uuid::now_v7().to_string())
                .arg(HIGH_WATER_MARK_LIFETIME_SECONDS)
                .arg(now_ms())
                .ignore();
        }
        pipeline.query_async(&mut self.redis.clone()).await
    }

    /// Tells gateways that there is news about incidents up to `seq`; whether it was said.
    pub(crate) async fn announce_alerts(&self, seq: i64) -> bool {
        let said = self.redis.clone().spublish::<_, _, ()>(alerts_channel(&self.prefix), seq).await;
        said.inspect_err(|error| tracing::debug!(%error, "redis: news about incidents was not announced"))
            .is_ok()
    }

    /// Tells gateways up to when the deployment is counted. Not while something that is counted may not have been
    /// published: screens would call themselves complete without it.
    pub(crate) async fn tell_watermark(&self, counted_until: UnixMs) {
        {
            let lost = self.lost();
            if lost.any || !lost.advertisers.is_empty() {
                return;
            }
        }
        let told = self.redis.clone().set::<_, _, ()>(watermark_key(&self.prefix), counted_until.0).await;
        if let Err(error) = told {
            tracing::debug!(%error, "redis: the watermark was not told");
        }
    }

    /// Tells servers of a round of housekeeping. Without Redis nobody hears of it; the next round is told again.
    pub(crate) async fn tell_housekeeping(&self, round: &Housekeeping) {
        let text = serde_json::to_string(round).unwrap_or_default();
        let told = self.redis.clone().set::<_, _, ()>(housekeeping_key(&self.prefix), text).await;
        if let Err(error) = told {
            tracing::debug!(%error, "redis: the round of housekeeping was not told");
        }
    }

    /// Begins a new feed generation, now or as soon as [`Feed::run`] reaches Redis.
    pub(crate) async fn renew_all(&self) {
        self.renew_soon();
        self.renew_lost().await;
    }

    /// Makes [`Feed::run`] begin a new feed generation, once for all that ask for it meanwhile.
    pub(crate) fn renew_soon(&self) {
        self.lost().any = true;
    }

    /// Says of every feed that needs it that something was not published; whether all has been said.
    pub(crate) async fn renew_lost(&self) -> bool {
        // First: what fails to be published meanwhile must be remembered.
        let (any, advertisers) = {
            let mut lost = self.lost();
            (mem::take(&mut lost.any), mem::take(&mut lost.advertisers))
        };
        if !any && advertisers.is_empty() {
            return true;
        }
        let mut failure = None;
        if any && let Err(error) = self.begin_generation().await {
            self.renew_soon();
            failure = Some(error);
        }
        let renewed = advertisers.into_iter().map(async |id| (self.begin_epoch(&id).await, id));
        let failed: Vec<_> = join_all(renewed)
            .await
            .into_iter()
            .filter_map(|(result, id)| Some((id, result.err()?)))
            .collect();
        let mut lost = self.lost();
        for (advertiser_id, error) in failed {
            lost.advertisers.insert(advertiser_id);
            failure = Some(error);
        }
        lost.is_silent = failure.as_ref().is_some_and(RedisError::is_timeout);
        match &failure {
            None => self.health.works(Service::Redis),
            Some(error) => self.health.waiting_for(Service::Redis, error),
        }
        failure.is_none()
    }

    async fn begin_generation(&self) -> RedisResult<()> {
        self.redis.clone().set(generation_key(&self.prefix), Uuid::now_v7().to_string()).await
    }

    /// A feed without a high-water mark is at the start of an epoch that the next message, or gateway, names.
    async fn begin_epoch(&self, advertiser_id: &AdvertiserId) -> RedisResult<()> {
        self.redis.clone().unlink(Keys::new(&self.prefix, advertiser_id).high_water_mark).await
    }

    /// Makes up for what was not published, as soon as Redis answers again.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut every = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return Ok(()) }
            self.renew_lost().await;
        }
    }
}
