//! Test clicks from their page: sent, counted as test, stopped; their key ends with them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;

use super::Browser;

/// Waits until a run is in a state.
async fn becomes(browser: &Browser, state: &str) -> Result<()> {
    eventually(&format!("the run is {state}"), Duration::from_secs(30), async || {
        (browser.attribute("test-run", "data-state").await? == state).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_clicks_are_sent_counted_and_on_no_bill_and_their_key_ends_with_them() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/test-clicks?a=adv_001", stack.as_admin()?.token()).await?;
    browser.client.wait().for_element(Locator::Css("#test-clicks")).await?;
    browser
        .looks(&[("test-clicks-light.png", 1440, 900, "light"), ("test-clicks-phone.png", 360, 780, "dark")])
        .await?;
    browser.fill("#test-clicks", "5001").await?;
    let error = browser.fault_of("test-clicks").await?;
    ensure!(error.contains("1 to 5,000"), "{error}");
    let start = browser.client.find(Locator::Css("form .primary")).await?;
    ensure!(start.attr("disabled").await?.is_some(), "more than a run may send");

    browser.fill("#test-clicks", "120").await?;
    browser.fill("#test-rate", "50").await?;
    browser.fill("#test-robots", "30").await?;
    // The first of the campaign's two ads is left out.
    browser.click(".choice input").await?;
    browser.click("form .primary").await?;
    becomes(&browser, "done").await?;
    browser.sees("120 of 120 accepted").await?;
    browser.sees("120 of 120 counted").await?;
    browser.looks(&[("test-clicks-done.png", 1440, 900, "dark")]).await?;
    let kinds: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT disposition::text, count(*), count(DISTINCT click_id) FROM clicks GROUP BY 1")
            .fetch_all(stack.database())
            .await?;
    ensure!(kinds == [("test".to_owned(), 120, 120)], "{kinds:?}");
    let ads: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT ad_id FROM clicks").fetch_all(stack.database()).await?;
    ensure!(ads == ["ad_002"], "{ads:?}");
    let billed: Option<i64> =
        sqlx::query_scalar("SELECT sum(valid + givt + sivt)::bigint FROM click_minutes")
            .fetch_one(stack.database())
            .await?;
    ensure!(billed == Some(0), "{billed:?}");
    browser.click("[data-testid=test-run] a").await?;
    browser.sees("the first 100 rows").await?;

    // One that is stopped sends no more.
    browser.visit(&stack, "/test-clicks?a=adv_001", stack.as_admin()?.token()).await?;
    browser.client.wait().for_element(Locator::Css("#test-clicks")).await?;
    browser.fill("#test-clicks", "5000").await?;
    browser.fill("#test-rate", "5").await?;
    browser.click("form .primary").await?;
    browser.sees("5 of 5,000 accepted").await?;
    browser.click("[data-testid=test-run] button").await?;
    becomes(&browser, "stopped").await?;
    let sent = async || -> Result<i64> {
        let sql = "SELECT count(*) FROM clicks WHERE disposition = 'test'";
        Ok(sqlx::query_scalar(sql).fetch_one(stack.database()).await?)
    };
    let stopped_at = sent().await?;
    ensure!((125..1_000).contains(&stopped_at), "{stopped_at}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(sent().await? == stopped_at, "it goes on");
    let keys: Vec<(String, bool)> =
        sqlx::query_as("SELECT mode::text, revoked_at IS NULL FROM api_keys WHERE name LIKE 'test-%'")
            .fetch_all(stack.database())
            .await
            .context("keys")?;
    ensure!(keys == [("test".to_owned(), false), ("test".to_owned(), false)], "{keys:?}");
    Ok(())
}
