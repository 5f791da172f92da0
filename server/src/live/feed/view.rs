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
    finality::Progress,
    live::{PROGRESS_MS, ServerMessage, View, ViewCell},
    times::Minute,
};
use tokio::sync::watch;

use crate::live::{
    feed::rates::Rates,
    wire::frame::{Body, InFlight},
};

/// Deltas kept for sessions that are at the same place.
const KEPT_DELTAS: usize = 8;

/// Milliseconds after which the view's progress is told again, together with other news.
const PROGRESS_WITH_NEWS_MS: i64 = 1_000;

/// A view shared by the sessions that watch it.
pub(crate) type SharedView = Arc<Mutex<ViewState>>;

/// Locks a view.
pub(crate) fn lock(view: &SharedView) -> MutexGuard<'_, ViewState> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that the sessions of equal views share.
pub(crate) struct ViewState {
    view: View,
    cells: BTreeMap<(Minute, Vec<String>), Cell>,
    rates: Rates,
    /// The time up to which the view is counted, and the version since which that is told.
    progress: Option<(Progress, u64)>,
    /// The first minute of the window.
    first_minute: Minute,
    /// The state contains everything up to here.
    position: Position,
    /// The position's epoch, to be shared with every session.
    epoch: Arc<str>,
    /// Sessions at this sequence number or later can be brought up to date by a delta.
    resumable_from: u64,
    /// Counts ticks with changes; sessions wait for it to grow.
    version: u64,
    changed: bool,
    /// A session is ahead of us, at this sequence number or later.
    awaited: u64,
    announce: watch::Sender<u64>,
    /// The viewers, and the number of connections of each.
    present: BTreeMap<Arc<str>, usize>,
    /// Deltas that were encoded since the last tick.
    deltas: Vec<(From, Step)>,
    /// The snapshot that was encoded since the last tick.
    snapshot: Option<Step>,
    /// The count of bytes that are encoded.
    in_flight: InFlight,
    /// A session could not be told for want of room; it is told at the next tick.
    is_waited_for: bool,
}

/// The beginning of a delta.
#[derive(PartialEq, Eq)]
enum From {
    /// The end of what a session of this gateway was told.
    Cursor(Cursor),
    /// A sequence number of the present epoch, with which a client has come back.
    Seq(u64),
}

/// A message that is encoded, for every session at the same place.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The message.
    pub(crate) body: Body,
    /// The cursor of a session after this message.
    pub(crate) to: Cursor,
    /// A delta, not a snapshot.
    pub(crate) is_delta: bool,
}

struct Cell {
    counts: Counts,
    /// The message of the feed that changed it last.
    seq: u64,
    /// The view's version that changed it last.
    version: u64,
}

/// The end of what a session has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    epoch: Arc<str>,
    seq: u64,
    version: u64,
}

impl Cursor {
    /// Ticks with changes between an earlier cursor and this one that were told as one.
    pub(crate) fn conflated_since(&self, earlier: &Self) -> u64 {
        (self.version - earlier.version).saturating_sub(1)
    }

    /// The end of the session's state.
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
            progress: None,
            first_minute: Minute(i64::MIN),
            position: Position::default(),
            epoch: Arc::default(),
            resumable_from: 0,
            version: 0,
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

    /// Subscribes to the view's version, announced when there is something to tell; 0 until the state is loaded.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.announce.subscribe()
    }

    /// The viewers, and the number of connections of each.
    pub(crate) fn present(&self) -> &BTreeMap<Arc<str>, usize> {
        &self.present
    }

    /// Notes that a viewer begins to watch.
    pub(crate) fn viewer_joined(&mut self, who: &Arc<str>) {
        *self.present.entry(Arc::clone(who)).or_default() += 1;
    }

    /// Notes that a viewer that has joined leaves.
    pub(crate) fn viewer_left(&mut self, who: &str) {
        if let Some(connections) = self.present.get_mut(who) {
            *connections -= 1;
            if *connections == 0 {
                self.present.remove(who);
            }
        }
    }

    /// Adds the difference that a cell of the feed made, if the view admits it; returns whether it does.
    pub(crate) fn add(
        &mut self,
        minute: Minute,
        dimensions: &Dimensions,
        difference: Counts,
        seq: u64,
    ) -> bool {
        if minute < self.first_minute || !self.view.filters.admit(dimensions) {
            return false;
        }
        let cell = self.cells.entry((minute, self.view.group_of(dimensions))).or_insert(Cell {
            counts: Counts::default(),
            seq: 0,
            version: 0,
        });
        cell.counts += difference;
        cell.seq = seq;
        cell.version = self.version + 1;
        self.changed = true;
        true
    }

    /// Adds clicks that were counted in this second since the Unix epoch.
    pub(crate) fn count(&mut self, second: i64, clicks: i64) {
        self.rates.count(second, clicks, self.version + 1);
    }

    /// Notes that the state contains everything up to `position`.
    pub(crate) fn advance(&mut self, position: &Position) {
        // Sessions are told of cells; a position alone waits for the next one that changes. A new epoch
        // they must hear of, for what they have can't be followed on.
        self.changed |= self.version == 0 || self.position.epoch != position.epoch;
        if self.position.epoch != position.epoch {
            self.epoch = position.epoch.as_str().into();
        }
        if position.seq >= self.awaited {
            self.awaited = u64::MAX;
            self.changed = true;
        }
        self.position.clone_from(position);
    }

    /// Begins the history at `position`: which message changed what is not known before, so older positions can't be
    /// resumed from.
    pub(crate) fn start_history(&mut self, position: &Position) {
        self.resumable_from = position.seq;
    }

    /// Forgets what has left the window; returns whether there is something to tell since the last tick. The view's
    /// progress is news, too, now and then: on a screen where nothing moves it tells that nothing happens.
    pub(crate) fn tick(
        &mut self,
        now_minute: Minute,
        floor_minute: Minute,
        progress: Option<Progress>,
    ) -> bool {
        self.first_minute = self.view.first_minute(now_minute).max(floor_minute);
        self.cells = self.cells.split_off(&(self.first_minute, Vec::new()));
        // Kept for longer, they would take room from what is told next.
        self.deltas.clear();
        self.snapshot = None;
        let is_waited_for = std::mem::take(&mut self.is_waited_for);
        let mut changed = std::mem::take(&mut self.changed);
        if let Some(progress) = progress {
            let age_ms = self.progress.map_or(i64::MAX, |(told, _)| progress.at_ms - told.at_ms);
            // "Nothing is counted yet" is wrong as soon as something is.
            let is_first = progress.counted_until_ms.is_some()
                && self.progress.is_some_and(|(told, _)| told.counted_until_ms.is_none());
            // A clock that was set back is not waited for.
            if is_first || age_ms < 0 || age_ms >= if changed { PROGRESS_WITH_NEWS_MS } else { PROGRESS_MS } {
                self.progress = Some((progress, self.version + 1));
                changed = true;
            }
        }
        self.version += u64::from(changed);
        if changed || is_waited_for {
            self.announce.send_replace(self.version);
        }
        changed || is_waited_for
    }

    /// Returns whether there is something to tell a session at this cursor; there is not until the state is loaded.
    pub(crate) fn has_news(&self, told: Option<&Cursor>) -> bool {
        self.version > told.map_or(0, |told| told.version)
    }

    /// The step that brings a session that is at `since` up to date: a delta, where that is possible, else a snapshot.
    /// `None` for a session that comes from a gateway that is ahead of this one (what we have would take it back), and
    /// while too much is in flight; a tick announces when it is worth another try.
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

    /// The step that brings a session from `told` to the present, encoded once for all at the same cursor; `None` in
    /// another epoch, which takes a reset and a new start, and while too much is in flight.
    pub(crate) fn next(&mut self, told: &Cursor) -> Option<Step> {
        let is_followed = told.epoch == self.epoch;
        is_followed.then(|| {
            let version = told.version;
            // All that keep up share this one, which is small; others may each need one of their own.
            let keeps_up = version + 1 >= self.version;
            let place = From::Cursor(told.clone());
            self.delta(place, told.seq, version, keeps_up, |cell| cell.version > version)
        })?
    }

    /// Returns whether a session at this cursor can't be told what follows.
    pub(crate) fn has_begun_anew_since(&self, told: &Cursor) -> bool {
        told.epoch != self.epoch
    }

    fn delta(
        &mut self,
        place: From,
        from: u64,
        version: u64,
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
        let (rates, progress) = (self.rates.after(version), self.progress_after(version));
        let step =
            self.encode(&ServerMessage::Delta { id: 0, epoch, from, seq, cells, rates, progress }, true);
        if self.deltas.len() == KEPT_DELTAS {
            self.deltas.remove(0);
        }
        self.deltas.push((place, step.clone()));
        Some(step)
    }

    /// The snapshot: all cells of the view.
    fn snapshot(&mut self) -> Option<Step> {
        // Between two ticks sessions are told the same, unless the feed has begun anew.
        let kept = self.snapshot.take().filter(|kept| kept.to.epoch == self.epoch);
        self.snapshot = kept.or_else(|| {
            self.has_room().then(|| {
                let (Position { epoch, seq }, cells) = (self.position.clone(), self.cells(|_| true));
                let (rates, progress) = (self.rates.after(0), self.progress_after(0));
                self.encode(&ServerMessage::Snapshot { id: 0, epoch, seq, cells, rates, progress }, false)
            })
        });
        self.snapshot.clone()
    }

    /// Returns whether one more large message may be held; if not, the next tick announces another try.
    fn has_room(&mut self) -> bool {
        let has_room = !self.in_flight.is_exceeded();
        self.is_waited_for |= !has_room;
        has_room
    }

    /// The view's progress, for a session that was told up to a version.
    fn progress_after(&self, version: u64) -> Option<Progress> {
        self.progress.filter(|(_, since)| *since > version).map(|(progress, _)| progress)
    }

    fn encode(&self, message: &ServerMessage, is_delta: bool) -> Step {
        Step { body: Body::new(message, &self.in_flight), to: self.told(), is_delta }
    }

    fn told(&self) -> Cursor {
        Cursor { epoch: Arc::clone(&self.epoch), seq: self.position.seq, version: self.version }
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
mod instructions;
#[cfg(test)]
mod tests;
