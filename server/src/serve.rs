//! Connections: how many there may be, how long a client may take, and how they end.
//!
//! Promises: a client that sends slowly or not at all holds a connection for a bounded time; a server
//! that stops answers what it has begun to read before it closes a connection.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use socket2::SockRef;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::{
    requests::{self, Seen},
    tls::{Stream, Tls},
};

/// Header lines of one request, with everything that a client may send before its body, in bytes.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// How long a client may take for a request's head; also how long a connection may lie idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// A peer that acknowledges nothing, or takes nothing, for so long is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// A pause after a connection could not be taken: there are no more file descriptors, say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// At the same time; further ones wait in the kernel.
    pub(crate) connections: usize,
    /// What all requests have.
    pub(crate) requests: Seen,
    /// For what is under way when the server stops.
    pub(crate) grace: Duration,
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
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let http = http();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // Answers are small and whole; to wait for more of them would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED)) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT");
        }
        let (http, service, watcher) = (http.clone(), service(routes.clone(), peer), connections.watcher());
        let tls = tls.clone();
        tokio::spawn(async move {
            let _place = place;
            let stream = match tls {
                None => Stream::Left(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => stream,
                    Err(error) => return tracing::debug!(%error, "TLS"),
                },
            };
            let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(connection.into_owned()).await {
                tracing::debug!(%error, "connection");
            }
        });
    }
    drop(listener);
    if timeout(limits.grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests did not end in time");
    }
}

fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_MAX_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_MAX_BYTES as u32)
        .keep_alive_interval(HEAD_WITHIN)
        .keep_alive_timeout(HEAD_WITHIN);
    http
}

/// The routes, told who is at the other end.
fn service(
    routes: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.clone().call(request.map(axum::body::Body::new))
    })
}
