//! Stages of a batch, or of small ones that share a transaction, and the time that each takes:
//! `clickwire_stage_seconds`, by stage.
//!
//! One reading of the clock and one sample a stage and batch cost nothing beside the batch.

use std::time::Instant;

/// A stage of the work on batches, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the batch's first message, then for more.
    Fetch,
    /// Messages into clicks.
    Read,
    /// A connection, a transaction, the partitions' locks.
    Lock,
    /// The examination of each click alone.
    Examine,
    /// The look-up of clicks that the ledger knows.
    LookUp,
    /// New clicks into the ledger.
    Insert,
    /// The choice of new clicks that rules need to be asked about.
    Candidates,
    /// Waiting for commits of other partitions.
    Queue,
    /// Rules that see clicks beside each other.
    Judge,
    /// The additions to the minutes.
    Minutes,
    /// The additions to unique users; known clicks' cells, which may not have been published.
    Uniques,
    /// The commit itself.
    Commit,
    /// The changed cells to Redis.
    Publish,
    /// Acknowledgements to the broker.
    Acknowledge,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Read => "read",
            Self::Lock => "lock",
            Self::Examine => "examine",
            Self::LookUp => "look_up",
            Self::Insert => "insert",
            Self::Candidates => "suspect",
            Self::Queue => "queue",
            Self::Judge => "judge",
            Self::Minutes => "minutes",
            Self::Uniques => "uniques",
            Self::Commit => "commit",
            Self::Publish => "publish",
            Self::Acknowledge => "acknowledge",
        }
    }
}

/// A clock for stages that follow each other.
#[derive(Debug)]
pub struct Stopwatch {
    since: Instant,
}

impl Stopwatch {
    /// The first stage begins now.
    pub fn start() -> Self {
        Self { since: Instant::now() }
    }

    /// `stage` has ended, and the next one begins.
    pub fn ended(&mut self, stage: Stage) {
        let now = Instant::now();
        metrics::histogram!("clickwire_stage_seconds", "stage" => stage.name()).record(now - self.since);
        self.since = now;
    }
}
