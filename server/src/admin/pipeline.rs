//! `GET /api/v1/admin/pipeline`: the way of a click from intake to screens as it is now, stage by stage, with the last
//! hour. Every server measures it for itself, whoever else does and whether aggregators run or not
//! (decision 0075).

mod history;
mod measure;
mod servers;
mod stages;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::jetstream::Context;
use axum::{Json, extract::State};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub(crate) use self::servers::Reporter;
use self::{
    history::{EVERY_SECONDS, History, Point},
    measure::{IdleJob, measure},
    servers::Report,
    stages::{LIMITS, Limits, Stages},
};
use crate::{admin::state::AdminState, http::openapi::Refused, identity::access::Operator};

/// The measurements of this server; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pipeline(Arc<Mutex<History>>);

impl Pipeline {
    fn history(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the others of this server and, if it has operators to answer, measures; until `stop` is cancelled.
pub(crate) async fn follow(
    reporter: Reporter,
    nats: Context,
    state: Option<Arc<AdminState>>,
    stop: CancellationToken,
) {
    let mut every = interval(Duration::from_secs(u64::from(EVERY_SECONDS)));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return }
        let round = async {
            match &state {
                Some(state) => {
                    let measured = measure(&nats, state, &reporter).await;
                    state.pipeline.history().add(measured);
                }
                None => drop(reporter.exchange(&reporter.own()).await),
            }
        };
        tokio::select! { () = round => {}, () = stop.cancelled() => return }
    }
}

/// The pipeline as this server has measured it last.
#[derive(Serialize, ToSchema)]
#[schema(as = Pipeline)]
pub(crate) struct Answer {
    /// Time of the measurement; Unix time in milliseconds. `null`: none yet, since the server has just started.
    at_ms: Option<i64>,
    /// Time between two measurements, in seconds.
    every_seconds: u32,
    limits: Limits,
    /// `null` as long as it was not measured.
    stages: Option<Stages>,
    /// Servers that have said something of themselves within half a minute; the one that answers comes first.
    servers: Vec<Report>,
    /// The last hour, as far as this server runs for so long; the oldest first.
    history: Vec<Point>,
}

/// The way of a click as it is now, stage by stage, with its last hour.
///
/// Each server measures every 10 s for itself, so the hour begins when it starts.
#[utoipa::path(get, path = "/pipeline", operation_id = "show_pipeline", tag = "operator",
    responses((status = 200, body = Answer), Refused<(crate::identity::error::Scoped,)>))]
pub(super) async fn show(State(state): State<Arc<AdminState>>, _operator: Operator) -> Json<Answer> {
    let history = state.pipeline.history();
    let latest = history.latest();
    let points = history.points();
    Json(Answer {
        at_ms: latest.map(|latest| latest.at_ms),
        every_seconds: EVERY_SECONDS,
        limits: LIMITS,
        stages: latest.zip(points.last()).map(|(latest, point)| Stages::of(latest, point)),
        servers: latest.map(|latest| latest.servers.clone()).unwrap_or_default(),
        history: points,
    })
}
