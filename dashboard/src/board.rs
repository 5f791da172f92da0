//! The cells of a view as sums that are kept up: by minute and by campaign.
//!
//! A change costs as much as it has cells, however many campaigns there are; a campaign that did not change is the
//! same [`Rc`], so that what shows it knows that nothing is to be drawn. Minutes that leave the window leave their
//! total behind for as long as a window is compared with the period before.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    rc::Rc,
};

use clickwire_protocol::{counts::Counts, live::ViewCell, times::Minute};

/// Counts of consecutive minutes, and their sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    by_minute: VecDeque<Counts>,
    total: Counts,
}

impl Series {
    /// Counts of the minute with a number from the first.
    pub fn at(&self, number: usize) -> Counts {
        self.by_minute.get(number).copied().unwrap_or_default()
    }

    /// Sum over the minutes with these numbers; it costs as much as there are others.
    pub fn sum(&self, numbers: Range<usize>) -> Counts {
        let before = self.by_minute.iter().take(numbers.start);
        let after = self.by_minute.iter().skip(numbers.end.max(numbers.start));
        before.chain(after).fold(self.total, |total, &counts| total - counts)
    }

    fn add(&mut self, number: usize, difference: Counts) {
        if self.by_minute.len() <= number {
            self.by_minute.resize(number + 1, Counts::default());
        }
        if let Some(counts) = self.by_minute.get_mut(number) {
            *counts += difference;
        }
        self.total += difference;
    }

    fn forget(&mut self, minutes: usize) {
        for counts in self.by_minute.drain(..minutes.min(self.by_minute.len())) {
            self.total = self.total - counts;
        }
    }
}

/// One campaign of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Its id.
    pub id: Rc<str>,
    /// Its counts.
    pub series: Series,
}

/// A view's counts.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// First minute of every series.
    first: Minute,
    total: Series,
    campaigns: BTreeMap<String, Rc<Campaign>>,
    /// Totals of minutes before the first.
    past: BTreeMap<Minute, Counts>,
    /// The past is complete from here on.
    past_from: Option<Minute>,
    /// Range of the past that was asked for last: from, and up to.
    past_asked: Option<(Minute, Minute)>,
}

impl Board {
    /// The first minute that is known.
    pub fn first(&self) -> Minute {
        self.first
    }

    /// All campaigns together.
    pub fn total(&self) -> &Series {
        &self.total
    }

    /// The campaigns, by id.
    pub fn campaigns(&self) -> impl Iterator<Item = &Rc<Campaign>> {
        self.campaigns.values()
    }

    /// Every cell that has something.
    pub fn cells(&self) -> Vec<ViewCell> {
        let of = |campaign: &Rc<Campaign>| {
            let id = campaign.id.to_string();
            let counts = campaign.series.by_minute.clone().into_iter().zip(0..);
            let counts = counts.filter(|(counts, _)| *counts != Counts::default());
            let first = self.first;
            counts.map(move |(counts, number)| ViewCell {
                minute: first + number,
                group: vec![id.clone()],
                counts,
            })
        };
        self.campaigns().flat_map(of).collect()
    }

    /// Replaces everything by the cells of a window that begins at `first`.
    pub fn replace(&mut self, first: Minute, cells: Vec<ViewCell>) {
        *self = Self { first, ..Self::default() };
        self.apply(cells);
    }

    /// Takes cells as they are now. What has left the window is not taken back.
    pub fn apply(&mut self, cells: Vec<ViewCell>) {
        for ViewCell { minute, group, counts } in cells {
            let Ok(number) = usize::try_from(minute - self.first) else { continue };
            let id = group.into_iter().next().unwrap_or_default();
            let new = |id: &String| Rc::new(Campaign { id: id.as_str().into(), series: Series::default() });
            let campaign = self.campaigns.entry(id).or_insert_with_key(new);
            let difference = counts - campaign.series.at(number);
            if difference != Counts::default() {
                Rc::make_mut(campaign).series.add(number, difference);
                self.total.add(number, difference);
            }
        }
    }

    /// Forgets minutes before `first`; their totals stay for `kept` minutes.
    pub fn forget_before(&mut self, first: Minute, kept: i64) {
        let Some(minutes) = usize::try_from(first - self.first).ok().filter(|&minutes| minutes > 0) else {
            return;
        };
        let left =
            (0..minutes.min(self.total.by_minute.len())).map(|n| (self.first + n as i64, self.total.at(n)));
        self.past.extend(left);
        self.past = self.past.split_off(&(first - kept));
        self.total.forget(minutes);
        self.campaigns.retain(|_, campaign| {
            if !campaign.series.by_minute.is_empty() {
                Rc::make_mut(campaign).series.forget(minutes);
            }
            campaign.series.by_minute.iter().any(|counts| counts.received() != 0)
        });
        self.first = first;
    }

    /// Begins to ask for the `minutes` minutes before the first; until the answer comes nothing is known of them.
    /// Returns the start and the end of that range.
    pub fn ask_past(&mut self, minutes: i64) -> (Minute, Minute) {
        let asked = (self.first - minutes, self.first);
        self.past.clear();
        (self.past_from, self.past_asked) = (None, Some(asked));
        asked
    }

    /// Learns the totals of minutes from `from` on, if that is what was asked last.
    pub fn learn_past(&mut self, from: Minute, totals: &[Counts]) {
        if self.past_asked != Some((from, from + totals.len() as i64)) {
            return;
        }
        for (n, &counts) in totals.iter().enumerate() {
            self.past.insert(from + n as i64, counts);
        }
        self.past_from = Some(from);
    }

    /// The sum over `minutes` minutes from `from` on that lie before the first; `None` if they are not all known.
    pub fn past_total(&self, from: Minute, minutes: i64) -> Option<Counts> {
        let to = from + minutes;
        let is_known = self.past_from.is_some_and(|known| known <= from) && to <= self.first;
        is_known.then(|| self.past.range(from..to).map(|(_, &counts)| counts).sum())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Cells of campaigns: minute, campaign, valid and sivt clicks.
    pub(crate) fn cells(cells: &[(i64, &str, i64, i64)]) -> Vec<ViewCell> {
        let cell = |&(minute, campaign, valid, sivt): &(i64, &str, i64, i64)| ViewCell {
            minute: Minute(minute),
            group: vec![campaign.to_owned()],
            counts: Counts { valid, sivt, ..Counts::default() },
        };
        cells.iter().map(cell).collect()
    }

    fn totals(board: &Board, minutes: usize) -> Vec<i64> {
        (0..minutes).map(|n| board.total().at(n).clicks()).collect()
    }

    #[test]
    fn sums_follow_absolute_cells_whatever_comes_how_often() {
        let mut board = Board::default();
        board.replace(Minute(100), cells(&[(100, "a", 5, 0), (102, "b", 7, 1), (99, "a", 50, 0)]));
        assert_eq!(totals(&board, 4), [5, 0, 8, 0], "what is before the window is not in it");
        for _ in 0..2 {
            board.apply(cells(&[(100, "a", 6, 0), (103, "a", 1, 0)]));
        }
        assert_eq!(totals(&board, 4), [6, 0, 8, 1]);
        let sums = [0..4, 0..3, 1..9, 3..3].map(|numbers| board.total().sum(numbers).clicks());
        assert_eq!(sums, [15, 14, 9, 0]);
        board.apply(cells(&[(102, "b", 0, 0)]));
        assert_eq!(totals(&board, 4), [6, 0, 0, 1], "a correction");
    }

    #[test]
    fn who_did_not_change_is_the_same() {
        let mut board = Board::default();
        board.replace(Minute(100), cells(&[(100, "a", 5, 0), (100, "b", 7, 0)]));
        let before: Vec<_> = board.campaigns().cloned().collect();
        board.apply(cells(&[(100, "a", 5, 0), (101, "b", 1, 0)]));
        let same: Vec<bool> =
            board.campaigns().zip(&before).map(|(now, then)| Rc::ptr_eq(now, then)).collect();
        assert_eq!(same, [true, false]);
        assert_eq!(before[1].series.at(1), Counts::default(), "what is shown does not change in place");
    }

    #[test]
    fn minutes_leave_and_their_totals_stay_for_a_while() {
        let mut board = Board::default();
        board.replace(Minute(100), cells(&[(100, "a", 5, 0), (101, "b", 7, 0), (103, "b", 2, 0)]));
        let asked = board.ask_past(2);
        assert_eq!(asked, (Minute(98), Minute(100)));
        let counts = [1, 2].map(|valid| Counts { valid, ..Counts::default() });
        board.learn_past(Minute(97), &counts);
        assert_eq!(board.past_total(Minute(98), 2), None, "an answer to another question");
        board.learn_past(Minute(98), &counts);
        assert_eq!(board.past_total(Minute(98), 2).map(|past| past.valid), Some(3));
        assert_eq!(board.past_total(Minute(97), 2), None);
        assert_eq!(board.past_total(Minute(99), 2), None, "a minute of the window");
        board.forget_before(Minute(102), 3);
        assert_eq!(totals(&board, 2), [0, 2]);
        let left: Vec<&str> = board.campaigns().map(|campaign| &*campaign.id).collect();
        assert_eq!(left, ["b"]);
        assert_eq!(board.past_total(Minute(99), 3).map(|past| past.valid), Some(2 + 5 + 7));
        board.apply(cells(&[(101, "b", 70, 0)]));
        assert_eq!(totals(&board, 2), [0, 2]);
        board.forget_before(Minute(101), 3);
        assert_eq!(board.first(), Minute(102), "never back");
        board.ask_past(2);
        assert_eq!(board.past_total(Minute(99), 3), None);
    }
}
