//! Lower bound of a share that was observed in few clicks only: one invalid click of 32 is three percent, and says
//! nothing.

use clickwire_protocol::alerts::{FraudRate, Severity};

/// Standard deviations on either side of a 95 % confidence interval.
const Z: f64 = 1.96;

/// The lower bound of Wilson's score interval (E. B. Wilson, "Probable Inference, the Law of Succession, and
/// Statistical Inference", Journal of the American Statistical Association 22, 1927) for `some` of `all`, between
/// 0 and 1. A campaign whose true share is below it would show so many by chance once in forty times.
fn at_least(some: i64, all: i64) -> f64 {
    if all <= 0 {
        return 0.0;
    }
    let n = all as f64;
    let share = (some as f64 / n).clamp(0.0, 1.0);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + Z * Z / n)).max(0.0)
}

/// Returns the severity by the lower bound of the invalid share, which is all that so few clicks can prove.
pub fn severity(clicks: i64, invalid: i64, rule: FraudRate) -> Option<Severity> {
    let at_least_percent = 100.0 * at_least(invalid, clicks);
    if at_least_percent >= f64::from(rule.critical_percent) {
        Some(Severity::Critical)
    } else if at_least_percent >= f64::from(rule.warning_percent) {
        Some(Severity::Warning)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_clicks_are_no_fraud_rate() {
        let rule =
            FraudRate { warning_percent: 3, critical_percent: 5, minimum_clicks: 30, window_minutes: 10 };
        // 3.1 and 6.1 % of so few, 4 % of 200: noise.
        for (clicks, invalid) in [(32, 1), (33, 2), (200, 8), (1_000_000, 30_000)] {
            assert_eq!(severity(clicks, invalid, rule), None, "{invalid} of {clicks}");
        }
        assert_eq!(severity(800, 40, rule), Some(Severity::Warning));
        assert_eq!(severity(1_000_000, 30_400, rule), Some(Severity::Warning));
        for (clicks, invalid) in [(30, 5), (800, 56), (1_000_000, 50_500)] {
            assert_eq!(severity(clicks, invalid, rule), Some(Severity::Critical), "{invalid} of {clicks}");
        }
    }

    /// The bound is the share from which what was seen lies just [`Z`] standard deviations away.
    #[test]
    fn it_is_wilsons_lower_bound() {
        for (some, all) in [(1, 32), (2, 33), (15, 50), (50, 1_000), (100, 100), (3, 1_000_000)] {
            let (bound, n) = (at_least(some, all), all as f64);
            let away = some as f64 / n - bound;
            assert!((away - Z * (bound * (1.0 - bound) / n).sqrt()).abs() < 1e-9, "{some} of {all}: {bound}");
            assert!(away > 0.0);
        }
        assert_eq!((at_least(0, 100), at_least(0, 0)), (0.0, 0.0));
    }

    /// The same share says more the more clicks show it, and never more than itself.
    #[test]
    fn it_grows_with_what_was_seen() {
        let bounds: Vec<f64> = (0..6).map(|n| at_least(5 * 10_i64.pow(n), 100 * 10_i64.pow(n))).collect();
        assert!(bounds.is_sorted() && bounds.iter().all(|bound| *bound < 0.05), "{bounds:?}");
        assert!(bounds[5] > 0.0498);
    }
}
