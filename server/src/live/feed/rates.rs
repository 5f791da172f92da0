//! The rate of a view's clicks: how many were counted in each of the last seconds.

use std::collections::BTreeMap;

use clickwire_protocol::live::{RATE_SECONDS, Rate};

/// Clicks by the second in which we heard of them.
#[derive(Default)]
pub(in crate::live) struct Rates(BTreeMap<i64, Second>);

struct Second {
    clicks: i64,
    /// The view's version that changed it last.
    version: u64,
}

impl Rates {
    /// Adds clicks, which the next version of the view tells. A negative number is of clicks that were judged anew.
    pub(in crate::live) fn count(&mut self, second: i64, clicks: i64, version: u64) {
        let counted = self.0.entry(second).or_insert(Second { clicks: 0, version });
        counted.clicks += clicks;
        counted.version = version;
        while let Some(oldest) = self.0.first_entry()
            && *oldest.key() <= second - RATE_SECONDS
        {
            oldest.remove();
        }
    }

    /// The seconds that changed after a version of the view.
    pub(in crate::live) fn after(&self, version: u64) -> Vec<Rate> {
        let changed = self.0.iter().filter(|(_, counted)| counted.version > version);
        changed.map(|(&second, counted)| Rate { second, clicks: counted.clicks.max(0) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_what_was_counted_in_it_and_goes_after_a_while() {
        let mut rates = Rates::default();
        rates.count(100, 2, 1);
        rates.count(100, 3, 2);
        rates.count(101, -1, 2);
        rates.count(103, 4, 3);
        let told = |rates: &Rates, version| -> Vec<(i64, i64)> {
            rates.after(version).iter().map(|rate| (rate.second, rate.clicks)).collect()
        };
        assert_eq!(told(&rates, 0), [(100, 5), (101, 0), (103, 4)]);
        assert_eq!(told(&rates, 2), [(103, 4)]);
        rates.count(100 + RATE_SECONDS, 1, 4);
        assert_eq!(told(&rates, 0), [(101, 0), (103, 4), (100 + RATE_SECONDS, 1)]);
    }
}
