//! Publishing what changed, one feed an advertiser, over Redis.
//!
//! Publishing never holds up counting. What can't be published is lost, and its feed gets a new epoch as
//! soon as Redis takes one: gateways compare their position with the feed's high-water mark every second or so, find
//! another epoch, and read the database again. An aggregator that starts begins a new feed generation, which is the
//! same for every feed at once; so does one that finds clicks counted which another has not acknowledged,
//! or which it has committed itself without an answer: nobody may have published what they changed of
//! other minutes than their own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clickwire_process::{
    failpoint, now_ms,
    redis::{Connection, slot},
};
use clickwire_protocol::{
    counts::MinuteCell,
    feed::{
        HIGH_WATER_MARK_LIFETIME_SECONDS, Keys, PUBLISH, Watermark, alerts_channel, generation_key, part,
        watermark_keys,
    },
    ids::AdvertiserId,
    storage::{Housekeeping, housekeeping_key},
    times::UnixMs,
};
use futures_util::future::join_all;
use redis::{AsyncCommands as _, RedisError, RedisResult};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::health::{Health, Service};

/// Time from a commit that others can see to the entry of what it changed in our books.
const ENTERED_WITHIN: Duration = Duration::from_millis(50);

/// Time for which the watermark waits for what is being published, and between two looks at it.
const PUBLISHED_WITHIN: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Attempts of a program that ends to announce what it could not publish, and the wait after each. A Redis
/// that is away for longer has everything read again when it is back.
const LAST_TRIES: u32 = 4;
const TRY_AGAIN: Duration = Duration::from_millis(250);

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
    /// Losses, and what was begun to be published, so far: what is announced is the loss with a number, not a later one.
    losses: u64,
    /// The last loss that may concern every feed.
    any: Option<u64>,
    /// Advertisers whose feeds may have lost changes, and the last loss of each.
    advertisers: BTreeMap<AdvertiserId, u64>,
    /// The advertisers whose changes are being published, by number.
    under_way: BTreeMap<u64, Vec<AdvertiserId>>,
}

/// Changes that Redis has not taken yet; they are lost when this is dropped before it says otherwise.
struct UnderWay<'a> {
    feed: &'a Feed,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut lost = self.feed.lost();
        for advertiser_id in lost.under_way.remove(&self.number).unwrap_or_default() {
            lost.add(advertiser_id);
        }
    }
}

impl Lost {
    fn add(&mut self, advertiser_id: AdvertiserId) {
        self.losses += 1;
        self.advertisers.insert(advertiser_id, self.losses);
    }

    fn add_any(&mut self) {
        self.losses += 1;
        self.any = Some(self.losses);
    }

    fn begin(&mut self, advertisers: Vec<AdvertiserId>) -> u64 {
        self.losses += 1;
        self.under_way.insert(self.losses, advertisers);
        self.losses
    }

    /// The loss of an advertiser's changes with this number has been announced.
    fn announced(&mut self, advertiser_id: &AdvertiserId, number: u64) {
        if self.advertisers.get(advertiser_id) == Some(&number) {
            self.advertisers.remove(advertiser_id);
        }
    }
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
        let (under_way, waiting) = {
            let mut lost = self.lost();
            let (lost_before, waiting): (Vec<_>, Vec<_>) =
                cells.iter().partition(|(id, _)| lost.advertisers.contains_key(*id));
            lost_before.into_iter().for_each(|(id, _)| lost.add(id.clone()));
            let number = lost.begin(waiting.iter().map(|(id, _)| (*id).clone()).collect());
            (UnderWay { feed: self, number }, waiting)
        };
        let published = waiting.iter().map(async |(id, cells)| (*id, self.try_publish(id, cells).await));
        let failed =
            join_all(published).await.into_iter().filter_map(|(id, result)| Some((id, result.err()?)));
        self.note(&under_way, failed.map(|(id, error)| (id.clone(), error)));
    }

    /// Takes into the books what has failed of what was under way.
    fn note(&self, under_way: &UnderWay<'_>, failed: impl Iterator<Item = (AdvertiserId, RedisError)>) {
        let mut lost = self.lost();
        lost.under_way.remove(&under_way.number);
        for (advertiser_id, error) in failed {
            if lost.advertisers.is_empty() {
                tracing::warn!(%error, "redis: changes were not published; dashboards will read the database again");
                self.health.waiting_for(Service::Redis, &error);
            }
            lost.add(advertiser_id);
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

    /// Tells gateways up to when the deployment is counted, as was read from the database just now, and which feeds may
    /// miss something of it: their screens would call themselves complete without it.
    pub(crate) async fn tell_watermark(&self, counted_until: UnixMs) {
        tokio::time::sleep(ENTERED_WITHIN).await;
        let begun = self.lost().losses;
        let waited = Instant::now();
        let is_under_way = |lost: &Lost| lost.under_way.range(..=begun).next().is_some();
        while is_under_way(&self.lost()) && waited.elapsed() < PUBLISHED_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let without = {
            let lost = self.lost();
            if lost.any.is_some() {
                return;
            }
            let under_way = lost.under_way.range(..=begun).flat_map(|(_, advertisers)| advertisers);
            let incomplete = lost.advertisers.keys().chain(under_way);
            incomplete.fold(0, |parts, id| parts | 1 << part(slot(self.mark_of(id).as_bytes())))
        };
        let watermark = Watermark { counted_until, without }.to_string();
        let told = watermark_keys(&self.prefix)
            .map(async |key| self.redis.clone().set::<_, _, ()>(key, &watermark).await);
        if let Some(error) = join_all(told).await.into_iter().find_map(Result::err) {
            tracing::debug!(%error, "redis: the watermark was not told, or not everywhere");
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
        self.lost().add_any();
    }

    /// Says of every feed that needs it that something was not published; whether all has been said.
    pub(crate) async fn renew_lost(&self) -> bool {
        let (any, advertisers) = {
            let lost = self.lost();
            (lost.any, lost.advertisers.clone())
        };
        if any.is_none() && advertisers.is_empty() {
            return true;
        }
        let mut failure = None;
        if any.is_some() {
            match self.begin_generation().await {
                Ok(()) => {
                    let mut lost = self.lost();
                    // What was lost meanwhile is announced by the next.
                    lost.any = lost.any.filter(|last| Some(*last) != any);
                }
                Err(error) => failure = Some(error),
            }
        }
        let renewed = advertisers.iter().map(async |(id, number)| (self.begin_epoch(id).await, id, *number));
        for (result, advertiser_id, number) in join_all(renewed).await {
            match result {
                Ok(()) => self.lost().announced(advertiser_id, number),
                Err(error) => failure = Some(error),
            }
        }
        match &failure {
            None => self.health.works(Service::Redis),
            Some(error) => self.health.waiting_for(Service::Redis, error),
        }
        failure.is_none()
    }

    /// The same, some times, before a program ends: what was not published nobody else would know of.
    pub(crate) async fn renew_to_the_end(&self) {
        for _ in 0..LAST_TRIES {
            if self.renew_lost().await {
                return;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn begin_generation(&self) -> RedisResult<()> {
        self.redis.clone().set(generation_key(&self.prefix), Uuid::now_v7().to_string()).await
    }

    /// A feed without a high-water mark is at the start of an epoch that the next message, or gateway, names.
    async fn begin_epoch(&self, advertiser_id: &AdvertiserId) -> RedisResult<()> {
        self.redis.clone().unlink(self.mark_of(advertiser_id)).await
    }

    fn mark_of(&self, advertiser_id: &AdvertiserId) -> String {
        Keys::new(&self.prefix, advertiser_id).high_water_mark
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_open_until_the_last_of_it_is_announced() {
        let id = AdvertiserId::unchecked("adv_001");
        let mut lost = Lost::default();
        lost.add(id.clone());
        let first = lost.advertisers[&id];
        // While the first is being announced, something else is lost.
        lost.add(id.clone());
        lost.announced(&id, first);
        assert_eq!(lost.advertisers.len(), 1);
        let second = lost.advertisers[&id];
        lost.announced(&id, second);
        assert!(lost.advertisers.is_empty());
    }
}
