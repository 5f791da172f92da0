//! Metrics in Prometheus' text format.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Samples wait so long for being folded into their histogram, whether or not anybody asks for them.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Records all metrics of the process from now on; the handle renders them. Upkeep ends with `stop`.
pub fn record(stop: CancellationToken) -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // A test runs several programs in one process; the first one's recorder serves all.
    if ::metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("metrics are recorded already");
    }
    let kept = handle.clone();
    tokio::spawn(async move {
        while tokio::time::timeout(UPKEEP_EVERY, stop.cancelled()).await.is_err() {
            kept.run_upkeep();
        }
    });
    handle
}
