//! Numbers, rates and times as the page writes them.

use clickwire_protocol::MINUTE_MS;

/// `1234567` → `1,234,567`.
pub fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if n < 0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Short enough for an axis: `950`, `1.5k`, `20k`, `3M`.
pub fn axis(value: f64) -> String {
    let (scaled, unit) = if value >= 1e6 {
        (value / 1e6, "M")
    } else if value >= 1e3 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    // At most two decimals, none that say nothing.
    let text = format!("{scaled:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A rate a second: `0.4`, `21.5`, `340`.
pub fn per_second(rate: f64) -> String {
    if rate >= 100.0 || rate == 0.0 { count(rate.round() as i64) } else { format!("{rate:.1}") }
}

/// A share between 0 and 1 as a percentage: `3.2%`; a dash where there is none.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// A relative change: `+12.5%`, `−3.0%`.
pub fn change(ratio: f64) -> String {
    format!("{}{:.1}%", sign(ratio), (ratio * 100.0).abs())
}

/// A change between two percentages, in points: `+0.4 pp`.
pub fn points(difference: f64) -> String {
    format!("{}{:.1} pp", sign(difference), (difference * 100.0).abs())
}

fn sign(value: f64) -> &'static str {
    if value < 0.0 { "−" } else { "+" }
}

/// The time of day: `20:03`, in the zone `offset_minutes` ahead of UTC.
pub fn time_of_day(at_ms: i64, offset_minutes: i64) -> String {
    let minute = (at_ms.div_euclid(MINUTE_MS) + offset_minutes).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The zone itself: `UTC`, `UTC+5:30`, `UTC−3`.
pub fn zone(offset_minutes: i64) -> String {
    if offset_minutes == 0 {
        return "UTC".to_owned();
    }
    let sign = if offset_minutes < 0 { '−' } else { '+' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    if minutes == 0 { format!("UTC{sign}{hours}") } else { format!("UTC{sign}{hours}:{minutes:02}") }
}

/// A length of time in its largest unit: `9 s`, `4 min`, `2 h`.
pub fn age(ms: i64) -> String {
    match ms.max(0) / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// The length of a window in words: `5 minutes`, `60 minutes`, `4 hours`.
pub fn window(minutes: u32) -> String {
    if minutes > 60 && minutes.is_multiple_of(60) {
        format!("{} hours", minutes / 60)
    } else {
        format!("{minutes} minutes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_short_on_axes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(-12_000), "−12,000");
        assert_eq!(
            [0.0, 2.5, 950.0, 1500.0, 1250.0, 20_000.0, 3e6].map(axis),
            ["0", "2.5", "950", "1.5k", "1.25k", "20k", "3M"]
        );
        assert_eq!([0.0, 0.44, 21.46, 340.2].map(per_second), ["0", "0.4", "21.5", "340"]);
    }

    #[test]
    fn shares_and_changes() {
        assert_eq!(percent(Some(0.0316)), "3.2%");
        assert_eq!(percent(None), "–");
        assert_eq!(change(-0.03), "−3.0%");
        assert_eq!(points(0.004), "+0.4 pp");
    }

    #[test]
    fn times_are_local() {
        let at_ms = 29_000_003 * MINUTE_MS + 59_999;
        assert_eq!(time_of_day(at_ms, 0), "21:23");
        assert_eq!(time_of_day(at_ms, 330), "02:53");
        assert_eq!(time_of_day(at_ms, -22 * 60), "23:23");
        assert_eq!([0, 330, -180].map(zone), ["UTC", "UTC+5:30", "UTC−3"]);
        assert_eq!([-5, 9_999, 61_000, 7_200_000].map(age), ["0 s", "9 s", "1 min", "2 h"]);
        assert_eq!([5, 60, 240].map(window), ["5 minutes", "60 minutes", "4 hours"]);
    }
}
