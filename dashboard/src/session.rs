//! A session with the gateway as a reducer: events in, effects out, no browser.
//!
//! Promises: one subscription at a time; after a lost connection it goes on from where its state
//! ends; after a gap it asks for everything; it never comes back by itself when the gateway said
//! not to ([`close::may_reconnect`]). A gateway that is silent is asked whether it is there, soon, and
//! given up later: what the screen says meanwhile is for [`Freshness`] to know. Where no socket comes
//! about, it has events streamed over HTTP; where no stream comes through either, it asks now and then. Sockets and
//! streams go on being tried, and the better way takes over as soon as it tells something.

use clickwire_protocol::{
    MINUTE_MS,
    analytics::Dimension,
    finality::Progress,
    ids::AdvertiserId,
    live::{Applied, ClientMessage, Filters, Rate, ServerMessage, Topic, View, ViewCell, ViewState, close},
    times::{Minute, UnixMs},
};

use crate::{
    account::Credential,
    backoff,
    board::Board,
    freshness::{Freshness, QUIET_MS},
};

mod events;
mod over_http;
mod patience;
#[cfg(test)]
mod tests;

pub use events::{Effect, Event, Phase, Polled, Streamed, Timer};
pub use patience::Patience;

/// The time after which a connection that is not welcomed is given up, in milliseconds. A socket that a policy
/// blocks gives no event at all.
pub const HANDSHAKE_MS: u32 = 5_000;

/// The silence after which a gateway is given up, in milliseconds. It is longer than the screen takes to say that
/// it is away: one that stands still for a moment must not have all its dashboards come back at once.
const GONE_MS: i64 = 10_000;

/// The life from which a connection counts as a good one, in milliseconds: back-off starts afresh.
const GOOD_MS: i64 = 10_000;

/// Sockets in a row that did not come about before the session goes on over HTTP.
const STEP_DOWN_AFTER: u32 = 2;

/// One viewer's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Phase of the session.
    pub phase: Phase,
    /// Advertisers that it may watch; empty before the welcome, and for a viewer of all advertisers.
    pub advertisers: Vec<AdvertiserId>,
    /// Advertiser that it watches.
    pub advertiser_id: Option<AdvertiserId>,
    /// Window that it watches, in minutes.
    pub window_minutes: u32,
    /// Position at which the state ends, and the rates of clicks; the cells are on the board.
    pub state: ViewState,
    /// The cells.
    pub board: Board,
    /// Second (since the Unix epoch, by the server's clock) from which on seconds without a rate had no click.
    pub rates_from: Option<i64>,
    /// The state belongs to the view that is asked for; false until its first snapshot.
    pub settled: bool,
    /// Freshness of the numbers.
    pub freshness: Freshness,
    /// The state is what the gateway has: it has answered the present subscription.
    pub current: bool,
    /// Message of the gateway's last refusal, for people.
    pub complaint: Option<String>,
    /// Questions over HTTP keep up the numbers, without a socket.
    pub polled: bool,
    /// Events over HTTP keep up the numbers, without a socket.
    pub streamed: bool,
    /// The last question's number, while questions are asked.
    poll: Option<u32>,
    /// The stream's number, while there is one.
    stream: Option<u32>,
    /// The shortest time between two messages about changes, in milliseconds; `None`: as the gateway likes.
    pub min_interval_ms: Option<u32>,
    /// Pauses between streams that tell nothing.
    patience: Patience,
    /// Numbers that were given to questions and streams.
    asked: u32,
    /// Sockets in a row that did not come about.
    unwelcome: u32,
    credential: Credential,
    /// The last subscription's id; ids are never used twice, so what still comes for an older one
    /// is known by it.
    subscription: u32,
    subscribed: bool,
    expects_snapshot: bool,
    attempt: u32,
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
            board: Board::default(),
            rates_from: None,
            settled: false,
            freshness: Freshness::default(),
            current: false,
            complaint: None,
            polled: false,
            streamed: false,
            poll: None,
            stream: None,
            min_interval_ms: None,
            patience: Patience::default(),
            asked: 0,
            unwelcome: 0,
            credential,
            subscription: 0,
            subscribed: false,
            expects_snapshot: false,
            attempt: 0,
        }
    }

    /// Returns the credential with which it authenticates.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Takes an event at `now_ms` (since the Unix epoch, by this machine's clock); `chance` is uniform in [0, 1).
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
            Event::Fired(Timer::Heartbeat) => match self.freshness.silence_ms(now_ms) {
                silence_ms if silence_ms < QUIET_MS => vec![wait(QUIET_MS - silence_ms)],
                silence_ms if silence_ms < GONE_MS => self.ping(),
                _ => self.lose(close::HEARTBEAT_TIMEOUT, "", now_ms, chance),
            },
            Event::Fired(Timer::Poll) => self.ask(),
            Event::Polled(number, polled) if self.poll == Some(number) => self.hear(polled, now_ms),
            Event::Streamed(number, streamed) if self.stream == Some(number) => {
                self.hear_streamed(streamed, now_ms)
            }
            Event::Polled(..) | Event::Streamed(..) => Vec::new(),
            Event::Fired(Timer::Stream) => self.miss_stream(now_ms),
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
                self.unsettle();
                self.look(live, now_ms)
            }
            Event::ChooseWindow(minutes) => {
                if self.window_minutes == minutes {
                    return Vec::new();
                }
                self.window_minutes = minutes;
                // The cells stay on the screen until the snapshot comes; they are right, only fewer.
                self.state.position = None;
                self.look(live, now_ms)
            }
        }
    }

    /// Asks for the view that was chosen, whichever way it comes.
    fn look(&mut self, live: bool, now_ms: i64) -> Vec<Effect> {
        match live {
            true => self.subscribe(),
            false if self.poll.is_some() || self.stream.is_some() => self.step_down(now_ms),
            false => Vec::new(),
        }
    }

    /// Forgets everything about the view that was watched.
    fn unsettle(&mut self) {
        self.state = ViewState::default();
        self.board = Board::default();
        self.settled = false;
    }

    fn open(&mut self) -> Vec<Effect> {
        self.phase = Phase::Connecting;
        self.subscribed = false;
        self.current = false;
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
        self.current = false;
        let mut effects = vec![Effect::Close, Effect::Stop(Timer::Handshake), Effect::Stop(Timer::Heartbeat)];
        if close::may_reconnect(code) {
            // A gateway that goes away spreads those who come back over some time.
            let asked_ms = close::wait_ms(code, reason);
            let delay_ms = asked_ms.unwrap_or_else(|| backoff::delay_ms(self.attempt, chance));
            self.attempt = self.attempt.saturating_add(1);
            self.phase = Phase::Waiting(now_ms + i64::from(delay_ms));
            effects.push(Effect::Set(Timer::Retry, delay_ms));
            if self.unwelcome >= STEP_DOWN_AFTER && self.stream.is_none() {
                if self.poll.is_none() {
                    effects.push(Effect::ListAdvertisers);
                    effects.extend(self.step_down(now_ms));
                } else {
                    effects.extend(self.begin_stream(now_ms));
                }
            }
        } else {
            self.phase = Phase::Refused(code);
            effects.extend(self.ask_no_more());
            effects.extend(self.end_stream());
        }
        effects
    }

    /// Takes a whole state. The minutes before it are asked for, to compare it with.
    fn replace(
        &mut self,
        epoch: String,
        seq: u64,
        cells: Vec<ViewCell>,
        rates: &[Rate],
        now_ms: i64,
    ) -> Option<Effect> {
        let server_now_ms = self.freshness.server_now_ms(now_ms);
        let first = self.first_minute(server_now_ms);
        self.state.replace(epoch, seq, Vec::new());
        self.board.replace(first, cells);
        self.begin_rates(rates, server_now_ms);
        self.settled = true;
        self.ask_past()
    }

    /// Applies a change; one that does not follow the state leaves it without a position.
    fn follow(
        &mut self,
        (epoch, from, seq): (&str, u64, u64),
        cells: Vec<ViewCell>,
        rates: &[Rate],
        progress: Option<Progress>,
        now_ms: i64,
    ) -> bool {
        self.freshness.told(progress, now_ms);
        self.state.note(rates, None);
        let follows = self.state.apply(epoch, from, seq, Vec::new()) == Applied::Yes;
        if follows {
            self.board.apply(cells);
        } else {
            self.state.position = None;
        }
        // What a delayed screen still shows is kept.
        let shown_ms = self.freshness.server_now_ms(now_ms);
        let shown_ms = match self.freshness.delay(now_ms) {
            Some(_) => self.freshness.as_of_ms().unwrap_or(shown_ms).min(shown_ms),
            None => shown_ms,
        };
        self.board.forget_before(self.first_minute(shown_ms), i64::from(self.window_minutes) + 1);
        follows
    }

    /// Continues from the state, which lacks what happened meanwhile to seconds and to minutes before the window.
    fn go_on(&mut self, rates: &[Rate], now_ms: i64) -> Option<Effect> {
        self.begin_rates(rates, self.freshness.server_now_ms(now_ms));
        self.ask_past()
    }

    /// Notes the first rates of a subscription: of what was before, nothing is known.
    fn begin_rates(&mut self, rates: &[Rate], server_now_ms: i64) {
        self.state.rates.clear();
        self.state.note(rates, None);
        let earliest = self.state.rates.first_key_value().map(|(&second, _)| second);
        let this = server_now_ms.div_euclid(1_000);
        self.rates_from = Some(earliest.map_or(this, |earliest| earliest.min(this)));
    }

    /// The first minute of a window that ends now.
    fn first_minute(&self, server_now_ms: i64) -> Minute {
        UnixMs(server_now_ms).minute() - i64::from(self.window_minutes) + 1
    }

    fn ask_past(&mut self) -> Option<Effect> {
        let (from, to) = self.board.ask_past(i64::from(self.window_minutes));
        Some(Effect::AskPast { advertiser_id: self.advertiser_id.clone()?, from, to })
    }

    fn ping(&mut self) -> Vec<Effect> {
        vec![Effect::Send(ClientMessage::Ping {}), wait(QUIET_MS)]
    }

    fn receive(&mut self, message: ServerMessage, now_ms: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.freshness.heard(now_ms);
        let ours = |id: u32| self.subscribed && id == self.subscription;
        match message {
            ServerMessage::Welcome { session: _, heartbeat_ms: _, advertisers } => {
                self.phase = Phase::Live(now_ms);
                effects.extend(self.ask_no_more());
                effects.extend(self.end_stream());
                effects.push(Effect::Stop(Timer::Handshake));
                effects.push(wait(QUIET_MS));
                effects.push(Effect::ListAdvertisers);
                self.advertisers = advertisers.unwrap_or_default();
                if let Some(first) = self.advertisers.first() {
                    let allowed = self.advertiser_id.as_ref().is_some_and(|id| self.advertisers.contains(id));
                    if !allowed {
                        self.advertiser_id = Some(first.clone());
                        self.unsettle();
                    }
                }
                effects.extend(self.subscribe());
            }
            ServerMessage::Snapshot { id, epoch, seq, cells, rates, progress } if ours(id) => {
                self.freshness.told(progress, now_ms);
                effects.extend(self.replace(epoch, seq, cells, &rates, now_ms));
                self.expects_snapshot = false;
                self.current = true;
                self.complaint = None;
            }
            // Until the snapshot comes, deltas can't follow anything.
            ServerMessage::Delta { id, epoch, from, seq, cells, rates, progress }
                if ours(id) && !self.expects_snapshot =>
            {
                if !self.follow((&epoch, from, seq), cells, &rates, progress, now_ms) {
                    effects.extend(self.subscribe());
                } else if !self.current {
                    self.current = true;
                    effects.extend(self.go_on(&rates, now_ms));
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

    /// Returns the view that is watched, if the advertiser is known.
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
            min_interval_ms: self.min_interval_ms,
        }));
        effects.push(Effect::ListCampaigns(advertiser_id));
        effects
    }
}

/// Returns the effect that sets the timer for the next check of the gateway.
fn wait(ms: i64) -> Effect {
    Effect::Set(Timer::Heartbeat, u32::try_from(ms.clamp(1, MINUTE_MS)).unwrap_or(u32::MAX))
}
