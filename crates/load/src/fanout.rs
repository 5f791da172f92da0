//! Cost of telling many dashboards: sessions that watch a feed, and a feed that changes.
//!
//! The sessions are as cheap as they can be, for they share the machine with the server: they count what
//! comes and look for one number in it, the update that it is about. Nothing is parsed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use clap::Args;
use clickwire_process::now_ms;
use clickwire_protocol::{
    analytics::Dimension,
    counts::{Counts, DeviceType, Dimensions, MinuteCell},
    feed::{Keys, PUBLISH},
    ids::{AdId, AdvertiserId, CampaignId},
    live::{ClientMessage, Filters, MAX_WINDOW_MINUTES, SUBPROTOCOL, Topic, View},
    times::UnixMs,
};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{http, usage};

/// Options: the server to watch and the feed to change.
#[derive(Args)]
pub struct Options {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Address on which the server tells its metrics.
    #[arg(long, default_value = "http://127.0.0.1:8082")]
    metrics: String,
    /// Its process, whose CPU time and memory are measured.
    #[arg(long)]
    server_pid: u32,
    /// Token that opens the advertiser's data.
    #[arg(long, env = "CLICKWIRE_ADMIN_TOKEN", hide_env_values = true)]
    token: String,
    /// The Redis that the server listens to.
    #[arg(
        long,
        env = "CLICKWIRE_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: String,
    /// First part of its channels.
    #[arg(long, env = "CLICKWIRE_REDIS_PREFIX", default_value = "cw")]
    redis_prefix: String,
    /// Advertiser whose feed is watched.
    #[arg(long, default_value = "adv_001")]
    advertiser_id: AdvertiserId,
    /// Connections.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    sessions: u32,
    /// Different views that each of them watches.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    views: u32,
    /// Updates of the feed a second; 0: none, the sessions lie idle.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Cells that each update changes: two make a message of 200 bytes, eighteen one of 1 KB.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    cells: u32,
    /// Duration of the measurement, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Sessions of a hundred that stop reading.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    stalled: u32,
    /// In the end, cut every connection and come back at once.
    #[arg(long)]
    reconnect: bool,
}

/// Connections that are being made at the same time.
const CONNECTING: usize = 256;

/// Different first ids of subscriptions: a page raises its id each time it connects again.
const IDS: u32 = 40;

/// A connection and its first snapshots may take so long, with all others waiting, too.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The time in which the last published update arrives.
const ARRIVES_WITHIN: Duration = Duration::from_secs(2);

/// Longer latencies are recorded as this one, in microseconds.
const LONGEST_MICROS: u64 = 60_000_000;

/// Histograms that share the recording.
const SHARDS: usize = 16;

/// The state that the sessions share.
struct Shared {
    started: Instant,
    /// Publication times by update, in microseconds since the start.
    published: Vec<AtomicU64>,
    is_measuring: AtomicBool,
    deliveries: AtomicU64,
    bytes: AtomicU64,
    /// In microseconds.
    latencies: Vec<Mutex<Histogram<u64>>>,
}

/// Connects, waits until everybody has a snapshot, publishes, and prints one line of JSON.
#[expect(clippy::print_stdout, reason = "its result")]
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let server = http::Server::new(&options.server, &options.token)?;
    let updates = u64::from(options.rate) * u64::from(options.seconds);
    let histogram = || Ok(Mutex::new(Histogram::new_with_bounds(1, LONGEST_MICROS, 3)?));
    let shared = Arc::new(Shared {
        started: Instant::now(),
        published: (0..=updates).map(|_| AtomicU64::new(0)).collect(),
        is_measuring: AtomicBool::new(false),
        deliveries: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        latencies: (0..SHARDS).map(|_| histogram()).collect::<anyhow::Result<_>>()?,
    });

    let empty_kib = usage::memory_kib(options.server_pid)?;
    let sessions = connect(options, &server).await?;
    sleep(ARRIVES_WITHIN).await;
    let connected_kib = usage::memory_kib(options.server_pid)?;

    let cut = CancellationToken::new();
    let stalled = options.sessions * options.stalled / 100;
    let mut reading = JoinSet::new();
    for (number, session) in (0..).zip(sessions) {
        let (shared, cut, is_stalled) = (Arc::clone(&shared), cut.clone(), number < stalled);
        reading.spawn(async move {
            let reads = async {
                if is_stalled { std::future::pending().await } else { session.read(&shared, number).await }
            };
            tokio::select! { read = reads => read, () = cut.cancelled() => Ok(()) }
        });
    }
    let before = (usage::cpu_seconds(options.server_pid)?, usage::cpu_seconds(std::process::id())?);
    shared.is_measuring.store(true, Ordering::Relaxed);
    tokio::select! {
        published = publish(options, &shared) => published?,
        () = stop.cancelled() => return Ok(()),
        Some(ended) = reading.join_next() => bail!("a session ended: {ended:?}"),
    }
    sleep(ARRIVES_WITHIN).await;
    let deliveries = shared.deliveries.load(Ordering::Relaxed);
    let after = (usage::cpu_seconds(options.server_pid)?, usage::cpu_seconds(std::process::id())?);
    let ended_kib = usage::memory_kib(options.server_pid)?;
    cut.cancel();
    while reading.join_next().await.is_some() {}

    let mut latencies = Histogram::<u64>::new_with_bounds(1, LONGEST_MICROS, 3)?;
    for shard in &shared.latencies {
        latencies.add(&*shard.lock().unwrap_or_else(PoisonError::into_inner))?;
    }
    let milliseconds = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    let expected = updates * u64::from((options.sessions - stalled) * options.views);
    let mut report = json!({
        "deliveries": deliveries,
        "delivered": deliveries as f64 / expected.max(1) as f64,
        "message_bytes": shared.bytes.load(Ordering::Relaxed) as f64 / deliveries.max(1) as f64,
        "server_cpu_seconds": after.0 - before.0,
        "client_cpu_seconds": after.1 - before.1,
        "p50_ms": milliseconds(0.5),
        "p99_ms": milliseconds(0.99),
        "p999_ms": milliseconds(0.999),
        "kib_per_session": (connected_kib - empty_kib) / f64::from(options.sessions),
        "grown_mib": (ended_kib - connected_kib) / 1_024.0,
    });
    if options.reconnect {
        let metrics = http::Server::new(&options.metrics, "")?;
        let loads = loads(&metrics).await?;
        let started = Instant::now();
        let again = connect(options, &server).await?;
        report["reconnected_after_seconds"] = json!(started.elapsed().as_secs_f64());
        report["database_reads"] = json!(loads_since(&metrics, loads).await?);
        drop(again);
    }
    println!("{report}");
    Ok(())
}

/// Times that the server has read the database for a feed.
async fn loads(metrics: &http::Server) -> anyhow::Result<f64> {
    let (_, told) = metrics.connection().get("/metrics").await?;
    let told = String::from_utf8_lossy(&told);
    let line = told.lines().find_map(|line| line.strip_prefix("clickwire_live_loads_total "));
    Ok(line.context("no clickwire_live_loads_total")?.parse()?)
}

async fn loads_since(metrics: &http::Server, before: f64) -> anyhow::Result<f64> {
    Ok(loads(metrics).await? - before)
}

/// All sessions, each with the snapshots of its views.
async fn connect(options: &Options, server: &http::Server) -> anyhow::Result<Vec<Session>> {
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    let views: Vec<View> = (0..options.views).map(|number| options.view(number)).collect();
    let ids_each = options.views;
    for number in 0..options.sessions {
        let (server, views, turns) = (server.clone(), views.clone(), Arc::clone(&turns));
        connecting.spawn(async move {
            let _turn = turns.acquire().await?;
            timeout(READY_WITHIN, Session::connect(&server, &views, number % IDS * ids_each)).await?
        });
    }
    let mut sessions = Vec::with_capacity(options.sessions as usize);
    while let Some(session) = connecting.join_next().await {
        sessions.push(session??);
    }
    Ok(sessions)
}

/// Changes the feed as an aggregator would.
async fn publish(options: &Options, shared: &Shared) -> anyhow::Result<()> {
    if options.rate == 0 {
        sleep(Duration::from_secs(u64::from(options.seconds))).await;
        return Ok(());
    }
    let mut redis =
        redis::Client::open(options.redis_url.as_str())?.get_multiplexed_async_connection().await?;
    let keys = Keys::new(&options.redis_prefix, &options.advertiser_id);
    let (script, epoch) = (redis::Script::new(PUBLISH), Uuid::now_v7().to_string());
    let mut ticks = interval(Duration::from_secs(1) / options.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let first_version = now_ms();
    for (update, published) in shared.published.iter().enumerate().skip(1) {
        ticks.tick().await;
        let cells: Vec<MinuteCell> =
            (0..options.cells).map(|number| cell(number, first_version, update as i64)).collect();
        published.store(shared.started.elapsed().as_micros() as u64, Ordering::Relaxed);
        let mut call = script.prepare_invoke();
        call.key(&keys.high_water_mark)
            .key(&keys.channel)
            .arg(serde_json::to_string(&cells)?)
            .arg(&epoch)
            .arg(3_600)
            .arg(now_ms());
        let () = call.invoke_async(&mut redis).await?;
    }
    Ok(())
}

fn cell(number: u32, first_version: i64, update: i64) -> MinuteCell {
    MinuteCell {
        minute: UnixMs(now_ms()).minute(),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("bench"),
            ad_id: AdId::unchecked(format!("bench_{number}")),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        version: first_version + update,
        counts: Counts { valid: update, ..Counts::default() },
    }
}

impl Options {
    fn view(&self, number: u32) -> View {
        View {
            advertiser_id: self.advertiser_id.clone(),
            filters: Filters { campaign_id: Some(CampaignId::unchecked("bench")), ..Filters::default() },
            group_by: vec![Dimension::AdId],
            window_minutes: MAX_WINDOW_MINUTES - number,
        }
    }
}

/// One dashboard.
struct Session {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Session {
    /// A session whose subscriptions have ids from `first_id` on.
    async fn connect(server: &http::Server, views: &[View], first_id: u32) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server.authority()).await?;
        let mut session = Self { stream, buffer: BytesMut::new() };
        let request = format!(
            "GET /api/v1/live HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n",
            server.authority(),
        );
        session.stream.write_all(request.as_bytes()).await?;
        let head = loop {
            if let Some(end) = session.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break session.buffer.split_to(end + 4);
            }
            session.fill().await?;
        };
        ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        session.send(&ClientMessage::Auth { token: Some(server.token().to_owned()) }).await?;
        session.expect("welcome").await?;
        for (id, view) in (first_id..).zip(views) {
            session
                .send(&ClientMessage::Subscribe {
                    id,
                    view: Topic::Clicks(view.clone()),
                    since: None,
                    min_interval_ms: None,
                })
                .await?;
        }
        for _ in views {
            session.expect("snapshot").await?;
        }
        Ok(session)
    }

    /// Counts what comes until the connection ends.
    async fn read(mut self, shared: &Shared, number: u32) -> anyhow::Result<()> {
        let latencies = &shared.latencies[number as usize % SHARDS];
        loop {
            while let Some((opcode, payload)) = self.frame() {
                if opcode != TEXT {
                    self.answer(opcode, &payload).await?;
                    continue;
                }
                let update = after(&payload, b"\"valid\":");
                if shared.is_measuring.load(Ordering::Relaxed) && update > 0 {
                    let now = shared.started.elapsed().as_micros() as u64;
                    shared.deliveries.fetch_add(1, Ordering::Relaxed);
                    shared.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
                    let published = shared.published.get(update).map_or(0, |at| at.load(Ordering::Relaxed));
                    let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
                    latencies.saturating_record(now.saturating_sub(published));
                }
            }
            self.fill().await?;
        }
    }

    async fn expect(&mut self, kind: &str) -> anyhow::Result<()> {
        loop {
            match self.frame() {
                Some((TEXT, payload)) => {
                    let expected = format!("{{\"type\":\"{kind}\"");
                    ensure!(
                        payload.starts_with(expected.as_bytes()),
                        "{}",
                        String::from_utf8_lossy(&payload)
                    );
                    return Ok(());
                }
                Some((opcode, payload)) => self.answer(opcode, &payload).await?,
                None => self.fill().await?,
            }
        }
    }

    async fn answer(&mut self, opcode: u8, payload: &[u8]) -> anyhow::Result<()> {
        match opcode {
            PING => self.write(PONG, payload).await,
            CLOSE => bail!(
                "closed by the server: {}",
                String::from_utf8_lossy(payload.get(2..).unwrap_or_default())
            ),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, message: &ClientMessage) -> anyhow::Result<()> {
        self.write(TEXT, &serde_json::to_vec(message)?).await
    }

    /// A frame, masked with zeroes: what is in it is no secret.
    async fn write(&mut self, opcode: u8, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = vec![FIN | opcode];
        match payload.len() {
            0..126 => frame.push(MASKED | payload.len() as u8),
            _ => {
                frame.push(MASKED | 126);
                frame.extend(u16::try_from(payload.len())?.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(4 * 1_024);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended");
        Ok(())
    }

    /// The next whole frame, unmasked as servers send them (RFC 6455, section 5.2): opcode and payload.
    fn frame(&mut self) -> Option<(u8, BytesMut)> {
        let &[first, second, ..] = &self.buffer[..] else { return None };
        let (head, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?) as usize),
            length => (2, usize::from(length)),
        };
        if self.buffer.len() < head + length {
            return None;
        }
        self.buffer.advance(head);
        Some((first & 0x0f, self.buffer.split_to(length)))
    }
}

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The number after the first place of `name`; 0 if there is none.
fn after(text: &[u8], name: &[u8]) -> usize {
    let Some(place) = text.windows(name.len()).position(|bytes| bytes == name) else { return 0 };
    let digits = text[place + name.len()..].iter().take_while(|digit| digit.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_update_is_found() {
        assert_eq!(after(br#"{"minute":7,"valid":123,"duplicate":4}"#, b"\"valid\":"), 123);
        assert_eq!(after(br#"{"minute":7}"#, b"\"valid\":"), 0);
    }
}
