//! Dead letters on their page: read, edited, sent back, dismissed, by two operators at once.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, Wire, eventually};
use clickwire_services::Server as Service;
use fantoccini::Locator;
use serde_json::json;

use super::Browser;
use crate::{
    dead_letters::{click, nats, publish, wait_for_letters},
    live,
};

/// Longer than the page waits between two questions, and than a broker needs to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser in which somebody has signed in, at an address.
pub(super) async fn signed_in(stack: &Stack, login: &str, role: &str, address: &str) -> Result<Browser> {
    let password = stack.account(login, role, &[]).await?;
    let browser = Browser::start().await?;
    browser.client.goto(&format!("{}{address}", stack.server_url())).await?;
    browser.fill("#login", login).await?;
    browser.fill("#password", &password).await?;
    browser.click("button.primary").await?;
    browser.client.wait().for_element(Locator::Css(".sheet h1")).await?;
    Ok(browser)
}

/// Waits until so many letters are listed.
async fn listed(browser: &Browser, wanted: usize) -> Result<()> {
    eventually(&format!("{wanted} letters are listed"), PATIENCE, async || {
        let rows = browser.client.find_all(Locator::Css(".sheet-main tbody th")).await.ok()?;
        (rows.len() == wanted).then_some(())
    })
    .await
}

async fn opens(browser: &Browser, sequence: u64) -> Result<()> {
    browser.click(&format!(".sheet-main a[href^='/dead-letters/{sequence}']")).await?;
    browser.client.wait().for_element(Locator::Css("[data-testid=letter]")).await?;
    Ok(())
}

async fn may_replay(browser: &Browser) -> Result<bool> {
    let button = browser.client.wait().for_element(Locator::Css("[data-testid=replay]")).await?;
    Ok(button.attr("disabled").await?.is_none())
}

/// Waits until the outcome names the person who has dealt with the letter.
async fn dealt_with_by(browser: &Browser, person: &str) -> Result<()> {
    let names =
        "return [...document.querySelectorAll('[data-testid=outcome] dd bdi')].map(name => name.innerText)";
    eventually(&format!("{person} has dealt with it"), Duration::from_secs(10), async || {
        let names: Vec<String> = serde_json::from_value(browser.run(names).await.ok()?).ok()?;
        names.iter().any(|name| name == person).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_mended_on_its_page_and_counted() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = signed_in(&stack, "anna@clickwire.example", "ops", "/dead-letters?z=UTC").await?;
    browser.sees("No dead letters").await?;
    browser.screenshot("letters-none.png", 1440, 900, "light").await?;

    let refused = click("ad\u{0}1");
    let broker = nats(&stack).await?;
    for (number, message) in [refused.to_string().into_bytes(), b"\xff\xfe<b>".to_vec(), b"cut off".to_vec()]
        .into_iter()
        .enumerate()
    {
        publish(&broker, &stack.names().subject(0), vec![message]).await?;
        wait_for_letters(&stack.as_admin()?, number + 1).await?;
    }
    // The page hears of them: that they wait is an incident, which is pushed.
    listed(&browser, 3).await?;
    browser
        .looks(&[
            ("letters-light.png", 1440, 900, "light"),
            ("letters-dark.png", 1440, 900, "dark"),
            ("letters-phone.png", 360, 780, "dark"),
        ])
        .await?;

    // As it is it would come back, and the page says why.
    opens(&browser, 1).await?;
    browser.click("[data-testid=replay]").await?;
    browser.sees("The message would come back: ").await?;
    let message = async || -> Result<String> {
        let area = browser.client.find(Locator::Css("#letter-message")).await?;
        area.prop("value").await?.context("no message")
    };
    let shown = message().await?;
    ensure!(shown.contains("{\n  \"") && shown.contains("ad\\u00001"), "{shown}");
    browser
        .looks(&[
            ("letter-light.png", 1440, 900, "light"),
            ("letter-dark.png", 1440, 900, "dark"),
            ("letter-phone.png", 360, 780, "light"),
        ])
        .await?;
    // Another advertiser's it can't become in an operator's hands.
    browser.fill("#letter-message", &shown.replace("adv_001", "adv_002")).await?;
    browser.sees("Only an administrator can say so").await?;
    ensure!(!may_replay(&browser).await?, "an operator can say whose click it is");
    browser.is_accessible("an edit that is not allowed").await?;
    browser.screenshot("letter-not-allowed.png", 1440, 900, "dark").await?;
    browser.click(".form-end .quiet").await?;
    ensure!(message().await? == shown, "the original is not back");
    browser.fill("#letter-message", &shown.replace("ad\\u00001", "ad_001")).await?;
    browser.sees("Replay the edited message").await?;
    browser.click("[data-testid=replay]").await?;
    browser.sees("went back to be counted").await?;
    listed(&browser, 2).await?;
    ensure!(browser.client.current_url().await?.path() == "/dead-letters", "the letter is still open");
    live::counted(&stack, 1).await?;

    // A link to it tells what was done.
    browser.client.goto(&format!("{}/dead-letters/1?z=UTC", stack.server_url())).await?;
    browser.sees("has been dealt with").await?;
    browser.sees("Replayed, edited").await?;
    dealt_with_by(&browser, "anna@clickwire.example").await?;
    browser.is_accessible("the outcome of a letter").await?;
    browser.screenshot("letter-outcome.png", 1440, 900, "light").await?;
    browser.client.goto(&format!("{}/dead-letters/99", stack.server_url())).await?;
    browser.sees("There is no such dead letter").await?;

    // Bytes that are no text go back as nothing but another message; these are dismissed.
    browser.client.goto(&format!("{}/dead-letters", stack.server_url())).await?;
    opens(&browser, 2).await?;
    browser.sees("The message is not text").await?;
    ensure!(!may_replay(&browser).await?, "there is nothing to send");
    browser.click("[data-testid=dismiss]").await?;
    browser.fill("#dismiss-reason", "line noise").await?;
    browser.is_accessible("a dismissal").await?;
    browser.screenshot("letter-dismiss.png", 1440, 900, "light").await?;
    browser.click("dialog .primary").await?;
    browser.sees("is dismissed").await?;
    listed(&browser, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_operators_the_second_reads_what_the_first_did() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let broker = nats(&stack).await?;
    publish(&broker, &stack.names().subject(0), vec![b"cut off".to_vec()]).await?;
    wait_for_letters(&stack.as_admin()?, 1).await?;
    let first = signed_in(&stack, "root@clickwire.example", "admin", "/dead-letters/1").await?;
    let second = signed_in(&stack, "berta@clickwire.example", "ops", "/dead-letters/1").await?;
    second.click("[data-testid=dismiss]").await?;
    second.fill("#dismiss-reason", "cut off").await?;

    // Whose click it is nobody knows but the administrator, who says so and why.
    first.fill("#letter-message", &click("ad_001").to_string()).await?;
    first.sees("You say so").await?;
    ensure!(may_replay(&first).await?);
    first.click("[data-testid=replay]").await?;
    let is_asked = first.run("return document.querySelector('#letter-reason').validity.valueMissing").await?;
    ensure!(is_asked == json!(true), "a reason is not asked for");
    first.fill("#letter-reason", "the shop has sent it again").await?;
    first.screenshot("letter-named.png", 1440, 900, "light").await?;
    first.click("[data-testid=replay]").await?;
    first.sees("went back to be counted").await?;

    second.click("dialog .primary").await?;
    second.sees("has been dealt with").await?;
    dealt_with_by(&second, "root@clickwire.example").await?;
    second.sees("the shop has sent it again").await?;
    ensure!(second.client.find(Locator::Css("dialog")).await.is_err(), "the question is still there");
    listed(&second, 0).await?;
    live::counted(&stack, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_come_in_pages_and_a_broker_that_is_away_is_said() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let broker = nats(&stack).await?;
    let messages = (0..130).map(|number| format!("cut off {number}").into_bytes());
    publish(&broker, &stack.names().subject(0), messages.collect()).await?;
    eventually("they are set aside", PATIENCE, async || {
        (stack.dead_letters().await.ok()? == 130).then_some(())
    })
    .await?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/dead-letters", stack.as_admin()?.token()).await?;
    listed(&browser, 100).await?;
    browser.sees("the first 100 rows").await?;
    browser.click(".pager button").await?;
    listed(&browser, 130).await?;

    stack.wire_to(Service::Nats)?.set(Wire::Cut);
    browser.visit(&stack, "/dead-letters", stack.as_admin()?.token()).await?;
    let problem = browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(".problem")).await?;
    let said = problem.text().await?;
    ensure!(said.contains("Try again"), "{said}");
    browser.is_accessible("letters without a broker").await?;
    browser.screenshot("letters-away.png", 1440, 900, "light").await?;
    stack.wire_to(Service::Nats)?.set(Wire::Whole);
    eventually("they are there again", PATIENCE, async || {
        if let Ok(button) = browser.client.find(Locator::Css(".problem .quiet")).await {
            button.click().await.ok()?;
        }
        let rows = browser.client.find_all(Locator::Css(".sheet-main tbody th")).await.ok()?;
        (rows.len() == 100).then_some(())
    })
    .await
}
