//! A wire between the programs and one service, with the faults that wires have.

use std::{
    net::Ipv4Addr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use clickwire_services::{Port, Reservation};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// Read at once, at most, in bytes.
const CHUNK: usize = 64 * 1024;

/// The behaviour of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Passes everything on.
    Whole,
    /// Passes everything on, later, each way.
    Slow(Duration),
    /// Connections are reset, new ones refused.
    Cut,
    /// Silence on both sides: what is sent is swallowed, new connections are accepted and swallow, too.
    /// Connections that were there at the time stay dead afterwards; their ends must find out by themselves.
    HalfOpen,
}

/// A proxy before one service; it ends with this.
pub struct Proxy {
    port: Reservation,
    upstream: Arc<AtomicU16>,
    wire: watch::Sender<Wire>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Stands before the service at `upstream`, a port on loopback.
    pub(crate) async fn start(service: &'static str, upstream: u16) -> Result<Self> {
        let port = Port::Free.reserve(service)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.port())).await?;
        let (wire, watched) = watch::channel(Wire::Whole);
        let mut tasks = JoinSet::new();
        let upstream = Arc::new(AtomicU16::new(upstream));
        tasks.spawn(listen(listener, port.port(), Arc::clone(&upstream), watched));
        Ok(Self { port, upstream, wire, _tasks: tasks })
    }

    /// New connections lead to another port on loopback, as an address that moves does.
    pub fn lead_to(&self, upstream: u16) {
        self.upstream.store(upstream, Ordering::Relaxed);
    }

    /// The port on loopback at which it stands for the service.
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// From now on the wire does this.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

async fn listen(first: TcpListener, port: u16, upstream: Arc<AtomicU16>, mut wire: watch::Receiver<Wire>) {
    let mut connections = JoinSet::new();
    let mut listener = Some(first);
    loop {
        let is_cut = *wire.borrow_and_update() == Wire::Cut;
        if is_cut {
            listener = None;
            connections.shutdown().await;
        } else if listener.is_none() {
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok();
        }
        tokio::select! {
            changed = wire.changed() => if changed.is_err() { return },
            accepted = accept(listener.as_ref()) => {
                connections.spawn(connect(accepted, upstream.load(Ordering::Relaxed), wire.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            Some(listener) => match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => continue,
            },
            None => std::future::pending().await,
        }
    }
}

/// One connection, until it is closed or aborted from outside; then both ends see a reset.
async fn connect(client: TcpStream, upstream: u16, wire: watch::Receiver<Wire>) {
    if *wire.borrow() == Wire::HalfOpen {
        return swallow(client).await;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await else { return };
    for stream in [&client, &server] {
        // Only what a fault is made of: without them a connection is closed instead of reset, or late.
        if stream.set_zero_linger().is_err() || stream.set_nodelay(true).is_err() {
            return;
        }
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let there = pass(client_reads, server_writes, wire.clone());
    let back = pass(server_reads, client_writes, wire);
    tokio::join!(there, back);
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut wire: watch::Receiver<Wire>) {
    let mut chunk = vec![0; CHUNK];
    let mut fell_silent = pin!(silence(wire.clone()));
    loop {
        let read = tokio::select! {
            biased;
            () = &mut fell_silent => break,
            read = from.read(&mut chunk) => read,
        };
        let delay = match *wire.borrow_and_update() {
            Wire::Slow(delay) => delay,
            Wire::Whole | Wire::Cut | Wire::HalfOpen => Duration::ZERO,
        };
        sleep(delay).await;
        match read {
            Ok(bytes @ 1..) if to.write_all(&chunk[..bytes]).await.is_ok() => {}
            // The other direction learns of the end by itself.
            Ok(_) | Err(_) => return drop(to.shutdown().await),
        }
    }
    // Dead for good: read, so that the sender notices nothing, and never close, not even when it does.
    while matches!(from.read(&mut chunk).await, Ok(1..)) {}
    std::future::pending::<()>().await;
}

/// Ends when the wire becomes half-open.
async fn silence(mut wire: watch::Receiver<Wire>) {
    if wire.wait_for(|wire| *wire == Wire::HalfOpen).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn swallow(mut stream: TcpStream) {
    let mut chunk = vec![0; CHUNK];
    while matches!(stream.read(&mut chunk).await, Ok(1..)) {}
}
