//! The deployment's name is the one that its database holds, where the aggregator has written it. A server under
//! another name would take other locks than the aggregators, for the same rows, so it does not serve.
//!
//! A database that can't be asked, or is not migrated yet, keeps no server from starting: it is asked again
//! until it answers.

use std::time::Duration;

use anyhow::bail;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::database::answer;

/// Time between two questions, until there is an answer.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Returns whether the database knows its deployment; an error if that is another one.
pub(crate) async fn is_confirmed(database: &PgPool, stream: &str) -> anyhow::Result<bool> {
    let known = sqlx::query_scalar::<_, String>("SELECT stream FROM deployment").fetch_optional(database);
    match answer(known).await {
        Ok(Some(known)) if known == stream => Ok(true),
        Ok(Some(known)) => bail!(
            "CLICKWIRE_STREAM: the database belongs to the deployment with the name {known}; here it is {stream}"
        ),
        Ok(None) => Ok(false),
        Err(error) => {
            tracing::debug!(%error, "the deployment's name can't be read yet");
            Ok(false)
        }
    }
}

/// Asks until the name is confirmed or `stop` is cancelled; cancels `stop` if it is another one.
pub(crate) async fn confirm(database: PgPool, stream: String, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        match is_confirmed(&database, &stream).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                stop.cancel();
                return Err(error);
            }
        }
        tokio::select! { () = tokio::time::sleep(ASK_EVERY) => {}, () = stop.cancelled() => return Ok(()) }
    }
}
