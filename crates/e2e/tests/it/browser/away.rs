//! Pages without a server: what was seen is shown with its time, and to nobody else.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use serde_json::json;

use super::{Browser, live};

/// The time within which a page that is opened while the server stands still shows what was kept: twice the worker's
/// patience, for the page and for who is signed in.
const FROZEN_SHOWS_WITHIN: Duration = Duration::from_secs(20);

async fn sign_in(browser: &Browser, stack: &Stack, login: &str, password: &str) -> Result<()> {
    browser.client.goto(stack.server_url()).await?;
    browser.fill("#login", login).await?;
    browser.fill("#password", password).await?;
    browser.click("button.primary").await?;
    browser.becomes("live", Duration::from_secs(20)).await.map(drop)
}

/// Returns the browser's caches, and the paths in them. A program is there with its index, which comes last.
async fn kept(browser: &Browser) -> Result<Vec<String>> {
    let script = "const done = arguments[0]; (async () => { \
        const names = await caches.keys(), all = [...names]; \
        for (const name of names) \
            for (const { url } of await (await caches.open(name)).keys()) all.push(new URL(url).pathname); \
        return all })().then(done)";
    let names = browser.client.execute_async(script, Vec::new()).await?;
    Ok(serde_json::from_value(names)?)
}

/// Waits until the browser has kept the program and these answers.
async fn has_kept(browser: &Browser, wanted: &[&str]) -> Result<()> {
    eventually(&format!("{wanted:?} are kept"), Duration::from_secs(20), async || {
        let names = kept(browser).await.ok()?;
        wanted.iter().all(|name| names.iter().any(|kept| kept == name)).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_is_shown_without_a_server_with_its_time_and_to_nobody_else() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let (anna, ben) = ("anna@shop.example", "ben@other.example");
    let annas = stack.account(anna, "advertiser", &["adv_001"]).await?;
    let bens = stack.account(ben, "advertiser", &["adv_002"]).await?;
    live::post(&stack, 40).await?;
    live::counted(&stack, 40).await?;
    let browser = Browser::start().await?;
    sign_in(&browser, &stack, anna, &annas).await?;
    has_kept(&browser, &["/app"]).await?;
    let faults = browser.devtools("Page.getInstallabilityErrors", json!({})).await?;
    ensure!(faults["installabilityErrors"] == json!([]), "{faults}");
    // The worker takes part from here on.
    browser.client.refresh().await?;
    eventually("the clicks are there", Duration::from_secs(20), async || {
        (browser.number("kpi-clicks").await? == 40.0).then_some(())
    })
    .await?;
    browser.client.goto(&format!("{}/explore?r=1h&z=UTC", stack.server_url())).await?;
    let total = eventually("Explore has an answer", Duration::from_secs(20), async || {
        browser.number("total-billable").await
    })
    .await?;
    let wanted = [
        "/staff",
        "/api/v1/session",
        "/api/v1/analytics/timeseries",
        "/api/v1/analytics/breakdown",
        "/api/v1/live/poll",
    ];
    has_kept(&browser, &wanted).await?;
    assert_eq!(browser.errors().await?, Vec::<String>::new());

    server.crash().await?;
    browser.client.refresh().await?;
    browser.sees("can’t be reached").await?;
    eventually("Explore shows what it showed", Duration::from_secs(10), async || {
        (browser.number("total-billable").await? == total).then_some(())
    })
    .await?;
    browser
        .looks(&[
            ("away-explore-light.png", 1_440, 900, "light"),
            ("away-explore-dark.png", 1_440, 900, "dark"),
            ("away-explore-phone.png", 360, 900, "light"),
        ])
        .await?;
    browser.click(".rail a[href^='/?'], .rail a[href='/']").await?;
    eventually("the overview shows what it showed", Duration::from_secs(20), async || {
        (browser.number("kpi-clicks").await? == 40.0).then_some(())
    })
    .await?;
    browser.becomes("offline", Duration::from_secs(10)).await?;
    ensure!(browser.attribute("as-of", "class").await.is_some(), "of when?");
    browser
        .looks(&[
            ("away-overview-light.png", 1_440, 900, "light"),
            ("away-overview-phone.png", 360, 900, "dark"),
        ])
        .await?;

    server.revive().await?;
    server.await_ready().await?;
    browser.becomes("live", Duration::from_secs(15)).await?;
    eventually("nothing is said of what was kept", Duration::from_secs(10), async || {
        browser.attribute("kept", "class").await.is_none().then_some(())
    })
    .await?;

    // Signing out deletes the answers.
    browser.click(".you-button").await?;
    browser.click("[data-key=out]").await?;
    eventually("no answer is kept", Duration::from_secs(10), async || {
        let names = kept(&browser).await.ok()?;
        (!names.iter().any(|name| name == "clickwire-answers")).then_some(())
    })
    .await?;
    sign_in(&browser, &stack, ben, &bens).await?;
    has_kept(&browser, &["/api/v1/session"]).await?;
    server.crash().await?;
    browser.client.goto(&format!("{}/explore?r=1h&z=UTC", stack.server_url())).await?;
    browser.sees("can’t be reached").await?;
    ensure!(browser.number("total-billable").await.is_none(), "Anna's numbers, before Ben");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_opened_on_a_server_that_stands_still_shows_what_was_kept() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let password = stack.account("anna@shop.example", "advertiser", &["adv_001"]).await?;
    let browser = Browser::start().await?;
    sign_in(&browser, &stack, "anna@shop.example", &password).await?;
    has_kept(&browser, &["/app"]).await?;
    browser.client.goto(&format!("{}/explore?r=1h&z=UTC", stack.server_url())).await?;
    let wanted = ["/staff", "/api/v1/session", "/api/v1/analytics/timeseries"];
    has_kept(&browser, &wanted).await?;
    server.freeze(true).await?;
    browser.client.refresh().await?;
    eventually("the page shows what was kept", FROZEN_SHOWS_WITHIN, async || {
        browser.attribute("kept", "class").await
    })
    .await?;
    server.freeze(false).await?;
    eventually("and asks again when the server goes on", Duration::from_secs(20), async || {
        browser.attribute("kept", "class").await.is_none().then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_opens_is_not_kept() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    browser.open(stack.server_url(), "adv_001").await?;
    has_kept(&browser, &["/app"]).await?;
    let token = Stack::viewer_token("adv_001");
    browser.visit(&stack, "/explore?r=1h&z=UTC", &token).await?;
    eventually("Explore has an answer", Duration::from_secs(20), async || {
        browser.number("total-billable").await
    })
    .await?;
    // The overview hands its numbers over when it is left.
    browser.visit(&stack, "/", &token).await?;
    browser.becomes("live", Duration::from_secs(20)).await?;
    browser.visit(&stack, "/explore", &token).await?;
    browser.sees("Explore").await?;
    let names = kept(&browser).await?;
    ensure!(!names.iter().any(|name| name == "clickwire-answers"), "{names:?}");
    Ok(())
}
