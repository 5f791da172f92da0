//! Taking clicks in: check, enrich, publish; an answer only when the click can't be lost any more.
//!
//! - [`admission`]: who may post, and how much; [`owners`]: whose ads and campaigns a click may name
//! - [`keys`]: which keys there are; [`cors`]: posts from pages
//! - [`post`]: one click; [`idempotency`]: the same post again; [`batch`]: many clicks, [`in_hand`] within
//!   bounds
//! - [`enrich`]: what a click is given that its sender left out; [`browsers`]: from its user agent; [`countries`]:
//!   from its address; [`click_id`]: ids that are signed
//! - [`wal`]: where clicks are kept on this server's disk before the broker has them, if that is configured
//! - [`broker`]: publishes and waits for the acknowledgement; [`recent`]: ids that were sent lately
//! - [`spool`]: where clicks wait on this server's disk while the broker is away

pub(crate) mod admission;
pub(crate) mod batch;
mod broker;
mod browsers;
pub(crate) mod click_id;
pub(crate) mod cors;
pub(crate) mod countries;
pub(crate) mod enrich;
pub(crate) mod error;
pub(crate) mod hints;
pub(crate) mod idempotency;
pub(crate) mod in_hand;
pub(crate) mod keys;
mod own_file;
pub(crate) mod owners;
pub(crate) mod post;
pub(crate) mod posted;
mod recent;
pub(crate) mod spool;
pub(crate) mod state;
pub(crate) mod wal;

use axum::extract::FromRef;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;
use utoipa_axum::{router::OpenApiRouter, routes};

use anyhow::Context as _;
use async_nats::jetstream::Context;
use bytes::Bytes;
use clickwire_protocol::click::Click;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    broker::{Broker, Failure, Name},
    spool::{Condition, Losses, Refusal, Spool, State, Waiting, drain::Drain},
    wal::Wal,
};
use crate::{config::Config, http::error::Error, intake::error::IntakeError};

/// A browser waits no longer than this for the broker, and for the disk, before it is sent on.
const BROWSERS_PATIENCE: Duration = Duration::from_millis(500);

/// A server that has just started gives the connection to its broker so long before it counts as away.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// Behaviour of a client that is told to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientRetry {
    /// A program, which sends the click again.
    Retries,
    /// A browser, which is on its way to the advertiser.
    FireAndForget,
}

/// The outcome of taking a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The broker has it, or this server's disk has it for the broker.
    Stored,
    /// The broker has seen its id before, lately.
    Known,
    /// The click is on this server's disk until the broker is back.
    Spooled,
    /// The click is lost, as far as is known, and counted as such. Only for clients that do not come again.
    Lost,
}

/// The way into the stream; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    broker: Broker,
    /// `None`: clicks go to the broker first.
    wal: Option<Wal>,
    spool: Option<Spool>,
    /// Posted clicks may wait in the spool, too.
    spools_posts: bool,
    losses: Losses,
    accepted: Arc<AtomicU64>,
    publish_timeout: Duration,
    started: Instant,
    /// The drain of the spool.
    tasks: TaskTracker,
}

impl Intake {
    /// Opens the spool and the log, and connects to the broker, in the background and for ever again; what is in the
    /// spool is sent until `stop` is cancelled, what is in the log until it is closed.
    pub(crate) async fn start(config: &Config, stop: &CancellationToken) -> anyhow::Result<Self> {
        let spool = match config.spool() {
            Some(path) => Some(
                Spool::open(path, config.spool_max_bytes)
                    .with_context(|| format!("CLICKWIRE_SPOOL: {}", path.display()))?,
            ),
            None => None,
        };
        let (broker, losses, tasks) = (Broker::connect(config).await?, Losses::default(), TaskTracker::new());
        let publish_timeout = Duration::from_millis(config.publish_timeout_ms);
        let max_age = Duration::from_secs(config.spool_max_age_seconds);
        let wal = match config.wal() {
            Some(path) => Some(
                Wal::open(path, &broker, publish_timeout, max_age, &losses)
                    .with_context(|| format!("CLICKWIRE_WAL: {}", path.display()))?,
            ),
            None => None,
        };
        if let Some(spool) = &spool {
            let drain = Drain::new(broker.clone(), spool.clone(), losses.clone(), max_age);
            tasks.spawn(drain.run(stop.clone()));
        }
        Ok(Self {
            broker,
            wal,
            spool,
            spools_posts: config.spool_posts,
            losses,
            accepted: Arc::default(),
            publish_timeout,
            started: Instant::now(),
            tasks,
        })
    }

    /// Takes a click in; returns when it can't be lost any more, or is lost and counted.
    ///
    /// With a write-ahead log the click is kept there, as long as that works. Else the broker is asked. When it is away,
    /// refuses, or is silent, the click goes to the spool, if its sender may use it. It may be in several places then,
    /// under one id, and is counted once. A broker that was silent is not waited for again before it has answered the
    /// spool's drain.
    pub(crate) async fn take(&self, click: &Click, retry: ClientRetry) -> Result<Taken, Error> {
        let failed = |cause: String| IntakeError::Broker { click_id: click.click_id, cause };
        let (patience, may_wait) = match retry {
            ClientRetry::Retries => (self.publish_timeout, self.spools_posts),
            ClientRetry::FireAndForget => (self.publish_timeout.min(BROWSERS_PATIENCE), true),
        };
        let spool = self.spool.as_ref().filter(|_| may_wait);
        let payload: Bytes = serde_json::to_vec(click).map_err(|error| failed(error.to_string()))?.into();
        let name = (click.click_id, &click.advertiser_id);
        let until = Instant::now() + patience;
        let logged = match &self.wal {
            Some(wal) => {
                let click = self.broker.addressed(name, payload.clone());
                wal.add(click, self.is_connected(), patience / 2).await.map_err(Some)
            }
            None => Err(None),
        };
        if logged.is_ok() {
            self.accept();
            return Ok(Taken::Stored);
        }
        let patience_left = until.saturating_duration_since(Instant::now());
        let failure = match self.publish(name, &payload, patience_left, spool.is_some()).await {
            Ok(is_duplicate) => {
                self.accept();
                // What was slow in the log may have come from there.
                let is_known = is_duplicate && logged != Err(Some(wal::Refusal::Slow));
                return Ok(if is_known { Taken::Known } else { Taken::Stored });
            }
            Err(failure) => failure,
        };
        let refusal = match spool {
            Some(spool) => {
                let waiting =
                    Waiting { click_id: click.click_id, received_at_ms: click.received_at_ms, payload };
                match spool.add(waiting, patience).await {
                    Ok(()) => {
                        self.accept();
                        return Ok(Taken::Spooled);
                    }
                    Err(refusal) => refusal,
                }
            }
            None => Refusal::Off,
        };
        match retry {
            ClientRetry::Retries => {
                if may_wait {
                    metrics::counter!("clickwire_spool_refused_total", "reason" => refusal.name())
                        .increment(1);
                }
                Err(failed(format!("{failure}; spool: {refusal}")).into())
            }
            ClientRetry::FireAndForget => {
                self.losses.count(1, refusal.name());
                Ok(Taken::Lost)
            }
        }
    }

    async fn publish(
        &self,
        name: Name<'_>,
        payload: &Bytes,
        patience: Duration,
        has_spool: bool,
    ) -> Result<bool, Failure> {
        if has_spool && !self.broker.answers() {
            return Err(Failure::Silent);
        }
        let published = self.broker.publish(name, payload.clone(), patience).await;
        if matches!(published, Err(Failure::Silent)) {
            metrics::counter!("clickwire_broker_silent_total").increment(1);
        }
        published
    }

    /// Publishes what is in the log, ends the drain, then writes to the disk and answers what waits for the spool. Nothing
    /// is taken by either afterwards.
    pub(crate) async fn close(&self) {
        if let Some(wal) = &self.wal {
            wal.close().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(spool) = &self.spool {
            spool.close().await;
        }
    }

    /// The connection, for others that talk to the broker.
    pub(crate) fn jetstream(&self) -> &Context {
        self.broker.jetstream()
    }

    /// Returns whether there is a connection to the broker at this moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.broker.is_connected()
    }

    /// Returns whether clicks of such clients can be taken: the broker is connected, or they can be kept here.
    pub(crate) fn is_ready(&self, retry: ClientRetry) -> bool {
        let may_spool = retry == ClientRetry::FireAndForget || self.spools_posts;
        let can_spool = || may_spool && self.spool().is_some_and(|state| state.condition == Condition::Up);
        self.is_connected() || (self.started.elapsed() >= CONNECTS_WITHIN && can_spool())
    }

    /// Returns the state of the write-ahead log; `None`: there is none.
    pub(crate) fn wal(&self) -> Option<wal::State> {
        self.wal.as_ref().map(Wal::state)
    }

    /// Returns the state of the spool; `None`: there is none.
    pub(crate) fn spool(&self) -> Option<State> {
        self.spool.as_ref().map(Spool::state)
    }

    /// Clicks that were accepted since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn accept(&self) {
        metrics::counter!("clickwire_clicks_accepted_total").increment(1);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Clicks that nobody has any more, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.losses.total()
    }
}

/// Takes clicks from programs; which programs, [`admission`] decides.
pub(crate) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<state::IntakeState>: FromRef<S>,
    Arc<crate::http::state::HttpState>: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(post::post_click)).routes(routes!(batch::post_batch))
}

#[cfg(test)]
mod disk;
#[cfg(test)]
mod tests;
