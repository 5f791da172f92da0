//! Polling of the server, for weeks: one round of requests at a time, each with a time limit. After failed rounds the
//! pauses grow, with jitter, so that many screens don't come back at once. Known numbers stay meanwhile.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use gloo_timers::callback::Timeout;
use yew::Callback;

use super::known::{Known, Part, Report, Told};
use crate::{
    account::Credential,
    clock,
    http::{self, Asking, Failure, Request},
    zone::Zone,
};

/// The pause between two rounds, in milliseconds: the server is asked more often than it measures, so that a server
/// that stands still is noticed.
const EVERY_MS: u32 = 2_500;

/// Number of rounds per request for reports.
const REPORTS_EVERY: u32 = 6;

/// The time limit of a round, in milliseconds.
const WITHIN_MS: u32 = 5_000;

/// Age of a page, in milliseconds, from which on it is loaded again if it can't read any answer: it is older than the
/// server.
const RELOADS_AFTER_MS: i64 = 600_000;

/// The longest wait after a round that failed, in milliseconds.
const LONGEST_MS: u32 = 10_000;

/// Returns the pause after this many failed rounds in a row; `chance` is uniform in [0, 1).
fn wait_ms(failures: u32, chance: f64) -> u32 {
    let chance = chance.clamp(0.0, 1.0);
    let wait = match failures {
        0 => f64::from(EVERY_MS) * (0.9 + 0.2 * chance),
        failures => {
            f64::from(1_000_u32.saturating_mul(1 << failures.min(4)).min(LONGEST_MS)) * (0.5 + 0.5 * chance)
        }
    };
    wait as u32
}

/// Reads an answer.
fn read(part: Part, text: &str) -> Result<Told, Failure> {
    match part {
        Part::Pipeline => http::read(text).map(Told::Pipeline),
        Part::Report(which) => http::read(text).map(|report| Told::Report(which, report)),
    }
}

/// The poll that keeps a screen up to date. It ends with [`Poll::stop`].
pub(super) struct Poll {
    known: RefCell<Known>,
    zone: Zone,
    credential: Credential,
    /// Hears what is known after each round.
    changed: Callback<Known>,
    /// Hears that the viewer is not signed in any more.
    refused: Callback<()>,
    asking: RefCell<Vec<Asking>>,
    next: RefCell<Option<Timeout>>,
    round: Cell<u32>,
    /// Answers that are missing in this round.
    missing: Cell<usize>,
    has_failed: Cell<bool>,
    /// No answer was read in this round.
    is_silent: Cell<bool>,
    /// An answer came that this version can't read.
    is_unreadable: Cell<bool>,
    failures: Cell<u32>,
    started_ms: i64,
    is_over: Cell<bool>,
}

impl Poll {
    /// Starts the requests, with the numbers that are known already.
    pub(super) fn start(
        known: Known,
        zone: Zone,
        credential: Credential,
        changed: Callback<Known>,
        refused: Callback<()>,
    ) -> Rc<Self> {
        let poll = Rc::new(Self {
            known: RefCell::new(known),
            zone,
            credential,
            changed,
            refused,
            asking: RefCell::default(),
            next: RefCell::default(),
            round: Cell::default(),
            missing: Cell::default(),
            has_failed: Cell::default(),
            is_silent: Cell::default(),
            is_unreadable: Cell::default(),
            failures: Cell::default(),
            started_ms: clock::now_ms(),
            is_over: Cell::default(),
        });
        poll.ask();
        poll
    }

    /// Ends the requests.
    pub(super) fn stop(&self) {
        self.is_over.set(true);
        self.next.take();
        self.asking.take();
    }

    fn ask(self: &Rc<Self>) {
        let round = self.round.get();
        self.round.set(round.wrapping_add(1));
        // After a server that was away everything is asked at once.
        let asks_all = round.is_multiple_of(REPORTS_EVERY) || self.is_silent.get();
        let reports: &[Report] = if asks_all { &Report::ALL } else { &[] };
        let now_ms = clock::now_ms();
        let parts = std::iter::once(Part::Pipeline).chain(reports.iter().copied().map(Part::Report));
        self.missing.set(1 + reports.len());
        self.has_failed.set(false);
        self.is_silent.set(true);
        self.is_unreadable.set(false);
        let asking = parts.map(|part| {
            let this = self.clone();
            let then = Callback::from(move |answer| this.hear(part, answer));
            http::ask(Request::fresh(&part.url(now_ms, &self.zone)), &self.credential, then)
        });
        self.asking.replace(asking.collect());
        let this = self.clone();
        self.next.replace(Some(Timeout::new(WITHIN_MS, move || {
            this.has_failed.set(true);
            this.end();
        })));
    }

    fn hear(self: &Rc<Self>, part: Part, answer: Result<String, Failure>) {
        if answer == Err(Failure::SignedOut) {
            self.refused.emit(());
        }
        match answer.and_then(|text| read(part, &text)) {
            Ok(told) => {
                self.is_silent.set(false);
                self.known.borrow_mut().take(told, clock::now_ms());
                self.changed.emit(self.known.borrow().clone());
            }
            Err(failure) => {
                self.has_failed.set(true);
                self.is_unreadable.set(self.is_unreadable.get() || failure == Failure::Unreadable);
            }
        }
        self.missing.set(self.missing.get().saturating_sub(1));
        if self.missing.get() == 0 {
            self.end();
        }
    }

    /// Ends a round; what is still under way is given up.
    fn end(self: &Rc<Self>) {
        self.asking.take();
        if self.is_over.get() {
            return;
        }
        let is_other_version = self.is_silent.get() && self.is_unreadable.get();
        if is_other_version && clock::now_ms() - self.started_ms > RELOADS_AFTER_MS {
            // Nobody is there to load the page again.
            web_sys::window().and_then(|window| window.location().reload().ok());
        }
        let failures = if self.has_failed.get() { self.failures.get().saturating_add(1) } else { 0 };
        self.failures.set(failures);
        let this = self.clone();
        let wait = wait_ms(failures, js_sys::Math::random());
        self.next.replace(Some(Timeout::new(wait, move || this.ask())));
        self.changed.emit(self.known.borrow().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_fail_come_at_growing_distances_up_to_a_limit() {
        let longest: Vec<u32> = (0..7).map(|failures| wait_ms(failures, 1.0)).collect();
        assert_eq!(longest, [2_750, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
        let shortest: Vec<u32> = (0..5).map(|failures| wait_ms(failures, 0.0)).collect();
        assert_eq!(shortest, [2_250, 1_000, 2_000, 4_000, 5_000]);
        assert_eq!(wait_ms(u32::MAX, 1.0), LONGEST_MS);
    }

    #[test]
    fn answers_are_read_by_what_was_asked() {
        assert!(matches!(read(Part::Report(Report::Today), "{}"), Err(Failure::Unreadable)));
        assert!(matches!(read(Part::Pipeline, "<html>"), Err(Failure::Unreadable)));
        let page = r#"{"at_ms":null,"every_seconds":10,"limits":{"behind_warning_ms":1,"behind_critical_ms":2,
            "full_warning_percent":1,"full_critical_percent":2},"stages":null,"servers":[],"history":[]}"#;
        assert!(matches!(read(Part::Pipeline, page), Ok(Told::Pipeline(_))));
    }
}
