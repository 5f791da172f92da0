//! Demonstration traffic: a steady stream with waves, and a robot attack now and then.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use clickwire_client::{AggregateQuery, Watch};
use clickwire_process::now_ms;
use clickwire_protocol::{
    ids::AdvertiserId,
    live::{Filters, View},
    times::UnixMs,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    http::{Intake, Server},
    traffic,
};

/// Options of the demonstration traffic: its target and its rate.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    intake: Intake,
    /// Clicks a second, on average.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Minutes of clicks to make first, if the last hour holds no clicks.
    #[arg(long, default_value_t = 0, requires = "admin_token")]
    history_minutes: u32,
    /// Token that opens all advertisers; needed to look whether there is a history.
    #[arg(long, env = "CLICKWIRE_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// File to write as soon as the history is counted, or found to be there.
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

const STEP: Duration = Duration::from_millis(100);

/// The interval between looks at how far the deployment has counted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Connections that a history is posted over.
const CONNECTIONS: u32 = 8;

/// Sends until `stop` is cancelled. A server that is away is waited for.
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let server = options.intake.poster()?;
    let (rate, minutes, ready_file) = (options.rate, options.history_minutes, options.ready_file.clone());
    let viewer = options.admin_token.as_deref().filter(|_| minutes > 0);
    let viewer = viewer.map(|token| options.intake.opened_by(token)).transpose()?;
    // Before there is traffic, by which it would not be empty.
    let empty = match viewer {
        Some(viewer) => is_empty(&viewer).await.unwrap_or(false).then_some(viewer),
        None => None,
    };
    let poster = server.clone();
    tokio::spawn(async move {
        if let Some(viewer) = empty {
            // A history with a hole is better than none.
            filled(poster, viewer, rate, minutes).await.ok();
        }
        if let Some(file) = ready_file {
            // A program that waits for it does not wait for ever.
            std::fs::write(file, "").ok();
        }
    });
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
            let click = traffic::click(&mut random, robots(seconds));
            if connection.post_click(&click).await.is_err() {
                // Nothing is owed for the time that the server was away.
                owed = 0.0;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Posts a history and waits until it is counted.
async fn filled(poster: Server, viewer: Server, rate: f64, minutes: u32) -> anyhow::Result<()> {
    history(poster, rate, minutes).await?;
    let posted = UnixMs(now_ms());
    let view = View {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        filters: Filters::default(),
        group_by: Vec::new(),
        window_minutes: 1,
    };
    let mut watch = Watch::new(viewer, view);
    let counted_until = |watch: &Watch| watch.state().progress.and_then(|progress| progress.counted_until_ms);
    while counted_until(&watch).is_none_or(|counted_until| counted_until < posted) {
        // How far it is counted comes with changes and without.
        if let Ok(changed) = timeout(LOOK_EVERY, watch.update()).await {
            changed?;
        }
    }
    Ok(())
}

/// Returns whether the last hour holds no clicks.
async fn is_empty(server: &Server) -> anyhow::Result<bool> {
    let advertiser_id = Some(AdvertiserId::unchecked("adv_001"));
    let query = AggregateQuery { advertiser_id, ..AggregateQuery::default() };
    Ok(server.connection().aggregate(&query).await?.total_clicks == 0)
}

/// Posts clicks of the last `minutes`, as many as would have come at `rate`.
pub async fn history(server: Server, rate: f64, minutes: u32) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let mut posters = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut connection = server.connection();
        posters.spawn(async move {
            let mut random = StdRng::from_rng(&mut rand::rng());
            for minute in (1..=minutes).rev().filter(|minute| minute % CONNECTIONS == number) {
                let ago = f64::from(minute) * 60.0;
                let clicks = (rate * 60.0 * wave(-ago)) as u32;
                for _ in 0..clicks {
                    let mut click = traffic::click(&mut random, robots(-ago));
                    let at = now - time::Duration::seconds_f64(ago - random.random_range(0.0..60.0));
                    click["clicked_at"] = at.format(&Rfc3339)?.into();
                    connection.post_click(&click).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(posted) = posters.join_next().await {
        posted??;
    }
    Ok(())
}

/// Slow and quick swells around 1, so that there is something to see.
fn wave(seconds: f64) -> f64 {
    1.0 + 0.35 * (seconds / 47.0).sin() + 0.25 * (seconds / 11.0).sin()
}

/// The share of robots: 2 %, and 15 % for twenty seconds in every two minutes.
fn robots(seconds: f64) -> f64 {
    if seconds.rem_euclid(120.0) > 100.0 { 0.15 } else { 0.02 }
}
