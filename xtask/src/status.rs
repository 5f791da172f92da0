//! `cargo xtask status`: the running programs with their addresses and, of a demo, its keys. The JSON form is for
//! scripts and tests; its keys stay.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::deployment::Deployment;
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
    /// Address of the server's metrics.
    pub(crate) metrics: String,
    pub(crate) aggregator: String,
    pub(crate) lake: String,
    pub(crate) nats: String,
    pub(crate) redis: String,
    pub(crate) database: String,
    pub(crate) timescaledb: TimescaleDb,
    #[serde(flatten)]
    pub(crate) demo: Option<Demo>,
    /// File of the keys.
    pub(crate) secrets: String,
    pub(crate) pids: Pids,
    pub(crate) logs: String,
}

/// The credentials of a demo. Other deployments may be real, and their keys are told to nobody.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Demo {
    pub(crate) ingest_key: String,
    pub(crate) admin_token: String,
    pub(crate) advertiser_id: String,
    pub(crate) viewer_token: String,
    pub(crate) sign_in: SignIn,
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
    pub(crate) lake: u32,
    pub(crate) load: Option<u32>,
    pub(crate) nats: Option<u32>,
    pub(crate) redis: Option<u32>,
    pub(crate) database: Option<u32>,
}

pub(crate) fn run(arguments: &Arguments, deployment: &Deployment) -> Result<()> {
    if deployment.holder()?.is_none() {
        bail!("Clickwire does not run here: `cargo xtask up` starts it");
    }
    let status = deployment.status()?.context("Clickwire is starting or stopping: try again in a moment")?;
    if arguments.json {
        print(&serde_json::to_string_pretty(&status)?);
    } else {
        print(status.table().trim_end());
    }
    Ok(())
}

impl Status {
    /// The dashboard's address, and the way in to a demo.
    pub(crate) fn link(&self) -> String {
        match &self.demo {
            Some(demo) => format!("{}/#token={}", self.server, demo.viewer_token),
            None => self.server.clone(),
        }
    }

    /// Returns the first information for a person: the link, the keys and the logs.
    pub(crate) fn welcome(&self) -> String {
        let mut welcome = format!("\n  {:<13}{}\n", "Dashboard", self.link());
        for (name, value) in self.keys() {
            welcome += &format!("  {name:<13}{value}\n");
        }
        welcome
            + &format!(
                "  {:<13}{}\n\n  Ctrl-C or `cargo xtask down` stops it; `cargo xtask status` shows more.\n",
                "Logs", self.logs
            )
    }

    /// The keys, or where they are.
    fn keys(&self) -> Vec<(&'static str, String)> {
        let Some(demo) = &self.demo else { return vec![("Keys are in", self.secrets.clone())] };
        vec![
            ("Advertiser", demo.advertiser_id.clone()),
            ("Sign in as", demo.sign_in.to_string()),
            ("Ingest key", demo.ingest_key.clone()),
            ("Viewer token", demo.viewer_token.clone()),
            ("Admin token", demo.admin_token.clone()),
        ]
    }

    fn table(&self) -> String {
        let pid = |pid: Option<u32>| pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let unknown = || "unknown".to_owned();
        let version = self.timescaledb.version.clone().unwrap_or_else(unknown);
        let license = self.timescaledb.license.clone().unwrap_or_else(unknown);
        let rows = [
            ("server", self.server.clone(), pid(Some(self.pids.server))),
            ("metrics", self.metrics.clone(), pid(Some(self.pids.server))),
            ("aggregator", self.aggregator.clone(), pid(Some(self.pids.aggregator))),
            ("lake", self.lake.clone(), pid(Some(self.pids.lake))),
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
        let about = [("timescaledb", format!("{version}, {license} licence")), ("dashboard", self.link())];
        for (name, value) in about.into_iter().chain(self.keys()).chain([("logs", self.logs.clone())]) {
            table += &format!("{:<14}{value}\n", name.to_lowercase());
        }
        table
    }
}

/// A URL without the password in it.
pub(crate) fn without_password(url: &str) -> String {
    let hidden = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        let (user, host) = rest.split_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:***@{host}"))
    };
    // The broker may have several addresses.
    let addresses: Vec<_> = url.split(',').map(|url| hidden(url).unwrap_or_else(|| url.to_owned())).collect();
    addresses.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(demo: Option<Demo>) -> Status {
        Status {
            server: "http://127.0.0.1:1".to_owned(),
            metrics: String::new(),
            aggregator: String::new(),
            lake: String::new(),
            nats: String::new(),
            redis: String::new(),
            database: without_password("postgres://us:pass@db:5432/clicks?sslmode=require"),
            timescaledb: TimescaleDb::default(),
            demo,
            secrets: "/data/secrets.json".to_owned(),
            pids: Pids {
                server: 1,
                aggregator: 2,
                lake: 3,
                load: None,
                nats: None,
                redis: None,
                database: None,
            },
            logs: String::new(),
        }
    }

    #[test]
    fn keys_are_told_of_a_demo_and_of_nothing_else() {
        let sign_in = SignIn { logins: vec!["demo".to_owned()], password: "demo-password".to_owned() };
        let demo = status(Some(Demo {
            ingest_key: "demo-ingest".to_owned(),
            admin_token: "demo-admin".to_owned(),
            advertiser_id: "adv_001".to_owned(),
            viewer_token: "demo-viewer".to_owned(),
            sign_in,
        }));
        for text in [demo.table(), demo.welcome()] {
            for key in ["demo-ingest", "demo-admin", "demo-viewer", "demo-password"] {
                assert!(text.contains(key), "{key}: {text}");
            }
        }
        let json = serde_json::to_string(&demo).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap().demo.unwrap().ingest_key, "demo-ingest");
        let other = status(None);
        for text in [other.table(), other.welcome()] {
            assert!(text.contains("/data/secrets.json") && !text.contains("token"), "{text}");
        }
        let json = serde_json::to_string(&other).unwrap();
        assert!(!json.contains("pass\"") && json.contains("us:***@db:5432/clicks"), "{json}");
        assert!(serde_json::from_str::<Status>(&json).unwrap().demo.is_none());
    }
}
