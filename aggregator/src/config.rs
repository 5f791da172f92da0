//! Configuration: the only place that reads flags and the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use axum::http::Uri;
use clap::{Parser, Subcommand};
use clickwire_ledger::{
    Settings, incidents,
    retention::{Kept, UNIQUE_MINUTES_MIN_DAYS},
    schema::COMPRESSION_DAYS,
};
use clickwire_process::{LogFormat, nats};
use clickwire_protocol::{
    instant::instant,
    reason::Reason,
    stream::{DEFAULT_PARTITIONS, Names},
};
use clickwire_webhook::MIN_SECRET_BYTES;
use time::OffsetDateTime;

/// Counts clicks from the stream into TimescaleDB, each once, and publishes what changed.
///
/// Any number of aggregators may run on the same stream and database.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Command to run; without one, the program counts.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// NATS with JetStream: one server, or some of a cluster, separated by commas, with one login for all.
    #[arg(
        long,
        env = "CLICKWIRE_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true,
        global = true
    )]
    pub nats_url: String,

    /// Redis or Valkey: one server, or a cluster of which some nodes are named, such as
    /// `redis-cluster://10.0.0.1:6379?node=10.0.0.2:6379`.
    #[arg(
        long,
        env = "CLICKWIRE_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true,
        global = true
    )]
    pub redis_url: String,

    /// PostgreSQL with TimescaleDB; may hold a password, never logged. With a standby the address of each host, such as
    /// `postgres://user:password@10.0.0.1:5432,10.0.0.2:5432/clickwire`: the one that can write is used.
    #[arg(
        long,
        env = "CLICKWIRE_DATABASE_URL",
        default_value = "postgres://clickwire@127.0.0.1:5432/clickwire",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,

    /// Address on which `/livez`, `/readyz`, `/health` and `/metrics` are served.
    #[arg(long, env = "CLICKWIRE_AGGREGATOR_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,

    /// The stream's name; another deployment on the same broker takes another, different in more than capitals.
    /// The first aggregator writes it into the database, which takes no other one from then on.
    #[arg(long, env = "CLICKWIRE_STREAM", default_value = "CLICKS")]
    pub stream: String,

    /// Partitions of the stream; the same number for every program of a deployment.
    #[arg(long, env = "CLICKWIRE_PARTITIONS", default_value_t = DEFAULT_PARTITIONS)]
    pub partitions: u16,

    /// First part of every Redis key and channel.
    #[arg(long, env = "CLICKWIRE_REDIS_PREFIX", default_value = "cw")]
    pub redis_prefix: String,

    /// Clicks in one transaction, at most.
    #[arg(long, env = "CLICKWIRE_BATCH_MAX", default_value_t = 10_000)]
    pub batch_max: usize,

    /// Longest wait of a click for others of its batch, in milliseconds: the batches of all partitions end at the same
    /// instants, as far apart as this.
    #[arg(long, env = "CLICKWIRE_LINGER_MS", default_value_t = 200)]
    pub linger_ms: u64,

    /// Time without a sign of life from the aggregator that holds a click, after which the broker offers the click to
    /// another one, in seconds.
    #[arg(long, env = "CLICKWIRE_ACK_WAIT_SECONDS", default_value_t = 3)]
    pub ack_wait_seconds: u64,

    /// Greatest lateness of a click that is still counted, in hours.
    #[arg(long, env = "CLICKWIRE_HORIZON_HOURS", default_value_t = 24)]
    pub horizon_hours: u32,

    /// Time for which the broker keeps uncounted clicks, in days: the longest outage survived.
    #[arg(long, env = "CLICKWIRE_STREAM_MAX_AGE_DAYS", default_value_t = 7)]
    pub stream_max_age_days: u32,

    /// Size of the stream at which the broker refuses clicks instead of forgetting older ones, in
    /// bytes.
    #[arg(long, env = "CLICKWIRE_STREAM_MAX_BYTES", default_value_t = 8 << 30)]
    pub stream_max_bytes: i64,

    /// Size of the stream of dead letters, in bytes. When it is full, a partition with another one stands
    /// still until there is room.
    #[arg(long, env = "CLICKWIRE_DEAD_LETTERS_MAX_BYTES", default_value_t = 1 << 30)]
    pub dead_letters_max_bytes: i64,

    /// Time for which the broker remembers message ids, in seconds. The ledger remembers longer.
    #[arg(long, env = "CLICKWIRE_DUPLICATE_WINDOW_SECONDS", default_value_t = 120)]
    pub duplicate_window_seconds: u64,

    /// Copies of the stream and of the dead letters' in a NATS cluster, each on a server of its own: 1, 3 or 5. A stream
    /// that is there already gets as many.
    #[arg(long, env = "CLICKWIRE_STREAM_REPLICAS", default_value_t = 1)]
    pub stream_replicas: usize,

    /// Time for which counted clicks stay on the stream, in seconds. Where the database's standby is not synchronous, longer
    /// than it can be behind: clicks whose commits are lost with the primary are counted again.
    #[arg(long, env = "CLICKWIRE_STREAM_KEPT_SECONDS", default_value_t = 0)]
    pub stream_kept_seconds: u64,

    /// Retention of clicks in the ledger, in days.
    #[arg(long, env = "CLICKWIRE_LEDGER_RETENTION_DAYS", default_value_t = 30)]
    pub ledger_retention_days: u32,

    /// Retention of minutes, in days. Hours and days outlive them.
    #[arg(long, env = "CLICKWIRE_MINUTES_RETENTION_DAYS", default_value_t = 400)]
    pub minutes_retention_days: u32,

    /// Retention of hours and days, in days; 0: for ever.
    #[arg(long, env = "CLICKWIRE_ROLLUPS_RETENTION_DAYS", default_value_t = 0)]
    pub rollups_retention_days: u32,

    /// Retention of minutes of unique users that are folded into hours, in days.
    #[arg(long, env = "CLICKWIRE_UNIQUE_MINUTES_RETENTION_DAYS", default_value_t = UNIQUE_MINUTES_MIN_DAYS)]
    pub unique_minutes_retention_days: u32,

    /// Retention of incidents after their end, in days.
    #[arg(long, env = "CLICKWIRE_INCIDENTS_RETENTION_DAYS", default_value_t = 90)]
    pub incidents_retention_days: u32,

    /// Retention of news about incidents, in days: a dashboard or webhook that was away for longer misses some.
    #[arg(long, env = "CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS", default_value_t = 7)]
    pub incident_news_retention_days: u32,

    /// Interval of housekeeping, in seconds: hours and days are rolled up, chunks are made and dropped, and counted
    /// clicks are removed from the stream.
    #[arg(long, env = "CLICKWIRE_HOUSEKEEPING_SECONDS", default_value_t = 60)]
    pub housekeeping_seconds: u64,

    /// Age of the oldest uncounted click that raises an alert, in seconds.
    #[arg(long, env = "CLICKWIRE_ALERT_LAG_SECONDS", default_value_t = 30)]
    pub alert_lag_seconds: u32,

    /// Age of the oldest click not yet archived by the lake that raises an alert, in seconds, where a lake is in use.
    /// Longer than a commit of the lake takes.
    #[arg(long, env = "CLICKWIRE_ALERT_LAKE_SECONDS", default_value_t = 600)]
    pub alert_lake_seconds: u32,

    /// Time that a stream must have been on fewer brokers than `CLICKWIRE_STREAM_REPLICAS` for an alert, in seconds.
    /// Longer than a broker takes to restart.
    #[arg(long, env = "CLICKWIRE_ALERT_REPLICAS_SECONDS", default_value_t = 60)]
    pub alert_replicas_seconds: u32,

    /// Time without an observation of an incident, after which it is over, in seconds.
    #[arg(long, env = "CLICKWIRE_ALERT_QUIET_SECONDS", default_value_t = 120)]
    pub alert_quiet_seconds: u64,

    /// Address to which news about incidents is posted (`http://` or `https://`); without it, none is posted.
    #[arg(long, env = "CLICKWIRE_ALERT_WEBHOOK_URL", hide_env_values = true)]
    pub alert_webhook_url: Option<Uri>,

    /// Secret that those posts are signed with; at least 16 bytes.
    #[arg(long, env = "CLICKWIRE_ALERT_WEBHOOK_SECRET", hide_env_values = true)]
    pub alert_webhook_secret: Option<String>,
    /// Interval between comparisons of final minutes with the ledger, in seconds: the last 2 hours, once a day the
    /// last 24. 0: never.
    #[arg(long, env = "CLICKWIRE_RECONCILE_SECONDS", default_value_t = 3600)]
    pub reconcile_seconds: u64,

    /// Repairs the differences that these comparisons find.
    #[arg(long, env = "CLICKWIRE_RECONCILE_REPAIR")]
    pub reconcile_repair: bool,

    /// Filter of log lines: a level, or `target=level` pairs.
    #[arg(long, env = "CLICKWIRE_LOG", default_value = "info", global = true)]
    pub log: String,

    /// Format of log lines: text, or json, one object a line.
    #[arg(long, env = "CLICKWIRE_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
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
    /// Counts a range of the ledger again and prints every bucket that differs. Ends with 0 if all are
    /// equal or repaired, 1 if differences are left, 2 if it could not be done.
    Reconcile {
        /// Start of the range, RFC 3339.
        #[arg(long, value_parser = instant)]
        from: OffsetDateTime,
        /// End of the range, RFC 3339; not in it.
        #[arg(long, value_parser = instant)]
        to: OffsetDateTime,
        /// Makes the buckets what the ledger says, and shows it on screens.
        #[arg(long)]
        repair: bool,
    },
    /// Makes the aggregators read every message again that the stream still holds, after the database was restored from
    /// a backup; while no aggregator runs. What the ledger has is not counted twice.
    ReadAgain,
    /// Shows what can't be counted, sends it back or dismisses it.
    DeadLetters {
        /// Command on dead letters.
        #[command(subcommand)]
        order: Order,
        /// The person who is to be recorded.
        #[arg(long, env = "USER", default_value = "operator", global = true)]
        actor: String,
    },
}

/// Commands on dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// Prints what is known of them, one JSON object a line, the oldest first.
    List {
        /// Begins behind this one.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Prints one, with its message, as JSON.
    Show {
        /// Its sequence number.
        sequence: u64,
    },
    /// Sends its message back to be counted, under its own click id, and removes it.
    Replay {
        /// Its sequence number.
        sequence: u64,
        /// A file with what to send instead of the message as it came.
        #[arg(long)]
        file: Option<PathBuf>,
        /// Reason, for the record.
        #[arg(long)]
        reason: Option<Reason>,
    },
    /// Removes it uncounted.
    Dismiss {
        /// Its sequence number.
        sequence: u64,
        /// Reason, for the record.
        #[arg(long)]
        reason: Reason,
    },
}

impl Config {
    /// The names of the partitions' consumers on the first timeline of the database.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = String> {
        let names = self.names();
        (0..self.partitions).map(move |partition| names.consumer(partition))
    }

    /// Refuses what can't work, before anything is opened.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(Names::is_name(&self.stream), "CLICKWIRE_STREAM: {}", Names::RULE);
        ensure!(Names::is_name(&self.redis_prefix), "CLICKWIRE_REDIS_PREFIX: {}", Names::RULE);
        self.nats_url.parse::<nats::Addresses>().context("CLICKWIRE_NATS_URL")?;
        ensure!((1..=256).contains(&self.partitions), "CLICKWIRE_PARTITIONS: from 1 to 256");
        // Of an even number as many may be away as of one less.
        ensure!([1, 3, 5].contains(&self.stream_replicas), "CLICKWIRE_STREAM_REPLICAS: 1, 3 or 5");
        ensure!((1..=20_000).contains(&self.batch_max), "CLICKWIRE_BATCH_MAX: from 1 to 20000");
        ensure!(self.linger_ms <= 500, "CLICKWIRE_LINGER_MS: at most 500, or clicks reach screens too late");
        // Clicks in the hand of an aggregator that died must come again before their minute is final.
        ensure!((2..=120).contains(&self.ack_wait_seconds), "CLICKWIRE_ACK_WAIT_SECONDS: from 2 to 120");
        ensure!((1..=72).contains(&self.horizon_hours), "CLICKWIRE_HORIZON_HOURS: from 1 to 72");
        ensure!(self.housekeeping_seconds > 0, "CLICKWIRE_HOUSEKEEPING_SECONDS: must be positive");
        ensure!(self.stream_max_bytes > 0, "CLICKWIRE_STREAM_MAX_BYTES: must be positive");
        ensure!(self.dead_letters_max_bytes > 0, "CLICKWIRE_DEAD_LETTERS_MAX_BYTES: must be positive");
        ensure!(self.alert_lag_seconds > 0, "CLICKWIRE_ALERT_LAG_SECONDS: must be positive");
        ensure!(self.alert_lake_seconds > 0, "CLICKWIRE_ALERT_LAKE_SECONDS: must be positive");
        ensure!(self.alert_replicas_seconds > 0, "CLICKWIRE_ALERT_REPLICAS_SECONDS: must be positive");
        ensure!(self.alert_quiet_seconds > 0, "CLICKWIRE_ALERT_QUIET_SECONDS: must be positive");
        self.validate_webhook()?;
        // Less than a day more in a server's spool: `spool_max_age_seconds` there. The oldest day begins up to
        // one day earlier.
        let latest_days = self.horizon_hours.div_ceil(24) + self.stream_max_age_days;
        ensure!(
            latest_days < COMPRESSION_DAYS - 3,
            "horizon and CLICKWIRE_STREAM_MAX_AGE_DAYS together must stay below {} days: chunks are compressed \
             at {COMPRESSION_DAYS}, and many clicks can't be counted into one that is",
            COMPRESSION_DAYS - 3
        );
        self.validate_retention()
    }

    /// Refuses retentions under which data outlive what is made from them: clicks, their minutes, their hours and days.
    /// A click that comes late finds what it is counted into.
    fn validate_retention(&self) -> anyhow::Result<()> {
        let Self { ledger_retention_days: ledger, minutes_retention_days: minutes, .. } = *self;
        ensure!(
            ledger > COMPRESSION_DAYS,
            "CLICKWIRE_LEDGER_RETENTION_DAYS ({ledger}): longer than {COMPRESSION_DAYS} days, the age at which chunks \
             are compressed, and so than any click can be late"
        );
        ensure!(
            minutes >= ledger,
            "CLICKWIRE_MINUTES_RETENTION_DAYS ({minutes}): not shorter than CLICKWIRE_LEDGER_RETENTION_DAYS ({ledger}), \
             or clicks would outlive what they are counted in"
        );
        let rollups = self.rollups_retention_days;
        ensure!(
            rollups == 0 || rollups >= minutes,
            "CLICKWIRE_ROLLUPS_RETENTION_DAYS ({rollups}): 0, or not shorter than CLICKWIRE_MINUTES_RETENTION_DAYS \
             ({minutes}), or minutes would outlive their hours and days"
        );
        let uniques = self.unique_minutes_retention_days;
        ensure!(
            (UNIQUE_MINUTES_MIN_DAYS..=minutes).contains(&uniques),
            "CLICKWIRE_UNIQUE_MINUTES_RETENTION_DAYS ({uniques}): from {UNIQUE_MINUTES_MIN_DAYS}, a day after the last \
             click that is counted into them, to CLICKWIRE_MINUTES_RETENTION_DAYS ({minutes}), which their hours have"
        );
        let (incidents, news) = (self.incidents_retention_days, self.incident_news_retention_days);
        ensure!(
            (1..=incidents).contains(&news),
            "CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS ({news}): from 1 to CLICKWIRE_INCIDENTS_RETENTION_DAYS ({incidents}), \
             for news goes with its incident"
        );
        Ok(())
    }

    fn validate_webhook(&self) -> anyhow::Result<()> {
        let Some(url) = &self.alert_webhook_url else { return Ok(()) };
        let is_address = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        ensure!(is_address, "CLICKWIRE_ALERT_WEBHOOK_URL: must begin with http:// or https://");
        let is_signed =
            self.alert_webhook_secret.as_ref().is_some_and(|secret| secret.len() >= MIN_SECRET_BYTES);
        ensure!(is_signed, "CLICKWIRE_ALERT_WEBHOOK_SECRET: needs at least {MIN_SECRET_BYTES} bytes");
        Ok(())
    }

    /// Names of the stream and what belongs to it.
    pub fn names(&self) -> Names {
        Names::new(&self.stream)
    }

    /// Longest time for which clicks wait for others of their batch.
    pub(crate) fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    /// Time after which the broker offers a click to another aggregator.
    pub fn ack_wait(&self) -> Duration {
        Duration::from_secs(self.ack_wait_seconds)
    }

    /// Settings of the deployment that the ledger needs.
    pub fn ledger(&self) -> Settings {
        Settings { names: self.names(), partitions: self.partitions, horizon: self.horizon() }
    }

    /// Retention of clicks and of their counts.
    pub fn kept(&self) -> Kept {
        Kept {
            ledger_days: self.ledger_retention_days,
            minutes_days: self.minutes_retention_days,
            rollups_days: (self.rollups_retention_days > 0).then_some(self.rollups_retention_days),
            unique_minutes_days: self.unique_minutes_retention_days,
        }
    }

    /// Retention of incidents and of the news about them.
    pub fn incidents_kept(&self) -> incidents::Kept {
        incidents::Kept {
            incidents_days: self.incidents_retention_days,
            news_days: self.incident_news_retention_days,
        }
    }

    /// Days for which both ledger and minutes are kept.
    pub fn recountable_days(&self) -> u32 {
        self.ledger_retention_days.min(self.minutes_retention_days)
    }

    /// Greatest lateness of a click that is still counted.
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
            ["--nats-url", "nats://a,"],
            ["--stream-replicas", "2"],
            ["--linger-ms", "1000"],
            ["--ack-wait-seconds", "1"],
            ["--batch-max", "0"],
            ["--stream", "a.b"],
            ["--redis-prefix", "a:b"],
            ["--horizon-hours", "0"],
            ["--stream-max-age-days", "30"],
            ["--minutes-retention-days", "12"],
            ["--rollups-retention-days", "300"],
            ["--ledger-retention-days", "5"],
            ["--dead-letters-max-bytes", "0"],
            ["--alert-quiet-seconds", "0"],
            ["--alert-lake-seconds", "0"],
            ["--alert-webhook-url", "https://alerts.example/"],
            ["--alert-webhook-url", "alerts.example"],
        ] {
            assert!(config(&flags).validate().is_err(), "{flags:?}");
        }
    }

    #[test]
    fn a_wrong_order_of_retentions_is_refused_by_the_name_of_the_setting() {
        for (flags, setting) in [
            (&["--ledger-retention-days", "12"][..], "CLICKWIRE_LEDGER_RETENTION_DAYS"),
            (&["--ledger-retention-days", "401"], "CLICKWIRE_MINUTES_RETENTION_DAYS"),
            (&["--minutes-retention-days", "29"], "CLICKWIRE_MINUTES_RETENTION_DAYS"),
            (&["--rollups-retention-days", "399"], "CLICKWIRE_ROLLUPS_RETENTION_DAYS"),
            (&["--unique-minutes-retention-days", "2"], "CLICKWIRE_UNIQUE_MINUTES_RETENTION_DAYS"),
            (&["--unique-minutes-retention-days", "401"], "CLICKWIRE_UNIQUE_MINUTES_RETENTION_DAYS"),
            (&["--incident-news-retention-days", "0"], "CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS"),
            (&["--incident-news-retention-days", "91"], "CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS"),
            (&["--incidents-retention-days", "6"], "CLICKWIRE_INCIDENT_NEWS_RETENTION_DAYS"),
            (
                &["--horizon-hours", "72", "--stream-max-age-days", "6"],
                "horizon and CLICKWIRE_STREAM_MAX_AGE_DAYS",
            ),
        ] {
            let error = config(flags).validate().unwrap_err().to_string();
            assert!(error.starts_with(setting), "{flags:?}: {error}");
        }
        for flags in [
            &[
                "--ledger-retention-days",
                "13",
                "--minutes-retention-days",
                "13",
                "--rollups-retention-days",
                "13",
            ][..],
            &["--ledger-retention-days", "400"],
            &["--rollups-retention-days", "400"],
            &["--incidents-retention-days", "1", "--incident-news-retention-days", "1"],
        ] {
            config(flags).validate().unwrap();
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
