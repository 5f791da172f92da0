//! The viewer's own account: its password, and tokens of its programs.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use fantoccini::Locator;
use serde_json::json;

use super::Browser;

const LOGIN: &str = "anna@shop.example";

async fn sign_in(browser: &Browser, stack: &Stack, path: &str, password: &str) -> Result<()> {
    browser.client.goto(&format!("{}{path}", stack.server_url())).await?;
    browser.fill("#login", LOGIN).await?;
    browser.fill("#password", password).await?;
    browser.click("button.primary").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_lets_in_and_the_old_one_does_not() -> Result<()> {
    const NEW: &str = "a longer password than before";
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let old = stack.account(LOGIN, "advertiser", &["adv_001"]).await?;
    let browser = Browser::start().await?;
    sign_in(&browser, &stack, "/account", &old).await?;
    browser.sees("No tokens yet").await?;
    browser.sees(LOGIN).await?;

    let change = async |now: &str, new: &str, again: &str| -> Result<()> {
        browser.fill("#password-now", now).await?;
        browser.fill("#password-new", new).await?;
        browser.fill("#password-again", again).await?;
        browser.click(".panel form .primary").await
    };
    change(&old, NEW, "another").await?;
    ensure!(browser.fault_of("password-again").await?.contains("not the same"));
    change(&old, "short", "short").await?;
    let said = browser.fault_of("password-new").await?;
    ensure!(said.contains("12"), "{said}");
    change("not her password", NEW, NEW).await?;
    ensure!(browser.fault_of("password-now").await?.contains("not your current password"));
    browser.is_accessible("a password that is refused").await?;
    browser.screenshot("account-refused.png", 1280, 900, "dark").await?;
    change(&old, NEW, NEW).await?;
    browser.sees("The password is changed").await?;
    let left = browser.client.find(Locator::Css("#password-now")).await?.prop("value").await?;
    ensure!(left.as_deref() == Some(""), "the form keeps the password");
    // This session goes on.
    browser.client.refresh().await?;
    browser.sees(LOGIN).await?;

    let other = Browser::start().await?;
    sign_in(&other, &stack, "/account", &old).await?;
    other.sees("don’t belong together").await?;
    sign_in(&other, &stack, "/account", NEW).await?;
    other.sees("Current password").await?;
    // Sessions end together.
    other.click(".panel:first-child .quiet").await?;
    other.sees("this one included").await?;
    other.click("dialog .primary").await?;
    other.sees("Sign in").await?;
    eventually("the first session is over, too", Duration::from_secs(20), async || {
        browser.client.refresh().await.ok()?;
        browser.client.wait().for_element(Locator::Css("#login, #password-now")).await.ok()?;
        browser.client.find(Locator::Css("#login")).await.ok().map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_made_works_and_is_revoked() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let password = stack.account(LOGIN, "advertiser", &["adv_001"]).await?;
    let browser = Browser::start().await?;
    // By the menu, from the page that one begins on.
    sign_in(&browser, &stack, "/explore", &password).await?;
    browser.click(".you-button").await?;
    browser.click("[role=menuitem][data-key=account]").await?;
    browser.sees("No tokens yet").await?;
    ensure!(browser.client.current_url().await?.path() == "/account");
    browser
        .looks(&[
            ("account-own-light.png", 1280, 900, "light"),
            ("account-own-dark.png", 1280, 900, "dark"),
            ("account-own-phone.png", 390, 1500, "light"),
        ])
        .await?;

    browser.click(".part .sheet-actions .primary").await?;
    browser.fill("#token-name", "Nightly <report>").await?;
    browser.fill("#token-days", "400").await?;
    browser.click("dialog .primary").await?;
    ensure!(browser.fault_of("token-days").await?.contains("1 to 366"));
    browser.is_accessible("a token that is wanted").await?;
    browser.fill("#token-days", "30").await?;
    browser.click("dialog .primary").await?;
    let css = Locator::Css("[data-testid=secret]");
    let token = browser.client.wait().for_element(css).await?.text().await?.trim().to_owned();
    browser.screenshot("account-token.png", 1280, 900, "light").await?;
    browser.click("dialog .primary").await?;
    browser.sees("Nightly <report>").await?;
    ensure!(!browser.text().await?.contains(&token), "the secret is shown again");

    let ask = async |path: &str| -> Result<u16> {
        let server = Server::new(stack.server_url(), &token)?;
        Ok(server.connection().get(path).await?.0.as_u16())
    };
    ensure!(
        ask("/api/v1/analytics/summary?advertiser_id=adv_001").await? == 200,
        "the token opens what its owner sees"
    );
    ensure!(ask("/api/v1/analytics/summary?advertiser_id=adv_002").await? == 403, "and nothing else");
    ensure!(ask("/api/v1/account/tokens").await? == 403, "a token makes no tokens");
    // A link with it opens the page, which then has no password to change.
    let other = Browser::start().await?;
    other.visit(&stack, "/account", &token).await?;
    other.sees("belong to an account").await?;
    ensure!(other.client.find(Locator::Css("#password-now")).await.is_err());

    browser.click("tbody [data-key=revoke]").await?;
    browser.sees("can’t be undone").await?;
    browser.click("dialog .primary").await?;
    browser.sees("Revoked").await?;
    eventually("the token is refused", Duration::from_secs(5), async || {
        (ask("/api/v1/session").await.ok()? == 401).then_some(())
    })
    .await?;
    // Colours that are chosen here are the menu's, too.
    browser.click(".panel .segments [data-key=Dark]").await?;
    browser.click(".you-button").await?;
    browser.sees("● Dark").await?;
    let theme = browser.run("return document.documentElement.dataset.theme").await?;
    ensure!(theme == json!("dark"), "{theme}");
    Ok(())
}
