//! What it costs the gateway to tell dashboards what changes, and to have them at all.
//!
//! Each scenario meets a server of its own. The load tool is the feed and all the dashboards, in another
//! process; it measures the server's CPU time and memory.

use std::fs::File;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clickwire_services::{Folder, Port, Services};
use serde::Deserialize;

use super::{TemporaryFolder, usage};
use crate::installation::Installation;
use crate::interrupt::Interrupt;
use crate::steps::{Steps, print};
use crate::up::{self, launch::Launch};
use crate::wasm;
use crate::workspace::release_program;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each scenario is kept up.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// One scenario alone, by its letter.
    #[arg(long)]
    only: Option<char>,
}

struct Scenario {
    letter: char,
    name: &'static str,
    /// How often the server tells, in milliseconds: as often as something changes, or all would be
    /// conflation.
    tick_ms: u32,
    load: &'static [&'static str],
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        letter: 'a',
        name: "1,000 sessions, 100 updates/s, 200 B",
        tick_ms: 5,
        load: &["--sessions", "1000", "--rate", "100", "--cells", "2"],
    },
    Scenario {
        letter: 'v',
        name: "1,000 sessions with 8 views, 25 updates/s",
        tick_ms: 20,
        load: &["--sessions", "1000", "--rate", "25", "--views", "8"],
    },
    Scenario {
        letter: 'b',
        name: "5,000 sessions, 10 updates/s, 1 KB",
        tick_ms: 50,
        load: &["--sessions", "5000", "--rate", "10", "--cells", "18"],
    },
    Scenario {
        letter: 'c',
        name: "8,000 idle sessions",
        tick_ms: 200,
        load: &["--sessions", "8000", "--rate", "0"],
    },
    Scenario {
        letter: 'd',
        name: "b, 5 % of them stopped reading",
        tick_ms: 50,
        load: &["--sessions", "5000", "--rate", "10", "--cells", "18", "--stalled", "5"],
    },
    Scenario {
        letter: 'e',
        name: "5,000 sessions that all come again",
        tick_ms: 200,
        load: &["--sessions", "5000", "--rate", "5", "--reconnect"],
    },
];

/// What the load tool saw.
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
        lines.push(seen.line(scenario, f64::from(options.seconds)));
        if let (Some(seconds), Some(reads)) = (seen.reconnected_after_seconds, seen.database_reads) {
            lines
                .push(format!("    all back, with snapshots, after {seconds:.1} s; database reads: {reads}"));
        }
    }
    print(&format!("\n{} s each, {}", options.seconds, usage::machine()));
    print(&format!(
        "{:<48}{:>10}{:>11}{:>7}{:>10}{:>10}{:>9}{:>9}{:>9}{:>12}{:>10}",
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
        "grown MiB"
    ));
    lines.iter().for_each(|line| print(line));
    Ok(())
}

fn measure(scenario: &Scenario, seconds: u32, steps: &Steps, interrupt: &Interrupt) -> Result<Seen> {
    let folder = TemporaryFolder::new()?;
    let installation = Installation::locate(Some(folder.0.clone()))?;
    installation.create()?;
    let services =
        clickwire_services::Options { folder: Folder::Temporary, ..clickwire_services::Options::temporary() };
    let services = Services::start(&services, &|step| steps.say(step))?;
    let launch = Launch { installation: &installation, services: &services, steps, interrupt };
    launch.migrate(true)?;
    let settings = [
        ("CLICKWIRE_LIVE_TICK_MS", scenario.tick_ms.to_string()),
        // All of them come from one address.
        ("CLICKWIRE_LIVE_SESSIONS_PER_ADDRESS", "15000".to_owned()),
        ("CLICKWIRE_ADDRESS_RATE", "1000000".to_owned()),
        ("CLICKWIRE_ADDRESS_BURST", "1000000".to_owned()),
    ];
    let running = launch.programs(Port::Free.reserve("the server")?, false, &settings)?;
    let status = running.status(&launch)?;
    let answer = folder.0.join("load.json");
    let mut load = Command::new(release_program("clickwire-load")?);
    load.args(["fanout", "--server", &status.server, "--server-pid", &status.pids.server.to_string()]);
    load.args(["--seconds", &seconds.to_string()]).args(scenario.load);
    load.env("CLICKWIRE_ADMIN_TOKEN", installation.secrets()?.admin_token)
        .env("CLICKWIRE_REDIS_URL", services.redis_url());
    if !interrupt.run(load.stdout(File::create(&answer)?))?.success() {
        bail!("the dashboards could not be served");
    }
    let seen = serde_json::from_slice(&std::fs::read(&answer)?).context("what the load tool says")?;
    drop(running);
    services.stop();
    Ok(seen)
}

impl Seen {
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
