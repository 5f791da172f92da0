//! Measures the gateway's costs of telling dashboards about changes, and of having them at all.
//!
//! Each scenario meets a server of its own. The load tool is the feed and all the dashboards, in another
//! process; it measures the server's CPU time and memory.

use std::fs::File;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clickwire_services::{Port, Server, Services};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Stand, TemporaryFolder, usage};
use crate::interrupt::Interrupt;
use crate::status::Status;
use crate::steps::{Steps, print};
use crate::up;
use crate::wasm;
use crate::workspace::release_program;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Length of each scenario.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// One scenario alone, by its letter.
    #[arg(long)]
    only: Option<char>,
}

struct Scenario {
    letter: char,
    name: &'static str,
    /// Interval between the server's updates, in milliseconds: as often as something changes, or all would be
    /// conflation.
    tick_ms: u32,
    sessions: u32,
    /// Updates a second.
    rate: u32,
    /// Views of each session.
    views: u32,
    /// Cells of each update.
    cells: u32,
    more: &'static [&'static str],
}

const SCENARIOS: [Scenario; 7] = [
    Scenario {
        letter: 'a',
        name: "1,000 sessions, 100 updates/s, 200 B",
        tick_ms: 5,
        sessions: 1_000,
        rate: 100,
        views: 1,
        cells: 2,
        more: &[],
    },
    Scenario {
        letter: 'v',
        name: "1,000 sessions with 8 views, 25 updates/s",
        tick_ms: 20,
        sessions: 1_000,
        rate: 25,
        views: 8,
        cells: 1,
        more: &[],
    },
    Scenario {
        letter: 'b',
        name: "5,000 sessions, 10 updates/s, 1 KB",
        tick_ms: 50,
        sessions: 5_000,
        rate: 10,
        views: 1,
        cells: 18,
        more: &[],
    },
    Scenario {
        letter: 'c',
        name: "8,000 idle sessions",
        tick_ms: 200,
        sessions: 8_000,
        rate: 0,
        views: 1,
        cells: 1,
        more: &[],
    },
    Scenario {
        letter: 'd',
        name: "b, 5 % of them stopped reading",
        tick_ms: 50,
        sessions: 5_000,
        rate: 10,
        views: 1,
        cells: 18,
        more: &["--stalled", "5"],
    },
    Scenario {
        letter: 'e',
        name: "5,000 sessions that all come again",
        tick_ms: 200,
        sessions: 5_000,
        rate: 5,
        views: 1,
        cells: 1,
        more: &["--reconnect"],
    },
    Scenario {
        letter: 'g',
        name: "9,000 sessions of one advertiser, 5 updates/s",
        tick_ms: 100,
        sessions: 9_000,
        rate: 5,
        views: 1,
        cells: 2,
        more: &[],
    },
];

/// The scenario in which Redis is killed.
const OUTAGE: char = 'f';

const OUTAGE_SESSIONS: u32 = 5_000;

const OUTAGE_TICK_MS: u32 = 200;

/// The time for which Redis is away: longer than clicks go on to come in.
const REDIS_AWAY: Duration = Duration::from_secs(5);

/// The load tool's results of an outage.
#[derive(Deserialize)]
struct Outage {
    clicks: u64,
    /// Dashboards that did not show them all before Redis was back.
    behind: u32,
    equal_after_seconds: f64,
}

/// The load tool's results of a scenario.
#[derive(Deserialize)]
struct Seen {
    deliveries: f64,
    delivered: f64,
    message_bytes: f64,
    server_cpu_seconds: f64,
    client_cpu_seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    kib_per_session: f64,
    grown_mib: f64,
    reconnected_after_seconds: Option<f64>,
    database_reads: Option<f64>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    steps.say("Building the dashboard");
    wasm::build(true)?;
    interrupt.check()?;
    up::build(&up::PACKAGES, &steps, &interrupt)?;
    let chosen = |scenario: &&Scenario| options.only.is_none_or(|only| only == scenario.letter);
    let mut lines = Vec::new();
    for scenario in SCENARIOS.iter().filter(chosen) {
        steps.say(&format!("({}) {}", scenario.letter, scenario.name));
        let seen = measure(scenario, options.seconds, &steps, &interrupt)?;
        let mut line = seen.line(scenario, f64::from(options.seconds));
        if scenario.rate > 0 && scenario.more.is_empty() {
            let plain = plain_writes(scenario, &seen, options.seconds, &interrupt)?;
            line += &format!("{plain:>10.2}{:>7.2}", seen.server_micros() / plain);
        }
        lines.push(line);
        if let (Some(seconds), Some(reads)) = (seen.reconnected_after_seconds, seen.database_reads) {
            lines
                .push(format!("    all back, with snapshots, after {seconds:.1} s; database reads: {reads}"));
        }
    }
    let mut outage = None;
    if options.only.is_none_or(|only| only == OUTAGE) {
        steps.say(&format!("({OUTAGE}) {OUTAGE_SESSIONS} sessions, Redis killed while clicks come in"));
        outage = Some(measure_outage(&steps, &interrupt)?);
    }
    print(&format!("\n{} s each, {}", options.seconds, usage::machine()?));
    if !lines.is_empty() {
        print(&heading());
    }
    lines.iter().for_each(|line| print(line));
    if let Some(Outage { clicks, behind, equal_after_seconds }) = outage {
        print(&format!(
            "({OUTAGE}) {OUTAGE_SESSIONS} sessions, Redis killed: of {clicks} clicks, the last were not shown to \
             {behind}; all equal to the database {equal_after_seconds:.1} s after Redis was back"
        ));
    }
    Ok(())
}

fn heading() -> String {
    format!(
        "{:<48}{:>10}{:>11}{:>7}{:>10}{:>10}{:>9}{:>9}{:>9}{:>12}{:>10}{:>10}{:>7}",
        "",
        "deliv./s",
        "delivered",
        "bytes",
        "server µs",
        "client µs",
        "p50 ms",
        "p99",
        "p99.9",
        "KiB/session",
        "grown MiB",
        "plain µs",
        "ratio"
    )
}

/// Runs a scenario on a server and services of its own, with the load tool.
fn measure(scenario: &Scenario, seconds: u32, steps: &Steps, interrupt: &Interrupt) -> Result<Seen> {
    with_server("fanout", scenario.tick_ms, steps, interrupt, |services, status, load| {
        load.args(["--server-pid", &status.pids.server.to_string(), "--seconds", &seconds.to_string()]);
        for (name, number) in [
            ("--sessions", scenario.sessions),
            ("--rate", scenario.rate),
            ("--views", scenario.views),
            ("--cells", scenario.cells),
        ] {
            load.args([name, &number.to_string()]);
        }
        load.args(["--metrics", &status.metrics]);
        load.args(scenario.more).env("CLICKWIRE_REDIS_URL", services.redis_url());
        interrupt.run(load)
    })
}

/// Measures the CPU time that a thread which only writes takes for a delivery, in microseconds.
fn plain_writes(scenario: &Scenario, seen: &Seen, seconds: u32, interrupt: &Interrupt) -> Result<f64> {
    #[derive(Deserialize)]
    struct Written {
        writes: f64,
        cpu_seconds: f64,
    }
    let views = f64::from(scenario.views);
    let folder = TemporaryFolder::new()?;
    let answer = folder.0.join("load.json");
    let mut load = Command::new(release_program("clickwire-load")?);
    load.args(["writes", "--connections", &scenario.sessions.to_string()])
        .args(["--rate", &scenario.rate.to_string(), "--seconds", &seconds.to_string()])
        .args(["--bytes", &(seen.message_bytes * views).round().to_string()])
        .stdout(File::create(&answer)?);
    if !interrupt.run(&mut load)?.success() {
        bail!("plain writes could not be measured");
    }
    let Written { writes, cpu_seconds } = serde_json::from_slice(&std::fs::read(&answer)?)?;
    Ok(cpu_seconds * 1e6 / (writes * views))
}

/// Measures an outage: the load tool kills Redis, and here it is started again.
fn measure_outage(steps: &Steps, interrupt: &Interrupt) -> Result<Outage> {
    with_server("outage", OUTAGE_TICK_MS, steps, interrupt, |services, _, load| {
        let pid = services.pids().redis.context("Redis is not one of ours")?;
        load.args(["--sessions", &OUTAGE_SESSIONS.to_string(), "--redis-pid", &pid.to_string()]);
        load.env("CLICKWIRE_REDIS_URL", services.redis_url());
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let restarted = scope.spawn(|| {
                while services.check().is_ok() {
                    if is_over.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    thread::sleep(Duration::from_millis(100));
                }
                thread::sleep(REDIS_AWAY);
                services.restart(Server::Redis)
            });
            let ended = interrupt.run(load);
            is_over.store(true, Ordering::Relaxed);
            restarted.join().map_err(|_| anyhow!("the thread that starts Redis again"))??;
            ended
        })
    })
}

/// Runs a command of the load tool on programs and services of its own; returns its results.
fn with_server<T: DeserializeOwned>(
    command: &str,
    tick_ms: u32,
    steps: &Steps,
    interrupt: &Interrupt,
    run: impl FnOnce(&Services, &Status, &mut Command) -> Result<ExitStatus>,
) -> Result<T> {
    let stand = Stand::start(steps, |services| *services = clickwire_services::Options::temporary())?;
    let launch = stand.launch(steps, interrupt);
    launch.migrate(true)?;
    let settings = [
        ("CLICKWIRE_LIVE_TICK_MS", tick_ms.to_string()),
        // All of them come from one address.
        ("CLICKWIRE_LIVE_SESSIONS_PER_ADDRESS", "15000".to_owned()),
        ("CLICKWIRE_ADDRESS_RATE", "1000000".to_owned()),
        ("CLICKWIRE_ADDRESS_BURST", "1000000".to_owned()),
    ];
    let running = launch.programs(Port::Free.reserve("the server")?, false, &settings)?;
    let status = running.status(&launch)?;
    let secrets = stand.deployment.secrets()?;
    let answer = stand.folder.0.join("load.json");
    let mut load = Command::new(release_program("clickwire-load")?);
    load.args([command, "--server", &status.server])
        .env("CLICKWIRE_ADMIN_TOKEN", secrets.admin_token)
        .env("CLICKWIRE_INGEST_KEY", secrets.ingest_key)
        .stdout(File::create(&answer)?);
    if !run(&stand.services, &status, &mut load)?.success() {
        bail!("the dashboards could not be served");
    }
    let seen = serde_json::from_slice(&std::fs::read(&answer)?).context("what the load tool says")?;
    Ok(seen)
}

impl Seen {
    /// The server's CPU time for a delivery.
    fn server_micros(&self) -> f64 {
        self.server_cpu_seconds * 1e6 / self.deliveries
    }

    fn line(&self, scenario: &Scenario, seconds: f64) -> String {
        let micros = |seconds: f64| if self.deliveries > 0.0 { seconds * 1e6 / self.deliveries } else { 0.0 };
        format!(
            "({}) {:<44}{:>10.0}{:>10.0}%{:>7.0}{:>10.2}{:>10.2}{:>9.1}{:>9.1}{:>9.1}{:>12.1}{:>10.1}",
            scenario.letter,
            scenario.name,
            self.deliveries / seconds,
            self.delivered * 100.0,
            self.message_bytes,
            micros(self.server_cpu_seconds),
            micros(self.client_cpu_seconds),
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.kib_per_session,
            self.grown_mib,
        )
    }
}
