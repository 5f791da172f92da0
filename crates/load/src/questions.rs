//! Times of a server's answers to questions: each is asked again and again, over one connection or several at once.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::http::Server;

/// Options of `ask`.
#[derive(Args)]
pub struct Options {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The token of an administrator.
    #[arg(long, env = "CLICKWIRE_ADMIN_TOKEN", hide_env_values = true)]
    token: String,
    /// A JSON list of paths with their query strings.
    #[arg(long)]
    file: PathBuf,
    /// Times that each question is asked over each connection, at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Connections over which a question is asked at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Seconds for which each question is asked, at most; the first answer is waited for.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// No answer takes longer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// Prints a JSON list, an entry for each path: times in ms, answers other than 200, bytes of an answer.
///
/// # Errors
/// The file can't be read, the server is away, or something was asked for to stop.
#[expect(clippy::print_stdout, reason = "its result")]
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let paths: Vec<String> = serde_json::from_slice(&fs::read(&options.file)?).context("the questions")?;
    let server = Server::new(&options.server, &options.token)?;
    let mut answers = Vec::new();
    for path in paths {
        let asked = stop.run_until_cancelled(ask(&server, &path, options)).await;
        answers.push(asked.context("stopped")??);
    }
    println!("{}", Value::from(answers));
    Ok(())
}

async fn ask(server: &Server, path: &str, options: &Options) -> anyhow::Result<Value> {
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let mut connections = JoinSet::new();
    for _ in 0..options.at_once {
        let (mut connection, path, times) = (server.connection(), path.to_owned(), options.times);
        connections.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..times {
                let asked = Instant::now();
                let (status, body) = timeout(ANSWERED_WITHIN, connection.get(&path)).await??;
                seen.push((asked.elapsed(), status.as_u16(), body.len()));
                if Instant::now() >= until {
                    break;
                }
            }
            anyhow::Ok(seen)
        });
    }
    let (mut histogram, mut refused, mut bytes) = (Histogram::<u64>::new(3)?, Vec::new(), 0);
    while let Some(seen) = connections.join_next().await {
        for (took, status, length) in seen?? {
            if status == 200 {
                histogram.record(took.as_micros() as u64)?;
                bytes = length;
            } else {
                refused.push(status);
            }
        }
    }
    let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    let answered = !histogram.is_empty();
    Ok(json!({
        "p50_ms": answered.then(|| ms(0.5)),
        "p99_ms": answered.then(|| ms(0.99)),
        "answers": histogram.len(),
        "refused": refused.len(),
        "status": refused.first(),
        "bytes": bytes,
    }))
}
