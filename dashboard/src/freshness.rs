//! The freshness of the numbers on the screen: the time since the server was heard, the progress of its counting, and
//! the time up to which the screen may say something.
//!
//! Two clocks are kept apart: silence is measured by this machine's, what the numbers are about by the server's. The
//! difference comes with the server's messages, so this machine's may be wrong.

use clickwire_protocol::{finality::Progress, times::UnixMs};

/// Silence in milliseconds after which a server is away. It says something every
/// [`PROGRESS_MS`](clickwire_protocol::live::PROGRESS_MS), and answers a ping after [`QUIET_MS`].
pub const SILENT_MS: i64 = 3_600;

/// The same limit where numbers are asked for every two seconds, in milliseconds.
pub const POLLED_SILENT_MS: i64 = 4_600;

/// Silence in milliseconds after which the server is asked whether it is there.
pub const QUIET_MS: i64 = 2_200;

/// Lag in milliseconds from which numbers are delayed. On the way of a watermark to the screen lie two
/// half-seconds, a tick and [`PROGRESS_MS`](clickwire_protocol::live::PROGRESS_MS).
pub const DELAYED_MS: i64 = 4_000;

/// Difference in milliseconds from which two readings of the clocks' difference are no jitter.
const CLOCK_JUMP_MS: i64 = 2_000;

/// The last messages of the server, with their times by this machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Freshness {
    /// Time at which the server was heard last, in milliseconds since the Unix epoch.
    pub heard_ms: Option<i64>,
    /// The server's last message about its counting, and the time of that message.
    progress: Option<(Progress, i64)>,
    /// The server's clock minus this machine's, in milliseconds, as far as it is known.
    ahead_ms: Option<i64>,
}

impl Freshness {
    /// The server was heard.
    pub fn heard(&mut self, now_ms: i64) {
        self.heard_ms = Some(now_ms);
    }

    /// The server said how far it has counted.
    pub fn told(&mut self, progress: Option<Progress>, now_ms: i64) {
        let Some(progress) = progress else { return };
        self.progress = Some((progress, now_ms));
        let ahead_ms = progress.at_ms.0 - now_ms;
        // The message that was quickest on its way says it best.
        self.ahead_ms = Some(match self.ahead_ms {
            Some(known) if (known - ahead_ms).abs() < CLOCK_JUMP_MS => known.max(ahead_ms),
            Some(_) | None => ahead_ms,
        });
    }

    /// Notes the progress in a state that was kept, with the time at which the server told it.
    pub fn recall(&mut self, progress: Progress) {
        self.progress = Some((progress, progress.at_ms.0));
    }

    /// Returns the progress of counting that the server told last.
    pub fn progress(&self) -> Option<Progress> {
        Some(self.progress?.0)
    }

    /// Learns the clocks' difference from an answer of a server that says no more.
    pub fn guess_ahead(&mut self, ahead_ms: i64) {
        self.ahead_ms.get_or_insert(ahead_ms);
    }

    /// Now, by the server's clock, in milliseconds since the Unix epoch.
    pub fn server_now_ms(&self, now_ms: i64) -> i64 {
        now_ms + self.ahead_ms.unwrap_or_default()
    }

    /// Returns the length of the server's silence, in milliseconds.
    pub fn silence_ms(&self, now_ms: i64) -> i64 {
        self.heard_ms.map_or(i64::MAX, |heard_ms| now_ms - heard_ms)
    }

    /// Returns the lag of the numbers, if it is too long: in milliseconds, or unknown.
    pub fn delay(&self, now_ms: i64) -> Option<Delay> {
        let (progress, told_ms) = self.progress?;
        let Some(lag_ms) = progress.lag_ms() else { return Some(Delay::Unknown) };
        let lag_ms = lag_ms + now_ms - told_ms;
        (lag_ms >= DELAYED_MS).then_some(Delay::Ms(lag_ms))
    }

    /// Returns the time, by the server's clock, up to which late numbers are known: clicks that were received until
    /// then are counted.
    pub fn as_of_ms(&self) -> Option<i64> {
        let counted_until = self.progress.and_then(|(progress, _)| progress.counted_until_ms);
        let heard_ms = || self.heard_ms.map(|heard_ms| self.server_now_ms(heard_ms));
        counted_until.map(|UnixMs(at)| at).or_else(heard_ms)
    }

    /// Minutes that end at or before this are final; `None` if the server has not said.
    pub fn final_before(&self) -> Option<UnixMs> {
        self.progress?.0.final_before_ms
    }
}

/// The lag of numbers that are not up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// The lag in milliseconds.
    Ms(i64),
    /// Unknown lag: no counting is known.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's clock is an hour ahead of this machine's.
    const AHEAD: i64 = 3_600_000;

    fn told(at: i64, lag: Option<i64>) -> Option<Progress> {
        let at = UnixMs(at + AHEAD);
        Some(Progress::new(at, lag.map(|lag| at - lag)))
    }

    #[test]
    fn delay_is_what_the_server_said_and_what_has_passed_since_whatever_this_clock_says() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.delay(0), None, "a server that says nothing of it");
        for (lag, passed, expected) in [
            (Some(0), 0, None),
            (Some(1_000), 2_999, None),
            (Some(1_000), 3_000, Some(Delay::Ms(4_000))),
            (Some(60_000), 0, Some(Delay::Ms(60_000))),
            (None, 0, Some(Delay::Unknown)),
        ] {
            freshness.told(told(10_000, lag), 10_000);
            assert_eq!(freshness.delay(10_000 + passed), expected, "{lag:?} and {passed}");
        }
    }

    #[test]
    fn numbers_that_are_not_up_to_date_stand_still_where_they_are_known() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.as_of_ms(), None);
        freshness.heard(5_000);
        assert_eq!(freshness.as_of_ms(), Some(5_000), "by this clock, for want of another");
        freshness.told(told(10_000, Some(700)), 10_000);
        assert_eq!(freshness.as_of_ms(), Some(10_000 + AHEAD - 700));
        assert_eq!(freshness.server_now_ms(12_000), 12_000 + AHEAD);
        assert_eq!(freshness.silence_ms(7_000), 2_000);
    }

    #[test]
    fn the_quickest_message_tells_the_clock_and_one_that_was_set_is_believed() {
        let mut freshness = Freshness::default();
        freshness.guess_ahead(9_000);
        for (late, expected) in [(0, AHEAD), (300, AHEAD), (-50, AHEAD + 50), (5_000, AHEAD - 5_000)] {
            freshness.told(told(10_000, None), 10_000 + late);
            assert_eq!(freshness.server_now_ms(0), expected, "{late}");
        }
        freshness.guess_ahead(7);
        assert_eq!(freshness.server_now_ms(0), AHEAD - 5_000, "a guess changes nothing that is known");
    }
}
