//! Single clicks: found, read, and nobody else's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Browser, live};
use crate::fraud::PERSON;

/// Posts a click; its id.
async fn post(
    stack: &Stack,
    advertiser_id: &str,
    campaign_id: &str,
    ad_id: &str,
    agent: &str,
) -> Result<Uuid> {
    let click = json!({"advertiser_id": advertiser_id, "campaign_id": campaign_id, "ad_id": ad_id, "country": "SE",
        "device_type": "mobile", "user_agent": agent, "user_id": "Anna <one>"});
    let (status, body) = stack.poster()?.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
    ensure!(status.as_u16() == 202, "{status}: {}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body)?;
    Ok(answer["click_id"].as_str().context("no id")?.parse()?)
}

async fn rows(browser: &Browser, wanted: usize) -> Result<()> {
    eventually(&format!("{wanted} clicks are listed"), Duration::from_secs(10), async || {
        if browser.client.find(Locator::Css("[aria-busy]")).await.is_ok() {
            return None;
        }
        let rows = browser.client.find_all(Locator::Css(".sheet-main tbody th")).await.ok()?;
        (rows.len() == wanted).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_a_click_and_the_link_shows_the_same() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let own = post(&stack, "adv_001", "camp_001", "ad_001", PERSON).await?;
    let robot = post(&stack, "adv_001", "camp_002", "ad_003", "curl/8.5.0").await?;
    let foreign = post(&stack, "adv_002", "camp_005", "ad_009", PERSON).await?;
    live::counted(&stack, 3).await?;
    let viewer = Stack::viewer_token("adv_001");
    let browser = Browser::start().await?;
    browser.visit(&stack, "/clicks?z=UTC", &viewer).await?;
    rows(&browser, 2).await?;
    for (name, width, height, theme) in
        [("clicks-list-light.png", 1440, 900, "light"), ("clicks-list-phone.png", 390, 844, "dark")]
    {
        browser.screenshot(name, width, height, theme).await?;
    }
    browser.resize(1440, 900).await?;

    // What is no id is told at its field.
    browser.fill("#click-id", "nonsense").await?;
    browser.click(".search .primary").await?;
    let error = browser.fault_of("click-id").await?;
    ensure!(error.contains("UUID"), "{error}");
    browser.is_accessible("a search that is refused").await?;
    browser.screenshot("clicks-refused.png", 1440, 900, "light").await?;
    browser.fill("#click-id", &own.to_string()).await?;
    browser.click(".search .primary").await?;
    rows(&browser, 1).await?;

    browser.choose("#click-verdict", "givt,sivt").await?;
    rows(&browser, 0).await?;
    browser.click(".search .quiet").await?;
    rows(&browser, 2).await?;
    browser.choose("#click-verdict", "givt,sivt").await?;
    rows(&browser, 1).await?;
    browser.click(".sheet-main tbody th a").await?;
    let verdict = async || -> Result<String> {
        let css = Locator::Css("[data-testid=verdict]");
        Ok(browser.client.wait().for_element(css).await?.text().await?)
    };
    let said = verdict().await?;
    for expected in ["General invalid traffic", "User agent of a robot (version ", "declares a robot"] {
        ensure!(said.contains(expected), "{expected}: {said}");
    }
    let passport = browser.client.find(Locator::Css("[data-testid=passport]")).await?.text().await?;
    for expected in [robot.to_string().as_str(), "camp_002", "ad_003", "SE", "mobile", "Anna <one>"] {
        ensure!(passport.contains(expected), "{expected}: {passport}");
    }
    browser
        .looks(&[
            ("click-light.png", 1440, 900, "light"),
            ("click-dark.png", 1440, 900, "dark"),
            ("click-phone.png", 360, 780, "light"),
        ])
        .await?;

    // Loaded again, and where the list does not have it.
    browser.client.refresh().await?;
    ensure!(verdict().await? == said, "another click after a reload");
    rows(&browser, 1).await?;
    let address = browser.client.current_url().await?;
    let part = address
        .query_pairs()
        .find(|(name, _)| name == "p")
        .context("no click in the address")?
        .1
        .into_owned();
    browser.visit(&stack, &format!("/clicks?z=UTC&q=rule:forged_click_id&p={part}"), &viewer).await?;
    rows(&browser, 0).await?;
    ensure!(verdict().await? == said, "the click is not asked for by itself");
    browser.visit(&stack, &format!("/clicks?p={robot}"), &viewer).await?;
    ensure!(verdict().await? == said, "an id alone names no click");

    // Another tenant's is found by its own people alone, and by operators.
    for query in [format!("q=id:{foreign}"), format!("a=adv_002&q=id:{foreign}&p={foreign}")] {
        browser.visit(&stack, &format!("/clicks?{query}"), &viewer).await?;
        rows(&browser, 0).await?;
        browser.sees("No clicks.").await?;
        ensure!(browser.client.find(Locator::Css("[data-testid=verdict]")).await.is_err());
    }
    browser.visit(&stack, &format!("/clicks?q=id:{foreign}"), stack.as_admin()?.token()).await?;
    rows(&browser, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clicks_come_page_by_page() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post_for(&stack, "adv_001", 130).await?;
    live::counted(&stack, 130).await?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/clicks", stack.as_admin()?.token()).await?;
    rows(&browser, 100).await?;
    browser.sees("the first 100 rows").await?;
    browser.screenshot("clicks-many.png", 1440, 900, "dark").await?;
    browser.click(".pager button").await?;
    rows(&browser, 130).await?;
    browser.sees("130 rows").await?;
    // An administrator makes a convicted one valid where it is read.
    post(&stack, "adv_001", "camp_002", "ad_003", "curl/8.5.0").await?;
    live::counted(&stack, 131).await?;
    let explored = async |billable: f64, invalid: f64| {
        browser.visit(&stack, "/explore?a=adv_001&r=1h", stack.as_admin()?.token()).await?;
        eventually(&format!("{billable} billable, {invalid} invalid"), Duration::from_secs(10), async || {
            let shown = (browser.number("total-billable").await?, browser.number("total-fraud_count").await?);
            (shown == (billable, invalid)).then_some(())
        })
        .await
    };
    let billable: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM clicks WHERE advertiser_id = 'adv_001' AND disposition = 'valid'",
    )
    .fetch_one(stack.database())
    .await?;
    let billable = billable as f64;
    explored(billable, 1.0).await?;
    browser.visit(&stack, "/clicks?q=verdict:givt", stack.as_admin()?.token()).await?;
    browser.click(".sheet-main tbody th a").await?;
    browser.click(".drawer .form-end .quiet").await?;
    browser.fill("#release-reason", "our own monitor").await?;
    browser.click("dialog .primary").await?;
    browser.sees("The click is valid now").await?;
    browser.sees("our own monitor").await?;
    browser.is_accessible("a click that was released").await?;
    browser.screenshot("click-released.png", 1440, 900, "light").await?;
    explored(billable + 1.0, 0.0).await?;

    // And all that are found at once: of one advertiser.
    for _ in 0..3 {
        post(&stack, "adv_001", "camp_002", "ad_003", "curl/8.5.0").await?;
    }
    post(&stack, "adv_002", "camp_005", "ad_009", "curl/8.5.0").await?;
    live::counted(&stack, 135).await?;
    browser.visit(&stack, "/clicks?q=verdict:givt", stack.as_admin()?.token()).await?;
    rows(&browser, 4).await?;
    ensure!(browser.client.find(Locator::Css(".sheet-head button")).await.is_err(), "of two advertisers");
    browser.visit(&stack, "/clicks?a=adv_001&q=verdict:givt", stack.as_admin()?.token()).await?;
    rows(&browser, 3).await?;
    browser.click(".sheet-head button").await?;
    browser.sees("3 clicks of the last 8 days were judged invalid").await?;
    browser
        .looks(&[("release-all-light.png", 1440, 900, "light"), ("release-all-phone.png", 360, 780, "dark")])
        .await?;
    browser.fill("#release-reason", "our own monitor").await?;
    browser.click("dialog .primary").await?;
    browser.sees("3 clicks are valid now").await?;
    rows(&browser, 0).await?;
    let left: Vec<String> = sqlx::query_scalar("SELECT advertiser_id FROM clicks WHERE disposition = 'givt'")
        .fetch_all(stack.database())
        .await?;
    ensure!(left == ["adv_002"], "{left:?}");
    Ok(())
}
