//! Names and numbers of any length, on screens of any size, in any colours.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use serde_json::json;

use super::Browser;
use crate::live;

/// Longer than fits anywhere, with and without places to break it; and one that is written from right to left.
const NAMES: [(&str, &str); 4] = [
    (
        "camp_001",
        "Spring_sale_for_returning_customers_in_Northern_Europe_2026_with_no_blank_in_its_name_at_all",
    ),
    (
        "camp_002",
        "A campaign whose name has been written by somebody who was paid by the word, and then some",
    ),
    ("camp_003", "מבצע חורף ללקוחות חוזרים (2026)"),
    ("camp_004", "🏔️ Winter"),
];

/// A page with such names, and with a number of clicks that needs room.
async fn page(stack: &Stack) -> Result<Browser> {
    live::post(stack, 60).await?;
    live::counted(stack, 60).await?;
    for (id, name) in NAMES {
        let update = sqlx::query("UPDATE campaigns SET name = $2 WHERE campaign_id = $1").bind(id).bind(name);
        update.execute(stack.database()).await?;
    }
    let long =
        "UPDATE advertisers SET name = repeat('Northwind Trading ', 6) WHERE advertiser_id = 'adv_001'";
    sqlx::query(long).execute(stack.database()).await?;
    let many =
        "UPDATE click_minutes SET valid = 123456789012 WHERE ctid = (SELECT min(ctid) FROM click_minutes)";
    sqlx::query(many).execute(stack.database()).await?;
    let browser = Browser::start().await?;
    browser.open(stack.server_url(), "adv_001").await?;
    eventually("names are shown", Duration::from_secs(10), async || {
        browser.text().await.ok()?.contains("Spring_sale").then_some(())
    })
    .await?;
    Ok(browser)
}

/// Script that lists the elements which stick out of the page, or out of their box.
const OVERFLOW: &str = "
    const out = [], wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > wide) out.push('page ' + document.documentElement.scrollWidth);
    for (const one of document.querySelectorAll('.kpi .value, .kpi .note, .kpi .chip, .legend li, .readout td, .breakdown th, .breakdown td, .top button, .pill')) {
      const box = one.getBoundingClientRect(), card = (one.closest('.card, .readout') || document.body).getBoundingClientRect();
      if (box.width && (box.right > card.right + 1 || box.left < card.left - 1 || box.right > wide + 1)) out.push(one.className + ' ' + one.textContent);
    }
    return out";

async fn fits(browser: &Browser, what: &str) -> Result<()> {
    let out = browser.run(OVERFLOW).await?;
    ensure!(out.as_array().is_some_and(Vec::is_empty), "{what}: {out}");
    Ok(())
}

/// Reads the chart by a tap in its middle; returns what is said.
async fn tap(browser: &Browser) -> Result<String> {
    browser.run("document.querySelector('.plot').scrollIntoView({block: 'center'})").await?;
    let place = browser
        .run("const b = document.querySelector('.plot').getBoundingClientRect(); return [b.x + b.width * 0.96, b.y + b.height / 2]")
        .await?;
    let point = json!([{"x": place[0], "y": place[1]}]);
    for (kind, points) in [("touchStart", &point), ("touchEnd", &json!([]))] {
        browser.devtools("Input.dispatchTouchEvent", json!({"type": kind, "touchPoints": points})).await?;
    }
    eventually("a tap reads the chart", Duration::from_secs(3), async || {
        let said = browser.run("return document.querySelector('.readout')?.innerText ?? null").await.ok()?;
        said.as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_and_large_numbers_fit_from_a_phone_to_a_wall() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = page(&stack).await?;
    browser.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": true})).await?;
    for (width, height) in [(320, 700), (360, 740), (768, 1_024), (1_100, 800), (1_440, 900), (3_840, 2_160)]
    {
        browser.resize(width, height).await?;
        fits(&browser, &format!("at {width} px")).await?;
        let said = tap(&browser).await?;
        ensure!(said.contains("Total"), "{said}");
        fits(&browser, &format!("at {width} px, with the chart read")).await?;
        browser.screenshot(&format!("long-{width}-light.png"), width, height, "light").await?;
    }
    browser.screenshot("long-360-dark.png", 360, 2_000, "dark").await?;
    browser.screenshot("long-1440-dark.png", 1_440, 900, "dark").await?;
    browser.resize(3_840, 2_160).await?;
    let used = browser
        .run(
            "const b = [...document.querySelectorAll('.card')].map((c) => c.getBoundingClientRect()); \
              return Math.max(...b.map((c) => c.right)) - Math.min(...b.map((c) => c.left))",
        )
        .await?;
    ensure!(used.as_f64().is_some_and(|used| used > 3_500.0), "of 3840 px {used} are used");
    Ok(())
}

/// Contrast of the texts of a stale page by WCAG 2.2, and whether what means a campaign has its colour where a system
/// forces its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_page_is_readable_and_forced_colours_keep_the_legend() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = page(&stack).await?;
    let colours = async || -> Result<Vec<String>> {
        let found = browser
            .run("return [...document.querySelectorAll('.legend .swatch[data-slot]')].map((s) => getComputedStyle(s).backgroundColor)")
            .await?;
        Ok(serde_json::from_value(found)?)
    };
    let usual = colours().await?;
    let forced = json!({"features": [{"name": "forced-colors", "value": "active"}]});
    browser.devtools("Emulation.setEmulatedMedia", forced).await?;
    ensure!(usual.len() >= 2 && colours().await? == usual, "{usual:?} became {:?}", colours().await?);
    browser.screenshot("forced.png", 1_360, 900, "light").await?;
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "print", "features": []})).await?;
    fits(&browser, "on paper").await?;
    let time = browser.run("return document.querySelector('.age').getBoundingClientRect().width").await?;
    ensure!(time.as_f64().is_some_and(|width| width > 0.0), "the time of the numbers is not on paper");
    browser.screenshot("print.png", 900, 1_200, "light").await?;
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "", "features": []})).await?;

    aggregator.freeze(true).await?;
    browser.becomes("delayed", Duration::from_secs(8)).await?;
    for theme in ["light", "dark"] {
        browser.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await?;
        let poor = browser.run(CONTRAST).await?;
        ensure!(poor.as_array().is_some_and(Vec::is_empty), "{theme}: {poor}");
    }
    aggregator.freeze(false).await
}

/// Texts with a contrast below 4.5 to 1 against what is behind them.
const CONTRAST: &str = "
    const parse = (colour) => { const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
      c.clearRect(0, 0, 1, 1); c.fillStyle = colour; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data] };
    const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * x + 0.7152 * y + 0.0722 * z };
    const poor = [];
    for (const one of document.querySelectorAll('body *')) {
      const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
      const box = one.getBoundingClientRect();
      if (!own || box.width < 3 || one.closest('svg, .hidden, option')) continue;
      let behind = one, ground = [0, 0, 0, 0], opacity = 1;
      for (let up = one; up; up = up.parentElement) opacity *= +getComputedStyle(up).opacity;
      while (behind && ground[3] < 255) { ground = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement }
      const text = parse(getComputedStyle(one).color).map((v, i) => v * opacity + ground[i] * (1 - opacity));
      const [a, b] = [light(text), light(ground)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) poor.push(one.className + ' ' + one.textContent.slice(0, 30) + ' ' + ratio.toFixed(2));
    }
    return poor";

/// The page's elements don't move by themselves once they are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_shifts_while_the_page_loads() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 60).await?;
    live::counted(&stack, 60).await?;
    let browser = Browser::start().await?;
    browser.resize(1_440, 900).await?;
    browser.open(stack.server_url(), "adv_001").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let shifts = browser
        .client
        .execute_async(
            "const done = arguments[0]; const seen = []; \
             new PerformanceObserver((list) => { for (const e of list.getEntries()) seen.push([e.value, e.sources.map((s) => s.node?.className ?? s.node?.nodeName)]) }) \
               .observe({type: 'layout-shift', buffered: true}); setTimeout(() => done(seen), 300)",
            vec![],
        )
        .await?;
    let sum: f64 = shifts.as_array().into_iter().flatten().filter_map(|shift| shift[0].as_f64()).sum();
    println!("layout shift while loading: {sum:.4}");
    ensure!(sum < 0.02, "{sum}: {shifts}");
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}
