//! The rules of a preview against clicks that are written out.

use serde_json::json;

use super::*;
use crate::rules::tests::defaults;

/// A click at a time, of a user and an address.
fn click(at_ms: i64, advertiser: &str, user: &str, address: u8, is_bound: bool) -> Click {
    Click {
        click_id: Uuid::from_u128(at_ms as u128),
        clicked_at_ms: UnixMs(at_ms),
        received_at_ms: UnixMs(at_ms),
        advertiser_id: AdvertiserId::unchecked(advertiser),
        ad_id: AdId::unchecked("ad_001"),
        user_id: (!user.is_empty()).then(|| user.to_owned()),
        ip_hash: (address > 0).then(|| vec![address]),
        is_bound,
        disposition: Disposition::Valid,
        evidence: Evidence::default(),
        is_released: false,
    }
}

fn setting(rule: Rule, parameters: &serde_json::Value) -> Setting {
    Setting::new(rule, Mode::Flag, parameters).unwrap()
}

#[test]
fn a_duplicate_follows_a_click_of_the_same_user_on_the_same_ad() {
    let mut clicks = vec![
        click(0, "adv_001", "a", 0, false),
        click(1_000, "adv_002", "a", 0, false),
        click(9_999, "adv_001", "a", 0, false),
        click(19_999, "adv_001", "a", 0, false),
        click(20_000, "adv_001", "", 0, false),
        click(20_001, "adv_001", "a", 0, false),
    ];
    clicks[5].ad_id = AdId::unchecked("ad_002");
    let setting = setting(Rule::Duplicate, &json!({"window_seconds": 10}));
    assert_eq!(apply(Rule::Duplicate, setting, &clicks), [false, false, true, false, false, false]);
}

#[test]
fn addresses_are_judged_in_pools() {
    let setting = setting(Rule::IpVelocity, &json!({"threshold": 2, "window_seconds": 10}));
    let owners = |clicks: &[(&str, bool)]| {
        let clicks: Vec<Click> = (0..)
            .zip(clicks)
            .map(|(at_ms, (owner, is_bound))| click(at_ms, owner, "", 1, *is_bound))
            .collect();
        apply(Rule::IpVelocity, setting, &clicks)
    };
    // Vouched clicks of all advertisers count together.
    assert_eq!(owners(&[("a", false), ("b", false), ("a", false)]), [true; 3]);
    // Bound ones speak for their advertiser's clicks only.
    assert_eq!(owners(&[("a", true), ("b", false), ("a", false)]), [true, false, true]);
    assert_eq!(owners(&[("a", true), ("b", true), ("c", true)]), [false; 3]);
    assert_eq!(owners(&[("a", true), ("a", true), ("a", true)]), [true; 3]);
}

#[test]
fn users_belong_to_an_advertiser() {
    let setting = setting(Rule::UserVelocity, &json!({"threshold": 1, "window_seconds": 10}));
    let clicks = [
        click(0, "a", "u", 0, false),
        click(1, "b", "u", 0, false),
        click(2, "a", "v", 0, false),
        click(10_001, "a", "u", 0, false),
        click(10_002, "a", "u", 0, false),
    ];
    assert_eq!(apply(Rule::UserVelocity, setting, &clicks), [false, false, false, true, true]);
}

#[test]
fn other_evidence_and_releases_stay() {
    let rules = |mode| {
        defaults().with(Rule::UserVelocity, Setting { mode, threshold: 1, window_seconds: 10, list: 0 })
    };
    let mut robot = click(0, "a", "u", 0, false);
    robot.disposition = Disposition::Givt;
    robot.evidence.add(Rule::UserAgent);
    robot.evidence.add(Rule::UserVelocity);
    let mut fast = click(0, "a", "u", 0, false);
    fast.disposition = Disposition::Sivt;
    fast.evidence.add(Rule::UserVelocity);
    let mut released = click(0, "a", "u", 0, false);
    released.is_released = true;
    for (mode, found, expected) in [
        (Mode::Flag, true, [Disposition::Givt, Disposition::Sivt, Disposition::Valid]),
        (Mode::Flag, false, [Disposition::Givt, Disposition::Valid, Disposition::Valid]),
        (Mode::ReportOnly, true, [Disposition::Givt, Disposition::Valid, Disposition::Valid]),
        (Mode::Off, false, [Disposition::Givt, Disposition::Valid, Disposition::Valid]),
    ] {
        let verdicts =
            [&robot, &fast, &released].map(|click| click.verdict(Rule::UserVelocity, found, &rules(mode)));
        assert_eq!(verdicts, expected, "{mode:?} {found}");
    }
}

#[test]
fn a_step_shrinks_where_it_is_busy_and_grows_slowly_where_it_is_quiet() {
    for (step_ms, found, expected) in [
        (FIRST_MS, Some(0), Some(4 * FIRST_MS)),
        (FIRST_MS, Some(STEP_CLICKS), Some(FIRST_MS)),
        (FIRST_MS, Some(2 * STEP_CLICKS), Some(FIRST_MS / 2)),
        (LONGEST_MS, Some(1), Some(LONGEST_MS)),
        (LONGEST_MS, None, Some(LONGEST_MS / 8)),
        (2_000, None, Some(SHORTEST_MS)),
        (SHORTEST_MS, None, None),
        (SHORTEST_MS, Some(STEP_MAX), Some(SHORTEST_MS)),
    ] {
        assert_eq!(next_step(step_ms, found), expected, "{step_ms} {found:?}");
    }
}

#[test]
fn what_was_not_kept_is_not_guessed() {
    let clicks = [click(0, "a", "u", 0, false)];
    let off = Setting { mode: Mode::Off, threshold: 0, window_seconds: 0, list: 0 };
    let was_off = defaults().with(Rule::Prefetch, off);
    let prefetch = setting(Rule::Prefetch, &json!({}));
    assert!(matches!(check(&was_off, Rule::Prefetch, prefetch, &clicks), Err(Error::WasOff)));
    assert!(check(&was_off, Rule::Prefetch, off, &clicks).is_ok());
    assert!(check(&defaults(), Rule::Prefetch, prefetch, &clicks).is_ok());
    let other_list = setting(Rule::UserAgent, &json!({"list": 1}));
    assert!(matches!(check(&defaults(), Rule::UserAgent, other_list, &clicks), Err(Error::NotKept)));
}

#[test]
fn clicks_beside_the_range_are_judged_with_and_not_counted() {
    let setting = setting(Rule::UserVelocity, &json!({"threshold": 2, "window_seconds": 10}));
    let clicks = [999, 1_000, 1_001, 2_000].map(|at_ms| click(at_ms, "adv_001", "a", 0, false)).into();
    let rules = defaults().with(Rule::UserVelocity, setting);
    let (start, end) = (UnixMs(1_000), UnixMs(2_000));
    let preview =
        Preview { rule: Rule::UserVelocity, setting, rules, clicks, start, end, is_cut: false }.verdicts();
    assert_eq!((preview.counted.valid, preview.previewed.sivt), (2, 2), "of the range alone");
    assert_eq!((preview.to_invalid, preview.to_valid), (2, 0));
    assert_eq!(preview.advertisers[0].clicks, 2);
}
