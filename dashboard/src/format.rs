//! Numbers and rates as the page writes them.

use crate::locale;

/// `1234567` → `1,234,567`.
pub fn count(n: impl Into<i128>) -> String {
    locale::number(n.into() as f64, 0)
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
    fn shares_are_percentages() {
        assert_eq!(percent(Some(0.0316)), "3.2%");
        assert_eq!(percent(None), "–");
    }
}
