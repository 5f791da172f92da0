//! Thousands of rows in one table: as many as a question of the page's can have, and some of them in the page.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::Browser;

const SOON: Duration = Duration::from_secs(10);

/// Campaigns, each with a minute of its own, and as many clicks in it as its number: 12,502,500 in all.
const MINUTES: &str = "\
    INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
    SELECT '2025-06-02T00:00Z'::timestamptz + (n - 1) * INTERVAL '1 minute', 'adv_001', 'row_' || lpad(n::text, 4, '0'), \
           'ad_001', 'DE', 'mobile', n FROM generate_series(1, 5000) AS n";

/// The range of these minutes, as an address has it, and as the API does.
const RANGE: &str = "r=2025-06-02..2025-06-05T11:20&z=UTC";
const TIMES: &str = "start_time=2025-06-02T00:00:00Z&end_time=2025-06-05T11:20:00Z";

/// Rows of a long table that are in the page at once, and the height of each; the table's own numbers.
const AT_ONCE: u64 = 160;
const ROW_PX: u64 = 28;

/// Time within which a table is there in another order, or opened; a second is promised where a browser has a core for
/// itself.
const PATIENCE_MS: f64 = 5_000.0;

/// Keys as WebDriver has them.
const PAGE_DOWN: &str = "\u{E00F}";
const END: &str = "\u{E010}";
const HOME: &str = "\u{E011}";

/// The part of a table that is in the page, and that of it which is in sight.
#[derive(Debug)]
struct Sight {
    in_page: u64,
    /// The numbers of the first and the last row that are seen whole, from 1 on.
    first: u64,
    last: u64,
    /// The cells of the last one.
    cells: Vec<String>,
}

/// Reads what is seen of a table; `None`: nothing yet.
async fn sight(browser: &Browser, table: &str) -> Option<Sight> {
    let script = format!(
        "const box = document.querySelector('{table}'), rows = [...box.querySelectorAll('tbody tr[aria-rowindex]')]; \
         const edge = (cell, side) => box.querySelector(cell)?.getBoundingClientRect()[side]; \
         const top = edge('thead th', 'bottom'), bottom = edge('tfoot th', 'top') ?? box.getBoundingClientRect().bottom; \
         const seen = rows.filter(row => {{ const at = row.getBoundingClientRect(); return at.top >= top - 1 && at.bottom <= bottom + 1 }}); \
         const number = row => Number(row.getAttribute('aria-rowindex')) - 1; \
         return [rows.length, number(seen[0]), number(seen.at(-1)), [...seen.at(-1).cells].map(cell => cell.textContent)]"
    );
    let seen = browser.run(&script).await.ok()?;
    let (in_page, first, last, cells) = serde_json::from_value(seen).ok()?;
    Some(Sight { in_page, first, last, cells })
}

/// Waits until what is seen of a table is as it should be; some of its rows are in the page then, not all.
async fn sees(
    browser: &Browser,
    table: &str,
    what: &str,
    is_right: impl Fn(&Sight) -> bool,
) -> Result<Sight> {
    let seen = eventually(what, SOON, async || sight(browser, table).await.filter(&is_right)).await;
    let Ok(seen) = seen else { bail!("{what}: {:?} is seen", sight(browser, table).await) };
    ensure!(seen.in_page == AT_ONCE, "{what}: {seen:?}");
    Ok(seen)
}

/// Presses a key where a table scrolls by keys.
async fn press(browser: &Browser, table: &str, key: &str) -> Result<()> {
    Ok(browser.client.find(Locator::Css(table)).await?.send_keys(key).await?)
}

/// Goes through a table by keys: a page down, to the end, and back.
async fn goes_through_by_keys(browser: &Browser, table: &str, rows: u64) -> Result<()> {
    let begin = sees(browser, table, "the first rows", |seen| seen.first == 1).await?;
    press(browser, table, PAGE_DOWN).await?;
    // A page is about as long as what is in sight; of one row a part may have been seen before and the rest now.
    sees(browser, table, "the next rows", |seen| (2..=begin.last + 2).contains(&seen.first)).await?;
    press(browser, table, END).await?;
    sees(browser, table, "the last rows", |seen| seen.last == rows).await?;
    press(browser, table, HOME).await?;
    sees(browser, table, "the first rows again", |seen| seen.first == 1).await?;
    Ok(())
}

/// Waits until a table says that it has so many rows.
async fn has_rows(browser: &Browser, table: &str, rows: u64) -> Result<()> {
    // With its head.
    let script =
        format!("return document.querySelector('{table} table[aria-rowcount=\"{}\"]') != null", rows + 1);
    eventually(&format!("{rows} rows"), SOON, async || {
        (browser.run(&script).await.ok()? == true).then_some(())
    })
    .await
}

/// Runs a script that measures the time until something is drawn, in milliseconds.
async fn measured(browser: &Browser, what: &str, act: &str, is_done: &str) -> Result<()> {
    let script = format!(
        "const done = arguments[0], since = performance.now(); {act}; \
         const look = () => {is_done} ? done(performance.now() - since) : requestAnimationFrame(look); look()"
    );
    let ms = browser.client.execute_async(&script, vec![]).await.with_context(|| what.to_owned())?;
    let ms = ms.as_f64().context("no time")?;
    ensure!(ms < PATIENCE_MS, "{what} took {ms:.0} ms");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_campaigns_a_thousand_are_told_apart_and_stay_usable() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    sqlx::query(MINUTES).execute(stack.database()).await?;
    // The API has all of them in one answer; a limit, which the page has, is a thousand at most.
    let viewer = stack.as_viewer("adv_001")?;
    for (limit, expected, rows) in
        [("", 200, Some(5_000)), ("&limit=1000", 200, Some(1_001)), ("&limit=1001", 400, None)]
    {
        let path = format!("/api/v1/analytics/breakdown?{TIMES}&group_by=campaign_id{limit}");
        let (status, body) = viewer.connection().get(&path).await?;
        let api: Value = serde_json::from_slice(&body)?;
        ensure!(
            status.as_u16() == expected && api["rows"].as_array().map(Vec::len) == rows,
            "{limit}: {status}"
        );
    }

    let browser = Browser::start().await?;
    browser.resize(1440, 900).await?;
    browser.visit(&stack, &format!("/explore?{RANGE}"), &Stack::viewer_token("adv_001")).await?;
    let table = ".explore-rows .rows";
    // And the others together.
    has_rows(&browser, table, 1_001).await?;
    browser.sees("1,000 of 5,000 groups told apart").await?;
    ensure!(browser.number("total-clicks").await == Some(12_502_500.0));
    let heights = browser
        .run("return [...new Set([...document.querySelectorAll('.explore-rows tr[aria-rowindex]')].map(row => row.getBoundingClientRect().height))]")
        .await?;
    ensure!(heights == json!([ROW_PX]), "rows are {heights} px high");
    goes_through_by_keys(&browser, table, 1_001).await?;
    browser.looks(&[("long-light.png", 1440, 900, "light"), ("long-phone.png", 360, 780, "dark")]).await?;

    let others = async |expected: &str| -> Result<()> {
        press(&browser, table, END).await?;
        let seen = sees(&browser, table, "the others are the last row", |seen| seen.last == 1_001).await?;
        ensure!(seen.cells[..2] == ["Others", expected], "{seen:?}");
        press(&browser, table, HOME).await?;
        sees(&browser, table, "the first rows", |seen| seen.first == 1).await.map(drop)
    };
    let first = "document.querySelector('.explore-rows tbody th').textContent";
    ensure!(browser.run(&format!("return {first}")).await? == "row_5000", "the largest first");
    // 1 to 4,000.
    others("8,002,000").await?;
    let is_sorted = format!("{first} == 'row_0001' && !document.querySelector('.explore.asking')");
    let sort = "document.querySelector('.explore-rows thead button.sort').click()";
    measured(&browser, "a thousand rows in another order", sort, &is_sorted).await?;
    ensure!(browser.client.current_url().await?.query().is_some_and(|query| query.contains("s=campaign_id")));
    // Others than before are told apart: without 1,001 to 5,000.
    others("12,002,000").await?;
    ensure!(browser.number("total-clicks").await == Some(12_502_500.0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_minutes_are_a_table_with_some_of_its_rows_in_the_page() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    sqlx::query(MINUTES).execute(stack.database()).await?;
    let browser = Browser::start().await?;
    browser.resize(1440, 900).await?;
    let address = format!("/explore?{RANGE}&g=minute&by=device");
    browser.visit(&stack, &address, &Stack::viewer_token("adv_001")).await?;
    eventually("five thousand minutes are drawn", Duration::from_secs(20), async || {
        (browser.attribute("explore-chart", "data-buckets").await? == "5000").then_some(())
    })
    .await?;
    let table = ".plot-card .fold .rows";
    let open = "document.querySelector('.plot-card .fold summary').click()";
    let is_open = "document.querySelector('.plot-card .fold tr[aria-rowindex]')";
    measured(&browser, "five thousand rows opened", open, is_open).await?;
    has_rows(&browser, table, 5_000).await?;
    goes_through_by_keys(&browser, table, 5_000).await?;

    // A row is where it would be if all were in the page.
    for (rows_above, first) in [(2_500, 2_501), (4_000, 4_001), (40, 41)] {
        let scroll = format!("document.querySelector('{table}').scrollTop = {}", rows_above * ROW_PX);
        browser.run(&scroll).await?;
        let seen = sees(&browser, table, &format!("row {first}"), |seen| seen.first == first).await?;
        ensure!(seen.last > first && seen.last < first + AT_ONCE, "{seen:?}");
        // Each has as many clicks as its number.
        let clicks = seen.cells[1].replace(',', "").parse::<u64>().context("no number")?;
        ensure!(clicks == seen.last, "{seen:?}");
    }
    press(&browser, table, END).await?;
    let seen = sees(&browser, table, "the last minute", |seen| seen.last == 5_000).await?;
    ensure!(seen.cells[..2] == ["2025-06-05 11:19", "5,000"], "{seen:?}");
    browser.looks(&[("long-minutes-light.png", 1440, 900, "light")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_registered_campaigns_are_one_list_page_by_page() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    // With the four that are registered already.
    sqlx::query(
        "INSERT INTO campaigns (campaign_id, advertiser_id, name) \
         SELECT 'row_' || lpad(n::text, 4, '0'), 'adv_001', 'Row ' || n FROM generate_series(1, 5000) AS n",
    )
    .execute(stack.database())
    .await?;
    let browser = Browser::start().await?;
    browser.resize(1440, 900).await?;
    browser.visit(&stack, "/campaigns?a=adv_001&z=UTC", stack.as_admin()?.token()).await?;
    let table = ".sheet-main .rows";
    has_rows(&browser, table, 1_000).await?;
    for rows in [2_000, 3_000, 4_000, 5_000, 5_004] {
        browser.click(".pager button").await?;
        has_rows(&browser, table, rows).await?;
    }
    browser.sees("5,004 rows").await?;
    goes_through_by_keys(&browser, table, 5_004).await?;
    press(&browser, table, END).await?;
    let seen = sees(&browser, table, "the last campaign", |seen| seen.last == 5_004).await?;
    ensure!(seen.cells[..2] == ["Row 5000", "row_5000"], "{seen:?}");
    Ok(())
}
