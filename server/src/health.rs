//! Is it alive, can it work, what is missing; and metrics.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use clickwire_process::now_rfc3339;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{AppState, intake::spool::Condition};

/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// `GET /metrics`, in Prometheus' text format.
pub(crate) async fn metrics(State(state): State<AppState>) -> String {
    state.metrics.render()
}

/// `GET /readyz`: 200 when clicks can be taken in, be it those of redirects alone: while the broker is
/// away for every server, a load balancer must not turn browsers away that the spool could serve.
pub(crate) async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    if state.sessions.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if state.intake.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the broker is not connected, and clicks can't wait here")
    }
}

/// `GET /health`: each dependency for itself. 200 as long as clicks can be taken in, as in [`ready`].
pub(crate) async fn report(State(state): State<AppState>) -> impl IntoResponse {
    let nats = state.intake.is_connected();
    let mut connection = state.redis.clone();
    let ping = redis::cmd("PING");
    let redis =
        async { timeout(PATIENCE, ping.query_async::<()>(&mut connection)).await.is_ok_and(|r| r.is_ok()) };
    let license = async {
        let query = sqlx::query_scalar::<_, String>("SELECT current_setting('timescaledb.license')");
        timeout(PATIENCE, query.fetch_one(&state.database)).await.ok().and_then(Result::ok)
    };
    let (redis, license) = tokio::join!(redis, license);
    let mut services: BTreeMap<&str, Value> =
        [("nats", nats), ("redis", redis), ("database", license.is_some())]
            .map(|(name, up)| (name, json!({"status": if up { "up" } else { "down" }})))
            .into();
    services.insert("spool", spool(&state));
    let can_take = state.intake.is_ready();
    let status = match (can_take, nats && redis && license.is_some()) {
        (true, true) => "healthy",
        (true, false) => "degraded",
        (false, _) => "unhealthy",
    };
    let report = json!({
        "status": status,
        "services": services,
        "continuous_aggregates": license.map(|license| license == "timescale"),
        "timestamp": now_rfc3339(),
    });
    (if can_take { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

fn spool(state: &AppState) -> Value {
    let lost = state.intake.lost();
    let Some(spool) = state.intake.spool() else {
        return json!({"status": "off", "lost": lost});
    };
    let status = match spool.condition {
        Condition::Up => "up",
        Condition::Full => "full",
        Condition::Broken => "down",
    };
    json!({
        "status": status,
        "clicks": spool.clicks,
        "bytes": spool.bytes,
        "oldest_age_seconds": spool.oldest_age_seconds(),
        "lost": lost,
    })
}
