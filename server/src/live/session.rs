//! One dashboard's connection: authenticate, subscribe, be told what changed, be asked now and then
//! whether it is still there.
//!
//! A session owns no queue. While its socket is blocked it waits in one write; when that is done it
//! asks its views for what has changed since.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use clickwire_protocol::{
    feed::Position,
    live::{ClientMessage, MAX_WINDOW_MINUTES, ServerMessage, Topic, View, close},
};
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
        alerts::Alerts,
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
    announced: watch::Receiver<u64>,
    source: Source,
}

/// What a subscription is told from, and how far it was told; `None` before the first snapshot.
enum Source {
    Clicks { watched: Watched, told: Option<Told>, since: Option<Position> },
    Alerts { alerts: Arc<Alerts>, told: Option<i64> },
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
            ClientMessage::Subscribe { id, view, since } => match self.subscribe(id, view, since, scope) {
                Ok(subscription) => {
                    let loaded = *subscription.announced.borrow() > 0;
                    self.subscriptions.insert(id, subscription);
                    if loaded { self.update(id).await } else { Ok(()) }
                }
                Err((code, message)) => {
                    let (code, message) = (code.to_owned(), message.to_owned());
                    self.tell(&ServerMessage::Error { id: Some(id), code, message }).await
                }
            },
        }
    }

    fn subscribe(
        &self,
        id: u32,
        topic: Topic,
        since: Option<Position>,
        scope: &Scope,
    ) -> Result<Subscription, Refusal> {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS && !self.subscriptions.contains_key(&id) {
            return Err(("too_many", "A session may have 8 subscriptions."));
        }
        match topic {
            Topic::Clicks(view) => {
                may_watch(&view, scope)?;
                let watched = self.state.hub.watch(view);
                let watched =
                    watched.ok_or(("too_many", "This advertiser is watched in too many different ways."))?;
                let announced = lock(&watched.view).subscribe();
                Ok(Subscription { announced, source: Source::Clicks { watched, told: None, since } })
            }
            Topic::Alerts {} if *scope != Scope::All => {
                Err(("forbidden", "Only administrators watch incidents."))
            }
            Topic::Alerts {} => {
                let alerts = self.state.hub.alerts();
                let announced = alerts.subscribe();
                Ok(Subscription { announced, source: Source::Alerts { alerts, told: None } })
            }
        }
    }

    /// Tells what a subscription has not been told yet.
    async fn update(&mut self, id: u32) -> Result<(), End> {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return Ok(()) };
        subscription.announced.mark_unchanged();
        for frame in subscription.source.frames(id)? {
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

/// Why a subscription is refused: a code and a sentence.
type Refusal = (&'static str, &'static str);

fn may_watch(view: &View, scope: &Scope) -> Result<(), Refusal> {
    if !scope.includes(&view.advertiser_id) {
        return Err(("forbidden", "This token does not open that advertiser."));
    }
    if !(1..=MAX_WINDOW_MINUTES).contains(&view.window_minutes) {
        return Err(("invalid", "window_minutes must be from 1 to 240."));
    }
    if (1..view.group_by.len()).any(|n| view.group_by[..n].contains(&view.group_by[n])) {
        return Err(("invalid", "group_by names a dimension twice."));
    }
    Ok(())
}

impl Source {
    /// What is to be told now.
    fn frames(&mut self, id: u32) -> Result<Vec<Utf8Bytes>, End> {
        match self {
            Self::Clicks { watched, told, since } => {
                let mut view = lock(&watched.view);
                let (frames, now_told) = match told.take() {
                    None => {
                        let (message, told) = view.start(id, since.take());
                        (vec![encode(&message)], told)
                    }
                    Some(told) => match view.next(id, &told) {
                        Some((frame, told)) => (vec![frame], told),
                        None => {
                            let (snapshot, told) = view.start(id, None);
                            (vec![encode(&ServerMessage::Reset { id }), encode(&snapshot)], told)
                        }
                    },
                };
                *told = Some(now_told);
                Ok(frames)
            }
            Self::Alerts { alerts, told } => {
                let Some((frames, now_told)) = alerts.next(id, *told) else {
                    return Err(End::Close(close::TOO_SLOW, "too slow for news; connect again"));
                };
                *told = now_told;
                Ok(frames)
            }
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
