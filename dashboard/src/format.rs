//! Numbers, rates, times and comparisons as the page writes them.

use crate::locale::{self, Precision};

/// `1234567` → `1,234,567`.
pub fn count(n: i64) -> String {
    locale::number(n as f64, 0)
}

/// The size of a file or a disk: `950 B`, `1.5 kB`, `20 MB`, `4.2 TB`.
pub fn bytes(n: f64) -> String {
    let (scaled, unit) = match n {
        value @ 1e12.. => (value / 1e12, "TB"),
        value @ 1e9.. => (value / 1e9, "GB"),
        value @ 1e6.. => (value / 1e6, "MB"),
        value @ 1e3.. => (value / 1e3, "kB"),
        value => (value, "B"),
    };
    format!("{} {unit}", locale::number(scaled, usize::from(scaled < 10.0 && n >= 1e3)))
}

/// Short enough for an axis: `950`, `1.5k`, `20k`, `3M`.
pub fn axis(value: f64) -> String {
    let (scaled, unit) = match value {
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", locale::number(scaled, 2))
}

/// A rate a second: `0.4`, `21.5`, `340`.
pub fn per_second(rate: f64) -> String {
    locale::number(rate, usize::from(rate < 100.0))
}

/// A share between 0 and 1 as a percentage: `3.2%`; a dash where there is none.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| locale::percent(share, 1))
}

/// A relative change in words: `12% more than the hour before`.
pub fn change(ratio: f64, window_minutes: u32) -> String {
    let before = period_before(window_minutes);
    if ratio >= 2.0 {
        return format!("{} times {before}", locale::number(ratio + 1.0, usize::from(ratio < 9.0)));
    }
    if ratio.abs() < 0.000_5 {
        return format!("as many as {before}");
    }
    let percent = locale::percent(ratio.abs(), usize::from(ratio.abs() < 0.1));
    format!("{percent} {} than {before}", if ratio < 0.0 { "fewer" } else { "more" })
}

/// A change between two percentages in words: `0.4 points more than the hour before`.
pub fn points(difference: f64, window_minutes: u32) -> String {
    let before = period_before(window_minutes);
    if difference.abs() < 0.000_5 {
        return format!("as in {before}");
    }
    let points = locale::number(difference.abs() * 100.0, 1);
    format!("{points} points {} than {before}", if difference < 0.0 { "less" } else { "more" })
}

/// The period before a window, in words.
fn period_before(minutes: u32) -> String {
    match minutes {
        60 => "the hour before".to_owned(),
        minutes => format!("the {} before", window(minutes)),
    }
}

/// The time of day of a moment, in milliseconds since the Unix epoch: `20:03`, in the viewer's zone.
pub fn time_of_day(at_ms: i64) -> String {
    locale::time(at_ms, Precision::Minutes)
}

/// The same with seconds.
pub fn precise_time_of_day(at_ms: i64) -> String {
    locale::time(at_ms, Precision::Seconds)
}

/// A length of time in its largest unit: `9 s`, `4 min`, `2 h`.
pub fn age(ms: i64) -> String {
    match ms.max(0) / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// The length of a window in words: `1 minute`, `60 minutes`, `4 hours`.
pub fn window(minutes: u32) -> String {
    match minutes {
        1 => "minute".to_owned(),
        minutes if minutes > 60 && minutes.is_multiple_of(60) => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_short_on_axes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(-12_000), "-12,000");
        assert_eq!(
            [0.0, 2.5, 950.0, 1500.0, 1250.0, 20_000.0, 3e6, 4.5e9].map(axis),
            ["0", "2.5", "950", "1.5k", "1.25k", "20k", "3M", "4.5G"]
        );
        assert_eq!([0.0, 0.44, 21.46, 340.2].map(per_second), ["0", "0.4", "21.5", "340"]);
    }

    #[test]
    fn shares_and_changes_are_words() {
        assert_eq!(percent(Some(0.0316)), "3.2%");
        assert_eq!(percent(None), "–");
        for (ratio, window, expected) in [
            (0.124, 60, "12% more than the hour before"),
            (-0.03, 240, "3.0% fewer than the 4 hours before"),
            (-1.0, 5, "100% fewer than the 5 minutes before"),
            (0.0001, 60, "as many as the hour before"),
            (2.4, 60, "3.4 times the hour before"),
            (41.0, 60, "42 times the hour before"),
        ] {
            assert_eq!(change(ratio, window), expected);
        }
        assert_eq!(points(0.004, 60), "0.4 points more than the hour before");
        assert_eq!(points(-0.011, 15), "1.1 points less than the 15 minutes before");
        assert_eq!(points(0.0, 15), "as in the 15 minutes before");
    }

    #[test]
    fn times_and_lengths() {
        let at_ms = 29_000_003 * 60_000 + 59_999;
        assert_eq!((time_of_day(at_ms).as_str(), precise_time_of_day(at_ms).as_str()), ("21:23", "21:23:59"));
        assert_eq!([-5, 9_999, 61_000, 7_200_000].map(age), ["0 s", "9 s", "1 min", "2 h"]);
        assert_eq!([1, 5, 60, 240].map(window), ["minute", "5 minutes", "60 minutes", "4 hours"]);
    }
}
