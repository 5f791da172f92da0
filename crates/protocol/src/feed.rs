//! Messages that the aggregator publishes over Redis, one feed an advertiser.
//!
//! A feed is a sharded Pub/Sub channel and a high-water mark: the feed's epoch and last sequence number.
//! Messages carry absolute values with versions, so losing, repeating or reordering them is harmless: a
//! reader that sees a gap in `seq`, or another `epoch`, reads the database again.
//!
//! Sharded channels are known to one shard of a cluster alone, and are the same as others on a single
//! server, so there is one way for both.

use serde::{Deserialize, Serialize};

use crate::{counts::MinuteCell, ids::AdvertiserId, times::UnixMs};

/// Redis keys and channel of one advertiser's feed. All share a hash tag, so a cluster keeps them
/// on one node and a script may touch them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Hash with the fields `epoch`, `seq` and `era` (the feed generation). Its key ends in `head`.
    pub high_water_mark: String,
    /// Sharded Pub/Sub channel.
    pub channel: String,
}

impl Keys {
    /// The keys of `advertiser_id` under `prefix` (different deployments on one Redis take
    /// different prefixes).
    pub fn new(prefix: &str, advertiser_id: &AdvertiserId) -> Self {
        let key = |name| format!("{prefix}:{{{advertiser_id}}}:{name}");
        Self { high_water_mark: key("head"), channel: key("live") }
    }
}

/// A high-water mark that has not been used for this long is forgotten.
pub const HIGH_WATER_MARK_LIFETIME_SECONDS: u64 = 24 * 3_600;

/// A script for Redis that gives a message its place in the feed and publishes it, in one step.
///
/// Keys: the high-water mark, the channel. Arguments: the cells as JSON, the epoch to begin if there is none, how
/// long the mark is remembered, in seconds, and the time: Unix time in milliseconds. Returns the message's
/// sequence number.
pub const PUBLISH: &str = r#"
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[2])
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
local epoch = redis.call('HGET', KEYS[1], 'epoch')
redis.call('SPUBLISH', KEYS[2], string.format('{"epoch":"%s","seq":%d,"published_at_ms":%s,"cells":', epoch, seq, ARGV[4]) .. ARGV[1] .. '}')
return seq
"#;

/// A script for Redis that reads a feed's high-water mark, and begins it if there is none or if it is of another
/// feed generation.
///
/// Key: the high-water mark. Arguments: the generation, empty if it is not known; the epoch to begin; how long
/// the mark is remembered, in seconds. Returns the epoch and the sequence number.
///
/// A mark of no generation is one that a message has begun since the last was deleted. It becomes one of this
/// generation: no gateway has read the database for it before, or it would have one. A gateway that does not know
/// the generation leaves the mark's as it is, or has it begun anew by the next that does.
pub const BEGIN: &str = r#"
local generation = redis.call('HGET', KEYS[1], 'era')
if generation and ARGV[1] ~= '' and generation ~= ARGV[1] then redis.call('DEL', KEYS[1]) end
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[2])
redis.call('HSETNX', KEYS[1], 'era', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3], 'NX')
return {redis.call('HGET', KEYS[1], 'epoch'), redis.call('HGET', KEYS[1], 'seq') or '0'}
"#;

/// The key of the feed generation: of all feeds of a deployment together. Messages of any of them may have been
/// lost when it changes.
pub fn generation_key(prefix: &str) -> String {
    format!("{prefix}:era")
}

/// The key of the deployment's watermark ([`finality`](crate::finality)) in milliseconds since the Unix epoch. An
/// aggregator sets it twice a second as long as all that it has counted is published, too.
pub fn watermark_key(prefix: &str) -> String {
    format!("{prefix}:watermark")
}

/// The channel on which it is announced that there is news about incidents. A message is the
/// [`Change::seq`](crate::alerts::Change::seq) up to which the database has it.
pub fn alerts_channel(prefix: &str) -> String {
    format!("{prefix}:alerts")
}

/// One message of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The feed's life: changes when Redis lost its memory or messages may have been lost.
    pub epoch: String,
    /// Counts messages of this epoch, from 1.
    pub seq: u64,
    /// Time at which it was published, by the aggregator's clock.
    #[serde(default)]
    pub published_at_ms: Option<UnixMs>,
    /// The cells that changed, as they are now.
    pub cells: Vec<MinuteCell>,
}

/// A place in a feed. Positions of different epochs can't be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The feed's life.
    pub epoch: String,
    /// The last message seen.
    pub seq: u64,
}
