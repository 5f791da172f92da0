//! Configuration: the only place that reads flags and the environment.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use clickwire_process::{LogFormat, nats};
use clickwire_protocol::{
    ids::AdvertiserId,
    stream::{DEFAULT_PARTITIONS, Names},
    times::UnixMs,
};
use ipnet::IpNet;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::http::{tls, visitor::ForwardedHeader};

/// Takes clicks in over HTTP, answers analytics, pushes changes to dashboards.
///
/// Any number of servers may run on the same broker, Redis and database.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Address to serve on.
    #[arg(long, env = "CLICKWIRE_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Address on which `/metrics` is served, and `/livez`, `/readyz` and `/health` once more: without TLS, for
    /// the operator's own programs, never for strangers.
    #[arg(long, env = "CLICKWIRE_METRICS_LISTEN", default_value = "127.0.0.1:8082")]
    pub metrics_listen: SocketAddr,

    /// NATS with JetStream: one server, or some of a cluster, separated by commas, with one login for all.
    #[arg(long, env = "CLICKWIRE_NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub nats_url: String,

    /// Redis or Valkey: one server, or a cluster of which some nodes are named, such as
    /// `redis-cluster://10.0.0.1:6379?node=10.0.0.2:6379`.
    #[arg(
        long,
        env = "CLICKWIRE_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    pub redis_url: String,

    /// PostgreSQL with TimescaleDB; may hold a password, never logged. With a standby the address of each host.
    #[arg(
        long,
        env = "CLICKWIRE_DATABASE_URL",
        default_value = "postgres://clickwire@127.0.0.1:5432/clickwire",
        hide_env_values = true
    )]
    pub database_url: String,

    /// The same database by a login of its own for questions about counts, which may take the role
    /// `clickwire_reader` and nothing else; without it, by the login above. It may lead to one replica (hot
    /// standby): answers are as of what it has by then, and a live view begins when it has everything. Where it is to
    /// lead to the primary, and there is a standby, it has the address of each host, too.
    #[arg(long, env = "CLICKWIRE_READER_DATABASE_URL", hide_env_values = true)]
    pub reader_database_url: Option<String>,

    /// Connections to the database that answer questions about counts, at most, of which one tenant may hold
    /// a quarter; 27 more are for other things.
    #[arg(long, env = "CLICKWIRE_DATABASE_CONNECTIONS", default_value_t = 8)]
    pub database_connections: u32,

    /// Connections of clients at the same time, at most, beside WebSockets; further ones wait.
    #[arg(long, env = "CLICKWIRE_CONNECTIONS_MAX", default_value_t = 16_000)]
    pub connections_max: usize,

    /// Connections of one client address (of IPv6, of one /64 network) at the same time; trusted proxies may have all.
    #[arg(long, env = "CLICKWIRE_CONNECTIONS_PER_ADDRESS", default_value_t = 1_000)]
    pub connections_per_address: usize,

    /// Time that a new connection may take until the head of its first request is there, in milliseconds; with TLS, the
    /// same time again to agree on keys.
    #[arg(long, env = "CLICKWIRE_HEAD_TIMEOUT_MS", default_value_t = 10_000)]
    pub head_timeout_ms: u64,

    /// Time that a connection may be without a request after the last answer, in milliseconds. Longer than proxies
    /// before the server keep theirs.
    #[arg(long, env = "CLICKWIRE_IDLE_TIMEOUT_MS", default_value_t = 75_000)]
    pub idle_timeout_ms: u64,

    /// Time that a client may take to read each 16 KiB of an answer, in milliseconds.
    #[arg(long, env = "CLICKWIRE_UNREAD_TIMEOUT_MS", default_value_t = 20_000)]
    pub unread_timeout_ms: u64,

    /// Answers that lie in memory until their clients read them, at most, in bytes; of them, an eighth for one
    /// client address that is no trusted proxy's, a sixty-fourth for one connection.
    #[arg(long, env = "CLICKWIRE_UNREAD_MAX_BYTES", default_value_t = 256 << 20)]
    pub unread_max_bytes: usize,

    /// Time that a request may take, its body included, in milliseconds.
    #[arg(long, env = "CLICKWIRE_REQUEST_TIMEOUT_MS", default_value_t = 15_000)]
    pub request_timeout_ms: u64,

    /// Addresses or networks of proxies that are believed when they name the client they speak for.
    #[arg(long, env = "CLICKWIRE_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,

    /// The header in which they name it: x-forwarded-for or forwarded (RFC 7239). The other one is not
    /// read.
    #[arg(long, env = "CLICKWIRE_FORWARDED_HEADER", value_enum, default_value = "x-forwarded-for")]
    pub forwarded_header: ForwardedHeader,

    /// Requests a second of one client address, in the long run: redirects, posts with a key that does not
    /// speak for users, wrong keys.
    #[arg(long, env = "CLICKWIRE_ADDRESS_RATE", default_value = "50")]
    pub address_rate: NonZeroU32,

    /// Requests of this kind at once.
    #[arg(long, env = "CLICKWIRE_ADDRESS_BURST", default_value = "200")]
    pub address_burst: NonZeroU32,

    /// The stream's name, as the aggregators have it.
    #[arg(long, env = "CLICKWIRE_STREAM", default_value = "CLICKS")]
    pub stream: String,

    /// Partitions of the stream; the same number for every program of a deployment.
    #[arg(long, env = "CLICKWIRE_PARTITIONS", default_value_t = DEFAULT_PARTITIONS)]
    pub partitions: u16,

    /// First part of every Redis key and channel.
    #[arg(long, env = "CLICKWIRE_REDIS_PREFIX", default_value = "cw")]
    pub redis_prefix: String,

    /// Clicks that come together are published as one batch. Right where the broker brings each write to its disk
    /// before it acknowledges (`sync_interval: always`); where it does not, clicks by themselves cost it less.
    #[arg(long, env = "CLICKWIRE_PUBLISH_BATCHES", default_value_t = true, action = clap::ArgAction::Set)]
    pub publish_batches: bool,

    /// Time that a post waits for the broker before it is answered 503, in milliseconds.
    #[arg(long, env = "CLICKWIRE_PUBLISH_TIMEOUT_MS", default_value_t = 2_000)]
    pub publish_timeout_ms: u64,

    /// File of the write-ahead log: a click is answered when it is there, and goes to the broker, with others, within a
    /// moment. More are taken so where the broker syncs each write. What a server that is down had not published waits until it is back,
    /// and is lost if its disk is. 32 MiB; each server needs one of its own. `off`: a click is
    /// answered when the broker has it on its disk.
    #[arg(long, env = "CLICKWIRE_WAL", default_value = "off")]
    pub wal: PathBuf,

    /// File that keeps clicks while the broker is away; each server needs one of its own. `off`: none.
    #[arg(long, env = "CLICKWIRE_SPOOL", default_value = "clickwire-spool.redb")]
    pub spool: PathBuf,

    /// Size of the clicks in that file, at most, in bytes; the file itself may grow to three times that.
    #[arg(long, env = "CLICKWIRE_SPOOL_MAX_BYTES", default_value_t = 256 << 20)]
    pub spool_max_bytes: u64,

    /// Time that a click may wait there, or in the write-ahead log of a server that is down, before it is dropped, in
    /// seconds; less than a day.
    #[arg(long, env = "CLICKWIRE_SPOOL_MAX_AGE_SECONDS", default_value_t = 23 * 3600)]
    pub spool_max_age_seconds: u64,

    /// Posted clicks may wait there, too; else they are answered 503, and only those of redirects wait.
    #[arg(long, env = "CLICKWIRE_SPOOL_POSTS")]
    pub spool_posts: bool,

    /// Keys that clicks may be posted with beside those in the database: for every advertiser, in the name
    /// of users, without a limit. For the operator's own programs.
    #[arg(long, env = "CLICKWIRE_INGEST_KEYS", value_delimiter = ',', hide_env_values = true)]
    pub ingest_keys: Vec<String>,

    /// Opens every advertiser's data; without it nothing does.
    #[arg(long, env = "CLICKWIRE_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,

    /// Tokens that open one advertiser's data, as `advertiser_id=token`.
    #[arg(long, env = "CLICKWIRE_VIEWER_TOKENS", value_delimiter = ',', value_parser = viewer_token, hide_env_values = true)]
    pub viewer_tokens: Vec<(AdvertiserId, String)>,

    /// Keys that sessions of people who have signed in are signed with: the first signs, every one is
    /// believed, so a new one goes before the old one for as long as a session lasts. At least 16 bytes
    /// each; without any, a key made from `CLICKWIRE_IP_HASH_KEY`.
    #[arg(long, env = "CLICKWIRE_SESSION_KEYS", value_delimiter = ',', hide_env_values = true)]
    pub session_keys: Vec<String>,

    /// The longest life of a session, in hours; then one has to sign in again.
    #[arg(long, env = "CLICKWIRE_SESSION_HOURS", default_value_t = 12)]
    pub session_hours: u32,

    /// Life of a browser's token, in seconds. A page that is open replaces it in time, so a session without an open
    /// page ends after this time.
    #[arg(long, env = "CLICKWIRE_SESSION_TOKEN_SECONDS", default_value_t = 900)]
    pub session_token_seconds: u64,

    /// Browsers reach the server over TLS, by a proxy before it: cookies are sent over nothing else, and
    /// browsers are told to use nothing else (HSTS). With a certificate of its own it is so anyway.
    #[arg(long, env = "CLICKWIRE_HTTPS")]
    pub https: bool,

    /// File with the server's certificate and those between it and its root, in PEM: the server speaks TLS
    /// itself, and nothing else. Read again when it changes.
    #[arg(long, env = "CLICKWIRE_TLS_CERTIFICATE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,

    /// File with the certificate's key, in PEM.
    #[arg(long, env = "CLICKWIRE_TLS_KEY", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,

    /// Secret under which users' addresses and idempotency keys are hashed, the same for every server;
    /// at least 16 bytes. Before it is replaced, name what is made from it otherwise:
    /// `CLICKWIRE_CLICK_ID_KEYS` and `CLICKWIRE_SESSION_KEYS`.
    #[arg(long, env = "CLICKWIRE_IP_HASH_KEY", hide_env_values = true)]
    pub ip_hash_key: String,

    /// The secret that replaces it, and from when on, as `2026-12-31T00:00:00Z=SECRET`: give it to every
    /// server before that time, so that all change at the same moment. Idempotency keys change when it stands in
    /// the place of the old one: a post from before that is repeated after that is another click.
    #[arg(long, env = "CLICKWIRE_IP_HASH_KEY_NEXT", value_parser = next_key, hide_env_values = true)]
    pub ip_hash_key_next: Option<NextKey>,

    /// File in MaxMind's format (GeoLite2, DB-IP, ip-location-db) that tells the country of an address, for
    /// clicks whose sender does not.
    #[arg(long, env = "CLICKWIRE_GEOIP_FILE")]
    pub geoip_file: Option<PathBuf>,

    /// Keys that click ids of redirects are signed with: the first signs, every one is believed, so a new
    /// one goes before the old one for as long as ids are good. At least 16 bytes each; without any, a
    /// key made from `CLICKWIRE_IP_HASH_KEY`.
    #[arg(long, env = "CLICKWIRE_CLICK_ID_KEYS", value_delimiter = ',', hide_env_values = true)]
    pub click_id_keys: Vec<String>,

    /// Life of a redirect's click id, in hours.
    #[arg(long, env = "CLICKWIRE_CLICK_ID_HOURS", default_value_t = 24)]
    pub click_id_hours: u32,

    /// File with the networks of data centres, one in CIDR notation a line; clicks from there are
    /// invalid traffic. Without one, the list that is built in; `off`: none.
    #[arg(long, env = "CLICKWIRE_DATA_CENTER_NETWORKS")]
    pub data_center_networks: Option<PathBuf>,

    /// Secret that files of scheduled reports are signed with when they are sent to a receiver's address; at least
    /// 16 bytes. Without it no schedule has one.
    #[arg(long, env = "CLICKWIRE_REPORT_WEBHOOK_SECRET", hide_env_values = true)]
    pub report_webhook_secret: Option<String>,

    /// Time between two updates of changed numbers to a dashboard, in milliseconds.
    #[arg(long, env = "CLICKWIRE_LIVE_TICK_MS", default_value_t = 200)]
    pub live_tick_ms: u64,

    /// Time between two checks that a live session is still there, in milliseconds.
    #[arg(long, env = "CLICKWIRE_LIVE_HEARTBEAT_MS", default_value_t = 15_000)]
    pub live_heartbeat_ms: u64,

    /// Live sessions at the same time, at most.
    #[arg(long, env = "CLICKWIRE_LIVE_SESSIONS_MAX", default_value_t = 10_000)]
    pub live_sessions_max: usize,

    /// Live sessions of one client address at the same time, at most.
    #[arg(long, env = "CLICKWIRE_LIVE_SESSIONS_PER_ADDRESS", default_value_t = 1_000)]
    pub live_sessions_per_address: usize,

    /// Live sessions of one account at the same time, at most, on each server.
    #[arg(long, env = "CLICKWIRE_LIVE_SESSIONS_PER_ACCOUNT", default_value_t = 100)]
    pub live_sessions_per_account: usize,

    /// Origins, beside the server's own, whose pages may open a WebSocket, and write in the name of who has
    /// signed in where browsers send them the cookie, separated by commas:
    /// `https://dashboards.example`
    #[arg(long, env = "CLICKWIRE_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,

    /// Time in which live sessions are sent away when the server is told to stop, in seconds. Everything else is served
    /// meanwhile, and `/readyz` says 503
    #[arg(long, env = "CLICKWIRE_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,

    /// Minute cells kept in memory for each advertiser that is watched, at most (about 150 bytes
    /// each); beyond it the oldest minutes are left out of live windows.
    #[arg(long, env = "CLICKWIRE_LIVE_CELLS_MAX", default_value_t = 200_000)]
    pub live_cells_max: usize,

    /// The parts of the API that this server has, separated by commas: all of them, unless an operator runs,
    /// say, `intake` apart from the live sessions of others. People sign in to servers with `query`, `live`
    /// or `admin`.
    #[arg(
        long,
        env = "CLICKWIRE_ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "intake,redirect,query,live,admin"
    )]
    pub roles: Vec<ServerRole>,

    /// Level of the log, or `target=level` pairs.
    #[arg(long, env = "CLICKWIRE_LOG", default_value = "info")]
    pub log: String,

    /// Format of log lines: text, or json, one object a line.
    #[arg(long, env = "CLICKWIRE_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServerRole {
    /// Clicks that programs post.
    Intake,
    /// Links of ads.
    Redirect,
    /// Counts, advertisers, campaigns.
    Query,
    /// Live views.
    Live,
    /// Accounts, keys, rules, the catalogue, incidents.
    Admin,
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
    network.map_err(|_| "expected an address or a network such as 192.0.2.0/24".to_owned())
}

/// A secret and when it begins to be used.
#[derive(Clone, Debug)]
pub struct NextKey {
    /// Unix time in milliseconds.
    pub from: UnixMs,
    /// The key's text, at least 16 bytes.
    pub key: String,
}

fn next_key(text: &str) -> Result<NextKey, String> {
    let (from, key) = text.split_once('=').ok_or("expected TIME=SECRET")?;
    let from = OffsetDateTime::parse(from, &Rfc3339)
        .map_err(|_| "expected an RFC 3339 time, such as 2026-12-31T00:00:00Z".to_owned())?;
    Ok(NextKey { from: UnixMs((from.unix_timestamp_nanos() / 1_000_000) as i64), key: key.to_owned() })
}

fn viewer_token(text: &str) -> Result<(AdvertiserId, String), String> {
    let (advertiser, token) = text.split_once('=').ok_or("expected advertiser_id=token")?;
    Ok((AdvertiserId::new(advertiser)?, token.to_owned()))
}

/// Shorter secrets can be guessed.
const MIN_SECRET_BYTES: usize = 16;

/// Room for some answers on each connection.
const UNREAD_MIN_BYTES: usize = 16 << 20;

/// Room for some clicks of the largest size.
const SPOOL_MIN_BYTES: u64 = 64 * 1024;

impl Config {
    /// The file of the spool, if there is to be one.
    pub fn spool(&self) -> Option<&Path> {
        (self.spool.as_os_str() != "off").then_some(&*self.spool)
    }

    /// The file of the write-ahead log, if there is to be one.
    pub fn wal(&self) -> Option<&Path> {
        (self.wal.as_os_str() != "off").then_some(&*self.wal)
    }

    /// The server's certificate and its key, if it has some.
    pub(crate) fn tls(&self) -> Option<tls::Files> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(tls::Files { certificate, key })
    }

    /// Returns whether browsers reach the server over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.https || self.tls_certificate.is_some()
    }

    /// Refuses what can't work or is not safe, before anything is opened.
    pub fn validate(&self) -> anyhow::Result<()> {
        let long_enough = |secret: &String| secret.len() >= MIN_SECRET_BYTES;
        ensure!(
            self.ingest_keys.iter().all(long_enough),
            "CLICKWIRE_INGEST_KEYS: a key needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(
            self.admin_token.iter().all(long_enough),
            "CLICKWIRE_ADMIN_TOKEN: needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(
            self.viewer_tokens.iter().all(|(_, token)| long_enough(token)),
            "CLICKWIRE_VIEWER_TOKENS: a token needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(
            long_enough(&self.ip_hash_key),
            "CLICKWIRE_IP_HASH_KEY: needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(
            self.ip_hash_key_next.iter().all(|next| long_enough(&next.key)),
            "CLICKWIRE_IP_HASH_KEY_NEXT: needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(
            self.report_webhook_secret.iter().all(long_enough),
            "CLICKWIRE_REPORT_WEBHOOK_SECRET: needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(Names::is_name(&self.stream), "CLICKWIRE_STREAM: {}", Names::RULE);
        ensure!(Names::is_name(&self.redis_prefix), "CLICKWIRE_REDIS_PREFIX: {}", Names::RULE);
        ensure!(self.connections_max >= 16, "CLICKWIRE_CONNECTIONS_MAX: at least 16");
        ensure!(self.connections_per_address >= 1, "CLICKWIRE_CONNECTIONS_PER_ADDRESS: at least 1");
        for (name, timeout_ms) in [
            ("CLICKWIRE_HEAD_TIMEOUT_MS", self.head_timeout_ms),
            ("CLICKWIRE_IDLE_TIMEOUT_MS", self.idle_timeout_ms),
            ("CLICKWIRE_UNREAD_TIMEOUT_MS", self.unread_timeout_ms),
        ] {
            ensure!((100..=3_600_000).contains(&timeout_ms), "{name}: from 100 to 3600000");
        }
        ensure!(
            self.unread_max_bytes >= UNREAD_MIN_BYTES,
            "CLICKWIRE_UNREAD_MAX_BYTES: at least {UNREAD_MIN_BYTES}"
        );
        ensure!(self.request_timeout_ms >= 1_000, "CLICKWIRE_REQUEST_TIMEOUT_MS: at least 1000");
        ensure!(
            self.click_id_keys.iter().all(long_enough),
            "CLICKWIRE_CLICK_ID_KEYS: a key needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!(
            self.session_keys.iter().all(long_enough),
            "CLICKWIRE_SESSION_KEYS: a key needs at least {MIN_SECRET_BYTES} bytes"
        );
        ensure!((1..=720).contains(&self.session_hours), "CLICKWIRE_SESSION_HOURS: from 1 to 720");
        ensure!(
            (2..=86_400).contains(&self.session_token_seconds),
            "CLICKWIRE_SESSION_TOKEN_SECONDS: from 2 to 86400"
        );
        ensure!((1..=720).contains(&self.click_id_hours), "CLICKWIRE_CLICK_ID_HOURS: from 1 to 720");
        ensure!((1..=256).contains(&self.partitions), "CLICKWIRE_PARTITIONS: from 1 to 256");
        ensure!(
            self.spool_max_bytes >= SPOOL_MIN_BYTES,
            "CLICKWIRE_SPOOL_MAX_BYTES: at least {SPOOL_MIN_BYTES}"
        );
        // The windows of the database leave a day for it: `COMPRESSION_DAYS` in the aggregator.
        ensure!(
            (1..86_400).contains(&self.spool_max_age_seconds),
            "CLICKWIRE_SPOOL_MAX_AGE_SECONDS: from 1 to 86399"
        );
        ensure!((5..=10_000).contains(&self.live_tick_ms), "CLICKWIRE_LIVE_TICK_MS: from 5 to 10000");
        ensure!(self.live_heartbeat_ms >= 1_000, "CLICKWIRE_LIVE_HEARTBEAT_MS: at least 1000");
        ensure!(self.drain_seconds <= 600, "CLICKWIRE_DRAIN_SECONDS: at most 600");
        ensure!(self.live_cells_max >= 1_000, "CLICKWIRE_LIVE_CELLS_MAX: at least 1000");
        self.nats_url.parse::<nats::Addresses>().context("CLICKWIRE_NATS_URL")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &[&str]) -> Config {
        let flags =
            ["clickwire-server", "--ingest-keys", "0123456789abcdef", "--ip-hash-key", "0123456789abcdef"];
        Config::parse_from([&flags, more].concat())
    }

    #[test]
    fn the_least_is_valid_and_nonsense_is_refused() {
        config(&[]).validate().unwrap();
        for flags in [
            ["--ingest-keys", "short"],
            ["--admin-token", "short"],
            ["--viewer-tokens", "adv_001=short"],
            ["--click-id-keys", "0123456789abcdef,short"],
            ["--click-id-hours", "0"],
            ["--connections-per-address", "0"],
            ["--head-timeout-ms", "0"],
            ["--idle-timeout-ms", "0"],
            ["--unread-timeout-ms", "0"],
            ["--unread-max-bytes", "1"],
            ["--session-keys", "short"],
            ["--session-hours", "0"],
            ["--session-token-seconds", "1"],
            ["--partitions", "0"],
            ["--stream", "a.b"],
            ["--stream", ""],
            ["--redis-prefix", "a:b"],
            ["--spool-max-bytes", "1"],
            ["--spool-max-age-seconds", "86400"],
            ["--live-tick-ms", "1"],
            ["--nats-url", "http://["],
            ["--ip-hash-key-next", "2026-12-31T00:00:00Z=short"],
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
