//! The database of a test: a copy of one that was migrated once, whose jobs stop when the test is over. That saves a
//! tenth of the processor time of short tests.

use std::str::FromStr as _;

use anyhow::{Context as _, Result, ensure};
use clickwire_services::Services;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::OnceCell, task::spawn_blocking};

/// The migrated database that all tests of the process copy.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A test's own database on the services of the process.
pub(crate) struct Database {
    services: &'static Services,
    pub(crate) url: String,
}

impl Database {
    pub(crate) async fn copy(services: &'static Services) -> Result<Self> {
        let template = TEMPLATE.get_or_try_init(|| template(services)).await?;
        spawn_blocking(move || {
            let database = Self { services, url: services.copied_database(template)? };
            // TimescaleDB notices a copy within a minute; tests wait for what its jobs do.
            let started = database.psql("SELECT _timescaledb_functions.start_background_workers()")?;
            ensure!(started == "t", "TimescaleDB starts no jobs in a copy: {started}");
            Ok(database)
        })
        .await?
    }

    fn psql(&self, sql: &str) -> Result<String> {
        Ok(self.services.psql(name(&self.url), sql)?)
    }
}

impl Drop for Database {
    /// Stops its jobs, which would run beside all later tests.
    fn drop(&mut self) {
        // A server that is gone has no jobs.
        drop(self.psql("SELECT _timescaledb_functions.stop_background_workers()"));
    }
}

/// Migrates a database that is there to be copied. No job of its tables has run, and nobody is connected to it.
async fn template(services: &'static Services) -> Result<String> {
    let url = spawn_blocking(|| {
        let url = services.fresh_database()?;
        services.psql(name(&url), "CREATE EXTENSION timescaledb")?;
        services.psql(name(&url), "SELECT _timescaledb_functions.stop_background_workers()")?;
        anyhow::Ok(url)
    })
    .await??;
    clickwire_ledger::schema::migrate(&url, true).await?;
    spawn_blocking(move || {
        let template = name(&url);
        services.psql("clickwire", &format!("ALTER DATABASE {template} WITH ALLOW_CONNECTIONS false"))?;
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname =";
        services.psql("clickwire", &format!("{end} '{template}'"))?;
        Ok(template.to_owned())
    })
    .await?
}

/// The name of a database by its URL.
fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// Makes a migrated database on a server that is not ours; it stays there.
pub(crate) async fn migrated_at(url: &str) -> Result<String> {
    let options = PgConnectOptions::from_str(url)?;
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0")))
        .execute(&mut connection)
        .await?;
    let url = String::from(options.database(&name).to_url_lossy());
    clickwire_ledger::schema::migrate(&url, true).await.context("cannot migrate it")?;
    Ok(url)
}
