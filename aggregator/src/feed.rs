//! Publishing what changed, one feed an advertiser, over Redis.
//!
//! Publishing never holds up counting. When Redis is away, messages are lost, and every feed gets a
//! new epoch as soon as it is back: gateways compare their position with the feed's head every
//! second or so, find another epoch, and read the database again. An aggregator does the same when
//! it starts, for the one before it may have died between commit and publish.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_protocol::{counts::MinuteCell, feed::Keys};
use redis::{
    AsyncCommands as _, Client, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Cells in one message: about 100 KB.
const CELLS: usize = 500;

/// A feed that nothing was published on for so long is forgotten.
const HEAD_LIFETIME_SECONDS: u64 = 24 * 3600;

/// Gives the message its place in the feed and publishes it, in one step.
const PUBLISH: &str = r#"
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[2])
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
local epoch = redis.call('HGET', KEYS[1], 'epoch')
redis.call('PUBLISH', KEYS[2], string.format('{"epoch":"%s","seq":%d,"cells":', epoch, seq) .. ARGV[1] .. '}')
return seq
"#;

/// Publishes to the feeds of all advertisers.
#[derive(Clone)]
pub(crate) struct Feed {
    redis: ConnectionManager,
    prefix: Arc<str>,
    /// Something was not published, and no new epoch has said so yet.
    lost: Arc<AtomicBool>,
}

impl Feed {
    pub(crate) fn new(redis_url: &str, prefix: &str) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(1)))
            .set_number_of_retries(1);
        let redis = ConnectionManager::new_lazy_with_config(Client::open(redis_url)?, config)?;
        Ok(Self { redis, prefix: prefix.into(), lost: Arc::default() })
    }

    /// Publishes cells; failing that, remembers that every feed needs a new epoch.
    pub(crate) async fn publish(&self, cells: &BTreeMap<String, Vec<MinuteCell>>) {
        if cells.is_empty() || self.lost.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.try_publish(cells).await {
            tracing::warn!(%error, "redis: changes were not published; dashboards will read the database again");
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    async fn try_publish(&self, cells: &BTreeMap<String, Vec<MinuteCell>>) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for (advertiser_id, cells) in cells {
            let keys = Keys::new(&self.prefix, advertiser_id);
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
                    .ignore();
            }
        }
        pipeline.query_async(&mut self.redis.clone()).await
    }

    /// Begins a new epoch on every feed, now or as soon as [`Feed::run`] reaches Redis.
    pub(crate) async fn renew_all(&self) {
        // First: what fails to be published meanwhile must be remembered.
        self.lost.store(false, Ordering::Relaxed);
        if let Err(error) = self.try_renew_all().await {
            self.lost.store(true, Ordering::Relaxed);
            tracing::debug!(%error, "redis: no new epoch yet");
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
            if self.lost.load(Ordering::Relaxed) {
                self.renew_all().await;
            }
        }
    }
}
