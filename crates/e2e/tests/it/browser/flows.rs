//! Work of people on the pages, from the first step of an empty deployment on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::{Browser, live};
use crate::{alerts, fraud::PERSON};

/// The promised time from a click's acceptance to a page that waits for it.
const SOON: Duration = Duration::from_secs(5);

fn click() -> Vec<u8> {
    let click = json!({"advertiser_id": "adv_northwind", "campaign_id": "camp_spring_sale", "ad_id": "ad_banner",
        "country": "SE", "device_type": "mobile", "user_agent": PERSON});
    click.to_string().into_bytes()
}

async fn secret(browser: &Browser) -> Result<String> {
    let css = Locator::Css("[data-testid=secret]");
    Ok(browser.client.wait().for_element(css).await?.text().await?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_deployment_leads_to_its_first_click() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    for table in ["ads", "campaigns", "advertisers"] {
        let sql = format!("DELETE FROM {table}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(stack.database()).await?;
    }
    let browser = Browser::start().await?;
    let admin = stack.as_admin()?;
    browser.visit(&stack, "/", admin.token()).await?;
    browser.fill("#setup-advertisers-name", "Northwind").await?;
    ensure!(
        browser.client.current_url().await?.path() == "/setup",
        "an empty deployment leads to its first steps"
    );
    let id = browser.client.find(Locator::Css("#setup-advertisers-id")).await?.prop("value").await?;
    ensure!(id.as_deref() == Some("adv_northwind"), "the id goes with the name: {id:?}");
    browser.screenshot("setup-begin.png", 1280, 800, "light").await?;
    browser.click(".step[data-state=due] .primary").await?;
    browser.fill("#setup-campaigns-name", "Spring sale").await?;
    browser.click(".step[data-state=due] .primary").await?;
    browser.fill("#setup-ads-name", "Banner").await?;
    browser.fill("#setup-ads-target", "nonsense://").await?;
    browser.click(".step[data-state=due] .primary").await?;
    let error = browser.client.wait().for_element(Locator::Css(".field-error")).await?.text().await?;
    ensure!(!error.is_empty(), "a wrong target is explained at its field");
    browser.fill("#setup-ads-target", "https://shop.example/").await?;
    browser.click(".step[data-state=due] .primary").await?;
    browser.click("#setup-key-name").await?;
    browser.click(".step[data-state=due] .primary").await?;
    let key = secret(&browser).await?;
    browser.sees("Waiting for the first click").await?;
    browser.is_accessible("waiting for the first click").await?;
    browser.screenshot("setup-waiting.png", 1280, 1100, "dark").await?;

    let (status, body) = stack.poster_with(&key)?.post("/api/v1/clicks", click()).await?;
    ensure!(status.as_u16() == 202, "{status}: {}", String::from_utf8_lossy(&body));
    eventually("the first click arrives", SOON, async || {
        (browser.attribute("first-click", "data-state").await? == "arrived").then_some(())
    })
    .await?;
    browser.screenshot("setup-arrived.png", 1280, 1100, "light").await?;
    browser.click(".links .primary").await?;
    eventually("the overview shows it", Duration::from_secs(10), async || {
        (browser.number("kpi-clicks").await? == 1.0).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_posts_and_is_revoked() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    let admin = stack.as_admin()?;
    browser.visit(&stack, "/keys", admin.token()).await?;
    browser.sees("No keys yet").await?;
    browser.click(".sheet-actions .primary").await?;
    browser.fill("#key-name", "Partner <one>").await?;
    browser.choose("#key-scope", "adv_001").await?;
    browser.is_accessible("a key that is wanted").await?;
    browser.screenshot("key-new.png", 1280, 800, "light").await?;
    browser.click("dialog .primary").await?;
    let first = secret(&browser).await?;
    let command = browser.client.wait().for_element(Locator::Css("[data-testid=command]")).await?;
    let command = command.text().await?;
    let is_ready =
        command.contains(&format!("X-Api-Key: {first}")) && command.contains("\"campaign_id\": \"camp_");
    ensure!(is_ready, "the command is not ready: {command}");
    browser.screenshot("key-secret.png", 1280, 800, "dark").await?;
    let post = async |key: &str| -> Result<u16> {
        let click = json!({"advertiser_id": "adv_001", "campaign_id": "camp_002", "ad_id": "ad_003"});
        let body = click.to_string().into_bytes();
        Ok(stack.poster_with(key)?.post("/api/v1/clicks", body).await?.0.as_u16())
    };
    ensure!(post(&first).await? == 202, "a key that was made posts");
    browser.click("dialog .primary").await?;
    browser.sees("Partner <one>").await?;

    let choose = async |what: &str| browser.click(&format!("tbody [data-key={what}]")).await;
    choose("rotate").await?;
    browser.fill("#key-grace", "1000").await?;
    browser.click("dialog .primary").await?;
    browser.sees("At most 720").await?;
    browser.fill("#key-grace", "1").await?;
    browser.click("dialog .primary").await?;
    let second = secret(&browser).await?;
    ensure!(second != first && post(&second).await? == 202 && post(&first).await? == 202, "both are taken");
    browser.click("dialog .primary").await?;
    browser.sees("Two secrets").await?;

    choose("revoke").await?;
    browser.sees("can’t be undone").await?;
    browser.click("dialog .primary").await?;
    browser.sees("Revoked").await?;
    eventually("the key is refused", SOON, async || {
        (post(&second).await.ok()? == 401 && post(&first).await.ok()? == 401).then_some(())
    })
    .await?;

    // Every step of it, by whom.
    browser.visit(&stack, "/audit?q=subject:api_keys", admin.token()).await?;
    browser.sees("revoked_at").await?;
    browser.click("tbody tr:first-child th a").await?;
    browser.sees("Before").await?;
    browser.is_accessible("an entry of the audit log").await?;
    browser.screenshot("audit-entry.png", 1440, 900, "light").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_made_changed_and_lets_its_owner_in_until_it_is_disabled() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    let admin = stack.as_admin()?;
    browser.visit(&stack, "/accounts", admin.token()).await?;
    browser.click(".sheet-actions .primary").await?;
    browser.fill("#account-login", "anna@shop.example").await?;
    browser.fill("#account-name", "Anna").await?;
    browser.click(".drawer .primary").await?;
    // An advertiser must be somebody's.
    browser.client.wait().for_element(Locator::Css(".field-error")).await?;
    browser.click("input[name=adv_001]").await?;
    browser.is_accessible("an account that is wanted").await?;
    browser.screenshot("account-new.png", 1280, 800, "dark").await?;
    browser.click(".drawer .primary").await?;
    let password = secret(&browser).await?;
    browser.click("dialog .primary").await?;

    let other = Browser::start().await?;
    let sign_in = async |password: &str| -> Result<()> {
        other.client.goto(&format!("{}/explore", stack.server_url())).await?;
        other.fill("#login", "anna@shop.example").await?;
        other.fill("#password", password).await?;
        other.click("button.primary").await
    };
    sign_in(&password).await?;
    // The address that she asked for, with her name and her advertiser.
    other.client.wait().for_element(Locator::Css("[data-testid=total-clicks]")).await?;
    ensure!(other.client.current_url().await?.path() == "/explore");
    let rail = other.client.find(Locator::Css(".rail")).await?.text().await?;
    ensure!(!rail.contains("Keys") && !rail.contains("Incidents"), "{rail}");
    other.client.find(Locator::Css(".rail a[href='/clicks']")).await.context("no page of her clicks")?;

    // Another role holds from the next question on.
    browser.click("tbody th a").await?;
    browser.click(".drawer [data-key=finance]").await?;
    browser.click(".drawer .primary").await?;
    browser.sees("Finance").await?;
    eventually("single clicks are closed to her", Duration::from_secs(20), async || {
        other.client.refresh().await.ok()?;
        other.client.wait().for_element(Locator::Css(".rail a[href='/explore']")).await.ok()?;
        other.client.find(Locator::Css(".rail a[href='/clicks']")).await.is_err().then_some(())
    })
    .await?;

    // A new password takes the place of the old one, and ends her sessions.
    browser.click("tbody th a").await?;
    browser.click(".form-end.apart button:first-child").await?;
    browser.click("dialog .primary").await?;
    let renewed = secret(&browser).await?;
    browser.click("dialog .primary").await?;
    other.client.refresh().await?;
    other.client.wait().for_element(Locator::Css("#login")).await?;
    sign_in(&password).await?;
    other.sees("don’t belong together").await?;
    sign_in(&renewed).await?;
    other.client.wait().for_element(Locator::Css("[data-testid=total-clicks]")).await?;

    browser.click("tbody th a").await?;
    browser.click(".form-end.apart button:last-child").await?;
    browser.sees("Disabled").await?;
    other.client.refresh().await?;
    other.client.wait().for_element(Locator::Css("#login")).await?;
    sign_in(&renewed).await?;
    other.sees("don’t belong together").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_is_seen_as_it_happens_and_acknowledged() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let password = stack.account("ops@clickwire.example", "ops", &[]).await?;
    let browser = Browser::start().await?;
    browser.client.goto(&format!("{}/incidents", stack.server_url())).await?;
    browser.fill("#login", "ops@clickwire.example").await?;
    browser.fill("#password", &password).await?;
    browser.click("button.primary").await?;
    browser.sees("No open incidents").await?;

    stack.publish(&alerts::burst("00112233445566778899aabbccddeeff", 120)).await?;
    eventually("the bell rings", Duration::from_secs(10), async || {
        let bell = browser.client.find(Locator::Css("[data-testid=bell]")).await.ok()?;
        (bell.text().await.ok()?.parse::<u32>().ok()? >= 1).then_some(())
    })
    .await?;
    browser.sees("Burst of one address").await?;
    let page = browser.client.find(Locator::Css("body")).await?;
    page.send_keys("j").await?;
    eventually("the incident has an address", Duration::from_secs(5), async || {
        browser.client.current_url().await.ok()?.path().starts_with("/incidents/").then_some(())
    })
    .await?;
    // Which of the burst's incidents came last is not said.
    browser.client.find(Locator::LinkText("Burst of one address")).await?.click().await?;
    // The clicks that it is about, and the rule that they broke.
    browser.sees("Rule: Too many clicks of one address").await?;
    eventually("there are clicks beside it", Duration::from_secs(10), async || {
        let rows = browser.client.find_all(Locator::Css(".drawer tbody th")).await.ok()?;
        (rows.len() > 10).then_some(())
    })
    .await?;
    browser.is_accessible("an incident").await?;
    browser.screenshot("incident-light.png", 1440, 900, "light").await?;
    browser.screenshot("incident-dark.png", 1440, 900, "dark").await?;
    let address = browser.client.current_url().await?;
    browser.client.find(Locator::Css("body")).await?.send_keys("a").await?;
    browser.sees("Acknowledged").await?;
    let by: Option<String> = eventually("it is acknowledged", SOON, async || {
        let by = sqlx::query_scalar(
            "SELECT acknowledged_by FROM alerts WHERE acknowledged_by IS NOT NULL LIMIT 1",
        );
        by.fetch_optional(stack.database()).await.ok()
    })
    .await?;
    ensure!(by.as_deref() == Some("account:ops@clickwire.example"), "{by:?}");

    // The same for whoever is sent the link; who may not see it is told so.
    let admin = Browser::start().await?;
    admin.visit(&stack, address.path(), stack.as_admin()?.token()).await?;
    admin.sees("ops@clickwire.example").await?;
    admin.visit(&stack, address.path(), &Stack::viewer_token("adv_001")).await?;
    admin.sees("not open to your account").await
}

/// Levels of the drill-down, from the whole to the smallest part.
const LEVELS: [&str; 6] = ["campaign", "ad", "country", "device", "os", "browser"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_of_a_drill_down_sum_up_and_a_link_shows_the_same() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 200).await?;
    live::counted(&stack, 200).await?;
    let browser = Browser::start().await?;
    let viewer = Stack::viewer_token("adv_001");
    browser.visit(&stack, "/explore?r=1h&z=UTC", &viewer).await?;
    let total = async || browser.number("total-clicks").await;
    let settled = async |what: &str| -> Result<f64> {
        eventually(what, Duration::from_secs(10), async || {
            let asking = browser.client.find(Locator::Css(".explore.asking")).await.is_ok();
            if asking { None } else { total().await }
        })
        .await
    };
    let whole = settled("the report is there").await?;
    ensure!(whole > 0.0, "nothing is counted");
    // The numbers of a column of the table, without the foot.
    let column = async || -> Result<Vec<f64>> {
        let script = "return [...document.querySelectorAll('.explore .rows tbody tr')].map(row => \
            Number(row.querySelector('[data-label=Clicks]').innerText.replaceAll(',', '')))";
        Ok(serde_json::from_value(browser.run(script).await?)?)
    };
    let mut expected = whole;
    for (depth, level) in (1..).zip(LEVELS) {
        let numbers = column().await?;
        ensure!(numbers.iter().sum::<f64>() == expected, "{level}: {numbers:?} are not {expected}");
        ensure!(numbers.windows(2).all(|pair| pair[0] >= pair[1]), "the largest first: {numbers:?}");
        expected = numbers[0];
        browser.click(".explore .rows tbody tr:first-child th a").await?;
        let now = eventually("a level down", Duration::from_secs(10), async || {
            let chips = browser.client.find_all(Locator::Css(".chosen")).await.ok()?.len();
            (chips == depth).then_some(())
        });
        now.await?;
        eventually("the level's own number", Duration::from_secs(10), async || {
            (total().await? == expected).then_some(())
        })
        .await?;
        settled("the level is there").await?;
    }
    browser.screenshot("explore-drilled.png", 1440, 900, "light").await?;

    // The address is the state: loaded again, and in another browser, it shows the same.
    let address = browser.client.current_url().await?;
    browser.client.refresh().await?;
    ensure!(settled("loaded again").await? == expected);
    let other = Browser::start().await?;
    let link = format!("{}?{}", address.path(), address.query().context("no query")?);
    other.visit(&stack, &link, &viewer).await?;
    eventually("the link shows the same", Duration::from_secs(10), async || {
        (other.number("total-clicks").await? == expected).then_some(())
    })
    .await?;
    // Back up, level by level, as the browser goes back.
    for _ in LEVELS {
        browser.client.back().await?;
    }
    eventually("all of it again", Duration::from_secs(10), async || (total().await? == whole).then_some(()))
        .await?;

    // A part of the chart by keys alone, and back.
    let address = browser.client.current_url().await?;
    browser.run("document.querySelector('[data-testid=explore-chart]').focus()").await?;
    let chart = browser.client.find(Locator::Css("[data-testid=explore-chart]")).await?;
    // Home, Shift with three times the right arrow, Enter.
    for keys in ["\u{E011}", "\u{E008}\u{E014}\u{E014}\u{E014}", "\u{E007}"] {
        chart.send_keys(keys).await?;
    }
    eventually("the range is the part", Duration::from_secs(10), async || {
        let zoomed = browser.client.current_url().await.ok()?;
        zoomed.query()?.split('&').any(|part| part.starts_with("r=20") && part.contains("..")).then_some(())
    })
    .await?;
    browser.client.back().await?;
    eventually(
        "all of it after the zoom, which was an entry of its own",
        Duration::from_secs(10),
        async || {
            let is_back = browser.client.current_url().await.ok()? == address;
            (is_back && total().await? == whole).then_some(())
        },
    )
    .await?;

    // A file has what the page has.
    let (status, body) = stack
        .as_viewer("adv_001")?
        .connection()
        .get("/api/v1/exports/breakdown?group_by=campaign_id&format=ndjson")
        .await?;
    ensure!(status.is_success(), "{status}");
    let lines = String::from_utf8(body.to_vec())?;
    let rows = lines.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let sum: i64 = rows.iter().filter_map(|row| row["clicks"].as_i64()).sum();
    ensure!(sum as f64 == whole, "the file has {sum}, the page {whole}");
    Ok(())
}
