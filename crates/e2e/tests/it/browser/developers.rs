//! The API on its page: for each role what it may call, and the order to send a webhook's news again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::Value;

use super::{Browser, dead_letters::signed_in};
use crate::{
    alerts::{SECRET, burst},
    receiver::Receiver,
};

/// Longer than a burst takes to be an incident, and a webhook to be sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The groups that are shown, each with its operations.
async fn groups(browser: &Browser) -> Result<Vec<(String, usize)>> {
    let script = "return [...document.querySelectorAll('[data-testid^=operations-]')].map(group => \
                  [group.dataset.testid.slice(11), group.querySelectorAll('tbody tr').length])";
    Ok(serde_json::from_value(browser.run(script).await?)?)
}

async fn is_listed(browser: &Browser, tags: &[&str]) -> Result<()> {
    eventually("the operations are listed", PATIENCE, async || {
        let groups = groups(browser).await.ok()?;
        let shown: Vec<&str> = groups.iter().map(|(tag, _)| tag.as_str()).collect();
        (shown == tags && groups.iter().all(|(_, operations)| *operations > 0)).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_sees_the_operations_that_it_may_call() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/developers?z=UTC", &Stack::viewer_token("adv_001")).await?;
    is_listed(&browser, &["viewer", "clicks", "poster", "account", "anybody"]).await?;
    let text = browser.text().await?;
    ensure!(!text.contains("/api/v1/admin/"), "an advertiser is shown what it may not call");
    ensure!(!text.contains("Webhook deliveries"), "an advertiser is shown deliveries");
    ensure!(text.contains(&format!("curl {}/api/v1/advertisers", stack.server_url())), "{text}");
    ensure!(text.contains("YOUR_TOKEN") && text.contains("YOUR_KEY"), "{text}");
    browser
        .looks(&[
            ("developers-light.png", 1440, 900, "light"),
            ("developers-dark.png", 1440, 900, "dark"),
            ("developers-phone.png", 360, 780, "light"),
        ])
        .await?;

    // What is searched is in the address, and is so again after a reload.
    browser.fill("#find-operation", "export job").await?;
    eventually("less is listed", PATIENCE, async || {
        let groups = groups(&browser).await.ok()?;
        (groups.len() == 1 && groups[0].0 == "viewer").then_some(())
    })
    .await?;
    let address = browser.client.current_url().await?;
    ensure!(address.query().is_some_and(|query| query.contains("q=export%20job")), "{address}");
    browser.client.refresh().await?;
    is_listed(&browser, &["viewer"]).await?;
    browser.fill("#find-operation", "nothing of this name").await?;
    browser.sees("No operation matches").await?;
    browser.is_accessible("a search without a match").await?;

    let ops = signed_in(&stack, "olga@clickwire.example", "ops", "/developers").await?;
    is_listed(&ops, &["viewer", "clicks", "poster", "staff", "operator", "account", "anybody"]).await?;
    ensure!(
        ops.client.find(Locator::Css("[data-testid=deliveries]")).await.is_err(),
        "deliveries are for administrators"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_that_was_delivered_is_sent_again() -> Result<()> {
    let receiver = Receiver::start(SECRET, &[200]).await?;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_WEBHOOK_URL", receiver.url.as_str());
    stack.set("CLICKWIRE_ALERT_WEBHOOK_SECRET", SECRET);
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let browser = signed_in(&stack, "anna@clickwire.example", "admin", "/developers?z=UTC").await?;
    is_listed(&browser, &["viewer", "clicks", "poster", "staff", "operator", "admin", "account", "anybody"])
        .await?;
    browser.sees("No deliveries").await?;
    stack.publish(&burst("00112233445566778899aabbccddeeff", 120)).await?;
    eventually("the incident is delivered", PATIENCE, async || {
        browser.text().await.ok()?.contains("Delivered").then_some(())
    })
    .await?;
    let before = posts(&receiver)?;
    let first = before.first().context("nothing was delivered")?.clone();
    ensure!(!browser.text().await?.contains("/hook"), "the whole address is shown");
    browser
        .looks(&[
            ("deliveries-light.png", 1440, 900, "light"),
            ("deliveries-dark.png", 1440, 900, "dark"),
            ("deliveries-phone.png", 360, 780, "dark"),
        ])
        .await?;
    // The oldest one is the last row.
    browser.click("[data-testid=deliveries] tbody tr:last-child [data-key=resend]").await?;
    browser.sees("It is sent again").await?;
    eventually("the receiver has it twice", PATIENCE, async || {
        let times = posts(&receiver).ok()?.into_iter().filter(|post| *post == first).count();
        (times == 2).then_some(())
    })
    .await?;
    let attempts =
        "return document.querySelector('[data-testid=deliveries] tbody tr:last-child').cells[4].innerText";
    eventually("the page has two attempts", PATIENCE, async || {
        (browser.run(attempts).await.ok()?.as_str()? == "2").then_some(())
    })
    .await?;
    let (status, body) =
        stack.as_admin()?.connection().get("/api/v1/admin/audit?subject=webhook_deliveries").await?;
    ensure!(status.is_success(), "{status}");
    let audited: Value = serde_json::from_slice(&body)?;
    ensure!(audited["data"][0]["action"] == "resend", "{audited}");
    Ok(())
}

/// The names of what was delivered, one for each post.
fn posts(receiver: &Receiver) -> Result<Vec<String>> {
    receiver.posts()?.iter().map(|post| Ok(post.delivery()?.to_owned())).collect()
}
