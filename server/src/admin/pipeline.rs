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
use clickwire_protocol::pipeline::Pipeline as Answer;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub(crate) use self::servers::Reporter;
use self::{
    history::{EVERY_SECONDS, History},
    measure::measure,
    stages::{LIMITS, stages},
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
        stages: latest.zip(points.last()).map(|(latest, point)| stages(latest, point)),
        servers: latest.map(|latest| latest.servers.clone()).unwrap_or_default(),
        history: points,
    })
}
