//! Commit, then publish: what is done with batches wherever they are counted.

use std::{pin::pin, sync::Arc, time::Duration};

use clickwire_ledger::{
    Batch, Committed, Ledger,
    stages::{Stage, Stopwatch},
};
use tokio::time::timeout;

use crate::{
    feed::Feed,
    health::{Health, Service},
};

/// A commit that takes longer is reported as waiting for the database.
const NOTICEABLE: Duration = Duration::from_secs(3);

/// Counts batches and says what changed.
pub(crate) struct Counter {
    pub(crate) ledger: Ledger,
    pub(crate) feed: Feed,
    pub(crate) health: Arc<Health>,
}

impl Counter {
    /// Counts a batch and publishes what changed.
    ///
    /// `is_doubtful`: clicks of the batch may have been committed, with what they changed of others, and not published:
    /// by a process that died, or by this one, if the answer was lost.
    pub(crate) async fn count(&mut self, batch: &Batch, is_doubtful: bool) -> Result<(), sqlx::Error> {
        let committed = noticed(&self.health, self.ledger.commit(batch)).await?;
        self.publish(committed, is_doubtful).await;
        Ok(())
    }

    /// Counts batches of several partitions, in their order, and publishes what changed; false, and nothing is
    /// counted, if another process has one of the partitions' locks for longer than a moment.
    pub(crate) async fn count_together(
        &mut self,
        batches: &[Batch],
        is_doubtful: bool,
    ) -> Result<bool, sqlx::Error> {
        let committed = noticed(&self.health, self.ledger.commit_together(batches)).await?;
        let Some(committed) = committed else { return Ok(false) };
        self.publish(committed, is_doubtful).await;
        Ok(true)
    }

    async fn publish(&self, committed: Committed, is_doubtful: bool) {
        self.health.works(Service::Database);
        metrics::counter!("clickwire_clicks_counted_total").increment(committed.counted as u64);
        metrics::counter!("clickwire_clicks_known_total").increment(committed.known as u64);
        metrics::counter!("clickwire_clicks_adjusted_total").increment(committed.adjusted as u64);
        metrics::counter!("clickwire_corrections_total").increment(committed.corrections as u64);
        metrics::histogram!("clickwire_batch_clicks").record((committed.counted + committed.known) as f64);
        let mut stopwatch = Stopwatch::start();
        self.feed.publish(&committed.cells).await;
        stopwatch.ended(Stage::Publish);
        if committed.known > 0 && is_doubtful {
            self.feed.renew_soon();
        }
    }
}

/// Waits for a commit; says meanwhile what we wait for, if it takes long.
async fn noticed<T>(
    health: &Health,
    commit: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let mut commit = pin!(commit);
    if let Ok(committed) = timeout(NOTICEABLE, &mut commit).await {
        return committed;
    }
    health.waiting_for(Service::Database, &"no answer yet");
    commit.await
}

/// Returns whether the database refuses the data rather than being unable to work: SQLSTATE classes 22
/// (data exception), 23 (integrity constraint violation) and 54 (program limit exceeded).
pub(crate) fn is_data_error(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}
