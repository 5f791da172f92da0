//! Ads in Redis, for all servers: what one has read the others need not ask the database for; and the channel on
//! which changes are announced.
//!
//! An ad that has changed is held empty for longer than any look-up takes, and nothing is put where
//! something is: so no server can put back what it read before the change. When Redis fails, the database is asked.

use clickwire_process::redis::Connection;
use clickwire_protocol::ids::AdId;
use futures_util::future::try_join_all;
use redis::{AsyncCommands as _, ExistenceCheck, RedisResult, SetExpiry, SetOptions};

use super::ad::Row;

/// Seconds for which an ad is kept: for as long it may be wrong, if a change could not be announced.
const KEPT_SECONDS: u64 = 60;

/// Seconds for which an ad that has changed is held empty.
const HELD_SECONDS: u64 = 5;

/// Changes announced in one go.
const CHUNK: usize = 500;

#[derive(Clone)]
pub(super) struct Shared {
    redis: Connection,
    prefix: String,
}

impl Shared {
    pub(super) fn new(redis: Connection, prefix: &str) -> Self {
        Self { redis, prefix: prefix.to_owned() }
    }

    /// The channel whose messages are ids of ads that have changed.
    pub(super) fn channel(&self) -> String {
        format!("{}:ads", self.prefix)
    }

    fn key(&self, ad_id: &AdId) -> String {
        format!("{}:ad:{ad_id}", self.prefix)
    }

    /// The ad in Redis; `None` also if Redis is away or holds the ad empty.
    pub(super) async fn get(&self, ad_id: &AdId) -> Option<Row> {
        let kept: RedisResult<Option<String>> = self.redis.clone().get(self.key(ad_id)).await;
        let kept = kept.inspect_err(|error| tracing::debug!(%error, "redis: no ad")).ok().flatten();
        kept.filter(|text| !text.is_empty()).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// Keeps an ad that the database has, unless the key is in use.
    pub(super) async fn put(&self, ad_id: &AdId, row: &Row) {
        let Ok(text) = serde_json::to_string(row) else { return };
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::EX(KEPT_SECONDS));
        let put: RedisResult<()> = self.redis.clone().set_options(self.key(ad_id), text, options).await;
        if let Err(error) = put {
            tracing::debug!(%error, "redis: an ad is not kept");
        }
    }

    /// Makes all servers ask the database.
    pub(super) async fn hold_empty(&self, ad_id: &AdId) {
        let held: RedisResult<()> = self.redis.clone().set_ex(self.key(ad_id), "", HELD_SECONDS).await;
        if let Err(error) = held {
            tracing::debug!(%error, "redis: an ad is not held empty");
        }
    }

    /// Tells every server that ads have changed.
    pub(super) async fn announce(&self, ad_ids: &[AdId]) -> RedisResult<()> {
        let channel = self.channel();
        for ad_ids in ad_ids.chunks(CHUNK) {
            // First: who hears of it must not find what was there before.
            let held = ad_ids.iter().map(async |ad_id| {
                self.redis.clone().set_ex::<_, _, ()>(self.key(ad_id), "", HELD_SECONDS).await
            });
            try_join_all(held).await?;
            let mut announced = redis::pipe();
            for ad_id in ad_ids {
                announced.spublish(&channel, ad_id.as_str()).ignore();
            }
            announced.query_async::<()>(&mut self.redis.clone()).await?;
        }
        Ok(())
    }
}
