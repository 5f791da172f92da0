//! Live data over a WebSocket: a view whose state is kept as the protocol says, whatever happens to the connection.
//!
//! A [`Watch`] connects when it is first asked for an update. After a lost connection it comes back, tells where its
//! state ends and is sent what has changed since, or a snapshot. Close codes say whether it may come back and how
//! soon; a session that has gone silent is given up after two heartbeats.

use std::time::{Duration, SystemTime};

use clickwire_protocol::{
    MINUTE_MS,
    live::{
        Applied, ClientMessage, MAX_CLIENT_MESSAGE_BYTES, SUBPROTOCOL, ServerMessage, Topic, View, ViewCell,
        ViewState, close,
    },
    times::Minute,
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{StatusCode, header::HeaderValue};
use hyper_util::rt::TokioIo;
use rand::RngExt as _;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use crate::{Error, Server, connection::broken, server::Stream};

/// The number of the one subscription of a session.
const SUBSCRIPTION: u32 = 1;

/// The first pause before connecting again, at most, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longest message of a server, in bytes: 240 minutes of many groups.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

type Socket = WebSocketStream<TokioIo<Stream>>;

/// A view of clicks that is kept up to date.
pub struct Watch {
    server: Server,
    view: View,
    min_interval_ms: Option<u32>,
    state: ViewState,
    socket: Option<Socket>,
    /// The longest silence before the session is given up.
    silence: Duration,
    /// The view was asked for, and not answered yet.
    is_asked: bool,
    /// Attempts to connect since one worked.
    attempts: u32,
    counters: Counters,
}

/// Counters of what happened to a watch so far.
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

impl Watch {
    /// A watch that will connect when first asked for an update. The server's token is shown.
    pub fn new(server: Server, view: View) -> Self {
        let (state, counters) = (ViewState::default(), Counters::default());
        let silence = server.patience();
        Self {
            server,
            view,
            min_interval_ms: None,
            state,
            socket: None,
            silence,
            is_asked: false,
            attempts: 0,
            counters,
        }
    }

    /// Wants changes no more often than this; up to a minute.
    #[must_use]
    pub fn at_most_every(mut self, interval: Duration) -> Self {
        self.min_interval_ms = Some(u32::try_from(interval.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// The view's state: absolute counts by minute and group of the window, and how far they are counted.
    pub fn state(&self) -> &ViewState {
        &self.state
    }

    /// The counters so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Waits for the next change and returns its cells, as they are now; connects again as often as needed. A
    /// call that is dropped loses nothing.
    ///
    /// # Errors
    /// One that connecting again would not mend: [`Error::Closed`], [`Error::View`], a token that is not known.
    pub async fn update(&mut self) -> Result<Vec<ViewCell>, Error> {
        loop {
            match self.step().await {
                Ok(Some(cells)) => {
                    self.state.forget_before(self.view.first_minute(now()));
                    return Ok(cells);
                }
                Ok(None) => {}
                Err(error) if error.is_passing() => {
                    self.socket = None;
                    self.pause(error.wait()).await;
                }
                Err(error) => {
                    self.socket = None;
                    return Err(error);
                }
            }
        }
    }

    /// Connects, or takes one message; returns the cells of a change.
    async fn step(&mut self) -> Result<Option<Vec<ViewCell>>, Error> {
        let Some(socket) = &mut self.socket else {
            self.socket = Some(self.connect().await?);
            self.counters.connections += 1;
            return Ok(None);
        };
        let message = timeout(self.silence, socket.next()).await.map_err(|_| Error::TooLate)?;
        match message.ok_or_else(|| broken("the server is gone without a word"))?.map_err(broken)? {
            Message::Text(text) => {
                let message = serde_json::from_str(&text);
                let status = StatusCode::SWITCHING_PROTOCOLS;
                self.take(message.map_err(|error| Error::Unreadable { status, what: error.to_string() })?)
                    .await
            }
            Message::Close(frame) => Err(closed(frame.as_ref())),
            // Heartbeats, which the library answers.
            _ => Ok(None),
        }
    }

    async fn take(&mut self, message: ServerMessage) -> Result<Option<Vec<ViewCell>>, Error> {
        match message {
            ServerMessage::Welcome { heartbeat_ms, .. } => {
                self.attempts = 0;
                // Two heartbeats and the time that the second takes.
                self.silence = Duration::from_millis(heartbeat_ms) * 2 + self.server.patience();
                self.subscribe().await?;
                Ok(None)
            }
            ServerMessage::Snapshot { epoch, seq, cells, rates, progress, .. } => {
                self.counters.snapshots += 1;
                self.is_asked = false;
                self.state.note(&rates, progress);
                self.state.replace(epoch, seq, cells.clone());
                Ok(Some(cells))
            }
            ServerMessage::Delta { epoch, from, seq, cells, rates, progress, .. } => {
                self.state.note(&rates, progress);
                // It was on its way when a gap was found; the snapshot that was asked for then comes behind it.
                if self.state.position.is_none() {
                    return Ok(None);
                }
                // What comes without cells and unasked tells how far the view is counted.
                let is_change = !cells.is_empty() || self.is_asked;
                self.is_asked = false;
                self.counters.deltas += u64::from(is_change);
                match self.state.apply(&epoch, from, seq, cells.clone()) {
                    Applied::Yes => Ok(is_change.then_some(cells)),
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
            ServerMessage::Error { code, field, message, .. } => Err(Error::View { code, field, message }),
        }
    }

    async fn connect(&self) -> Result<Socket, Error> {
        let stream = TokioIo::new(self.server.connect().await?);
        let scheme = if self.server.is_tls() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}/api/v1/live", self.server.authority());
        let mut request = url.into_client_request().map_err(|error| Error::Unsendable(error.to_string()))?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .read_buffer_size(MAX_CLIENT_MESSAGE_BYTES);
        let shaken =
            timeout(self.server.patience(), client_async_with_config(request, stream, Some(config))).await;
        let (mut socket, _) = shaken.map_err(|_| Error::TooLate)?.map_err(refused)?;
        let token = Some(self.server.token().to_owned());
        send(&mut socket, &ClientMessage::Auth { token }, self.server.patience()).await?;
        Ok(socket)
    }

    /// Asks for the view from where the state ends.
    async fn subscribe(&mut self) -> Result<(), Error> {
        // Taken out: were this dropped half-way, nobody would know what was sent.
        let Some(mut socket) = self.socket.take() else { return Ok(()) };
        let message = ClientMessage::Subscribe {
            id: SUBSCRIPTION,
            view: Topic::Clicks(self.view.clone()),
            since: self.state.position.clone(),
            min_interval_ms: self.min_interval_ms,
        };
        send(&mut socket, &message, self.server.patience()).await?;
        self.socket = Some(socket);
        self.is_asked = true;
        Ok(())
    }

    /// Waits before connecting again: as long as is asked for, or longer and longer, with jitter.
    async fn pause(&mut self, asked: Option<Duration>) {
        if let Some(asked) = asked {
            return sleep(asked).await;
        }
        let limit = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        // The generator must not be held while we wait.
        let share: f64 = rand::rng().random_range(0.1..1.0);
        sleep(limit.mul_f64(share)).await;
    }
}

async fn send(socket: &mut Socket, message: &ClientMessage, patience: Duration) -> Result<(), Error> {
    let text = serde_json::to_string(message).map_err(|error| Error::Unsendable(error.to_string()))?;
    timeout(patience, socket.send(Message::text(text))).await.map_err(|_| Error::TooLate)?.map_err(broken)
}

/// The error that a close frame means.
fn closed(frame: Option<&CloseFrame>) -> Error {
    let Some(frame) = frame else { return broken("closed without a code") };
    let (code, reason) = (u16::from(frame.code), frame.reason.to_string());
    if !close::may_reconnect(code) {
        return Error::Closed { code, reason };
    }
    Error::Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: code.to_string(),
        retry_after: close::wait_ms(code, &reason).map(|ms| Duration::from_millis(ms.into())),
        message: reason,
        click_id: None,
    }
}

/// The error of a handshake.
fn refused(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(answer) => {
            let (head, body) = answer.into_parts();
            Error::told(&head, &body.unwrap_or_default())
        }
        error => broken(error),
    }
}

/// The present minute.
fn now() -> Minute {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Minute(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX) / MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{ids::AdvertiserId, live::Filters};
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn deltas_behind_a_gap_are_no_gaps_of_their_own() {
        let view = View {
            advertiser_id: AdvertiserId::new("adv_001").unwrap(),
            filters: Filters::default(),
            group_by: Vec::new(),
            window_minutes: 60,
        };
        let mut watch = Watch::new(Server::new("http://localhost", "token").unwrap(), view);
        let epoch = || "one".to_owned();
        let snapshot = |seq| ServerMessage::Snapshot {
            id: SUBSCRIPTION,
            epoch: epoch(),
            seq,
            cells: Vec::new(),
            rates: Vec::new(),
            progress: None,
        };
        let delta = |from| ServerMessage::Delta {
            id: SUBSCRIPTION,
            epoch: epoch(),
            from,
            seq: from + 1,
            cells: Vec::new(),
            rates: Vec::new(),
            progress: None,
        };
        for message in [snapshot(1), delta(1), delta(5), delta(6), delta(7), snapshot(8), delta(8)] {
            watch.take(message).now_or_never().unwrap().unwrap();
        }
        assert_eq!(watch.state.position.as_ref().map(|position| position.seq), Some(9));
        assert_eq!((watch.counters.snapshots, watch.counters.gaps), (2, 1));
    }

    fn frame(code: u16, reason: &str) -> CloseFrame {
        CloseFrame { code: code.into(), reason: reason.to_owned().into() }
    }

    #[test]
    fn close_codes_say_whether_to_come_back_and_when() {
        let back = closed(Some(&frame(close::RECONNECT, "750")));
        assert_eq!((back.is_passing(), back.retry_after()), (true, Some(Duration::from_millis(750))));
        for code in [1001, close::HEARTBEAT_TIMEOUT, close::TRY_AGAIN_LATER, close::TOO_SLOW] {
            let error = closed(Some(&frame(code, "")));
            assert_eq!((error.is_passing(), error.retry_after()), (true, None), "{code}");
        }
        assert!(closed(None).is_passing());
        for code in [close::UNAUTHORIZED, close::PROTOCOL_ERROR, close::TOO_MANY_MESSAGES] {
            let error = closed(Some(&frame(code, "no")));
            assert!(
                !error.is_passing() && matches!(error, Error::Closed { code: told, .. } if told == code),
                "{code}"
            );
        }
    }
}
