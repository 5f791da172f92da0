//! Connections: how many there may be, how long a client may take, and how they end.
//!
//! Promises: a client that sends slowly or not at all, or does not read what it has asked for, holds a
//! connection and memory for a bounded time, and an address its share of both; a newcomer gets the place of a
//! connection on which nothing is under way; a server that stops answers what it has begun to read before it
//! closes a connection.
//!
//! - [`places`]: who may have one; [`activity`]: until when; [`unsent`]: what nobody reads; [`streams`]: those
//!   of HTTP/2

mod activity;
mod places;
mod streams;
#[cfg(test)]
mod tests;
pub(crate) mod unsent;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

pub(crate) use self::activity::Times;
use self::{
    places::{Place, Places},
    streams::Streams,
    unsent::{Account, Unsent},
};
use crate::http::{
    networks::Networks,
    requests::{self, Seen},
    tls::{Stream, Tls},
};

/// Header lines of one request, with everything that a client may send before its body, in bytes.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// Requests on one connection of HTTP/2 at the same time; RFC 9113, section 6.5.2 wants no fewer.
const STREAMS_MAX: u32 = 100;

/// Bytes of requests that a connection of HTTP/2, or one stream of it, may send ahead of who reads them.
const UNREAD_MAX_BYTES: u32 = 256 * 1024;

/// Bytes of one answer that HTTP/2 holds beyond what its client takes.
const STREAM_UNSENT_BYTES: usize = 64 * 1024;

/// Time between two pings of a connection of HTTP/2, and the time that an answer may take.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A peer that acknowledges nothing, or takes nothing, for so long is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// A connection that is to end may say so, and hear the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// A pause after a connection could not be taken: there are no more file descriptors, say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// An address may leave unread one of so many parts of what all may; a connection, one of so many.
const ADDRESS_PART: usize = 8;
const CONNECTION_PART: usize = 64;

/// Limits of connections.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections are clients', and their number a metric.
    pub(crate) is_public: bool,
    /// Connections at the same time; further ones wait in the kernel.
    pub(crate) connections: usize,
    /// Connections from one address, at the same time.
    pub(crate) per_address: usize,
    /// Proxies, which speak for many: no share holds for them.
    pub(crate) proxies: Networks,
    /// A connection is not given up for a newcomer before it has been idle for so long.
    pub(crate) spared: Duration,
    pub(crate) times: Times,
    /// Bytes of answers that lie here unread.
    pub(crate) unsent_bytes: usize,
    /// Settings of all requests.
    pub(crate) requests: Seen,
    /// Time for requests that are under way when the server stops.
    pub(crate) grace: Duration,
}

/// Connections of the operator's programs.
const OPERATORS: usize = 64;

impl Limits {
    /// The same for the address that only the operator's programs ask.
    pub(crate) fn for_operators(&self) -> Self {
        let requests = Seen { is_secure: false, ..self.requests };
        let (connections, per_address) = (OPERATORS, OPERATORS);
        Self { is_public: false, connections, per_address, requests, ..self.clone() }
    }
}

/// The parts that all connections share.
struct Server {
    tls: Option<Arc<Tls>>,
    routes: Router,
    http: Builder<Streams>,
    times: Times,
    unsent: Arc<Account>,
    unsent_per_connection: usize,
    stop: CancellationToken,
}

/// Serves, over TLS if there is a certificate, until `stop` is cancelled, then ends what is under way within
/// the grace period.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    routes: Router,
    limits: Limits,
    stop: &CancellationToken,
) {
    let routes = routes.layer(axum::middleware::from_fn_with_state(limits.requests, requests::observe));
    let places = Arc::new(Places::new(&limits));
    let connections = TaskTracker::new();
    let server = Arc::new(Server {
        tls,
        routes,
        http: http(limits.times),
        times: limits.times,
        unsent: Arc::new(Account::new(limits.unsent_bytes)),
        unsent_per_connection: limits.unsent_bytes / CONNECTION_PART,
        stop: stop.clone(),
    });
    loop {
        let accepted = async {
            let (stream, peer) = listener.accept().await?;
            let place = places.take(peer.ip()).await;
            Ok::<_, std::io::Error>((stream, peer, place))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer, Some(place))) => {
                connections.spawn(Arc::clone(&server).connection(stream, peer, place));
            }
            Ok((_, _, None)) => {
                metrics::counter!("clickwire_limited_total", "by" => "connections").increment(1);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::warn!("requests did not end in time");
    }
}

fn http(times: Times) -> Builder<Streams> {
    let mut http = Builder::new(Streams { taken: times.taken });
    // How long a head may take is a matter of the connection's activity.
    http.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_MAX_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_MAX_BYTES as u32)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(STREAM_UNSENT_BYTES)
        .initial_stream_window_size(UNREAD_MAX_BYTES)
        .initial_connection_window_size(UNREAD_MAX_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    http
}

impl Server {
    /// One connection, from its beginning to its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Answers are small and whole; to wait for more of them would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED)) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT");
        }
        let activity = &place.activity;
        let stream = match &self.tls {
            None => Stream::Left(stream),
            Some(tls) => {
                let accepted = tokio::select! {
                    accepted = tls.accept(stream, self.times.head) => accepted,
                    () = activity.given_up() => return closed("given_up"),
                    () = self.stop.cancelled() => return,
                };
                match accepted {
                    Ok(stream) => stream,
                    Err(error) => return tracing::debug!(%error, "TLS"),
                }
            }
        };
        activity.speaks();
        let account = Account::new(self.unsent_per_connection);
        let unsent =
            Unsent::new(Arc::clone(activity), account, place.unsent.clone(), Arc::clone(&self.unsent));
        let connection =
            self.http.serve_connection_with_upgrades(TokioIo::new(stream), self.service(peer, unsent));
        let mut connection = Box::pin(connection);
        let is_stopping = tokio::select! {
            // What it does now says until when it may.
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection");
                }
                return;
            }
            over = activity.over(self.times) => {
                closed(over.name());
                // There would be no end of what it does not take.
                if over == activity::Over::Stalled {
                    return;
                }
                false
            }
            () = activity.given_up() => {
                closed("given_up");
                false
            }
            () = self.stop.cancelled() => true,
        };
        connection.as_mut().graceful_shutdown();
        let ended = async {
            if is_stopping {
                tokio::select! { biased; ended = &mut connection => ended, _ = activity.over(self.times) => Ok(()) }
            } else {
                timeout(FAREWELL, &mut connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended.await {
            tracing::debug!(%error, "connection");
        }
    }

    /// The routes, told who is at the other end.
    fn service(
        &self,
        peer: SocketAddr,
        unsent: Unsent,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future = impl Future<Output = Result<Response, Infallible>> + Send + use<>,
    > + use<> {
        let routes = self.routes.clone();
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(unsent.request());
            routes.clone().call(request.map(axum::body::Body::new))
        })
    }
}

fn closed(reason: &'static str) {
    metrics::counter!("clickwire_connections_closed_total", "reason" => reason).increment(1);
}
