//! The recent minute cells of one advertiser, and the views computed from them.
//!
//! No I/O: what is published and what the database says go in, differences go to the views.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use clickwire_protocol::{
    counts::{Counts, Dimensions, MinuteCell},
    feed::{Delta, Position},
    finality::Progress,
    live::{MAX_WINDOW_MINUTES, View},
    times::{Minute, UnixMs},
};

use crate::{
    http::quota::Holder,
    live::{
        feed::view::{SharedView, ViewState, lock},
        wire::frame::InFlight,
    },
};

/// Different views of one advertiser that its own people watch, at most. A caller may have as many of these as it leaves
/// free for others: half, if it is alone.
const MAX_VIEWS: usize = 64;

/// Different views of one advertiser that operators watch, at most, and as many that finance does.
const MAX_STAFF_VIEWS: usize = 32;

/// The recent minute cells of one advertiser, and the views computed from them.
#[derive(Default)]
pub(crate) struct Cells {
    minutes: BTreeMap<Minute, HashMap<Dimensions, Versioned>>,
    count: usize,
    /// Minutes before this one were given up for want of room.
    floor_minute: Minute,
    position: Position,
    /// The last contiguous messages that came after others were missing.
    ahead: Option<Run>,
    loaded: bool,
    /// Number of readings of the database; what comes during a reading is kept beside what is read.
    loads: u32,
    views: HashMap<View, Viewed>,
    /// The count of bytes that are encoded for sessions.
    in_flight: InFlight,
    /// Time at which the oldest message since the last tick was published.
    published_at: Option<UnixMs>,
    /// The time up to which the cells are counted.
    progress: Option<Progress>,
}

/// The outcome of a tick.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ticked {
    /// A view has something to tell.
    pub(crate) has_news: bool,
    /// Time at which the oldest message of this news was published.
    pub(crate) published_at: Option<UnixMs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Versioned {
    version: i64,
    counts: Counts,
    /// The value of [`Cells::loads`] when the cell was set.
    load: u32,
}

/// A view, and the caller that was the first to watch it.
struct Viewed {
    shared: SharedView,
    holder: Holder,
}

/// Contiguous messages of one epoch.
struct Run {
    epoch: String,
    first: u64,
    last: u64,
}

impl Cells {
    /// No cells; bytes encoded of them for sessions count in `in_flight`.
    pub(crate) fn new(in_flight: InFlight) -> Self {
        Self { in_flight, ..Self::default() }
    }

    /// The state of `view`, shared with every other session that watches an equal one; `None` if its first
    /// watcher has more views than it leaves to others.
    pub(crate) fn view(&mut self, view: View, holder: Holder, now_minute: Minute) -> Option<SharedView> {
        if let Some(viewed) = self.views.get(&view) {
            return Some(Arc::clone(&viewed.shared));
        }
        self.drop_unwatched();
        // Operators have one share together, and so have those that bill.
        let is_staff = |holder: &Holder| matches!(holder, Holder::Operators | Holder::Finance);
        let is_together = is_staff(&holder);
        let others = self
            .views
            .values()
            .filter(|viewed| if is_together { viewed.holder == holder } else { !is_staff(&viewed.holder) });
        let (watched, own) = others
            .fold((0, 0), |(watched, own), viewed| (watched + 1, own + usize::from(viewed.holder == holder)));
        let free = (if is_together { MAX_STAFF_VIEWS } else { MAX_VIEWS }).saturating_sub(watched);
        if free == 0 || !is_together && own >= free {
            return None;
        }
        let mut computed = ViewState::new(view.clone(), self.in_flight.clone());
        for (minute, cells) in &self.minutes {
            for (dimensions, cell) in cells {
                computed.add(*minute, dimensions, cell.counts, self.position.seq);
            }
        }
        if self.loaded {
            computed.advance(&self.position);
            computed.start_history(&self.position);
            // Before the first tick after the reading nothing is known; that is no "nothing is counted".
            let known = self.progress.filter(|progress| progress.counted_until_ms.is_some());
            computed.tick(now_minute, self.floor_minute, known);
        }
        let shared = Arc::new(Mutex::new(computed));
        self.views.insert(view, Viewed { shared: Arc::clone(&shared), holder });
        Some(shared)
    }

    /// The views, and the connections of each viewer.
    pub(crate) fn watchers(&self) -> Vec<(View, BTreeMap<Arc<str>, usize>)> {
        self.views
            .iter()
            .map(|(view, viewed)| (view.clone(), lock(&viewed.shared).present().clone()))
            .collect()
    }

    /// The position up to which the cells are complete.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// Returns whether the database has been read.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Takes a message that came in this second since the Unix epoch; `false` if others between it and the last
    /// one are missing.
    pub(crate) fn apply(&mut self, delta: Delta, second: i64) -> bool {
        let follows = delta.epoch == self.position.epoch && delta.seq <= self.position.seq + 1;
        let seq = delta.seq.max(self.position.seq);
        for cell in delta.cells {
            self.set(cell, seq, second);
        }
        self.published_at = self.published_at.or(delta.published_at_ms);
        if follows {
            self.advance(Position { epoch: delta.epoch, seq });
            return true;
        }
        match &mut self.ahead {
            Some(run) if run.epoch == delta.epoch && (run.first..=run.last + 1).contains(&delta.seq) => {
                run.last = run.last.max(delta.seq);
            }
            ahead => *ahead = Some(Run { epoch: delta.epoch, first: delta.seq, last: delta.seq }),
        }
        false
    }

    /// Notes that the database is about to be read; returns up to where the cells are complete.
    pub(crate) fn begin_load(&mut self) -> Position {
        self.loads = self.loads.wrapping_add(1);
        self.ahead = None;
        self.position.clone()
    }

    /// Takes what the database has as the truth, but for what was published since it was asked; views hear of
    /// the differences. `position` is the feed's high-water mark before it was asked. `false` if messages are missing
    /// between what was read and what has come.
    pub(crate) fn replace(&mut self, position: Position, cells: Vec<MinuteCell>) -> bool {
        let (position, is_complete) = self.reached(position);
        let mut before = std::mem::take(&mut self.minutes);
        let loads = self.loads;
        let is_newer = |known: &Versioned| known.load == loads;
        self.count = 0;
        for cell in cells {
            let known = before.get_mut(&cell.minute).and_then(|cells| cells.remove(&cell.dimensions));
            let read = Versioned { version: cell.version, counts: cell.counts, load: loads };
            let versioned = known.filter(|k| is_newer(k) && k.version >= read.version).unwrap_or(read);
            let counts = known.map(|known| known.counts).unwrap_or_default();
            if counts != versioned.counts {
                self.tell(cell.minute, &cell.dimensions, versioned.counts - counts, position.seq, None);
            }
            self.minutes.entry(cell.minute).or_default().insert(cell.dimensions, versioned);
            self.count += 1;
        }
        for (minute, cells) in before {
            for (dimensions, left) in cells {
                if is_newer(&left) {
                    self.minutes.entry(minute).or_default().insert(dimensions, left);
                    self.count += 1;
                } else {
                    let difference = Counts::default() - left.counts;
                    self.tell(minute, &dimensions, difference, position.seq, None);
                }
            }
        }
        self.loaded = true;
        for viewed in self.views.values() {
            lock(&viewed.shared).start_history(&position);
        }
        self.advance(position);
        is_complete
    }

    /// The position up to which the cells are complete with what was read and with what has come since; whether that
    /// is all that has come.
    fn reached(&mut self, read: Position) -> (Position, bool) {
        let mut reached = read;
        if self.position.epoch == reached.epoch {
            reached.seq = reached.seq.max(self.position.seq);
        }
        let is_complete = match self.ahead.take() {
            None => true,
            Some(run) if run.epoch == reached.epoch && run.first <= reached.seq + 1 => {
                reached.seq = reached.seq.max(run.last);
                true
            }
            Some(_) => false,
        };
        (reached, is_complete)
    }

    /// Tells views of a difference, and of the second in which it came about, if that is known.
    fn tell(
        &self,
        minute: Minute,
        dimensions: &Dimensions,
        difference: Counts,
        seq: u64,
        second: Option<i64>,
    ) {
        for viewed in self.views.values() {
            let mut view = lock(&viewed.shared);
            if view.add(minute, dimensions, difference, seq)
                && let Some(second) = second
            {
                view.count(second, difference.clicks());
            }
        }
    }

    /// Sets a cell to its absolute value, unless we know a newer one. A cell that is published with
    /// the value it already has still counts as changed by that message: a session that resumes
    /// from before it may not have seen the value.
    fn set(&mut self, cell: MinuteCell, seq: u64, second: i64) {
        let MinuteCell { minute, dimensions, version, counts } = cell;
        if minute < self.floor_minute {
            return;
        }
        let cells = self.minutes.entry(minute).or_default();
        let before = cells.get(&dimensions).copied();
        if before.is_some_and(|before| before.version > version) {
            return;
        }
        let difference = counts - before.map(|before| before.counts).unwrap_or_default();
        self.count += usize::from(before.is_none());
        cells.insert(dimensions.clone(), Versioned { version, counts, load: self.loads });
        self.tell(minute, &dimensions, difference, seq, Some(second));
    }

    fn advance(&mut self, position: Position) {
        for viewed in self.views.values() {
            lock(&viewed.shared).advance(&position);
        }
        self.position = position;
    }

    /// Forgets what has left every window, and has views note what they have to tell.
    pub(crate) fn tick(&mut self, now_minute: Minute, cells_max: usize, progress: Progress) -> Ticked {
        self.progress = Some(progress);
        let first = now_minute - i64::from(MAX_WINDOW_MINUTES) + 1;
        while let Some((&oldest, cells)) = self.minutes.first_key_value() {
            if oldest >= first && self.count <= cells_max {
                break;
            }
            self.floor_minute = self.floor_minute.max(oldest + 1);
            self.count -= cells.len();
            self.minutes.remove(&oldest);
        }
        self.drop_unwatched();
        let mut ticked = Ticked::default();
        if self.loaded {
            for viewed in self.views.values() {
                ticked.has_news |= lock(&viewed.shared).tick(now_minute, self.floor_minute, self.progress);
            }
            ticked.published_at = self.published_at.take().filter(|_| ticked.has_news);
        }
        ticked
    }

    fn drop_unwatched(&mut self) {
        self.views.retain(|_, viewed| Arc::strong_count(&viewed.shared) > 1);
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{
        counts::DeviceType,
        ids::{AdId, AdvertiserId, CampaignId},
        live::{Filters, ServerMessage},
    };

    use super::*;

    fn cell(minute: i64, version: i64, valid: i64) -> MinuteCell {
        let dimensions = Dimensions {
            campaign_id: CampaignId::unchecked("c"),
            ad_id: AdId::unchecked("a"),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        };
        MinuteCell {
            minute: Minute(minute),
            dimensions,
            version,
            counts: Counts { valid, ..Counts::default() },
        }
    }

    fn position(seq: u64) -> Position {
        Position { epoch: "e".into(), seq }
    }

    fn delta(seq: u64, cell: MinuteCell) -> Delta {
        Delta { epoch: "e".into(), seq, published_at_ms: None, cells: vec![cell] }
    }

    /// A loaded state with one view of everything.
    fn state(cells: Vec<MinuteCell>) -> (Cells, SharedView) {
        let view = View {
            advertiser_id: AdvertiserId::unchecked("adv_001"),
            filters: Filters::default(),
            group_by: vec![],
            window_minutes: MAX_WINDOW_MINUTES,
        };
        let shared = Arc::new(Mutex::new(ViewState::new(view.clone(), InFlight::default())));
        let mut state = Cells::default();
        state.views.insert(view, Viewed { shared: Arc::clone(&shared), holder: Holder::Operators });
        read(&mut state, position(1), cells);
        (state, shared)
    }

    /// Reads the database, with nothing published meanwhile.
    fn read(state: &mut Cells, position: Position, cells: Vec<MinuteCell>) {
        state.begin_load();
        assert!(state.replace(position, cells), "nothing is missing");
    }

    #[test]
    fn what_is_published_while_the_database_is_read_is_newer_than_what_was_read() {
        let (mut state, view) = state(vec![cell(100, 3, 7)]);
        state.begin_load();
        assert!(
            state.apply(delta(2, cell(100, 5, 9)), 6_000) && state.apply(delta(3, cell(101, 1, 1)), 6_000)
        );
        assert!(state.replace(position(1), vec![cell(100, 4, 8), cell(102, 1, 4)]));
        assert_eq!(shown(&view), [(100, 9), (101, 1), (102, 4)]);
        assert_eq!(state.position().seq, 3, "nothing has to be read again");
        // The same, but a message is missing between what was read and what has come.
        state.begin_load();
        assert!(!state.apply(delta(6, cell(100, 6, 10)), 6_001));
        assert!(!state.replace(position(4), vec![cell(100, 5, 9)]));
        assert_eq!(shown(&view), [(100, 10), (101, 0), (102, 0)], "its cells are true all the same");
        state.begin_load();
        assert!(!state.apply(delta(8, cell(100, 7, 11)), 6_001));
        assert!(state.replace(position(7), vec![cell(100, 6, 10)]));
        assert_eq!((shown(&view)[0], state.position().seq), ((100, 11), 8));
    }

    fn shown(view: &SharedView) -> Vec<(i64, i64)> {
        match lock(view).everything().0 {
            ServerMessage::Snapshot { cells, .. } => {
                cells.iter().map(|cell| (cell.minute.0, cell.counts.valid)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn older_versions_and_repeats_change_nothing() {
        let (mut state, view) = state(vec![cell(100, 3, 7)]);
        assert!(state.apply(delta(2, cell(100, 2, 5)), 6_000));
        assert!(state.apply(delta(2, cell(100, 3, 7)), 6_000));
        assert_eq!(shown(&view), [(100, 7)]);
        assert!(!state.apply(delta(4, cell(100, 4, 8)), 6_001), "a gap");
        assert_eq!(shown(&view), [(100, 8)], "its cells are true all the same");
    }

    #[test]
    fn rates_are_of_what_was_published_and_not_of_what_was_read() {
        let (mut state, view) = state(vec![cell(100, 3, 7)]);
        state.apply(delta(2, cell(100, 4, 9)), 6_000);
        state.apply(delta(2, cell(100, 4, 9)), 6_001);
        read(&mut state, position(3), vec![cell(100, 5, 20)]);
        let ServerMessage::Snapshot { rates, .. } = lock(&view).everything().0 else { panic!() };
        let rates: Vec<_> = rates.iter().map(|rate| (rate.second, rate.clicks)).collect();
        assert_eq!(rates, [(6_000, 2), (6_001, 0)]);
    }

    #[test]
    fn the_database_is_right_about_what_is_there_and_what_is_not() {
        let (mut state, view) = state(vec![cell(100, 3, 7), cell(101, 1, 1)]);
        read(&mut state, position(9), vec![cell(101, 2, 2), cell(102, 1, 4)]);
        assert_eq!(shown(&view), [(100, 0), (101, 2), (102, 4)]);
    }

    #[test]
    fn minutes_that_were_given_up_for_room_do_not_come_back_in_part() {
        let (mut state, view) = state(vec![cell(100, 1, 7), cell(101, 1, 1), cell(102, 1, 1)]);
        state.tick(Minute(102), 2, Progress::new(UnixMs(0), None));
        assert_eq!(shown(&view), [(101, 1), (102, 1)]);
        state.apply(delta(2, cell(100, 2, 8)), 6_000);
        state.tick(Minute(102), 2, Progress::new(UnixMs(0), None));
        assert_eq!(shown(&view), [(101, 1), (102, 1)]);
    }
}
