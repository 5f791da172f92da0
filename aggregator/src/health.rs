//! The aggregator's state over HTTP: its work, and the services that it waits for.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use clickwire_ledger::{
    rollups::Progress,
    timescaledb::{Idle, Installed},
};
use clickwire_process::now_rfc3339;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::replicas::Replicas;

/// What is wrong with a database whose standby may lack commits.
const ALONE: &str = "the database has a standby, and commits do not wait for it: set synchronous_standby_names and leave synchronous_commit on";

/// A dependency of an aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Broker,
    Database,
    Redis,
    /// Room for another dead letter.
    DeadLetters,
}

impl Service {
    const ALL: [Self; 4] = [Self::Broker, Self::Database, Self::Redis, Self::DeadLetters];

    fn name(self) -> &'static str {
        match self {
            Self::Broker => "nats",
            Self::Database => "database",
            Self::Redis => "redis",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// The state that `/readyz`, `/health` and `/metrics` show.
pub(crate) struct Health {
    state: Mutex<Inner>,
    /// The number of dead letters that wait, once that is known.
    dead_letters_waiting: watch::Receiver<Option<u64>>,
    metrics: PrometheusHandle,
}

#[derive(Default)]
struct Inner {
    /// The partitions that have their consumer: one flag for each, by number.
    attached: Vec<bool>,
    /// The last error of each service that something waits for.
    waiting_for: BTreeMap<Service, String>,
    timescaledb: Option<Installed>,
    rollups: Option<Progress>,
    idle_jobs: Vec<Idle>,
    /// Copies of the streams, by stream.
    replicas: BTreeMap<String, Replicas>,
    /// The database has a standby, and commits do not wait for it.
    is_alone: bool,
}

impl Health {
    pub(crate) fn new(
        partitions: u16,
        dead_letters_waiting: watch::Receiver<Option<u64>>,
        metrics: PrometheusHandle,
    ) -> Self {
        let state = Inner { attached: vec![false; usize::from(partitions)], ..Inner::default() };
        Self { state: Mutex::new(state), dead_letters_waiting, metrics }
    }

    fn state(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that work can't go on before `service` is back.
    pub(crate) fn waiting_for(&self, service: Service, error: &impl Display) {
        let error = error.to_string();
        metrics::counter!("clickwire_waits_total", "service" => service.name()).increment(1);
        if self.state().waiting_for.insert(service, error.clone()).is_none() {
            tracing::warn!(service = service.name(), error, "waiting");
        }
    }

    /// A partition has its consumer.
    pub(crate) fn attached(&self, partition: u16) {
        self.set_attached(partition, true);
        self.works(Service::Broker);
    }

    /// A partition lost its consumer.
    pub(crate) fn detached(&self, partition: u16) {
        self.set_attached(partition, false);
    }

    fn set_attached(&self, partition: u16, is_attached: bool) {
        if let Some(attached) = self.state().attached.get_mut(usize::from(partition)) {
            *attached = is_attached;
        }
    }

    /// Notes that no work waits for `service` any more.
    pub(crate) fn works(&self, service: Service) {
        if self.state().waiting_for.remove(&service).is_some() {
            tracing::info!(service = service.name(), "works again");
        }
    }

    /// The TimescaleDB that there is.
    pub(crate) fn installed(&self, timescaledb: Installed) {
        self.state().timescaledb = Some(timescaledb);
        self.works(Service::Database);
    }

    /// Notes how far hours and days are rolled up.
    pub(crate) fn rolled_up(&self, progress: Progress) {
        self.state().rollups = Some(progress);
    }

    /// Background jobs of the database that don't do their work.
    pub(crate) fn idle_jobs(&self, jobs: Vec<Idle>) {
        self.state().idle_jobs = jobs;
    }

    /// Copies of the streams.
    pub(crate) fn replicas(&self, streams: Vec<(String, Replicas)>) {
        self.state().replicas = streams.into_iter().collect();
    }

    /// Notes whether the database has a standby that commits do not wait for.
    pub(crate) fn set_alone(&self, is_alone: bool) {
        let was = std::mem::replace(&mut self.state().is_alone, is_alone);
        if is_alone && !was {
            tracing::warn!("{ALONE}");
        }
        metrics::gauge!("clickwire_database_commits_alone").set(f64::from(u8::from(is_alone)));
    }

    fn is_ready(&self) -> bool {
        self.state().attached.iter().all(|&attached| attached)
    }

    fn report(&self) -> Value {
        let state = self.state();
        let services: BTreeMap<&str, Value> = Service::ALL
            .into_iter()
            .map(|service| {
                let report = match state.waiting_for.get(&service) {
                    Some(_) => json!({"status": "waiting"}),
                    None => json!({"status": "ok"}),
                };
                (service.name(), report)
            })
            .collect();
        let is_short = state.replicas.values().any(|replicas| replicas.is_short());
        let is_behind = state.rollups.is_some_and(|progress| progress.is_behind());
        let is_well = state.waiting_for.is_empty() && state.idle_jobs.is_empty();
        json!({
            "status": if is_well && !is_short && !is_behind && !state.is_alone { "ok" } else { "degraded" },
            "standby": state.is_alone.then_some(ALONE),
            "services": services,
            "streams": state.replicas.iter().map(|(stream, replicas)| {
                (stream, json!({"replicas": replicas.wanted, "current": replicas.current}))
            }).collect::<BTreeMap<_, _>>(),
            "dead_letters_waiting": *self.dead_letters_waiting.borrow(),
            "timescaledb": state.timescaledb.as_ref().map(Installed::report),
            "background_jobs": state.idle_jobs.iter().map(|idle| (&idle.job, &idle.state)).collect::<BTreeMap<_, _>>(),
            "rollups": state.rollups.map(|progress| progress.report()),
            "timestamp": now_rfc3339(),
        })
    }
}

/// Serves `/livez`, `/readyz`, `/health` and `/metrics` until `stop` is cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/health", get(|State(health): State<Arc<Health>>| async move { Json(health.report()) }))
        .route("/metrics", get(|State(health): State<Arc<Health>>| async move { health.metrics.render() }))
        .with_state(health);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    if health.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not all partitions have their consumers yet")
    }
}
