//! Servers and aggregators of one test, with names and a database of their own.

use std::{
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use clickwire_ledger::counts::RECEIVED;
use clickwire_load::http::{Connection, Server};
use clickwire_protocol::{
    click::Click,
    ids::AdvertiserId,
    live::{Filters, View},
    stream::{DEFAULT_PARTITIONS, Names, partition_of},
};
use clickwire_services::{Options, Port, Server as Service, Services};
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    Brokers, Program, Proxy,
    database::{self, Database},
    eventually,
    way::{Certificate, Client, Way},
};

/// Keys and tokens of every stack.
const INGEST_KEY: &str = "ingest-key-of-the-tests";
const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

/// A superuser's URL of a database server to try these tests with: docs/operate/timescaledb.md.
const DATABASE_URL: &str = "CLICKWIRE_E2E_DATABASE_URL";

/// A system under test; everything it started ends with it.
pub struct Stack {
    services: Shared,
    pub(crate) environment: Vec<(&'static str, String)>,
    server_url: String,
    stream: String,
    prefix: String,
    /// Of three brokers that have the stream in place of the services' one.
    brokers_url: Option<String>,
    database_url: String,
    database: PgPool,
    /// The test's own database, whose jobs stop with this.
    _own_database: Option<Database>,
    wires: Vec<(Service, Proxy)>,
    pub(crate) spools: TempDir,
    certificate: Option<(Certificate, TempDir)>,
    servers: u32,
}

enum Shared {
    Ours(Box<Services>),
    OfTheProcess(&'static Services),
}

impl Stack {
    /// Names and an empty, migrated database on services that all tests of the process share.
    pub async fn new() -> Result<Self> {
        let services =
            tokio::task::spawn_blocking(Services::shared).await?.map_err(|error| anyhow!("{error}"))?;
        Self::on(Shared::OfTheProcess(services)).await
    }

    /// Services for this test alone, which it may stop and kill.
    pub async fn alone() -> Result<Self> {
        let services =
            tokio::task::spawn_blocking(|| Services::start(&Options::temporary(), &|_| ())).await??;
        Self::on(Shared::Ours(Box::new(services))).await
    }

    async fn on(services: Shared) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (stream, prefix) = (format!("CLICKS-{number}"), format!("test-{number}"));
        let mut own_database = None;
        let database_url = match &services {
            Shared::Ours(services) => {
                clickwire_ledger::schema::migrate(services.database_url(), true).await?;
                services.database_url().to_owned()
            }
            Shared::OfTheProcess(services) => match std::env::var(DATABASE_URL) {
                Ok(url) => database::migrated_at(&url).await.context(DATABASE_URL)?,
                Err(_) => own_database.insert(Database::copy(services).await?).url.clone(),
            },
        };
        let database = PgPool::connect(&database_url).await?;
        let mut stack = Self {
            services,
            environment: Vec::new(),
            server_url: String::new(),
            stream,
            prefix,
            brokers_url: None,
            database_url,
            database,
            _own_database: own_database,
            wires: Vec::new(),
            spools: TempDir::new()?,
            certificate: None,
            servers: 0,
        };
        stack.environment = vec![
            ("CLICKWIRE_NATS_URL", stack.services().nats_url().to_owned()),
            ("CLICKWIRE_REDIS_URL", stack.services().redis_url().to_owned()),
            ("CLICKWIRE_DATABASE_URL", stack.database_url.clone()),
            // Clicks of an aggregator that died come again this soon.
            ("CLICKWIRE_ACK_WAIT_SECONDS", "2".to_owned()),
            ("CLICKWIRE_STREAM", stack.stream.clone()),
            // The broker reserves it for every stream of the tests, and has 16 GiB for all of them.
            ("CLICKWIRE_STREAM_MAX_BYTES", (96 << 20).to_string()),
            ("CLICKWIRE_DEAD_LETTERS_MAX_BYTES", (8 << 20).to_string()),
            ("CLICKWIRE_REDIS_PREFIX", stack.prefix.clone()),
            // All clients of the tests have one address.
            ("CLICKWIRE_ADDRESS_RATE", "100000".to_owned()),
            ("CLICKWIRE_ADDRESS_BURST", "100000".to_owned()),
            ("CLICKWIRE_INGEST_KEYS", INGEST_KEY.to_owned()),
            ("CLICKWIRE_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
            (
                "CLICKWIRE_VIEWER_TOKENS",
                format!(
                    "adv_001={},adv_002={}",
                    Self::viewer_token("adv_001"),
                    Self::viewer_token("adv_002")
                ),
            ),
            ("CLICKWIRE_IP_HASH_KEY", "ip-hash-key-of-the-tests".to_owned()),
            ("CLICKWIRE_HOUSEKEEPING_SECONDS", "1".to_owned()),
            // The broker's client reports every attempt to connect as an error.
            ("CLICKWIRE_LOG", "error,async_nats=off".to_owned()),
        ];
        Ok(stack)
    }

    /// Sets a variable for programs that are started from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    /// Gives a certificate to servers that are started from now on: they speak TLS and nothing else.
    pub fn certify(&mut self) -> Result<()> {
        let folder = TempDir::new()?;
        let certificate = Certificate::write(folder.path())?;
        let path = |name| folder.path().join(name).display().to_string();
        self.set("CLICKWIRE_TLS_CERTIFICATE", &path("certificate.pem"));
        self.set("CLICKWIRE_TLS_KEY", &path("key.pem"));
        self.certificate = Some((certificate, folder));
        Ok(())
    }

    /// Returns the certificate that clients of a server with TLS trust.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref().map(|(certificate, _)| certificate)
    }

    /// `host:port` of the server.
    pub fn authority(&self) -> &str {
        self.server_url.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// A connection to the server.
    pub async fn connect(&self, way: Way) -> Result<Client> {
        Client::connect(way, self.authority(), self.certificate()).await
    }

    /// Leaves a variable to its default, for programs that are started from now on.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| *known != name);
    }

    /// Puts proxies between the services and programs that are started from now on.
    pub async fn wire(&mut self) -> Result<()> {
        let services = self.services();
        let urls = [
            (Service::Nats, "CLICKWIRE_NATS_URL", services.nats_url().to_owned()),
            (Service::Redis, "CLICKWIRE_REDIS_URL", services.redis_url().to_owned()),
            (Service::Database, "CLICKWIRE_DATABASE_URL", self.database_url.clone()),
        ];
        for (service, name, url) in urls {
            let proxy = Proxy::start(service.name(), port_of(&url)?).await?;
            let wired = url.replacen(&format!(":{}", port_of(&url)?), &format!(":{}", proxy.port()), 1);
            self.set(name, &wired);
            self.wires.push((service, proxy));
        }
        Ok(())
    }

    /// The wire to a service; [`Stack::wire`] has put it there.
    pub fn wire_to(&self, service: Service) -> Result<&Proxy> {
        let wire = self.wires.iter().find(|(known, _)| *known == service).map(|(_, proxy)| proxy);
        wire.context("there is no proxy before this service")
    }

    /// Puts the stream on three brokers, for programs that are started from now on.
    pub fn put_on(&mut self, brokers: &Brokers) {
        self.set("CLICKWIRE_NATS_URL", &brokers.url());
        self.set("CLICKWIRE_STREAM_REPLICAS", "3");
        self.brokers_url = Some(brokers.url());
    }

    /// The broker, or whichever of three takes the connection, without a proxy in between.
    pub async fn broker(&self) -> Result<async_nats::jetstream::Context> {
        if let Some(url) = &self.brokers_url {
            let client = clickwire_process::nats::connect(async_nats::ConnectOptions::new(), url).await?;
            return Ok(async_nats::jetstream::new(client));
        }
        Ok(async_nats::jetstream::new(async_nats::connect(self.services().nats_url()).await?))
    }

    /// Ids of clicks of one partition of the default number, all different.
    pub fn ids_in(partition: u16) -> impl Iterator<Item = Uuid> {
        std::iter::repeat_with(Uuid::new_v4)
            .filter(move |id| partition_of(*id, DEFAULT_PARTITIONS) == partition)
    }

    /// Puts clicks on the stream, as a server would but without message ids.
    pub async fn publish(&self, clicks: &[Click]) -> Result<()> {
        let broker = self.broker().await?;
        let mut stored = Vec::with_capacity(clicks.len());
        for click in clicks {
            let partition = partition_of(click.click_id, DEFAULT_PARTITIONS);
            let message = serde_json::to_vec(click)?;
            stored.push(broker.publish(self.names().subject(partition), message.into()).await?);
        }
        for stored in stored {
            stored.await?;
        }
        Ok(())
    }

    /// Waits until an aggregator has made the ledger's chunk of today: a transaction that made it itself
    /// would keep all others waiting.
    pub async fn has_chunks(&self) -> Result<()> {
        eventually("today has its chunk", Duration::from_secs(20), async || {
            let chunk = "SELECT FROM timescaledb_information.chunks WHERE hypertable_name = 'clicks' \
                          AND now() >= range_start AND now() < range_end";
            sqlx::query(chunk).fetch_optional(self.database()).await.ok()?.map(drop)
        })
        .await
    }

    /// Waits until yesterday is stored as a day: at midnight its last minutes are not final for some more, and until an
    /// aggregator has been at work the database is as it was when the tests began, maybe yesterday.
    pub async fn yesterday_is_stored(&self) -> Result<()> {
        eventually("yesterday is stored", Duration::from_secs(300), async || {
            let stored = "SELECT FROM rollup_progress WHERE days_before = date_trunc('day', now(), 'UTC')";
            sqlx::query(stored).fetch_optional(self.database()).await.ok()?.map(drop)
        })
        .await
    }

    /// Waits until a server waits for a lock in the database.
    pub async fn server_waits_for_a_lock(&self) -> Result<()> {
        eventually("the server waits for a lock", Duration::from_secs(20), async || {
            let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() \
                              AND application_name = 'clickwire-server' AND wait_event_type = 'Lock'";
            sqlx::query(waiting).fetch_optional(self.database()).await.ok()?.map(drop)
        })
        .await
    }

    /// Messages on the dead-letter stream.
    pub async fn dead_letters(&self) -> Result<u64> {
        let mut stream = self.broker().await?.get_stream(self.names().dead_letter_stream()).await?;
        Ok(stream.info().await?.state.messages)
    }

    /// The services underneath.
    pub fn services(&self) -> &Services {
        match &self.services {
            Shared::Ours(services) => services,
            Shared::OfTheProcess(services) => services,
        }
    }

    /// The database.
    pub fn database(&self) -> &PgPool {
        &self.database
    }

    /// Returns the URL of the database, with its owner's login.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Names of the stream and what belongs to it.
    pub fn names(&self) -> Names {
        Names::new(&self.stream)
    }

    /// First part of every Redis key.
    pub fn redis_prefix(&self) -> &str {
        &self.prefix
    }

    /// The server's address; empty before [`Stack::start_server`].
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// The token that opens one advertiser.
    pub fn viewer_token(advertiser_id: &str) -> String {
        format!("viewer-token-of-{advertiser_id}")
    }

    /// Starts a server and returns when it takes clicks. Unless [`Stack::set`] has given
    /// `CLICKWIRE_SPOOL`, it has a spool that no other server has.
    pub async fn start_server(&mut self) -> Result<Program> {
        let mut server = self.begin_server().await?;
        server.await_ready().await?;
        Ok(server)
    }

    /// The same of a server with a failpoint.
    pub async fn start_server_with_failpoint(&mut self, point: &str) -> Result<Program> {
        self.set("FAILPOINTS", point);
        let server = self.start_server().await;
        self.unset("FAILPOINTS");
        server
    }

    /// Starts a server and does not wait until it is ready.
    pub async fn begin_server(&mut self) -> Result<Program> {
        let port = Port::Free.reserve("clickwire-server")?;
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        self.server_url = format!("{scheme}://127.0.0.1:{}", port.port());
        self.servers += 1;
        let mut environment = self.environment.clone();
        if !environment.iter().any(|(name, _)| *name == "CLICKWIRE_SPOOL") {
            let spool = self.spool(&format!("server-{}", self.servers));
            environment.push(("CLICKWIRE_SPOOL", spool));
        }
        let metrics = Port::Free.reserve("clickwire-server's metrics")?;
        environment.push(("CLICKWIRE_METRICS_LISTEN", format!("127.0.0.1:{}", metrics.port())));
        Program::begin("clickwire-server", "CLICKWIRE_LISTEN", port, Some(metrics), environment).await
    }

    /// A place for a spool, which ends with this.
    pub fn spool(&self, name: &str) -> String {
        self.spools.path().join(name).with_extension("redb").display().to_string()
    }

    /// A place for a write-ahead log, which ends with this.
    pub fn wal(&self, name: &str) -> String {
        self.spools.path().join(name).with_extension("wal").display().to_string()
    }

    /// Starts an aggregator and returns when all partitions are attached.
    pub async fn start_aggregator(&self) -> Result<Program> {
        let port = Port::Free.reserve("clickwire-aggregator")?;
        let environment = self.environment.clone();
        Program::start("clickwire-aggregator", "CLICKWIRE_AGGREGATOR_LISTEN", port, environment).await
    }

    /// Starts an aggregator that fails at a point: `FAILPOINTS` of the `fail` crate, such as
    /// `committed=2*off->return` for the third time that the point is reached, or `unheard=5%return`.
    pub async fn start_aggregator_with_failpoint(&self, point: &str) -> Result<Program> {
        let mut aggregator = self.begin_aggregator_with_failpoint(point).await?;
        aggregator.await_ready().await?;
        Ok(aggregator)
    }

    /// The same, for a point that may be reached before it is ready.
    pub async fn begin_aggregator_with_failpoint(&self, point: &str) -> Result<Program> {
        let port = Port::Free.reserve("clickwire-aggregator")?;
        let mut environment = self.environment.clone();
        environment.push(("FAILPOINTS", point.to_owned()));
        Program::begin("clickwire-aggregator", "CLICKWIRE_AGGREGATOR_LISTEN", port, None, environment).await
    }

    /// Runs one of the aggregator's commands to its end.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        crate::program::output("clickwire-aggregator", arguments, &self.environment).await
    }

    /// Runs a server that is expected to end by itself.
    pub async fn serve_to_the_end(&self) -> Result<Output> {
        let mut environment = self.environment.clone();
        let port = Port::Free.reserve("clickwire-server")?;
        environment.push(("CLICKWIRE_LISTEN", format!("127.0.0.1:{}", port.port())));
        environment.push(("CLICKWIRE_SPOOL", "off".to_owned()));
        crate::program::output("clickwire-server", &[], &environment).await
    }

    /// Runs one of the aggregator's commands, which must end well, and returns what it printed.
    pub async fn operate(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs one of the server's commands, which must end well, and returns what it printed.
    pub async fn administer(&self, arguments: &[&str]) -> Result<Value> {
        let output = crate::program::output("clickwire-server", arguments, &self.environment).await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The key to post clicks with.
    pub fn ingest_key() -> &'static str {
        INGEST_KEY
    }

    /// Token that opens everything.
    pub fn admin_token() -> &'static str {
        ADMIN_TOKEN
    }

    /// A connection to post clicks over.
    pub fn poster(&self) -> Result<Connection> {
        Ok(Server::new(&self.server_url, INGEST_KEY)?.connection())
    }

    /// A connection to post clicks over with another key.
    pub fn poster_with(&self, key: &str) -> Result<Connection> {
        Ok(Server::new(&self.server_url, key)?.connection())
    }

    /// Makes a key that is bound to an advertiser, speaks for users, and is known to the server.
    pub async fn bound_key(&self, advertiser_id: &str) -> Result<String> {
        let wanted = serde_json::json!({"name": "a tenant", "mode": "live", "advertisers": [advertiser_id],
            "speaks_for_users": true, "rate_per_second": 100_000, "burst": 100_000});
        let body = wanted.to_string().into_bytes();
        let (status, answer) = self.as_admin()?.connection().post("/api/v1/admin/keys", body).await?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
        let issued: Value = serde_json::from_slice(&answer)?;
        Ok(issued["key"].as_str().context("no key")?.to_owned())
    }

    /// The server as an administrator sees it.
    pub fn as_admin(&self) -> Result<Server> {
        Ok(Server::new(&self.server_url, ADMIN_TOKEN)?)
    }

    /// The server as an advertiser sees it.
    pub fn as_viewer(&self, advertiser_id: &str) -> Result<Server> {
        Ok(Server::new(&self.server_url, &Self::viewer_token(advertiser_id))?)
    }

    /// All clicks of an advertiser in the last hours.
    pub fn view(advertiser_id: &str) -> View {
        View {
            advertiser_id: AdvertiserId::unchecked(advertiser_id),
            filters: Filters::default(),
            group_by: Vec::new(),
            window_minutes: 240,
        }
    }

    /// From now on another host of the database is asked what was counted.
    pub async fn look_at(&mut self, url: &str) -> Result<()> {
        self.database = PgPool::connect(url).await?;
        Ok(())
    }

    /// Rows in the ledger.
    pub async fn ledger(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM clicks").fetch_one(&self.database).await?)
    }

    /// Returns the number of received clicks, summed over one of the tables of buckets.
    pub async fn received(&self, table: Buckets) -> Result<i64> {
        let table = match table {
            Buckets::Minutes => "click_minutes",
            Buckets::Hours => "click_hours",
            Buckets::Days => "click_days",
        };
        let sql = format!("SELECT coalesce(sum({RECEIVED}), 0)::bigint FROM {table}");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.database).await?)
    }
}

/// A table of buckets.
#[derive(Clone, Copy, Debug)]
pub enum Buckets {
    /// `click_minutes`
    Minutes,
    /// `click_hours`
    Hours,
    /// `click_days`
    Days,
}

/// The port in a service's URL, the last thing before its path.
pub(crate) fn port_of(url: &str) -> Result<u16> {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
    let port = authority.and_then(|authority| authority.rsplit(':').next()?.parse().ok());
    port.with_context(|| "a service's URL names no port".to_owned())
}
