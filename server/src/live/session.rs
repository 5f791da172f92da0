//! One dashboard's connection: authenticate, subscribe, be told what changed, be asked now and then
//! whether it is still there.
//!
//! A session owns no queue. While its socket is blocked it waits in one write; when that is done it
//! asks its views for what has changed since.

use std::{collections::HashMap, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use clickwire_protocol::live::{ClientMessage, MAX_WINDOW_MINUTES, ServerMessage, View, close};
use futures_util::future;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use crate::{
    AppState,
    access::Scope,
    live::{
        hub::Watched,
        view::{Told, encode, lock},
    },
};

/// The first message must come so soon.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);

/// A reader that takes nothing for so long is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Subscriptions of one session, at most.
const MAX_SUBSCRIPTIONS: usize = 8;

/// One connection.
pub(crate) struct Session {
    socket: WebSocket,
    state: AppState,
    subscriptions: HashMap<u32, Subscription>,
}

struct Subscription {
    watched: Watched,
    announced: watch::Receiver<u64>,
    /// `None` before the first snapshot.
    told: Option<Told>,
    since: Option<clickwire_protocol::feed::Position>,
}

/// Why a session ends.
enum End {
    /// Closed by us, with this code and reason.
    Close(u16, &'static str),
    /// The other side is gone.
    Gone,
}

impl From<axum::Error> for End {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

impl Session {
    pub(crate) fn new(socket: WebSocket, state: AppState) -> Self {
        Self { socket, state, subscriptions: HashMap::new() }
    }

    /// Serves until either side ends it.
    pub(crate) async fn run(mut self) {
        metrics::gauge!("clickwire_live_sessions").increment(1);
        let end = match self.authenticate().await {
            Ok(scope) => self.serve(scope).await,
            Err(end) => end,
        };
        let code = match end {
            End::Close(code, reason) => {
                let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
                // Whether the farewell arrives changes nothing.
                let _ = timeout(Duration::from_secs(1), self.socket.send(Message::Close(Some(frame)))).await;
                code.to_string()
            }
            End::Gone => "gone".to_owned(),
        };
        metrics::gauge!("clickwire_live_sessions").decrement(1);
        metrics::counter!("clickwire_live_closes_total", "code" => code).increment(1);
    }

    async fn authenticate(&mut self) -> Result<Scope, End> {
        let stop = self.state.sessions.stop.clone();
        let first = tokio::select! {
            first = timeout(AUTHENTICATE_WITHIN, self.receive()) => first,
            () = stop.cancelled() => return Err(going_away()),
        };
        let Ok(first) = first else {
            return Err(End::Close(close::AUTH_TIMEOUT, "send auth within 10 seconds"));
        };
        let ClientMessage::Auth { token } = first? else {
            return Err(End::Close(close::PROTOCOL_ERROR, "the first message must be auth"));
        };
        let Some(scope) = self.state.access.scope(&token).cloned() else {
            return Err(End::Close(close::UNAUTHORIZED, "unknown token"));
        };
        self.tell(&ServerMessage::Welcome {
            session: Uuid::now_v7().to_string(),
            heartbeat_ms: self.state.sessions.heartbeat.as_millis() as u64,
            advertisers: scope.advertisers().map(<[String]>::to_vec),
        })
        .await?;
        Ok(scope)
    }

    async fn serve(&mut self, scope: Scope) -> End {
        let mut heartbeat = interval(self.state.sessions.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut unanswered = 0;
        let stop = self.state.sessions.stop.clone();
        loop {
            let step = tokio::select! {
                message = self.socket.recv() => {
                    unanswered = 0;
                    match message {
                        Some(Ok(message)) => match parse(message) {
                            Ok(Some(message)) => self.handle(message, &scope).await,
                            Ok(None) => Ok(()),
                            Err(end) => Err(end),
                        },
                        Some(Err(_)) | None => Err(End::Gone),
                    }
                }
                id = changed(&mut self.subscriptions) => self.update(id).await,
                _ = heartbeat.tick() => {
                    unanswered += 1;
                    if unanswered > 2 {
                        Err(End::Close(close::HEARTBEAT_TIMEOUT, "no answer to heartbeats"))
                    } else {
                        self.send(Message::Ping(axum::body::Bytes::new())).await
                    }
                }
                () = stop.cancelled() => Err(going_away()),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn handle(&mut self, message: ClientMessage, scope: &Scope) -> Result<(), End> {
        match message {
            ClientMessage::Auth { .. } => Err(End::Close(close::PROTOCOL_ERROR, "authenticated already")),
            ClientMessage::Ping {} => self.tell(&ServerMessage::Pong).await,
            ClientMessage::Unsubscribe { id } => {
                self.subscriptions.remove(&id);
                Ok(())
            }
            ClientMessage::Subscribe { id, view, since } => {
                if let Err((code, message)) = self.may_subscribe(id, &view, scope) {
                    let refused = ServerMessage::Error {
                        id: Some(id),
                        code: code.to_owned(),
                        message: message.to_owned(),
                    };
                    return self.tell(&refused).await;
                }
                let Some(watched) = self.state.hub.watch(view) else {
                    let refused = ServerMessage::Error {
                        id: Some(id),
                        code: "too_many".to_owned(),
                        message: "This advertiser is watched in too many different ways.".to_owned(),
                    };
                    return self.tell(&refused).await;
                };
                let announced = lock(&watched.view).subscribe();
                let loaded = *announced.borrow() > 0;
                self.subscriptions.insert(id, Subscription { watched, announced, told: None, since });
                if loaded { self.update(id).await } else { Ok(()) }
            }
        }
    }

    fn may_subscribe(&self, id: u32, view: &View, scope: &Scope) -> Result<(), (&'static str, &'static str)> {
        if !scope.includes(&view.advertiser_id) {
            return Err(("forbidden", "This token does not open that advertiser."));
        }
        if !(1..=MAX_WINDOW_MINUTES).contains(&view.window_minutes) {
            return Err(("invalid", "window_minutes must be from 1 to 240."));
        }
        let repeated = (1..view.group_by.len()).any(|n| view.group_by[..n].contains(&view.group_by[n]));
        if repeated {
            return Err(("invalid", "group_by names a dimension twice."));
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS && !self.subscriptions.contains_key(&id) {
            return Err(("too_many", "A session may have 8 subscriptions."));
        }
        Ok(())
    }

    /// Tells what a subscription has not been told yet.
    async fn update(&mut self, id: u32) -> Result<(), End> {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return Ok(()) };
        subscription.announced.mark_unchanged();
        let (frames, told) = {
            let mut view = lock(&subscription.watched.view);
            match subscription.told.take() {
                None => {
                    let (message, told) = view.start(id, subscription.since.take());
                    (vec![encode(&message)], told)
                }
                Some(told) => match view.next(id, &told) {
                    Some((frame, told)) => (vec![frame], told),
                    None => {
                        let (snapshot, told) = view.start(id, None);
                        (vec![encode(&ServerMessage::Reset { id }), encode(&snapshot)], told)
                    }
                },
            }
        };
        subscription.told = Some(told);
        for frame in frames {
            self.send(Message::Text(frame)).await?;
            metrics::counter!("clickwire_live_deliveries_total").increment(1);
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<ClientMessage, End> {
        loop {
            let message = self.socket.recv().await.ok_or(End::Gone)??;
            if let Some(message) = parse(message)? {
                return Ok(message);
            }
        }
    }

    async fn tell(&mut self, message: &ServerMessage) -> Result<(), End> {
        self.send(Message::Text(encode(message))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(WRITE_WITHIN, self.socket.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Gone),
        }
    }
}

/// Waits until one of the views has something new; for ever without views.
async fn changed(subscriptions: &mut HashMap<u32, Subscription>) -> u32 {
    if subscriptions.is_empty() {
        return future::pending().await;
    }
    let waits = subscriptions.iter_mut().map(|(id, subscription)| {
        Box::pin(async move {
            // The sender lives in the view that the subscription holds.
            let _ = subscription.announced.changed().await;
            *id
        })
    });
    future::select_all(waits).await.0
}

/// A message of the protocol; `None` for what WebSocket itself answers.
fn parse(message: Message) -> Result<Option<ClientMessage>, End> {
    match message {
        Message::Text(text) => match serde_json::from_str(&text) {
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(End::Close(close::PROTOCOL_ERROR, "not a message of clickwire.v1")),
        },
        Message::Binary(_) => Err(End::Close(close::PROTOCOL_ERROR, "send text frames")),
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Close(_) => Err(End::Gone),
    }
}

fn going_away() -> End {
    End::Close(close::GOING_AWAY, "the server goes away; connect again")
}
