//! Metrics in Prometheus' text format.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the buckets of everything that is measured in seconds.
const BUCKETS_SECONDS: [f64; 16] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Samples wait so long for being folded into their histogram, whether or not anybody asks for them.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Records all metrics of the process from now on; the handle renders them. Upkeep ends with `stop`.
pub fn record(stop: CancellationToken) -> PrometheusHandle {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, &BUCKETS_SECONDS)
        .unwrap_or_else(|_| PrometheusBuilder::new())
        .build_recorder();
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
