//! The screen on a wall: what it shows is the API's, it fits its screens, says when the server is away and goes on by
//! itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use serde_json::json;

use super::{Browser, live};

/// Longer than a measurement of the server, three questions of the screen, and a start of the server.
const PATIENCE: Duration = Duration::from_secs(60);

async fn becomes(browser: &Browser, state: &str) -> Result<()> {
    eventually(&format!("the screen is {state}"), PATIENCE, async || {
        (browser.attribute("wall-state", "data-state").await? == state).then_some(())
    })
    .await
}

/// Checks that no part of the page is cut off, and that there is no need to scroll.
async fn fits(browser: &Browser, name: &str, width: u32, height: u32) -> Result<()> {
    browser.appears(width, height, "light").await?;
    let size = browser
        .run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        .await?;
    ensure!(size == json!([width, height]), "{name}: {size} on a screen of {width} × {height}");
    let wall = browser
        .run("const wall = document.querySelector('.wall'); return [wall.scrollWidth, wall.scrollHeight]")
        .await?;
    ensure!(wall == json!([width, height]), "{name}: {wall} on a screen of {width} × {height}");
    let cut = "return [...document.querySelectorAll('.wall-large, .wall-today dd, .wall-time, .wall-stages li, .wall-stages strong')]\
               .filter(box => box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).display != 'inline').map(box => box.innerText)";
    let cut = browser.run(cut).await?;
    ensure!(cut == json!([]), "{name}: {cut} is cut off");
    browser.is_accessible(name).await?;
    browser.picture(&format!("{name}.png")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_on_a_wall_goes_on_by_itself() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    live::post_for(&stack, "adv_001", 30).await?;
    live::post_for(&stack, "adv_002", 10).await?;
    live::counted(&stack, 40).await?;
    let admin = stack.as_admin()?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/wall?z=Asia/Tokyo&r=4h", admin.token()).await?;
    becomes(&browser, "live").await?;
    ensure!(browser.run("return document.querySelectorAll('.rail, .topbar').length").await? == 0);
    let (status, body) = admin.connection().get("/api/v1/analytics/summary").await?;
    ensure!(status.is_success(), "{status}");
    let summary: serde_json::Value = serde_json::from_slice(&body)?;
    let rows = "return [...document.querySelectorAll('[data-testid=wall-advertisers] tbody td')].map(cell => Number(cell.innerText))";
    eventually("the last hour is there", PATIENCE, async || {
        let rows: Vec<i64> = serde_json::from_value(browser.run(rows).await.ok()?).ok()?;
        (rows.iter().sum::<i64>() == summary["totals"]["clicks"].as_i64()?).then_some(())
    })
    .await?;
    eventually("the rate is measured", PATIENCE, async || browser.number("wall-rate").await).await?;
    ensure!(browser.number("wall-billable").await.is_some(), "no day");
    browser.sees("Asia/Tokyo").await?;

    for (name, width, height) in [
        ("wall-1080p", 1920, 1080),
        ("wall-4k", 3840, 2160),
        ("wall-portrait", 1080, 1920),
        ("wall-portrait-4k", 2160, 3840),
    ] {
        fits(&browser, name, width, height).await?;
    }
    let ground = "return getComputedStyle(document.querySelector('.wall')).backgroundColor";
    ensure!(browser.run(ground).await? == "rgb(11, 15, 21)", "it is not dark where the page is light");

    // The server is away: the numbers stay, and the screen says since when.
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:?}");
    server.crash().await?;
    becomes(&browser, "offline").await?;
    browser.sees("no answer since").await?;
    let stands = browser.run("return document.querySelector('[data-testid=wall-rate]').innerText").await?;
    ensure!(stands != "–", "the rate is gone");
    fits(&browser, "wall-away", 1920, 1080).await?;
    let clock = "return document.querySelector('[data-testid=wall-clock]').innerText";
    let before = browser.run(clock).await?;
    eventually("the clock goes on", PATIENCE, async || {
        (browser.run(clock).await.ok()? != before).then_some(())
    })
    .await?;
    server.revive().await?;
    becomes(&browser, "live").await?;

    // Escape leads to the page to work with, in the same zone and range.
    browser
        .run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))")
        .await?;
    eventually("the page behind it", PATIENCE, async || {
        let address = browser.client.current_url().await.ok()?;
        (address.path() == "/deployment" && address.query() == Some("r=4h&z=Asia/Tokyo")).then_some(())
    })
    .await?;
    browser.click(".sheet-actions a[href^='/wall']").await?;
    becomes(&browser, "live").await?;
    // Light, if the address says so.
    browser.visit(&stack, "/wall?t=light", admin.token()).await?;
    becomes(&browser, "live").await?;
    fits(&browser, "wall-light", 1920, 1080).await?;
    ensure!(browser.run(ground).await? == "rgb(244, 246, 249)", "it is not light");
    Ok(())
}
