//! A server is built: its files read, its services connected as soon as they can be, its states composed.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use clickwire_dead_letters::DeadLetters;
use clickwire_process::redis::Connection;
use clickwire_protocol::stream::Names;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{App, AppState, GRACE, States, routes};
use crate::{
    admin::{erasures, pipeline::Pipeline, state::AdminState, storage::Measurements},
    config::Config,
    graphql::GraphqlState,
    health::{Checks, HealthState, Probe},
    http::{
        networks::Networks,
        openapi,
        quota::Quota,
        rate_limit::{Addresses, Attempts, Callers, Rate},
        requests::Seen,
        serve::{self, Times},
        state::HttpState,
        tls::Tls,
        visitor::Proxies,
    },
    identity::{access::Access, address::Hasher, password, state::IdentityState},
    intake::{
        self, Intake, click_id::Signer, countries::Countries, enrich::Enricher, hints::Hints,
        idempotency::Idempotency, in_hand::Batches, keys::ring::Ring, owners::Owners, state::IntakeState,
    },
    live::{
        Hub,
        http::Polled,
        state::{LiveState, Sessions},
    },
    query::{export::jobs::Webhooks, state::QueryState},
    redirect::{ads::Ads, state::RedirectState},
    store::{
        database::{Databases, Pools, Tenants},
        deployment,
        following::follow,
    },
};

/// The longest wait for the keys in the database; after it the server serves without them.
const KEYS_WITHIN: Duration = Duration::from_secs(2);

/// A connection that has been idle for less may just be sending a request.
const SPARED: Duration = Duration::from_millis(500);

/// Contents of the files that the configuration names.
struct Files {
    data_centers: Networks,
    countries: Countries,
    tls: Option<Arc<Tls>>,
}

impl App {
    /// Builds a server that stops with `stop`.
    pub(super) async fn build(config: &Config, stop: CancellationToken) -> anyhow::Result<Self> {
        let files = Files::read(config)?;
        let databases = Databases::open(config).await?;
        let pools = Pools::connect(&databases);
        let is_ours = timeout(KEYS_WITHIN, deployment::is_confirmed(&pools.following, &config.stream)).await;
        is_ours.unwrap_or(Ok(false))?;
        let deployment =
            tokio::spawn(deployment::confirm(pools.following.clone(), config.stream.clone(), stop.clone()));
        let redis = Connection::open(&config.redis_url).context("CLICKWIRE_REDIS_URL")?;
        password::warm_up();
        // Before anything is recorded.
        let metrics = clickwire_process::metrics::record(stop.clone());
        let sessions = Sessions::new(config, stop.clone());
        let drained = CancellationToken::new();
        let intake = Intake::start(config, &stop).await?;
        let hub =
            Hub::start(config, redis.clone(), pools.following.clone(), Tenants::feeds(&databases), &drained);
        let tls = files.tls.clone();
        let parts = Parts {
            files,
            databases,
            pools: pools.clone(),
            redis: redis.clone(),
            intake: intake.clone(),
            hub,
        };
        let checks = Checks::default();
        let state = parts.compose(
            config,
            &sessions,
            HealthState {
                roles: config.roles.clone(),
                intake: intake.clone(),
                stop,
                checks: checks.clone(),
                metrics,
            },
        )?;
        let redis_prefix = config.redis_prefix.as_str().into();
        let probe = Probe { checks, redis, redis_prefix, database: pools.following.clone() };
        let following = begin_to_follow(&state, probe, &pools, &drained).await;
        Ok(Self { config: config.clone(), state, tls, intake, sessions, drained, following, deployment })
    }
}

/// The parts from which the wings' states are built.
struct Parts {
    files: Files,
    databases: Databases,
    pools: Pools,
    redis: Connection,
    intake: Intake,
    hub: Hub,
}

/// The values that more than one wing uses.
struct Shared {
    access: Arc<Access>,
    addresses: Arc<Addresses>,
    ads: Ads,
    click_ids: Arc<Signer>,
    enricher: Enricher,
    hasher: Arc<Hasher>,
    keys: Ring,
    redis_prefix: Arc<str>,
}

impl Shared {
    fn new(
        config: &Config,
        files: Files,
        pools: &Pools,
        redis: &Connection,
        hub: &Hub,
    ) -> anyhow::Result<Self> {
        let hasher = Arc::new(Hasher::new(&config.ip_hash_key, config.ip_hash_key_next.as_ref()));
        let lifetime = Duration::from_secs(u64::from(config.click_id_hours) * 3_600);
        let click_ids = Arc::new(Signer::new(&config.click_id_keys, config.ip_hash_key.as_bytes(), lifetime));
        let Files { data_centers, countries, tls: _ } = files;
        Ok(Self {
            access: Arc::new(Access::new(config, pools.following.clone())?),
            addresses: Arc::new(Addresses::new(Rate::per_second(config.address_rate, config.address_burst))),
            ads: Ads::start(hub, redis.clone(), pools.ads.clone(), &config.redis_prefix),
            enricher: Enricher::new(Arc::clone(&hasher), data_centers, countries, Arc::clone(&click_ids)),
            click_ids,
            hasher,
            keys: Ring::new(&config.ingest_keys, pools.following.clone()),
            redis_prefix: config.redis_prefix.as_str().into(),
        })
    }
}

impl Parts {
    fn compose(self, config: &Config, sessions: &Sessions, health: HealthState) -> anyhow::Result<AppState> {
        let Self { files, databases, pools, redis, intake, hub } = self;
        let shared = Shared::new(config, files, &pools, &redis, &hub)?;
        let Shared { access, addresses, ads, click_ids, enricher, hasher, keys, redis_prefix } = shared;
        let document = openapi::document(routes::api(&intake::routes(), &config.roles).into_openapi());
        let proxies = Proxies::new(config.trusted_proxies.iter().copied().collect(), config.forwarded_header);
        let (names, secret) = (Names::new(&config.stream), config.ip_hash_key.as_bytes());
        let query = Arc::new(QueryState {
            tenants: Tenants::questions(&databases, config.database_connections),
            exports: Tenants::exports(&databases),
            jobs: pools.jobs,
            webhooks: config
                .report_webhook_secret
                .as_deref()
                .map(Webhooks::new)
                .transpose()
                .context("CLICKWIRE_REPORT_WEBHOOK_SECRET: the system's certificates")?,
            database: pools.reading.clone(),
            partitions: config.partitions,
        });
        let live = Arc::new(LiveState {
            access: Arc::clone(&access),
            addresses: Arc::clone(&addresses),
            hub: hub.clone(),
            sessions: sessions.clone(),
            polled: Polled::default(),
        });
        let graphql = Arc::new(GraphqlState::new(Arc::clone(&access), Arc::clone(&query), Arc::clone(&live)));
        Ok(AppState(Arc::new(States {
            http: Arc::new(HttpState { proxies, document: document.context("the OpenAPI document")? }),
            identity: Arc::new(IdentityState {
                access: Arc::clone(&access),
                attempts: Attempts::new(),
                hasher,
                database: pools.sign_in,
                turns: Quota::new(1),
            }),
            query,
            intake: Arc::new(IntakeState {
                intake: intake.clone(),
                keys: keys.clone(),
                addresses: Arc::clone(&addresses),
                enricher: enricher.clone(),
                idempotency: Idempotency::new(redis.clone(), Arc::clone(&redis_prefix), secret),
                hints: Hints::new(redis.clone(), &config.redis_prefix),
                batches: Batches::default(),
                owners: Owners::new(pools.ads),
            }),
            graphql,
            live,
            admin: Arc::new(AdminState {
                access,
                keys,
                ads: ads.clone(),
                reading: pools.reading,
                writing: pools.writing,
                erasures: erasures::codes(secret),
                dead_letters: DeadLetters::new(intake.jetstream().clone(), names.clone()),
                names,
                redis,
                redis_prefix,
                partitions: config.partitions,
                sends_reports: config.report_webhook_secret.is_some(),
                hub,
                sessions: sessions.clone(),
                pipeline: Pipeline::default(),
                storage: Measurements::new(config, intake.clone()),
                stats: Quota::new(1),
                preview: Arc::default(),
            }),
            redirect: Arc::new(RedirectState {
                ads,
                addresses,
                testers: Callers::new(Rate::TEST_CLICKS),
                enricher,
                click_ids,
                intake,
            }),
            health: Arc::new(health),
        })))
    }
}

impl Files {
    fn read(config: &Config) -> anyhow::Result<Self> {
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
        Ok(Self { data_centers, countries, tls })
    }
}

/// Reads keys and accounts once, or gives up for now, and follows them and the rules until `drained`.
async fn begin_to_follow(
    state: &AppState,
    probe: Probe,
    pools: &Pools,
    drained: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let keys = state.0.intake.keys.clone();
    let directory = state.0.identity.access.directory.clone();
    // Else a server that has just started would have to tell everybody to come again.
    let refreshed = async {
        keys.refresh().await?;
        directory.refresh().await
    };
    let (refreshed, ()) = tokio::join!(timeout(KEYS_WITHIN, refreshed), probe.check());
    if !matches!(refreshed, Ok(Ok(()))) {
        tracing::warn!("keys and accounts could not be read yet");
    }
    let (hints, hinted, database) = (state.0.intake.hints.clone(), keys.clone(), pools.following.clone());
    let rules = async move || if hinted.gives_hints() { hints.refresh(&database).await } else { Ok(()) };
    let rules = follow("rules", rules, drained.clone());
    let keys = follow("keys", async move || keys.refresh().await, drained.clone());
    let accounts = follow("accounts", async move || directory.refresh().await, drained.clone());
    let checks = probe.follow(drained.clone());
    tokio::spawn(async move {
        tokio::join!(keys, accounts, checks, rules);
    })
}

/// Returns the limits of connections.
pub(super) fn limits(config: &Config) -> serve::Limits {
    serve::Limits {
        is_public: true,
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
    }
}
