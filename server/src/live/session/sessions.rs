//! The live sessions of a server: counted, limited, told to stop.

use std::{net::IpAddr, sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{config::Config, http::quota::Quota};

/// The live sessions: counted, limited, told to stop.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) tracker: TaskTracker,
    pub(crate) permits: Arc<Semaphore>,
    /// Number of permits.
    pub(crate) max: usize,
    pub(crate) by_address: Quota<IpAddr>,
    pub(crate) by_account: Quota<Uuid>,
    /// The server is about to go away: no new session is let in.
    pub(crate) stop: CancellationToken,
    pub(crate) heartbeat: Duration,
    /// Time over which the sessions are sent away.
    pub(crate) drain: Duration,
    /// Frames written.
    pub(crate) deliveries: metrics::Counter,
}

impl Sessions {
    /// The state without any session; sessions are sent away after `stop`.
    pub(crate) fn new(config: &Config, stop: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(config.live_sessions_max)),
            max: config.live_sessions_max,
            by_address: Quota::new(config.live_sessions_per_address),
            by_account: Quota::new(config.live_sessions_per_account),
            stop,
            heartbeat: Duration::from_millis(config.live_heartbeat_ms),
            drain: Duration::from_secs(config.drain_seconds),
            deliveries: metrics::counter!("clickwire_live_deliveries_total"),
        }
    }

    /// Ends when a session is to go: each at its own random time after the server has been told to stop.
    pub(crate) async fn leave(&self) {
        let after = self.drain.mul_f64(rand::rng().random());
        self.stop.cancelled().await;
        tokio::time::sleep(after).await;
    }

    /// Waits for `stop`, until all sessions have gone or `grace` is over; then `drained` is cancelled.
    pub(crate) async fn drain(self, grace: Duration, drained: CancellationToken) {
        self.stop.cancelled().await;
        self.tracker.close();
        if timeout(self.drain + grace, self.tracker.wait()).await.is_err() {
            tracing::warn!(sessions = self.tracker.len(), "live sessions did not end in time");
        }
        drained.cancel();
    }
}
