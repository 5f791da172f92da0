//! Runs of clicks against the rule as it is written.

use super::*;

fn unix_ms(times: &[i64]) -> Vec<UnixMs> {
    times.iter().copied().map(UnixMs).collect()
}

/// Applies the rule as it is written: tries every window that begins at a click.
fn by_definition(times: &[i64], of: usize, threshold: usize, window_ms: i64) -> bool {
    times.iter().any(|&start| {
        let holds = |time: i64| (start..start + window_ms).contains(&time);
        holds(times[of]) && times.iter().filter(|&&time| holds(time)).count() > threshold
    })
}

#[test]
fn runs_convict_exactly_what_windows_convict() {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..2_000 {
        let mut times: Vec<i64> = (0..random(40)).map(|_| random(200) as i64).collect();
        times.sort_unstable();
        let (threshold, window_ms) = (1 + random(6) as usize, 1 + random(40) as i64);
        let found = convicted(&unix_ms(&times), &vec![Some((threshold, window_ms)); times.len()]);
        for (place, &found) in found.iter().enumerate() {
            let expected = by_definition(&times, place, threshold, window_ms);
            assert_eq!(found, expected, "{times:?}[{place}], {threshold} in {window_ms}");
        }
    }
}

#[test]
fn a_click_is_convicted_by_its_own_limit_and_counts_for_the_others() {
    let limits = [None, Some((5, 100)), Some((3, 100)), Some((3, 100))];
    assert_eq!(convicted(&unix_ms(&[0, 10, 20, 30]), &limits), [false, false, true, true]);
}

#[test]
fn clicks_of_one_key_that_are_near_each_other_make_a_cluster() {
    let adv_001 = AdvertiserId::unchecked("adv_001");
    let (a, b, bound) = (("a", None), ("b", None), ("a", Some(&adv_001)));
    let clicks = [(b, 5_000), (a, 2_500), (a, 1_000), (bound, 2_600), (a, 2_000), (a, 4_000)];
    let found = clusters(clicks.into_iter().map(|(subject, at)| (subject, UnixMs(at))));
    let found: Vec<_> =
        found.iter().map(|found| (found.subject, found.first_ms.0, found.last_ms.0)).collect();
    assert_eq!(found, [(a, 1_000, 2_500), (a, 4_000, 4_000), (bound, 2_600, 2_600), (b, 5_000, 5_000)]);
}
