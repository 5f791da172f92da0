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

/// A click's id and its advertiser, within which the id is a name.
pub type Name = (Uuid, String);

/// The data of a click that the rules need.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Its id.
    pub click_id: Uuid,
    /// The advertiser of the click.
    pub advertiser_id: String,
    /// Posted with a key that is bound to advertisers.
    pub is_bound: bool,
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
    /// The user who clicked, if known.
    pub user_id: Option<String>,
    /// On what.
    pub ad_id: String,
    /// From where, if known; the network of an IPv6 address, for its customer has all of it.
    pub address: Option<String>,
}

impl Evidence {
    /// Returns the name by which the click is known.
    pub fn name(&self) -> Name {
        (self.click_id, self.advertiser_id.clone())
    }

    fn of(&self) -> String {
        self.advertiser_id.clone()
    }
}

/// The disposition of each click.
pub fn judge(clicks: &[Evidence]) -> BTreeMap<Name, Disposition> {
    let (mut duplicates, mut fast) = (BTreeSet::new(), BTreeSet::new());
    // Users and ads are names within an advertiser.
    let user = |click: &Evidence| Some((click.of(), click.user_id.clone()?));
    for clicks in grouped(clicks, |click| Some((user(click)?, click.ad_id.clone()))) {
        let repeated = clicks.windows(2).filter(|pair| pair[1].0 - pair[0].0 < SAME_CLICK_MS);
        duplicates.extend(repeated.map(|pair| pair[1].1.clone()));
    }
    for clicks in grouped(clicks, user) {
        fast.extend(faster_than(PER_USER, &clicks));
    }
    // Of an address, an advertiser's click is seen beside all others of that advertiser and those that the
    // operator vouches for.
    let advertisers: BTreeSet<String> = clicks.iter().map(Evidence::of).collect();
    for advertiser in advertisers {
        let is_seen = |click: &&Evidence| click.advertiser_id == advertiser || !click.is_bound;
        let seen: Vec<Evidence> = clicks.iter().filter(is_seen).cloned().collect();
        for clicks in grouped(&seen, |click| click.address.clone()) {
            let convicted = faster_than(PER_ADDRESS, &clicks).into_iter();
            fast.extend(convicted.filter(|(_, of)| *of == advertiser));
        }
    }
    let disposition = |click: &Evidence| match click {
        Evidence { is_test: true, .. } => Disposition::Test,
        Evidence { is_late: true, .. } => Disposition::Defective,
        Evidence { is_robot: true, .. } => Disposition::Givt,
        click if duplicates.contains(&click.name()) => Disposition::Duplicate,
        click if fast.contains(&click.name()) => Disposition::Sivt,
        Evidence { is_forged: true, .. } => Disposition::Sivt,
        Evidence { .. } => Disposition::Valid,
    };
    clicks.iter().map(|click| (click.name(), disposition(click))).collect()
}

/// The clicks that have a key, by it, sorted by time and id; tests and what came too late left out.
fn grouped<K: Ord>(clicks: &[Evidence], key: impl Fn(&Evidence) -> Option<K>) -> Vec<Vec<(i64, Name)>> {
    let mut groups: BTreeMap<K, Vec<(i64, Name)>> = BTreeMap::new();
    for click in clicks.iter().filter(|click| !click.is_test && !click.is_late) {
        if let Some(key) = key(click) {
            groups.entry(key).or_default().push((click.clicked_at_ms, click.name()));
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort());
    groups
}

/// Those that lie in some window with more than `limit` of them. A window can be moved right until it
/// begins with a click without losing any, so these windows are enough.
fn faster_than(limit: usize, clicks: &[(i64, Name)]) -> BTreeSet<Name> {
    let mut fast = BTreeSet::new();
    for (first, (begins_ms, _)) in clicks.iter().enumerate() {
        let window: Vec<_> =
            clicks[first..].iter().take_while(|(at_ms, _)| at_ms - begins_ms < WINDOW_MS).collect();
        if window.len() > limit {
            fast.extend(window.into_iter().map(|(_, name)| name.clone()));
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
            advertiser_id: "adv_001".to_owned(),
            is_bound: false,
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

    #[test]
    fn what_a_bound_key_posts_speaks_about_its_own_advertiser_alone() {
        use Disposition::{Duplicate, Sivt, Valid};
        let of = |advertiser: &str, is_bound: bool, click: Evidence| Evidence {
            advertiser_id: advertiser.to_owned(),
            is_bound,
            ..click
        };
        let same = [click(1, 0, "u", "a", ""), of("adv_002", false, click(1, 1, "u", "a", ""))];
        assert_eq!(judged(&same), [Valid, Valid], "another advertiser's user, ad and click id");
        assert_eq!(judged(&[same[0].clone(), click(2, 1, "u", "a", "")]), [Valid, Duplicate]);
        // 60 that are vouched for, of two advertisers, and 41 of each of two others' bound keys.
        let mut clicks: Vec<_> = (0..60).map(|id| click(id, 0, "", "a", "ip")).collect();
        clicks.iter_mut().skip(30).for_each(|click| click.advertiser_id = "adv_002".to_owned());
        clicks.extend((60..101).map(|id| of("adv_002", true, click(id, 0, "", "a", "ip"))));
        clicks.extend((200..240).map(|id| of("adv_003", true, click(id, 0, "", "a", "ip"))));
        let judged = judge(&clicks);
        let convicted = |advertiser: &str| {
            judged.iter().filter(|((_, of), verdict)| of == advertiser && **verdict == Sivt).count()
        };
        assert_eq!(["adv_001", "adv_002", "adv_003"].map(convicted), [0, 71, 0]);
    }
}
