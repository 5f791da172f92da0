//! Demonstration traffic: a steady stream with waves, and a robot attack now and then.

use std::time::Duration;

use clap::Args;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    http::{Connection, Server},
    traffic,
};

/// Where to send how much.
#[derive(Args)]
pub struct Options {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Key to post with.
    #[arg(long, env = "CLICKWIRE_INGEST_KEY", hide_env_values = true)]
    ingest_key: String,
    /// Clicks a second, on average.
    #[arg(long, default_value_t = 40.0)]
    rate: f64,
}

const STEP: Duration = Duration::from_millis(100);

/// Sends until `stop` is cancelled. A server that is away is waited for.
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let server = Server::new(&options.server, &options.ingest_key)?;
    let mut connection = server.connection();
    let mut random = StdRng::from_rng(&mut rand::rng());
    let started = Instant::now();
    let mut step = interval(STEP);
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut owed = 0.0;
    loop {
        tokio::select! { _ = step.tick() => {}, () = stop.cancelled() => return Ok(()) }
        let seconds = started.elapsed().as_secs_f64();
        owed += options.rate * wave(seconds) * STEP.as_secs_f64();
        while owed >= 1.0 {
            owed -= 1.0;
            let body = traffic::click(&mut random, robots(seconds));
            if post(&mut connection, body.to_string()).await.is_err() {
                // Nothing is owed for the time that the server was away.
                owed = 0.0;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn post(connection: &mut Connection, body: String) -> anyhow::Result<()> {
    let (status, _) = connection.post("/api/v1/clicks", body.into_bytes()).await?;
    anyhow::ensure!(status.is_success(), "{status}");
    Ok(())
}

/// Slow and quick swells around 1, so that there is something to see.
fn wave(seconds: f64) -> f64 {
    1.0 + 0.35 * (seconds / 47.0).sin() + 0.25 * (seconds / 11.0).sin()
}

/// The share of robots: 2 %, and 15 % for twenty seconds in every two minutes.
fn robots(seconds: f64) -> f64 {
    if seconds % 120.0 > 100.0 { 0.15 } else { 0.02 }
}
