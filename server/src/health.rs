//! Is it alive, can it work, what is missing; and metrics.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use clickwire_process::now_rfc3339;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::AppState;

/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// `GET /metrics`, in Prometheus' text format.
pub(crate) async fn metrics(State(state): State<AppState>) -> String {
    state.metrics.render()
}

/// `GET /readyz`: 200 when clicks can be taken in.
pub(crate) async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    if state.sessions.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if state.intake.is_connected() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the broker is not connected")
    }
}

/// `GET /health`: each dependency for itself. 200 as long as clicks can be taken in.
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
    let services: BTreeMap<&str, Value> = [("nats", nats), ("redis", redis), ("database", license.is_some())]
        .map(|(name, up)| (name, json!({"status": if up { "up" } else { "down" }})))
        .into();
    let status = match (nats, redis && license.is_some()) {
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
    (if nats { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}
