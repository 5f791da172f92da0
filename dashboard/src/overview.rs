//! What the page shows, out of the cells of a view: totals, series by minute, rates.
//!
//! The present minute is not over, so it is never compared with others: sparklines and changes use
//! full minutes, and what happens right now is the trailing minute.

use std::collections::BTreeMap;

use clickwire_protocol::{
    MINUTE_MS,
    alerts::FraudRate,
    counts::Counts,
    live::{RATE_SECONDS, ViewState},
    times::{Minute, UnixMs},
};

/// Of so many seconds the mean is shown as the rate.
const SMOOTHED_SECONDS: i64 = 5;

/// Fewer clicks than this say nothing about a change.
const MEANINGFUL_CLICKS: i64 = 30;

/// How bad a fraud rate is, by the deployment's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Below all thresholds, too few clicks to say, or no rule to say it by.
    Calm,
    /// From the rule's lower threshold on.
    Warning,
    /// From its higher threshold on.
    Critical,
}

/// The severity of these counts' fraud rate.
pub fn severity(counts: &Counts, rule: Option<&FraudRate>) -> Severity {
    let clicks = counts.clicks();
    let Some(rule) = rule.filter(|rule| clicks > 0 && clicks >= i64::from(rule.minimum_clicks)) else {
        return Severity::Calm;
    };
    let reaches = |percent: u32| counts.fraud() * 100 >= clicks * i64::from(percent);
    if reaches(rule.critical_percent) {
        Severity::Critical
    } else if reaches(rule.warning_percent) {
        Severity::Warning
    } else {
        Severity::Calm
    }
}

/// One campaign in the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Campaign {
    /// Its id.
    pub id: String,
    /// Sum over the window.
    pub total: Counts,
    /// One entry a minute of the window.
    pub by_minute: Vec<Counts>,
}

/// A window of clicks, up to now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// The first minute of the window.
    pub first_minute: Minute,
    /// Sum over the window.
    pub total: Counts,
    /// One entry a minute of the window; the last is the present one.
    pub by_minute: Vec<Counts>,
    /// Most clicks first, then by id.
    pub campaigns: Vec<Campaign>,
    /// Clicks a second, one entry for each of the last [`RATE_SECONDS`]; the last is what is going on now.
    pub rates: Vec<f64>,
}

impl Overview {
    /// The last `window_minutes` of a view grouped by campaign.
    pub fn new(state: &ViewState, now_ms: i64, window_minutes: u32) -> Self {
        let minutes = window_minutes.max(1) as usize;
        let first_minute = UnixMs(now_ms).minute() - minutes as i64 + 1;
        let mut overview =
            Self { now_ms, first_minute, by_minute: vec![Counts::default(); minutes], ..Self::default() };
        let mut campaigns: BTreeMap<&str, Campaign> = BTreeMap::new();
        for (&(minute, ref group), &counts) in state.cells.range((first_minute, Vec::new())..) {
            let Some(total) =
                usize::try_from(minute - first_minute).ok().and_then(|n| overview.by_minute.get_mut(n))
            else {
                continue; // ahead of this clock
            };
            *total += counts;
            overview.total += counts;
            let id = group.first().map_or("", String::as_str);
            let campaign = campaigns.entry(id).or_insert_with(|| Campaign {
                id: id.to_owned(),
                total: Counts::default(),
                by_minute: vec![Counts::default(); minutes],
            });
            campaign.total += counts;
            campaign.by_minute[(minute - first_minute) as usize] += counts;
        }
        overview.campaigns = campaigns.into_values().collect();
        overview.campaigns.sort_by_key(|campaign| std::cmp::Reverse(campaign.total.clicks()));
        overview.rates = rates(&state.rates, now_ms, overview.trailing_minute() / 60.0);
        overview
    }

    /// Whether anything at all was received.
    pub fn is_empty(&self) -> bool {
        self.total.received() == 0
    }

    /// Full minutes, oldest first.
    pub fn full_minutes(&self) -> &[Counts] {
        &self.by_minute[..self.by_minute.len().saturating_sub(1)]
    }

    /// Full minutes in at most 60 steps of equal length, oldest first: what a small curve can show.
    pub fn steps(&self) -> Vec<Counts> {
        let full = self.full_minutes();
        let mut steps: Vec<Counts> = full
            .rchunks_exact(full.len().div_ceil(60).max(1))
            .map(|minutes| minutes.iter().copied().sum())
            .collect();
        steps.reverse();
        steps
    }

    /// How much of the present minute has passed, 0 to 1.
    pub fn minute_passed(&self) -> f64 {
        self.now_ms.rem_euclid(MINUTE_MS) as f64 / MINUTE_MS as f64
    }

    /// About how many clicks came in the last 60 s.
    pub fn trailing_minute(&self) -> f64 {
        trailing(&self.by_minute, self.minute_passed())
    }

    /// Relative change of clicks from the earlier to the later half of the window, when it means
    /// something: enough clicks before, and clicks from the half's beginning.
    pub fn change_of_clicks(&self) -> Option<f64> {
        self.change(Counts::clicks)
    }

    /// As [`Self::change_of_clicks`], of billable clicks.
    pub fn change_of_billable(&self) -> Option<f64> {
        self.change(|counts| counts.valid)
    }

    /// Difference of the fraud rate between the halves.
    pub fn change_of_fraud_rate(&self) -> Option<f64> {
        let (before, after) = self.halves()?;
        Some(after.fraud_rate()? - before.fraud_rate()?)
    }

    fn change(&self, of: fn(&Counts) -> i64) -> Option<f64> {
        let (before, after) = self.halves()?;
        (of(&before) > 0).then(|| (of(&after) - of(&before)) as f64 / of(&before) as f64)
    }

    fn halves(&self) -> Option<(Counts, Counts)> {
        let full = self.full_minutes();
        let half = full.len() / 2;
        let (before, after) = full[full.len() - 2 * half..].split_at(half);
        let began = before.iter().take((half / 4).max(1)).any(|counts| counts.clicks() > 0);
        let sums: (Counts, Counts) = (before.iter().copied().sum(), after.iter().copied().sum());
        (began && sums.0.clicks() >= MEANINGFUL_CLICKS).then_some(sums)
    }
}

/// Clicks a second, for each of the last seconds that are over the mean of a few up to it, so that a curve
/// moves and does not twitch. Seconds before the first that is known are taken to have been as `usual`.
fn rates(known: &BTreeMap<i64, i64>, now_ms: i64, usual: f64) -> Vec<f64> {
    let last = now_ms.div_euclid(1_000) - 1;
    let first_known = known.first_key_value().map_or(i64::MAX, |(&second, _)| second);
    let clicks = |second| match known.get(&second) {
        Some(&clicks) => clicks as f64,
        None if second < first_known => usual,
        None => 0.0,
    };
    (last - RATE_SECONDS + 1..=last)
        .map(|second| {
            (second - SMOOTHED_SECONDS + 1..=second).map(clicks).sum::<f64>() / SMOOTHED_SECONDS as f64
        })
        .collect()
}

/// About how many of these clicks came in the last 60 s: the present minute so far, and of the
/// minute before the part that is not yet 60 s ago.
pub fn trailing(by_minute: &[Counts], minute_passed: f64) -> f64 {
    match by_minute {
        [.., before, present] => before.clicks() as f64 * (1.0 - minute_passed) + present.clicks() as f64,
        [present] => present.clicks() as f64,
        [] => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::live::ViewCell;

    use super::*;

    fn state(cells: &[(i64, &str, i64, i64)]) -> ViewState {
        let mut state = ViewState::default();
        let cells = cells.iter().map(|&(minute, campaign, valid, sivt)| ViewCell {
            minute: Minute(minute),
            group: vec![campaign.to_owned()],
            counts: Counts { valid, sivt, ..Counts::default() },
        });
        state.replace("e".into(), 1, cells.collect());
        state
    }

    #[test]
    fn the_window_holds_its_minutes_and_no_others() {
        let state = state(&[
            (94, "a", 100, 0),
            (95, "a", 1, 0),
            (99, "b", 7, 1),
            (100, "a", 2, 0),
            (101, "a", 50, 0),
        ]);
        let overview = Overview::new(&state, 100 * MINUTE_MS + 30_000, 6);
        assert_eq!(overview.first_minute, Minute(95));
        assert_eq!(overview.total.clicks(), 11);
        let by_minute: Vec<i64> = overview.by_minute.iter().map(Counts::clicks).collect();
        assert_eq!(by_minute, [1, 0, 0, 0, 8, 2]);
        let order: Vec<(&str, i64)> = overview
            .campaigns
            .iter()
            .map(|campaign| (campaign.id.as_str(), campaign.total.clicks()))
            .collect();
        assert_eq!(order, [("b", 8), ("a", 3)]);
        assert_eq!(overview.trailing_minute(), 6.0, "half of 8, and 2");
        assert_eq!(overview.steps(), overview.full_minutes());
        assert_eq!(Overview::new(&state, 100 * MINUTE_MS, 240).steps().len(), 59, "of 4 minutes each");
        assert!(Overview::new(&ViewState::default(), 0, 60).is_empty());
    }

    #[test]
    fn the_trailing_minute_is_continuous_where_a_minute_ends() {
        let counts = |valid| Counts { valid, ..Counts::default() };
        assert_eq!(trailing(&[counts(40), counts(60)], 1.0), trailing(&[counts(60), counts(0)], 0.0));
        assert_eq!(trailing(&[], 0.5), 0.0);
    }

    #[test]
    fn rates_are_smooth_and_end_with_the_last_second_that_is_over() {
        let known = BTreeMap::from([(97, 10), (99, 5), (100, 90)]);
        let rates = rates(&known, 100_999, 2.0);
        assert_eq!(rates.len(), 60);
        assert_eq!(rates[0], 2.0, "nothing is known of it");
        assert_eq!(rates[59], (2.0 + 2.0 + 10.0 + 0.0 + 5.0) / 5.0);
    }

    #[test]
    fn changes_need_enough_clicks_from_the_beginning() {
        let minute = |n: i64, valid, sivt| (100 + n, "a", valid, sivt);
        let grown =
            state(&[minute(0, 50, 0), minute(1, 50, 0), minute(2, 75, 0), minute(3, 45, 5), minute(4, 9, 0)]);
        let overview = Overview::new(&grown, 104 * MINUTE_MS, 5);
        assert_eq!(overview.change_of_clicks(), Some(0.25));
        assert_eq!(overview.change_of_billable(), Some(0.2));
        assert_eq!(overview.change_of_fraud_rate(), Some(0.04));
        let few = state(&[minute(0, 20, 0), minute(3, 90, 0)]);
        assert_eq!(Overview::new(&few, 104 * MINUTE_MS, 5).change_of_clicks(), None);
        let begun_late = state(&[minute(1, 50, 0), minute(3, 90, 0)]);
        assert_eq!(Overview::new(&begun_late, 104 * MINUTE_MS, 5).change_of_clicks(), None);
    }

    #[test]
    fn severity_is_as_the_rule_has_it() {
        let rule =
            FraudRate { warning_percent: 3, critical_percent: 5, minimum_clicks: 30, window_minutes: 10 };
        let counts = |valid, sivt| Counts { valid, sivt, ..Counts::default() };
        let of = |valid, sivt| severity(&counts(valid, sivt), Some(&rule));
        assert_eq!(of(10, 10), Severity::Calm);
        assert_eq!(of(98, 2), Severity::Calm);
        assert_eq!(of(97, 3), Severity::Warning);
        assert_eq!(of(95, 5), Severity::Critical);
        assert_eq!(of(0, 0), Severity::Calm);
        let stern = FraudRate { warning_percent: 1, critical_percent: 2, minimum_clicks: 0, ..rule };
        assert_eq!(severity(&counts(98, 2), Some(&stern)), Severity::Critical);
        assert_eq!(severity(&counts(0, 0), Some(&stern)), Severity::Calm);
        assert_eq!(severity(&counts(1, 99), None), Severity::Calm, "the rule is off, or not known yet");
    }
}
