//! Scales from values to pixels, and the ticks of an axis.

/// A linear map from `domain` to `range`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    domain: (f64, f64),
    range: (f64, f64),
}

impl Scale {
    /// Maps `domain.0` to `range.0` and `domain.1` to `range.1`.
    pub fn new(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self { domain, range }
    }

    /// The pixel of `value`; the start of the range when the domain is a point.
    pub fn pixel(&self, value: f64) -> f64 {
        let (from, to) = self.domain;
        if to == from {
            return self.range.0;
        }
        self.range.0 + (value - from) / (to - from) * (self.range.1 - self.range.0)
    }

    /// The value at `pixel`.
    pub fn value(&self, pixel: f64) -> f64 {
        let (from, to) = self.range;
        if to == from {
            return self.domain.0;
        }
        self.domain.0 + (pixel - from) / (to - from) * (self.domain.1 - self.domain.0)
    }
}

/// Ticks from 0 up to the first that covers `max`: whole numbers (clicks have no halves), about
/// `wanted` of them, a step of 1, 2, 2.5 or 5 times a power of ten.
pub fn count_ticks(max: f64, wanted: u32) -> Vec<f64> {
    let rough = (max.max(1.0) / f64::from(wanted.max(1))).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power);
    let step = step.into_iter().find(|&step| step >= rough && step.fract() == 0.0);
    let step = step.unwrap_or(power * 10.0);
    let steps = (max.max(1.0) / step).ceil() as u32;
    (0..=steps).map(|n| f64::from(n) * step).collect()
}

/// Minutes in [`first`, `last`] that get a label: at most `wanted`, on round times of a zone
/// `offset_minutes` ahead of UTC.
pub fn minute_ticks(first: i64, last: i64, wanted: usize, offset_minutes: i64) -> Vec<i64> {
    const STEPS: [i64; 9] = [1, 2, 5, 10, 15, 30, 60, 120, 240];
    let room = i64::try_from(wanted.max(1)).unwrap_or(i64::MAX);
    let step = STEPS.into_iter().find(|step| (last - first) / step < room).unwrap_or(STEPS[STEPS.len() - 1]);
    let start = first + (-(first + offset_minutes)).rem_euclid(step);
    (start..=last).step_by(step as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_and_values_are_inverse() {
        let scale = Scale::new((10.0, 20.0), (300.0, 100.0));
        assert_eq!(scale.pixel(10.0), 300.0);
        assert_eq!(scale.pixel(15.0), 200.0);
        assert_eq!(scale.value(scale.pixel(12.5)), 12.5);
        assert_eq!(Scale::new((1.0, 1.0), (5.0, 9.0)).pixel(1.0), 5.0);
    }

    #[test]
    fn count_ticks_are_round_whole_and_cover_the_maximum() {
        assert_eq!(count_ticks(0.0, 4), [0.0, 1.0]);
        assert_eq!(count_ticks(3.0, 4), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(count_ticks(87.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(count_ticks(9.0, 4), [0.0, 5.0, 10.0], "no halves");
        assert_eq!(count_ticks(412.0, 4), [0.0, 200.0, 400.0, 600.0]);
        for max in 1..2000 {
            let ticks = count_ticks(f64::from(max), 4);
            assert!(ticks[ticks.len() - 1] >= f64::from(max));
            assert!((2..=5).contains(&ticks.len()), "{max}: {ticks:?}");
            assert!(ticks.iter().all(|tick| tick.fract() == 0.0));
        }
    }

    #[test]
    fn minute_ticks_are_round_in_the_viewers_zone() {
        // 29,000,000 is 21:20 UTC.
        assert_eq!(
            minute_ticks(29_000_000, 29_000_059, 6, 0),
            [29_000_000, 29_000_010, 29_000_020, 29_000_030, 29_000_040, 29_000_050]
        );
        assert_eq!(
            minute_ticks(29_000_000, 29_000_239, 4, 0),
            [29_000_040, 29_000_100, 29_000_160, 29_000_220]
        );
        // Quarter hours of Nepal (UTC+5:45).
        assert_eq!(
            minute_ticks(29_000_000, 29_000_059, 5, 345),
            [29_000_010, 29_000_025, 29_000_040, 29_000_055]
        );
        assert_eq!(minute_ticks(29_000_000, 29_000_004, 9, 0).len(), 5);
    }
}
