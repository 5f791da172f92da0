//! `cargo xtask status`: what runs, where, and with which keys. The JSON form is for scripts and
//! tests; its keys stay.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::installation::Installation;
use crate::steps::print;

/// Options of `status`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A running Clickwire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) server: String,
    pub(crate) aggregator: String,
    pub(crate) nats: String,
    pub(crate) redis: String,
    pub(crate) database: String,
    pub(crate) timescaledb: TimescaleDb,
    pub(crate) ingest_key: String,
    pub(crate) admin_token: String,
    pub(crate) advertiser_id: String,
    pub(crate) viewer_token: String,
    /// Accounts of the demo; `None` without one.
    pub(crate) sign_in: Option<SignIn>,
    pub(crate) pids: Pids,
    pub(crate) logs: String,
}

/// Accounts, which have one password.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SignIn {
    pub(crate) logins: Vec<String>,
    pub(crate) password: String,
}

impl fmt::Display for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, password {}", self.logins.join(" or "), self.password)
    }
}

/// The database's extension; unknown for a database of somebody else's that couldn't be asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct TimescaleDb {
    pub(crate) version: Option<String>,
    pub(crate) license: Option<String>,
}

/// Processes; servers of somebody else's have none here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pids {
    pub(crate) server: u32,
    pub(crate) aggregator: u32,
    pub(crate) load: Option<u32>,
    pub(crate) nats: Option<u32>,
    pub(crate) redis: Option<u32>,
    pub(crate) database: Option<u32>,
}

pub(crate) fn run(arguments: &Arguments, installation: &Installation) -> Result<()> {
    if installation.holder()?.is_none() {
        bail!("Clickwire does not run here: `cargo xtask up` starts it");
    }
    let status =
        installation.status()?.context("Clickwire is starting or stopping: try again in a moment")?;
    if arguments.json {
        print(&serde_json::to_string_pretty(&status)?);
    } else {
        print(status.table().trim_end());
    }
    Ok(())
}

impl Status {
    /// The dashboard's address, and the way in.
    pub(crate) fn link(&self) -> String {
        format!("{}/#token={}", self.server, self.viewer_token)
    }

    /// What a person needs first.
    pub(crate) fn welcome(&self) -> String {
        let sign_in =
            self.sign_in.as_ref().map(|sign_in| format!("  Sign in as   {sign_in}\n")).unwrap_or_default();
        format!(
            "\n  Dashboard    {}\n  Advertiser   {}\n{sign_in}  Ingest key   {}\n  Admin token  {}\n  Logs         {}\n\n  \
             Ctrl-C or `cargo xtask down` stops it; `cargo xtask status` shows more.\n",
            self.link(),
            self.advertiser_id,
            self.ingest_key,
            self.admin_token,
            self.logs
        )
    }

    fn table(&self) -> String {
        let pid = |pid: Option<u32>| pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let unknown = || "unknown".to_owned();
        let version = self.timescaledb.version.clone().unwrap_or_else(unknown);
        let license = self.timescaledb.license.clone().unwrap_or_else(unknown);
        let rows = [
            ("server", self.server.clone(), pid(Some(self.pids.server))),
            ("aggregator", self.aggregator.clone(), pid(Some(self.pids.aggregator))),
            ("nats", self.nats.clone(), pid(self.pids.nats)),
            ("redis", self.redis.clone(), pid(self.pids.redis)),
            ("database", self.database.clone(), pid(self.pids.database)),
            ("demo traffic", String::new(), pid(self.pids.load)),
        ];
        let width = rows.iter().map(|(_, address, _)| address.len()).max().unwrap_or(0);
        let mut table = format!("{:<14}{:<width$}  PROCESS\n", "", "ADDRESS");
        for (name, address, pid) in rows {
            table += &format!("{name:<14}{address:<width$}  {pid}\n");
        }
        for (name, value) in [
            ("timescaledb", format!("{version}, {license} licence")),
            ("dashboard", self.link()),
            ("advertiser", self.advertiser_id.clone()),
            ("sign in as", self.sign_in.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
            ("ingest key", self.ingest_key.clone()),
            ("admin token", self.admin_token.clone()),
            ("logs", self.logs.clone()),
        ] {
            table += &format!("{name:<14}{value}\n");
        }
        table
    }
}
