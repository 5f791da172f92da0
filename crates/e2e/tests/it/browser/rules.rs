//! Fraud rules on their page: read by operators, changed by administrators, by two of them at once.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{MINUTE_MS, click::Click, ids::CampaignId, times::UnixMs};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::{Browser, dead_letters::signed_in};
use crate::rules;

/// Longer than the page waits between two questions, and than a new version waits for being in force.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until a version stands first in the list with this state.
async fn is_newest(browser: &Browser, version: u32, state: &str) -> Result<()> {
    let script = "const first = document.querySelector('.version'); \
                  return first && [first.dataset.version, first.querySelector('.badge').innerText]";
    eventually(&format!("version {version} is {state}"), PATIENCE, async || {
        let first = browser.run(script).await.ok()?;
        (first[0].as_str()? == version.to_string() && first[1].as_str()?.starts_with(state)).then_some(())
    })
    .await
}

/// Rows of a table of differences, cell by cell.
async fn difference(browser: &Browser, within: &str) -> Result<Value> {
    let script = format!(
        "return [...document.querySelectorAll('{within} .difference tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    );
    browser.run(&script).await
}

/// Waits until the difference to be saved is this one.
async fn will_save(browser: &Browser, expected: &Value) -> Result<()> {
    let within = "[data-testid=rule-difference]";
    let is = eventually("the difference", PATIENCE, async || {
        (difference(browser, within).await.ok()? == *expected).then_some(())
    });
    if is.await.is_err() {
        anyhow::bail!("{} is to be saved, not {expected}", difference(browser, within).await?);
    }
    Ok(())
}

/// Three campaigns' clicks of an hour that is over; in ten of the minutes a few are robots'.
fn past() -> Vec<Click> {
    let ended_at_ms = now_ms() - 4 * 60 * MINUTE_MS;
    let mut clicks = Vec::new();
    for campaign in 1..=3 {
        for minute in 0..60 {
            for (number, mut click) in (0..).zip(rules::burst(0, 20)) {
                click.dimensions.campaign_id = CampaignId::unchecked(format!("camp_00{campaign}"));
                click.clicked_at_ms = UnixMs(ended_at_ms - minute * MINUTE_MS);
                click.ip_hash = None;
                if number == 0 && minute < 10 {
                    click.user_agent = "curl/8.0".into();
                }
                clicks.push(click);
            }
        }
    }
    clicks
}

/// The button that saves can be pressed.
async fn may_save(browser: &Browser) -> Result<bool> {
    let button = browser.client.wait().for_element(Locator::Css(".rule-form .primary")).await?;
    Ok(button.attr("disabled").await?.is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_sees_what_differs_before_a_rule_is_changed() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (burst, past) = (rules::burst(1, 30), past());
    stack.publish(&past).await?;
    stack.publish(&burst).await?;
    let all = (past.len() + burst.len()) as i64;
    eventually("the clicks are counted", PATIENCE, async || {
        (stack.ledger().await.ok()? == all).then_some(())
    })
    .await?;
    let browser = signed_in(&stack, "anna@clickwire.example", "admin", "/rules?z=UTC").await?;
    browser.sees("more than 100 clicks in 60 s").await?;
    let rows = browser.client.find_all(Locator::Css(".sheet-main tbody th")).await?.len();
    ensure!(rows == 9, "{rows} rules");
    browser.click(".sheet-main a[href^='/rules/ip_velocity']").await?;
    is_newest(&browser, 1, "In force").await?;
    ensure!(
        difference(&browser, ".version").await?
            == json!([["Mode", "Flag"], ["Clicks at most", "100"], ["Window", "60 s"]])
    );
    browser
        .looks(&[
            ("rule-light.png", 1440, 900, "light"),
            ("rule-dark.png", 1440, 900, "dark"),
            ("rule-phone.png", 360, 780, "light"),
            ("rule-4k.png", 3840, 2160, "light"),
        ])
        .await?;

    browser.click(".versions a.quiet").await?;
    browser.sees("Nothing differs").await?;
    ensure!(!may_save(&browser).await?, "nothing is to be saved");
    browser.fill("#rule-threshold", "10001").await?;
    ensure!(browser.fault_of("rule-threshold").await? == "A number, 1 to 10,000.");
    ensure!(!may_save(&browser).await?, "what the server refuses can be saved");
    browser.is_accessible("a number that is refused").await?;
    browser.fill("#rule-threshold", "1000").await?;
    browser.click(".rule-form [data-key=report_only]").await?;
    will_save(&browser, &json!([["Mode", "Flag", "Report only"], ["Clicks at most", "100", "1,000"]]))
        .await?;
    browser.click(".rule-preview button").await?;
    browser.sees("No valid click would be invalid").await?;
    browser.click(".rule-form [data-key=flag]").await?;
    will_save(&browser, &json!([["Clicks at most", "100", "1,000"]])).await?;
    let text = browser.run("return document.querySelector('.rule-preview').innerText").await?;
    ensure!(text == "Preview on the last 24 hours", "a preview of another draft is shown: {text}");
    browser.fill("#rule-threshold", "1").await?;
    will_save(&browser, &json!([["Clicks at most", "100", "1"]])).await?;
    browser.click(".rule-preview button").await?;
    browser.sees(" valid clicks would be invalid.").await?;
    browser.is_accessible("a preview").await?;
    browser
        .looks(&[
            ("rule-preview-light.png", 1440, 1200, "light"),
            ("rule-preview-dark.png", 1440, 1200, "dark"),
            ("rule-preview-phone.png", 360, 1600, "light"),
        ])
        .await?;
    browser.fill("#rule-threshold", "1000").await?;
    browser.click(".rule-form [data-key=report_only]").await?;
    // What the page can't know is said by the server, at its field.
    browser.fill("#rule-reason", &"r".repeat(501)).await?;
    browser.click(".rule-form .primary").await?;
    ensure!(browser.fault_of("rule-reason").await? == "At most 500 bytes.");
    browser
        .looks(&[
            ("rule-change-light.png", 1440, 900, "light"),
            ("rule-change-dark.png", 1440, 900, "dark"),
            ("rule-change-phone.png", 360, 780, "dark"),
        ])
        .await?;
    browser.fill("#rule-reason", "a fair").await?;
    browser.click(".rule-form .primary").await?;
    browser.sees("Version 2 is saved and in force from").await?;
    is_newest(&browser, 2, "In force").await?;
    browser.sees("By anna@clickwire.example: a fair").await?;
    browser.screenshot("rule-changed.png", 1440, 900, "light").await?;
    let (status, body) = stack.as_admin()?.connection().get("/api/v1/admin/rules/ip_velocity").await?;
    ensure!(status.is_success(), "{status}");
    let stored: Value = serde_json::from_slice(&body)?;
    let newest = &stored["data"][0];
    ensure!(newest["mode"] == "report_only" && newest["parameters"]["threshold"] == 1_000, "{newest}");
    ensure!(newest["parameters"]["window_seconds"] == 60, "{newest}");
    // A rule that opens incidents flags no click.
    browser.client.goto(&format!("{}/rules/fraud_rate?p=%2B&z=UTC", stack.server_url())).await?;
    browser.fill("#rule-warning_percent", "50").await?;
    ensure!(browser.fault_of("rule-critical_percent").await?.starts_with("Must not be below"));
    let modes = browser.client.find_all(Locator::Css(".rule-form .segments button")).await?.len();
    ensure!(modes == 2, "{modes} modes");
    // And is previewed by the number of incidents.
    browser.fill("#rule-warning_percent", "1").await?;
    browser.click(".rule-preview button").await?;
    browser.sees("3 more incidents than without the change.").await?;
    browser.is_accessible("a preview of incidents").await?;
    browser
        .looks(&[
            ("rule-preview-incidents-light.png", 1440, 1100, "light"),
            ("rule-preview-incidents-dark.png", 1440, 1100, "dark"),
            ("rule-preview-incidents-phone.png", 360, 1500, "light"),
        ])
        .await?;
    browser.client.goto(&format!("{}/rules/nonsense", stack.server_url())).await?;
    browser.sees("No such page").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_administrators_the_second_is_told_of_the_first() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let open = "/rules/duplicate?p=%2B&z=UTC";
    let anna = signed_in(&stack, "anna@clickwire.example", "admin", open).await?;
    let bert = signed_in(&stack, "bert@clickwire.example", "admin", open).await?;
    for (browser, window, reason) in [(&anna, "30", "half a minute"), (&bert, "90", "longer")] {
        browser.fill("#rule-window_seconds", window).await?;
        browser.fill("#rule-reason", reason).await?;
    }
    anna.click(".rule-form .primary").await?;
    is_newest(&anna, 2, "In force").await?;
    bert.sees("anna@clickwire.example has made version 2 meanwhile: half a minute").await?;
    ensure!(!may_save(&bert).await?, "a change of a version that is not the newest can be saved");
    bert.looks(&[("rule-stale-light.png", 1440, 900, "light"), ("rule-stale-phone.png", 360, 780, "dark")])
        .await?;
    bert.click("[data-testid=rule-stale] button").await?;
    let field = bert.client.wait().for_element(Locator::Css("#rule-window_seconds")).await?;
    ensure!(field.prop("value").await?.context("no value")? == "30", "the form begins with what is in force");
    bert.fill("#rule-window_seconds", "90").await?;
    bert.click(".rule-form .primary").await?;
    is_newest(&bert, 3, "In force").await?;
    let shown = difference(&bert, ".version[data-version=\"3\"]").await?;
    ensure!(shown == json!([["Window", "30 s", "90 s"]]), "{shown}");

    // An operator reads, and has nothing to change it with; nor by the address of the form.
    let ops = signed_in(&stack, "olga@clickwire.example", "ops", open).await?;
    is_newest(&ops, 3, "In force").await?;
    ensure!(
        ops.client.find(Locator::Css(".rule-form, .versions a.quiet")).await.is_err(),
        "an operator changes it"
    );
    ops.looks(&[("rule-operator.png", 1440, 900, "dark")]).await
}
