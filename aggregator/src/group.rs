//! Group commit: small batches of several partitions are counted in one transaction.
//!
//! A transaction asks the database a dozen times and ends with a write to the disk, whatever is in it. Where few
//! clicks come, that is most of what a click costs. So batches end at the same instants in all partitions
//! ([`Group::next_end`]), and those that end together are counted together. A large batch is counted by its
//! partition, beside the others'.
//!
//! If such a transaction fails, or somebody else has one of the partitions' locks for longer than a moment, each
//! partition has its batch back and counts it by itself: a click that the database refuses, or a process that is
//! frozen, holds up its own partition alone.

use std::time::Duration;

use clickwire_ledger::Batch;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tracing::Instrument as _;

use crate::counter::{Counter, is_data_error};

/// The size from which on a batch is worth a transaction of its own, in clicks, where a batch may be as large.
const LARGE: usize = 500;

/// Clicks in a transaction, at which no further batch is waited for.
const FULL: usize = 5_000;

/// Time for which batches that ended at the same instant are waited for.
const GATHERED_WITHIN: Duration = Duration::from_millis(3);

/// A batch that is to be counted.
struct Order {
    batch: Batch,
    is_doubtful: bool,
    answer: oneshot::Sender<Result<(), Uncounted>>,
}

/// The way to the transactions that partitions share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Group {
    orders: mpsc::Sender<Order>,
    began: Instant,
    linger: Duration,
    /// Clicks in a batch that is counted by its partition, at least.
    large: usize,
}

/// The reason why a batch is to be counted by its partition.
pub(crate) enum Uncounted {
    /// The batch is worth a transaction of its own, or the shared one was rolled back.
    Apart(Batch),
    /// The shared transaction failed, and may have been committed all the same.
    Unknown(Batch),
    /// Counting has ended.
    Ended,
}

impl Group {
    /// Counts for that many partitions until all clones are dropped. Batches end every `linger`, or with `batch_max`
    /// clicks.
    pub(crate) fn new(partitions: u16, linger: Duration, batch_max: usize) -> (Self, Orders) {
        let (orders, waiting) = mpsc::channel(usize::from(partitions));
        let group = Self { orders, began: Instant::now(), linger, large: LARGE.min(batch_max) };
        let gathered_within = GATHERED_WITHIN.min(linger);
        (group, Orders { waiting, partitions: usize::from(partitions), gathered_within })
    }

    /// The next instant at which batches end, in all partitions of this process.
    pub(crate) fn next_end(&self) -> Instant {
        let now = Instant::now();
        let passed = now.duration_since(self.began).as_nanos().checked_rem(self.linger.as_nanos());
        passed.map_or(now, |passed| now + self.linger.saturating_sub(Duration::from_nanos(passed as u64)))
    }

    /// Counts a batch, with others that have ended at the same time.
    pub(crate) async fn count(&self, batch: Batch, is_doubtful: bool) -> Result<(), Uncounted> {
        if batch.clicks.len() >= self.large {
            return Err(Uncounted::Apart(batch));
        }
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order { batch, is_doubtful, answer }).await.map_err(|_| Uncounted::Ended)?;
        answered.await.unwrap_or(Err(Uncounted::Ended))
    }
}

/// The receiving end of a [`Group`].
pub(crate) struct Orders {
    waiting: mpsc::Receiver<Order>,
    partitions: usize,
    gathered_within: Duration,
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
            if batches.is_empty() {
                continue;
            }
            let clicks = batches.iter().map(|batch| batch.clicks.len()).sum::<usize>();
            let span = tracing::error_span!("group", partitions = batches.len(), clicks);
            let counted = counter.count_together(&batches, is_doubtful).instrument(span.clone()).await;
            if let Err(error) = &counted {
                tracing::debug!(parent: &span, %error, "each partition counts by itself");
            }
            for (batch, answer) in batches.into_iter().zip(answers) {
                // A partition that does not wait any more gets the clicks from the broker again.
                drop(answer.send(match &counted {
                    Ok(true) => Ok(()),
                    Err(error) if !is_data_error(error) => Err(Uncounted::Unknown(batch)),
                    Ok(false) | Err(_) => Err(Uncounted::Apart(batch)),
                }));
            }
        }
        Ok(())
    }

    /// The batches that are there within a moment, in the order of their partitions.
    async fn gather(&mut self, first: Order) -> Vec<Order> {
        let until = Instant::now() + self.gathered_within;
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
