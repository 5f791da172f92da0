//! Subscriptions over a WebSocket, by the protocol `graphql-transport-ws` as its makers wrote it down in
//! `enisdenjo/graphql-ws`, `PROTOCOL.md`.
//!
//! The library's own driver of that protocol takes a subscription's id twice, waits without end for `connection_init`
//! and has no `error`; so the messages are read here, and the library executes.

use std::{collections::BTreeMap, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use async_graphql::{Request, Response, Value};
use clickwire_process::now_ms;
use futures_util::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};
use tokio::{
    pin,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message, protocol::CloseFrame};
use uuid::Uuid;

use super::{GraphqlState, Questions};
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
        Frame, SessionPermit, Socket,
        state::{LiveState, Sessions},
    },
};

/// `connection_init` must come so soon.
const INITIALISED_WITHIN: Duration = Duration::from_secs(10);

/// Saying farewell takes so long, at most.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// Operations of one session, at most.
const MAX_OPERATIONS: usize = 8;

/// Heartbeats that may stay unanswered.
const UNANSWERED: u8 = 2;

/// A session that has taken nothing of what is written for so long is closed.
const STALLED_MS: i64 = 10_000;

/// Close codes of the protocol, and of RFC 6455; a client comes back by itself after those below 1008 and above 1011.
mod close {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const RESTART: u16 = 1012;
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
    pub(super) const INVALID: u16 = 4400;
    pub(super) const UNAUTHORIZED: u16 = 4401;
    pub(super) const FORBIDDEN: u16 = 4403;
    pub(super) const INITIALISATION_TIMEOUT: u16 = 4408;
    pub(super) const SUBSCRIBER_EXISTS: u16 = 4409;
    pub(super) const TOO_MANY_INITIALISATIONS: u16 = 4429;
}

/// One connection.
pub(super) struct Session {
    schema: Questions,
    access: Arc<Access>,
    sessions: Sessions,
    /// The caller that the handshake names, until `connection_init`.
    known: Result<Caller, Error>,
    caller: Option<Caller>,
    operations: Operations,
    commands: Allowance,
    unanswered: u8,
    _permit: SessionPermit,
    share: Option<QuotaGuard<Uuid>>,
}

/// The reason why a session ends.
#[derive(Debug)]
enum End {
    /// Closed by us.
    Close(u16, &'static str),
    /// The client has said farewell.
    Left,
    /// The other side is gone.
    Gone,
}

/// A message from the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit { payload: Option<Init> },
    Ping {},
    Pong {},
    Subscribe { id: String, payload: Box<Request> },
    Complete { id: String },
}

/// The payload with which a client opens a session.
#[derive(Default, Deserialize)]
struct Init {
    token: Option<String>,
}

/// A message to the client.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ServerMessage<'a> {
    ConnectionAck,
    Pong,
    Next { id: &'a str, payload: Response },
    Error { id: &'a str, payload: Vec<async_graphql::ServerError> },
    Complete { id: &'a str },
}

impl Session {
    pub(super) fn new(state: &GraphqlState, known: Result<Caller, Error>, permit: SessionPermit) -> Self {
        let LiveState { sessions, .. } = &*state.live;
        Self {
            schema: state.schema.clone(),
            access: Arc::clone(&state.access),
            sessions: sessions.clone(),
            known,
            caller: None,
            operations: Operations::default(),
            commands: Allowance::new("session", Rate::COMMANDS),
            unanswered: 0,
            _permit: permit,
            share: None,
        }
    }

    /// Serves until either side ends it.
    pub(super) async fn run(mut self, mut socket: Socket) {
        let end = self.serve(&mut socket).await.err().unwrap_or(End::Gone);
        // What is watched is given back before the farewell, which may take a while.
        drop(self);
        let code = match end {
            End::Close(code, reason) => {
                let farewell = CloseFrame { code: code.into(), reason: reason.into() };
                // Whether it arrives changes nothing.
                let _ = timeout(FAREWELL_WITHIN, socket.close(farewell)).await;
                code.to_string()
            }
            End::Left => {
                let _ = timeout(FAREWELL_WITHIN, socket.leave()).await;
                "gone".to_owned()
            }
            End::Gone => "gone".to_owned(),
        };
        metrics::counter!("clickwire_live_closes_total", "code" => code).increment(1);
    }

    async fn serve(&mut self, socket: &mut Socket) -> Result<(), End> {
        let mut heartbeat = interval(self.sessions.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let sessions = self.sessions.clone();
        let (leave, late) = (sessions.leave(), sleep(INITIALISED_WITHIN));
        pin!(leave, late);
        let mut ending: Option<Ending> = None;
        loop {
            // An answer waits until what was written before is taken; what is watched goes on meanwhile without it.
            let is_free = !socket.is_blocked();
            tokio::select! {
                biased;
                () = &mut leave => return Err(End::Close(close::GOING_AWAY, "going away")),
                ended = over(&mut ending) => return Err(match ended {
                    Ended::Over => End::Close(close::UNAUTHORIZED, "signed out"),
                    Ended::AskAgain => End::Close(close::RESTART, "connect again"),
                }),
                () = &mut late, if self.caller.is_none() => {
                    return Err(End::Close(close::INITIALISATION_TIMEOUT, "Connection initialisation timeout"));
                }
                message = receive(socket) => {
                    self.unanswered = 0;
                    if let Some(message) = message? {
                        self.hear(message, socket)?;
                        if ending.is_none() {
                            ending = self.caller.as_ref().and_then(|caller| self.access.ending(caller));
                        }
                    }
                }
                (id, answer) = self.operations.next(), if is_free => self.tell(&id, answer, socket)?,
                _ = heartbeat.tick() => self.heartbeat(socket)?,
            }
        }
    }

    fn hear(&mut self, message: Message, socket: &mut Socket) -> Result<(), End> {
        if self.commands.spend(std::num::NonZeroU32::MIN).is_err() {
            return Err(End::Close(close::POLICY, "too many messages"));
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(End::Close(close::INVALID, "Invalid message")),
            Message::Close(_) => return Err(End::Left),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        let message =
            serde_json::from_str(&text).map_err(|_| End::Close(close::INVALID, "Invalid message"))?;
        match message {
            ClientMessage::ConnectionInit { payload } => {
                self.initialise(payload.unwrap_or_default())?;
                self.say(&ServerMessage::ConnectionAck, socket)
            }
            ClientMessage::Ping {} => self.say(&ServerMessage::Pong, socket),
            ClientMessage::Pong {} => Ok(()),
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, *payload, socket),
            ClientMessage::Complete { id } => {
                self.operations.running.remove(&id);
                Ok(())
            }
        }
    }

    fn initialise(&mut self, Init { token }: Init) -> Result<(), End> {
        if self.caller.is_some() {
            let reason = "Too many initialisation requests";
            return Err(End::Close(close::TOO_MANY_INITIALISATIONS, reason));
        }
        let caller = match token {
            Some(token) => self.access.by_token(&token),
            None => std::mem::replace(&mut self.known, Err(Error::Unauthorized)),
        };
        let caller = caller.map_err(|error| match error.of_wing() {
            Some(IdentityError::KeysUnread) => {
                End::Close(close::TRY_AGAIN_LATER, "accounts can't be looked up now")
            }
            _ => End::Close(close::FORBIDDEN, "unknown token, or not signed in"),
        })?;
        if let Some(account_id) = caller.account_id {
            let share = self.sessions.by_account.try_take(account_id);
            let full = || End::Close(close::TRY_AGAIN_LATER, "this account has too many sessions");
            self.share = Some(share.ok_or_else(full)?);
        }
        self.caller = Some(caller);
        Ok(())
    }

    fn subscribe(&mut self, id: String, request: Request, socket: &mut Socket) -> Result<(), End> {
        let Some(caller) = &self.caller else { return Err(End::Close(close::UNAUTHORIZED, "Unauthorized")) };
        if self.operations.running.contains_key(&id) {
            return Err(End::Close(close::SUBSCRIBER_EXISTS, "Subscriber already exists"));
        }
        if self.operations.running.len() >= MAX_OPERATIONS {
            let message = format!("A session may have {MAX_OPERATIONS} operations.");
            let error = async_graphql::ServerError::new(message, None);
            return self.say(&ServerMessage::Error { id: &id, payload: vec![error] }, socket);
        }
        let answers = self.schema.execute_stream(request.data(caller.clone())).boxed();
        self.operations.running.insert(id, answers);
        Ok(())
    }

    fn tell(&mut self, id: &str, answer: Option<Response>, socket: &mut Socket) -> Result<(), End> {
        match answer {
            // Nothing was done: the protocol has its own word for it, and it is the last.
            Some(answer) if answer.is_err() && answer.data == Value::Null => {
                self.operations.running.remove(id);
                self.say(&ServerMessage::Error { id, payload: answer.errors }, socket)
            }
            Some(payload) => self.say(&ServerMessage::Next { id, payload }, socket),
            None => self.say(&ServerMessage::Complete { id }, socket),
        }
    }

    fn say(&self, message: &ServerMessage<'_>, socket: &mut Socket) -> Result<(), End> {
        // Plain structs and strings always serialise.
        let text = serde_json::to_string(message).unwrap_or_default();
        socket.queue().push(Frame::text(text));
        self.sessions.deliveries.increment(1);
        Ok(socket.write()?)
    }

    /// Asks whether somebody is still there; an error if nobody has been for too long.
    fn heartbeat(&mut self, socket: &mut Socket) -> Result<(), End> {
        if socket.has_taken() {
            self.unanswered = 0;
        }
        let is_stalled = socket.stalled_since_ms().is_some_and(|since| now_ms() - since > STALLED_MS);
        if self.unanswered >= UNANSWERED || is_stalled {
            return Err(End::Gone);
        }
        self.unanswered += 1;
        if !socket.is_blocked() {
            socket.ping()?;
        }
        Ok(())
    }
}

/// Operations that are being executed, by the client's ids.
#[derive(Default)]
struct Operations {
    running: BTreeMap<String, BoxStream<'static, Response>>,
    /// The one that has answered last: the others come first.
    last: String,
}

impl Operations {
    /// The next answer of any; `None` when one has ended.
    async fn next(&mut self) -> (String, Option<Response>) {
        poll_fn(|context| {
            let ids: Vec<String> = self.running.keys().cloned().collect();
            let behind = ids.partition_point(|id| *id <= self.last);
            for id in ids[behind..].iter().chain(&ids[..behind]) {
                let Some(answers) = self.running.get_mut(id) else { continue };
                let Poll::Ready(answer) = answers.poll_next_unpin(context) else { continue };
                if answer.is_none() {
                    self.running.remove(id);
                }
                self.last.clone_from(id);
                return Poll::Ready((id.clone(), answer));
            }
            Poll::Pending
        })
        .await
    }
}

/// The next message; `None` when what was blocked has been taken.
async fn receive(socket: &mut Socket) -> Result<Option<Message>, End> {
    poll_fn(|context| {
        if socket.is_blocked() {
            return socket.poll_write(context).map(|written| Ok(written.map(|()| None)?));
        }
        socket.poll_receive(context).map(|read| Ok(read.map(Some)?))
    })
    .await
}

/// Ends when the caller may not go on.
async fn over(ending: &mut Option<Ending>) -> Ended {
    match ending {
        Some(ending) => ending.await,
        None => std::future::pending().await,
    }
}

impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Capacity(_)
            | tungstenite::Error::Protocol(_)
            | tungstenite::Error::Utf8(_) => Self::Close(close::INVALID, "Invalid message"),
            // A connection that ended, one way or another.
            _ => Self::Gone,
        }
    }
}
