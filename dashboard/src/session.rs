//! A session with the gateway as a reducer: events in, effects out, no browser.
//!
//! Promises: one subscription at a time; after a lost connection it goes on from where its state
//! ends; after a gap it asks for everything; it never comes back by itself when the gateway said
//! not to ([`close::may_reconnect`]); a gateway that is silent for two heartbeats is gone. Where no
//! socket comes about, it asks over HTTP now and then, until one does.

use clickwire_protocol::{
    analytics::Dimension,
    feed::Position,
    ids::AdvertiserId,
    live::{Applied, ClientMessage, Filters, ServerMessage, Topic, View, ViewCell, ViewState, close},
    times::UnixMs,
};

use crate::{account::Credential, backoff};

#[cfg(test)]
mod tests;

/// A connection that is not welcomed by then is given up, in milliseconds. A socket that a policy
/// blocks gives no event at all.
pub const HANDSHAKE_MS: u32 = 5_000;

/// After a ping without answer the next comes this soon at the latest, in milliseconds.
const IMPATIENT_MS: u32 = 5_000;

/// A connection that lived this long, in milliseconds, was a good one: back-off starts afresh.
const GOOD_MS: i64 = 10_000;

/// Sockets in a row that did not come about before the session asks over HTTP.
const STEP_DOWN_AFTER: u32 = 2;

/// How long after an answer it asks again, in milliseconds.
const POLL_MS: u32 = 2_000;

/// A question that is not answered by then is given up, in milliseconds.
const ANSWERED_MS: u32 = 10_000;

/// Pings that may stay unanswered.
const UNANSWERED: u32 = 2;

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// Connect, for the first time or because a person asks.
    Start,
    /// The socket is open.
    Opened,
    /// A message came.
    Received(ServerMessage),
    /// The socket closed, or could not be opened.
    Closed {
        /// Its close code.
        code: u16,
        /// What was said with it.
        reason: String,
    },
    /// What came of asking over HTTP, with the number of the question.
    Polled(u32, Polled),
    /// A timer is due.
    Fired(Timer),
    /// The network is back, or somebody looks at the page again.
    Woken,
    /// Watch this advertiser.
    ChooseAdvertiser(AdvertiserId),
    /// Watch so many minutes.
    ChooseWindow(u32),
}

/// What came of asking over HTTP.
#[derive(Clone, Debug)]
pub enum Polled {
    /// A snapshot or a delta.
    Told(ServerMessage),
    /// Who asks is not known any more.
    Refused,
    /// No answer, or none that can be used.
    Failed,
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a socket; one that is open is dropped without an event.
    Open,
    /// Drop the socket without an event.
    Close,
    /// Send a message.
    Send(ClientMessage),
    /// Ask over HTTP what has changed in a view.
    Poll {
        /// Names the question.
        number: u32,
        /// What is watched.
        view: View,
        /// Where the state ends.
        since: Option<Position>,
    },
    /// Fire a timer, once; it replaces the one of its name that runs.
    Set(Timer, u32),
    /// Stop a timer.
    Stop(Timer),
    /// Ask for the advertisers: names, and for the administrator whom there is to watch.
    ListAdvertisers,
    /// Ask for the names of an advertiser's campaigns.
    ListCampaigns(AdvertiserId),
}

/// A session's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The handshake takes too long.
    Handshake,
    /// Time to connect again.
    Retry,
    /// Time for a ping.
    Heartbeat,
    /// Time to ask over HTTP.
    Poll,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Handshake, Self::Retry, Self::Heartbeat, Self::Poll];
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet started.
    Idle,
    /// The socket opens, or the gateway has not welcomed yet.
    Connecting,
    /// Welcomed at this time, in milliseconds since the Unix epoch.
    Live(i64),
    /// Lost; connects again at this time.
    Waiting(i64),
    /// Closed for good, with this code.
    Refused(u16),
}

/// One viewer's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where it stands.
    pub phase: Phase,
    /// Whom it may watch; empty before the welcome and for the administrator.
    pub advertisers: Vec<AdvertiserId>,
    /// Whom it watches.
    pub advertiser_id: Option<AdvertiserId>,
    /// How much of the past it watches, in minutes.
    pub window_minutes: u32,
    /// The cells.
    pub state: ViewState,
    /// The state belongs to the view that is asked for; false until its first snapshot.
    pub settled: bool,
    /// When the gateway was last heard, in milliseconds since the Unix epoch.
    pub heard_ms: Option<i64>,
    /// What the gateway refused to do, for people.
    pub complaint: Option<String>,
    /// Without a socket, the numbers are kept up over HTTP.
    pub polled: bool,
    /// The last question's number, while questions are asked.
    poll: Option<u32>,
    polls: u32,
    /// Sockets in a row that did not come about.
    unwelcome: u32,
    credential: Credential,
    /// The last subscription's id; ids are never used twice, so what still comes for an older one
    /// is known by it.
    subscription: u32,
    subscribed: bool,
    expects_snapshot: bool,
    attempt: u32,
    unanswered: u32,
    heartbeat_ms: u32,
}

impl Session {
    /// A session that is not yet connected.
    pub fn new(credential: Credential, window_minutes: u32) -> Self {
        Self {
            phase: Phase::Idle,
            advertisers: Vec::new(),
            advertiser_id: None,
            window_minutes,
            state: ViewState::default(),
            settled: false,
            heard_ms: None,
            complaint: None,
            polled: false,
            poll: None,
            polls: 0,
            unwelcome: 0,
            credential,
            subscription: 0,
            subscribed: false,
            expects_snapshot: false,
            attempt: 0,
            unanswered: 0,
            heartbeat_ms: 30_000,
        }
    }

    /// What it authenticates with.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Takes an event at `now_ms` (since the Unix epoch); `chance` is uniform in [0, 1).
    pub fn take(&mut self, event: Event, now_ms: i64, chance: f64) -> Vec<Effect> {
        let live = matches!(self.phase, Phase::Live(_));
        match event {
            Event::Start => self.open(),
            Event::Opened => {
                vec![Effect::Send(ClientMessage::Auth { token: self.credential.token().map(str::to_owned) })]
            }
            Event::Received(message) => self.receive(message, now_ms),
            Event::Closed { code, reason } => self.lose(code, &reason, now_ms, chance),
            Event::Fired(Timer::Handshake) => self.lose(close::TRY_AGAIN_LATER, "", now_ms, chance),
            Event::Fired(Timer::Retry) => self.open(),
            Event::Fired(Timer::Heartbeat) if self.unanswered >= UNANSWERED => {
                self.lose(close::HEARTBEAT_TIMEOUT, "", now_ms, chance)
            }
            Event::Fired(Timer::Heartbeat) => self.ping(),
            Event::Fired(Timer::Poll) => self.ask(),
            Event::Polled(number, polled) if self.poll == Some(number) => self.hear(polled, now_ms),
            Event::Polled(..) => Vec::new(),
            Event::Woken => match self.phase {
                Phase::Waiting(_) => self.open(),
                // The socket may have died while the machine slept.
                Phase::Live(_) => self.ping(),
                Phase::Idle | Phase::Connecting | Phase::Refused(_) => Vec::new(),
            },
            Event::ChooseAdvertiser(id) => {
                if self.advertiser_id.as_ref() == Some(&id) {
                    return Vec::new();
                }
                self.advertiser_id = Some(id);
                self.state = ViewState::default();
                self.settled = false;
                self.look(live)
            }
            Event::ChooseWindow(minutes) => {
                if self.window_minutes == minutes {
                    return Vec::new();
                }
                self.window_minutes = minutes;
                // The cells stay on the screen until the snapshot comes; they are right, only fewer.
                self.state.position = None;
                self.look(live)
            }
        }
    }

    /// Asks for the view that was chosen, whichever way it comes.
    fn look(&mut self, live: bool) -> Vec<Effect> {
        match live {
            true => self.subscribe(),
            false if self.poll.is_some() => self.begin_to_ask(),
            false => Vec::new(),
        }
    }

    fn begin_to_ask(&mut self) -> Vec<Effect> {
        let mut effects = self.ask();
        effects.extend(self.advertiser_id.clone().map(Effect::ListCampaigns));
        effects
    }

    fn open(&mut self) -> Vec<Effect> {
        self.phase = Phase::Connecting;
        self.subscribed = false;
        self.unanswered = 0;
        vec![Effect::Stop(Timer::Retry), Effect::Open, Effect::Set(Timer::Handshake, HANDSHAKE_MS)]
    }

    fn lose(&mut self, code: u16, reason: &str, now_ms: i64, chance: f64) -> Vec<Effect> {
        if let Phase::Live(since_ms) = self.phase
            && now_ms - since_ms >= GOOD_MS
        {
            self.attempt = 0;
        }
        self.unwelcome = if self.phase == Phase::Connecting { self.unwelcome + 1 } else { 0 };
        self.subscribed = false;
        let mut effects = vec![Effect::Close, Effect::Stop(Timer::Handshake), Effect::Stop(Timer::Heartbeat)];
        if close::may_reconnect(code) {
            // A gateway that goes away spreads those who come back over some time.
            let asked_ms = close::wait_ms(code, reason);
            let delay_ms = asked_ms.unwrap_or_else(|| backoff::delay_ms(self.attempt, chance));
            self.attempt = self.attempt.saturating_add(1);
            self.phase = Phase::Waiting(now_ms + i64::from(delay_ms));
            effects.push(Effect::Set(Timer::Retry, delay_ms));
            if self.unwelcome >= STEP_DOWN_AFTER && self.poll.is_none() {
                effects.push(Effect::ListAdvertisers);
                effects.extend(self.begin_to_ask());
            }
        } else {
            self.phase = Phase::Refused(code);
            effects.extend(self.ask_no_more());
        }
        effects
    }

    /// Asks over HTTP what has changed.
    fn ask(&mut self) -> Vec<Effect> {
        self.polls += 1;
        self.poll = Some(self.polls);
        match self.view() {
            Some(view) => vec![
                Effect::Poll { number: self.polls, view, since: self.state.position.clone() },
                Effect::Set(Timer::Poll, ANSWERED_MS),
            ],
            // The list of advertisers says whom to watch.
            None => vec![Effect::Set(Timer::Poll, POLL_MS)],
        }
    }

    fn ask_no_more(&mut self) -> Vec<Effect> {
        self.polled = false;
        self.poll.take().map(|_| Effect::Stop(Timer::Poll)).into_iter().collect()
    }

    fn hear(&mut self, polled: Polled, now_ms: i64) -> Vec<Effect> {
        let told = match polled {
            Polled::Told(ServerMessage::Snapshot { epoch, seq, cells, rates, .. }) => {
                self.state.replace(epoch, seq, cells);
                self.state.note(&rates);
                true
            }
            Polled::Told(ServerMessage::Delta { epoch, from, seq, cells, rates, .. }) => {
                self.state.note(&rates);
                self.follow(&epoch, from, seq, cells, now_ms)
            }
            Polled::Refused => {
                self.phase = Phase::Refused(close::UNAUTHORIZED);
                let stop = [Effect::Close, Effect::Stop(Timer::Handshake), Effect::Stop(Timer::Retry)];
                return stop.into_iter().chain(self.ask_no_more()).collect();
            }
            Polled::Told(_) | Polled::Failed => false,
        };
        self.polled = told;
        if told {
            self.settled = true;
            self.heard_ms = Some(now_ms);
        }
        vec![Effect::Set(Timer::Poll, POLL_MS)]
    }

    /// Applies a change; one that does not follow the state leaves it without a position.
    fn follow(&mut self, epoch: &str, from: u64, seq: u64, cells: Vec<ViewCell>, now_ms: i64) -> bool {
        let follows = self.state.apply(epoch, from, seq, cells) == Applied::Yes;
        if !follows {
            self.state.position = None;
        }
        self.state.forget_before(UnixMs(now_ms).minute() - i64::from(self.window_minutes) + 1);
        follows
    }

    fn ping(&mut self) -> Vec<Effect> {
        self.unanswered += 1;
        let next_ms = self.heartbeat_ms.min(IMPATIENT_MS);
        vec![Effect::Send(ClientMessage::Ping {}), Effect::Set(Timer::Heartbeat, next_ms)]
    }

    fn receive(&mut self, message: ServerMessage, now_ms: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.heard_ms = Some(now_ms);
        if self.unanswered > 0 {
            self.unanswered = 0;
            effects.push(Effect::Set(Timer::Heartbeat, self.heartbeat_ms));
        }
        let ours = |id: u32| self.subscribed && id == self.subscription;
        match message {
            ServerMessage::Welcome { session: _, heartbeat_ms, advertisers } => {
                self.phase = Phase::Live(now_ms);
                effects.extend(self.ask_no_more());
                self.heartbeat_ms = u32::try_from(heartbeat_ms).unwrap_or(u32::MAX).max(1_000);
                effects.push(Effect::Stop(Timer::Handshake));
                effects.push(Effect::Set(Timer::Heartbeat, self.heartbeat_ms));
                effects.push(Effect::ListAdvertisers);
                self.advertisers = advertisers.unwrap_or_default();
                if let Some(first) = self.advertisers.first() {
                    let allowed = self.advertiser_id.as_ref().is_some_and(|id| self.advertisers.contains(id));
                    if !allowed {
                        self.advertiser_id = Some(first.clone());
                        self.state = ViewState::default();
                        self.settled = false;
                    }
                }
                effects.extend(self.subscribe());
            }
            ServerMessage::Snapshot { id, epoch, seq, cells, rates } if ours(id) => {
                self.state.replace(epoch, seq, cells);
                self.state.note(&rates);
                self.expects_snapshot = false;
                self.settled = true;
                self.complaint = None;
            }
            // Until the snapshot comes, deltas can't follow anything.
            ServerMessage::Delta { id, epoch, from, seq, cells, rates }
                if ours(id) && !self.expects_snapshot =>
            {
                self.state.note(&rates);
                if !self.follow(&epoch, from, seq, cells, now_ms) {
                    effects.extend(self.subscribe());
                }
            }
            ServerMessage::Reset { id } if ours(id) => {
                self.state.position = None;
                self.expects_snapshot = true;
            }
            ServerMessage::Error { id, message, .. } if id.is_none_or(ours) => {
                self.complaint = Some(message);
            }
            ServerMessage::Snapshot { .. }
            | ServerMessage::Delta { .. }
            | ServerMessage::Reset { .. }
            | ServerMessage::Error { .. }
            // Nothing of the page watches incidents.
            | ServerMessage::Alerts { .. }
            | ServerMessage::Alert { .. }
            | ServerMessage::Pong => {}
        }
        effects
    }

    /// What is watched, if it is known whom.
    fn view(&self) -> Option<View> {
        Some(View {
            advertiser_id: self.advertiser_id.clone()?,
            filters: Filters::default(),
            group_by: vec![Dimension::CampaignId],
            window_minutes: self.window_minutes,
        })
    }

    /// Subscribes to the view, from where the state ends if it has a position.
    fn subscribe(&mut self) -> Vec<Effect> {
        let Some(view) = self.view() else { return Vec::new() };
        let advertiser_id = view.advertiser_id.clone();
        let mut effects = Vec::new();
        if self.subscribed {
            effects.push(Effect::Send(ClientMessage::Unsubscribe { id: self.subscription }));
        }
        self.subscribed = true;
        self.subscription += 1;
        self.complaint = None;
        self.expects_snapshot = self.state.position.is_none();
        effects.push(Effect::Send(ClientMessage::Subscribe {
            id: self.subscription,
            view: Topic::Clicks(view),
            since: self.state.position.clone(),
            min_interval_ms: None,
        }));
        effects.push(Effect::ListCampaigns(advertiser_id));
        effects
    }
}
