//! The overview, made from the sums of a view: totals, series by minute, rates, comparison with the period before.
//!
//! The window ends at the edge: now, or where the numbers are known if they are not up to date. The minute of the
//! edge is not over, so it is never compared with others: sparklines and comparisons use full minutes, and what
//! happens right now is the trailing minute.

use std::{collections::BTreeMap, ops::Range, rc::Rc};

use clickwire_protocol::{
    MINUTE_MS,
    alerts::FraudRate,
    counts::Counts,
    live::RATE_SECONDS,
    times::{Minute, UnixMs},
};

use crate::board::{Board, Campaign};

/// The number of seconds whose mean is shown as the rate.
const SMOOTHED_SECONDS: i64 = 5;

/// Number of clicks below which a change means nothing.
const MEANINGFUL_CLICKS: i64 = 30;

/// The severity of a fraud rate, by the deployment's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Calm: below all thresholds, too few clicks to say, or no rule to say it by.
    Calm,
    /// Warning: from the rule's lower threshold on.
    Warning,
    /// Critical: from the rule's higher threshold on.
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
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The campaign, with all that is known of it.
    pub campaign: Rc<Campaign>,
    /// Sum over the window.
    pub total: Counts,
}

/// Full minutes of the window, and as many of the period before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    before: Counts,
    after: Counts,
}

impl Comparison {
    /// Relative change of a count, when it means something: enough clicks before.
    pub fn change(&self, of: fn(&Counts) -> i64) -> Option<f64> {
        let is_meaningful = self.before.clicks() >= MEANINGFUL_CLICKS && of(&self.before) > 0;
        is_meaningful.then(|| (of(&self.after) - of(&self.before)) as f64 / of(&self.before) as f64)
    }

    /// Difference of the fraud rates.
    pub fn change_of_fraud_rate(&self) -> Option<f64> {
        let after = self.after.fraud_rate()?;
        let before = self.before.fraud_rate().filter(|_| self.before.clicks() >= MEANINGFUL_CLICKS)?;
        Some(after - before)
    }
}

/// A window of clicks, up to its edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// End of the window, in milliseconds since the Unix epoch.
    pub edge_ms: i64,
    /// The first minute of the window.
    pub first_minute: Minute,
    /// Sum over the window.
    pub total: Counts,
    /// One entry a minute of the window; the last is the edge's.
    pub by_minute: Vec<Counts>,
    /// Most clicks first, then by id.
    pub rows: Vec<Row>,
    /// Index of the window's first minute in the campaigns' series.
    skipped: usize,
    /// Clicks a second, one entry for each of the last [`RATE_SECONDS`] that is known; the last is what is going on
    /// now.
    pub rates: Vec<f64>,
    /// The window beside the period before it, if that is known.
    pub comparison: Option<Comparison>,
}

impl Overview {
    /// The last `window_minutes` of a view before the edge; fewer if no more are known.
    pub fn new(board: &Board, edge_ms: i64, window_minutes: u32) -> Self {
        let last = UnixMs(edge_ms).minute();
        let window = i64::from(window_minutes.max(1));
        let first_minute = (last - window + 1).max(board.first()).min(last);
        let skipped = usize::try_from(first_minute - board.first()).unwrap_or(0);
        let minutes = usize::try_from(last - first_minute + 1).unwrap_or(1);
        let numbers = skipped..skipped + minutes;
        let by_minute = numbers.clone().map(|number| board.total().at(number)).collect();
        let row = |campaign: &Rc<Campaign>| Row {
            campaign: Rc::clone(campaign),
            total: campaign.series.sum(numbers.clone()),
        };
        let mut rows: Vec<Row> = board.campaigns().map(row).filter(|row| row.total.received() > 0).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.total.clicks()));
        let full = minutes as i64 - 1;
        let before = (full > 0 && minutes as i64 == window)
            .then(|| board.past_total(first_minute - window, full))
            .flatten();
        let after = board.total().sum(skipped..skipped + full as usize);
        Self {
            edge_ms,
            first_minute,
            total: board.total().sum(numbers),
            by_minute,
            rows,
            skipped,
            rates: Vec::new(),
            comparison: before.map(|before| Comparison { before, after }),
        }
    }

    /// Learns the rates: `known` seconds, and the second from which on one that is not among them had no click.
    pub fn measure(&mut self, known: &BTreeMap<i64, i64>, from: i64) {
        self.rates = rates(known, from, self.edge_ms);
    }

    /// Returns the present rate, in clicks a second, if it is known.
    pub fn per_second(&self) -> Option<f64> {
        self.rates.last().copied()
    }

    /// Counts of a campaign by minute of the window.
    pub fn by_minute_of<'a>(&self, row: &'a Row) -> impl Iterator<Item = Counts> + use<'a> {
        let Range { start, end } = self.skipped..self.skipped + self.by_minute.len();
        (start..end).map(|number| row.campaign.series.at(number))
    }

    /// Returns the number of minutes that are shown.
    pub fn minutes(&self) -> u32 {
        u32::try_from(self.by_minute.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether nothing was received in the window.
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

    /// Returns the part of the edge's minute that has passed, 0 to 1.
    pub fn minute_passed(&self) -> f64 {
        self.edge_ms.rem_euclid(MINUTE_MS) as f64 / MINUTE_MS as f64
    }

    /// Returns an estimate of the clicks in the 60 s before the edge; `None` if the minute before is not known.
    pub fn trailing_minute(&self) -> Option<f64> {
        (self.by_minute.len() > 1).then(|| trailing(&self.by_minute, self.minute_passed()))
    }
}

/// Clicks a second, for each of the last seconds that are over and known: the mean of a few up to it, so that a curve
/// moves and does not twitch.
fn rates(known: &BTreeMap<i64, i64>, from: i64, now_ms: i64) -> Vec<f64> {
    let last = now_ms.div_euclid(1_000) - 1;
    let clicks = |second| known.get(&second).map_or(0.0, |&clicks| clicks as f64);
    (from.max(last - RATE_SECONDS + 1)..=last)
        .map(|second| {
            let first = (second - SMOOTHED_SECONDS + 1).max(from);
            (first..=second).map(clicks).sum::<f64>() / (second - first + 1) as f64
        })
        .collect()
}

/// Returns an estimate of the clicks in the last 60 s: the present minute so far, and of the
/// minute before the part that is not yet 60 s ago.
pub fn trailing(by_minute: &[Counts], minute_passed: f64) -> f64 {
    match by_minute {
        [.., before, present] => before.clicks() as f64 * (1.0 - minute_passed) + present.clicks() as f64,
        [present] => present.clicks() as f64,
        [] => 0.0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::board::tests::cells;

    /// A board whose window begins at a minute: minute, campaign, valid and sivt clicks.
    pub(crate) fn board(first: i64, of: &[(i64, &str, i64, i64)]) -> Board {
        let mut board = Board::default();
        board.replace(Minute(first), cells(of));
        board
    }

    #[test]
    fn the_window_holds_its_minutes_and_no_others() {
        let board = board(
            94,
            &[(94, "a", 100, 0), (95, "a", 1, 0), (99, "b", 7, 1), (100, "a", 2, 0), (101, "a", 50, 0)],
        );
        let overview = Overview::new(&board, 100 * MINUTE_MS + 30_000, 6);
        assert_eq!(overview.first_minute, Minute(95));
        assert_eq!(overview.total.clicks(), 11);
        let by_minute: Vec<i64> = overview.by_minute.iter().map(Counts::clicks).collect();
        assert_eq!(by_minute, [1, 0, 0, 0, 8, 2]);
        let order: Vec<(&str, i64)> =
            overview.rows.iter().map(|row| (&*row.campaign.id, row.total.clicks())).collect();
        assert_eq!(order, [("b", 8), ("a", 3)]);
        let of_a: Vec<i64> = overview.by_minute_of(&overview.rows[1]).map(|counts| counts.clicks()).collect();
        assert_eq!(of_a, [1, 0, 0, 0, 0, 2]);
        assert_eq!(overview.trailing_minute(), Some(6.0), "half of 8, and 2");
        assert_eq!(overview.steps(), overview.full_minutes());
        assert!(Overview::new(&Board::default(), 0, 60).is_empty());
    }

    #[test]
    fn minutes_that_are_not_known_are_not_shown_as_empty() {
        let board = board(98, &[(99, "a", 5, 0)]);
        let overview = Overview::new(&board, 100 * MINUTE_MS, 240);
        assert_eq!((overview.first_minute, overview.minutes()), (Minute(98), 3));
        assert_eq!(Overview::new(&board, 98 * MINUTE_MS, 240).trailing_minute(), None);
        assert_eq!(
            Overview::new(&board, 90 * MINUTE_MS, 240).minutes(),
            1,
            "an edge before all that is known"
        );
    }

    #[test]
    fn a_small_curve_has_steps_of_equal_length() {
        let mut wide = Board::default();
        wide.replace(Minute(0), cells(&[(239, "a", 1, 0)]));
        assert_eq!(Overview::new(&wide, 239 * MINUTE_MS, 240).steps().len(), 59, "of 4 minutes each");
    }

    #[test]
    fn the_trailing_minute_is_continuous_where_a_minute_ends() {
        let counts = |valid| Counts { valid, ..Counts::default() };
        assert_eq!(trailing(&[counts(40), counts(60)], 1.0), trailing(&[counts(60), counts(0)], 0.0));
        assert_eq!(trailing(&[], 0.5), 0.0);
    }

    #[test]
    fn rates_are_smooth_and_of_seconds_that_are_over_and_known() {
        let known = BTreeMap::from([(97, 10), (99, 5), (100, 90)]);
        assert_eq!(rates(&known, 97, 100_999), [10.0, 5.0, 5.0], "nothing is known of what was before");
        assert_eq!(rates(&known, 95, 100_999)[4], (0.0 + 0.0 + 10.0 + 0.0 + 5.0) / 5.0);
        assert_eq!(rates(&known, 0, 100_999).len(), 60);
        assert!(rates(&BTreeMap::new(), 100, 100_999).is_empty(), "this second is not over");
        assert_eq!(rates(&BTreeMap::new(), 90, 92_000), [0.0, 0.0], "watched, and nothing came");
    }

    #[test]
    fn a_window_is_compared_with_the_period_before_where_that_says_something() {
        let counts = |valid, sivt| Counts { valid, sivt, ..Counts::default() };
        let compared = |past: &[Counts]| {
            let mut board =
                board(100, &[(100, "a", 50, 0), (101, "a", 60, 0), (102, "a", 10, 5), (103, "a", 9, 0)]);
            board.ask_past(past.len() as i64);
            board.learn_past(Minute(100 - past.len() as i64), past);
            Overview::new(&board, 103 * MINUTE_MS + 5_000, 4).comparison
        };
        let grown = compared(&[counts(40, 0), counts(40, 0), counts(16, 4), counts(900, 0)]).unwrap();
        assert_eq!(grown.change(Counts::clicks), Some(0.25), "125 in three minutes after 100");
        assert_eq!(grown.change(|counts| counts.valid), Some(0.25), "120 after 96");
        assert_eq!(grown.change_of_fraud_rate(), Some(0.0), "5 of 125 after 4 of 100");
        let few = compared(&[counts(10, 0), counts(10, 0), counts(9, 0), counts(0, 0)]).unwrap();
        assert_eq!((few.change(Counts::clicks), few.change_of_fraud_rate()), (None, None));
        let nothing_known = board(100, &[(100, "a", 50, 0)]);
        assert_eq!(Overview::new(&nothing_known, 103 * MINUTE_MS, 4).comparison, None);
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
