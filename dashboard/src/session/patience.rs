//! Pauses between streams of events that tell nothing: a proxy may hold back what is sent.

/// The first pause after a stream that told nothing, in milliseconds. It doubles.
const AGAIN_MS: i64 = 5_000;
const AGAIN_AT_MOST_MS: i64 = 60_000;

/// The time from which on a stream may be begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    misses: u32,
    after_ms: i64,
}

impl Patience {
    /// Returns whether a stream may be begun.
    pub fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.after_ms
    }

    /// Notes a stream that ended, or is given up, and has told nothing.
    pub fn missed(&mut self, now_ms: i64) {
        let pause_ms = (AGAIN_MS << self.misses).min(AGAIN_AT_MOST_MS);
        self.misses = (self.misses + 1).min(AGAIN_AT_MOST_MS.ilog2());
        self.after_ms = now_ms + pause_ms;
    }

    /// Notes a stream that has told something.
    pub fn told(&mut self) {
        self.misses = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew() {
        let mut patience = Patience::default();
        assert!(patience.is_over(0));
        for pause_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
            patience.missed(1_000);
            assert!(!patience.is_over(999 + pause_ms) && patience.is_over(1_000 + pause_ms), "{pause_ms}");
        }
        (0..100).for_each(|_| patience.missed(1_000));
        assert!(patience.is_over(61_000));
        patience.told();
        patience.missed(1_000);
        assert!(patience.is_over(6_000));
    }
}
