//! The lake's state over HTTP: its work, and the services that it waits for.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use clickwire_process::now_rfc3339;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A dependency of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Broker,
    Database,
    Objects,
    /// Aggregators, which must have counted a click before it is archived.
    Aggregator,
}

impl Service {
    const ALL: [Self; 4] = [Self::Broker, Self::Database, Self::Objects, Self::Aggregator];

    /// The name in `/health` and in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broker => "nats",
            Self::Database => "database",
            Self::Objects => "object_store",
            Self::Aggregator => "aggregator",
        }
    }
}

/// The state that `/readyz`, `/health` and `/metrics` show.
pub(crate) struct Health {
    state: Mutex<Inner>,
    metrics: PrometheusHandle,
}

#[derive(Default)]
struct Inner {
    is_reading: bool,
    /// The services that something waits for.
    waiting_for: BTreeMap<Service, String>,
    /// Messages behind the last that was read.
    pending: Option<u64>,
}

impl Health {
    pub(crate) fn new(metrics: PrometheusHandle) -> Self {
        Self { state: Mutex::default(), metrics }
    }

    fn state(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that work can't go on before `service` is back.
    pub(crate) fn waiting_for(&self, service: Service, error: &impl Display) {
        let error = error.to_string();
        metrics::counter!("clickwire_lake_waits_total", "service" => service.name()).increment(1);
        let mut state = self.state();
        if service != Service::Aggregator {
            state.is_reading = false;
        }
        if state.waiting_for.insert(service, error.clone()).is_none() {
            tracing::warn!(service = service.name(), error, "waiting");
        }
    }

    /// Notes that no work waits for `service` any more.
    pub(crate) fn works(&self, service: Service) {
        if self.state().waiting_for.remove(&service).is_some() {
            tracing::info!(service = service.name(), "works again");
        }
    }

    /// The lake reads the stream.
    pub(crate) fn reading(&self) {
        self.state().is_reading = true;
        self.works(Service::Broker);
        self.works(Service::Database);
    }

    /// The number of messages that are still to be read.
    pub(crate) fn pending(&self, messages: u64) {
        metrics::gauge!("clickwire_lake_pending").set(messages as f64);
        self.state().pending = Some(messages);
    }

    fn is_ready(&self) -> bool {
        self.state().is_reading
    }

    fn report(&self) -> Value {
        let state = self.state();
        let status = |is_waiting| json!({"status": if is_waiting { "waiting" } else { "ok" }});
        let services: BTreeMap<&str, Value> = Service::ALL
            .into_iter()
            .map(|service| (service.name(), status(state.waiting_for.contains_key(&service))))
            .collect();
        json!({
            "status": if state.waiting_for.is_empty() { "ok" } else { "degraded" },
            "services": services,
            "pending": state.pending,
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

async fn ready(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    if health.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the stream is not being read")
    }
}
