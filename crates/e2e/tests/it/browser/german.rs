//! The page in a language that is a file: chosen, kept, and given up again; and as a browser asks for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::Browser;

/// The language that the document says it is in.
async fn language(browser: &Browser) -> Result<Value> {
    browser.run("return document.documentElement.lang").await
}

/// Waits until the document is in a language: a choice loads the page again.
async fn becomes(browser: &Browser, wanted: &str) -> Result<()> {
    eventually(&format!("the page is in {wanted}"), Duration::from_secs(15), async || {
        let is_drawn = browser.client.find(Locator::Css("main h1")).await.is_ok();
        (is_drawn && language(browser).await.ok()? == wanted).then_some(())
    })
    .await
}

/// The words that were fetched for the page as it is.
async fn words(browser: &Browser) -> Result<Value> {
    let script =
        "return performance.getEntriesByType('resource').filter(r => /words-.*json$/.test(r.name)).length";
    browser.run(script).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_language_is_chosen_stays_and_is_given_up() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let admin = stack.as_admin()?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/account", admin.token()).await?;
    becomes(&browser, "en").await?;
    ensure!(words(&browser).await? == 0, "English needs no file");
    browser.sees("As the browser says").await?;
    browser.sees("Deutsch").await?;
    browser.click("[data-key=de]").await?;
    becomes(&browser, "de").await?;
    browser.sees("Ihr Konto").await?;
    ensure!(words(&browser).await? == 1, "one file of words");
    let pressed = "return document.querySelector('[data-key=de]').getAttribute('aria-pressed')";
    eventually("the choice is shown", Duration::from_secs(5), async || {
        (browser.run(pressed).await.ok()? == "true").then_some(())
    })
    .await?;
    browser
        .looks(&[
            ("account-german.png", 1280, 900, "light"),
            ("account-german-dark.png", 1280, 900, "dark"),
            ("account-german-narrow.png", 320, 800, "light"),
        ])
        .await?;
    for (address, texts) in [
        ("/", ["Abrechenbar", "Letzte Minute"]),
        ("/explore", ["Gruppieren nach", "Vorheriger Zeitraum"]),
        ("/pipeline", ["Annahme", "Abgleich"]),
        ("/campaigns", ["Neue Kampagne", "Werbetreibender"]),
    ] {
        browser.visit(&stack, address, admin.token()).await?;
        becomes(&browser, "de").await?;
        for text in texts {
            let known = "return document.body.innerText + [...document.querySelectorAll('option, label')].map(e => e.textContent).join()";
            eventually(&format!("{text} on {address}"), Duration::from_secs(10), async || {
                browser.run(known).await.ok()?.as_str()?.contains(text).then_some(())
            })
            .await?;
        }
        let name = if address == "/" { "overview" } else { address.trim_start_matches('/') };
        browser
            .looks(&[
                (&format!("{name}-german.png"), 1440, 900, "light"),
                (&format!("{name}-german-phone.png"), 360, 780, "dark"),
            ])
            .await?;
        let width = browser.run("return document.documentElement.scrollWidth - innerWidth").await?;
        ensure!(width.as_f64().is_some_and(|width| width <= 0.0), "{address} is {width} px too wide");
    }
    // A reload keeps it.
    browser.client.refresh().await?;
    becomes(&browser, "de").await?;
    browser.sees("Neue Kampagne").await?;
    ensure!(browser.client.title().await?.contains("Kampagnen"), "the tab's name is German, too");
    // Back to what the browser says, which is English here.
    browser.visit(&stack, "/account", admin.token()).await?;
    browser.sees("Wie der Browser").await?;
    browser.click("#account-language ~ .segments [data-key='']").await?;
    becomes(&browser, "en").await?;
    browser.sees("Your account").await?;
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_answered_in_its_language_from_the_sign_in_on() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let german = json!({"prefs": {"intl.accept_languages": "de-AT,de,en"}});
    let browser = Browser::start_with(&german).await?;
    let languages = browser.run("return navigator.languages").await?;
    ensure!(languages[0] == "de-AT", "the browser is not one that asks for German: {languages}");
    browser.client.goto(stack.server_url()).await?;
    becomes(&browser, "de").await?;
    browser.sees("E-Mail-Adresse oder Benutzername").await?;
    browser.is_accessible("the sign-in in German").await?;
    browser.picture("sign-in-german.png").await?;
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:#?}");
    // Another browser is not concerned.
    let other = Browser::start().await?;
    other.client.goto(stack.server_url()).await?;
    becomes(&other, "en").await?;
    other.sees("E-mail address or user name").await
}
