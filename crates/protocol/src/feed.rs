//! Messages that the aggregator publishes over Redis, one feed an advertiser.
//!
//! A feed is a sharded Pub/Sub channel and a high-water mark: the feed's epoch and last sequence number.
//! Messages carry absolute values with versions, so losing, repeating or reordering them is harmless: a
//! reader that sees a gap in `seq`, or another `epoch`, reads the database again.
//!
//! Sharded channels are known to one shard of a cluster alone, and are the same as others on a single
//! server, so there is one way for both.

use std::{fmt, num::ParseIntError, str::FromStr};

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

/// The keys of the deployment's watermark ([`finality`](crate::finality)), each of which has a [`Watermark`] as text. An
/// aggregator sets all of them twice a second. They are more than one so that a cluster has them on more than one
/// shard: two are in different halves of the hash slots. The latest that can be read counts.
pub fn watermark_keys(prefix: &str) -> [String; 3] {
    ["", ":{b}", ":{d}"].map(|place| format!("{prefix}:watermark{place}"))
}

/// Parts of a cluster's hash slots, of the same size, of which it is told whether the watermark holds there.
pub const PARTS: usize = 64;

/// Hash slots of a part.
const SLOTS_OF_A_PART: u16 = 16_384 / PARTS as u16;

/// The part that a hash slot is in.
pub fn part(slot: u16) -> usize {
    usize::from(slot / SLOTS_OF_A_PART)
}

/// The deployment's watermark, and the feeds that it does not hold for.
///
/// As text the watermark in milliseconds since the Unix epoch, and behind a space, unless it holds for all, the parts
/// that it does not hold for as a hexadecimal number: `1764460000000 3ff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark {
    /// What was received before is counted, and published but for `without`.
    pub counted_until: UnixMs,
    /// A bit for each [`part`] with a feed that may miss something which was counted before.
    pub without: u64,
}

impl Watermark {
    /// Whether it holds for the feeds of a part.
    pub fn holds_for(&self, part: usize) -> bool {
        self.without & (1 << part) == 0
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.counted_until.0)?;
        if self.without != 0 {
            write!(formatter, " {:x}", self.without)?;
        }
        Ok(())
    }
}

impl FromStr for Watermark {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (counted_until, without) = text.split_once(' ').unwrap_or((text, "0"));
        let counted_until = UnixMs(counted_until.parse()?);
        Ok(Self { counted_until, without: u64::from_str_radix(without, 16)? })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_is_a_number_and_the_parts_that_it_does_not_hold_for() {
        let all = Watermark { counted_until: UnixMs(1_764_460_000_000), without: 0 };
        let most = Watermark { without: 1 << 63 | 1, ..all };
        for (watermark, text) in [(all, "1764460000000"), (most, "1764460000000 8000000000000001")] {
            assert_eq!(watermark.to_string(), text);
            assert_eq!(text.parse(), Ok(watermark));
        }
        for wrong in ["", "x", "1 ", "1 x", "1 10000000000000000", "1 0 0", " 1"] {
            assert!(wrong.parse::<Watermark>().is_err(), "{wrong:?}");
        }
        assert!(most.holds_for(1) && !most.holds_for(0) && !most.holds_for(63) && all.holds_for(63));
        assert_eq!((part(0), part(255), part(256), part(16_383)), (0, 0, 1, PARTS - 1));
    }
}
