//! The rules for dispositions, once more, as simply as they can be said: over the whole set of clicks,
//! sorted by time, with no thought of batches, order of arrival or speed. What the aggregator has
//! judged click by click must come out the same.

use std::collections::{BTreeMap, BTreeSet};

use clickwire_protocol::counts::Disposition;
use uuid::Uuid;

/// Another click of the same user on the same ad counts as the same for so long.
const SAME_CLICK_MS: i64 = 60_000;

/// Length of the windows of the velocity rules; half-open.
const WINDOW_MS: i64 = 60_000;

/// Clicks of one address in a window that are still believed.
const PER_ADDRESS: usize = 100;

/// Clicks of one user in a window that are still believed.
const PER_USER: usize = 50;

/// What the rules need to know of a click.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Its id.
    pub click_id: Uuid,
    /// The time it is counted under; Unix time in milliseconds.
    pub clicked_at_ms: i64,
    /// Posted with a test key.
    pub is_test: bool,
    /// Came later than the horizon, or under a signed id that had expired.
    pub is_late: bool,
    /// Its user agent is empty or declares a robot, it comes from a data centre, or it is a prefetch.
    pub is_robot: bool,
    /// Its signed id is not good.
    pub is_forged: bool,
    /// Whose click, if known.
    pub user_id: Option<String>,
    /// On what.
    pub ad_id: String,
    /// From where, if known; the network of an IPv6 address, for its customer has all of it.
    pub address: Option<String>,
}

/// The disposition of each click, by its id.
pub fn judge(clicks: &[Evidence]) -> BTreeMap<Uuid, Disposition> {
    let (mut duplicates, mut fast) = (BTreeSet::new(), BTreeSet::new());
    let user_and_ad = |click: &Evidence| click.user_id.clone().map(|user_id| (user_id, click.ad_id.clone()));
    for clicks in grouped(clicks, user_and_ad) {
        let repeated = clicks.windows(2).filter(|pair| pair[1].0 - pair[0].0 < SAME_CLICK_MS);
        duplicates.extend(repeated.map(|pair| pair[1].1));
    }
    for clicks in grouped(clicks, |click| click.address.clone()) {
        fast.extend(faster_than(PER_ADDRESS, &clicks));
    }
    for clicks in grouped(clicks, |click| click.user_id.clone()) {
        fast.extend(faster_than(PER_USER, &clicks));
    }
    let disposition = |click: &Evidence| match click {
        Evidence { is_test: true, .. } => Disposition::Test,
        Evidence { is_late: true, .. } => Disposition::Defective,
        Evidence { is_robot: true, .. } => Disposition::Givt,
        Evidence { click_id, .. } if duplicates.contains(click_id) => Disposition::Duplicate,
        Evidence { click_id, .. } if fast.contains(click_id) => Disposition::Sivt,
        Evidence { is_forged: true, .. } => Disposition::Sivt,
        Evidence { .. } => Disposition::Valid,
    };
    clicks.iter().map(|click| (click.click_id, disposition(click))).collect()
}

/// The clicks that have a key, by it, sorted by time and id; tests and what came too late left out.
fn grouped<K: Ord>(clicks: &[Evidence], key: impl Fn(&Evidence) -> Option<K>) -> Vec<Vec<(i64, Uuid)>> {
    let mut groups: BTreeMap<K, Vec<(i64, Uuid)>> = BTreeMap::new();
    for click in clicks.iter().filter(|click| !click.is_test && !click.is_late) {
        if let Some(key) = key(click) {
            groups.entry(key).or_default().push((click.clicked_at_ms, click.click_id));
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort());
    groups
}

/// Those that lie in some window with more than `limit` of them. A window can be moved right until it
/// begins with a click without losing any, so these windows are enough.
fn faster_than(limit: usize, clicks: &[(i64, Uuid)]) -> BTreeSet<Uuid> {
    let mut fast = BTreeSet::new();
    for (first, (begins_ms, _)) in clicks.iter().enumerate() {
        let window: Vec<_> =
            clicks[first..].iter().take_while(|(at_ms, _)| at_ms - begins_ms < WINDOW_MS).collect();
        if window.len() > limit {
            fast.extend(window.into_iter().map(|(_, click_id)| *click_id));
        }
    }
    fast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(id: u128, clicked_at_ms: i64, user: &str, ad: &str, address: &str) -> Evidence {
        Evidence {
            click_id: Uuid::from_u128(id),
            clicked_at_ms,
            is_test: false,
            is_late: false,
            is_robot: false,
            is_forged: false,
            user_id: (!user.is_empty()).then(|| user.to_owned()),
            ad_id: ad.to_owned(),
            address: (!address.is_empty()).then(|| address.to_owned()),
        }
    }

    fn judged(clicks: &[Evidence]) -> Vec<Disposition> {
        judge(clicks).into_values().collect()
    }

    #[test]
    fn a_repeat_within_a_minute_is_a_duplicate_whatever_the_one_before_is() {
        use Disposition::{Duplicate, Givt, Valid};
        let times = [0, 59_999, 119_998, 179_998, 179_998];
        let mut clicks: Vec<_> =
            times.iter().enumerate().map(|(id, &at_ms)| click(id as u128, at_ms, "u", "a", "")).collect();
        assert_eq!(judged(&clicks), [Valid, Duplicate, Duplicate, Valid, Duplicate]);
        clicks[0].is_robot = true;
        assert_eq!(judged(&clicks)[..2], [Givt, Duplicate]);
        clicks[0].is_late = true;
        assert_eq!(judged(&clicks)[..2], [Disposition::Defective, Valid]);
        clicks[1].is_forged = true;
        clicks[2].is_forged = true;
        assert_eq!(judged(&clicks)[1..3], [Disposition::Sivt, Duplicate]);
        assert_eq!(judged(&[click(1, 0, "", "a", ""), click(2, 0, "", "a", "")]), [Valid, Valid]);
        assert_eq!(judged(&[click(1, 0, "u", "a", ""), click(2, 0, "u", "b", "")]), [Valid, Valid]);
    }

    #[test]
    fn a_burst_convicts_all_of_its_window_and_nothing_else() {
        let mut clicks: Vec<_> =
            (0..101).map(|id| click(id, i64::try_from(id).unwrap() * 599, "", "a", "ip")).collect();
        clicks.push(click(101, -60_000, "", "a", "ip"));
        clicks.push(click(102, 120_000, "", "a", "ip"));
        let fast = |clicks: &[Evidence]| {
            judged(clicks).into_iter().filter(|&disposition| disposition == Disposition::Sivt).count()
        };
        assert_eq!(fast(&clicks), 101);
        clicks[50].is_test = true;
        assert_eq!(fast(&clicks), 0, "a test click is neither counted nor convicted");
        let by_user: Vec<_> = (0..51).map(|id| click(id, 0, "u", &format!("ad_{id}"), "")).collect();
        assert_eq!(fast(&by_user), 51);
        assert_eq!(fast(&by_user[1..]), 0);
    }
}
