//! Measures the time from a question to its answer, over HTTP: 30 days of four advertisers, asked alone, by several at
//! once, right after the database has started, and beside clicks that come in; and the same of other engines.
//!
//! The statements that fill the database are in files of SQL here, and write what the ledger alone writes elsewhere:
//! it is a database of this measurement's own ([`database`]). Hours, days and their grains are stored by the ledger's
//! task, and days of unique users folded by it.

pub(super) mod database;
mod engines;
mod questions;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clickwire_services::{Port, Reservation, Server, Source, Supervisor, alive, tail};
use clickwire_uniques::Sketch;
use serde::Deserialize;

use self::database::Database;
use self::engines::{ENGINES, Engines};
pub(super) use self::questions::instant;
use self::questions::{QUESTIONS, Question};
use super::{Stand, aggregator::Aggregator, usage};
use crate::interrupt::Interrupt;
use crate::steps::{Steps, print};
use crate::up::{
    self, ask,
    launch::{Launch, loopback, server_environment},
};
use crate::workspace::release_program;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes' rows, of 30 days; each is of one ad, country and device type.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(43_200..=129_600_000))]
    rows: u32,
    /// Connections over which a question is asked at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Time for which each question is asked again and again, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Clicks a second that come in and are counted during another round of questions.
    #[arg(long, num_args = 0..=1, default_missing_value = "2000")]
    beside: Option<u32>,
    /// Leaves out the other engines.
    #[arg(long)]
    alone: bool,
}

const HOUR: i64 = 3_600;
const HOURS: i64 = 30 * 24;

/// The advertisers that are asked about: one, or all.
const ADVERTISERS: [Option<&str>; 2] = [Some("adv_001"), None];

/// Distinct sketches, and how many users a full and a small one have.
const SKETCHES: u32 = 64;
const FULL_USERS: u32 = 5_000;
const SMALL_USERS: u32 = 50;

const READY_WITHIN: Duration = Duration::from_secs(60);
const ROLLED_UP_WITHIN: Duration = Duration::from_secs(3_600);
const POLL_EVERY: Duration = Duration::from_millis(200);
const LOG_LINES: usize = 20;

/// Times of a question, in ms.
#[derive(Clone, Deserialize)]
struct Asked {
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    refused: u64,
    status: Option<u16>,
    bytes: u64,
}

/// The measurements of a question.
struct Row {
    question: &'static Question,
    advertiser: Option<&'static str>,
    alone: Asked,
    at_once: Asked,
    cold: Option<Asked>,
    beside: Option<Asked>,
    /// Times by engine, from minutes and from roll-ups.
    engines: Vec<[Option<(f64, f64)>; 2]>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    up::build(&up::PACKAGES, &steps, &interrupt)?;
    let given = std::env::var("CLICKWIRE_DATABASE_URL").ok().filter(|url| !url.is_empty());
    // Before everything that uses it, so that it is dropped after that.
    let made = given.as_deref().map(Database::make).transpose()?;
    let stand = Stand::start(&steps, |services| {
        if let Some(database) = &made {
            services.database = Source::Use(database.url.clone());
        }
    })?;
    let launch = stand.launch(&steps, &interrupt);
    let database = Database::at(stand.services.database_url())?;
    launch.migrate(false)?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let end = now - now.rem_euclid(HOUR);
    fill(options, &database, &launch, end)?;
    roll_up(&database, &launch)?;
    let mut rows = measure(options, &launch, end, made.is_none())?;
    let compared = match options.alone {
        true => Ok(()),
        false => compare(options, &database, &launch, end, &stand.folder.0, &mut rows),
    };
    // What was measured before an engine failed, too.
    report(options, &database, &rows)?;
    compared
}

/// Minutes and sketches of the 30 days before `end`.
fn fill(options: &Options, database: &Database, launch: &Launch<'_>, end: i64) -> Result<()> {
    let first = end - HOURS * HOUR;
    let cells = (i64::from(options.rows) / (HOURS * 60)).to_string();
    launch.steps.say(&format!("Filling in {cells} rows a minute for 30 days"));
    let (first_time, end_time) = (instant(first), instant(end));
    database.run(include_str!("query/begin.sql"), &[("first", &first_time)], launch.interrupt)?;
    for start in (first..end).step_by(24 * HOUR as usize) {
        let (from, to) = (instant(start), instant((start + 24 * HOUR).min(end)));
        let variables = [("from", &*from), ("to", &*to), ("cells", &*cells)];
        database.run(include_str!("query/minutes.sql"), &variables, launch.interrupt)?;
    }
    launch.steps.say("Filling in sketches of unique users");
    let mut script =
        "CREATE TEMPORARY TABLE given (number int, is_full boolean, sketch bytea);\nCOPY given FROM stdin;\n"
            .to_owned();
    for number in 0..SKETCHES {
        for (is_full, users) in [("t", FULL_USERS), ("f", SMALL_USERS)] {
            let mut sketch = Sketch::default();
            // Half of the users are those of the next one, too.
            (0..users).for_each(|user| sketch.add(&format!("user_{}", number * users / 2 + user)));
            write!(script, "{number}\t{is_full}\t\\\\x")?;
            sketch.to_bytes().iter().try_for_each(|byte| write!(script, "{byte:02x}"))?;
            script.push('\n');
        }
    }
    script += "\\.\n";
    script += include_str!("query/sketches.sql");
    database.run(&script, &[("first", &first_time), ("end", &end_time)], launch.interrupt)?;
    let vacuum = "VACUUM (ANALYZE) click_minutes, unique_hours, unique_minutes;";
    database.run(vacuum, &[], launch.interrupt)
}

/// Makes an aggregator store hours and days and fold days of unique users, until nothing is left.
fn roll_up(database: &Database, launch: &Launch<'_>) -> Result<()> {
    launch.steps.say("Rolling up");
    let aggregator = Aggregator::start_with(launch, &settings(1))?;
    let began = Instant::now();
    let is_done = "SELECT hours_before >= now() - INTERVAL '2 hours' AND days_before = date_trunc('day', hours_before, 'UTC') \
                      AND NOT EXISTS (SELECT FROM stale_hours) \
                      AND NOT EXISTS (SELECT FROM unique_hours WHERE NOT folded AND bucket < now() - INTERVAL '2 hours') \
                     FROM rollup_progress";
    while database.value(is_done)? != "t" {
        launch.interrupt.check()?;
        launch.services.check()?;
        aggregator.check()?;
        ensure!(began.elapsed() < ROLLED_UP_WITHIN, "hours and days are not stored after an hour");
        thread::sleep(POLL_EVERY);
    }
    let hours = database.value("SELECT count(*) FROM hour_counts")?;
    launch.steps.say(&format!("{hours} hours were rolled up within {:.0} s", began.elapsed().as_secs_f64()));
    drop(aggregator);
    let tables = "SELECT string_agg(relname, ', ') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
                     AND (relname LIKE '%\\_counts%' OR relname = 'unique_days')";
    let vacuum = format!("VACUUM (ANALYZE) {};", database.value(tables)?);
    database.run(&vacuum, &[], launch.interrupt)
}

/// Returns the settings of an aggregator that has no ledger to compare minutes with.
fn settings(housekeeping_seconds: u32) -> [(&'static str, String); 2] {
    [
        ("CLICKWIRE_RECONCILE_SECONDS", "0".to_owned()),
        ("CLICKWIRE_HOUSEKEEPING_SECONDS", housekeeping_seconds.to_string()),
    ]
}

/// Asks a server everything.
fn measure(options: &Options, launch: &Launch<'_>, end: i64, is_ours: bool) -> Result<Vec<Row>> {
    let server = QueryServer::start(launch)?;
    let asked: Vec<(&Question, Option<&'static str>, String)> = ADVERTISERS
        .into_iter()
        .flat_map(|advertiser| QUESTIONS.iter().map(move |question| (question, advertiser)))
        .map(|(question, advertiser)| (question, advertiser, question.path(advertiser, end)))
        .collect();
    let paths: Vec<String> = asked.iter().map(|(_, _, path)| path.clone()).collect();
    launch.steps.say("Asking, one at a time");
    let alone = server.ask(&paths, 1, 100, options.seconds, launch)?;
    launch.steps.say(&format!("Asking, {} at once", options.at_once));
    let at_once = server.ask(&paths, options.at_once, 100, options.seconds, launch)?;
    let mut cold = vec![None; paths.len()];
    if is_ours {
        launch.steps.say("Asking a database that has just started");
        for (path, cold) in paths.iter().zip(&mut cold) {
            launch.services.restart(Server::Database)?;
            // A connection, and what every question needs: not what this one reads.
            while server.status_of("/api/v1/advertisers", launch)? != 200 {
                launch.interrupt.check()?;
                thread::sleep(POLL_EVERY);
            }
            *cold = server.ask(std::slice::from_ref(path), 1, 1, 1, launch)?.pop();
        }
    }
    let mut beside = vec![None; paths.len()];
    if let Some(rate) = options.beside {
        launch.steps.say(&format!("Asking, one at a time, beside {rate} clicks a second"));
        let _aggregator = Aggregator::start_with(launch, &settings(60))?;
        let _load = server.clicks(rate, launch)?;
        // Not the first moments of both.
        server.ask(&paths, 1, 1, 1, launch)?;
        beside = server.ask(&paths, 1, 100, options.seconds, launch)?.into_iter().map(Some).collect();
    }
    let times = alone.into_iter().zip(at_once).zip(cold.into_iter().zip(beside));
    let rows = asked.into_iter().zip(times);
    Ok(rows
        .map(|((question, advertiser, _), ((alone, at_once), (cold, beside)))| Row {
            question,
            advertiser,
            alone,
            at_once,
            cold,
            beside,
            engines: Vec::new(),
        })
        .collect())
}

/// A server that answers questions. Dropping it stops it.
pub(super) struct QueryServer {
    port: Reservation,
    pub(super) pid: u32,
    pub(super) token: String,
    ingest_key: String,
    _metrics: Reservation,
    _supervisor: Supervisor,
}

/// A process that ends with this.
struct Load(Child);

impl QueryServer {
    pub(super) fn start(launch: &Launch<'_>) -> Result<Self> {
        launch.steps.say("Starting a server");
        let secrets = launch.deployment.secrets()?;
        let (port, metrics) = (Port::Free.reserve("the server")?, Port::Free.reserve("the metrics")?);
        let mut settings = server_environment(port.port(), &secrets).to_vec();
        settings.push(("CLICKWIRE_METRICS_LISTEN", loopback(metrics.port())));
        settings.push(("CLICKWIRE_SPOOL", launch.deployment.spool().display().to_string()));
        // All the load comes from one address.
        settings.extend(
            ["CLICKWIRE_ADDRESS_RATE", "CLICKWIRE_ADDRESS_BURST"].map(|name| (name, "1000000".to_owned())),
        );
        let program = launch.program("server", "clickwire-server", &[], &settings)?;
        let supervisor = Supervisor::start(&launch.deployment.logs().join("supervisor.log"), None, None)?;
        let pid = supervisor.spawn(&program)?;
        let give_up = Instant::now() + READY_WITHIN;
        while !ask::is_ready_process(port.port(), pid)? {
            launch.interrupt.check()?;
            let is_well = alive(pid) && Instant::now() < give_up;
            ensure!(
                is_well,
                "the server is not ready; its log ends with:\n{}",
                tail(&program.log, LOG_LINES)
            );
            thread::sleep(POLL_EVERY);
        }
        let (token, ingest_key) = (secrets.admin_token, secrets.ingest_key);
        Ok(Self { port, pid, token, ingest_key, _metrics: metrics, _supervisor: supervisor })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the address on which it listens.
    pub(super) fn address(&self) -> String {
        loopback(self.port.port())
    }

    fn status_of(&self, path: &str, launch: &Launch<'_>) -> Result<u16> {
        let asked = self.ask(&[path.to_owned()], 1, 1, 1, launch)?;
        Ok(asked.first().and_then(|asked| asked.status).unwrap_or(200))
    }

    fn ask(
        &self,
        paths: &[String],
        at_once: u32,
        times: u32,
        seconds: u64,
        launch: &Launch<'_>,
    ) -> Result<Vec<Asked>> {
        let (file, answer) =
            (launch.deployment.logs().join("questions.json"), launch.deployment.logs().join("answers.json"));
        fs::write(&file, serde_json::to_vec(paths)?)?;
        let mut load = Command::new(release_program("clickwire-load")?);
        load.args(["ask", "--server", &self.url(), "--at-once", &at_once.to_string()]);
        load.args(["--times", &times.to_string(), "--seconds", &seconds.to_string(), "--file"]).arg(&file);
        load.env("CLICKWIRE_ADMIN_TOKEN", &self.token).stdout(File::create(&answer)?);
        ensure!(launch.interrupt.run(&mut load)?.success(), "the questions could not be asked");
        serde_json::from_slice(&fs::read(&answer)?).context("what the load tool says")
    }

    /// Sends clicks for a day, or until the returned load is dropped.
    fn clicks(&self, rate: u32, launch: &Launch<'_>) -> Result<Load> {
        let mut load = Command::new(release_program("clickwire-load")?);
        load.args(["intake", "--server", &self.url(), "--rate", &rate.to_string(), "--connections", "16"]);
        load.args(["--seconds", "86400"]).env("CLICKWIRE_INGEST_KEY", &self.ingest_key);
        load.stdout(File::create(launch.deployment.logs().join("load.json"))?);
        Ok(Load(load.spawn().context("cannot run the load tool")?))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks other engines the same questions.
fn compare(
    options: &Options,
    database: &Database,
    launch: &Launch<'_>,
    end: i64,
    folder: &Path,
    rows: &mut [Row],
) -> Result<()> {
    launch.steps.say("Installing the other engines");
    let engines = Engines::install()?;
    launch.steps.say("Exporting the minutes");
    let csv = folder.join("minutes.csv");
    let query = format!(
        "SELECT extract(epoch FROM bucket)::bigint, advertiser_id, campaign_id, ad_id, country, device_type, valid, \
                duplicate, givt, sivt, test, defective \
           FROM click_minutes WHERE bucket < '{}' AND advertiser_id LIKE 'adv\\_00_' ORDER BY advertiser_id, bucket",
        instant(end)
    );
    database.export(&query, &csv, launch.interrupt)?;
    let statements: Vec<Option<String>> = rows
        .iter()
        .flat_map(|row| [true, false].map(|from_minutes| row.question.sql(from_minutes, row.advertiser, end)))
        .collect();
    for (engine, name) in ENGINES {
        launch.steps.say(&format!("Asking {name}"));
        let times = engines.measure(engine, &csv, folder, &statements, options.seconds, launch.interrupt)?;
        for (row, times) in rows.iter_mut().zip(times.chunks(2)) {
            row.engines.push([times[0], times[1]]);
        }
    }
    Ok(())
}

/// Tables as `docs/develop/performance.md` has them.
fn report(options: &Options, database: &Database, rows: &[Row]) -> Result<()> {
    let sizes = "SELECT (SELECT count(*) FROM click_minutes), (SELECT count(*) FROM hour_counts), (SELECT count(*) FROM day_counts)";
    print(&format!(
        "\n{}; minutes|hours|days: {}; PostgreSQL {}\n\
         ms, p50 / p99; in brackets our median alone over the engine's median",
        usage::machine()?,
        database.value(sizes)?,
        database.value("SHOW server_version")?,
    ));
    for advertiser in ADVERTISERS {
        let mut head = format!(
            "\n| {} | KB | alone | {} at once | cold |",
            advertiser.unwrap_or("all"),
            options.at_once
        );
        if let Some(rate) = options.beside {
            write!(head, " beside {rate}/s |")?;
        }
        if !options.alone {
            for (_, name) in ENGINES {
                write!(head, " {name}, minutes | {name}, roll-ups |")?;
            }
        }
        print(&head);
        print(&format!("|{}", "---|".repeat(head.matches('|').count() - 1)));
        for row in rows.iter().filter(|row| row.advertiser == advertiser) {
            let mut cells =
                vec![row.question.name.to_owned(), format!("{:.0}", row.alone.bytes as f64 / 1_000.0)];
            cells.extend([row.alone.cell(), row.at_once.cell()]);
            cells.push(row.cold.as_ref().map_or_else(String::new, |cold| decimal(cold.p50_ms)));
            cells.extend(row.beside.iter().map(Asked::cell));
            for times in row.engines.iter().flatten() {
                let ratio = |(theirs, _): (f64, f64)| {
                    row.alone.p50_ms.map_or_else(String::new, |ours| format!(" ({:.2})", ours / theirs))
                };
                cells.push(times.map_or_else(String::new, |times| decimal(Some(times.0)) + &ratio(times)));
            }
            print(&format!("| {} |", cells.join(" | ")));
        }
    }
    Ok(())
}

impl Asked {
    fn cell(&self) -> String {
        let refused = match (self.refused, self.status) {
            (0, _) | (_, None) => String::new(),
            (refused, Some(status)) => format!(" ({refused} × {status})"),
        };
        format!("{} / {}{refused}", decimal(self.p50_ms), decimal(self.p99_ms))
    }
}

/// A time with as many digits as it is known to.
fn decimal(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}
