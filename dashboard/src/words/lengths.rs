//! Lengths of time, and how one period compares with the one before.

use crate::locale;

/// A length of time in its largest unit: `9 s`, `4 min`, `2 h`.
pub fn age(ms: i64) -> String {
    match ms.max(0) / 1000 {
        seconds @ 0..60 => say!("{seconds} s", seconds),
        seconds @ 60..3600 => say!("{minutes} min", minutes = seconds / 60),
        seconds => say!("{hours} h", hours = seconds / 3600),
    }
}

/// The length of a window: `minute`, `60 minutes`, `4 hours`.
pub fn window(minutes: u32) -> String {
    match minutes {
        1 => say!("minute").to_owned(),
        minutes if minutes > 60 && minutes.is_multiple_of(60) => say!("{hours} hours", hours = minutes / 60),
        minutes => say!("{minutes} minutes", minutes),
    }
}

/// The period before a window.
fn period_before(minutes: u32) -> String {
    match minutes {
        1 => say!("the minute before").to_owned(),
        60 => say!("the hour before").to_owned(),
        minutes => say!("the {window} before", window = window(minutes)),
    }
}

/// A relative change: `12% more than the hour before`.
pub fn compared(ratio: f64, window_minutes: u32) -> String {
    let before = period_before(window_minutes);
    if ratio >= 2.0 {
        let times = locale::number(ratio + 1.0, usize::from(ratio < 9.0));
        return say!("{times} times {before}", times, before);
    }
    if ratio.abs() < 0.000_5 {
        return say!("as many as {before}", before);
    }
    let percent = locale::percent(ratio.abs(), usize::from(ratio.abs() < 0.1));
    if ratio < 0.0 {
        say!("{percent} fewer than {before}", percent, before)
    } else {
        say!("{percent} more than {before}", percent, before)
    }
}

/// A change between two percentages: `0.4 points more than the hour before`.
pub fn compared_points(difference: f64, window_minutes: u32) -> String {
    let before = period_before(window_minutes);
    if difference.abs() < 0.000_5 {
        return say!("as in {before}", before);
    }
    let points = locale::number(difference.abs() * 100.0, 1);
    if difference < 0.0 {
        say!("{points} points less than {before}", points, before)
    } else {
        say!("{points} points more than {before}", points, before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_said_as_people_say_them() {
        for (ratio, window, expected) in [
            (0.124, 60, "12% more than the hour before"),
            (-0.03, 240, "3.0% fewer than the 4 hours before"),
            (-1.0, 5, "100% fewer than the 5 minutes before"),
            (0.0001, 60, "as many as the hour before"),
            (2.4, 60, "3.4 times the hour before"),
            (41.0, 60, "42 times the hour before"),
        ] {
            assert_eq!(compared(ratio, window), expected);
        }
        assert_eq!(compared_points(0.004, 60), "0.4 points more than the hour before");
        assert_eq!(compared_points(-0.011, 15), "1.1 points less than the 15 minutes before");
        assert_eq!(compared_points(0.0, 15), "as in the 15 minutes before");
    }

    #[test]
    fn lengths_are_in_their_largest_unit() {
        assert_eq!([-5, 9_999, 61_000, 7_200_000].map(age), ["0 s", "9 s", "1 min", "2 h"]);
        assert_eq!([1, 5, 60, 240].map(window), ["minute", "5 minutes", "60 minutes", "4 hours"]);
    }
}
