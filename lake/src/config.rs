//! Configuration: the only place that reads flags and the environment.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use clickwire_process::{LogFormat, nats};
use clickwire_protocol::{
    instant::instant,
    stream::{DEFAULT_PARTITIONS, Names},
};
use time::OffsetDateTime;
use url::Url;

/// Archives clicks from the stream into Apache Iceberg tables on an object store.
///
/// One of a deployment archives; others beside it wait until it is gone.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,

    /// NATS with JetStream: one server, or some of a cluster, separated by commas, with one login for all.
    #[arg(
        long,
        env = "CLICKWIRE_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true,
        global = true
    )]
    pub nats_url: String,

    /// PostgreSQL with TimescaleDB; may hold a password, never logged. With a standby the address of each host.
    #[arg(
        long,
        env = "CLICKWIRE_DATABASE_URL",
        default_value = "postgres://clickwire@127.0.0.1:5432/clickwire",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,

    /// Location of the tables: `file:///…`, `s3://bucket/…`, `gs://bucket/…` or `az://container/…`. Credentials are in
    /// the provider's own variables (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
    #[arg(long, env = "CLICKWIRE_LAKE_URL", default_value = "file:///var/lib/clickwire/lake", global = true)]
    pub url: Url,

    /// Address on which `/livez`, `/readyz`, `/health` and `/metrics` are served.
    #[arg(long, env = "CLICKWIRE_LAKE_LISTEN", default_value = "127.0.0.1:8083", global = true)]
    pub listen: SocketAddr,

    /// The stream's name, as the aggregator has it.
    #[arg(long, env = "CLICKWIRE_STREAM", default_value = "CLICKS", global = true)]
    pub stream: String,

    /// Partitions of the stream; the same number for every program of a deployment.
    #[arg(long, env = "CLICKWIRE_PARTITIONS", default_value_t = DEFAULT_PARTITIONS, global = true)]
    pub partitions: u16,

    /// Time for which the broker keeps uncounted clicks, in days; as the aggregator has it.
    #[arg(long, env = "CLICKWIRE_STREAM_MAX_AGE_DAYS", default_value_t = 7, global = true)]
    pub stream_max_age_days: u32,

    /// Messages in one commit, at most.
    #[arg(long, env = "CLICKWIRE_LAKE_BATCH_MAX", default_value_t = 50_000, global = true)]
    pub batch_max: usize,

    /// Longest wait of a commit's first message for more messages, in seconds.
    #[arg(long, env = "CLICKWIRE_LAKE_FLUSH_SECONDS", default_value_t = 60, global = true)]
    pub flush_seconds: u64,

    /// Retention of a snapshot that is no longer the newest, in seconds. Files that are in no snapshot are
    /// removed when they are as old.
    #[arg(long, env = "CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS", default_value_t = 21_600, global = true)]
    pub keep_snapshots_seconds: u32,

    /// Interval of upkeep, in seconds: small files are put together, snapshots expire and files are removed.
    #[arg(long, env = "CLICKWIRE_LAKE_UPKEEP_SECONDS", default_value_t = 900, global = true)]
    pub upkeep_seconds: u64,

    /// The number of small files of a day that are put together; those of a day that has ended always are.
    #[arg(long, env = "CLICKWIRE_LAKE_COMPACT_FILES", default_value_t = 30, global = true)]
    pub compact_files: usize,

    /// Retention of clicks in the lake, in days of receipt, and of adjustments; 0: for ever.
    #[arg(long, env = "CLICKWIRE_LAKE_RETENTION_DAYS", default_value_t = 0, global = true)]
    pub retention_days: u32,

    /// Retention of counts of days in the lake, in days; 0: for ever. Not shorter than clicks.
    #[arg(long, env = "CLICKWIRE_LAKE_COUNTS_RETENTION_DAYS", default_value_t = 0, global = true)]
    pub counts_retention_days: u32,

    /// Filter of log lines: a level, or `target=level` pairs.
    #[arg(long, env = "CLICKWIRE_LOG", default_value = "info", global = true)]
    pub log: String,

    /// Format of log lines: text, or json, one object a line.
    #[arg(long, env = "CLICKWIRE_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// Commands of the lake.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Archives clicks until it is stopped.
    Run,
    /// Compares lake and ledger by hour of receipt and prints every hour that differs. Ends with 0 if all are
    /// equal, 1 if not, 2 if it could not be done.
    Verify {
        /// Start of the range, RFC 3339; a full hour.
        #[arg(long, value_parser = instant)]
        from: OffsetDateTime,
        /// End of the range, RFC 3339; not in it.
        #[arg(long, value_parser = instant)]
        to: OffsetDateTime,
    },
    /// Sends clicks of the lake through the stream again, under their ids: the ledger counts those that it does
    /// not have.
    Restore {
        /// Start of the range of receipt, RFC 3339.
        #[arg(long, value_parser = instant)]
        from: OffsetDateTime,
        /// End of the range, RFC 3339; not in it.
        #[arg(long, value_parser = instant)]
        to: OffsetDateTime,
    },
    /// Takes a user out of the lake: the clicks stay, without anything that says whose they were.
    EraseUser {
        /// The advertiser, within which the user has a name.
        #[arg(long)]
        advertiser: String,
        /// The user's name.
        #[arg(long)]
        user: String,
    },
    /// Points to the newest metadata in the object store, after the database was restored from an older backup.
    Adopt,
    /// Ends the use of the lake: the stream no longer waits for it. What is archived stays.
    Detach,
}

impl Config {
    /// Refuses what can't work, before anything is opened.
    ///
    /// # Errors
    /// Says which setting is wrong.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(Names::is_name(&self.stream), "CLICKWIRE_STREAM: {}", Names::RULE);
        self.nats_url.parse::<nats::Addresses>().context("CLICKWIRE_NATS_URL")?;
        ensure!((1..=256).contains(&self.partitions), "CLICKWIRE_PARTITIONS: from 1 to 256");
        ensure!((1..=200_000).contains(&self.batch_max), "CLICKWIRE_LAKE_BATCH_MAX: from 1 to 200000");
        ensure!((1..=3_600).contains(&self.flush_seconds), "CLICKWIRE_LAKE_FLUSH_SECONDS: from 1 to 3600");
        ensure!(
            ["file", "s3", "gs", "az", "abfs", "abfss"].contains(&self.url.scheme()),
            "CLICKWIRE_LAKE_URL: begins with file, s3, gs, az, abfs or abfss"
        );
        ensure!(self.keep_snapshots_seconds > 0, "CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS: must be positive");
        ensure!(self.upkeep_seconds > 0, "CLICKWIRE_LAKE_UPKEEP_SECONDS: must be positive");
        ensure!(self.compact_files >= 2, "CLICKWIRE_LAKE_COMPACT_FILES: at least 2");
        let days = |days: Option<u32>| days.unwrap_or(u32::MAX);
        ensure!(
            days(self.counts_retention_days()) >= days(self.retention_days()),
            "CLICKWIRE_LAKE_COUNTS_RETENTION_DAYS ({}): must not be shorter than CLICKWIRE_LAKE_RETENTION_DAYS ({})",
            self.counts_retention_days,
            self.retention_days
        );
        Ok(())
    }

    /// Names of the stream and what belongs to it.
    pub fn names(&self) -> Names {
        Names::new(&self.stream)
    }

    /// Retention of snapshots, in milliseconds.
    pub(crate) fn keep_snapshots_ms(&self) -> i64 {
        i64::from(self.keep_snapshots_seconds) * 1_000
    }

    /// Retention of clicks, in days; `None`: for ever.
    pub(crate) fn retention_days(&self) -> Option<u32> {
        (self.retention_days > 0).then_some(self.retention_days)
    }

    /// Retention of counts of days, in days; `None`: for ever.
    pub(crate) fn counts_retention_days(&self) -> Option<u32> {
        (self.counts_retention_days > 0).then_some(self.counts_retention_days)
    }

    /// Age of the oldest message that the stream can hold.
    pub fn stream_max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.stream_max_age_days) * 86_400)
    }
}

/// The providers' own variables, by which the object store is opened.
pub fn object_store_options() -> Vec<(String, String)> {
    let is_known = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    std::env::vars()
        .filter(|(name, _)| is_known(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Config {
        Config::parse_from([&["clickwire-lake", "run"], flags].concat())
    }

    #[test]
    fn defaults_are_valid_and_nonsense_is_refused() {
        config(&[]).validate().unwrap();
        for flags in [
            ["--partitions", "0"],
            ["--stream", "a.b"],
            ["--batch-max", "0"],
            ["--flush-seconds", "0"],
            ["--url", "ftp://a/b"],
            // Clicks for ever, and counts not.
            ["--counts-retention-days", "30"],
        ] {
            assert!(config(&flags).validate().is_err(), "{flags:?}");
        }
    }

    #[test]
    fn the_documents_have_every_setting() {
        let command = <Config as clap::CommandFactory>::command();
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/configuration.md"));
        let missing = clickwire_process::settings::undocumented(&command, page);
        assert!(missing.is_empty(), "`cargo xtask docs` does not write:\n{}", missing.join("\n"));
    }
}
