//! Tests of clients' behaviour on a connection, over HTTP/1.1 and HTTP/2, with TLS and without.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    StatusCode,
    body::Frame,
    client::conn::{http1, http2},
};
use hyper_util::rt::TokioExecutor;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::JoinHandle,
    time::{Instant, interval},
};

use super::*;
use crate::http::{networks::Networks, tls};

/// Time within which an expected event happens, unless the machine is very busy.
const SOON: Duration = Duration::from_secs(20);

/// A time for which no test is to wait.
const LONG: Duration = Duration::from_secs(600);

const LARGE_BYTES: usize = 1 << 20;

/// More than the kernel takes for a connection whose other end reads nothing.
const HUGE_BYTES: usize = 64 << 20;

/// The ways to connect: with TLS or not, over HTTP/2 or not.
const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn limits() -> Limits {
    Limits {
        is_public: true,
        connections: 1_000,
        per_address: 1_000,
        proxies: Networks::default(),
        spared: Duration::ZERO,
        times: Times { head: LONG, idle: LONG, taken: LONG },
        unsent_bytes: 1 << 30,
        requests: Seen { within: LONG, is_secure: false },
        grace: Duration::from_secs(5),
    }
}

fn times(head: u64, idle: u64, taken: u64) -> Limits {
    let [head, idle, taken] = [head, idle, taken].map(Duration::from_millis);
    Limits { times: Times { head, idle, taken }, ..limits() }
}

/// A server of this process; it ends with this.
struct Served {
    address: SocketAddr,
    connector: Option<tokio_rustls::TlsConnector>,
    /// Large answers that were made and not dropped yet.
    large: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Served {
    async fn start(is_tls: bool, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, connector) = is_tls.then(tls::tests::ends).unzip();
        let large = Arc::default();
        let routes = routes(Arc::clone(&large));
        let task = tokio::spawn(async move {
            serve(listener, tls.map(Arc::new), routes, limits, &CancellationToken::new()).await;
        });
        Self { address, connector, large, task }
    }

    /// A connection over which nothing of HTTP was said yet.
    async fn connect(&self, protocol: &[u8]) -> Box<dyn Wire> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        match &self.connector {
            None => Box::new(stream),
            Some(connector) => {
                let mut config = (**connector.config()).clone();
                config.alpn_protocols = vec![protocol.to_vec()];
                let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
                Box::new(connector.connect("localhost".try_into().unwrap(), stream).await.unwrap())
            }
        }
    }

    async fn client(&self, is_http2: bool) -> Client {
        let stream = TokioIo::new(self.connect(if is_http2 { b"h2" } else { b"http/1.1" }).await);
        if is_http2 {
            let mut http = http2::Builder::new(TokioExecutor::new());
            // A stream that is not read is not taken.
            http.initial_stream_window_size(16_384).initial_connection_window_size(1 << 20);
            let (sender, connection) = http.handshake(stream).await.unwrap();
            Client {
                sender: Sender::Http2(sender),
                connection: tokio::spawn(async { drop(connection.await) }),
            }
        } else {
            let mut http = http1::Builder::new();
            http.max_buf_size(8_192);
            let (sender, connection) = http.handshake(stream).await.unwrap();
            Client {
                sender: Sender::Http1(sender),
                connection: tokio::spawn(async { drop(connection.await) }),
            }
        }
    }
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

struct Client {
    sender: Sender,
    /// Ends when the connection has.
    connection: JoinHandle<()>,
}

impl Client {
    async fn get(&mut self, path: &str) -> hyper::Result<hyper::Response<Incoming>> {
        let request = |target: String| {
            hyper::Request::builder().uri(target).header("host", "localhost").body(Empty::new()).unwrap()
        };
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request(path.to_owned())).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request(format!("http://localhost{path}"))).await
            }
        }
    }

    async fn status(&mut self, path: &str) -> StatusCode {
        let answered = timeout(SOON, async {
            let response = self.get(path).await?;
            let status = response.status();
            response.into_body().collect().await?;
            hyper::Result::Ok(status)
        });
        answered.await.expect("no answer").unwrap()
    }
}

/// An answer of which it is known whether it still lies here.
struct Large(Option<Bytes>, Arc<AtomicUsize>);

impl Large {
    fn new(bytes: usize, count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Some(vec![b'x'; bytes].into()), count)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HttpBody for Large {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}

fn routes(large: Arc<AtomicUsize>) -> Router {
    let huge = Arc::clone(&large);
    // One event every so often, as server-sent events and their heartbeats are.
    let events = || async {
        let ticks = stream::unfold(interval(Duration::from_millis(50)), |mut ticks| async {
            ticks.tick().await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b":\n\n")), ticks))
        });
        Body::from_stream(ticks)
    };
    let broken = || async {
        Body::from_stream(stream::once(async {
            if true {
                panic!("on purpose");
            }
            Ok::<_, Infallible>(Bytes::new())
        }))
    };
    Router::new()
        .route("/small", get(|| async { "small" }))
        .route("/large", get(|| async move { Body::new(Large::new(LARGE_BYTES, large)) }))
        .route("/huge", get(|| async move { Body::new(Large::new(HUGE_BYTES, huge)) }))
        .route("/hangs", get(std::future::pending::<()>))
        .route("/events", get(events))
        .route(
            "/panics",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/panics-late", get(broken))
}

/// Waits for the end of a connection; what comes before it is not looked at.
async fn end(mut stream: Box<dyn Wire>) {
    let mut bytes = [0; 1_024];
    let ended = async { while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {} };
    timeout(SOON, ended).await.expect("it stays open");
}

#[tokio::test]
async fn a_connection_that_gets_nowhere_is_closed() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = &[&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let head: &[u8] = b"GET /small HTTP/1.1\r\nhost: localhost\r\n";
    for is_tls in [false, true] {
        let served = Served::start(is_tls, times(300, 600_000, 600_000)).await;
        for sent in [&b""[..], b"P", b"PRI * HTTP/2.0", preface, settings, b"G", head] {
            let mut stream = served.connect(b"http/1.1").await;
            stream.write_all(sent).await.unwrap();
            end(stream).await;
        }
        // A byte now and then makes no difference.
        let (mut reads, mut writes) = tokio::io::split(served.connect(b"http/1.1").await);
        let drip = async {
            for byte in head.iter().cycle() {
                if writes.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let closed = async { while reads.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
        timeout(SOON, async {
            tokio::select! { () = drip => {}, () = closed => {} }
        })
        .await
        .unwrap();
    }
    // Half a handshake of TLS.
    let served = Served::start(true, times(300, 600_000, 600_000)).await;
    for sent in [&b""[..], &[0x16], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        end(Box::new(stream)).await;
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_and_one_with_an_open_answer_is_not() {
    for (is_tls, is_http2) in WAYS {
        let served = Served::start(is_tls, times(600_000, 300, 600_000)).await;
        let mut idle = served.client(is_http2).await;
        let mut watching = served.client(is_http2).await;
        let mut events = watching.get("/events").await.unwrap().into_body();
        assert_eq!(idle.status("/small").await, StatusCode::OK);
        let answered = Instant::now();
        // Its client answers pings all the while.
        timeout(SOON, idle.connection).await.expect("it stays open").unwrap();
        assert!(answered.elapsed() >= Duration::from_millis(250), "{:?}", answered.elapsed());
        for _ in 0..20 {
            timeout(SOON, events.frame()).await.unwrap().unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn an_idle_connection_gives_its_place_to_a_newcomer() {
    for (is_tls, is_http2) in WAYS {
        let served = Served::start(is_tls, Limits { connections: 16, ..limits() }).await;
        let mut used = served.client(is_http2).await;
        assert_eq!(used.status("/small").await, StatusCode::OK);
        let mut watching = served.client(is_http2).await;
        let mut events = watching.get("/events").await.unwrap().into_body();
        let mut silent = Vec::new();
        for _ in 0..14 {
            silent.push(TcpStream::connect(served.address).await.unwrap());
        }
        let mut newcomers = Vec::new();
        for _ in 0..14 {
            let mut newcomer = served.client(is_http2).await;
            assert_eq!(newcomer.status("/small").await, StatusCode::OK);
            newcomers.push(newcomer);
        }
        // First those that never had a request; what is under way goes on.
        assert_eq!(used.status("/small").await, StatusCode::OK, "{is_tls} {is_http2}");
        timeout(SOON, events.frame()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_address_has_its_share_and_a_trusted_proxy_has_none() {
    for (is_tls, is_http2) in WAYS {
        for proxies in [&[][..], &["127.0.0.0/8"]] {
            let is_trusted = !proxies.is_empty();
            let proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
            let served = Served::start(is_tls, Limits { per_address: 4, proxies, ..limits() }).await;
            let mut watching = Vec::new();
            for _ in 0..3 {
                let mut client = served.client(is_http2).await;
                let events = client.get("/events").await.unwrap().into_body();
                watching.push((client, events));
            }
            // The fourth is idle, and gives way.
            let mut idle = served.client(is_http2).await;
            assert_eq!(idle.status("/small").await, StatusCode::OK);
            let mut client = served.client(is_http2).await;
            let events = client.get("/events").await.unwrap().into_body();
            watching.push((client, events));
            if is_trusted {
                assert_eq!(idle.status("/small").await, StatusCode::OK);
                assert_eq!(served.client(is_http2).await.status("/small").await, StatusCode::OK);
            } else {
                timeout(SOON, idle.connection).await.expect("it stays open").unwrap();
                end(Box::new(TcpStream::connect(served.address).await.unwrap())).await;
            }
            for (_, events) in &mut watching {
                timeout(SOON, events.frame()).await.unwrap().unwrap().unwrap();
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_given_up() {
    for (is_tls, is_http2) in WAYS {
        let served = Served::start(is_tls, times(600_000, 600_000, 300)).await;
        let mut client = served.client(is_http2).await;
        let mut events = None;
        if is_http2 {
            events = Some(client.get("/events").await.unwrap().into_body());
        }
        let mut unread = Vec::new();
        let (path, answers) = if is_http2 { ("/large", 20) } else { ("/huge", 1) };
        for _ in 0..answers {
            unread.push(client.get(path).await.unwrap());
        }
        let given_up = async {
            for response in unread {
                // Nothing is read for as long as it takes.
                while served.large.load(Ordering::SeqCst) > 0 {
                    sleep(Duration::from_millis(10)).await;
                }
                // hyper takes a stream that was reset for one that has ended.
                let read = response.into_body().collect().await;
                let is_whole = read.is_ok_and(|read| read.to_bytes().len() >= LARGE_BYTES);
                assert!(!is_whole, "{is_tls} {is_http2}");
            }
        };
        timeout(SOON, given_up).await.expect("it lies there still");
        // In HTTP/2 it is a matter of the streams alone.
        if let Some(mut events) = events {
            timeout(SOON, events.frame()).await.unwrap().unwrap().unwrap();
            assert_eq!(client.status("/small").await, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn what_lies_unread_has_a_bound_for_a_connection_an_address_and_in_all() {
    for is_tls in [false, true] {
        for (unsent_bytes, connections, per_connection, expected) in [
            // Two for a connection; an address may have eight times as much.
            (2 * CONNECTION_PART * LARGE_BYTES, 1, 5, 2),
            (2 * CONNECTION_PART * LARGE_BYTES, 3, 5, 6),
            // Sixteen for an address.
            (16 * ADDRESS_PART * LARGE_BYTES, 20, 1, 16),
        ] {
            let served = Served::start(is_tls, Limits { unsent_bytes, ..limits() }).await;
            let (mut clients, mut unread, mut refused) = (Vec::new(), Vec::new(), 0);
            for _ in 0..connections {
                let mut client = served.client(true).await;
                for _ in 0..per_connection {
                    let response = client.get("/large").await.unwrap();
                    match response.status() {
                        StatusCode::OK => unread.push(response),
                        status => {
                            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                            assert_eq!(response.headers()["retry-after"], "1");
                            refused += 1;
                        }
                    }
                }
                clients.push(client);
            }
            assert_eq!((unread.len(), refused), (expected, connections * per_connection - expected));
            for response in unread {
                let read = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap();
                assert_eq!(read.to_bytes().len(), LARGE_BYTES);
            }
            for client in &mut clients {
                assert_eq!(client.status("/large").await, StatusCode::OK, "after all was read");
            }
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_hurts_nobody_else() {
    for (is_tls, is_http2) in WAYS {
        let served = Served::start(is_tls, limits()).await;
        let mut client = served.client(is_http2).await;
        let mut watching = served.client(is_http2).await;
        let mut events = watching.get("/events").await.unwrap().into_body();
        for _ in 0..2 {
            assert_eq!(client.status("/panics").await, StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(client.status("/small").await, StatusCode::OK);
        // Once its head has gone out, an answer can only break off.
        let late = async { client.get("/panics-late").await?.into_body().collect().await };
        assert!(timeout(SOON, late).await.unwrap().is_err(), "{is_tls} {is_http2}");
        if is_http2 {
            assert_eq!(client.status("/small").await, StatusCode::OK);
        }
        timeout(SOON, events.frame()).await.unwrap().unwrap().unwrap();
    }
}
