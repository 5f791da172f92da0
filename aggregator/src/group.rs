//! Group commit: small batches of several partitions are counted in one transaction.
//!
//! A transaction asks the database a dozen times and ends with a write to the disk, whatever is in it. Where few
//! clicks come, that is most of what a click costs. So batches end at the same instants in all partitions
//! ([`Group::next_end`]), and those that end together are counted together. A large batch is counted by its
//! partition, beside the others'.
//!
//! If such a transaction fails, each partition has its batch back and counts it by itself: a click that the
//! database refuses holds up its own partition alone.

use std::time::Duration;

use clickwire_ledger::Batch;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tracing::Instrument as _;

use crate::counter::Counter;

/// The size from which on a batch is worth a transaction of its own, in clicks.
const LARGE: usize = 500;

/// Clicks in a transaction, at which no further batch is waited for.
const FULL: usize = 5_000;

/// Time for which batches that ended at the same instant are waited for.
const GATHERED_WITHIN: Duration = Duration::from_millis(3);

/// A batch that is to be counted.
struct Order {
    batch: Batch,
    is_doubtful: bool,
    /// Has the batch back if it was not counted, or may not have been.
    answer: oneshot::Sender<Result<(), Batch>>,
}

/// The way to the transactions that partitions share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Group {
    orders: mpsc::Sender<Order>,
    began: Instant,
    linger: Duration,
}

/// The reason why a batch is to be counted by its partition.
pub(crate) enum Uncounted {
    /// The batch is worth a transaction of its own.
    Large(Batch),
    /// The transaction failed; it may have been committed all the same.
    Failed(Batch),
    /// Nobody counts any more.
    Ended,
}

impl Group {
    /// Counts for that many partitions until all clones are dropped; batches end every `linger`.
    pub(crate) fn new(partitions: u16, linger: Duration) -> (Self, Orders) {
        let (orders, waiting) = mpsc::channel(usize::from(partitions));
        (
            Self { orders, began: Instant::now(), linger },
            Orders { waiting, partitions: usize::from(partitions) },
        )
    }

    /// The next instant at which batches end, in all partitions of this process.
    pub(crate) fn next_end(&self) -> Instant {
        let Some(passed) = self.began.elapsed().as_millis().checked_div(self.linger.as_millis()) else {
            return Instant::now();
        };
        self.began + self.linger * (passed as u32 + 1)
    }

    /// Counts a batch, with others that have ended at the same time.
    pub(crate) async fn count(&self, batch: Batch, is_doubtful: bool) -> Result<(), Uncounted> {
        if batch.clicks.len() >= LARGE {
            return Err(Uncounted::Large(batch));
        }
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order { batch, is_doubtful, answer }).await.map_err(|_| Uncounted::Ended)?;
        answered.await.map_err(|_| Uncounted::Ended)?.map_err(Uncounted::Failed)
    }
}

/// The receiving end of a [`Group`].
pub(crate) struct Orders {
    waiting: mpsc::Receiver<Order>,
    partitions: usize,
}

impl Orders {
    /// Counts until no partition is left.
    pub(crate) async fn run(mut self, mut counter: Counter) -> anyhow::Result<()> {
        while let Some(first) = self.waiting.recv().await {
            let (mut batches, mut answers, mut is_doubtful) = (Vec::new(), Vec::new(), false);
            for order in self.gather(first).await {
                is_doubtful |= order.is_doubtful;
                batches.push(order.batch);
                answers.push(order.answer);
            }
            let clicks = batches.iter().map(|batch| batch.clicks.len()).sum::<usize>();
            let span = tracing::error_span!("group", partitions = batches.len(), clicks);
            let counted = counter.count(&batches, is_doubtful).instrument(span.clone()).await;
            if let Err(error) = &counted {
                tracing::debug!(parent: &span, %error, "each partition counts by itself");
            }
            for (batch, answer) in batches.into_iter().zip(answers) {
                // A partition that does not wait any more gets the clicks from the broker again.
                drop(answer.send(if counted.is_ok() { Ok(()) } else { Err(batch) }));
            }
        }
        Ok(())
    }

    /// The batches that are there within [`GATHERED_WITHIN`], in the order of their partitions.
    async fn gather(&mut self, first: Order) -> Vec<Order> {
        let until = Instant::now() + GATHERED_WITHIN;
        let mut clicks = first.batch.clicks.len();
        let mut orders = vec![first];
        while orders.len() < self.partitions && clicks < FULL {
            let Ok(Some(order)) = timeout_at(until, self.waiting.recv()).await else { break };
            clicks += order.batch.clicks.len();
            orders.push(order);
        }
        orders.retain(|order| !order.answer.is_closed());
        orders.sort_unstable_by_key(|order| order.batch.partition);
        orders
    }
}
