//! Sending what is planned, each click until it is taken.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clickwire_load::http::Connection;
use clickwire_process::now_ms;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    sync::Mutex,
    time::{Instant as Due, sleep_until, timeout},
};

use super::plan::{Plan, Post};
use crate::{Stack, load::post_until_taken};

/// Clients at the same time: what is due waits for one of them.
const CLIENTS: usize = 12;

/// The number of posts between reports of progress.
const REPORT_EVERY: usize = 1_000;

/// Sends everything, and returns when all of it was taken.
pub(crate) async fn send(
    plan: &Plan,
    keys: &BTreeMap<&str, String>,
    stack: &Stack,
    say: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let (began, next) = (Instant::now(), Mutex::new(plan.posts.iter().enumerate()));
    let client = async || {
        // The operator's key, and each advertiser's own.
        let mut connections = BTreeMap::from([(None, stack.poster()?)]);
        for (advertiser, key) in keys {
            connections.insert(Some(*advertiser), stack.poster_with(key)?);
        }
        loop {
            let Some((number, post)) = next.lock().await.next() else { return Ok(()) };
            sleep_until(Due::from_std(began + Duration::from_millis(post.at_ms))).await;
            let body = body(plan, post)?;
            let click = &plan.clicks[post.click];
            let key = click.text("advertiser_id").filter(|_| click.is_bound);
            if let Some(patience) = post.gives_up_after {
                lose_answer(stack, key.and_then(|of| keys.get(of)), &body, patience).await?;
            }
            post_until_taken(connections.get_mut(&key).context("no such key")?, &body).await?;
            if number % REPORT_EVERY == REPORT_EVERY - 1 {
                say(&format!("{} of {} posts", number + 1, plan.posts.len()));
            }
        }
    };
    let clients: Vec<Result<()>> = futures_util::future::join_all((0..CLIENTS).map(|_| client())).await;
    clients.into_iter().collect()
}

/// Sends it and goes away; it may have been taken.
async fn lose_answer(stack: &Stack, key: Option<&String>, body: &Value, patience: Duration) -> Result<()> {
    let mut connection: Connection = key.map_or_else(|| stack.poster(), |key| stack.poster_with(key))?;
    let sent = connection.post("/api/v1/clicks", body.to_string().into_bytes());
    // Whatever the answer was, nobody has heard it.
    drop(timeout(patience, sent).await);
    Ok(())
}

fn body(plan: &Plan, post: &Post) -> Result<Value> {
    let mut body = plan.clicks[post.click].body.clone();
    let clicked_at = i128::from(now_ms() + post.clock_ms) * 1_000_000;
    let clicked_at = OffsetDateTime::from_unix_timestamp_nanos(clicked_at).context("a strange time")?;
    body["clicked_at"] = json!(clicked_at.format(&Rfc3339)?);
    Ok(body)
}
