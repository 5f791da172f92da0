//! The screen's statements while a program on the way of a click stands still, or is gone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{MINUTE, Stack, Wire, eventually, room_in};
use clickwire_process::now_ms;
use clickwire_services::Server as Service;
use fantoccini::Locator;
use serde_json::json;
use tokio::time::sleep;

use super::{
    Browser,
    narrow::{Lets, Narrow},
};
use crate::live;

/// The time in which the screen says that it is not up to date.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);

/// The time in which the screen is up to date again, after everything is back.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Looking at a page takes the driver a moment, on a busy machine.
const MACHINE: Duration = Duration::from_millis(1_500);

/// The time for which a screen that stands still is watched.
const WATCHED_FOR: Duration = Duration::from_secs(4);

/// A page that is live and has clicks of the last minutes.
async fn live_page(server_url: &str, stack: &Stack) -> Result<Browser> {
    let browser = Browser::start().await?;
    browser.open(server_url, "adv_001").await?;
    // A page that stands still ends where everything is counted, a moment before what it last showed: clicks of a
    // minute that has just begun, or begins while they are posted, would be gone again.
    room_in(MINUTE, Duration::from_secs(10)).await;
    let into_minute = now_ms().rem_euclid(60_000).unsigned_abs();
    sleep(Duration::from_millis(6_000).saturating_sub(Duration::from_millis(into_minute))).await;
    live::post(stack, 40).await?;
    shows_clicks(&browser, 40.0).await?;
    eventually("the rate is measured", Duration::from_secs(10), async || {
        browser.text().await.ok()?.contains("per second").then_some(())
    })
    .await?;
    Ok(browser)
}

async fn shows_clicks(browser: &Browser, clicks: f64) -> Result<()> {
    eventually("the clicks arrive on the screen", Duration::from_secs(10), async || {
        (browser.number("kpi-clicks").await? == clicks).then_some(())
    })
    .await
}

/// The page stands still: its numbers, and up to when they are. It says nothing of what it does not know.
async fn stands_still(browser: &Browser, clicks: f64) -> Result<()> {
    let as_of = async || -> Result<String> {
        let said = browser.client.find(Locator::Css("[data-testid=as-of]")).await?;
        Ok(said.text().await?)
    };
    let (first, since) = (as_of().await?, Instant::now());
    ensure!(first.contains("as of") && first.matches(':').count() == 2, "{first}");
    while since.elapsed() < WATCHED_FOR {
        let (now, text) = (as_of().await?, browser.text().await?);
        ensure!(now == first, "{now} after {first}");
        ensure!(browser.number("kpi-clicks").await == Some(clicks), "{text}");
        ensure!(browser.number("kpi-last-minute").await.is_some_and(|minute| minute > 0.0), "{text}");
        for said in ["per second", " than the hour before", " times the hour before"] {
            ensure!(!text.contains(said), "{said}: {text}");
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn pictures(browser: &Browser, name: &str) -> Result<()> {
    for (width, height, theme) in [(1_360, 1_000, "light"), (1_360, 1_000, "dark"), (390, 1_000, "light")] {
        browser.screenshot(&format!("{name}-{width}-{theme}.png"), width, height, theme).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_that_stands_still_shows_and_the_window_stands_with_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = live_page(stack.server_url(), &stack).await?;
    // An idle deployment is live, however long nothing comes.
    let (since, mut looked, mut looks) = (Instant::now(), Instant::now(), 0);
    while since.elapsed() < Duration::from_secs(8) {
        let state = browser.attribute("connection", "data-state").await;
        // A machine that stands still by itself is not what is looked for.
        let is_paused = looked.elapsed() > MACHINE;
        looked = Instant::now();
        looks += usize::from(!is_paused);
        ensure!(
            is_paused || state.as_deref() == Some("live"),
            "{state:?} after {:.1?} without a click",
            since.elapsed()
        );
        sleep(Duration::from_millis(200)).await;
    }
    ensure!(looks >= 4, "only {looks} looks");
    browser.becomes("live", MACHINE).await?;
    aggregator.freeze(true).await?;
    let shown = browser.becomes("delayed", SHOWS_WITHIN + MACHINE).await?;
    println!("a frozen aggregator shows after {shown:.1?}");
    live::post(&stack, 5).await?;
    stands_still(&browser, 40.0).await?;
    pictures(&browser, "delayed").await?;
    aggregator.freeze(false).await?;
    let back = browser.becomes("live", BACK_WITHIN + MACHINE).await?;
    println!("and is live again {back:.1?} after it goes on");
    shows_clicks(&browser, 45.0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_offline_until_it_goes_on() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let browser = live_page(stack.server_url(), &stack).await?;
    server.freeze(true).await?;
    let shown = browser.becomes("offline", SHOWS_WITHIN + MACHINE).await?;
    println!("a frozen server shows after {shown:.1?}");
    stands_still(&browser, 40.0).await?;
    browser.resize(360, 780).await?;
    let right =
        browser.run("return document.querySelector('.connect').getBoundingClientRect().right").await?;
    ensure!(right.as_f64().is_some_and(|right| right <= 360.0), "the button ends at {right} px of 360");
    browser.resize(1_360, 1_000).await?;
    pictures(&browser, "offline").await?;
    // Longer than the page waits before it gives the connection up.
    sleep(Duration::from_secs(8)).await;
    server.freeze(false).await?;
    let back = browser.becomes("live", BACK_WITHIN + MACHINE).await?;
    println!("and is live again {back:.1?} after it goes on");
    live::post(&stack, 2).await?;
    shows_clicks(&browser, 42.0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_page_is_live_within_seconds_or_at_once_when_asked() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let browser = live_page(stack.server_url(), &stack).await?;
    // The first is short; the others are as long as it takes for the page to wait as long as it ever does.
    for (restart, down_for) in [1, 12, 12].map(Duration::from_secs).into_iter().enumerate() {
        server.crash().await?;
        let shown = browser.becomes("offline", SHOWS_WITHIN + MACHINE).await?;
        if restart == 0 {
            stands_still(&browser, 40.0).await?;
        }
        sleep(down_for).await;
        server.revive().await?;
        server.await_ready().await?;
        let is_asked = restart == 2;
        if is_asked {
            // It may have come back by itself meanwhile.
            let button = browser.client.find(Locator::Css("button.connect")).await;
            if let Ok(button) = button {
                button.click().await.ok();
            }
        }
        let within = if is_asked { Duration::from_secs(2) } else { BACK_WITHIN };
        let back = browser.becomes("live", within + MACHINE).await?;
        println!(
            "killed: shows after {shown:.1?}; live again {back:.1?} after it is ready, asked: {is_asked}"
        );
    }
    live::post(&stack, 2).await?;
    shows_clicks(&browser, 42.0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_network_the_window_stands_still() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let network = Narrow::start(stack.server_url(), Lets::Sockets).await?;
    let browser = live_page(&network.address, &stack).await?;
    drop(network);
    let offline = json!({"offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0});
    browser.devtools("Network.emulateNetworkConditions", offline).await?;
    let shown = browser.becomes("offline", SHOWS_WITHIN + MACHINE).await?;
    println!("a lost network shows after {shown:.1?}");
    stands_still(&browser, 40.0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_on_a_wall_waits_for_a_server_that_can_not_tell_who_is_signed_in() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let password = stack.account("wall@shop.example", "advertiser", &["adv_001"]).await?;
    let browser = Browser::start().await?;
    browser.client.goto(stack.server_url()).await?;
    for (field, value) in [("#login", "wall@shop.example"), ("#password", &password)] {
        browser.client.wait().for_element(Locator::Css(field)).await?.send_keys(value).await?;
    }
    browser.client.find(Locator::Css("button.primary")).await?.click().await?;
    browser.becomes("live", Duration::from_secs(20)).await?;

    server.crash().await?;
    stack.wire_to(Service::Database)?.set(Wire::Cut);
    server.revive().await?;
    eventually("the server answers, and can't tell", Duration::from_secs(20), async || {
        let mut stranger = stack.poster_with("somebody-it-would-have-to-look-up").ok()?;
        let (status, _) = stranger.get("/api/v1/session").await.ok()?;
        (status.as_u16() == 503).then_some(())
    })
    .await?;
    browser.client.refresh().await?;
    eventually("the page says that it waits", Duration::from_secs(10), async || {
        browser.text().await.ok()?.contains("does not answer now").then_some(())
    })
    .await?;
    browser.screenshot("waiting.png", 1_360, 800, "light").await?;
    ensure!(browser.client.find(Locator::Css("#login")).await.is_err(), "nobody is there to sign in");
    stack.wire_to(Service::Database)?.set(Wire::Whole);
    server.await_ready().await?;
    let back = browser.becomes("live", BACK_WITHIN + Duration::from_secs(3) + MACHINE).await?;
    println!("a wall is live {back:.1?} after the server can tell");
    browser.client.find(Locator::Css("#login")).await.err().context("a form on a wall").map(drop)
}
