//! The deployment's watermark, as the aggregators tell Redis. If any part on the way is silent (an aggregator, the
//! database, the broker, Redis), the watermark stands still, and every screen says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use clickwire_process::redis::Connection;
use clickwire_protocol::times::UnixMs;
use redis::AsyncCommands as _;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two requests to Redis.
const EVERY: Duration = Duration::from_millis(500);

/// The value while no watermark is known.
const UNKNOWN: i64 = i64::MIN;

/// The deployment's watermark, as Redis told it last; cheap to clone.
#[derive(Clone)]
pub(in crate::live) struct Watermark(Arc<AtomicI64>);

impl Default for Watermark {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Watermark {
    /// The time up to which all clicks are counted; `None` before it is known.
    pub(in crate::live) fn read(&self) -> Option<UnixMs> {
        Some(self.0.load(Ordering::Relaxed)).filter(|known| *known != UNKNOWN).map(UnixMs)
    }

    /// Keeps the watermark up to date, without end. While Redis is away, or empty, it stands still.
    pub(in crate::live) async fn follow(self, mut redis: Connection, key: String) {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if let Ok(Some(known)) = redis.get::<_, Option<i64>>(&key).await {
                self.0.store(known, Ordering::Relaxed);
            }
        }
    }
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
