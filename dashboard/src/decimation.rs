//! Fewer points, same picture: of all points that fall into one column of pixels, a line needs the
//! first, the lowest, the highest and the last.

/// A point in pixels.
pub type Point = (f64, f64);

/// `points` (ordered by x) with at most four left in each column one pixel wide. The line through
/// them covers the same pixels; extremes are never lost.
pub fn min_max(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::with_capacity(points.len());
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let extreme = |better: fn(f64, f64) -> bool| {
            (1..column.len())
                .fold(0, |best, index| if better(column[index].1, column[best].1) { index } else { best })
        };
        let mut picks = [0, extreme(|a, b| a < b), extreme(|a, b| a > b), column.len() - 1];
        picks.sort_unstable();
        let mut last = None;
        for pick in picks {
            if last != Some(pick) {
                kept.push(column[pick]);
                last = Some(pick);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sparse_points_stay_as_they_are() {
        let points = [(0.0, 1.0), (10.0, 5.0), (20.0, 2.0)];
        assert_eq!(min_max(&points), points);
        assert_eq!(min_max(&[]), []);
    }

    #[test]
    fn a_spike_among_thousands_survives() {
        let mut points: Vec<Point> = (0..10_000).map(|n| (f64::from(n) / 100.0, 1.0)).collect();
        points[5_555].1 = 99.0;
        let kept = min_max(&points);
        assert!(kept.len() <= 400, "{}", kept.len());
        assert!(kept.contains(&points[5_555]));
    }

    proptest! {
        #[test]
        fn order_ends_and_extremes_of_every_column_are_kept(
            ys in proptest::collection::vec(-1000.0_f64..1000.0, 1..500),
            width in 1.0_f64..300.0,
        ) {
            let scale = width / ys.len() as f64;
            let points: Vec<Point> = ys.iter().enumerate().map(|(n, &y)| (n as f64 * scale, y)).collect();
            let kept = min_max(&points);
            prop_assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert_eq!(kept.first(), points.first());
            prop_assert_eq!(kept.last(), points.last());
            let range = |points: &[Point]| points.iter().fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p.1), high.max(p.1)));
            let in_column = |points: &[Point], column: f64| -> Vec<Point> {
                points.iter().copied().filter(|point| point.0.floor() == column).collect()
            };
            for column in 0..=width as i32 {
                let (all, some) = (in_column(&points, column.into()), in_column(&kept, column.into()));
                prop_assert_eq!(range(&all), range(&some));
                prop_assert!(some.len() <= 4);
            }
        }
    }
}
