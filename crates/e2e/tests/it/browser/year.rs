//! A range beside the same one of the year before.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clickwire_e2e::{Stack, eventually};
use serde_json::{Value, json};

use super::Browser;
use crate::rollups;

const SOON: Duration = Duration::from_secs(10);

/// Minutes of fixed days: three days in June, the same days of the year before, and what lies right beside both or is
/// another advertiser's, which nothing here may count.
const MINUTES: &str = "\
    INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid, duplicate, givt, sivt) \
    SELECT at, advertiser, campaign, 'ad_001', 'DE', 'mobile', valid, duplicate, givt, sivt FROM (VALUES \
        ('2025-06-02T10:00Z'::timestamptz, 'adv_001', 'camp_001', 20, 3, 1, 0), \
        ('2025-06-03T23:59Z', 'adv_001', 'camp_001', 10, 1, 1, 1), \
        ('2025-06-04T12:30Z', 'adv_001', 'camp_002', 10, 0, 0, 0), \
        ('2024-06-02T00:00Z', 'adv_001', 'camp_001', 12, 1, 2, 0), \
        ('2024-06-03T05:00Z', 'adv_001', 'camp_001', 8, 0, 0, 0), \
        ('2024-06-04T23:59Z', 'adv_001', 'camp_003', 6, 0, 1, 1), \
        ('2025-06-01T23:59Z', 'adv_001', 'camp_001', 1000, 0, 0, 0), \
        ('2025-06-05T00:00Z', 'adv_001', 'camp_001', 1000, 0, 0, 0), \
        ('2024-06-01T23:59Z', 'adv_001', 'camp_001', 1000, 0, 0, 0), \
        ('2024-06-05T00:00Z', 'adv_001', 'camp_001', 1000, 0, 0, 0), \
        ('2024-06-03T05:00Z', 'adv_002', 'camp_005', 500, 0, 0, 0) \
    ) AS minutes (at, advertiser, campaign, valid, duplicate, givt, sivt)";

/// Script that returns what a page says about the year before, or null as long as it asks.
const SHOWN: &str = "
    if (document.querySelector('.explore.asking') || !document.querySelector('.explore-rows tfoot')) return null;
    return {
      compare: document.getElementById('compare').value,
      query: location.search,
      figures: [...document.querySelectorAll('.strip .figure')].map((figure) =>
        [figure.querySelector('dt').textContent, figure.querySelector('dd').dataset.value ?? null, figure.querySelector('.before')?.textContent ?? null]),
      heads: [...document.querySelectorAll('.explore-rows tbody th')].map((head) => head.textContent),
      changes: [...document.querySelectorAll('.explore-rows tbody tr')].map((row) => row.querySelector('[data-label=\"Clicks, change\"]')?.textContent ?? null),
      foot: document.querySelector('.explore-rows tfoot tr').lastElementChild.textContent,
      lines: document.querySelectorAll('.plot-area .before-line').length,
    }";

/// Waits until a page says this of the year before.
async fn shows(browser: &Browser, what: &str, expected: &Value) -> Result<()> {
    let is_shown =
        eventually(what, SOON, async || (browser.run(SHOWN).await.ok()? == *expected).then_some(()));
    if is_shown.await.is_err() {
        bail!("{what}: {} is shown, not {expected}", browser.run(SHOWN).await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_compared_with_the_same_one_of_the_year_before() -> Result<()> {
    let mut stack = Stack::new().await?;
    // The minutes are of fixed days.
    stack.set("CLICKWIRE_MINUTES_RETENTION_DAYS", "30000");
    sqlx::query(MINUTES).execute(stack.database()).await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    rollups::rolled_up(&stack).await?;

    let path = "/api/v1/analytics/breakdown?start_time=2025-06-02T00:00:00Z&end_time=2025-06-05T00:00:00Z&group_by=campaign_id&compare=year";
    let (status, body) = stack.as_viewer("adv_001")?.connection().get(path).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    let api: Value = serde_json::from_slice(&body)?;
    let numbers = |numbers: &Value| {
        ["clicks", "billable", "fraud_count", "duplicates", "received"].map(|name| numbers[name].as_i64())
    };
    ensure!(numbers(&api["totals"]) == [43_i64, 40, 3, 4, 47].map(Some), "{api}");
    ensure!(numbers(&api["comparison"]["totals"]) == [30_i64, 26, 4, 1, 31].map(Some), "{api}");
    ensure!(api["comparison"]["start_time"] == "2024-06-02T00:00:00Z", "{api}");
    ensure!(api["sources"] == json!(["days"]), "{api}");

    let browser = Browser::start().await?;
    let address = "/explore?r=2025-06-02..2025-06-05&z=UTC&g=day&v=stack";
    browser.visit(&stack, address, &Stack::viewer_token("adv_001")).await?;
    let alone = json!({
        "compare": "", "query": "?r=2025-06-02..2025-06-05&z=UTC&g=day&v=stack",
        "figures": [
            ["Clicks", "43", null], ["Billable", "40", null], ["Invalid", "3", null], ["Invalid rate", null, null],
            ["Duplicates", "4", null], ["Received", "47", null],
        ],
        "heads": ["Winter jackets", "Brand search"], "changes": [null, null], "foot": "47", "lines": 0,
    });
    shows(&browser, "the range alone", &alone).await?;

    browser.choose("#compare", "year").await?;
    let compared = json!({
        "compare": "year", "query": "?r=2025-06-02..2025-06-05&cmp=year&z=UTC&g=day&v=stack",
        "figures": [
            ["Clicks", "43", "+43.3% · before: 30"], ["Billable", "40", "+53.8% · before: 26"],
            ["Invalid", "3", "−25.0% · before: 4"], ["Invalid rate", null, "before: 13.3%"],
            ["Duplicates", "4", "+300.0% · before: 1"], ["Received", "47", "+51.6% · before: 31"],
        ],
        // Of the second campaign there was nothing; one that was there then and is not now has no row, but its clicks.
        "heads": ["Winter jackets", "Brand search"], "changes": ["+50.0%", "new"], "foot": "+43.3%", "lines": 1,
    });
    shows(&browser, "the year before beside it", &compared).await?;
    browser.sees("Added up from days.").await?;
    browser.sees("Total before").await?;
    browser
        .looks(&[
            ("year-light.png", 1440, 900, "light"),
            ("year-dark.png", 1440, 900, "dark"),
            ("year-phone.png", 360, 780, "light"),
        ])
        .await?;

    // Day by day: each beside the same day of the year before.
    // Pictures have left the page scrolled.
    browser.run("scrollTo(0, 0)").await?;
    browser.click(".plot-card .fold summary").await?;
    let days = "return [...document.querySelectorAll('.plot-card .fold tbody tr')].map(row => [row.querySelector('th').textContent, \
        row.querySelector('[data-label=Total]').textContent, row.querySelector('[data-label=\"Total before\"]').textContent])";
    let expected = json!([
        ["2025-06-02 00:00", "21", "14"],
        ["2025-06-03 00:00", "12", "8"],
        ["2025-06-04 00:00", "10", "8"],
    ]);
    eventually("the days are listed", SOON, async || {
        (browser.run(days).await.ok()? == expected).then_some(())
    })
    .await?;

    // The link holds the comparison: loaded again, and for whoever is sent it.
    browser.client.refresh().await?;
    shows(&browser, "the same after a reload", &compared).await?;
    let link = browser.client.current_url().await?;
    let other = Browser::start().await?;
    let link = format!("{}?{}", link.path(), link.query().unwrap_or_default());
    other.visit(&stack, &link, &Stack::viewer_token("adv_001")).await?;
    shows(&other, "the same by the link", &compared).await?;

    browser.choose("#compare", "").await?;
    shows(&browser, "the range alone again", &alone).await
}
