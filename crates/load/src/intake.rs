//! Number of clicks that a server takes in, and the time that each waits for its answer: single posts, batches,
//! redirects.
//!
//! With a rate the load is open: a request is due at its time whether or not the one before it was
//! answered, and its latency counts from then on, so a server that stalls is charged for everything that
//! would have come meanwhile. Without one every connection sends as soon as it was answered.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use clickwire_process::now_ms;
use hdrhistogram::Histogram;
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{http, traffic, wire::Wire};

/// Options: the kind of requests and their rate.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    intake: http::Intake,
    /// Kind of requests.
    #[arg(long, value_enum, default_value = "posts")]
    kind: Kind,
    /// Clicks a second; 0: as many as are answered.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Duration of the load, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Connections to send over.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Ads, ten a campaign, ten campaigns an advertiser. Redirects take those of the demonstration data.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    ads: u32,
    /// Users, one and a half at each address on average.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Clicks in one batch.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    batch: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// `POST /api/v1/clicks`
    Posts,
    /// `POST /api/v1/clicks/batch` as NDJSON
    Batches,
    /// `GET /r/{ad_id}`
    Redirects,
}

/// Ads of the demonstration data.
const DEMO_ADS: u32 = 16;

/// Longer latencies are recorded as this one, in microseconds.
const LONGEST_MICROS: u64 = 60_000_000;

/// The share of robots.
const ROBOTS: f64 = 0.02;

/// The answers that one connection has seen.
struct Seen {
    /// In microseconds.
    latencies: Histogram<u64>,
    /// Clicks that the server took.
    taken: u64,
    /// Requests answered otherwise.
    refused: u64,
}

/// Sends, and prints one line of JSON: what was taken and refused, how long it took, latencies of
/// requests in milliseconds.
#[expect(clippy::print_stdout, reason = "its result")]
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let server = options.intake.poster()?;
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0..options.connections {
        let sender = Sender {
            requests: Requests::new(options, &server),
            authority: server.authority().to_owned(),
            started,
            ends: started + Duration::from_secs(u64::from(options.seconds)),
            every: options.every(),
            number,
        };
        connections.spawn(sender.run(stop.clone()));
    }
    let mut all = Seen::new()?;
    while let Some(seen) = connections.join_next().await {
        let seen = seen??;
        all.latencies.add(seen.latencies)?;
        all.taken += seen.taken;
        all.refused += seen.refused;
    }
    let milliseconds = |quantile: f64| all.latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    let report = json!({
        "taken": all.taken,
        "refused": all.refused,
        "seconds": started.elapsed().as_secs_f64(),
        "p50_ms": milliseconds(0.5),
        "p99_ms": milliseconds(0.99),
        "p999_ms": milliseconds(0.999),
    });
    println!("{report}");
    Ok(())
}

impl Options {
    /// Clicks of one request.
    fn clicks(&self) -> u32 {
        if self.kind == Kind::Batches { self.batch } else { 1 }
    }

    /// From one request of a connection to its next.
    fn every(&self) -> Option<Duration> {
        let clicks = f64::from(self.connections) * f64::from(self.clicks());
        (self.rate > 0).then(|| Duration::from_secs_f64(clicks / f64::from(self.rate)))
    }
}

impl Seen {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latencies: Histogram::new_with_bounds(1, LONGEST_MICROS, 3)?, taken: 0, refused: 0 })
    }
}

struct Sender {
    requests: Requests,
    authority: String,
    started: Instant,
    ends: Instant,
    every: Option<Duration>,
    number: u32,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<Seen> {
        let mut wire = Wire::connect(&self.authority).await?;
        let mut random = StdRng::seed_from_u64(u64::from(self.number) + now_ms() as u64);
        let mut seen = Seen::new()?;
        // Spread over the first interval, or all would be due at the same moments.
        let mut due = self.started + self.every.unwrap_or_default().mul_f64(random.random());
        while due < self.ends && !stop.is_cancelled() {
            let request = self.requests.next(&mut random)?;
            if self.every.is_some() {
                sleep_until(due).await;
            }
            let status = wire.exchange(&request).await.context("while measuring")?;
            let waited = due.elapsed();
            seen.latencies.saturating_record(waited.as_micros() as u64);
            match status {
                202 | 302 => seen.taken += u64::from(self.requests.clicks),
                _ => seen.refused += 1,
            }
            due = self.every.map_or_else(Instant::now, |every| due + every);
        }
        Ok(seen)
    }
}

/// Makes requests.
struct Requests {
    kind: Kind,
    clicks: u32,
    ads: u32,
    users: u32,
    /// The request line and header lines that are always the same.
    head: String,
}

impl Requests {
    fn new(options: &Options, server: &http::Server) -> Self {
        let (authority, token) = (server.authority(), server.token());
        let head = match options.kind {
            Kind::Posts => format!(
                "POST /api/v1/clicks HTTP/1.1\r\nhost: {authority}\r\nx-api-key: {token}\r\ncontent-type: application/json\r\n"
            ),
            Kind::Batches => format!(
                "POST /api/v1/clicks/batch HTTP/1.1\r\nhost: {authority}\r\nx-api-key: {token}\r\ncontent-type: application/x-ndjson\r\n"
            ),
            Kind::Redirects => format!("HTTP/1.1\r\nhost: {authority}\r\n"),
        };
        let (clicks, ads, users) = (options.clicks(), options.ads, options.users);
        Self { kind: options.kind, clicks, ads, users, head }
    }

    fn next(&mut self, random: &mut impl Rng) -> anyhow::Result<Vec<u8>> {
        if self.kind == Kind::Redirects {
            let (_, agent) = traffic::device(random, ROBOTS);
            let ad = random.random_range(1..=DEMO_ADS);
            return Ok(format!("GET /r/ad_{ad:03} {}user-agent: {agent}\r\n\r\n", self.head).into_bytes());
        }
        let clicked_at = OffsetDateTime::now_utc().format(&Rfc3339)?;
        let mut body = String::with_capacity(400 * self.clicks as usize);
        for _ in 0..self.clicks {
            self.click(random, &clicked_at, &mut body);
        }
        let mut request = self.head.clone().into_bytes();
        request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body.as_bytes());
        Ok(request)
    }

    /// One click on a line of its own.
    fn click(&self, random: &mut impl Rng, clicked_at: &str, body: &mut String) {
        let (ad, user) = (random.random_range(0..self.ads), random.random_range(0..self.users));
        let (device, agent) = traffic::device(random, ROBOTS);
        let address = user / 3 * 2 + u32::from(user % 3 == 0);
        let [_, b, c, d] = address.to_be_bytes();
        body.push_str(&format!(
            "{{\"click_id\":\"{}\",\"advertiser_id\":\"bench_{}\",\"campaign_id\":\"bench_{}\",\"ad_id\":\"bench_{ad}\",\
             \"user_id\":\"user-{user}\",\"clicked_at\":\"{clicked_at}\",\"ip_address\":\"10.{b}.{c}.{d}\",\
             \"user_agent\":\"{agent}\",\"country\":\"DE\",\"device_type\":\"{device}\"}}\n",
            Uuid::now_v7(),
            ad / 100,
            ad / 10,
        ));
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::click::{PostedClick, UnknownFields};

    use super::*;

    #[test]
    fn every_click_is_acceptable() {
        let mut random = StdRng::seed_from_u64(1);
        let requests =
            Requests { kind: Kind::Batches, clicks: 1, ads: 1_000, users: 1_000_000, head: String::new() };
        for _ in 0..1_000 {
            let mut body = String::new();
            requests.click(&mut random, "2026-11-25T00:00:00Z", &mut body);
            let posted = PostedClick::parse(body.as_bytes(), UnknownFields::Refused).unwrap();
            assert!(posted.click_id.is_some() && posted.ip_address.is_some(), "{body}");
        }
    }

    #[test]
    fn latencies_are_told_apart_up_to_a_minute() {
        let mut seen = Seen::new().unwrap();
        for micros in [500, 20_000, 90_000_000] {
            seen.latencies.saturating_record(micros);
        }
        assert_eq!(seen.latencies.value_at_quantile(0.5) / 100, 200);
        assert!(seen.latencies.max() >= LONGEST_MICROS);
    }
}
