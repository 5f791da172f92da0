//! The server: takes clicks in over HTTP, answers analytics, pushes changes to dashboards.
//!
//! - [`intake`]: a click is answered 202 only when the broker, or the spool, has it on the disk
//! - [`keys`]: who may post; [`limits`]: how much; [`quota`]: how much at once; [`visitor`]: who is at the
//!   other end
//! - [`redirect`]: a click on an ad's link; its [`click_id`] is signed
//! - [`analytics`], [`entities`] and [`settings`]: questions to the database, scoped by [`access`]
//! - [`accounts`]: people who sign in; [`origin`]: from which pages; [`signing`]: with what; [`following`]: known
//!   to every server
//! - [`admin`]: what administrators do, and [`access::Admin`] and [`access::Operator`] guard:
//!   [`dead_letters`], [`rules`], [`verdicts`], [`catalog`], [`stats`]; [`audit`]: what they have done
//! - [`deployment`]: whose database it is
//! - [`alerts`]: incidents, which operators list and acknowledge
//! - [`live`]: the gateway that dashboards are connected to
//! - [`serve`]: connections, their limits and their end; [`tls`]: what they are encrypted by; [`requests`]: what
//!   every request has; [`host`]: the host that it is for; [`parameters`], [`body`], [`cursor`]: how questions and
//!   orders are read
//! - [`openapi`]: the document of all that, made from the code
//! - [`page`]: the dashboard itself, embedded in the program

pub mod cli;
pub mod config;

mod admin;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod http;
mod identity;
mod intake;
mod live;
mod query;
mod redirect;
mod store;

use std::{net::IpAddr, ops::Deref, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use bytes::Bytes;
use clickwire_dead_letters::DeadLetters;
use clickwire_process::redis::Connection;
use clickwire_protocol::stream::Names;
use rand::RngExt as _;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    config::Config,
    health::{Checks, Probe},
    http::{
        error::Error,
        networks::Networks,
        quota::Quota,
        rate_limit::{Addresses, Attempts, Rate},
        requests::Seen,
        serve::Times,
        tls::Tls,
        visitor::Proxies,
    },
    identity::access::Access,
    intake::{
        Intake, address::Hasher, batch, click_id::Signer, countries::Countries, enrich::Enricher,
        hints::Hints, idempotency::Idempotency, in_hand::Batches, keys::ring::Ring, owners::Owners,
    },
    live::{Hub, http::Polled},
    redirect::ads::Ads,
    store::{
        database::{Pools, Tenants},
        following::follow,
    },
};

/// Largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long the server waits for the keys in the database before it serves without them.
const KEYS_WITHIN: Duration = Duration::from_secs(2);

/// A connection that has been idle for less may just be sending a request.
const SPARED: Duration = Duration::from_millis(500);

/// How long sessions and requests may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What handlers share. Every layer that a request goes through has its own: one counter each.
#[derive(Clone)]
struct AppState(Arc<Shared>);

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

struct Shared {
    access: Arc<Access>,
    attempts: Attempts,
    hasher: Arc<Hasher>,
    keys: Ring,
    proxies: Proxies,
    addresses: Addresses,
    intake: Intake,
    enricher: Enricher,
    idempotency: Idempotency,
    hints: Hints,
    batches: Batches,
    click_ids: Arc<Signer>,
    ads: Ads,
    owners: Owners,
    /// Answers questions about advertisers.
    tenants: Tenants,
    /// Can only read: for operators and administrators.
    database: PgPool,
    /// Can write: for what somebody may change.
    admin_database: PgPool,
    /// Can write: for people who sign in and out, and for what they change of their own account.
    sign_in_database: PgPool,
    /// Each account has one request in hand that changes it.
    turns: Quota<Uuid>,
    health: Checks,
    dead_letters: DeadLetters,
    names: Names,
    redis_prefix: Arc<str>,
    redis: Connection,
    hub: Hub,
    partitions: u16,
    sessions: Sessions,
    polled: Polled,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// As JSON.
    document: Bytes,
}

/// The live sessions: counted, limited, told to stop.
#[derive(Clone)]
struct Sessions {
    tracker: TaskTracker,
    permits: Arc<Semaphore>,
    /// How many permits there are.
    max: usize,
    by_address: Quota<IpAddr>,
    by_account: Quota<Uuid>,
    /// The server is about to go away: nobody new is let in.
    stop: CancellationToken,
    heartbeat: Duration,
    /// Over which the sessions are sent away.
    drain: Duration,
    /// Frames written.
    deliveries: metrics::Counter,
}

impl Sessions {
    /// Ends when a session is to go: some time after the server has been told to stop, each at its own.
    async fn leave(&self) {
        let after = self.drain.mul_f64(rand::rng().random());
        self.stop.cancelled().await;
        tokio::time::sleep(after).await;
    }
}

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
    let data_centers = match config.data_center_networks.as_deref() {
        Some(path) if path == Path::new("off") => Networks::default(),
        Some(path) => Networks::read(path).context("CLICKWIRE_DATA_CENTER_NETWORKS")?,
        None => Networks::data_centers()?,
    };
    let countries = match &config.geoip_file {
        Some(path) => Countries::read(path).context("CLICKWIRE_GEOIP_FILE")?,
        None => Countries::default(),
    };
    let tls = match config.tls() {
        Some(files) => {
            Some(Arc::new(Tls::read(files).context("CLICKWIRE_TLS_CERTIFICATE, CLICKWIRE_TLS_KEY")?))
        }
        None => None,
    };
    let file = config.data_center_networks.as_deref().unwrap_or(Path::new("built in"));
    tracing::info!(file = %file.display(), networks = data_centers.len(), "networks of data centres");
    match &config.geoip_file {
        Some(file) => {
            tracing::info!(file = %file.display(), kind = countries.kind(), "countries of addresses");
        }
        None => tracing::info!("no file with countries of addresses: CLICKWIRE_GEOIP_FILE"),
    }
    let pools = Pools::connect(&config)?;
    // If it is another one, this ends it.
    let stop = stop.child_token();
    let is_ours =
        timeout(KEYS_WITHIN, store::deployment::is_confirmed(&pools.following, &config.stream)).await;
    is_ours.unwrap_or(Ok(false))?;
    let deployment = tokio::spawn(store::deployment::confirm(
        pools.following.clone(),
        config.stream.clone(),
        stop.clone(),
    ));
    let tenants = Tenants::questions(&config)?;
    let redis = Connection::open(&config.redis_url).context("CLICKWIRE_REDIS_URL")?;
    let hasher = Arc::new(Hasher::new(&config.ip_hash_key, config.ip_hash_key_next.as_ref()));
    identity::password::warm_up();
    // Before anything is recorded.
    let metrics = clickwire_process::metrics::record(stop.clone());
    let sessions = Sessions {
        tracker: TaskTracker::new(),
        permits: Arc::new(Semaphore::new(config.live_sessions_max)),
        max: config.live_sessions_max,
        by_address: Quota::new(config.live_sessions_per_address),
        by_account: Quota::new(config.live_sessions_per_account),
        stop: stop.clone(),
        heartbeat: Duration::from_millis(config.live_heartbeat_ms),
        drain: Duration::from_secs(config.drain_seconds),
        deliveries: metrics::counter!("clickwire_live_deliveries_total"),
    };
    // Requests and sessions go on until then.
    let drained = CancellationToken::new();
    let intake = Intake::start(&config, &stop).await?;
    let keys = Ring::new(&config.ingest_keys, pools.following.clone());
    let feeds = Tenants::feeds(&config)?;
    let hub = Hub::start(&config, redis.clone(), pools.following.clone(), feeds, &drained);
    let lifetime = Duration::from_secs(u64::from(config.click_id_hours) * 3_600);
    let click_ids = Arc::new(Signer::new(&config.click_id_keys, config.ip_hash_key.as_bytes(), lifetime));
    let access = Arc::new(Access::new(&config, pools.following.clone())?);
    let state = AppState(Arc::new(Shared {
        access: Arc::clone(&access),
        attempts: Attempts::new(),
        hasher: Arc::clone(&hasher),
        keys: keys.clone(),
        proxies: Proxies::new(config.trusted_proxies.iter().copied().collect(), config.forwarded_header),
        addresses: Addresses::new(Rate::per_second(config.address_rate, config.address_burst)),
        dead_letters: DeadLetters::new(intake.jetstream().clone(), Names::new(&config.stream)),
        names: Names::new(&config.stream),
        redis_prefix: config.redis_prefix.as_str().into(),
        intake: intake.clone(),
        enricher: Enricher::new(hasher, data_centers, countries, Arc::clone(&click_ids)),
        hints: Hints::new(redis.clone(), &config.redis_prefix),
        idempotency: Idempotency::new(
            redis.clone(),
            config.redis_prefix.as_str().into(),
            config.ip_hash_key.as_bytes(),
        ),
        batches: Batches::default(),
        click_ids,
        ads: Ads::start(&hub, redis.clone(), pools.ads.clone(), &config.redis_prefix),
        owners: Owners::new(pools.ads),
        hub,
        tenants,
        database: pools.reading,
        admin_database: pools.writing,
        sign_in_database: pools.sign_in,
        turns: Quota::new(1),
        health: Checks::default(),
        redis: redis.clone(),
        partitions: config.partitions,
        sessions: sessions.clone(),
        polled: Polled::default(),
        metrics,
        document: http::openapi::document(api(posts()).into_openapi()).context("the OpenAPI document")?,
    }));
    // Else a server that has just started would have to tell everybody to come again.
    let refreshed = async {
        keys.refresh().await?;
        access.directory.refresh().await
    };
    let rules_from = pools.following.clone();
    let checks = Probe { checks: state.health.clone(), redis, database: pools.following };
    let (refreshed, ()) = tokio::join!(timeout(KEYS_WITHIN, refreshed), checks.check());
    if !matches!(refreshed, Ok(Ok(()))) {
        tracing::warn!("keys and accounts could not be read yet");
    }
    let following = {
        let directory = access.directory.clone();
        let (hints, hinted) = (state.hints.clone(), keys.clone());
        let rules = async move || {
            if hinted.gives_hints() { hints.refresh(&rules_from).await } else { Ok(()) }
        };
        let rules = follow("rules", rules, drained.clone());
        let keys = follow("keys", async move || keys.refresh().await, drained.clone());
        let accounts = follow("accounts", async move || directory.refresh().await, drained.clone());
        let checks = checks.follow(drained.clone());
        tokio::spawn(async move { tokio::join!(keys, accounts, checks, rules) })
    };
    if let Some(tls) = tls.clone() {
        tokio::spawn(tls.follow(drained.clone()));
    }
    let limits = http::serve::Limits {
        connections: config.connections_max,
        per_address: config.connections_per_address,
        proxies: config.trusted_proxies.iter().copied().collect(),
        spared: SPARED,
        times: Times {
            head: Duration::from_millis(config.head_timeout_ms),
            idle: Duration::from_millis(config.idle_timeout_ms),
            taken: Duration::from_millis(config.unread_timeout_ms),
        },
        unsent_bytes: config.unread_max_bytes,
        requests: Seen {
            within: Duration::from_millis(config.request_timeout_ms),
            is_secure: config.is_secure(),
        },
        grace: GRACE,
    };
    sessions.tracker.spawn(state.polled.clone().sweep(stop.clone()));
    let draining = tokio::spawn({
        let drain = sessions.clone();
        let drained = drained.clone();
        async move {
            drain.stop.cancelled().await;
            drain.tracker.close();
            if timeout(drain.drain + GRACE, drain.tracker.wait()).await.is_err() {
                tracing::warn!(sessions = drain.tracker.len(), "live sessions did not end in time");
            }
            drained.cancel();
        }
    });
    tokio::join!(
        http::serve::serve(
            metrics_listener,
            None,
            operators(state.clone()),
            limits.for_operators(),
            &drained
        ),
        http::serve::serve(listener, tls, routes(state), limits, &drained),
    );
    draining.await.context("the task that drains sessions panicked")?;
    following.await.context("the task that follows keys and accounts panicked")?;
    if timeout(GRACE, intake.close()).await.is_err() {
        tracing::error!("the spool could not be closed in time");
    }
    deployment.await.context("the task that asks whose database it is panicked")?
}

fn routes(state: AppState) -> Router {
    let admit = middleware::from_fn_with_state(state.clone(), intake::admission::admit);
    Router::from(api(posts().route_layer(admit)))
        .merge(http::page::router())
        .fallback(redirect::elsewhere)
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(middleware::from_fn(http::parameters::refuse_nul_in_path))
        .layer(middleware::from_fn(intake::cors::posts))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}

/// What the operator's programs ask, on an address of its own.
fn operators(state: AppState) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::report))
        .fallback(|| async { Error::NotFound })
        .with_state(state)
}

/// What takes clicks from programs.
fn posts() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(intake::post::post_click)).routes(routes!(batch::post_batch))
}

/// Everything but the page's files. What is routed here is in the OpenAPI document.
fn api(posts: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    posts
        .routes(routes!(redirect::redirect))
        .routes(routes!(query::analytics::aggregate))
        .routes(routes!(query::entities::advertisers))
        .routes(routes!(query::entities::campaigns))
        .routes(routes!(query::settings::show))
        .nest("/api/v1/admin", admin::routes())
        .nest("/api/v1/alerts", admin::incidents::routes())
        .nest("/api/v1/session", identity::sign_in::routes())
        .nest("/api/v1/account", identity::own::routes())
        .routes(routes!(live::upgrade))
        .routes(routes!(live::http::events))
        .routes(routes!(live::http::poll))
        .routes(routes!(http::openapi::show))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::report))
}
