//! Annotations on the chart: by pointer, by keys, and as a list.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use sqlx::Executor as _;

use super::{Browser, live};

/// The events before the test: of one advertiser, of another, and of nobody's own. All are over, so nobody ends them.
const HAPPENED: [&str; 2] = [
    "INSERT INTO alerts (kind, subject, advertiser_id, campaign_id, severity, opened_at, resolved_at, details) VALUES \
        ('lag', 'CLICKS', NULL, NULL, 'critical', now() - INTERVAL '50 min', now() - INTERVAL '40 min', '{}'), \
        ('campaign_spike', 'adv_001/camp_001', 'adv_001', 'camp_001', 'warning', now() - INTERVAL '20 min', \
         now() - INTERVAL '18 min', '{}'), \
        ('user_burst', 'adv_002/u', 'adv_002', NULL, 'warning', now() - INTERVAL '30 min', now(), '{}')",
    "INSERT INTO fraud_rules VALUES ('ip_velocity', 2, 'flag', '{\"threshold\": 90, \"window_seconds\": 60}', \
        now() - INTERVAL '20 min', 'account:root', 'a test')",
];

/// The text of what the chart's cursor reads.
async fn read(browser: &Browser) -> Option<String> {
    browser.client.find(Locator::Css(".plot-area .read")).await.ok()?.text().await.ok()
}

async fn reads(browser: &Browser, text: &str) -> Result<()> {
    eventually(&format!("{text} is read"), Duration::from_secs(10), async || {
        read(browser).await?.contains(text).then_some(())
    })
    .await
}

async fn marks(browser: &Browser) -> Result<usize> {
    Ok(browser.client.find_all(Locator::Css(".plot-area .mark")).await?.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_marked_read_listed_and_hidden() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 100).await?;
    live::counted(&stack, 100).await?;
    for statement in HAPPENED {
        stack.database().execute(statement).await?;
    }
    let browser = Browser::start().await?;
    let admin = stack.as_admin()?;
    browser.visit(&stack, "/explore?a=adv_001&r=1h&z=UTC&g=minute", admin.token()).await?;
    eventually("there are marks", Duration::from_secs(10), async || {
        (marks(&browser).await.ok()? >= 2).then_some(())
    })
    .await?;

    // By keys: from one mark to the next, and back.
    let chart = browser.client.find(Locator::Css("[data-testid=explore-chart]")).await?;
    let label = chart.attr("aria-label").await?.unwrap_or_default();
    ensure!(label.contains("Page Up and Page Down"), "{label}");
    let (page_down, page_up) = ("\u{E00F}", "\u{E00E}");
    browser.run("document.querySelector('[data-testid=explore-chart]').focus()").await?;
    chart.send_keys(page_down).await?;
    reads(&browser, "Clicks wait").await?;
    chart.send_keys(page_down).await?;
    reads(&browser, "Spike of a campaign").await?;
    // At one place, one mark with a number: both are read.
    reads(&browser, "Rule changed: Too many clicks of one address, version 2, decides").await?;
    chart.send_keys(page_up).await?;
    reads(&browser, "Clicks wait").await?;
    let text = browser.text().await?;
    ensure!(!text.contains("Burst of one user"), "of another advertiser: {text}");
    // By a pointer: on the mark itself.
    chart.send_keys("\u{E00C}").await?;
    let mark = "const at = document.querySelector('.plot-area .mark').getBoundingClientRect(); \
        document.querySelector('.plot-area .mark').dispatchEvent(new PointerEvent('pointermove', \
        {bubbles: true, clientX: at.x + at.width / 2, clientY: at.y + 4}))";
    browser.run(mark).await?;
    reads(&browser, "Clicks wait").await?;

    // The list has all of it, and leads to the incident.
    browser.click("[data-testid=annotations] summary").await?;
    let list = browser.client.find(Locator::Css("[data-testid=annotations]")).await?.text().await?;
    for expected in ["Clicks wait", "Spike of a campaign", "Rule changed"] {
        ensure!(list.contains(expected), "{expected}: {list}");
    }
    let link = browser.client.find(Locator::Css("[data-testid=annotations] a")).await?;
    let href = link.attr("href").await?.context("no address")?;
    ensure!(href.starts_with("/incidents/") && href.contains("a=adv_001"), "{href}");
    browser
        .looks(&[
            ("explore-annotations.png", 1440, 900, "light"),
            ("explore-annotations-dark.png", 1440, 900, "dark"),
            ("explore-annotations-phone.png", 360, 780, "light"),
        ])
        .await?;

    // Hidden, the address says so, and a reload keeps it.
    let hides = async |is_hidden: bool| {
        eventually(&format!("the marks are hidden: {is_hidden}"), Duration::from_secs(10), async || {
            let says = browser.client.current_url().await.ok()?.query()?.contains("e=off");
            let is_none = marks(&browser).await.ok()? == 0;
            let has_list = browser.client.find(Locator::Css("[data-testid=annotations]")).await.is_ok();
            (says == is_hidden && is_none == is_hidden && has_list != is_hidden).then_some(())
        })
        .await
    };
    // Pictures have left the page scrolled, and the bar before the box.
    browser.run("scrollTo(0, 0)").await?;
    browser.click("[data-testid=show-happened]").await?;
    hides(true).await?;
    browser.client.refresh().await?;
    browser.client.wait().for_element(Locator::Css("[data-testid=total-clicks]")).await?;
    hides(true).await?;
    browser.click("[data-testid=show-happened]").await?;
    hides(false).await?;

    // A tenant is told the same without what is operators'.
    browser.visit(&stack, "/explore?r=1h&z=UTC&g=minute", &Stack::viewer_token("adv_001")).await?;
    browser.click("[data-testid=annotations] summary").await?;
    let list = browser.client.find(Locator::Css("[data-testid=annotations]")).await?;
    let text = list.text().await?;
    ensure!(text.contains("Clicks wait") && text.contains("Rule changed"), "{text}");
    ensure!(!text.contains("version") && !text.contains("user"), "{text}");
    ensure!(list.find(Locator::Css("a")).await.is_err(), "a tenant has no page of incidents");
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}
