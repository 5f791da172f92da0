//! The maker of exports in the background: one at a time on each server.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    MAX_BYTES, given,
    store::{self, Job, PIECE},
};
use crate::{
    http::error::Error,
    query::{
        error::QueryError,
        export::{
            make::{Export, Subject},
            schedules,
        },
        state::QueryState,
    },
    store::database::answer,
};

/// Time between two looks for exports to make.
const EVERY: Duration = Duration::from_secs(1);

/// The longest time that an export may take.
const MADE_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Time for which an owner whose share is used up is passed over: asking for it costs two seconds each time.
const BUSY_FOR: Duration = Duration::from_secs(10);

/// Makes exports until `stop`.
pub(crate) async fn work(state: Arc<QueryState>, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => return }
        let done = make_all(&state, &stop).await;
        if let (Err(error), false) = (&done, is_away) {
            tracing::warn!(%error, "exports can't be made; they stay queued");
        }
        is_away = done.is_err();
    }
}

async fn make_all(state: &Arc<QueryState>, stop: &CancellationToken) -> Result<(), sqlx::Error> {
    answer(store::sweep(&state.jobs)).await?;
    while answer(schedules::queue_due(state)).await? {}
    // Owners whose share is used up, and since when that is known: others' exports don't wait for them.
    let mut busy: Vec<(String, Instant)> = Vec::new();
    while !stop.is_cancelled() {
        let claim = Uuid::now_v7();
        let owners: Vec<&str> = busy.iter().map(|(owner, _)| owner.as_str()).collect();
        let Some(job) = answer(Job::claim(&state.jobs, claim, &owners)).await? else { return Ok(()) };
        let made = tokio::select! {
            made = timeout(MADE_WITHIN, make(state, &job, claim)) => made,
            () = stop.cancelled() => return answer(job.release(&state.jobs, claim)).await,
        };
        let error = match made {
            // It has another owner, or none.
            Ok(Ok(false)) => continue,
            Ok(Ok(true)) => None,
            Ok(Err(Error::TooManyAtOnce)) => {
                answer(job.release(&state.jobs, claim)).await?;
                busy.push((job.owner, Instant::now()));
                continue;
            }
            Ok(Err(error)) => {
                error.record();
                // Nothing is wrong with the export: it is begun anew when this attempt counts as dead.
                if error.status().is_server_error() {
                    return Ok(());
                }
                Some(error.code())
            }
            Err(_) => Some("too_slow"),
        };
        answer(job.end(&state.jobs, claim, error)).await?;
        // Not before another's was made: many that are busy would be asked in turn, and nobody else.
        busy.retain(|(_, since)| since.elapsed() < BUSY_FOR);
    }
    Ok(())
}

/// Writes a job's file; returns whether it was this attempt's to the end.
async fn make(state: &Arc<QueryState>, job: &Job, claim: Uuid) -> Result<bool, Error> {
    let subject = Subject::named(&job.kind).ok_or(Error::NotFound)?;
    let export = Export::read(subject, given(&job.parameters))?;
    let mut body = export.body(state, &job.caller()).await?.into_data_stream();
    let (mut piece, mut number, mut bytes) = (Vec::with_capacity(PIECE), 0, 0);
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| QueryError::CutOff)?;
        bytes += chunk.len() as i64;
        if bytes > MAX_BYTES {
            return Err(QueryError::FileTooLarge.into());
        }
        while !chunk.is_empty() {
            piece.extend_from_slice(&chunk.split_to(chunk.len().min(PIECE - piece.len())));
            if piece.len() == PIECE {
                if !answer(job.add(&state.jobs, claim, number, &piece)).await? {
                    return Ok(false);
                }
                piece.clear();
                number += 1;
            }
        }
    }
    // The last piece may be empty: the number of pieces follows from the bytes.
    Ok(answer(job.add(&state.jobs, claim, number, &piece)).await?)
}
