//! Configuration: the only place that reads flags and the environment.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use clap::{Parser, Subcommand};
use clickwire_protocol::stream::{DEFAULT_PARTITIONS, Names};

/// Counts clicks from the stream into TimescaleDB, each once, and publishes what changed.
///
/// Any number of aggregators may run on the same stream and database.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What to do; counting, if not given.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// NATS with JetStream.
    #[arg(
        long,
        env = "CLICKWIRE_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true,
        global = true
    )]
    pub nats_url: String,

    /// Redis or Valkey.
    #[arg(
        long,
        env = "CLICKWIRE_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true,
        global = true
    )]
    pub redis_url: String,

    /// PostgreSQL with TimescaleDB; may hold a password, never logged.
    #[arg(
        long,
        env = "CLICKWIRE_DATABASE_URL",
        default_value = "postgres://clickwire@127.0.0.1:5432/clickwire",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,

    /// Where `/livez`, `/readyz`, `/health` and `/metrics` are served.
    #[arg(long, env = "CLICKWIRE_AGGREGATOR_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,

    /// The stream's name; another installation on the same broker takes another.
    #[arg(long, env = "CLICKWIRE_STREAM", default_value = "CLICKS")]
    pub stream: String,

    /// Partitions of the stream; the same number for every program of an installation.
    #[arg(long, env = "CLICKWIRE_PARTITIONS", default_value_t = DEFAULT_PARTITIONS)]
    pub partitions: u16,

    /// First part of every Redis key and channel.
    #[arg(long, env = "CLICKWIRE_REDIS_PREFIX", default_value = "cw")]
    pub redis_prefix: String,

    /// Clicks in one transaction, at most.
    #[arg(long, env = "CLICKWIRE_BATCH_MAX", default_value_t = 5_000)]
    pub batch_max: usize,

    /// How long the first click of a batch waits for more, in milliseconds.
    #[arg(long, env = "CLICKWIRE_LINGER_MS", default_value_t = 50)]
    pub linger_ms: u64,

    /// How late a click may come and still be counted, in hours.
    #[arg(long, env = "CLICKWIRE_HORIZON_HOURS", default_value_t = 24)]
    pub horizon_hours: u32,

    /// How long the broker keeps clicks that nobody counted, in days: the longest outage survived.
    #[arg(long, env = "CLICKWIRE_STREAM_MAX_AGE_DAYS", default_value_t = 7)]
    pub stream_max_age_days: u32,

    /// Size of the stream at which the broker refuses clicks instead of forgetting older ones, in
    /// bytes.
    #[arg(long, env = "CLICKWIRE_STREAM_MAX_BYTES", default_value_t = 8 << 30)]
    pub stream_max_bytes: i64,

    /// How long the broker remembers message ids, in seconds. The ledger remembers longer.
    #[arg(long, env = "CLICKWIRE_DUPLICATE_WINDOW_SECONDS", default_value_t = 120)]
    pub duplicate_window_seconds: u64,

    /// Copies of the stream in a NATS cluster.
    #[arg(long, env = "CLICKWIRE_STREAM_REPLICAS", default_value_t = 1)]
    pub stream_replicas: usize,

    /// How long the ledger keeps clicks, in days.
    #[arg(long, env = "CLICKWIRE_LEDGER_RETENTION_DAYS", default_value_t = 30)]
    pub ledger_retention_days: u32,

    /// How long minutes are kept, in days. Without continuous aggregates hours and days end with
    /// them.
    #[arg(long, env = "CLICKWIRE_MINUTES_RETENTION_DAYS", default_value_t = 400)]
    pub minutes_retention_days: u32,

    /// How often chunks are made and dropped and counted clicks removed from the stream, in seconds.
    #[arg(long, env = "CLICKWIRE_HOUSEKEEPING_SECONDS", default_value_t = 60)]
    pub housekeeping_seconds: u64,

    /// What to log: a level, or `target=level` pairs.
    #[arg(long, env = "CLICKWIRE_LOG", default_value = "info", global = true)]
    pub log: String,
}

/// Commands beside counting.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Brings the database's schema up to date and exits (counting does so by itself, too).
    Migrate {
        /// Adds demonstration advertisers, campaigns and ads.
        #[arg(long)]
        demo: bool,
    },
}

/// Days that the continuous aggregates' refresh looks back; fixed by `0003_buckets.sql`.
const REFRESH_DAYS: u32 = 10;

impl Config {
    /// Refuses what can't work, before anything is opened.
    pub fn validate(&self) -> anyhow::Result<()> {
        let name_ok = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        ensure!(name_ok(&self.stream), "CLICKWIRE_STREAM: only letters, digits, _ and - are allowed");
        ensure!(
            name_ok(&self.redis_prefix),
            "CLICKWIRE_REDIS_PREFIX: only letters, digits, _ and - are allowed"
        );
        ensure!((1..=256).contains(&self.partitions), "CLICKWIRE_PARTITIONS: from 1 to 256");
        ensure!((1..=20_000).contains(&self.batch_max), "CLICKWIRE_BATCH_MAX: from 1 to 20000");
        ensure!(self.linger_ms <= 200, "CLICKWIRE_LINGER_MS: at most 200, or clicks reach screens too late");
        ensure!((1..=72).contains(&self.horizon_hours), "CLICKWIRE_HORIZON_HOURS: from 1 to 72");
        ensure!(self.housekeeping_seconds > 0, "CLICKWIRE_HOUSEKEEPING_SECONDS: must be positive");
        ensure!(self.stream_max_bytes > 0, "CLICKWIRE_STREAM_MAX_BYTES: must be positive");
        let latest_days = self.horizon_hours.div_ceil(24) + self.stream_max_age_days;
        ensure!(
            latest_days < REFRESH_DAYS - 1,
            "horizon and CLICKWIRE_STREAM_MAX_AGE_DAYS together must stay below {} days: continuous \
             aggregates are refreshed over {REFRESH_DAYS}, and the oldest day begins up to one day earlier",
            REFRESH_DAYS - 1
        );
        ensure!(
            self.minutes_retention_days > REFRESH_DAYS + 2 && self.ledger_retention_days > REFRESH_DAYS + 2,
            "retention must be longer than {} days, or a refresh would rewrite hours whose minutes are gone",
            REFRESH_DAYS + 2
        );
        Ok(())
    }

    /// Names of the stream and what belongs to it.
    pub fn names(&self) -> Names {
        Names::new(&self.stream)
    }

    /// How late a click may come and still be counted.
    pub fn horizon(&self) -> Duration {
        Duration::from_secs(u64::from(self.horizon_hours) * 3600)
    }

    /// Age of the oldest message that the stream can hold.
    pub fn stream_max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.stream_max_age_days) * 86_400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Config {
        Config::parse_from([&["clickwire-aggregator"], flags].concat())
    }

    #[test]
    fn defaults_are_valid_and_nonsense_is_refused() {
        config(&[]).validate().unwrap();
        for flags in [
            ["--partitions", "0"],
            ["--linger-ms", "1000"],
            ["--batch-max", "0"],
            ["--stream", "a.b"],
            ["--redis-prefix", "a:b"],
            ["--horizon-hours", "0"],
            ["--stream-max-age-days", "30"],
            ["--minutes-retention-days", "10"],
            ["--ledger-retention-days", "5"],
        ] {
            assert!(config(&flags).validate().is_err(), "{flags:?}");
        }
    }

    #[test]
    fn the_readme_documents_every_setting() {
        let command = <Config as clap::CommandFactory>::command();
        let missing = clickwire_process::settings::undocumented(&command, include_str!("../../README.md"));
        assert!(missing.is_empty(), "put these rows into README.md:\n{}", missing.join("\n"));
    }
}
