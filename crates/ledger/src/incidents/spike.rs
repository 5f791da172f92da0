//! Limit of a campaign's clicks in a minute: the median of the minutes before plus so many median absolute deviations.
//! What a few odd minutes do to an average they do not do to these.

/// A campaign is compared with what it was for at least so many minutes.
pub const MIN_HISTORY_MINUTES: usize = 10;

/// Returns the clicks of a minute above which it stands out. `minutes` has one at least.
pub fn limit(minutes: &[i64], deviations: u32) -> f64 {
    let mut of_minutes: Vec<f64> = minutes.iter().map(|&clicks| clicks as f64).collect();
    let middle = median(&mut of_minutes);
    for clicks in &mut of_minutes {
        *clicks = (*clicks - middle).abs();
    }
    middle + f64::from(deviations) * median(&mut of_minutes).max(1.0)
}

/// The median; of an even number the mean of the two in the middle.
fn median(values: &mut [f64]) -> f64 {
    let (half, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    let (before, &mut upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if is_odd {
        return upper;
    }
    let lower = before.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_median_and_the_deviations() {
        for (minutes, deviations, expected) in [
            (vec![10; 10], 6, 16.0),
            (vec![0; 11], 3, 3.0),
            (vec![1, 2, 3, 4], 2, 4.5),
            (vec![5, 1, 3], 2, 7.0),
            (vec![10, 10, 10, 1_000], 6, 16.0),
            (vec![7], 1, 8.0),
        ] {
            assert_eq!(limit(&minutes, deviations), expected, "{minutes:?}");
        }
    }
}
