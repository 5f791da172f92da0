//! Publishing what changed, one feed an advertiser, over Redis.
//!
//! Publishing never holds up counting. When Redis is away, messages are lost, and every feed gets a
//! new epoch as soon as it is back: gateways compare their position with the feed's head every
//! second or so, find another epoch, and read the database again. The same is done by an aggregator
//! that starts, and by one that gets clicks which another has counted and not acknowledged: that one
//! may have died between commit and publish, and changed other minutes than the clicks' own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{now_ms, redis::Connection};
use clickwire_protocol::{
    counts::MinuteCell,
    feed::{HEAD_LIFETIME_SECONDS, Keys, PUBLISH, alerts_channel},
};
use redis::{AsyncCommands as _, Client, RedisResult};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    failpoint,
    health::{Health, Service},
};

/// Cells in one message: about 100 KB.
const CELLS: usize = 500;

/// Publishes to the feeds of all advertisers.
#[derive(Clone)]
pub(crate) struct Feed {
    redis: Connection,
    prefix: Arc<str>,
    /// Something was not published, or may not have been, and no new epoch has said so yet.
    lost: Arc<AtomicBool>,
    health: Arc<Health>,
}

impl Feed {
    pub(crate) fn new(redis_url: &str, prefix: &str, health: Arc<Health>) -> RedisResult<Self> {
        let redis = Connection::new(Client::open(redis_url)?)?;
        Ok(Self { redis, prefix: prefix.into(), lost: Arc::default(), health })
    }

    /// Publishes cells; failing that, remembers that every feed needs a new epoch.
    pub(crate) async fn publish(&self, cells: &BTreeMap<String, Vec<MinuteCell>>) {
        if cells.is_empty() || self.lost.load(Ordering::Relaxed) {
            return;
        }
        failpoint::reached_after("half_published", async || {
            let half = cells.iter().take(cells.len() / 2).map(|(id, cells)| (id.clone(), cells.clone()));
            drop(self.try_publish(&half.collect()).await);
        })
        .await;
        if let Err(error) = self.try_publish(cells).await {
            tracing::warn!(%error, "redis: changes were not published; dashboards will read the database again");
            self.lost.store(true, Ordering::Relaxed);
            self.health.waiting_for(Service::Redis, &error);
        }
    }

    async fn try_publish(&self, cells: &BTreeMap<String, Vec<MinuteCell>>) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for (advertiser_id, cells) in cells {
            let mut keys = Keys::new(&self.prefix, advertiser_id);
            if failpoint::is_hit("unheard") {
                keys.channel += ":nobody";
            }
            for cells in cells.chunks(CELLS) {
                let cells = serde_json::to_string(cells).map_err(std::io::Error::other)?;
                pipeline
                    .cmd("EVAL")
                    .arg(PUBLISH)
                    .arg(2)
                    .arg(&keys.head)
                    .arg(&keys.channel)
                    .arg(cells)
                    .arg(Uuid::now_v7().to_string())
                    .arg(HEAD_LIFETIME_SECONDS)
                    .arg(now_ms())
                    .ignore();
            }
        }
        pipeline.query_async(&mut self.redis.clone()).await
    }

    /// Tells gateways that there is news about incidents up to `seq`; whether it was said.
    pub(crate) async fn announce_alerts(&self, seq: i64) -> bool {
        let said = self.redis.clone().publish::<_, _, ()>(alerts_channel(&self.prefix), seq).await;
        said.inspect_err(|error| tracing::debug!(%error, "redis: news about incidents was not announced"))
            .is_ok()
    }

    /// Begins a new epoch on every feed, now or as soon as [`Feed::run`] reaches Redis.
    pub(crate) async fn renew_all(&self) {
        // First: what fails to be published meanwhile must be remembered.
        self.lost.store(false, Ordering::Relaxed);
        match self.try_renew_all().await {
            Ok(()) => self.health.works(Service::Redis),
            Err(error) => {
                self.lost.store(true, Ordering::Relaxed);
                self.health.waiting_for(Service::Redis, &error);
            }
        }
    }

    /// Has [`Feed::run`] begin a new epoch on every feed, once for all that ask for it meanwhile.
    pub(crate) fn renew_soon(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Begins a new epoch on every feed if something was not published.
    pub(crate) async fn renew_if_lost(&self) {
        if self.lost.load(Ordering::Relaxed) {
            self.renew_all().await;
        }
    }

    /// A feed without a head is at the start of an epoch that the next message names.
    async fn try_renew_all(&self) -> RedisResult<()> {
        let mut redis = self.redis.clone();
        let pattern = Keys::new(&self.prefix, "*").head;
        let mut heads: Vec<String> = Vec::new();
        {
            let mut found = redis.scan_match::<_, String>(&pattern).await?;
            while let Some(head) = found.next_item().await {
                heads.push(head?);
            }
        }
        for head in heads {
            redis.unlink::<_, ()>(head).await?;
        }
        Ok(())
    }

    /// Renews the epochs after an outage, as soon as Redis answers again.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut every = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return Ok(()) }
            self.renew_if_lost().await;
        }
    }
}
