//! Answers that clients don't read: how many bytes of them may lie here, and for how long.
//!
//! A client says how much of an answer it takes: by TCP, and in HTTP/2 for each stream. So an answer goes to
//! its connection in pieces, each of which must be written within a time, or the stream (in HTTP/1 the
//! connection) ends. What lies here is counted for the connection, its address and the whole server; an answer
//! that is too much for one of them is not given.
//!
//! Files of the page are part of the program and count nothing, but take their time like any other.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::{
    activity::{self, Activity, Unwritten},
    streams::Stream,
};

/// Bytes of an answer that are handed to a connection at once.
const PIECE_BYTES: usize = 16 * 1024;

/// An answer that lies in the program anyway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed;

/// Bytes that lie here for somebody.
pub(crate) struct Account {
    held: AtomicUsize,
    max: usize,
}

impl Account {
    pub(crate) fn new(max: usize) -> Self {
        Self { held: AtomicUsize::new(0), max }
    }

    /// Adds bytes if there is room, and returns whether there was; the first answer may be larger than all of it.
    fn add(&self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= self.max;
        if !fits {
            self.remove(bytes);
        }
        fits
    }

    fn remove(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The accounts in which a connection's unread answers are counted.
#[derive(Clone)]
pub(crate) struct Unsent(Arc<Accounts>);

/// A request on its connection: it is under way until its answer has been handed over.
#[derive(Clone)]
pub(crate) struct UnderWay {
    _request: Arc<activity::Request>,
    unsent: Unsent,
}

struct Accounts {
    activity: Arc<Activity>,
    connection: Account,
    /// `None` for a proxy that is trusted.
    address: Option<Arc<Account>>,
    all: Arc<Account>,
    gauge: metrics::Gauge,
}

/// Bytes that are counted as long as this lives.
struct Held {
    bytes: usize,
    unsent: Unsent,
}

impl Unsent {
    pub(crate) fn new(
        activity: Arc<Activity>,
        connection: Account,
        address: Option<Arc<Account>>,
        all: Arc<Account>,
    ) -> Self {
        let gauge = metrics::gauge!("clickwire_unsent_bytes");
        Self(Arc::new(Accounts { activity, connection, address, all, gauge }))
    }

    /// A request that has come.
    pub(super) fn request(&self) -> UnderWay {
        UnderWay { _request: Arc::new(self.0.activity.request()), unsent: self.clone() }
    }

    fn reserve(&self, bytes: usize) -> Option<Held> {
        let Accounts { connection, address, all, gauge, .. } = &*self.0;
        let accounts = [Some(connection), address.as_deref(), Some(all)];
        for (n, account) in accounts.iter().enumerate() {
            if !account.is_none_or(|account| account.add(bytes)) {
                accounts[..n].iter().flatten().for_each(|account| account.remove(bytes));
                return None;
            }
        }
        gauge.increment(bytes as f64);
        Some(Held { bytes, unsent: self.clone() })
    }

    /// Counts what is there whether or not there is room: a piece of an answer whose length nobody knew.
    fn count(&self, bytes: usize) -> Held {
        let Accounts { connection, address, all, gauge, .. } = &*self.0;
        for account in [Some(connection), address.as_deref(), Some(all)].into_iter().flatten() {
            account.held.fetch_add(bytes, Ordering::Relaxed);
        }
        gauge.increment(bytes as f64);
        Held { bytes, unsent: self.clone() }
    }
}

impl UnderWay {
    /// The answer, counted until it is read; `None` if too much lies here already.
    pub(crate) fn answer(self, response: Response) -> Option<Response> {
        let size = response.body().size_hint().exact();
        if size == Some(0) {
            return Some(response);
        }
        let is_counted = response.extensions().get::<Fixed>().is_none();
        let size = size.filter(|_| is_counted).and_then(|size| usize::try_from(size).ok());
        let held = match size {
            Some(bytes) => Some(self.unsent.reserve(bytes)?),
            None => None,
        };
        let stream = Stream::current();
        Some(response.map(|body| {
            Body::new(Pieces {
                body,
                rest: Bytes::new(),
                held,
                is_counted,
                stream,
                turn: None,
                under_way: self,
            })
        }))
    }
}

impl Held {
    /// A part of it.
    fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { bytes, unsent: self.unsent.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Accounts { connection, address, all, gauge, .. } = &*self.unsent.0;
        for account in [Some(connection), address.as_deref(), Some(all)].into_iter().flatten() {
            account.remove(self.bytes);
        }
        gauge.decrement(self.bytes as f64);
    }
}

/// An answer on its way to a connection.
struct Pieces {
    body: Body,
    /// The rest of the last frame.
    rest: Bytes,
    /// The count of what is left, if its length is known.
    held: Option<Held>,
    is_counted: bool,
    stream: Option<Arc<Stream>>,
    /// A wait from one piece until the next one is asked for: TLS may have taken a piece that it can't send on.
    turn: Option<Waits>,
    under_way: UnderWay,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.turn = None;
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let bytes = self.rest.split_to(length);
        let held = match &mut self.held {
            Some(held) => Some(held.split(length)),
            None => self.is_counted.then(|| self.under_way.unsent.count(length)),
        };
        let waits = || Waits::begin(&self.under_way.unsent, self.stream.as_ref());
        let (piece, turn) = (Piece { bytes, _held: held, _waits: waits() }, waits());
        self.turn = Some(turn);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A part of an answer that the connection has; dropped when it is written.
struct Piece {
    bytes: Bytes,
    _held: Option<Held>,
    _waits: Waits,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A wait for the client, as long as this lives.
struct Waits {
    unsent: Unsent,
    stream: Option<Arc<Stream>>,
}

impl Waits {
    fn begin(unsent: &Unsent, stream: Option<&Arc<Stream>>) -> Self {
        match stream {
            Some(stream) => stream.change(Unwritten::add),
            None => unsent.0.activity.unwritten(Unwritten::add),
        }
        Self { unsent: unsent.clone(), stream: stream.cloned() }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        match &self.stream {
            Some(stream) => stream.change(Unwritten::remove),
            None => self.unsent.0.activity.unwritten(Unwritten::remove),
        }
    }
}
