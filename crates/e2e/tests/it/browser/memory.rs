//! A page that is open for long takes no more memory than one that has just been opened.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_load::{demo, http::Server};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{Browser, live};

/// For how long the page is watched, in seconds, unless the environment says otherwise: an hour is watched by hand.
const SECONDS: u64 = 30;
const SECONDS_VARIABLE: &str = "CLICKWIRE_MEMORY_SECONDS";

/// Clicks come in tens, so often.
const TEN_EVERY: Duration = Duration::from_millis(100);

/// The number of measurements.
const READINGS: u32 = 12;

/// The resources that a page holds, after its garbage has been collected.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// JavaScript's heap, in bytes.
    heap: f64,
    /// Nodes of the document.
    nodes: f64,
    /// Listeners of events.
    listeners: f64,
    /// The memory of the page's process, in bytes: the module's own memory is in it.
    process: f64,
}

impl Reading {
    async fn take(browser: &Browser) -> Result<Self> {
        browser.devtools("HeapProfiler.collectGarbage", json!({})).await?;
        let metrics = browser.devtools("Performance.getMetrics", json!({})).await?;
        let metric = |name: &str| {
            let mut all = metrics["metrics"].as_array().into_iter().flatten();
            all.find(|metric| metric["name"] == name)
                .and_then(|metric| metric["value"].as_f64())
                .with_context(|| name.to_owned())
        };
        Ok(Self {
            heap: metric("JSHeapUsedSize")?,
            nodes: metric("Nodes")?,
            listeners: metric("JSEventListeners")?,
            process: renderers(browser)?,
        })
    }
}

/// Returns the memory of the processes that draw pages, in bytes.
fn renderers(browser: &Browser) -> Result<f64> {
    let group = browser.driver_process().context("the driver has ended")?.to_string();
    let mut kib = 0.0;
    for process in fs::read_dir("/proc")?.flatten() {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        // After the name, which may hold anything: state, parent, group.
        let stat = String::from_utf8_lossy(&stat);
        let of_group =
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2)) == Some(&group);
        if of_group && String::from_utf8_lossy(&read("cmdline")).contains("--type=renderer") {
            let status = String::from_utf8_lossy(&read("status")).into_owned();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            kib += resident.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
        }
    }
    ensure!(kib > 0.0, "no process draws the page");
    Ok(kib * 1_024.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_takes_no_more_memory_however_long_it_is_open() -> Result<()> {
    let seconds = env::var(SECONDS_VARIABLE).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(SECONDS);
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    // The window is full from the beginning: one that fills takes more.
    demo::history(Server::new(stack.server_url(), Stack::ingest_key())?, 1.0, 119).await?;
    let browser = Browser::start().await?;
    browser.open(stack.server_url(), "adv_001").await?;
    browser.devtools("Performance.enable", json!({})).await?;
    let mut readings = Vec::new();
    let (mut ticks, since) = (interval(TEN_EVERY), Instant::now());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let every = Duration::from_secs(seconds) / READINGS;
    while readings.len() < READINGS as usize {
        ticks.tick().await;
        live::post(&stack, 10).await?;
        if since.elapsed() > every * (readings.len() as u32 + 1) {
            let reading = Reading::take(&browser).await?;
            println!("{:>6.0} s {reading:?}", since.elapsed().as_secs_f64());
            readings.push(reading);
        }
    }
    let state = browser.attribute("connection", "data-state").await;
    ensure!(state.as_deref() == Some("live"), "{state:?}");
    // What is compiled and kept for speed comes in the first quarter.
    let (early, late) = readings.split_at(readings.len() / 2);
    let (early, late) = (&early[early.len() / 2..], &late[late.len() / 2..]);
    let least =
        |of: fn(&Reading) -> f64, readings: &[Reading]| readings.iter().map(of).fold(f64::MAX, f64::min);
    for (what, of, slack) in [
        ("heap", (|reading| reading.heap) as fn(&Reading) -> f64, 1_048_576.0),
        ("nodes", |reading| reading.nodes, 200.0),
        ("listeners", |reading| reading.listeners, 50.0),
        ("process", |reading| reading.process, 16.0 * 1_048_576.0),
    ] {
        let (before, after) = (least(of, early), least(of, late));
        println!("{what}: {before:.0} then {after:.0}");
        ensure!(after <= before * 1.05 + slack, "{what} grew from {before:.0} to {after:.0} in {seconds} s");
    }
    eventually("the page still shows what is counted", Duration::from_secs(10), async || {
        (browser.number("kpi-clicks").await? > 0.0).then_some(())
    })
    .await
}
