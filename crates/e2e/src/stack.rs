//! Servers and aggregators of one test.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use clickwire_load::http::{Connection, Server};
use clickwire_protocol::{
    live::{Filters, Kind, View},
    stream::Names,
};
use clickwire_services::{Options, Port, Reservation, Services};
use sqlx::PgPool;
use tokio::process::{Child, Command};

use crate::eventually;

/// Keys and tokens of every stack.
const INGEST_KEY: &str = "ingest-key-of-the-tests";
const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

/// A system under test; everything it started ends with it.
pub struct Stack {
    services: Shared,
    environment: Vec<(&'static str, String)>,
    server_url: String,
    stream: String,
    prefix: String,
    database_url: String,
    database: PgPool,
}

enum Shared {
    Ours(Box<Services>),
    OfTheProcess(&'static Services),
}

/// A server or an aggregator as a process of its own.
pub struct Program {
    child: Child,
    port: Reservation,
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
        let database_url = match &services {
            Shared::Ours(services) => services.database_url().to_owned(),
            Shared::OfTheProcess(services) => {
                tokio::task::spawn_blocking(|| services.fresh_database()).await??
            }
        };
        clickwire_aggregator::schema::migrate(&database_url, true).await?;
        let database = PgPool::connect(&database_url).await?;
        let mut stack = Self {
            services,
            environment: Vec::new(),
            server_url: String::new(),
            stream,
            prefix,
            database_url,
            database,
        };
        stack.environment = vec![
            ("CLICKWIRE_NATS_URL", stack.services().nats_url().to_owned()),
            ("CLICKWIRE_REDIS_URL", stack.services().redis_url().to_owned()),
            ("CLICKWIRE_DATABASE_URL", stack.database_url.clone()),
            ("CLICKWIRE_STREAM", stack.stream.clone()),
            // The broker reserves it for every stream of the tests.
            ("CLICKWIRE_STREAM_MAX_BYTES", (256 << 20).to_string()),
            ("CLICKWIRE_REDIS_PREFIX", stack.prefix.clone()),
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
            ("CLICKWIRE_LOG", "error".to_owned()),
        ];
        Ok(stack)
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

    /// Starts a server and returns when it takes clicks.
    pub async fn start_server(&mut self) -> Result<Program> {
        let port = Port::Free.reserve("clickwire-server")?;
        self.server_url = format!("http://127.0.0.1:{}", port.port());
        self.start("clickwire-server", "CLICKWIRE_LISTEN", port).await
    }

    /// Starts an aggregator and returns when all partitions are attached.
    pub async fn start_aggregator(&self) -> Result<Program> {
        let port = Port::Free.reserve("clickwire-aggregator")?;
        self.start("clickwire-aggregator", "CLICKWIRE_AGGREGATOR_LISTEN", port).await
    }

    async fn start(&self, program: &str, listen: &'static str, port: Reservation) -> Result<Program> {
        let path = tokio::task::spawn_blocking(programs).await??.join(program);
        let mut child = Command::new(&path)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(listen, format!("127.0.0.1:{}", port.port()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        let server = Server::new(&format!("http://127.0.0.1:{}", port.port()), "")?;
        eventually(&format!("{program} is ready"), Duration::from_secs(30), async || {
            let answer = server.connection().get("/readyz").await;
            let ready = matches!(answer, Ok((status, _)) if status.is_success());
            // A program that ended will never be ready; the caller is told below.
            (ready || matches!(child.try_wait(), Ok(Some(_)))).then_some(())
        })
        .await?;
        ensure!(child.try_wait()?.is_none(), "{program} ended at once");
        Ok(Program { child, port })
    }

    /// The key to post clicks with.
    pub fn ingest_key() -> &'static str {
        INGEST_KEY
    }

    /// A connection to post clicks over.
    pub fn poster(&self) -> Result<Connection> {
        Ok(Server::new(&self.server_url, INGEST_KEY)?.connection())
    }

    /// The server as an administrator sees it.
    pub fn as_admin(&self) -> Result<Server> {
        Server::new(&self.server_url, ADMIN_TOKEN)
    }

    /// The server as an advertiser sees it.
    pub fn as_viewer(&self, advertiser_id: &str) -> Result<Server> {
        Server::new(&self.server_url, &Self::viewer_token(advertiser_id))
    }

    /// All clicks of an advertiser in the last hours.
    pub fn view(advertiser_id: &str) -> View {
        View {
            kind: Kind::Clicks,
            advertiser_id: advertiser_id.to_owned(),
            filters: Filters::default(),
            group_by: Vec::new(),
            window_minutes: 240,
        }
    }

    /// Rows in the ledger.
    pub async fn ledger(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM clicks").fetch_one(&self.database).await?)
    }

    /// Everything received, summed over one of the tables of buckets.
    pub async fn received(&self, table: Buckets) -> Result<i64> {
        let sql = match table {
            Buckets::Minutes => {
                "SELECT coalesce(sum(valid + duplicate + givt + sivt + test + defective), 0)::bigint FROM click_minutes"
            }
            Buckets::Hours => {
                "SELECT coalesce(sum(valid + duplicate + givt + sivt + test + defective), 0)::bigint FROM click_hours"
            }
            Buckets::Days => {
                "SELECT coalesce(sum(valid + duplicate + givt + sivt + test + defective), 0)::bigint FROM click_days"
            }
        };
        Ok(sqlx::query_scalar(sql).fetch_one(&self.database).await?)
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

impl Program {
    /// One of its metrics; 0 before it was first recorded.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let server = Server::new(&format!("http://127.0.0.1:{}", self.port.port()), "")?;
        let (_, metrics) = server.connection().get("/metrics").await?;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Ends it as a crash would.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and returns whether it ended well.
    pub async fn stop(mut self, within: Duration) -> Result<bool> {
        let pid = self.child.id().context("it ended before")?;
        let status = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        ensure!(status.success(), "kill -TERM {pid}: {status}");
        let ended =
            tokio::time::timeout(within, self.child.wait()).await.context("did not stop in time")??;
        Ok(ended.success())
    }
}

/// The folder with the programs: `CLICKWIRE_PROGRAMS`, or where they are built now.
fn programs() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match std::env::var_os("CLICKWIRE_PROGRAMS") {
        Some(folder) => Ok(folder.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    built.clone().map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    // target/debug/deps/it-… → target/debug
    let executable = std::env::current_exe()?;
    let folder = executable.parent().and_then(std::path::Path::parent).context("where are the programs?")?;
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bins", "--tests"]);
    cargo.args(["-p", "clickwire-server", "-p", "clickwire-aggregator", "-p", "clickwire-e2e"]);
    for (name, _) in std::env::vars_os() {
        // What cargo says of the tests' package would make build scripts run again.
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("cargo build")?;
    ensure!(status.success(), "the programs could not be built");
    Ok(folder.to_owned())
}
