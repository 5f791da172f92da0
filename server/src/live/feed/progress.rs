//! The deployment's watermark, as the aggregators tell Redis. If any part on the way is silent (an aggregator, the
//! database, the broker, Redis), the watermark stands still, and every screen says so. If it is a shard of a cluster of
//! Redis, only the screens of its feeds do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use clickwire_process::redis::{Connection, slot};
use clickwire_protocol::{
    feed::{self, Keys, PARTS, watermark_keys},
    ids::AdvertiserId,
    times::UnixMs,
};
use futures_util::future::join_all;
use redis::{AsyncCommands as _, RedisResult};
use tokio::time::{MissedTickBehavior, interval};

/// Time between two requests to Redis.
const EVERY: Duration = Duration::from_millis(500);

/// The value while no watermark is known.
const UNKNOWN: i64 = i64::MIN;

/// The deployment's watermark, for each part of the feeds as Redis told it last; cheap to clone.
#[derive(Clone)]
pub(in crate::live) struct Watermark(Arc<[AtomicI64; PARTS]>);

impl Default for Watermark {
    fn default() -> Self {
        Self(Arc::new([const { AtomicI64::new(UNKNOWN) }; PARTS]))
    }
}

impl Watermark {
    /// The time up to which all clicks are counted and, for the feeds of a part, published; `None` before it is known.
    pub(in crate::live) fn read(&self, part: usize) -> Option<UnixMs> {
        Some(self.0[part].load(Ordering::Relaxed)).filter(|known| *known != UNKNOWN).map(UnixMs)
    }

    /// Keeps the watermark up to date, without end. While Redis is away, or empty, it stands still.
    pub(in crate::live) async fn follow(self, redis: Connection, prefix: String) {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if let Ok(Some(told)) = told(&redis, &prefix).await {
                self.take(&told);
            }
        }
    }

    fn take(&self, told: &feed::Watermark) {
        for (part, known) in self.0.iter().enumerate() {
            if told.holds_for(part) {
                known.store(told.counted_until.0, Ordering::Relaxed);
            }
        }
    }
}

/// The part of the feeds that an advertiser's is in.
pub(super) fn part_of(prefix: &str, advertiser_id: &AdvertiserId) -> usize {
    feed::part(slot(Keys::new(prefix, advertiser_id).high_water_mark.as_bytes()))
}

/// The latest watermark that Redis has, as far as it answers; an error if it does not answer at all.
pub(crate) async fn told(redis: &Connection, prefix: &str) -> RedisResult<Option<feed::Watermark>> {
    let read = watermark_keys(prefix).map(async |key| redis.clone().get::<_, Option<String>>(key).await);
    let mut answers = join_all(read).await;
    if answers.iter().all(Result::is_err) {
        return answers.swap_remove(0).map(|_| None);
    }
    Ok(answers.into_iter().flatten().flatten().filter_map(|text| text.parse().ok()).max())
}

/// The watermark that a feed may tell. All that was counted before it is in the feed: published before, it has come
/// within a tick; else it is in what is read from the database when something is missing.
pub(super) struct Contained {
    told: Option<UnixMs>,
    /// The watermark that was read at the tick before.
    next: Option<UnixMs>,
}

impl Contained {
    /// The state of a feed that begins to subscribe and to read after this watermark was read.
    pub(super) fn new(read: Option<UnixMs>) -> Self {
        Self { told: None, next: read }
    }

    /// The watermark to tell at a tick; `is_complete`: nothing is known to be missing, and nothing is being read.
    pub(super) fn at_tick(&mut self, read: Option<UnixMs>, is_complete: bool) -> Option<UnixMs> {
        let next = std::mem::replace(&mut self.next, read);
        if is_complete {
            self.told = next;
        }
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_holds_for_the_parts_that_miss_nothing() {
        let watermark = Watermark::default();
        assert_eq!(watermark.read(0), None);
        watermark.take(&feed::Watermark { counted_until: UnixMs(1), without: 0 });
        watermark.take(&feed::Watermark { counted_until: UnixMs(2), without: 1 << 63 });
        assert_eq!((watermark.read(0), watermark.read(63)), (Some(UnixMs(2)), Some(UnixMs(1))));
    }

    #[test]
    fn watermarks_are_on_more_than_one_shard_of_a_cluster() {
        let [_, one, other] = watermark_keys("clickwire").map(|key| slot(key.as_bytes()));
        assert!(one < 8_192 && other >= 8_192, "{one} {other}");
    }

    #[test]
    fn a_watermark_is_told_a_tick_later_and_stands_still_while_something_is_missing() {
        let mut contained = Contained::new(Some(UnixMs(1)));
        let mut at_tick = |read: i64, is_complete| {
            contained.at_tick(Some(UnixMs(read)), is_complete).map(|watermark| watermark.0)
        };
        assert_eq!(at_tick(2, true), Some(1), "the first is there at once");
        assert_eq!(at_tick(3, true), Some(2));
        assert_eq!(at_tick(4, false), Some(2));
        assert_eq!(at_tick(5, false), Some(2));
        assert_eq!(at_tick(6, true), Some(5));
    }

    #[test]
    fn nothing_is_told_before_anything_is_known() {
        let mut contained = Contained::new(None);
        assert_eq!(contained.at_tick(Some(UnixMs(7)), true), None);
        assert_eq!(contained.at_tick(Some(UnixMs(8)), true), Some(UnixMs(7)));
    }
}
