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
    /// Counts batches, in the order of their partitions, and publishes what changed.
    ///
    /// `is_doubtful`: somebody may have committed clicks of these, with what they changed of others, and not have
    /// published it: one who died, or we, if the answer was lost.
    pub(crate) async fn count(&mut self, batches: &[Batch], is_doubtful: bool) -> Result<(), sqlx::Error> {
        let committed = self.commit(batches).await?;
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
        Ok(())
    }

    /// Commits; says meanwhile what we wait for, if it takes long.
    async fn commit(&mut self, batches: &[Batch]) -> Result<Committed, sqlx::Error> {
        let mut commit = pin!(self.ledger.commit(batches));
        if let Ok(committed) = timeout(NOTICEABLE, &mut commit).await {
            return committed;
        }
        self.health.waiting_for(Service::Database, &"no answer yet");
        commit.await
    }
}
