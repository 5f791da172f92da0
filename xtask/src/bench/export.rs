//! Clicks of a range as a file: rows a second and the server's memory, by format, and for a client that reads slowly.
//!
//! The statements that fill the ledger are in a file of SQL here, and write what the ledger alone writes elsewhere: it
//! is a database of this measurement's own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::{
    Stand,
    query::{QueryServer, database::Database, instant},
    usage,
};
use crate::interrupt::Interrupt;
use crate::steps::{Steps, print};
use crate::up;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Clicks in the ledger, of one advertiser within a week.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1_000..=50_000_000))]
    rows: u32,
}

const DAY: i64 = 86_400;
const DAYS: i64 = 7;

/// Formats in any number of rows; a workbook has a million at most.
const FORMATS: [&str; 4] = ["csv", "ndjson", "parquet", "arrow"];

/// Pause of a client that reads slowly after each piece, and the time for which it reads.
const SLOW_PAUSE: Duration = Duration::from_millis(200);
const SLOW_FOR: Duration = Duration::from_secs(20);

/// Time within which the statement of a client that has gone ends.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Longest time for a piece of an answer.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    up::build(&up::PACKAGES, &steps, &interrupt)?;
    let stand = Stand::start(&steps, |_| ())?;
    let launch = stand.launch(&steps, &interrupt);
    let database = Database::at(stand.services.database_url())?;
    launch.migrate(false)?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let (first, end) = (now - now.rem_euclid(DAY) - DAYS * DAY, now - now.rem_euclid(DAY));
    steps.say(&format!("Filling in {} clicks", options.rows));
    let a_day = (i64::from(options.rows) / DAYS).to_string();
    for from in (first..end).step_by(DAY as usize) {
        let variables = [("from", &*instant(from)), ("clicks", &*a_day)];
        database.run(include_str!("export/clicks.sql"), &variables, &interrupt)?;
    }
    database.run("VACUUM (ANALYZE) clicks;", &[], &interrupt)?;
    let rows: u64 = database.value("SELECT count(*) FROM clicks")?.parse()?;
    let server = QueryServer::start(&launch)?;
    let path = |format: &str| {
        let (start, end) = (instant(first), instant(end));
        format!(
            "/api/v1/exports/clicks?advertiser_id=adv_001&format={format}&start_time={start}&end_time={end}"
        )
    };
    print(&format!(
        "\n{}; {rows} clicks; PostgreSQL {}",
        usage::machine()?,
        database.value("SHOW server_version")?
    ));
    print(
        "\n| format | MB | s | rows/s | first byte, s | server, µs a row | more memory, MiB |\n|---|---|---|---|---|---|---|",
    );
    for format in FORMATS {
        interrupt.check()?;
        let (cpu, memory) = (usage::cpu_seconds(server.pid)?, usage::memory_mib_from_here(server.pid)?);
        let began = Instant::now();
        let file = download(&server, &path(format), None)?;
        let seconds = began.elapsed().as_secs_f64();
        let more = usage::peak_memory_mib(server.pid)? - memory;
        let cpu = (usage::cpu_seconds(server.pid)? - cpu) * 1e6 / rows as f64;
        let lines = if format == "csv" { rows + 1 } else { rows };
        ensure!(
            !["csv", "ndjson"].contains(&format) || file.lines == lines,
            "{format}: {} lines, not {lines}",
            file.lines
        );
        print(&format!(
            "| {format} | {:.0} | {seconds:.0} | {:.0} | {:.1} | {cpu:.1} | {more:.0} |",
            file.bytes as f64 / 1e6,
            rows as f64 / seconds,
            file.first_after.as_secs_f64(),
        ));
    }
    steps.say("A client reads slowly, and goes away");
    let memory = usage::memory_mib_from_here(server.pid)?;
    let read = download(&server, &path("csv"), Some(SLOW_FOR))?;
    let more = usage::peak_memory_mib(server.pid)? - memory;
    let gone = Instant::now();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%exported%' AND pid <> pg_backend_pid() AND state <> 'idle'";
    while database.value(left)? != "0" {
        interrupt.check()?;
        ensure!(gone.elapsed() < ENDED_WITHIN, "the statement of a client that has gone goes on");
        thread::sleep(POLL_EVERY);
    }
    print(&format!(
        "\nA client that has read {:.0} MB in {:.0} s: {more:.0} MiB more; its statement ended within {:.1} s of it",
        read.bytes as f64 / 1e6,
        SLOW_FOR.as_secs_f64(),
        gone.elapsed().as_secs_f64(),
    ));
    Ok(())
}

/// The answer to a download.
struct Downloaded {
    bytes: u64,
    lines: u64,
    /// Time from the request to the first bytes of the body.
    first_after: Duration,
}

/// Reads an answer to its end and throws it away; with a limit slowly, and only for so long.
fn download(server: &QueryServer, path: &str, slowly_for: Option<Duration>) -> Result<Downloaded> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the body comes as it is, and ends with the connection (RFC 9112, section 6.3).
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        server.address(),
        server.token
    )?;
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    ensure!(line.contains(" 200 "), "{path}: {}", line.trim());
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).context("no answer")?;
    }
    let mut came = Downloaded { bytes: 0, lines: 0, first_after: Duration::ZERO };
    let mut piece = vec![0; 1 << 18];
    loop {
        let length = reader.read(&mut piece)?;
        if length == 0 {
            return Ok(came);
        }
        if came.bytes == 0 {
            came.first_after = began.elapsed();
        }
        came.bytes += length as u64;
        came.lines += piece[..length].iter().filter(|&&byte| byte == b'\n').count() as u64;
        if let Some(limit) = slowly_for {
            thread::sleep(SLOW_PAUSE);
            if began.elapsed() > limit {
                return Ok(came);
            }
        }
    }
}
