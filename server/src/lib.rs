//! The server: takes clicks in over HTTP, answers analytics, pushes changes to dashboards.
//!
//! - [`ingest`]: a click is answered 202 only when the broker has it on its disk
//! - [`analytics`] and [`entities`]: questions to the database, scoped by [`access`]
//! - [`live`]: the gateway that dashboards are connected to
//! - [`page`]: the dashboard itself, embedded in the program

pub mod config;

mod access;
mod address;
mod analytics;
mod entities;
mod error;
mod health;
mod ingest;
mod live;
mod page;

use std::{net::SocketAddr, str::FromStr as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sqlx::{
    ConnectOptions as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{access::Access, address::Hasher, config::Config, error::Error, ingest::Intake, live::Hub};

/// Largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long sessions and requests may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What handlers share; cheap to clone.
#[derive(Clone)]
struct AppState {
    access: Arc<Access>,
    intake: Intake,
    addresses: Arc<Hasher>,
    database: PgPool,
    redis: ConnectionManager,
    hub: Hub,
    sessions: Sessions,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
}

/// The live sessions: counted, limited, told to stop.
#[derive(Clone)]
struct Sessions {
    tracker: TaskTracker,
    permits: Arc<tokio::sync::Semaphore>,
    stop: CancellationToken,
    heartbeat: Duration,
}

/// Serves until `stop` is cancelled, then ends sessions and requests under a grace period.
///
/// Services that are away do not keep the server from starting: what needs them answers 503 until
/// they are back.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let database = connect_database(&config)?;
    let redis_client = redis::Client::open(config.redis_url.as_str()).context("CLICKWIRE_REDIS_URL")?;
    let redis = ConnectionManager::new_lazy_with_config(
        redis_client.clone(),
        ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(1)))
            .set_number_of_retries(1),
    )?;
    let sessions = Sessions {
        tracker: TaskTracker::new(),
        permits: Arc::new(tokio::sync::Semaphore::new(config.live_sessions_max)),
        stop: stop.clone(),
        heartbeat: Duration::from_millis(config.live_heartbeat_ms),
    };
    let state = AppState {
        access: Arc::new(Access::new(&config)?),
        intake: Intake::connect(&config).await?,
        addresses: Arc::new(Hasher::new(config.ip_hash_key.as_bytes())),
        hub: Hub::start(&config, redis_client, redis.clone(), database.clone(), &stop),
        database,
        redis,
        sessions: sessions.clone(),
        metrics: clickwire_process::metrics::record(stop.clone()),
    };
    let service = routes(state).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = served.into_future() => served?,
        () = overdue => tracing::warn!("requests did not end in time"),
    }
    sessions.tracker.close();
    if timeout(GRACE, sessions.tracker.wait()).await.is_err() {
        tracing::warn!(sessions = sessions.tracker.len(), "live sessions did not end in time");
    }
    Ok(())
}

fn routes(state: AppState) -> Router {
    Router::new()
        .route("/api/v1/clicks", post(ingest::post_click))
        .route("/api/v1/analytics/aggregate", get(analytics::aggregate))
        .route("/api/v1/advertisers", get(entities::advertisers))
        .route("/api/v1/campaigns", get(entities::campaigns))
        .route("/api/v1/live", get(live::upgrade))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::report))
        .route("/metrics", get(health::metrics))
        .merge(page::router())
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}

fn connect_database(config: &Config) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("CLICKWIRE_DATABASE_URL")?
        .application_name("clickwire-server")
        .options([
            ("statement_timeout", "5s"),
            ("default_transaction_read_only", "on"),
            ("plan_cache_mode", "force_custom_plan"),
        ])
        .log_slow_statements(log::LevelFilter::Off, Duration::ZERO);
    Ok(PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(options))
}
