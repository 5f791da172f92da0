//! Clicks that are sent until the server has taken each of them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use clickwire_load::{http::Connection, traffic};
use clickwire_process::Backoff;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use uuid::Uuid;

use crate::Stack;

/// An answer that takes longer is taken for none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers of distinct clicks that the server has taken, by advertiser.
pub type Sent = BTreeMap<String, i64>;

/// Posts without end, over some connections, until told to stop.
pub struct Load {
    stop: watch::Sender<bool>,
    taken: watch::Sender<usize>,
    posters: JoinSet<Result<Sent>>,
}

impl Load {
    /// Starts to post.
    pub fn start(stack: &Stack, connections: u64, seed: u64) -> Result<Self> {
        let (stop, taken) = (watch::Sender::new(false), watch::Sender::new(0));
        let mut posters = JoinSet::new();
        for number in 0..connections {
            let random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
            posters.spawn(post(stack.poster()?, random, stop.subscribe(), taken.clone()));
        }
        Ok(Self { stop, taken, posters })
    }

    /// Waits until so many more clicks have been taken.
    pub async fn goes_on(&self, clicks: usize) -> Result<()> {
        let mut taken = self.taken.subscribe();
        let from = *taken.borrow();
        let done = timeout(Duration::from_secs(60), taken.wait_for(|taken| *taken >= from + clicks)).await;
        ensure!(done.is_ok(), "no {clicks} clicks were taken within a minute");
        Ok(())
    }

    /// Stops, and returns what was taken. Each click that was begun is taken in the end.
    pub async fn finish(mut self, sent: &mut Sent) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.posters.join_next().await {
            for (advertiser_id, clicks) in ended?? {
                *sent.entry(advertiser_id).or_default() += clicks;
            }
        }
        Ok(())
    }
}

async fn post(
    mut connection: Connection,
    mut random: StdRng,
    stop: watch::Receiver<bool>,
    taken: watch::Sender<usize>,
) -> Result<Sent> {
    let mut sent = Sent::new();
    while !*stop.borrow() {
        let mut click = traffic::click(&mut random, 0.05);
        click["click_id"] = json!(Uuid::now_v7());
        post_until_taken(&mut connection, &click).await?;
        taken.send_modify(|taken| *taken += 1);
        *sent.entry(click["advertiser_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(sent)
}

/// Sends a click under its id until the answer is 202; how often it was sent.
pub async fn post_until_taken(connection: &mut Connection, click: &Value) -> Result<u32> {
    let mut backoff = Backoff::up_to(Duration::from_millis(500));
    for attempt in 1.. {
        let body = click.to_string().into_bytes();
        match timeout(PATIENCE, connection.post("/api/v1/clicks", body)).await {
            Ok(Ok((status, _))) if status.as_u16() == 202 => return Ok(attempt),
            Ok(Ok((status, body))) => {
                ensure!(status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&body));
            }
            // Nobody there, cut off in the middle, or too slow: not known whether it was taken.
            Ok(Err(_)) | Err(_) => {}
        }
        backoff.wait().await;
    }
    Ok(0)
}
