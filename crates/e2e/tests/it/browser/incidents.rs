//! An incident in the hands of two operators at once, each on a page of their own.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;

use super::{Browser, dead_letters::signed_in};
use crate::{incidents::open, rules::burst};

/// The promised time from a change to every page.
const SOON: Duration = Duration::from_secs(5);

async fn button(browser: &Browser, testid: &str) -> Result<()> {
    browser.click(&format!("[data-testid={testid}]")).await
}

/// Waits until the drawer says something.
async fn told(browser: &Browser, text: &str) -> Result<()> {
    eventually(&format!("{text} is told"), SOON, async || {
        let drawer = browser.client.find(Locator::Css(".drawer")).await.ok()?;
        drawer.text().await.ok()?.contains(text).then_some(())
    })
    .await
}

/// Waits until the bell rings, or is silent.
async fn rings(browser: &Browser, wanted: bool) -> Result<()> {
    eventually(&format!("the bell rings: {wanted}"), SOON, async || {
        let rings = browser.client.find(Locator::Css("[data-testid=bell]")).await.is_ok();
        (rings == wanted).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_look_after_an_incident_to_its_end() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let anna = signed_in(&stack, "anna@clickwire.example", "ops", "/incidents?z=UTC").await?;
    let berta = signed_in(&stack, "berta@clickwire.example", "ops", "/incidents?z=UTC").await?;
    open(&stack).await?;
    for browser in [&anna, &berta] {
        rings(browser, true).await?;
        browser.click(".sheet-main tbody th a").await?;
        told(browser, "No notes yet").await?;
    }
    // Taken by one, acknowledged by the other; both see both.
    button(&anna, "take").await?;
    told(&anna, "Give it back").await?;
    told(&berta, "anna@clickwire.example, 20").await?;
    button(&berta, "acknowledge").await?;
    told(&anna, "berta@clickwire.example, 20").await?;

    // A note of several lines.
    berta.fill("#note", "The shop is told.\nIt mends its program.").await?;
    button(&berta, "add-note").await?;
    told(&anna, "The shop is told.\nIt mends its program.").await?;
    told(&anna, "berta@clickwire.example, 20").await?;
    let emptied = berta.run("return document.querySelector('#note').value").await?;
    ensure!(emptied == "", "the note is still in its field: {emptied}");

    // Silenced: nobody's bell rings, and the list says so.
    button(&anna, "silence").await?;
    anna.click("dialog [data-key='240']").await?;
    anna.fill("#silence-reason", "the shop mends it").await?;
    anna.is_accessible("a silence that is wanted").await?;
    anna.screenshot("incident-silence.png", 1440, 900, "light").await?;
    anna.click("dialog .primary").await?;
    told(&berta, ", by anna@clickwire.example: the shop mends it").await?;
    for browser in [&anna, &berta] {
        rings(browser, false).await?;
    }
    anna.looks(&[
        ("incident-handled-light.png", 1440, 900, "light"),
        ("incident-handled-dark.png", 1440, 900, "dark"),
        ("incident-handled-phone.png", 360, 780, "light"),
    ])
    .await?;
    button(&berta, "lift").await?;
    for browser in [&anna, &berta] {
        rings(browser, true).await?;
    }

    // Given to another person.
    berta.choose("#assignee", "account:berta@clickwire.example").await?;
    told(&anna, "Take it").await?;

    // Over by a person's hand. There are no letters any more, so it is not found again.
    let broker = stack.broker().await?;
    broker.get_stream(stack.names().dead_letter_stream()).await?.purge().await?;
    button(&anna, "resolve").await?;
    anna.fill("#resolve-reason", "the shop has mended it").await?;
    anna.is_accessible("an end by hand").await?;
    anna.screenshot("incident-resolve.png", 1440, 900, "dark").await?;
    anna.click("dialog .primary").await?;
    told(&berta, "by anna@clickwire.example: the shop has mended it").await?;
    ensure!(
        berta.client.find(Locator::Css("[data-testid=resolve]")).await.is_err(),
        "it can be resolved twice"
    );
    for browser in [&anna, &berta] {
        rings(browser, false).await?;
        browser.sees("No open incidents").await?;
    }
    // What is over may still be noted.
    anna.fill("#note", "Over.").await?;
    button(&anna, "add-note").await?;
    told(&berta, "Over.").await?;
    berta.screenshot("incident-over.png", 1440, 900, "light").await?;
    berta.click(".tabs a[href*='p=resolved']").await?;
    berta.sees("Resolved").await
}

/// Notifications of the browser that note their titles.
const NOTIFICATIONS: &str = "window.told = [];
    window.Notification = class extends EventTarget {
        static permission = 'granted';
        static requestPermission() { return Promise.resolve('granted'); }
        constructor(title) { super(); window.told.push(title); window.last = this; }
        close() {}
    };";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_notified_and_no_shortcut_reaches_through_a_dialog() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let insert = "INSERT INTO alerts (kind, subject, advertiser_id, severity, details) \
         VALUES ('user_burst', 'adv_001/a user', 'adv_001', 'critical', '{\"clicks\": 80}') RETURNING alert_id::text";
    let alert_id: String = sqlx::query_scalar(insert).fetch_one(stack.database()).await?;
    let anna = signed_in(&stack, "anna@clickwire.example", "ops", "/account?z=UTC").await?;
    anna.run(NOTIFICATIONS).await?;
    button(&anna, "notify").await?;
    eventually("notifications are on", SOON, async || {
        let is_on = anna.client.find(Locator::Css("[data-testid=notify][aria-checked=true]")).await;
        is_on.is_ok().then_some(())
    })
    .await?;
    anna.is_accessible("the choices of a browser").await?;
    anna.looks(&[
        ("account-choices-phone.png", 360, 780, "light"),
        ("account-choices-dark.png", 1440, 900, "dark"),
        ("account-choices.png", 1440, 900, "light"),
    ])
    .await?;
    rings(&anna, true).await?;
    ensure!(anna.run("return window.told.length").await? == 0, "what is open already calls nobody");

    // Without a load of the page: the browser's notifications are those of the test.
    anna.click("a[href^='/incidents']").await?;
    let _aggregator = stack.start_aggregator().await?;
    open(&stack).await?;
    eventually("a notification", Duration::from_secs(20), async || {
        let told = anna.run("return window.told").await.ok()?;
        (told.as_array()?.len() == 1 && told[0].as_str()?.contains("Dead letters")).then_some(())
    })
    .await?;
    anna.run("window.last.dispatchEvent(new Event('click'))").await?;
    told(&anna, "Look at the dead letters").await?;

    // A letter on a button of a dialog is no shortcut.
    button(&anna, "resolve").await?;
    anna.fill("#resolve-reason", "typed").await?;
    let before = anna.client.current_url().await?;
    anna.client.find(Locator::Css("dialog .plain")).await?.send_keys("j").await?;
    ensure!(anna.client.current_url().await? == before, "the incident behind the dialog has changed");
    ensure!(!before.path().ends_with(&alert_id), "it is the new one: {before}");
    let reason = anna.run("return document.querySelector('#resolve-reason').value").await?;
    ensure!(reason == "typed", "the reason is lost: {reason}");
    ensure!(anna.run("return window.told.length").await? == 1, "no incident calls twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn convictions_are_confirmed_by_one_and_the_other_is_told() -> Result<()> {
    let mut stack = Stack::new().await?;
    // Nobody watches: what is open stays so.
    let _server = stack.start_server().await?;
    let alert_id: String = sqlx::query_scalar(
        "INSERT INTO alerts (kind, subject, advertiser_id, severity, details) \
         VALUES ('user_burst', 'adv_001/a user', 'adv_001', 'critical', '{\"clicks\": 80}') RETURNING alert_id::text",
    )
    .fetch_one(stack.database())
    .await?;
    let address = format!("/incidents/{alert_id}?z=UTC");
    let anna = signed_in(&stack, "anna@clickwire.example", "ops", &address).await?;
    let berta = signed_in(&stack, "berta@clickwire.example", "ops", &address).await?;
    for browser in [&anna, &berta] {
        button(browser, "confirm").await?;
        browser.fill("#resolve-reason", "one program, by its log").await?;
    }
    anna.looks(&[
        ("incident-confirm.png", 1440, 900, "light"),
        ("incident-confirm-dark.png", 1440, 900, "dark"),
        ("incident-confirm-phone.png", 360, 780, "light"),
    ])
    .await?;
    anna.click("dialog .primary").await?;
    told(&anna, "Confirmed").await?;
    told(&anna, "by anna@clickwire.example: one program, by its log").await?;
    berta.click("dialog .primary").await?;
    berta.sees("This incident is over").await?;
    let outcome: Option<String> =
        sqlx::query_scalar("SELECT outcome FROM alerts").fetch_one(stack.database()).await?;
    ensure!(outcome.as_deref() == Some("confirmed"), "{outcome:?}");
    // In the audit log, with everything.
    let root = signed_in(&stack, "root@clickwire.example", "admin", "/audit?q=subject:alerts").await?;
    root.click("tbody tr:first-child th a").await?;
    root.sees("confirmed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_an_address_is_released_by_one_and_ended_by_two_at_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    stack.publish(&burst(7, 120)).await?;
    let alert_id: String = eventually("an incident is open", Duration::from_secs(20), async || {
        let opened = "SELECT alert_id::text FROM alerts WHERE kind = 'ip_burst'";
        sqlx::query_scalar(opened).fetch_optional(stack.database()).await.ok()?
    })
    .await?;
    let address = format!("/incidents/{alert_id}?z=UTC");
    let anna = signed_in(&stack, "anna@clickwire.example", "admin", &address).await?;
    let berta = signed_in(&stack, "berta@clickwire.example", "ops", &address).await?;
    for browser in [&anna, &berta] {
        // The sample of its clicks, with what convicts each.
        told(browser, "The latest 50 of them.").await?;
        told(browser, "Sophisticated invalid traffic").await?;
        let lowest = "return Math.min(...[...document.querySelectorAll('.drawer .rows')].map(rows => rows.clientHeight))";
        let lowest = browser.run(lowest).await?;
        ensure!(lowest.as_i64() > Some(50), "a table of the drawer is {lowest} pixels high");
    }
    anna.looks(&[
        ("incident-address-light.png", 1440, 900, "light"),
        ("incident-address-dark.png", 1440, 900, "dark"),
        ("incident-address-phone.png", 360, 780, "light"),
    ])
    .await?;
    let has_button = berta.client.find(Locator::Css("[data-testid=release-all]")).await.is_ok();
    ensure!(!has_button, "only administrators release");
    // A search for the address offers the same, for all advertisers; an operator may look.
    for (browser, releases) in [(&anna, true), (&berta, false)] {
        let search = format!("{}/clicks?z=UTC&q=address:{:032x}", stack.server_url(), 7);
        browser.client.goto(&search).await?;
        eventually("the clicks are listed", SOON, async || {
            let rows = browser.run("return document.querySelector('tbody').innerText").await.ok()?;
            rows.as_str()?.contains("Sophisticated invalid traffic").then_some(())
        })
        .await?;
        ensure!(browser.text().await?.contains("Release all…") == releases);
    }
    anna.looks(&[
        ("clicks-address-light.png", 1440, 900, "light"),
        ("clicks-address-4k.png", 3840, 2160, "dark"),
        ("clicks-address-phone.png", 360, 780, "light"),
    ])
    .await?;
    for browser in [&anna, &berta] {
        browser.client.goto(&format!("{}{address}", stack.server_url())).await?;
        told(browser, "The latest 50 of them.").await?;
    }

    button(&anna, "release-all").await?;
    anna.fill("#release-reason", "a call centre").await?;
    anna.sees("120").await?;
    anna.click("dialog .primary").await?;
    eventually("all are released", Duration::from_secs(20), async || {
        let left = "SELECT count(*) FROM clicks WHERE disposition <> 'valid'";
        let left: i64 = sqlx::query_scalar(left).fetch_one(stack.database()).await.ok()?;
        (left == 0).then_some(())
    })
    .await?;
    anna.sees("120 clicks are valid now.").await?;

    for browser in [&anna, &berta] {
        button(browser, "resolve").await?;
        browser.fill("#resolve-reason", "a call centre, all of them").await?;
    }
    let (one, other) = tokio::join!(anna.click("dialog .primary"), berta.click("dialog .primary"));
    one.and(other)?;
    for browser in [&anna, &berta] {
        told(browser, ": a call centre, all of them").await?;
    }
    // One of them has ended it; the other one's order changed nothing.
    let ended = "SELECT count(*) FROM audit_log WHERE subject = 'alerts' AND before ->> 'resolved_at' IS NULL \
                    AND after ->> 'resolved_at' IS NOT NULL AND subject_id = $1";
    let ended: i64 = sqlx::query_scalar(ended).bind(alert_id).fetch_one(stack.database()).await?;
    ensure!(ended == 1, "ended {ended} times");
    Ok(())
}
