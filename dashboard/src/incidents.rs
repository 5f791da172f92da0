//! Incidents that are open, as they are pushed: for the bell, and for their page.
//!
//! [`Open`] is what is known, a function of what the gateway says; [`use_open`] keeps it up to date over a
//! socket of its own. Where none comes about it has events streamed, and where those are held back it asks over HTTP
//! now and then; it goes back as soon as the better way works.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use clickwire_protocol::{
    alerts::{Alert, News, Page, Severity},
    live::{ClientMessage, SUBPROTOCOL, ServerMessage, Topic},
};
use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use uuid::Uuid;
use wasm_bindgen::JsCast as _;
use web_sys::{MessageEvent, WebSocket};
use yew::prelude::*;

use crate::{
    access::Access,
    account::Credential,
    clock,
    connection::address,
    events,
    http::{self, Asking, Failure, Request},
    session::{Patience, Streamed},
    zone,
};

/// The longest wait between questions as long as nothing is pushed, in milliseconds.
const ASK_EVERY_MS: u32 = 10_000;

/// The longest time that a socket may take to begin, in milliseconds.
const WITHIN_MS: u32 = 5_000;

/// Path of the open incidents, in pages as large as the server gives them.
const OPEN_URL: &str = "/api/v1/alerts?limit=200";

/// Incidents that are asked for over HTTP; of more, this many are counted.
const ASKED_MAX: usize = 2_000;

/// Path of the news as events.
const STREAM_URL: &str = "/api/v1/live/sse/alerts";

/// The silence after which a stream is given up, in milliseconds: before its first event, which is sent at once; and
/// later, when the gateway says something every 15 s at least.
const STREAM_BEGINS_MS: u32 = 5_000;
const STREAM_SILENT_MS: u32 = 35_000;

/// The interval between pings of a socket, in milliseconds: less than the gateway's heartbeat.
const PING_EVERY_MS: u32 = 10_000;

const SUBSCRIPTION: u32 = 1;

/// The incidents that are open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Open {
    alerts: BTreeMap<Uuid, Alert>,
    /// Number of open incidents, those included that were not told.
    total: i64,
    /// Those that are silenced.
    silenced: Vec<Uuid>,
    /// Changes are pushed.
    pub is_live: bool,
    /// The state is known.
    pub is_known: bool,
    /// Grows with every piece of news, for what shows more than this.
    pub version: u64,
}

impl Open {
    /// Takes what the gateway says.
    pub fn take(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Alerts { id: SUBSCRIPTION, total, open, .. } => {
                self.replace(open, total);
                self.is_live = true;
            }
            ServerMessage::Alert { id: SUBSCRIPTION, change } => {
                let alert = change.alert;
                let known = self.alerts.get(&alert.alert_id);
                if known.is_some_and(|known| known.version > alert.version) {
                    return;
                }
                self.version += 1;
                let (is_known, is_over) = (known.is_some(), alert.resolved_at.is_some());
                if !is_over {
                    self.total += i64::from(!is_known);
                    self.alerts.insert(alert.alert_id, alert);
                } else if is_known || change.change == News::Resolved {
                    self.alerts.remove(&alert.alert_id);
                    self.total = (self.total - 1).max(self.alerts.len() as i64);
                }
            }
            _ => {}
        }
    }

    /// Replaces all incidents by those that were told, out of `total`.
    pub fn replace(&mut self, open: Vec<Alert>, total: i64) {
        self.total = total.max(open.len() as i64);
        self.alerts = open.into_iter().map(|alert| (alert.alert_id, alert)).collect();
        self.is_known = true;
        self.version += 1;
    }

    /// Returns the number of open incidents.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Notes which of them are silenced at a time: a silence ends by itself.
    pub fn look(&mut self, now_ms: i64) {
        let silenced = self.alerts.values().filter(|alert| is_silenced(alert, now_ms));
        self.silenced = silenced.map(|alert| alert.alert_id).collect();
    }

    /// Returns the number of open incidents that are not silenced.
    pub fn ringing(&self) -> i64 {
        self.total - self.silenced.len() as i64
    }

    /// Returns whether an incident was silenced when that was noted last.
    pub fn is_silent(&self, id: Uuid) -> bool {
        self.silenced.contains(&id)
    }

    /// The worst of those that are not silenced.
    pub fn worst(&self) -> Option<Severity> {
        let ringing = self.alerts.values().filter(|alert| !self.silenced.contains(&alert.alert_id));
        ringing.map(|alert| alert.severity).max()
    }

    /// The latest opened first, as the API lists them.
    pub fn latest(&self) -> Vec<Alert> {
        let mut latest: Vec<Alert> = self.alerts.values().cloned().collect();
        latest.sort_by(|a, b| (&b.opened_at, b.alert_id).cmp(&(&a.opened_at, a.alert_id)));
        latest
    }
}

/// Returns whether an incident is silenced now, so that nobody is to be called because of it.
pub fn is_silenced_now(alert: &Alert) -> bool {
    alert.silenced_until.is_some() && is_silenced(alert, clock::now_ms())
}

/// Returns whether an incident is silenced at a time.
fn is_silenced(alert: &Alert, now_ms: i64) -> bool {
    let until = alert.silenced_until.as_ref().and_then(|until| zone::at_ms(until));
    until.is_some_and(|until| until > now_ms)
}

/// The consequence of an answer over HTTP.
#[derive(Debug, PartialEq)]
enum Told {
    /// The next page is asked for, at this URL.
    Next(String),
    /// All open incidents are known.
    All(Vec<Alert>),
    /// The viewer is not signed in any more.
    SignedOut,
    /// The answer tells nothing.
    Nothing,
}

/// Reads a page after those that hold `before`. Returns the incidents so far, and the consequence.
fn read(mut before: Vec<Alert>, answer: Result<String, Failure>) -> (Vec<Alert>, Told) {
    match answer.and_then(|text| http::read::<Page>(&text)) {
        Ok(Page { data, next }) => {
            before.extend(data);
            match next.filter(|_| before.len() < ASKED_MAX) {
                Some(next) => (before, Told::Next(format!("{OPEN_URL}&before={next}"))),
                None => (Vec::new(), Told::All(before)),
            }
        }
        Err(Failure::SignedOut) => (Vec::new(), Told::SignedOut),
        Err(_) => (Vec::new(), Told::Nothing),
    }
}

/// The connection that keeps them up to date. Its component ends it with [`Follower::stop`].
struct Follower {
    open: RefCell<Open>,
    credential: Credential,
    changed: Callback<Open>,
    /// Hears that the viewer is not signed in any more.
    refused: Callback<()>,
    socket: RefCell<Option<(WebSocket, [EventListener; 3])>>,
    /// The stream of events, as long as there is no socket, and the time at which it is given up.
    stream: RefCell<Option<(Asking, Timeout)>>,
    patience: RefCell<Patience>,
    asking: RefCell<Option<Asking>>,
    /// The next attempt, or the next ping.
    next: RefCell<Option<Timeout>>,
    attempts: Cell<u32>,
    /// The gateway was heard since the last ping.
    is_heard: Cell<bool>,
    is_over: Cell<bool>,
}

impl Follower {
    fn start(credential: Credential, changed: Callback<Open>, refused: Callback<()>) -> Rc<Self> {
        let follower = Rc::new(Self {
            open: RefCell::default(),
            credential,
            changed,
            refused,
            socket: RefCell::default(),
            stream: RefCell::default(),
            patience: RefCell::default(),
            asking: RefCell::default(),
            next: RefCell::default(),
            attempts: Cell::default(),
            is_heard: Cell::default(),
            is_over: Cell::default(),
        });
        follower.connect();
        follower
    }

    fn stop(&self) {
        self.is_over.set(true);
        if let Some((socket, _)) = self.socket.take() {
            // Closing what is closed already is no error; there is no other.
            socket.close().ok();
        }
        self.stream.take();
        self.next.take();
        self.asking.take();
    }

    fn connect(self: &Rc<Self>) {
        let socket = address().and_then(|url| WebSocket::new_with_str(&url, SUBPROTOCOL).ok());
        let Some(socket) = socket else { return self.lost() };
        let this = self.clone();
        let opened = EventListener::new(&socket, "open", move |_| {
            let token = this.credential.token().map(str::to_owned);
            this.say(&ClientMessage::Auth { token });
            let view = Topic::Alerts {};
            this.say(&ClientMessage::Subscribe {
                id: SUBSCRIPTION,
                view,
                since: None,
                min_interval_ms: None,
            });
        });
        let this = self.clone();
        let received = EventListener::new(&socket, "message", move |event| {
            let text = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
            if let Some(message) = text.and_then(|text| serde_json::from_str::<ServerMessage>(&text).ok()) {
                this.hear(message);
            }
        });
        let this = self.clone();
        let closed = EventListener::new(&socket, "close", move |_| this.lost());
        self.socket.replace(Some((socket, [opened, received, closed])));
        let this = self.clone();
        // A socket that a policy blocks gives no event at all.
        self.next.replace(Some(Timeout::new(WITHIN_MS, move || this.lost())));
    }

    fn say(&self, message: &ClientMessage) {
        if let Some((socket, _)) = &*self.socket.borrow()
            && let Ok(text) = serde_json::to_string(message)
        {
            // It fails only on a socket whose close event is on its way.
            socket.send_with_str(&text).ok();
        }
    }

    fn hear(self: &Rc<Self>, message: ServerMessage) {
        self.is_heard.set(true);
        if matches!(message, ServerMessage::Alerts { .. }) {
            // From here on the socket tells everything.
            self.attempts.set(0);
            self.stream.take();
            self.patience.take();
            self.ping_later();
        }
        self.open.borrow_mut().take(message);
        self.tell();
    }

    /// Hands on what is known. Every answer to a ping leads here, so a silence's end is seen soon.
    fn tell(&self) {
        self.open.borrow_mut().look(clock::now_ms());
        self.changed.emit(self.open.borrow().clone());
    }

    fn ping_later(self: &Rc<Self>) {
        let this = self.clone();
        self.next.replace(Some(Timeout::new(PING_EVERY_MS, move || {
            if !this.is_heard.replace(false) {
                return this.lost();
            }
            this.say(&ClientMessage::Ping {});
            this.ping_later();
        })));
    }

    /// Has events streamed, or else asks over HTTP, which also tells whether the viewer is still signed in; and
    /// connects again later.
    fn lost(self: &Rc<Self>) {
        if self.is_over.get() {
            return;
        }
        if let Some((socket, _)) = self.socket.take() {
            socket.close().ok();
        }
        let is_streamed = self.open.borrow().is_live && self.stream.borrow().is_some();
        if !is_streamed {
            self.miss();
            self.stream();
        }
        let attempt = self.attempts.get();
        self.attempts.set(attempt.saturating_add(1));
        let longest = f64::from((1_000_u32 << attempt.min(3)).min(ASK_EVERY_MS));
        let after_ms = (longest * (0.5 + js_sys::Math::random() / 2.0)) as u32;
        let this = self.clone();
        self.next.replace(Some(Timeout::new(after_ms, move || this.connect())));
    }

    /// Asks over HTTP: nothing is pushed.
    fn miss(self: &Rc<Self>) {
        self.open.borrow_mut().is_live = false;
        self.tell();
        self.ask(OPEN_URL, Vec::new());
    }

    /// Has events streamed, unless that has begun, or a stream has told nothing a short time ago.
    fn stream(self: &Rc<Self>) {
        if self.stream.borrow().is_some() || !self.patience.borrow().is_over(clock::now_ms()) {
            return;
        }
        let this = self.clone();
        let heard = move || {
            this.stream_until(STREAM_SILENT_MS);
            // A silence may have ended.
            this.tell();
        };
        let this = self.clone();
        let tell = move |streamed| match streamed {
            Streamed::Told(message) => {
                this.patience.borrow_mut().told();
                this.open.borrow_mut().take(message);
                this.tell();
            }
            Streamed::Ended => this.end_stream(),
        };
        let request = http::builder(&Request::fresh(STREAM_URL), &self.credential);
        let asking = events::stream(request, heard, tell);
        let this = self.clone();
        let end = Timeout::new(STREAM_BEGINS_MS, move || this.end_stream());
        self.stream.replace(Some((asking, end)));
    }

    /// Gives the stream up after a silence that begins now.
    fn stream_until(self: &Rc<Self>, silent_ms: u32) {
        let this = self.clone();
        if let Some((_, end)) = &mut *self.stream.borrow_mut() {
            *end = Timeout::new(silent_ms, move || this.end_stream());
        }
    }

    /// Gives the stream up. A lost socket begins another later.
    fn end_stream(self: &Rc<Self>) {
        self.stream.take();
        if self.open.borrow().is_live {
            self.miss();
        } else {
            self.patience.borrow_mut().missed(clock::now_ms());
        }
    }

    fn ask(self: &Rc<Self>, url: &str, before: Vec<Alert>) {
        let this = self.clone();
        let then = Callback::from(move |answer: Result<String, Failure>| {
            let (so_far, told) = read(before.clone(), answer);
            match told {
                Told::SignedOut => this.refused.emit(()),
                Told::Nothing => {}
                // What is pushed is newer.
                Told::Next(_) | Told::All(_) if this.open.borrow().is_live => {}
                Told::Next(url) => this.ask(&url, so_far),
                Told::All(open) => {
                    let total = open.len() as i64;
                    this.open.borrow_mut().replace(open, total);
                    this.tell();
                }
            }
        });
        let asking = http::ask(Request::fresh(url), &self.credential, then);
        self.asking.replace(Some(asking));
    }
}

/// The open incidents, up to date, if the viewer looks after them.
#[hook]
pub fn use_open(access: &Access, is_wanted: bool) -> Open {
    let open = use_state_eq(Open::default);
    {
        let (open, refused) = (open.setter(), access.onrefused.clone());
        use_effect_with((access.credential.clone(), is_wanted), move |(credential, is_wanted)| {
            let changed = Callback::from(move |now| open.set(now));
            let follower = is_wanted.then(|| Follower::start(credential.clone(), changed, refused));
            move || {
                if let Some(follower) = follower {
                    follower.stop();
                }
            }
        });
    }
    (*open).clone()
}

#[cfg(test)]
pub(crate) mod tests {
    use clickwire_protocol::alerts::{Change, Kind};
    use serde_json::json;

    use super::*;

    pub(crate) fn alert(number: u128, severity: Severity) -> Alert {
        Alert {
            opened_at: format!("2026-11-28T10:00:{number:02}Z"),
            last_seen_at: "2026-11-28T10:05:00Z".into(),
            details: json!({"clicks": 100, "invalid": 31}),
            ..Alert::bare(Uuid::from_u128(number), Kind::FraudRate, "camp_001", severity)
        }
    }

    fn news(change: News, alert: Alert) -> ServerMessage {
        let change = Change { seq: 1, change, changed_at: alert.last_seen_at.clone(), alert };
        ServerMessage::Alert { id: SUBSCRIPTION, change: Box::new(change) }
    }

    #[test]
    fn what_is_open_follows_the_news() {
        let mut open = Open::default();
        let first = vec![alert(1, Severity::Warning)];
        open.take(ServerMessage::Alerts { id: SUBSCRIPTION, seq: 7, total: 3, open: first });
        assert!(open.is_live && open.is_known);
        assert_eq!((open.total(), open.worst()), (3, Some(Severity::Warning)));
        open.take(news(News::Opened, alert(2, Severity::Critical)));
        assert_eq!((open.total(), open.worst()), (4, Some(Severity::Critical)));
        assert_eq!(open.latest()[0].alert_id, Uuid::from_u128(2), "the latest first");

        let newer = Alert { version: 3, acknowledged_by: Some("Anna".into()), ..alert(1, Severity::Warning) };
        open.take(news(News::Acknowledged, newer.clone()));
        assert_eq!(open.total(), 4, "one that is known");
        open.take(news(News::Escalated, Alert { version: 2, ..alert(1, Severity::Critical) }));
        assert_eq!(open.latest()[1], newer, "older news changes nothing");

        let over = |number| Alert {
            resolved_at: Some("2026-11-28T11:00:00Z".into()),
            ..alert(number, Severity::Critical)
        };
        open.take(news(News::Noted, over(7)));
        assert_eq!(open.total(), 4, "a note about one that is over opens nothing");
        open.take(news(News::Resolved, over(2)));
        assert_eq!((open.total(), open.worst()), (3, Some(Severity::Warning)));
        open.take(news(News::Resolved, over(9)));
        assert_eq!(open.total(), 2, "one of those that were not told");
    }

    #[test]
    fn all_pages_of_open_incidents_are_counted_and_a_refusal_is_told() {
        let page = |numbers: std::ops::Range<u128>, next: Option<u128>| {
            let data = numbers.map(|number| alert(number, Severity::Warning)).collect();
            Ok(serde_json::to_string(&Page { data, next: next.map(Uuid::from_u128) }).unwrap())
        };
        let (first, told) = read(Vec::new(), page(0..200, Some(199)));
        assert_eq!(told, Told::Next(format!("{OPEN_URL}&before={}", Uuid::from_u128(199))));
        let (_, told) = read(first.clone(), page(200..230, None));
        assert!(matches!(told, Told::All(all) if all.len() == 230));
        let many = vec![alert(1, Severity::Warning); ASKED_MAX - 200];
        let (_, told) = read(many, page(0..200, Some(199)));
        assert!(matches!(told, Told::All(all) if all.len() == ASKED_MAX), "not for ever");
        assert_eq!(read(first.clone(), Err(Failure::SignedOut)).1, Told::SignedOut);
        assert_eq!(read(first, Err(Failure::Away)).1, Told::Nothing, "a part is not all");
    }

    #[test]
    fn what_is_silenced_does_not_ring_until_the_silence_ends() {
        let until = zone::at_ms("2026-11-28T12:00:00Z").unwrap();
        let mut open = Open::default();
        let silenced_until = Some("2026-11-28T12:00:00Z".to_owned());
        let silent = Alert { silenced_until, ..alert(2, Severity::Critical) };
        open.replace(vec![alert(1, Severity::Warning), silent], 2);
        open.look(until - 1);
        assert_eq!((open.total(), open.ringing(), open.worst()), (2, 1, Some(Severity::Warning)));
        open.look(until);
        assert_eq!((open.ringing(), open.worst()), (2, Some(Severity::Critical)));
    }
}
