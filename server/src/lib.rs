//! The server: takes clicks in over HTTP, answers analytics, pushes changes to dashboards.
//!
//! - [`intake`]: a click is answered 202 only when the broker, or the spool, has it on the disk
//! - [`keys`]: who may post; [`limits`]: how much; [`visitor`]: who is at the other end
//! - [`redirect`]: a click on an ad's link; its [`click_id`] is signed
//! - [`analytics`] and [`entities`]: questions to the database, scoped by [`access`]
//! - [`admin`]: what administrators do, and [`access::Admin`] guards: [`dead_letters`], [`rules`],
//!   [`verdicts`], [`catalog`], [`stats`]
//! - [`alerts`]: incidents, which administrators list and acknowledge; [`access::Admin`] guards them
//! - [`live`]: the gateway that dashboards are connected to
//! - [`serve`]: connections, their limits and their end; [`requests`]: what every request has
//! - [`openapi`]: the document of all that, made from the code
//! - [`page`]: the dashboard itself, embedded in the program

pub mod config;

mod access;
mod address;
mod admin;
mod alerts;
mod analytics;
mod catalog;
mod click_id;
mod countries;
mod database;
mod dead_letters;
mod entities;
mod error;
mod health;
mod intake;
pub mod keys;
mod limits;
mod live;
mod networks;
mod openapi;
mod page;
mod redirect;
mod requests;
mod rules;
mod serve;
mod stats;
mod verdicts;
pub mod visitor;
mod watermark;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, extract::DefaultBodyLimit, middleware};
use bytes::Bytes;
use clickwire_dead_letters::DeadLetters;
use clickwire_process::redis::Connection;
use clickwire_protocol::stream::Names;
use rand::RngExt as _;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::Access,
    address::Hasher,
    click_id::Signer,
    config::Config,
    countries::Countries,
    error::Error,
    intake::{Intake, batch, enrich::Enricher, idempotency::Idempotency},
    keys::ring::Ring,
    limits::{Addresses, Rate},
    live::{ByAddress, Hub, http::Polled},
    networks::Networks,
    redirect::ads::Ads,
    visitor::Proxies,
};

/// Largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long the server waits for the keys in the database before it serves without them.
const KEYS_WITHIN: Duration = Duration::from_secs(2);

/// How long sessions and requests may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What handlers share; cheap to clone.
#[derive(Clone)]
struct AppState {
    access: Arc<Access>,
    keys: Ring,
    proxies: Arc<Proxies>,
    addresses: Arc<Addresses>,
    intake: Intake,
    enricher: Enricher,
    idempotency: Idempotency,
    /// One for each batch that may be in hand.
    batches: Arc<Semaphore>,
    click_ids: Arc<Signer>,
    ads: Ads,
    /// Can only read.
    database: PgPool,
    /// Can write: for handlers that ask for [`access::Admin`], and no others.
    admin_database: PgPool,
    dead_letters: DeadLetters,
    names: Names,
    redis_prefix: Arc<str>,
    redis: Connection,
    hub: Hub,
    partitions: u16,
    sessions: Sessions,
    /// Origins, beside the server's own, whose pages may have live data.
    allowed_origins: Arc<[String]>,
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
    by_address: ByAddress,
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
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let data_centers = match &config.data_center_networks {
        Some(path) => Networks::read(path).context("CLICKWIRE_DATA_CENTER_NETWORKS")?,
        None => Networks::default(),
    };
    let countries = match &config.geoip_file {
        Some(path) => Countries::read(path).context("CLICKWIRE_GEOIP_FILE")?,
        None => Countries::default(),
    };
    tracing::info!(networks = data_centers.len(), "networks of data centres");
    let database = database::connect_to_read(&config)?;
    let admin_database = database::connect_to_write(&config)?;
    let redis_client = redis::Client::open(config.redis_url.as_str()).context("CLICKWIRE_REDIS_URL")?;
    let redis = Connection::new(redis_client.clone())?;
    let hasher = Hasher::new(&config.ip_hash_key, config.ip_hash_key_next.as_ref());
    // Before anything is recorded.
    let metrics = clickwire_process::metrics::record(stop.clone());
    let sessions = Sessions {
        tracker: TaskTracker::new(),
        permits: Arc::new(Semaphore::new(config.live_sessions_max)),
        max: config.live_sessions_max,
        by_address: ByAddress::new(config.live_sessions_per_address),
        stop: stop.clone(),
        heartbeat: Duration::from_millis(config.live_heartbeat_ms),
        drain: Duration::from_secs(config.drain_seconds),
        deliveries: metrics::counter!("clickwire_live_deliveries_total"),
    };
    let intake = Intake::start(&config, &stop).await?;
    let keys = Ring::new(&config.ingest_keys);
    let hub = Hub::start(&config, redis_client, redis.clone(), database.clone(), &stop);
    let lifetime = Duration::from_secs(u64::from(config.click_id_hours) * 3_600);
    let click_ids = Arc::new(Signer::new(&config.click_id_keys, config.ip_hash_key.as_bytes(), lifetime));
    let state = AppState {
        access: Arc::new(Access::new(&config)?),
        keys: keys.clone(),
        proxies: Arc::new(Proxies::new(
            config.trusted_proxies.iter().copied().collect(),
            config.forwarded_header,
        )),
        addresses: Arc::new(Addresses::new(Rate {
            per_second: config.address_rate,
            burst: config.address_burst,
        })),
        dead_letters: DeadLetters::new(intake.jetstream().clone(), Names::new(&config.stream)),
        names: Names::new(&config.stream),
        redis_prefix: config.redis_prefix.as_str().into(),
        intake: intake.clone(),
        enricher: Enricher::new(hasher, data_centers, countries, Arc::clone(&click_ids)),
        idempotency: Idempotency::new(
            redis.clone(),
            config.redis_prefix.as_str().into(),
            config.ip_hash_key.as_bytes(),
        ),
        batches: Arc::new(Semaphore::new(batch::MAX_BATCHES)),
        click_ids,
        ads: Ads::start(&hub, redis.clone(), database.clone(), &config.redis_prefix),
        hub,
        database,
        admin_database,
        redis,
        partitions: config.partitions,
        sessions: sessions.clone(),
        polled: Polled::default(),
        allowed_origins: config.allowed_origins.clone().into(),
        metrics,
        document: openapi::document(api(posts()).into_openapi()).context("the OpenAPI document")?,
    };
    // Else a server that has just started would have to tell everybody to come again.
    if !matches!(timeout(KEYS_WITHIN, keys.refresh(&state.database)).await, Ok(Ok(()))) {
        tracing::warn!("keys could not be read yet");
    }
    let following = tokio::spawn(keys.follow(state.database.clone(), stop.clone()));
    let limits = serve::Limits {
        connections: config.connections_max,
        request: Duration::from_millis(config.request_timeout_ms),
        grace: GRACE,
    };
    sessions.tracker.spawn(state.polled.clone().sweep(stop.clone()));
    let (drained, drain) = (CancellationToken::new(), sessions.clone());
    let draining = tokio::spawn({
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
    serve::serve(listener, routes(state), limits, &drained).await;
    draining.await.context("the task that drains sessions panicked")?;
    following.await.context("the task that follows keys panicked")?;
    if timeout(GRACE, intake.close()).await.is_err() {
        tracing::error!("the spool could not be closed in time");
    }
    Ok(())
}

fn routes(state: AppState) -> Router {
    let admit = middleware::from_fn_with_state(state.clone(), intake::admission::admit);
    Router::from(api(posts().route_layer(admit)))
        .merge(page::router())
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
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
        .routes(routes!(analytics::aggregate))
        .routes(routes!(entities::advertisers))
        .routes(routes!(entities::campaigns))
        .nest("/api/v1/admin", admin::routes())
        .nest("/api/v1/alerts", alerts::routes())
        .routes(routes!(live::upgrade))
        .routes(routes!(live::http::events))
        .routes(routes!(live::http::poll))
        .routes(routes!(openapi::show))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::report))
        .routes(routes!(health::metrics))
}
