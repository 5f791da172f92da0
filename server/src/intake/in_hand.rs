//! Batches in hand: how many there may be, in all, of one key and of one client, and how slowly their bodies
//! may come. A body that does not come takes no place, and one that stops gives its place back within seconds.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::body::{Body, BodyDataStream, Bytes};
use clickwire_protocol::elements::Malformed;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::batch::{MAX_BATCH_BYTES, TOO_MANY_BYTES};
use crate::http::{
    error::Error,
    quota::{Quota, QuotaGuard},
    rate_limit::rate_limit_key,
};

/// Batches in hand at the same time, at most; each may come to some 10 MiB.
const MAX_BATCHES: usize = 32;

/// Those of one key, and of one client address, at most.
const MAX_BATCHES_OF_KEY: usize = 8;
const MAX_BATCHES_OF_ADDRESS: usize = 16;

/// The next piece of a body must come so soon, and all that has come must not be behind this rate by more
/// than that.
const PIECE_WITHIN: Duration = Duration::from_secs(5);
const MIN_BYTES_PER_SECOND: u32 = 16 * 1024;

/// The batches in hand; cheap to clone.
#[derive(Clone)]
pub(crate) struct Batches {
    all: Arc<Semaphore>,
    of_key: Quota<Arc<str>>,
    of_address: Quota<IpAddr>,
}

/// A batch in hand.
pub(super) struct InHand {
    _permit: OwnedSemaphorePermit,
    _of_key: QuotaGuard<Arc<str>>,
    _of_address: QuotaGuard<IpAddr>,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_BATCHES)),
            of_key: Quota::new(MAX_BATCHES_OF_KEY),
            of_address: Quota::new(MAX_BATCHES_OF_ADDRESS),
        }
    }
}

impl Batches {
    /// One more, unless there are too many, or too many of this key or client.
    pub(super) fn begin(&self, key_id: &Arc<str>, client: IpAddr) -> Option<InHand> {
        Some(InHand {
            _of_key: self.of_key.try_take(Arc::clone(key_id))?,
            _of_address: self.of_address.try_take(rate_limit_key(client))?,
            _permit: Arc::clone(&self.all).try_acquire_owned().ok()?,
        })
    }
}

/// A body as it arrives, in time.
pub(super) struct Pieces {
    stream: BodyDataStream,
    begun: Instant,
    size_bytes: usize,
}

impl Pieces {
    pub(super) fn of(body: Body) -> Self {
        Self { stream: body.into_data_stream(), begun: Instant::now(), size_bytes: 0 }
    }

    /// The next piece, if it comes in time; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let sent_in =
            Duration::from_secs(1).mul_f64(self.size_bytes as f64 / f64::from(MIN_BYTES_PER_SECOND));
        let at_this_rate = self.begun + sent_in;
        let until = at_this_rate.min(Instant::now()) + PIECE_WITHIN;
        let piece = timeout_at(until, self.stream.next()).await.map_err(|_| Error::TooLong)?;
        let piece = piece.transpose().map_err(|_| Malformed::CutShort)?;
        self.size_bytes += piece.as_ref().map_or(0, Bytes::len);
        if self.size_bytes > MAX_BATCH_BYTES {
            return Err(TOO_MANY_BYTES.into());
        }
        Ok(piece)
    }

    /// The first piece and those that come after it.
    pub(super) fn after(self, first: Option<Bytes>) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        stream::unfold((first, Some(self)), |(first, pieces)| async move {
            match (first, pieces) {
                (Some(first), pieces) => Some((Ok(first), (None, pieces))),
                (None, Some(mut pieces)) => match pieces.next().await {
                    Ok(piece) => Some((Ok(piece?), (None, Some(pieces)))),
                    Err(error) => Some((Err(error), (None, None))),
                },
                (None, None) => None,
            }
        })
    }
}
