//! A dashboard without a screen: connects, subscribes, keeps the view's state as the protocol says,
//! and comes back when it is disconnected.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clickwire_process::Backoff;
use clickwire_protocol::live::{
    Applied, ClientMessage, SUBPROTOCOL, ServerMessage, Topic, View, ViewCell, ViewState, close,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

use crate::http::Server;

const SUBSCRIPTION: u32 = 1;

/// A client that watches one view.
pub struct Client {
    server: Server,
    view: View,
    state: ViewState,
    socket: Option<WebSocketStream<TcpStream>>,
    backoff: Backoff,
    counters: Counters,
}

/// What happened to a client so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections made.
    pub connections: u64,
    /// Whole states received.
    pub snapshots: u64,
    /// Changes received.
    pub deltas: u64,
    /// Changes that did not follow the state.
    pub gaps: u64,
}

impl Client {
    /// A client that will connect when first asked for an update.
    pub fn new(server: Server, view: View) -> Self {
        let (state, counters) = (ViewState::default(), Counters::default());
        Self { server, view, state, socket: None, backoff: Backoff::default(), counters }
    }

    /// The view's state as a dashboard would show it.
    pub fn state(&self) -> &ViewState {
        &self.state
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Waits for the next change and returns its cells; connects again as often as needed. An error
    /// is one that connecting again would not mend.
    pub async fn update(&mut self) -> anyhow::Result<Vec<ViewCell>> {
        loop {
            let Some(socket) = &mut self.socket else {
                match self.connect().await {
                    Ok(socket) => self.socket = Some(socket),
                    Err(_) => self.backoff.wait().await,
                }
                continue;
            };
            let message = match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    serde_json::from_str(&text).context("a message of the server")?
                }
                Some(Ok(Message::Close(Some(frame)))) if !close::may_reconnect(frame.code.into()) => {
                    bail!("closed for good: {} {}", u16::from(frame.code), frame.reason)
                }
                Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == close::RECONNECT => {
                    self.socket = None;
                    let wait_ms = close::wait_ms(frame.code.into(), &frame.reason).unwrap_or_default();
                    sleep(Duration::from_millis(wait_ms.into())).await;
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.socket = None;
                    self.backoff.wait().await;
                    continue;
                }
                Some(Ok(_)) => continue,
            };
            if let Some(cells) = self.take(message).await? {
                return Ok(cells);
            }
        }
    }

    async fn take(&mut self, message: ServerMessage) -> anyhow::Result<Option<Vec<ViewCell>>> {
        match message {
            ServerMessage::Welcome { .. } => {
                self.backoff.reset();
                self.subscribe().await?;
                Ok(None)
            }
            ServerMessage::Snapshot { epoch, seq, cells, rates, .. } => {
                self.counters.snapshots += 1;
                self.state.note(&rates);
                self.state.replace(epoch, seq, cells.clone());
                Ok(Some(cells))
            }
            ServerMessage::Delta { epoch, from, seq, cells, rates, .. } => {
                self.counters.deltas += 1;
                self.state.note(&rates);
                match self.state.apply(&epoch, from, seq, cells.clone()) {
                    Applied::Yes => Ok(Some(cells)),
                    Applied::Gap => {
                        self.counters.gaps += 1;
                        self.state.position = None;
                        self.subscribe().await?;
                        Ok(None)
                    }
                }
            }
            ServerMessage::Reset { .. }
            | ServerMessage::Pong
            | ServerMessage::Alerts { .. }
            | ServerMessage::Alert { .. } => Ok(None),
            ServerMessage::Error { code, message, .. } => bail!("refused: {code}: {message}"),
        }
    }

    async fn connect(&mut self) -> anyhow::Result<WebSocketStream<TcpStream>> {
        let mut request = format!("ws://{}/api/v1/live", self.server.authority()).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let stream = TcpStream::connect(self.server.authority()).await?;
        let (mut socket, _) = client_async(request, stream).await?;
        socket.send(text(&ClientMessage::Auth { token: Some(self.server.token().to_owned()) })?).await?;
        self.counters.connections += 1;
        Ok(socket)
    }

    async fn subscribe(&mut self) -> anyhow::Result<()> {
        let (view, since) = (Topic::Clicks(self.view.clone()), self.state.position.clone());
        let message =
            text(&ClientMessage::Subscribe { id: SUBSCRIPTION, view, since, min_interval_ms: None })?;
        if let Some(socket) = &mut self.socket
            && socket.send(message).await.is_err()
        {
            self.socket = None;
        }
        Ok(())
    }
}

fn text(message: &ClientMessage) -> anyhow::Result<Message> {
    Ok(Message::text(serde_json::to_string(message)?))
}
