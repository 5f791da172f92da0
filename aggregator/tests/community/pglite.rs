//! TimescaleDB under the community licence, as WebAssembly in Node: a server of its own for each
//! test, gone with it.
//!
//! Tests of other SQL start here too: [`start`], then [`Database::url`] or [`Database::connect`].
//! It has one session (so one connection at a time), no COPY and no
//! scheduler: [`Database::run_policy`] takes the scheduler's place.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr as _,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::OnceCell,
    time::timeout,
};

/// The files that npm installs from and that Node runs.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("pglite/package.json")),
    (".npmrc", include_str!("pglite/.npmrc")),
    ("serve.mjs", include_str!("pglite/serve.mjs")),
];

const INSTALL_TIMEOUT: Duration = Duration::from_secs(120);
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Database {
    /// For what connects by itself; one connection at a time.
    pub(crate) url: String,
    // Killed when dropped, before the folder with its socket is removed.
    _node: Child,
    _folder: TempDir,
}

/// Starts an empty server.
pub(crate) async fn start() -> anyhow::Result<Database> {
    static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
    let installed = INSTALLED.get_or_try_init(install).await?;

    let folder = TempDir::with_prefix("clickwire-pglite-")?;
    let complaints = folder.path().join("stderr");
    let mut node = Command::new("node")
        .arg("serve.mjs")
        // The name that PostgreSQL clients derive from the folder and port 5432. No port is taken.
        .arg(folder.path().join(".s.PGSQL.5432"))
        .current_dir(installed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Not inherited: Node would make the test's own standard error non-blocking.
        .stderr(std::fs::File::create(&complaints)?)
        .kill_on_drop(true)
        .spawn()
        .context("starting node, which this test needs on PATH")?;
    let mut lines = BufReader::new(node.stdout.take().context("node's output")?).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line == "ready" {
                return Ok(true);
            }
        }
        Ok::<_, std::io::Error>(false)
    };
    let ready = timeout(START_TIMEOUT, ready).await.context("PGlite did not start in time")??;
    ensure!(ready, "PGlite ended before it accepted: {}", tokio::fs::read_to_string(&complaints).await?);

    let url =
        format!("postgres://postgres@localhost/postgres?sslmode=disable&host={}", folder.path().display());
    Ok(Database { url, _node: node, _folder: folder })
}

impl Database {
    /// The one connection, set up as the aggregator's are.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgPool> {
        let options =
            PgConnectOptions::from_str(&self.url)?.options([("plan_cache_mode", "force_custom_plan")]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        Ok(pool)
    }
}

/// Runs the job of a policy, as the scheduler would.
pub(crate) async fn run_policy(database: &PgPool, policy: &str, relation: &str) -> anyhow::Result<()> {
    let job: i32 = sqlx::query_scalar(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = $1 AND hypertable_name = $2",
    )
    .bind(policy)
    .bind(relation)
    .fetch_one(database)
    .await
    .with_context(|| format!("{policy} of {relation}"))?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CALL run_job({job})"))).execute(database).await?;
    Ok(())
}

/// Installs the packages into a folder named after what is in it, unless they are there.
async fn install() -> anyhow::Result<PathBuf> {
    let mut contents = DefaultHasher::new();
    FILES.hash(&mut contents);
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let installed = cache.join(format!("pglite-{:016x}", contents.finish()));
    if installed.exists() {
        return Ok(installed);
    }
    tokio::fs::create_dir_all(cache).await?;
    // Complete or not there at all, even if two test runs install at once.
    let folder = TempDir::with_prefix_in("pglite-", cache)?;
    for (name, content) in FILES {
        tokio::fs::write(folder.path().join(name), content).await?;
    }
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let npm = timeout(INSTALL_TIMEOUT, npm)
        .await
        .context("npm install took too long")?
        .context("starting npm, which this test needs on PATH")?;
    ensure!(npm.status.success(), "npm install: {}", String::from_utf8_lossy(&npm.stderr));
    if let Err(error) = tokio::fs::rename(folder.path(), &installed).await {
        // Unless another run was quicker.
        ensure!(installed.exists(), "keeping what npm installed: {error}");
    }
    Ok(installed)
}
