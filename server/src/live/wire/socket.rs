//! A WebSocket on its connection: messages come in through tungstenite, frames that many sessions
//! share go out as they are.
//!
//! A frame's body is encoded once for all sessions that are told the same ([`frame`](crate::live::wire::frame));
//! each session's part is one write to its socket, of everything that there is for it. Control frames, and everything
//! that is read, are tungstenite's business. The two take turns: nothing of ours is written while tungstenite has
//! something half written, and nothing is read, which could be answered, while something of ours is.

use std::{
    future::poll_fn,
    io::{self, IoSlice, Write as _},
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use clickwire_process::now_ms;
use clickwire_protocol::live::MAX_CLIENT_MESSAGE_BYTES;
use hyper::upgrade::OnUpgrade;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    handshake::server::create_response_with_body,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use crate::{
    http::{error, tls::Stream},
    live::{
        error::LiveError,
        wire::{frame::Frame, transport::Transport},
    },
};

/// Bytes read from a socket at once; the buffer is kept for each connection. Clients say little.
const READ_BUFFER_BYTES: usize = 1_024;

/// Answers to pings that wait for a client that reads none; of more, the last alone is kept.
const UNREAD_ANSWERS_BYTES: usize = 4 * 1_024;

/// Unsent bytes that the kernel takes for a session; more would be stale before they are sent.
const UNSENT_BYTES: u32 = 16 * 1_024;

/// Frames written by one system call, at most.
const AT_ONCE: usize = 8;

/// A connection that is about to become a socket.
pub(crate) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// The answer to a request for a WebSocket (RFC 6455, section 4.2), and the connection to be; the answer names
    /// `subprotocol` if the client offers it.
    pub(crate) fn answer(
        request: &mut Request,
        subprotocol: &'static str,
    ) -> Result<(Response, Self), error::Error> {
        let refused = |reason: String| LiveError::Upgrade(reason);
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let mut response =
            create_response_with_body(request, Body::empty).map_err(|error| refused(error.to_string()))?;
        let upgrade = upgrade.ok_or_else(|| refused("the connection can't be upgraded".to_owned()))?;
        if offers(request.headers(), subprotocol) {
            let ours = HeaderValue::from_static(subprotocol);
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, ours);
        }
        Ok((response, Self(upgrade)))
    }

    /// The socket, when the answer has gone out; `None` if the client has gone.
    pub(crate) async fn socket(self) -> Option<Socket> {
        let upgraded = self.0.await.ok()?;
        let parts = upgrade::downcast::<TokioIo<Stream>>(upgraded).ok()?;
        Some(Socket::new(parts.io.into_inner().into(), &parts.read_buf))
    }
}

fn offers(headers: &HeaderMap, subprotocol: &str) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|name| name.trim() == subprotocol)
}

/// A server's end of RFC 6455, within our limits.
pub(in crate::live) fn protocol(already_read: &[u8]) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(UNREAD_ANSWERS_BYTES)
        .max_message_size(Some(MAX_CLIENT_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_CLIENT_MESSAGE_BYTES));
    WebSocketContext::from_partially_read(already_read.to_vec(), Role::Server, Some(config))
}

/// An open socket.
pub(crate) struct Socket {
    transport: Transport,
    protocol: WebSocketContext,
    /// Frames that are not written yet; of the first frame the rest.
    queue: Vec<Frame>,
    /// The bytes that were queued when the socket blocked, until all is written.
    blocked: Option<Queued>,
    /// Bytes of what is blocked were taken since this was last asked.
    has_taken: bool,
    /// Time at which bytes of what is blocked were last taken, or it became blocked: Unix time in milliseconds.
    taken_at_ms: i64,
}

impl Socket {
    fn new(transport: Transport, already_read: &[u8]) -> Self {
        if let Err(error) = transport.options().set_tcp_notsent_lowat(UNSENT_BYTES) {
            tracing::debug!(%error, "options of a socket");
        }
        Self {
            transport,
            protocol: protocol(already_read),
            queue: Vec::new(),
            blocked: None,
            has_taken: false,
            taken_at_ms: 0,
        }
    }

    /// The next message; not to be asked for while something is blocked.
    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        loop {
            match self.protocol.read(&mut self.transport) {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.transport.poll_readable(context))?;
                }
                read => return Poll::Ready(read),
            }
        }
    }

    /// The frames to be written next.
    pub(crate) fn queue(&mut self) -> &mut Vec<Frame> {
        &mut self.queue
    }

    /// Returns whether not everything that was written has been taken.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Returns whether bytes were taken, of what is blocked, since the last call.
    pub(crate) fn has_taken(&mut self) -> bool {
        std::mem::take(&mut self.has_taken)
    }

    /// Time since which nothing was taken of what is blocked: Unix time in milliseconds; `None` if nothing is blocked.
    pub(crate) fn stalled_since_ms(&self) -> Option<i64> {
        self.is_blocked().then_some(self.taken_at_ms)
    }

    /// Bytes that are not written yet.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.iter().map(Frame::len).sum()
    }

    /// Writes what is taken now.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        match self.write_all() {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.blocked.is_none() {
                    metrics::counter!("clickwire_live_blocked_total").increment(1);
                    self.blocked = Some(Queued::new(self.queued_bytes()));
                    self.taken_at_ms = now_ms();
                }
                Ok(())
            }
            written => {
                self.blocked = None;
                written
            }
        }
    }

    /// Writes everything.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.write()?;
            if !self.is_blocked() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.transport.poll_writable(context))?;
        }
    }

    fn write_all(&mut self) -> Result<(), Error> {
        // What tungstenite has begun.
        self.protocol.flush(&mut self.transport)?;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * AT_ONCE];
            let mut filled = 0;
            for part in self.queue.iter().take(AT_ONCE).flat_map(Frame::parts).filter(|part| !part.is_empty())
            {
                slices[filled] = IoSlice::new(part);
                filled += 1;
            }
            let mut written = self.transport.write_vectored(&slices[..filled])?;
            if self.blocked.is_some() {
                (self.has_taken, self.taken_at_ms) = (true, now_ms());
            }
            let whole = self.queue.iter().take_while(|frame| {
                let is_whole = frame.len() <= written;
                written -= if is_whole { frame.len() } else { 0 };
                is_whole
            });
            let whole = whole.count();
            self.queue.drain(..whole);
            if let Some(first) = self.queue.first_mut() {
                first.advance(written);
            }
        }
        // With TLS, what is taken is not yet sent.
        Ok(self.transport.flush()?)
    }

    /// Asks whether the client is still there.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        self.control(Message::Ping(Bytes::new()))
    }

    /// Says farewell, and waits until the other side has gone: closing a connection with something unread
    /// would reset it, and the farewell be lost.
    pub(crate) async fn close(mut self, frame: CloseFrame) -> Result<(), Error> {
        poll_fn(|context| self.poll_write(context)).await?;
        self.control(Message::Close(Some(frame)))?;
        poll_fn(|context| self.poll_write(context)).await?;
        Ok(self.transport.shutdown().await?)
    }

    /// Answers the client's farewell.
    pub(crate) async fn leave(mut self) -> Result<(), Error> {
        match poll_fn(|context| self.poll_write(context)).await {
            Ok(()) | Err(Error::ConnectionClosed) => Ok(self.transport.shutdown().await?),
            Err(error) => Err(error),
        }
    }

    fn control(&mut self, message: Message) -> Result<(), Error> {
        match self.protocol.write(&mut self.transport, message) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => written?,
        }
        self.write()
    }
}

/// Bytes that a session could not write; counted as long as it lives.
struct Queued(f64);

impl Queued {
    fn new(bytes: usize) -> Self {
        metrics::gauge!("clickwire_live_queued_bytes").increment(bytes as f64);
        Self(bytes as f64)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        metrics::gauge!("clickwire_live_queued_bytes").decrement(self.0);
    }
}

#[cfg(test)]
pub(in crate::live) mod tests {
    use std::time::Duration;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::client;
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::frame::coding::CloseCode};
    use tokio_util::either::Either;

    use super::*;

    type Client = WebSocketStream<Either<TcpStream, Box<client::TlsStream<TcpStream>>>>;

    impl Socket {
        async fn receive(&mut self) -> Result<Message, Error> {
            poll_fn(|context| self.poll_receive(context)).await
        }

        async fn send(&mut self, frames: &[Frame]) {
            self.queue().extend_from_slice(frames);
            poll_fn(|context| self.poll_write(context)).await.unwrap();
        }
    }

    async fn tcp() -> (TcpStream, TcpStream) {
        let subscriber = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(subscriber.local_addr().unwrap()).await.unwrap();
        (subscriber.accept().await.unwrap().0, client)
    }

    pub(in crate::live) async fn pair() -> (Socket, Client) {
        let (server, client) = tcp().await;
        let client = Either::Left(client);
        (
            Socket::new(Transport::Plain(server), &[]),
            WebSocketStream::from_raw_socket(client, Role::Client, None).await,
        )
    }

    async fn pair_over_tls() -> (Socket, Client) {
        let (server, client) = tcp().await;
        let (acceptor, connector) = crate::http::tls::tests::ends();
        let server = async { acceptor.accept(server, Duration::from_secs(20)).await.unwrap() };
        let client = async { connector.connect("localhost".try_into().unwrap(), client).await.unwrap() };
        let (server, client) = tokio::join!(server, client);
        let client = Either::Right(Box::new(client));
        (Socket::new(server.into(), &[]), WebSocketStream::from_raw_socket(client, Role::Client, None).await)
    }

    #[tokio::test]
    async fn frames_of_every_length_arrive_as_they_were_and_in_order() {
        for (mut server, mut client) in [pair().await, pair_over_tls().await] {
            let texts: Vec<String> = [0, 1, 125, 126, 65_535, 65_536, 300_000]
                .into_iter()
                .cycle()
                .take(21)
                .map(|n| "x".repeat(n))
                .collect();
            let frames: Vec<Frame> = texts.iter().cloned().map(Frame::text).collect();
            let sent = server.send(&frames);
            let received = async {
                for text in &texts {
                    assert_eq!(client.next().await.unwrap().unwrap(), Message::text(text.as_str()));
                }
            };
            tokio::join!(sent, received);
        }
    }

    #[tokio::test]
    async fn pings_are_answered_between_frames_and_a_farewell_arrives() {
        for (mut server, mut client) in [pair().await, pair_over_tls().await] {
            client.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
            assert!(matches!(server.receive().await.unwrap(), Message::Ping(_)));
            client.send(Message::text("hello")).await.unwrap();
            assert_eq!(server.receive().await.unwrap(), Message::text("hello"));
            server.send(&["one", "two"].map(|text| Frame::text(text.into()))).await;
            let enough = CloseFrame { code: CloseCode::Library(3_001), reason: "enough".into() };
            let closed = tokio::spawn(async move { server.close(enough).await });
            assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
            for text in ["one", "two"] {
                assert_eq!(client.next().await.unwrap().unwrap(), Message::text(text));
            }
            assert!(
                matches!(client.next().await.unwrap().unwrap(), Message::Close(Some(frame)) if frame.reason == "enough")
            );
            drop(client);
            closed.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused() {
        let (mut server, mut client) = pair().await;
        client.send(Message::text("x".repeat(MAX_CLIENT_MESSAGE_BYTES + 1))).await.unwrap();
        assert!(matches!(server.receive().await, Err(Error::Capacity(_))));
    }
}
