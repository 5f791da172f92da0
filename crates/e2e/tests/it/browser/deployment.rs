//! All advertisers together: its numbers are the API's, and each row leads to what it is about.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::{Browser, live};

const PATIENCE: Duration = Duration::from_secs(15);

/// The rows of a table: the head, and the cells below some columns.
async fn rows(browser: &Browser, testid: &str, columns: &[&str]) -> Result<Value> {
    let script = format!(
        "return [...document.querySelectorAll('[data-testid={testid}] tbody tr')].map(row => \
         [row.querySelector('th').innerText.trim(), ...{}.map(label => row.querySelector(`[data-label=\"${{label}}\"]`).innerText.trim())])",
        json!(columns)
    );
    browser.run(&script).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_of_all_advertisers_are_those_of_the_api() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post_for(&stack, "adv_001", 30).await?;
    live::post_for(&stack, "adv_002", 10).await?;
    live::counted(&stack, 40).await?;
    let admin = stack.as_admin()?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/deployment?r=4h&z=UTC", admin.token()).await?;
    let shows_all = async || (browser.number("deployment-received").await? == 40.0).then_some(());
    eventually("all clicks are there", PATIENCE, shows_all).await?;
    let ask = async |by: &str| -> Result<Value> {
        let path = format!("/api/v1/analytics/breakdown?group_by={by}&limit=10");
        let (status, body) = admin.connection().get(&path).await?;
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    };
    let api = ask("advertiser_id").await?;
    ensure!(browser.number("deployment-billable").await == api["totals"]["billable"].as_f64(), "{api}");

    let advertisers = rows(&browser, "top-advertisers", &["Clicks"]).await?;
    let texts = |column: usize| -> Vec<&str> {
        advertisers.as_array().into_iter().flatten().filter_map(|row| row[column].as_str()).collect()
    };
    let clicks: Vec<String> =
        api["rows"].as_array().into_iter().flatten().map(|row| row["clicks"].to_string()).collect();
    ensure!(clicks.len() == 2 && texts(1) == clicks, "{advertisers} is not {api}");
    let campaigns = rows(&browser, "top-campaigns", &["Advertiser", "Clicks"]).await?;
    let expected = ask("advertiser_id,campaign_id").await?["rows"].as_array().map_or(0, Vec::len);
    ensure!(expected > 1 && campaigns.as_array().map(Vec::len) == Some(expected), "{campaigns}");
    eventually("campaigns that are registered have their names", PATIENCE, async || {
        let rows = rows(&browser, "top-campaigns", &[]).await.ok()?;
        let is_name =
            |row: &Value| row[0].as_str().is_some_and(|head| !head.starts_with("camp_") && head != "Others");
        rows.as_array()?.iter().any(is_name).then_some(())
    })
    .await?;
    browser
        .looks(&[
            ("deployment-full-light.png", 1440, 900, "light"),
            ("deployment-full-dark.png", 1440, 900, "dark"),
            ("deployment-full-phone.png", 360, 780, "light"),
            ("deployment-full-4k.png", 3840, 2160, "dark"),
        ])
        .await?;

    // A row leads to its advertiser, in the same range.
    browser.click("[data-testid=top-advertisers] tbody a").await?;
    eventually("Explore is about it", PATIENCE, async || {
        let address = browser.client.current_url().await.ok()?;
        let is_there = address.path() == "/explore" && address.query() == Some("a=adv_001&r=4h&z=UTC");
        (is_there && browser.number("total-received").await? == 30.0).then_some(())
    })
    .await?;
    // There all advertisers are told apart, too.
    browser.visit(&stack, "/explore?r=4h&by=advertiser", admin.token()).await?;
    eventually("a row an advertiser", PATIENCE, async || {
        let rows = browser.client.find_all(Locator::Css(".explore-rows tbody tr")).await.ok()?;
        (rows.len() == 2).then_some(())
    })
    .await?;
    browser.click(".explore-rows tbody a").await?;
    eventually("its campaigns", PATIENCE, async || {
        let address = browser.client.current_url().await.ok()?;
        address.query()?.contains("a=adv_001").then_some(())
    })
    .await?;
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_without_clicks_says_so_and_operators_may_look() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let password = stack.account("olga@clickwire.example", "ops", &[]).await?;
    let olga = Person::sign_in(stack.server_url(), "olga@clickwire.example", &password).await?;
    let issued = olga.send("POST /api/v1/account/tokens", r#"{"name": "a screen"}"#).await?;
    let token = issued.body["token"].as_str().context("no token")?.to_owned();
    let browser = Browser::start().await?;
    browser.visit(&stack, "/deployment", &token).await?;
    browser.sees("No clicks").await?;
    // The totals are another answer than the chart.
    eventually("all clicks are none", Duration::from_secs(10), async || {
        (browser.number("deployment-received").await? == 0.0).then_some(())
    })
    .await?;
    browser.is_accessible("all advertisers without clicks").await
}
