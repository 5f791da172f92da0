//! Measures the way from a request to the ledger, with everything on this machine: single posts at a steady rate,
//! batches and redirects as fast as they are answered.

use std::fs::File;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_services::Port;
use serde::Deserialize;

use super::{Stand, aggregator::Metrics, processes, usage};
use crate::interrupt::Interrupt;
use crate::steps::{Steps, print};
use crate::up;
use crate::wasm;
use crate::workspace::release_program;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Single posts a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Length of each kind of load.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Connections to send over; batches have 16.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// One kind of load alone.
    #[arg(long, value_enum)]
    only: Option<Kind>,
    /// Interval at which the broker has what it acknowledges on its disk: `always`, which is what `up` sets, or one
    /// such as `2m`, the broker's own default.
    #[arg(long, default_value = "always")]
    sync_interval: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Posts,
    Batches,
    Redirects,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Posts, Self::Batches, Self::Redirects];

    fn name(self) -> &'static str {
        match self {
            Self::Posts => "posts",
            Self::Batches => "batches",
            Self::Redirects => "redirects",
        }
    }

    /// Returns the route as metrics name it.
    fn route(self) -> &'static str {
        match self {
            Self::Posts => "/api/v1/clicks",
            Self::Batches => "/api/v1/clicks/batch",
            Self::Redirects => "/r/{ad_id}",
        }
    }
}

/// Connections for batches: a server refuses more than 32 batches at once, and hangs up.
const BATCH_CONNECTIONS: u32 = 16;

/// The longest time from the end of the load until everything is counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(600);
const POLL_EVERY: Duration = Duration::from_millis(200);

/// The load tool's results.
#[derive(Deserialize)]
struct Seen {
    taken: u64,
    refused: u64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    steps.say("Building the dashboard");
    wasm::build(true)?;
    interrupt.check()?;
    up::build(&up::PACKAGES, &steps, &interrupt)?;
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|&kind| options.only.is_none_or(|only| only == kind)).collect();
    let mut columns = Vec::new();
    for &kind in &kinds {
        steps.say(&format!("Measuring {}", kind.name()));
        columns.push(measure(options, kind, &steps, &interrupt)?);
    }
    print(&format!(
        "\n{} s each, {} connections, sync_interval {}, {}",
        options.seconds,
        options.connections,
        options.sync_interval,
        usage::machine()?
    ));
    let names = kinds.iter().map(|kind| format!("{:>12}", kind.name())).collect::<String>();
    print(&format!("{:<34}{names}", ""));
    for (row, (name, _)) in columns[0].iter().enumerate() {
        let cells = columns.iter().map(|column| format!("{:>12.1}", column[row].1)).collect::<String>();
        print(&format!("{name:<34}{cells}"));
    }
    Ok(())
}

/// Measures one kind of load, on services and programs of its own; returns the lines of the report.
fn measure(
    options: &Options,
    kind: Kind,
    steps: &Steps,
    interrupt: &Interrupt,
) -> Result<Vec<(String, f64)>> {
    let stand =
        Stand::start(steps, |services| services.nats_sync_interval.clone_from(&options.sync_interval))?;
    let launch = stand.launch(steps, interrupt);
    // Redirects need ads.
    launch.migrate(true)?;
    let environment = [
        // All the load comes from one address.
        ("CLICKWIRE_ADDRESS_RATE", "1000000".to_owned()),
        ("CLICKWIRE_ADDRESS_BURST", "1000000".to_owned()),
        ("CLICKWIRE_PUBLISH_BATCHES", (options.sync_interval == "always").to_string()),
    ];
    let running = launch.programs(Port::Free.reserve("the server")?, false, &environment)?;
    let status = running.status(&launch)?;

    let answer = stand.folder.0.join("load.json");
    let mut load = Command::new(release_program("clickwire-load")?);
    let rate = if kind == Kind::Posts { options.rate } else { 0 };
    load.args(["intake", "--kind", kind.name(), "--server", &status.server, "--rate", &rate.to_string()]);
    let connections = if kind == Kind::Batches { BATCH_CONNECTIONS } else { options.connections };
    load.args(["--seconds", &options.seconds.to_string(), "--connections", &connections.to_string()]);
    load.env("CLICKWIRE_INGEST_KEY", stand.deployment.secrets()?.ingest_key).stdout(File::create(&answer)?);
    let before = processes(&status)?;
    let own_before = usage::cpu_seconds(std::process::id())?;
    if !interrupt.run(&mut load)?.success() {
        bail!("the load could not be sent");
    }
    let load_seconds = usage::cpu_seconds(std::process::id())? - own_before;
    let seen: Seen = serde_json::from_slice(&std::fs::read(&answer)?).context("what the load tool says")?;
    let ended = Instant::now();
    let requests = Metrics::of(port(&status.metrics)?);
    let aggregator = port(&status.aggregator)?;
    while Metrics::of(aggregator).sum("clickwire_clicks_counted_total") < seen.taken as f64 {
        interrupt.check()?;
        ensure!(ended.elapsed() < COUNTED_WITHIN, "not every click that was taken is in the ledger");
        thread::sleep(POLL_EVERY);
    }
    let counted_after = ended.elapsed().as_secs_f64();
    let cpu: Vec<(&str, f64)> = before
        .into_iter()
        .zip(processes(&status)?)
        .map(|((name, before), (_, after))| (name, after - before))
        .chain([("load", load_seconds)])
        .collect();
    let rows = stand.services.psql("clickwire", "SELECT count(*) FROM clicks")?;
    ensure!(rows.trim() == seen.taken.to_string(), "the ledger holds {rows} clicks of {}", seen.taken);

    let clicks = seen.taken as f64;
    let mut rows = vec![
        ("clicks a second taken".to_owned(), clicks / seen.seconds),
        ("clicks a second counted".to_owned(), clicks / (seen.seconds + counted_after)),
        ("requests refused".to_owned(), seen.refused as f64),
        ("answered within, ms: p50".to_owned(), seen.p50_ms),
        ("  p99".to_owned(), seen.p99_ms),
        ("  p99.9".to_owned(), seen.p999_ms),
        ("by the server within 10 ms, %".to_owned(), within_10_ms(&requests, kind.route()) * 100.0),
        ("all counted after the end, s".to_owned(), counted_after),
    ];
    rows.extend(
        cpu.into_iter().map(|(name, seconds)| (format!("CPU µs per click: {name}"), seconds * 1e6 / clicks)),
    );
    Ok(rows)
}

fn port(url: &str) -> Result<u16> {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    port.with_context(|| format!("{url} has no port"))
}

/// Returns the share of a route's requests that the server had answered within 10 ms by its own clock: waiting
/// before the server, or in the load tool, is not in it.
fn within_10_ms(server: &Metrics, route: &str) -> f64 {
    let series = |rest| format!("clickwire_http_request_seconds_{rest}");
    let within = server.sum(&series(format!("bucket{{route=\"{route}\",le=\"0.01\"}}")));
    within / server.sum(&series(format!("count{{route=\"{route}\"}}")))
}
