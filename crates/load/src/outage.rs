//! Effects of an outage of Redis on many dashboards: it is killed while clicks come in, clicks go on to be
//! counted, and when it is back every dashboard must show what the database has.
//!
//! These dashboards read what they are sent, as the page does, and keep the state that it makes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use clickwire_client::Watch;
use clickwire_protocol::{
    ids::AdvertiserId,
    live::{Filters, View},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::http::{Intake, Server};

/// The number of viewers, and what is killed.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    intake: Intake,
    /// Token that opens the advertiser's data.
    #[arg(long, env = "CLICKWIRE_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: String,
    /// The Redis that the server listens to.
    #[arg(
        long,
        env = "CLICKWIRE_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: String,
    /// Its process, which is killed. Somebody else has to start another one.
    #[arg(long)]
    redis_pid: i32,
    /// Advertiser whose feed is watched.
    #[arg(long, default_value = "adv_001")]
    advertiser_id: AdvertiserId,
    /// Dashboards.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    sessions: u32,
    /// Seconds in which clicks come in, before Redis is killed and again without it.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
}

/// Limit for each step: every dashboard connected, every click counted, Redis back.
const WITHIN: Duration = Duration::from_secs(60);

/// Requests for clicks in a second.
const BATCHES: u32 = 10;

/// Clicks of one request.
const BATCH: usize = 50;

const POLL: Duration = Duration::from_millis(10);

/// Measures and prints one line of JSON; an error if a dashboard never shows what the database has.
#[expect(clippy::print_stdout, reason = "its result")]
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let report = tokio::select! {
        report = measure(options) => report?,
        () = stop.cancelled() => return Ok(()),
    };
    println!("{report}");
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Value> {
    let server = options.intake.opened_by(&options.admin_token)?;
    let shown: Arc<[AtomicI64]> = (0..options.sessions).map(|_| AtomicI64::new(-1)).collect();
    let mut dashboards = JoinSet::new();
    for number in 0..options.sessions as usize {
        let (mut client, shown) = (Watch::new(server.clone(), options.view()), Arc::clone(&shown));
        dashboards.spawn(async move {
            loop {
                client.update().await?;
                shown[number].store(client.state().total().received(), Ordering::Relaxed);
            }
        });
    }
    let all_show = async |clicks| {
        while shown.iter().any(|shown| shown.load(Ordering::Relaxed) != clicks) {
            sleep(POLL).await;
        }
    };
    let work = async {
        timeout(WITHIN, all_show(0)).await.context("not every dashboard has been sent a snapshot")?;
        let mut clicks = options.post().await?;
        let pid = Pid::from_raw(options.redis_pid).context("no process")?;
        kill_process(pid, Signal::KILL).context("killing Redis")?;
        clicks += options.post().await?;
        timeout(WITHIN, counted(&server, options, clicks)).await.context("clicks were not counted")??;
        let behind = shown.iter().filter(|shown| shown.load(Ordering::Relaxed) != clicks).count();
        timeout(WITHIN, options.redis_is_back()).await.context("Redis did not come back")?;
        let back = Instant::now();
        let equal = timeout(WITHIN, all_show(clicks)).await;
        equal.context("a dashboard does not show what the database has")?;
        anyhow::Ok(json!({
            "clicks": clicks,
            "behind": behind,
            "equal_after_seconds": back.elapsed().as_secs_f64(),
        }))
    };
    tokio::select! {
        report = work => report,
        Some(ended) = dashboards.join_next() => {
            let ended: Result<anyhow::Result<()>, _> = ended;
            bail!("a dashboard ended: {ended:?}")
        }
    }
}

/// Ends when the database has so many clicks.
async fn counted(server: &Server, options: &Options, clicks: i64) -> anyhow::Result<()> {
    let path = format!(
        "/api/v1/analytics/aggregate?granularity=day&advertiser_id={}&start_time=2000-01-01T00:00:00Z",
        options.advertiser_id
    );
    let mut connection = server.connection();
    loop {
        let (status, answer) = connection.get(&path).await?;
        ensure!(status.is_success(), "{path} was answered {status}");
        let answer: Value = serde_json::from_slice(&answer)?;
        let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.iter().filter_map(|row| row["received"].as_i64()).sum::<i64>() == clicks {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

impl Options {
    fn view(&self) -> View {
        View {
            advertiser_id: self.advertiser_id.clone(),
            filters: Filters::default(),
            group_by: vec![],
            window_minutes: 60,
        }
    }

    /// Posts clicks for a while; how many.
    async fn post(&self) -> anyhow::Result<i64> {
        let mut connection = self.intake.poster()?.connection();
        let mut pace = interval(Duration::from_secs(1) / BATCHES);
        for _ in 0..self.seconds * BATCHES {
            pace.tick().await;
            let clicks: Vec<Value> = (0..BATCH).map(|_| self.click()).collect();
            let (status, _) = connection.post("/api/v1/clicks/batch", serde_json::to_vec(&clicks)?).await?;
            ensure!(status.as_u16() == 202, "clicks were answered {status}");
        }
        Ok(i64::from(self.seconds * BATCHES) * BATCH as i64)
    }

    fn click(&self) -> Value {
        json!({
            "click_id": Uuid::now_v7(),
            "advertiser_id": self.advertiser_id,
            "campaign_id": "camp_001",
            "ad_id": "ad_001",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        })
    }

    async fn redis_is_back(&self) {
        let is_there = async || {
            let client = redis::Client::open(self.redis_url.as_str())?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").query_async::<()>(&mut connection).await
        };
        while is_there().await.is_err() {
            sleep(POLL).await;
        }
    }
}
