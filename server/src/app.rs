//! The program in three steps: everything is built, served until it is told to stop, and ended in order.
//!
//! The wings know nothing of each other's states: here they are composed ([`AppState`]), and here the routes of
//! those that this server has ([`Config::roles`]) become one API.

mod build;
mod routes;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::extract::FromRef;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{pipeline, state::AdminState},
    config::{Config, ServerRole},
    graphql::GraphqlState,
    health::HealthState,
    http::{serve, state::HttpState, tls::Tls},
    identity::state::IdentityState,
    intake::{Intake, state::IntakeState},
    live::state::{LiveState, Sessions},
    query::{self, state::QueryState},
    redirect::state::RedirectState,
};

/// The longest time that sessions and requests may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `stop` is cancelled, then sends live sessions away one after the other, while everything
/// else goes on, and ends requests under a grace period.
///
/// Services that are away do not keep the server from starting: what needs them answers 503 until
/// they are back.
pub async fn run(
    config: Config,
    listener: TcpListener,
    metrics_listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // A database of another deployment ends this server alone.
    let app = App::build(&config, stop.child_token()).await?;
    app.serve(listener, metrics_listener).await?;
    app.drain().await
}

/// The states of all wings; each handler and extractor takes the one of its own. One counter for all: it is
/// cloned for each request.
#[derive(Clone)]
struct AppState(Arc<States>);

struct States {
    http: Arc<HttpState>,
    identity: Arc<IdentityState>,
    query: Arc<QueryState>,
    intake: Arc<IntakeState>,
    live: Arc<LiveState>,
    graphql: Arc<GraphqlState>,
    redirect: Arc<RedirectState>,
    admin: Arc<AdminState>,
    health: Arc<HealthState>,
}

macro_rules! parts {
    ($($field:ident: $State:ty),*) => {
        $(impl FromRef<AppState> for Arc<$State> {
            fn from_ref(state: &AppState) -> Self {
                Arc::clone(&state.0.$field)
            }
        })*
    };
}
parts!(
    http: HttpState, identity: IdentityState, query: QueryState, intake: IntakeState, live: LiveState,
    graphql: GraphqlState, redirect: RedirectState, admin: AdminState, health: HealthState
);

/// A server that has been built.
struct App {
    config: Config,
    state: AppState,
    tls: Option<Arc<Tls>>,
    intake: Intake,
    sessions: Sessions,
    /// Requests and sessions go on until then.
    drained: CancellationToken,
    /// Keeps in memory what every server must know within seconds.
    following: JoinHandle<()>,
    /// Ends with an error if the database belongs to another deployment.
    deployment: JoinHandle<anyhow::Result<()>>,
}

impl App {
    /// Serves until it is told to stop and live sessions have gone.
    async fn serve(&self, listener: TcpListener, metrics_listener: TcpListener) -> anyhow::Result<()> {
        if let Some(tls) = &self.tls {
            tokio::spawn(Arc::clone(tls).follow(self.drained.clone()));
        }
        self.sessions.tracker.spawn(self.state.0.live.polled.clone().sweep(self.sessions.stop.clone()));
        self.sessions.tracker.spawn(self.pipeline());
        if self.config.roles.contains(&ServerRole::Query) {
            let exports =
                query::export::jobs::work(Arc::clone(&self.state.0.query), self.sessions.stop.clone());
            self.sessions.tracker.spawn(exports);
            let QueryState { webhooks, jobs, .. } = &*self.state.0.query;
            if let Some(webhooks) = webhooks {
                self.sessions
                    .tracker
                    .spawn(webhooks.clone().deliver(jobs.clone(), self.sessions.stop.clone()));
            }
        }
        let draining = tokio::spawn(self.sessions.clone().drain(GRACE, self.drained.clone()));
        let limits = build::limits(&self.config);
        let metrics = routes::operators(&self.state);
        let public = routes::public(&self.state, &self.config.roles);
        tokio::join!(
            serve::serve(metrics_listener, None, metrics, limits.for_operators(), &self.drained),
            serve::serve(listener, self.tls.clone(), public, limits, &self.drained),
        );
        draining.await.context("the task that drains sessions panicked")
    }

    /// Tells other servers of this one; measures the pipeline if there are operators to be answered.
    fn pipeline(&self) -> impl Future<Output = ()> + use<> {
        let admin = &self.state.0.admin;
        let reporter = pipeline::Reporter::new(
            &self.config,
            self.intake.clone(),
            self.sessions.clone(),
            admin.redis.clone(),
        );
        let measures = self.config.roles.contains(&ServerRole::Admin).then(|| Arc::clone(admin));
        pipeline::follow(reporter, self.intake.jetstream().clone(), measures, self.sessions.stop.clone())
    }

    /// Ends what goes on in the background, and closes the spool.
    async fn drain(self) -> anyhow::Result<()> {
        self.following.await.context("the task that follows keys and accounts panicked")?;
        if timeout(GRACE, self.intake.close()).await.is_err() {
            tracing::error!("the spool could not be closed in time");
        }
        self.deployment.await.context("the task that asks whose database it is panicked")?
    }
}
