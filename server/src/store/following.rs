//! Copies that a server keeps in memory so that no request waits for the database, and their refreshing.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::database::answer;

/// Time between two questions to the database whether something has changed.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Ends a transaction that changed what servers know, and refreshes this server's copy before it goes on. If the
/// copy can't be read just now, [`follow`] will: what has been committed must not be answered with an error.
pub(crate) async fn commit(
    transaction: Transaction<'_, Postgres>,
    refresh: impl Future<Output = Result<(), sqlx::Error>>,
) -> Result<(), sqlx::Error> {
    answer(transaction.commit()).await?;
    if let Err(error) = refresh.await {
        tracing::warn!(%error, "what has been changed can't be read yet");
    }
    Ok(())
}

/// Refreshes every second until `stop` is cancelled. While the database is away, what is known stays known.
pub(crate) async fn follow(
    what: &'static str,
    refresh: impl AsyncFn() -> Result<(), sqlx::Error>,
    stop: CancellationToken,
) {
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => return }
        let was_away = is_away;
        is_away = match refresh().await {
            Ok(()) => false,
            Err(error) => {
                if !was_away {
                    tracing::warn!(what, %error, "can't be read; what is known stays valid");
                }
                true
            }
        };
    }
}
