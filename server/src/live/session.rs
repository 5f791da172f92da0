//! One dashboard's connection: authenticate, subscribe, be told what changed, be asked now and then
//! whether it is still there.
//!
//! A session owns no queue. While its socket is blocked it waits in one write; when that is done it
//! asks its views for what has changed since. What several views have to tell at the same moment goes
//! out in one write.

use std::{
    collections::BTreeMap,
    future::{pending, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use clickwire_process::now_ms;
use clickwire_protocol::{
    feed::Position,
    live::{ClientMessage, MAX_EVERY_MS, ServerMessage, Topic, close},
};
use rand::RngExt as _;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message, protocol::CloseFrame};
use tokio_util::sync::ReusableBoxFuture;
use uuid::Uuid;

use crate::{
    AppState, Sessions,
    access::{Access, Caller, Ended, Ending, Scope},
    error::Error,
    limits::{Allowance, Rate},
    live::{
        Refusal,
        alerts::Alerts,
        clicks::Clicks,
        hub::Hub,
        may_watch,
        place::{Held, Place},
        socket::{Frame, Socket},
        view::encode,
    },
};

/// The first message must come so soon.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);

/// A reader that takes nothing for so long is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Who is sent away comes back after so long, at most, in milliseconds.
const RECONNECT_WITHIN_MS: u32 = 1_000;

/// Subscriptions of one session, at most.
const MAX_SUBSCRIPTIONS: usize = 8;

/// One connection.
pub(crate) struct Session {
    socket: Socket,
    access: Arc<Access>,
    /// Who has signed in with the browser that connected.
    by_cookie: Option<Box<Caller>>,
    /// Of what the server and the client's address may have, and of what its account may.
    _place: Place,
    share: Option<Held<Uuid>>,
    hub: Hub,
    sessions: Sessions,
    subscriptions: BTreeMap<u32, Subscription>,
    commands: Allowance,
    /// What is to be written next.
    frames: Vec<Frame>,
}

struct Subscription {
    source: Source,
    /// Ends when the source has something new.
    news: ReusableBoxFuture<'static, watch::Receiver<u64>>,
    is_due: bool,
    /// Only so often.
    every: Option<Duration>,
}

/// What a subscription is told from, and how far it was told.
enum Source {
    Clicks(Clicks),
    Alerts { alerts: Arc<Alerts>, told: Option<i64> },
}

/// Why a session ends.
enum End {
    /// Closed by us, with this code and reason.
    Close(u16, &'static str),
    /// The server goes away.
    Reconnect,
    /// The other side is gone.
    Gone,
}

impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Capacity(_) => Self::Close(close::TOO_LONG, "the message is too long"),
            tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => {
                Self::Close(close::PROTOCOL_ERROR, "not as RFC 6455 has it")
            }
            // A connection that ended, one way or another.
            _ => Self::Gone,
        }
    }
}

impl Session {
    pub(crate) fn new(
        socket: Socket,
        by_cookie: Option<Box<Caller>>,
        place: Place,
        state: &AppState,
    ) -> Self {
        Self {
            socket,
            access: Arc::clone(&state.access),
            by_cookie,
            _place: place,
            share: None,
            hub: state.hub.clone(),
            sessions: state.sessions.clone(),
            subscriptions: BTreeMap::new(),
            commands: Allowance::new("session", Rate::COMMANDS),
            frames: Vec::new(),
        }
    }

    /// Serves until either side ends it.
    pub(crate) async fn run(mut self) {
        let end = match self.authenticate().await {
            Ok(caller) => self.serve(caller).await,
            Err(end) => end,
        };
        let farewell = match end {
            End::Close(code, reason) => Some((code, reason.to_owned())),
            // Not all at the same moment.
            End::Reconnect => {
                Some((close::RECONNECT, rand::rng().random_range(0..RECONNECT_WITHIN_MS).to_string()))
            }
            End::Gone => None,
        };
        let code = match farewell {
            Some((code, reason)) => {
                let frame = CloseFrame { code: code.into(), reason: reason.into() };
                // Whether the farewell arrives changes nothing.
                let _ = timeout(Duration::from_secs(1), self.socket.close(frame)).await;
                code.to_string()
            }
            None => "gone".to_owned(),
        };
        metrics::counter!("clickwire_live_closes_total", "code" => code).increment(1);
    }

    async fn authenticate(&mut self) -> Result<Box<Caller>, End> {
        let stop = self.sessions.stop.clone();
        let first = tokio::select! {
            first = timeout(AUTHENTICATE_WITHIN, self.receive()) => first,
            () = stop.cancelled() => return Err(End::Reconnect),
        };
        let Ok(first) = first else {
            return Err(End::Close(close::AUTH_TIMEOUT, "send auth within 10 seconds"));
        };
        let ClientMessage::Auth { token } = first? else {
            return Err(End::Close(close::PROTOCOL_ERROR, "the first message must be auth"));
        };
        let caller = match token {
            Some(token) => self.access.by_token(&token).map(Box::new),
            None => self.by_cookie.take().ok_or(Error::Unauthorized),
        };
        let caller = match caller {
            Ok(caller) => caller,
            Err(Error::KeysUnread) => {
                return Err(End::Close(close::TRY_AGAIN_LATER, "accounts can't be looked up now"));
            }
            Err(_) => return Err(End::Close(close::UNAUTHORIZED, "unknown token, or not signed in")),
        };
        if let Some(account_id) = caller.account_id {
            let share = self.sessions.by_account.take(account_id);
            let full = || End::Close(close::TOO_MANY_SESSIONS, "this account has too many sessions");
            self.share = Some(share.ok_or_else(full)?);
        }
        self.tell(&ServerMessage::Welcome {
            session: Uuid::now_v7().to_string(),
            heartbeat_ms: self.sessions.heartbeat.as_millis() as u64,
            advertisers: caller.scope.advertisers().map(<[String]>::to_vec),
        })
        .await?;
        Ok(caller)
    }

    async fn serve(&mut self, caller: Box<Caller>) -> End {
        let mut ending = self.access.ending(&caller);
        let mut heartbeat = interval(self.sessions.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut unanswered = 0;
        let sessions = self.sessions.clone();
        let mut leave = pin!(sessions.leave());
        loop {
            let step = tokio::select! {
                message = self.socket.receive() => {
                    unanswered = 0;
                    match message.map_err(End::from).and_then(parse) {
                        Ok(Some(message)) => self.handle(message, &caller).await,
                        Ok(None) => Ok(()),
                        Err(end) => Err(end),
                    }
                }
                () = poll_fn(|context| poll_news(&mut self.subscriptions, context)) => self.update().await,
                _ = heartbeat.tick() => {
                    unanswered += 1;
                    if unanswered > 2 {
                        Err(End::Close(close::HEARTBEAT_TIMEOUT, "no answer to heartbeats"))
                    } else {
                        within(self.socket.ping()).await
                    }
                }
                () = &mut leave => Err(End::Reconnect),
                ended = over(&mut ending) => Err(match ended {
                    Ended::Over => End::Close(close::UNAUTHORIZED, "signed out"),
                    Ended::AskAgain => End::Close(close::AUTHENTICATE_AGAIN, "connect again"),
                }),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn handle(&mut self, message: ClientMessage, caller: &Caller) -> Result<(), End> {
        if self.commands.spend(std::num::NonZeroU32::MIN).is_err() {
            return Err(End::Close(close::TOO_MANY_MESSAGES, "too many messages"));
        }
        match message {
            ClientMessage::Auth { .. } => Err(End::Close(close::PROTOCOL_ERROR, "authenticated already")),
            ClientMessage::Ping {} => self.tell(&ServerMessage::Pong).await,
            ClientMessage::Unsubscribe { id } => {
                self.subscriptions.remove(&id);
                Ok(())
            }
            ClientMessage::Subscribe { id, view, since, every_ms } => {
                match self.subscribe(id, view, since, caller) {
                    Ok(subscription) => {
                        let subscription = subscription.every(every_ms);
                        self.subscriptions.insert(id, subscription);
                        self.update().await
                    }
                    Err((code, message)) => {
                        let (code, message) = (code.to_owned(), message.to_owned());
                        self.tell(&ServerMessage::Error { id: Some(id), code, message }).await
                    }
                }
            }
        }
    }

    fn subscribe(
        &self,
        id: u32,
        topic: Topic,
        since: Option<Position>,
        caller: &Caller,
    ) -> Result<Subscription, Refusal> {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS && !self.subscriptions.contains_key(&id) {
            return Err(("too_many", "A session may have 8 subscriptions."));
        }
        match topic {
            Topic::Clicks(view) => {
                may_watch(&view, &caller.scope)?;
                let watched = self.hub.watch(view);
                let watched =
                    watched.ok_or(("too_many", "This advertiser is watched in too many different ways."))?;
                let clicks = Clicks::new(watched, since, Arc::clone(&caller.name));
                Ok(Subscription::new(clicks.subscribe(), Source::Clicks(clicks)))
            }
            Topic::Alerts {} if caller.scope != Scope::All => {
                Err(("forbidden", "Only operators watch incidents."))
            }
            Topic::Alerts {} => {
                let alerts = self.hub.alerts();
                let announced = alerts.subscribe();
                Ok(Subscription::new(announced, Source::Alerts { alerts, told: None }))
            }
        }
    }

    /// Tells what subscriptions have to tell and have not told yet.
    async fn update(&mut self) -> Result<(), End> {
        self.frames.clear();
        for (&id, subscription) in self.subscriptions.iter_mut().filter(|(_, news)| news.is_due) {
            subscription.is_due = false;
            subscription.source.frames(id, &mut self.frames)?;
        }
        self.write().await
    }

    async fn tell(&mut self, message: &ServerMessage) -> Result<(), End> {
        self.frames.clear();
        self.frames.push(encode(message));
        self.write().await
    }

    async fn write(&mut self) -> Result<(), End> {
        within(self.socket.send(&self.frames)).await?;
        self.sessions.deliveries.increment(self.frames.len() as u64);
        self.frames.clear();
        Ok(())
    }

    async fn receive(&mut self) -> Result<ClientMessage, End> {
        loop {
            if let Some(message) = parse(self.socket.receive().await?)? {
                return Ok(message);
            }
        }
    }
}

impl Subscription {
    fn new(announced: watch::Receiver<u64>, source: Source) -> Self {
        // Nothing can be told before the source is loaded; of that the source tells, too.
        let is_due = *announced.borrow() > 0;
        Self { source, news: ReusableBoxFuture::new(next(announced)), is_due, every: None }
    }

    /// As often as its client asks for.
    fn every(self, milliseconds: Option<u32>) -> Self {
        let every = milliseconds.map(|every| Duration::from_millis(every.clamp(1, MAX_EVERY_MS).into()));
        Self { every, ..self }
    }

    /// Waits for what is new from now on.
    fn wait(&mut self, announced: watch::Receiver<u64>) {
        match self.every {
            None => self.news.set(next(announced)),
            Some(every) => self.news.set(next_of_every(announced, every)),
        }
    }
}

/// At the end of the current one of periods that are the same for all sessions, so that those who ask for
/// the same are told by the same frames.
async fn next_of_every(announced: watch::Receiver<u64>, every: Duration) -> watch::Receiver<u64> {
    let every_ms = every.as_millis() as u64;
    let into_ms = (now_ms() as u64) % every_ms;
    sleep(Duration::from_millis(every_ms - into_ms)).await;
    next(announced).await
}

async fn next(mut announced: watch::Receiver<u64>) -> watch::Receiver<u64> {
    // The sender lives in the view that the subscription holds.
    let _ = announced.changed().await;
    announced
}

/// Ends when the caller may not go on.
async fn over(ending: &mut Option<Ending>) -> Ended {
    match ending {
        Some(ending) => ending.await,
        None => pending().await,
    }
}

/// Notes which subscriptions have something new; ready when one has.
fn poll_news(subscriptions: &mut BTreeMap<u32, Subscription>, context: &mut Context<'_>) -> Poll<()> {
    let mut polled = Poll::Pending;
    for subscription in subscriptions.values_mut() {
        if let Poll::Ready(announced) = subscription.news.poll(context) {
            subscription.wait(announced);
            subscription.is_due = true;
            polled = Poll::Ready(());
        }
    }
    polled
}

async fn within(write: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), End> {
    match timeout(WRITE_WITHIN, write).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(End::Gone),
    }
}

impl Source {
    /// Adds what is to be told now.
    fn frames(&mut self, id: u32, frames: &mut Vec<Frame>) -> Result<(), End> {
        match self {
            Self::Clicks(clicks) => clicks.frames(id, frames),
            Self::Alerts { alerts, told } => {
                let Some((news, now_told)) = alerts.next(id, *told) else {
                    return Err(End::Close(close::TOO_SLOW, "too slow for news; connect again"));
                };
                frames.extend(news);
                *told = now_told;
            }
        }
        Ok(())
    }
}

/// What a session hears when a client sends these bytes and ends.
#[cfg(any(test, fuzzing))]
pub(crate) fn heard(bytes: &[u8]) -> Vec<ClientMessage> {
    /// What it is answered goes nowhere.
    struct Client<'a>(&'a [u8]);
    impl std::io::Read for Client<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl std::io::Write for Client<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (mut protocol, mut client) = (super::socket::protocol(&[]), Client(bytes));
    let mut heard = Vec::new();
    while let Ok(message) = protocol.read(&mut client) {
        assert!(message.len() <= clickwire_protocol::live::MAX_CLIENT_MESSAGE_BYTES);
        match parse(message) {
            Ok(parsed) => heard.extend(parsed),
            Err(_) => break,
        }
    }
    heard
}

/// A message of the protocol; `None` for what WebSocket itself answers.
fn parse(message: Message) -> Result<Option<ClientMessage>, End> {
    match message {
        Message::Text(text) => match serde_json::from_str(&text) {
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(End::Close(close::PROTOCOL_ERROR, "not a message of clickwire.v1")),
        },
        Message::Binary(_) => Err(End::Close(close::PROTOCOL_ERROR, "send text frames")),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
        Message::Close(_) => Err(End::Gone),
    }
}
