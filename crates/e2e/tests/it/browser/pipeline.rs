//! The pipeline on its page: rates and delays as they are, and what is away said as such.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, Wire, eventually};
use clickwire_load::http::Server;
use clickwire_services::Server as Service;
use fantoccini::Locator;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Browser;
use crate::live;

/// Longer than two measurements and a question of the page.
const PATIENCE: Duration = Duration::from_secs(40);

async fn measured(admin: &Server) -> Result<Value> {
    let (status, body) = admin.connection().get("/api/v1/admin/pipeline").await?;
    ensure!(status.is_success(), "{status}");
    Ok(serde_json::from_slice(&body)?)
}

/// Waits until the API says so of the pipeline.
async fn becomes(admin: &Server, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let outcome = eventually(what, PATIENCE, async || measured(admin).await.ok().filter(&is_so)).await;
    if outcome.is_err() {
        last = measured(admin).await.unwrap_or_default();
    }
    outcome.with_context(|| last.to_string())
}

/// Returns the state that a tile shows.
async fn state(browser: &Browser, stage: &str) -> Result<String> {
    let css = format!("[data-testid=stage-{stage}] .badge");
    Ok(browser.client.wait().for_element(Locator::Css(&css)).await?.text().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_and_delays_are_seen_and_a_broker_that_is_away() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let admin = stack.as_admin()?;
    becomes(&admin, "all is well", |pipeline| {
        ["intake", "stream", "ledger", "screens", "dead_letters", "database"]
            .iter()
            .all(|stage| pipeline["stages"][stage]["state"] == "good")
    })
    .await?;

    // Ten clicks a second, for longer than two measurements.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(25) {
        live::post_for(&stack, "adv_001", 10).await?;
        sleep(
            Duration::from_secs(1)
                .saturating_sub(Duration::from_millis(since.elapsed().as_millis() as u64 % 1_000)),
        )
        .await;
    }
    let pipeline = measured(&admin).await?;
    let points = pipeline["history"].as_array().context("no history")?;
    let most = |name: &str| points.iter().filter_map(|point| point[name].as_f64()).fold(0.0, f64::max);
    for name in ["accepted_per_second", "stored_per_second", "counted_per_second"] {
        let most = most(name);
        ensure!((4.0..16.0).contains(&most), "{name} is {most} at ten a second: {points:?}");
    }
    ensure!(pipeline["servers"].as_array().is_some_and(|servers| servers.len() == 1), "{pipeline}");

    let browser = Browser::start().await?;
    browser.visit(&stack, "/pipeline?z=UTC", admin.token()).await?;
    for stage in ["intake", "stream", "ledger", "screens"] {
        ensure!(state(&browser, stage).await? == "Good", "{stage}");
    }
    browser
        .looks(&[
            ("pipeline-light.png", 1440, 900, "light"),
            ("pipeline-dark.png", 1440, 900, "dark"),
            ("pipeline-phone.png", 360, 780, "light"),
            ("pipeline-4k.png", 3840, 2160, "dark"),
        ])
        .await?;

    // Nobody counts: the ledger falls behind, and is said to.
    aggregator.kill().await?;
    live::post_for(&stack, "adv_001", 10).await?;
    becomes(&admin, "the ledger is behind", |pipeline| {
        let ledger = &pipeline["stages"]["ledger"];
        ["warning", "critical"].iter().any(|state| ledger["state"] == *state)
            && ledger["waiting"].as_u64().is_some_and(|waiting| waiting >= 10)
    })
    .await?;

    // The broker is away: that is said, and what only it knows is not known.
    stack.wire_to(Service::Nats)?.set(Wire::Cut);
    let away =
        becomes(&admin, "the broker is away", |pipeline| pipeline["stages"]["stream"]["state"] == "critical")
            .await?;
    ensure!(away["stages"]["dead_letters"]["state"] == "unknown", "{away}");
    ensure!(away["stages"]["stream"]["bytes"].is_null(), "{away}");
    eventually("the page says so", PATIENCE, async || {
        (state(&browser, "stream").await.ok()? == "Critical").then_some(())
    })
    .await?;
    ensure!(state(&browser, "dead-letters").await? == "Unknown");
    browser.looks(&[("pipeline-away.png", 1440, 900, "light")]).await?;
    stack.wire_to(Service::Nats)?.set(Wire::Whole);
    let _aggregator = stack.start_aggregator().await?;
    becomes(&admin, "all is well again", |pipeline| {
        ["stream", "ledger", "screens"].iter().all(|stage| pipeline["stages"][stage]["state"] == "good")
    })
    .await?;
    Ok(())
}
