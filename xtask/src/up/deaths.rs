//! Deaths of a program: their limit, and the waits before it is started again.

use std::time::{Duration, Instant};

/// Number of deaths within [`WITHIN`] after which a program is not started again.
pub(super) const LIMIT: usize = 5;

/// The time in which deaths are counted.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// The wait before the first new start; it doubles with each further death.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The recent deaths of one program.
#[derive(Debug, Default)]
pub(super) struct Deaths(Vec<Instant>);

impl Deaths {
    /// Notes a death. Returns how long to wait before the program is started again; `None` if it has died too often.
    pub(super) fn note(&mut self, now: Instant) -> Option<Duration> {
        self.0.retain(|death| now.duration_since(*death) < WITHIN);
        let wait = FIRST_WAIT * (1 << self.0.len().min(LIMIT));
        self.0.push(now);
        (self.0.len() < LIMIT).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_death_within_a_minute_is_the_last() {
        let (mut deaths, start) = (Deaths::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let waits: Vec<_> = (0..LIMIT as u64).map(|second| deaths.note(at(second))).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(500), ms(1_000), ms(2_000), ms(4_000), None]);
    }

    #[test]
    fn old_deaths_are_forgotten() {
        let (mut deaths, start) = (Deaths::default(), Instant::now());
        for minute in 0..20 {
            assert!(deaths.note(start + WITHIN * minute).is_some_and(|wait| wait == FIRST_WAIT));
        }
    }
}
