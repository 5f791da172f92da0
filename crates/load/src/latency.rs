//! From a click's 202 to its change at a WebSocket client.
//!
//! Every tenth click is a probe: the only click of an ad of its own, so that its cell's arrival in a
//! view grouped by ad tells when it was pushed. The others are load.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use clickwire_client::Watch;
use clickwire_protocol::{
    analytics::Dimension,
    ids::AdvertiserId,
    live::{Filters, View},
};
use hdrhistogram::Histogram;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    http::{Intake, Server},
    traffic,
};

/// Options of the measurement.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    intake: Intake,
    /// Token that opens all advertisers.
    #[arg(long, env = "CLICKWIRE_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: String,
    /// Clicks a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Duration of the measurement, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Connections to post over.
    #[arg(long, default_value_t = 8)]
    connections: u32,
}

/// Arrival times of the probes' answers, by ad.
type Answered = Arc<Mutex<HashMap<String, Instant>>>;

/// Every how many-th click is a probe.
const PROBE_EVERY: u64 = 10;

/// Measures and prints; an error if a probe never arrived.
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let run = Uuid::now_v7().simple().to_string();
    let advertiser = AdvertiserId::unchecked(format!("probe-{}", &run[20..]));
    let view = View {
        advertiser_id: advertiser.clone(),
        filters: Filters::default(),
        group_by: vec![Dimension::AdId],
        window_minutes: 60,
    };
    let mut client = Watch::new(options.intake.opened_by(&options.admin_token)?, view);
    timeout(Duration::from_secs(10), client.update()).await.context("no snapshot within 10 s")??;

    let (answered, stop) = (Answered::default(), stop.child_token());
    let mut posters = JoinSet::new();
    for number in 0..options.connections {
        let server = options.intake.poster()?;
        let share = Share {
            every: Duration::from_secs_f64(f64::from(options.connections) / f64::from(options.rate)),
            clicks: u64::from(options.rate) * u64::from(options.seconds) / u64::from(options.connections),
            advertiser: advertiser.clone(),
            prefix: format!("{number}"),
        };
        posters.spawn(post(server, share, Arc::clone(&answered), stop.clone()));
    }

    let mut arrived: HashMap<String, Instant> = HashMap::new();
    let mut sent: Option<(u64, Vec<f64>)> = None;
    let mut finished = (0, Vec::new());
    let started = Instant::now();
    let deadline = started + Duration::from_secs(u64::from(options.seconds) + 15);
    loop {
        let all_here = sent.as_ref().is_some_and(|_| {
            let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
            answered.keys().all(|ad| arrived.contains_key(ad))
        });
        if all_here || stop.is_cancelled() {
            break;
        }
        tokio::select! {
            cells = client.update() => {
                let now = Instant::now();
                for cell in cells? {
                    arrived.entry(cell.group.concat()).or_insert(now);
                }
            }
            posted = posters.join_next(), if sent.is_none() => match posted {
                Some(posted) => {
                    let (count, mut times) = posted??;
                    finished.0 += count;
                    finished.1.append(&mut times);
                }
                None => sent = Some(std::mem::take(&mut finished)),
            },
            () = tokio::time::sleep_until(deadline) => break,
        }
    }

    let (clicks, api_times) = sent.context("stopped before all clicks were sent")?;
    let seconds = started.elapsed().as_secs_f64();
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    let mut to_screen = Histogram::<u64>::new(3)?;
    for (ad, at) in answered.iter() {
        if let Some(shown) = arrived.get(ad) {
            to_screen.record(shown.saturating_duration_since(*at).as_micros() as u64)?;
        }
    }
    let mut api = Histogram::<u64>::new(3)?;
    for seconds in api_times {
        api.record((seconds * 1e6) as u64)?;
    }
    print(
        &format!("{clicks} clicks in {seconds:.1} s over {} connections", options.connections),
        &[("click to 202", &api), ("202 to WebSocket client", &to_screen)],
    );
    ensure!(
        to_screen.len() == answered.len() as u64,
        "{} of {} probes did not arrive",
        answered.len() as u64 - to_screen.len(),
        answered.len()
    );
    Ok(())
}

/// The clicks that one connection posts.
struct Share {
    every: Duration,
    clicks: u64,
    advertiser: AdvertiserId,
    prefix: String,
}

async fn post(
    server: Server,
    share: Share,
    answered: Answered,
    stop: CancellationToken,
) -> anyhow::Result<(u64, Vec<f64>)> {
    let mut connection = server.connection();
    let mut random = StdRng::from_rng(&mut rand::rng());
    let mut pace = interval(share.every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut times = Vec::with_capacity(share.clicks as usize);
    for number in 0..share.clicks {
        tokio::select! { _ = pace.tick() => {}, () = stop.cancelled() => break }
        let mut body = traffic::click(&mut random, 0.02);
        let probe = number.is_multiple_of(PROBE_EVERY).then(|| format!("{}-{number}", share.prefix));
        if let Some(ad) = &probe {
            body["advertiser_id"] = json!(share.advertiser);
            body["campaign_id"] = json!("probes");
            body["ad_id"] = json!(ad);
        }
        let sent = Instant::now();
        let (status, _) = connection.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
        ensure!(status.as_u16() == 202, "a click was answered {status}");
        times.push(sent.elapsed().as_secs_f64());
        if let Some(ad) = probe {
            answered.lock().unwrap_or_else(PoisonError::into_inner).insert(ad, Instant::now());
        }
    }
    Ok((times.len() as u64, times))
}

#[expect(clippy::print_stdout, reason = "the measurement is the program's output")]
fn print(title: &str, rows: &[(&str, &Histogram<u64>)]) {
    println!("{title}");
    println!("{:<26}{:>10}{:>10}{:>10}{:>10}", "milliseconds", "p50", "p99", "p99.9", "max");
    for (name, times) in rows {
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "{name:<26}{:>10.1}{:>10.1}{:>10.1}{:>10.1}",
            at(0.5),
            at(0.99),
            at(0.999),
            times.max() as f64 / 1e3
        );
    }
}
