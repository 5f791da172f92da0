//! The forms of advertisers, campaigns and ads: what is typed is what is stored, and the audit log has who did it.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::json;

use super::{Browser, dead_letters::signed_in};

const SOON: Duration = Duration::from_secs(10);

/// The answer of a form to an ID that something else has.
const TAKEN: &str = "This ID is registered already. Choose another one, or change what has it.";

/// The changes of what the test registers, and of what it must not change, the earliest first.
const CHANGES: &str = "SELECT concat_ws(' ', actor, action, subject, subject_id) FROM audit_log \
     WHERE subject_id IN ('adv_northwind', 'camp_spring', 'adv_001', 'camp_005', 'ad_001', 'ad_banner') AND actor NOT LIKE 'database:%' \
     ORDER BY entry_id";

/// Waits until the form is closed, and the list has a row that begins with these cells.
async fn is_listed(browser: &Browser, cells: &[&str]) -> Result<()> {
    let script = "if (document.querySelector('.drawer, main [aria-busy=true]')) return null; \
        return [...document.querySelectorAll('.sheet-main tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))";
    eventually(&format!("{cells:?} is listed"), SOON, async || {
        let rows: Vec<Vec<String>> = serde_json::from_value(browser.run(script).await.ok()?).ok()?;
        let is_it = |row: &Vec<String>| row.iter().take(cells.len()).eq(cells);
        rows.iter().any(is_it).then_some(())
    })
    .await
}

/// The columns of the row that a statement selects.
async fn stored(stack: &Stack, statement: &'static str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(statement).fetch_one(stack.database()).await?)
}

async fn advertiser(stack: &Stack) -> Result<Vec<String>> {
    let statement = "SELECT ARRAY[name, click_id_template, array_to_string(forwarded_params, ' ')] \
                       FROM advertisers WHERE advertiser_id = 'adv_northwind'";
    stored(stack, statement).await
}

async fn campaign(stack: &Stack) -> Result<Vec<String>> {
    stored(stack, "SELECT ARRAY[advertiser_id, name] FROM campaigns WHERE campaign_id = 'camp_spring'").await
}

async fn ad(stack: &Stack) -> Result<Vec<String>> {
    let statement = "SELECT ARRAY[campaign_id, name, target_url, array_to_string(landing_hosts, ' ')] \
                       FROM ads WHERE ad_id = 'ad_banner'";
    stored(stack, statement).await
}

/// Sends the form.
async fn save(browser: &Browser) -> Result<()> {
    browser.click(".drawer form .form-end .primary").await
}

/// Deletes what the form is about, after the question.
async fn delete(browser: &Browser, name: &str) -> Result<()> {
    browser.click(".drawer form .form-end .danger").await?;
    browser.sees(&format!("Delete {name}?")).await?;
    browser.click("dialog .primary").await
}

/// Waits for what the form says that is wrong with no field of it.
async fn says(browser: &Browser, expected: &str) -> Result<()> {
    eventually(expected, SOON, async || {
        let problem = browser.client.find(Locator::Css(".drawer [role=alert]")).await.ok()?;
        (problem.text().await.ok()? == expected).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advertiser_its_campaign_and_its_ad_are_registered_and_changed_by_forms() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let browser = signed_in(&stack, "anna@clickwire.example", "admin", "/advertisers?z=UTC").await?;
    browser.resize(1440, 900).await?;

    // An advertiser: a wrong id is explained at its field.
    browser.click(".sheet-actions .primary").await?;
    browser.fill("#advertiser-id", "adv northwind").await?;
    browser.fill("#advertiser-name", "Northwind").await?;
    save(&browser).await?;
    ensure!(browser.fault_of("advertiser-id").await? == "Only letters, digits and _ - . : are allowed.");
    browser
        .looks(&[
            ("advertiser-fault-light.png", 1440, 900, "light"),
            ("advertiser-fault-dark.png", 1440, 900, "dark"),
            ("advertiser-fault-phone.png", 360, 780, "light"),
        ])
        .await?;
    browser.fill("#advertiser-id", "adv_001").await?;
    save(&browser).await?;
    says(&browser, TAKEN).await?;
    browser.fill("#advertiser-id", "adv_northwind").await?;
    save(&browser).await?;
    browser.sees("Saved.").await?;
    is_listed(&browser, &["Northwind", "adv_northwind"]).await?;
    // What a new one has unless it is given another.
    ensure!(advertiser(&stack).await? == ["Northwind", "cw_click_id={click_id}", "*"]);

    browser.click(".sheet-main a[href*='p=adv_northwind']").await?;
    browser.fill("#advertiser-name", "Northwind <Trading>").await?;
    browser.fill("#advertiser-params", "utm_*, gclid").await?;
    browser.fill("#advertiser-template", "cw_click_id").await?;
    save(&browser).await?;
    ensure!(browser.fault_of("advertiser-template").await? == "Expected pairs name=value, joined by &.");
    browser.fill("#advertiser-template", "src=cw&sub={click_id}").await?;
    save(&browser).await?;
    is_listed(&browser, &["Northwind <Trading>", "adv_northwind"]).await?;
    ensure!(advertiser(&stack).await? == ["Northwind <Trading>", "src=cw&sub={click_id}", "utm_* gclid"]);

    // Its campaign: the new advertiser can be chosen without loading the page again.
    browser.click(".rail a[href^='/campaigns']").await?;
    browser.client.wait().for_element(Locator::Css("#scope option[value=adv_northwind]")).await?;
    browser.choose("#scope", "adv_northwind").await?;
    browser.sees("No campaigns yet.").await?;
    browser.click(".sheet-actions .primary").await?;
    browser.fill("#campaign-id", "camp_005").await?;
    browser.fill("#campaign-name", "Spring sale").await?;
    save(&browser).await?;
    says(&browser, TAKEN).await?;
    browser.fill("#campaign-id", "camp_spring").await?;
    browser.fill("#campaign-name", &"n".repeat(201)).await?;
    save(&browser).await?;
    ensure!(browser.fault_of("campaign-name").await? == "At most 200 bytes.");
    browser.fill("#campaign-name", "Spring sale").await?;
    save(&browser).await?;
    is_listed(&browser, &["Spring sale", "camp_spring"]).await?;
    ensure!(campaign(&stack).await? == ["adv_northwind", "Spring sale"]);
    browser.click(".sheet-main a[href*='p=camp_spring']").await?;
    browser.fill("#campaign-name", "Summer sale").await?;
    save(&browser).await?;
    is_listed(&browser, &["Summer sale", "camp_spring"]).await?;
    ensure!(campaign(&stack).await? == ["adv_northwind", "Summer sale"]);

    // Its ad: a link leads to web pages alone.
    browser.click(".sheet-main a[href*='p=camp_spring']").await?;
    browser.click(".drawer .links a[href^='/ads']").await?;
    browser.sees("No ads yet.").await?;
    browser.click(".sheet-actions .primary").await?;
    browser.fill("#ad-id", "ad_001").await?;
    browser.fill("#ad-name", "Banner").await?;
    browser.fill("#ad-target", "https://shop.example/").await?;
    save(&browser).await?;
    says(&browser, TAKEN).await?;
    browser.fill("#ad-id", "ad_banner").await?;
    browser.fill("#ad-target", "ftp://shop.example/spring").await?;
    save(&browser).await?;
    ensure!(browser.fault_of("ad-target").await? == "Expected http:// or https://.");
    let spring = "https://shop.example/spring?size=42";
    browser.fill("#ad-target", spring).await?;
    save(&browser).await?;
    is_listed(&browser, &["Banner", "ad_banner", spring]).await?;
    ensure!(ad(&stack).await? == ["camp_spring", "Banner", spring, "self"]);
    browser.click(".sheet-main a[href*='p=ad_banner']").await?;
    browser.sees(&format!("{}/r/ad_banner", stack.server_url())).await?;
    let summer = "https://shop.example/summer?click={click_id}";
    browser.fill("#ad-target", summer).await?;
    save(&browser).await?;
    is_listed(&browser, &["Banner", "ad_banner", summer]).await?;
    ensure!(ad(&stack).await? == ["camp_spring", "Banner", summer, "self"]);

    // A campaign stays as long as it has an ad.
    browser.click(".rail a[href^='/campaigns']").await?;
    browser.click(".sheet-main a[href*='p=camp_spring']").await?;
    delete(&browser, "Summer sale").await?;
    says(&browser, "Something belongs to it. Delete that first.").await?;
    browser.is_accessible("a campaign that can't be deleted").await?;
    ensure!(campaign(&stack).await? == ["adv_northwind", "Summer sale"]);
    browser.click(".drawer .links a[href^='/ads']").await?;
    browser.click(".sheet-main a[href*='p=ad_banner']").await?;
    delete(&browser, "Banner").await?;
    browser.sees("No ads yet.").await?;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM ads WHERE campaign_id = 'camp_spring'")
        .fetch_one(stack.database())
        .await?;
    ensure!(left == 0, "{left} ads are left");

    // All of it and nothing else is recorded: what was refused has changed nothing.
    let recorded: Vec<String> = sqlx::query_scalar(CHANGES).fetch_all(stack.database()).await?;
    let expected = [
        "insert advertisers adv_northwind",
        "update advertisers adv_northwind",
        "insert campaigns camp_spring",
        "update campaigns camp_spring",
        "insert ads ad_banner",
        "update ads ad_banner",
        "delete ads ad_banner",
    ]
    .map(|change| format!("account:anna@clickwire.example {change}"));
    ensure!(recorded == expected, "{recorded:#?}");
    let log = format!("{}/audit?q=id:ad_banner&z=UTC", stack.server_url());
    browser.client.goto(&log).await?;
    let entries = "return [...document.querySelectorAll('.sheet-main tbody tr')].map(row => [...row.cells].slice(2, 6).map(cell => cell.textContent))";
    // The latest first, with the names of what differs.
    let expected = json!([
        ["Deleted", "Ad", "ad_banner", ""],
        ["Changed", "Ad", "ad_banner", "target_url"],
        ["Created", "Ad", "ad_banner", ""],
    ]);
    eventually("the log is shown", SOON, async || {
        (browser.run(entries).await.ok()? == expected).then_some(())
    })
    .await
}
