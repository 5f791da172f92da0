//! One dashboard's connection: authenticate, subscribe, answer heartbeats. The messages that it is told are in
//! [`connection`](super::session::connection).

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use clickwire_protocol::{
    feed::Position,
    ids::AdvertiserId,
    live::{ClientMessage, ServerMessage, Topic, Unreadable, close},
    object::Fault,
};
use rand::RngExt as _;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use tracing::Span;
use uuid::Uuid;

use crate::{
    http::{
        error::Error,
        quota::QuotaGuard,
        rate_limit::{Allowance, Rate},
    },
    identity::{
        access::{Access, Caller, Ended, Ending},
        error::IdentityError,
    },
    live::{
        Refusal,
        feed::{alerts::Watcher, subscription::ViewSubscription},
        hub::Hub,
        session::{Source, connection::Connection, end::End, permit::SessionPermit},
        state::{LiveState, Sessions},
        watched,
        wire::socket::Socket,
    },
};

/// The longest wait for the first message.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);

/// The longest time for saying farewell.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// The longest wait of a session that is sent away before it comes back, in milliseconds.
const RECONNECT_WITHIN_MS: u32 = 1_000;

/// Subscriptions of one session, at most.
const MAX_SUBSCRIPTIONS: usize = 8;

/// One connection.
pub(crate) struct Session {
    /// The name of the session in logs, and to its client.
    id: Uuid,
    connection: Arc<Connection>,
    access: Arc<Access>,
    /// The person who has signed in with the browser that connected, or why there is none.
    by_cookie: Result<Box<Caller>, Error>,
    /// The session's place in the quotas of the server and the client's address; `share` is that of its account.
    _permit: SessionPermit,
    share: Option<QuotaGuard<Uuid>>,
    hub: Hub,
    sessions: Sessions,
    commands: Allowance,
}

/// The reason why a subscription is refused, as its client is told.
struct Refused {
    code: &'static str,
    field: Option<String>,
    message: String,
}

impl Refused {
    fn new(code: &'static str, message: &str) -> Self {
        Self { code, field: None, message: message.to_owned() }
    }
}

impl From<Fault> for Refused {
    fn from(Fault { field, message }: Fault) -> Self {
        Self { code: "invalid", field, message }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden => {
                Self::new("forbidden", "This account or token does not open that advertiser.")
            }
            Refusal::Invalid(fault) => fault.into(),
        }
    }
}

impl Session {
    pub(crate) fn new(
        socket: Socket,
        by_cookie: Result<Box<Caller>, Error>,
        permit: SessionPermit,
        state: &LiveState,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            connection: Arc::new(Connection::new(socket, state.sessions.deliveries.clone())),
            access: Arc::clone(&state.access),
            by_cookie,
            _permit: permit,
            share: None,
            hub: state.hub.clone(),
            sessions: state.sessions.clone(),
            commands: Allowance::new("session", Rate::COMMANDS),
        }
    }

    /// The span of the session's log lines, with its id.
    pub(crate) fn span(&self) -> Span {
        tracing::error_span!("session", session_id = %self.id)
    }

    /// Serves until either side ends it.
    pub(crate) async fn run(mut self) {
        let end = match self.authenticate().await {
            Ok(caller) => self.serve(caller).await,
            Err(end) => end,
        };
        let farewell = match end {
            End::Close(code, reason) => Some((code, reason.into_owned())),
            // Not all at the same moment.
            End::Reconnect => {
                Some((close::RECONNECT, rand::rng().random_range(0..RECONNECT_WITHIN_MS).to_string()))
            }
            End::Left => {
                let _ = timeout(FAREWELL_WITHIN, self.connection.leave()).await;
                None
            }
            End::Gone => None,
        };
        let code = farewell.as_ref().map_or_else(|| "gone".to_owned(), |(code, _)| code.to_string());
        let farewell = farewell.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        let _ = timeout(FAREWELL_WITHIN, self.connection.close(farewell)).await;
        metrics::counter!("clickwire_live_closes_total", "code" => code).increment(1);
    }

    async fn authenticate(&mut self) -> Result<Box<Caller>, End> {
        let stop = self.sessions.stop.clone();
        let first = tokio::select! {
            first = timeout(AUTHENTICATE_WITHIN, self.receive()) => first,
            () = stop.cancelled() => return Err(End::Reconnect),
        };
        let Ok(first) = first else {
            return Err(End::close(close::AUTH_TIMEOUT, "send auth within 10 seconds"));
        };
        let ClientMessage::Auth { token } = first?.map_err(End::unreadable)? else {
            return Err(End::close(close::PROTOCOL_ERROR, "the first message must be auth"));
        };
        let caller = match token {
            Some(token) => self.access.by_token(&token).map(Box::new),
            None => std::mem::replace(&mut self.by_cookie, Err(Error::Unauthorized)),
        };
        let caller = match caller {
            Ok(caller) => caller,
            Err(error) if matches!(error.of_wing(), Some(IdentityError::KeysUnread)) => {
                return Err(End::close(close::TRY_AGAIN_LATER, "accounts can't be looked up now"));
            }
            Err(_) => return Err(End::close(close::UNAUTHORIZED, "unknown token, or not signed in")),
        };
        if let Some(account_id) = caller.account_id {
            let share = self.sessions.by_account.try_take(account_id);
            let full = || End::close(close::TOO_MANY_SESSIONS, "this account has too many sessions");
            self.share = Some(share.ok_or_else(full)?);
        }
        self.connection.answer(&ServerMessage::Welcome {
            session: self.id.to_string(),
            heartbeat_ms: self.sessions.heartbeat.as_millis() as u64,
            advertisers: caller.scope.advertisers().map(<[AdvertiserId]>::to_vec),
        })?;
        Ok(caller)
    }

    async fn serve(&mut self, caller: Box<Caller>) -> End {
        let mut ending = self.access.ending(&caller);
        let mut heartbeat = interval(self.sessions.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let sessions = self.sessions.clone();
        let mut leave = pin!(sessions.leave());
        loop {
            let step = tokio::select! {
                message = self.receive() => message.and_then(|message| match message {
                    Ok(message) => self.handle(message, &caller),
                    Err(Unreadable { id: Some(id), fault }) => self.refuse(id, fault.into()),
                    Err(unreadable) => Err(End::unreadable(unreadable)),
                }),
                _ = heartbeat.tick() => self.connection.heartbeat(),
                () = &mut leave => Err(End::Reconnect),
                ended = over(&mut ending) => Err(match ended {
                    Ended::Over => End::close(close::UNAUTHORIZED, "signed out"),
                    Ended::AskAgain => End::close(close::AUTHENTICATE_AGAIN, "connect again"),
                }),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn handle(&mut self, message: ClientMessage, caller: &Caller) -> Result<(), End> {
        match message {
            ClientMessage::Auth { .. } => Err(End::close(close::PROTOCOL_ERROR, "authenticated already")),
            ClientMessage::Ping {} => self.connection.answer(&ServerMessage::Pong),
            ClientMessage::Unsubscribe { id } => self.connection.unsubscribe(id),
            ClientMessage::Subscribe { id, view, since, min_interval_ms } => {
                match self.source(id, view, since, min_interval_ms, caller) {
                    Ok(source) => self.connection.subscribe(id, source),
                    Err(refused) => self.refuse(id, refused),
                }
            }
        }
    }

    fn refuse(&self, id: u32, Refused { code, field, message }: Refused) -> Result<(), End> {
        self.connection.answer(&ServerMessage::Error { id: Some(id), code: code.to_owned(), field, message })
    }

    fn source(
        &self,
        id: u32,
        topic: Topic,
        since: Option<Position>,
        min_interval_ms: Option<u32>,
        caller: &Caller,
    ) -> Result<Box<dyn Source>, Refused> {
        if self.connection.others(id) >= MAX_SUBSCRIPTIONS {
            return Err(Refused::new("too_many", "A session may have 8 subscriptions."));
        }
        match topic {
            Topic::Clicks(view) => {
                let view = watched(view, &caller.scope)?;
                let watched = self.hub.watch(view, caller).ok_or_else(|| {
                    Refused::new("too_many", "You watch this advertiser in too many different ways.")
                })?;
                Ok(Box::new(ViewSubscription::new(watched, since, Arc::clone(&caller.name), min_interval_ms)))
            }
            Topic::Alerts {} if !caller.role.is_operators() => {
                Err(Refused::new("forbidden", "Only operators watch incidents."))
            }
            Topic::Alerts {} => Ok(Box::new(Watcher::new(self.hub.alerts()))),
        }
    }

    /// The client's next message, if it can be read.
    async fn receive(&self) -> Result<Result<ClientMessage, Unreadable>, End> {
        loop {
            let message = self.connection.receive().await?;
            // What WebSocket itself answers costs something, too.
            if self.commands.spend(std::num::NonZeroU32::MIN).is_err() {
                return Err(End::close(close::TOO_MANY_MESSAGES, "too many messages"));
            }
            if let Some(message) = parse(message)? {
                return Ok(message);
            }
        }
    }
}

/// Ends when the caller may not go on.
async fn over(ending: &mut Option<Ending>) -> Ended {
    match ending {
        Some(ending) => ending.await,
        None => pending().await,
    }
}

/// The messages that a session hears when a client sends these bytes and ends.
#[cfg(any(test, fuzzing))]
pub(crate) fn heard(bytes: &[u8]) -> Vec<ClientMessage> {
    /// A client of which nothing that is written to it is kept.
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
    let (mut protocol, mut client) = (super::wire::socket::protocol(&[]), Client(bytes));
    let mut heard = Vec::new();
    while let Ok(message) = protocol.read(&mut client) {
        assert!(message.len() <= clickwire_protocol::live::MAX_CLIENT_MESSAGE_BYTES);
        match parse(message) {
            Ok(Some(Ok(parsed))) => heard.push(parsed),
            Ok(None) => {}
            Ok(Some(Err(_))) | Err(_) => break,
        }
    }
    heard
}

/// A message of the protocol; `None` for what WebSocket itself answers.
fn parse(message: Message) -> Result<Option<Result<ClientMessage, Unreadable>>, End> {
    match message {
        Message::Text(text) => Ok(Some(ClientMessage::read(&text))),
        Message::Binary(_) => Err(End::close(close::PROTOCOL_ERROR, "send text frames")),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
        Message::Close(_) => Err(End::Left),
    }
}
