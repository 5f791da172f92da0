//! A view's state, shared by every session that watches an equal view.
//!
//! The state is the queue: a session that was busy gets what changed since it was last written to,
//! as it is now. Nothing waits in line for a slow reader.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clickwire_protocol::{
    counts::{Counts, Dimensions},
    feed::Position,
    live::{ServerMessage, View, ViewCell},
};
use tokio::sync::watch;

use crate::live::{
    frame::{Body, InFlight},
    rates::Rates,
};

/// Deltas kept for sessions that are at the same place.
const KEPT_DELTAS: usize = 8;

/// A view shared by the sessions that watch it.
pub(crate) type SharedView = Arc<Mutex<ViewState>>;

/// Locks a view.
pub(crate) fn lock(view: &SharedView) -> MutexGuard<'_, ViewState> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an equal view's sessions share.
pub(crate) struct ViewState {
    view: View,
    cells: BTreeMap<(i64, Vec<String>), Cell>,
    rates: Rates,
    /// What is before has left the window.
    first_minute: i64,
    /// The state contains everything up to here.
    position: Position,
    /// The position's epoch, to be shared with every session.
    epoch: Arc<str>,
    /// Sessions at this sequence number or later can be brought up to date by a delta.
    resumable_from: u64,
    /// Counts ticks with changes; sessions wait for it to grow.
    revision: u64,
    changed: bool,
    /// A session is ahead of us, at this sequence number or later.
    awaited: u64,
    announce: watch::Sender<u64>,
    /// Who watches, over how many connections each.
    present: BTreeMap<Arc<str>, usize>,
    /// Deltas that were encoded since the last tick.
    deltas: Vec<(From, Step)>,
    /// The snapshot that was encoded since the last tick.
    snapshot: Option<Step>,
    /// What is encoded counts here.
    in_flight: InFlight,
    /// A session could not be told for want of room; it is told at the next tick.
    is_waited_for: bool,
}

/// Where a delta begins.
#[derive(PartialEq, Eq)]
enum From {
    /// Where a session of this gateway was told up to.
    Told(Told),
    /// A sequence number of the present epoch, with which a client has come back.
    Seq(u64),
}

/// A message that is encoded, for every session at the same place.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The message.
    pub(crate) body: Body,
    /// How far a session has been told then.
    pub(crate) to: Told,
    /// A delta, not a snapshot.
    pub(crate) is_delta: bool,
}

struct Cell {
    counts: Counts,
    /// The message of the feed that changed it last.
    seq: u64,
    /// The revision that changed it last.
    revision: u64,
}

/// How far a session has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    epoch: Arc<str>,
    seq: u64,
    revision: u64,
}

impl Told {
    /// Ticks with changes between an earlier place and this one that were told of as one.
    pub(crate) fn conflated_since(&self, earlier: &Self) -> u64 {
        (self.revision - earlier.revision).saturating_sub(1)
    }

    /// Where the session's state ends.
    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch.to_string(), seq: self.seq }
    }
}

impl ViewState {
    pub(crate) fn new(view: View, in_flight: InFlight) -> Self {
        Self {
            view,
            cells: BTreeMap::new(),
            rates: Rates::default(),
            first_minute: i64::MIN,
            position: Position::default(),
            epoch: Arc::default(),
            resumable_from: 0,
            revision: 0,
            changed: false,
            awaited: u64::MAX,
            announce: watch::channel(0).0,
            present: BTreeMap::new(),
            deltas: Vec::new(),
            snapshot: None,
            in_flight,
            is_waited_for: false,
        }
    }

    /// Wakes when there is something to tell; 0 until the state is loaded.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.announce.subscribe()
    }

    /// Who watches, over how many connections each.
    pub(crate) fn present(&self) -> &BTreeMap<Arc<str>, usize> {
        &self.present
    }

    /// Somebody begins to watch.
    pub(crate) fn comes(&mut self, who: &Arc<str>) {
        *self.present.entry(Arc::clone(who)).or_default() += 1;
    }

    /// Somebody who has come goes.
    pub(crate) fn goes(&mut self, who: &str) {
        if let Some(connections) = self.present.get_mut(who) {
            *connections -= 1;
            if *connections == 0 {
                self.present.remove(who);
            }
        }
    }

    /// Adds the difference that a cell of the feed made, if the view admits it; whether it does.
    pub(crate) fn add(&mut self, minute: i64, dimensions: &Dimensions, difference: Counts, seq: u64) -> bool {
        if minute < self.first_minute || !self.view.filters.admit(dimensions) {
            return false;
        }
        let cell = self.cells.entry((minute, self.view.group_of(dimensions))).or_insert(Cell {
            counts: Counts::default(),
            seq: 0,
            revision: 0,
        });
        cell.counts += difference;
        cell.seq = seq;
        cell.revision = self.revision + 1;
        self.changed = true;
        true
    }

    /// Clicks were counted in this second since the Unix epoch.
    pub(crate) fn count(&mut self, second: i64, clicks: i64) {
        self.rates.count(second, clicks, self.revision + 1);
    }

    /// Everything up to `position` is contained.
    pub(crate) fn advance(&mut self, position: &Position) {
        // Sessions are told of cells; a position alone waits for the next one that changes. A new epoch
        // they must hear of, for what they have can't be followed on.
        self.changed |= self.revision == 0 || self.position.epoch != position.epoch;
        if self.position.epoch != position.epoch {
            self.epoch = position.epoch.as_str().into();
        }
        if position.seq >= self.awaited {
            self.awaited = u64::MAX;
            self.changed = true;
        }
        self.position.clone_from(position);
    }

    /// Which message changed what is not known before `position`: older positions can't be resumed
    /// from.
    pub(crate) fn start_history(&mut self, position: &Position) {
        self.resumable_from = position.seq;
    }

    /// Forgets what has left the window; whether there is something to tell since the last tick.
    pub(crate) fn tick(&mut self, now_minute: i64, floor_minute: i64) -> bool {
        self.first_minute = self.view.first_minute(now_minute).max(floor_minute);
        self.cells = self.cells.split_off(&(self.first_minute, Vec::new()));
        // Kept for longer, they would take room from what is told next.
        self.deltas.clear();
        self.snapshot = None;
        let is_waited_for = std::mem::take(&mut self.is_waited_for);
        let changed = std::mem::take(&mut self.changed);
        self.revision += u64::from(changed);
        if changed || is_waited_for {
            self.announce.send_replace(self.revision);
        }
        changed || is_waited_for
    }

    /// Whether there is something to tell who was told up to there; nothing is until the state is loaded.
    pub(crate) fn has_news(&self, told: Option<&Told>) -> bool {
        self.revision > told.map_or(0, |told| told.revision)
    }

    /// What brings a session that is at `since` up to date: what changed, where that can be told, else
    /// everything. `None` for a session that comes from a gateway that is ahead of this one (what we have would
    /// take it back), and while too much is in flight; a tick announces when it is worth another try.
    pub(crate) fn start(&mut self, since: Option<&Position>) -> Option<Step> {
        let since = since.filter(|since| since.epoch == self.position.epoch && !since.epoch.is_empty());
        match since.map(|since| since.seq) {
            Some(ahead) if ahead > self.position.seq => {
                self.awaited = self.awaited.min(ahead);
                None
            }
            Some(since) if since >= self.resumable_from => {
                self.delta(From::Seq(since), since, 0, false, |cell| cell.seq > since)
            }
            Some(_) | None => self.snapshot(),
        }
    }

    /// What brings a session from `told` to the present, encoded once for all that are at the same place; `None` in
    /// another epoch, which takes a reset and a new start, and while too much is in flight.
    pub(crate) fn next(&mut self, told: &Told) -> Option<Step> {
        let is_followed = told.epoch == self.epoch;
        is_followed.then(|| {
            let revision = told.revision;
            // All that keep up share this one, which is small; others may each need one of their own.
            let keeps_up = revision + 1 >= self.revision;
            let place = From::Told(told.clone());
            self.delta(place, told.seq, revision, keeps_up, |cell| cell.revision > revision)
        })?
    }

    /// Whether a session that was told up to there can't be told what follows.
    pub(crate) fn has_begun_anew_since(&self, told: &Told) -> bool {
        told.epoch != self.epoch
    }

    fn delta(
        &mut self,
        place: From,
        from: u64,
        rates_after: u64,
        at_any_rate: bool,
        wanted: impl Fn(&Cell) -> bool,
    ) -> Option<Step> {
        if let Some((_, kept)) = self.deltas.iter().find(|(kept, _)| *kept == place) {
            return Some(kept.clone());
        }
        if !at_any_rate && !self.has_room() {
            return None;
        }
        let (Position { epoch, seq }, cells) = (self.position.clone(), self.cells(wanted));
        let rates = self.rates.after(rates_after);
        let step = self.encode(&ServerMessage::Delta { id: 0, epoch, from, seq, cells, rates }, true);
        if self.deltas.len() == KEPT_DELTAS {
            self.deltas.remove(0);
        }
        self.deltas.push((place, step.clone()));
        Some(step)
    }

    /// Everything.
    fn snapshot(&mut self) -> Option<Step> {
        // Between two ticks sessions are told the same, unless the feed has begun anew.
        let kept = self.snapshot.take().filter(|kept| kept.to.epoch == self.epoch);
        self.snapshot = kept.or_else(|| {
            self.has_room().then(|| {
                let (Position { epoch, seq }, cells) = (self.position.clone(), self.cells(|_| true));
                let rates = self.rates.after(0);
                self.encode(&ServerMessage::Snapshot { id: 0, epoch, seq, cells, rates }, false)
            })
        });
        self.snapshot.clone()
    }

    /// Whether one more large message may be held; if not, the next tick announces another try.
    fn has_room(&mut self) -> bool {
        let has_room = !self.in_flight.is_exceeded();
        self.is_waited_for |= !has_room;
        has_room
    }

    fn encode(&self, message: &ServerMessage, is_delta: bool) -> Step {
        Step { body: Body::new(message, &self.in_flight), to: self.told(), is_delta }
    }

    fn told(&self) -> Told {
        Told { epoch: Arc::clone(&self.epoch), seq: self.position.seq, revision: self.revision }
    }

    fn cells(&self, wanted: impl Fn(&Cell) -> bool) -> Vec<ViewCell> {
        self.cells
            .iter()
            .filter(|(_, cell)| wanted(cell))
            .map(|((minute, group), cell)| ViewCell {
                minute: *minute,
                group: group.clone(),
                counts: cell.counts,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{counts::DeviceType, live::Filters};

    use super::*;

    fn view(group_by: Vec<clickwire_protocol::analytics::Dimension>) -> ViewState {
        ViewState::new(
            View {
                advertiser_id: "adv_001".into(),
                filters: Filters { country: Some("DE".into()), ..Filters::default() },
                group_by,
                window_minutes: 10,
            },
            InFlight::default(),
        )
    }

    impl ViewState {
        /// A snapshot of now, whatever was encoded since the last tick.
        pub(in crate::live) fn everything(&mut self) -> (ServerMessage, Told) {
            self.snapshot = None;
            let Step { body, to, .. } = self.start(None).unwrap();
            (body.frame(1).message(), to)
        }
    }

    fn next(state: &mut ViewState, told: &Told) -> (ServerMessage, Told) {
        let Step { body, to, .. } = state.next(told).unwrap();
        (body.frame(1).message(), to)
    }

    fn dimensions(country: &str, device_type: DeviceType) -> Dimensions {
        Dimensions { campaign_id: "c".into(), ad_id: "a".into(), country: country.into(), device_type }
    }

    fn valid(valid: i64) -> Counts {
        Counts { valid, ..Counts::default() }
    }

    fn position(epoch: &str, seq: u64) -> Position {
        Position { epoch: epoch.into(), seq }
    }

    fn cells(message: &ServerMessage) -> Vec<(i64, i64)> {
        match message {
            ServerMessage::Snapshot { cells, .. } | ServerMessage::Delta { cells, .. } => {
                cells.iter().map(|cell| (cell.minute, cell.counts.valid)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_filter_admits_is_summed_by_group_and_leaves_with_the_window() {
        let mut state = view(vec![]);
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 1);
        state.add(100, &dimensions("DE", DeviceType::Tablet), valid(2), 1);
        state.add(100, &dimensions("FR", DeviceType::Tablet), valid(4), 1);
        state.add(95, &dimensions("DE", DeviceType::Tablet), valid(8), 1);
        state.advance(&position("e", 1));
        state.tick(100, 0);
        assert_eq!(cells(&state.everything().0), [(95, 8), (100, 3)]);
        state.tick(105, 0);
        assert_eq!(cells(&state.everything().0), [(100, 3)]);
    }

    #[test]
    fn a_minute_that_has_left_the_window_is_not_told_of_between_ticks_either() {
        let mut state = view(vec![]);
        state.advance(&position("e", 0));
        state.tick(100, 0);
        let (_, told) = state.everything();
        state.add(90, &dimensions("DE", DeviceType::Mobile), valid(1), 1);
        state.advance(&position("e", 1));
        assert_eq!(cells(&state.everything().0), [], "to who arrives");
        assert_eq!(cells(&next(&mut state, &told).0), [], "to who was busy");
    }

    #[test]
    fn a_session_that_was_busy_gets_the_present_once() {
        let mut state = view(vec![]);
        assert!(!state.has_news(None), "it is not loaded");
        state.advance(&position("e", 0));
        assert!(state.tick(100, 0) && state.has_news(None));
        let (_, told) = state.everything();
        assert!(!state.tick(100, 0) && !state.has_news(Some(&told)));
        for seq in 1..=3 {
            state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), seq);
            state.advance(&position("e", seq));
            state.tick(100, 0);
        }
        assert!(state.has_news(Some(&told)));
        let (message, told) = next(&mut state, &told);
        assert_eq!(cells(&message), [(100, 3)]);
        assert!(matches!(message, ServerMessage::Delta { from: 0, seq: 3, .. }));
        assert!(!state.has_news(Some(&told)));
    }

    #[test]
    fn a_frame_that_was_encoded_before_says_where_it_ends() {
        let mut state = view(vec![]);
        state.advance(&position("e", 0));
        state.tick(100, 0);
        let (_, told) = state.everything();
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 1);
        state.advance(&position("e", 1));
        state.tick(100, 0);
        let (first, _) = next(&mut state, &told);
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 2);
        state.advance(&position("e", 2));
        let (second, told) = next(&mut state, &told);
        assert_eq!(first, second);
        assert_eq!(told.seq, 1, "the frame ends at 1, wherever the view is by now");
    }

    #[test]
    fn sessions_share_what_they_are_told_whatever_their_ids() {
        let mut state = view(vec![]);
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 5);
        state.advance(&position("e", 5));
        state.start_history(&position("e", 5));
        state.tick(100, 0);
        let shared = |state: &mut ViewState, since: Option<&Position>| {
            let [one, other] = [3, 4_000_000].map(|id| state.start(since).unwrap().body.frame(id));
            assert_eq!(one.payload().1.as_ptr(), other.payload().1.as_ptr());
            assert_ne!(one.message(), other.message(), "each has its id");
        };
        shared(&mut state, None);
        shared(&mut state, Some(&position("e", 5)));
        let told = state.start(None).unwrap().to;
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 6);
        state.advance(&position("e", 6));
        state.tick(100, 0);
        let [one, other] = [3, 4_000_000].map(|id| state.next(&told).unwrap().body.frame(id));
        assert_eq!(one.payload().1.as_ptr(), other.payload().1.as_ptr());
    }

    #[test]
    fn with_too_much_in_flight_large_messages_wait_and_small_ones_go_on() {
        let in_flight = InFlight::limited(300, usize::MAX);
        let mut state = ViewState { in_flight: in_flight.clone(), ..view(vec![]) };
        state.advance(&position("e", 1));
        state.tick(100, 0);
        let told = state.start(None).unwrap().to;
        let held = Body::new(
            &ServerMessage::Error { id: None, code: "x".repeat(400), field: None, message: String::new() },
            &in_flight,
        );
        for seq in 2..4 {
            state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), seq);
            state.advance(&position("e", seq));
            assert!(state.tick(100, 0));
            assert_eq!(state.next(&told).is_some(), seq == 2, "who keeps up is told");
        }
        assert!(state.start(None).is_none() && state.start(Some(&position("e", 3))).is_none());
        let news = state.subscribe();
        assert!(state.tick(100, 0) && news.has_changed().unwrap(), "it is worth another try");
        drop(held);
        assert!(state.start(None).is_some() && state.next(&told).is_some());
        assert!(!state.tick(100, 0));
    }

    #[test]
    fn a_session_that_starts_between_ticks_follows_on() {
        let mut state = view(vec![]);
        state.advance(&position("e", 0));
        state.tick(100, 0);
        let (_, early) = state.everything();
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 1);
        state.advance(&position("e", 1));
        let (_, late) = state.everything();
        state.tick(100, 0);
        for (told, expected) in [(early, 0), (late, 1)] {
            let ServerMessage::Delta { from, .. } = next(&mut state, &told).0 else { panic!("no delta") };
            assert_eq!(from, expected);
        }
    }

    #[test]
    fn a_position_resumes_in_its_own_epoch_and_range_only() {
        let mut state = view(vec![]);
        state.add(100, &dimensions("DE", DeviceType::Mobile), valid(1), 5);
        state.advance(&position("e", 5));
        state.start_history(&position("e", 5));
        state.tick(100, 0);
        state.add(101, &dimensions("DE", DeviceType::Mobile), valid(2), 6);
        state.advance(&position("e", 6));
        state.tick(101, 0);
        let mut since =
            |epoch, seq| state.start(Some(&position(epoch, seq))).unwrap().body.frame(1).message();
        assert_eq!(cells(&since("e", 5)), [(101, 2)]);
        assert!(matches!(since("e", 6), ServerMessage::Delta { .. }));
        for (epoch, seq) in [("e", 4), ("other", 7), ("", 0)] {
            assert!(matches!(since(epoch, seq), ServerMessage::Snapshot { .. }), "{epoch} {seq}");
        }
        let (_, told) = state.everything();
        state.advance(&position("f", 1));
        state.tick(101, 0);
        assert!(state.next(&told).is_none() && state.has_begun_anew_since(&told));
    }

    #[test]
    fn who_comes_from_a_gateway_that_is_ahead_is_not_taken_back() {
        let mut state = view(vec![]);
        state.advance(&position("e", 5));
        state.tick(100, 0);
        let mut news = state.subscribe();
        news.mark_unchanged();
        let ahead = position("e", 7);
        assert!(state.start(Some(&ahead)).is_none());
        for (seq, announced) in [(6, false), (7, true), (8, false)] {
            state.advance(&position("e", seq));
            state.tick(100, 0);
            assert_eq!(news.has_changed().unwrap(), announced, "{seq}");
            news.mark_unchanged();
        }
        let message = state.start(Some(&ahead)).unwrap().body.frame(1).message();
        assert!(matches!(message, ServerMessage::Delta { from: 7, seq: 8, .. }), "{message:?}");
    }
}
