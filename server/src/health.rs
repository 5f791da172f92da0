//! Health of the server: liveness, readiness, missing services; and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use clickwire_process::{now_rfc3339, redis::Connection};
use serde::Serialize;
use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    config::ServerRole,
    http::openapi::Refused,
    intake::{ClientRetry, Intake, spool::Condition, wal},
    live,
};

/// Time that a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two checks of the dependencies.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Results of the last check of the dependencies. Answers are made from them: no request makes the server ask a
/// dependency.
#[derive(Clone)]
pub(crate) struct Checks(watch::Sender<Checked>);

#[derive(Clone, Default)]
struct Checked {
    /// `None` before the first time.
    at: Option<String>,
    redis: bool,
    /// TimescaleDB's licence, if the database answers.
    license: Option<String>,
}

/// The state of the health handlers.
pub(crate) struct HealthState {
    pub(crate) roles: Vec<ServerRole>,
    pub(crate) intake: Intake,
    /// The server is about to go away.
    pub(crate) stop: CancellationToken,
    pub(crate) checks: Checks,
    pub(crate) metrics: metrics_exporter_prometheus::PrometheusHandle,
}

impl HealthState {
    /// Returns the reason why the server can't do the work of its roles, if any. A server that takes clicks must take
    /// them in, be it those of redirects alone; one that takes none needs the database, and Redis for live views.
    fn is_unready(&self) -> Option<&'static str> {
        let has = |role| self.roles.contains(&role);
        let clients = if has(ServerRole::Redirect) {
            Some(ClientRetry::FireAndForget)
        } else {
            has(ServerRole::Intake).then_some(ClientRetry::Retries)
        };
        if let Some(clients) = clients {
            return (!self.intake.is_ready(clients))
                .then_some("the broker is not connected, and clicks can't wait here");
        }
        let checked = self.checks.0.borrow();
        if checked.license.is_none() {
            return Some("the database does not answer");
        }
        (has(ServerRole::Live) && !checked.redis).then_some("Redis does not answer")
    }
}

/// Checks dependencies.
pub(crate) struct Probe {
    pub(crate) checks: Checks,
    pub(crate) redis: Connection,
    /// First part of the keys in it.
    pub(crate) redis_prefix: Arc<str>,
    pub(crate) database: PgPool,
}

impl Default for Checks {
    fn default() -> Self {
        Self(watch::Sender::new(Checked::default()))
    }
}

impl Probe {
    /// Checks once.
    pub(crate) async fn check(&self) {
        // Of a cluster one shard may be away: what is on the others goes on.
        let told = live::watermark(&self.redis, &self.redis_prefix);
        let redis = async { timeout(PATIENCE, told).await.is_ok_and(|told| told.is_ok()) };
        let license = async {
            let query = sqlx::query_scalar::<_, String>("SELECT current_setting('timescaledb.license')");
            timeout(PATIENCE, query.fetch_one(&self.database)).await.ok().and_then(Result::ok)
        };
        let (redis, license) = tokio::join!(redis, license);
        self.checks.0.send_replace(Checked { at: Some(now_rfc3339()), redis, license });
    }

    /// Checks again and again until `stop` is cancelled.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        let mut every = interval(CHECK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return }
            self.check().await;
        }
    }
}

/// State of the server and its services.
#[derive(Serialize, ToSchema)]
struct Health {
    status: Status,
    services: Services,
    /// Time of the last check of database and Redis; `null` before the first.
    #[schema(format = DateTime)]
    checked_at: Option<String>,
    #[schema(format = DateTime)]
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Healthy,
    /// Clicks can be taken in, but something is missing.
    Degraded,
    Unhealthy,
}

#[derive(Serialize, ToSchema)]
struct Services {
    database: Service,
    nats: Service,
    redis: Service,
    spool: Spool,
    wal: Wal,
}

#[derive(Serialize, ToSchema)]
struct Service {
    status: ServiceStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ServiceStatus {
    Up,
    Down,
}

/// The spool, in which clicks wait while the broker is away. Without one, only `lost` is told.
#[derive(Serialize, ToSchema)]
struct Spool {
    status: SpoolStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    clicks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_age_seconds: Option<i64>,
    /// Clicks that nobody has, since the server started.
    lost: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SpoolStatus {
    Up,
    Full,
    Down,
    Off,
}

/// The write-ahead log, in which clicks are before the broker has them.
#[derive(Serialize, ToSchema)]
struct Wal {
    status: WalStatus,
    /// Clicks that the broker may not have yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    clicks: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WalStatus {
    Up,
    /// The broker does not take what it has; clicks go to the broker first.
    Behind,
    /// It can't be written; clicks go to the broker first.
    Down,
    Off,
}

impl Service {
    fn new(is_up: bool) -> Self {
        Self { status: if is_up { ServiceStatus::Up } else { ServiceStatus::Down } }
    }
}

/// Returns whether the program runs.
#[utoipa::path(get, path = "/livez", operation_id = "is_alive", tag = "anybody",
    responses((status = 200, body = String, description = "It does."), Refused<()>))]
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// Metrics, in Prometheus' text format.
pub(crate) async fn metrics(State(state): State<Arc<HealthState>>) -> String {
    state.metrics.render()
}

/// Returns whether the server can do the work of its roles: above all take clicks in, be it those of redirects alone.
///
/// While the broker is away for every server, a load balancer must not turn browsers away that the
/// spool could serve.
#[utoipa::path(get, path = "/readyz", operation_id = "is_ready", tag = "anybody", responses(
    (status = 200, body = String, description = "It can."), (status = 503, body = String, description = "Why not."),
    Refused<()>))]
pub(crate) async fn ready(State(state): State<Arc<HealthState>>) -> impl IntoResponse {
    if state.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if let Some(why) = state.is_unready() {
        (StatusCode::SERVICE_UNAVAILABLE, why)
    } else {
        (StatusCode::OK, "ready")
    }
}

/// Returns the state of the server and of each dependency.
///
/// Dependencies are checked every second, whoever asks.
#[utoipa::path(get, path = "/health", operation_id = "show_health", tag = "anybody", responses(
    (status = 200, body = Health, description = "The server does what its roles are."),
    (status = 503, body = Health, description = "It does not."),
    Refused<()>))]
pub(crate) async fn report(State(state): State<Arc<HealthState>>) -> impl IntoResponse {
    let nats = state.intake.is_connected();
    let Checked { at, redis, license } = state.checks.0.borrow().clone();
    let is_ready = state.is_unready().is_none();
    let status = match (is_ready, nats && redis && license.is_some()) {
        (true, true) => Status::Healthy,
        (true, false) => Status::Degraded,
        (false, _) => Status::Unhealthy,
    };
    let services = Services {
        database: Service::new(license.is_some()),
        nats: Service::new(nats),
        redis: Service::new(redis),
        spool: spool(&state),
        wal: wal(&state),
    };
    let report = Health { status, services, checked_at: at, timestamp: now_rfc3339() };
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

fn spool(state: &HealthState) -> Spool {
    let lost = state.intake.lost();
    let Some(spool) = state.intake.spool() else {
        return Spool { status: SpoolStatus::Off, clicks: None, bytes: None, oldest_age_seconds: None, lost };
    };
    let status = match spool.condition {
        Condition::Up => SpoolStatus::Up,
        Condition::Full => SpoolStatus::Full,
        Condition::Broken => SpoolStatus::Down,
    };
    Spool {
        status,
        clicks: Some(spool.clicks),
        bytes: Some(spool.bytes),
        oldest_age_seconds: Some(spool.oldest_age_seconds()),
        lost,
    }
}

fn wal(state: &HealthState) -> Wal {
    let Some(wal) = state.intake.wal() else { return Wal { status: WalStatus::Off, clicks: None } };
    let status = match wal.condition {
        wal::Condition::Up => WalStatus::Up,
        wal::Condition::Behind => WalStatus::Behind,
        wal::Condition::Broken => WalStatus::Down,
    };
    Wal { status, clicks: Some(wal.clicks) }
}
