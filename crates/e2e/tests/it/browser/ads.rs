//! Pages of one campaign and one ad, and links that are copied and tried out.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::{Browser, live};
use crate::fraud::PERSON;

const SOON: Duration = Duration::from_secs(10);

async fn post(stack: &Stack, campaign_id: &str, ad_id: &str, clicks: usize) -> Result<()> {
    for number in 0..clicks {
        let click = json!({"advertiser_id": "adv_001", "campaign_id": campaign_id, "ad_id": ad_id, "country": "SE",
            "device_type": "mobile", "user_agent": PERSON, "user_id": format!("person {ad_id} {number}")});
        let (status, _) = stack.poster()?.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        ensure!(status.as_u16() == 202, "{status}");
    }
    Ok(())
}

/// Rows of a table: the id or the head, and the number of clicks.
async fn rows(browser: &Browser, caption: &str) -> Option<Vec<(String, i64)>> {
    let script = format!(
        "if (document.querySelector('main .skeleton, main [aria-busy=true]') || !document.querySelector('[aria-label=\"{caption}\"]')) return null; \
         return [...document.querySelectorAll('[aria-label=\"{caption}\"] tbody tr')].filter(row => row.querySelector('[data-label=Clicks]')).map(row => \
           [(row.querySelector('th .id') ?? row.querySelector('th')).innerText.trim(), Number(row.querySelector('[data-label=Clicks]').innerText.replaceAll(',', ''))])"
    );
    serde_json::from_value(browser.run(&script).await.ok()?).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_and_its_ads_have_pages_of_their_own_for_their_advertiser_alone() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    post(&stack, "camp_001", "ad_001", 7).await?;
    post(&stack, "camp_001", "ad_elsewhere", 2).await?;
    post(&stack, "camp_002", "ad_003", 3).await?;
    post(&stack, "camp_gone", "ad_gone", 1).await?;
    live::counted(&stack, 13).await?;
    let viewer = Stack::viewer_token("adv_001");
    let browser = Browser::start().await?;

    // From the overview by the name of the campaign.
    browser.visit(&stack, "/?z=UTC", &viewer).await?;
    browser.click(".breakdown a[href^='/campaigns/camp_001']").await?;
    // Those without clicks come with the campaign's ads, which are asked for beside the numbers.
    let expected = [("ad_001", 7), ("ad_elsewhere", 2), ("ad_002", 0)];
    let shown = eventually("its ads are listed, those without clicks too", SOON, async || {
        let shown = rows(&browser, "Numbers by Ad").await?;
        let has = |(ad_id, clicks): &(&str, i64)| shown.contains(&((*ad_id).to_owned(), *clicks));
        expected.iter().all(has).then_some(shown)
    })
    .await?;
    ensure!(!shown.iter().any(|(ad_id, _)| ad_id == "ad_003"), "another campaign's: {shown:?}");
    ensure!(browser.number("total-clicks").await == Some(9.0));
    let path = "/api/v1/campaigns?advertiser_id=adv_001&campaign_id=camp_001";
    let (_, body) = stack.as_viewer("adv_001")?.connection().get(path).await?;
    let campaign: Value = serde_json::from_slice(&body)?;
    let title = browser.client.find(Locator::Css("main h1")).await?.text().await?;
    ensure!(campaign["data"][0]["name"] == title, "{title} is not {campaign}");
    let edit = browser.client.find(Locator::Css(".sheet-actions a[href^='/campaigns?']")).await;
    ensure!(edit.is_err(), "an advertiser changes nothing");
    // Against the period before, from the bar.
    browser.choose("#compare", "previous").await?;
    browser.sees("before: 0").await?;
    browser
        .looks(&[
            ("campaign-light.png", 1440, 900, "light"),
            ("campaign-dark.png", 1440, 900, "dark"),
            ("campaign-phone.png", 360, 780, "light"),
            ("campaign-4k.png", 3840, 2160, "light"),
        ])
        .await?;
    browser.resize(1440, 900).await?;

    // On to an ad, with the same range and comparison.
    browser.click("main th a[href^='/ads/ad_001']").await?;
    let shown =
        eventually("countries are listed", SOON, async || rows(&browser, "Numbers by Country").await).await?;
    ensure!(shown == [("Sweden".to_owned(), 7)], "{shown:?}");
    ensure!(rows(&browser, "Numbers by Device").await == Some(vec![("mobile".to_owned(), 7)]));
    let address = browser.client.current_url().await?;
    ensure!(address.query().is_some_and(|query| query.contains("cmp=prev")), "{address}");
    browser.sees(&format!("{}/r/ad_001", stack.server_url())).await?;
    browser.sees("https://example.com/1/0").await?;
    browser
        .looks(&[
            ("ad-light.png", 1440, 900, "light"),
            ("ad-dark.png", 1440, 900, "dark"),
            ("ad-phone.png", 360, 780, "dark"),
        ])
        .await?;
    let width = browser.run("return document.documentElement.scrollWidth <= innerWidth").await?;
    ensure!(width == true, "it is wider than the screen");

    // What is not registered has a page by its clicks; what is another advertiser's has none.
    browser.visit(&stack, "/campaigns/camp_gone?z=UTC", &viewer).await?;
    browser.sees("Not registered").await?;
    for (address, said) in [
        ("/campaigns/camp_404", "There is no such campaign."),
        ("/campaigns/camp_005", "There is no such campaign."),
        ("/campaigns/camp_005?a=adv_002", "There is no such campaign."),
        ("/ads/ad_404", "There is no such ad."),
        ("/ads/ad_009?a=adv_002", "There is no such ad."),
    ] {
        browser.visit(&stack, address, &viewer).await?;
        browser.sees(said).await?;
    }
    // An administrator goes on to where it is changed.
    browser.visit(&stack, "/ads/ad_001?a=adv_001", stack.as_admin()?.token()).await?;
    browser.click(".sheet-actions a[href^='/ads?']").await?;
    browser.client.wait().for_element(Locator::Css("#ad-target")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_found_and_tried_out_until_the_click_is_counted() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    let viewer = Stack::viewer_token("adv_001");
    browser.visit(&stack, "/links", &viewer).await?;
    browser.client.wait().for_element(Locator::Css("button[data-key=test]")).await?;
    let own: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ads JOIN campaigns USING (campaign_id) WHERE advertiser_id = 'adv_001'",
    )
    .fetch_one(stack.database())
    .await?;
    let listed = async || Some(browser.client.find_all(Locator::Css("main tbody th")).await.ok()?.len());
    ensure!(listed().await == usize::try_from(own).ok(), "{own} ads");
    browser.fill("#ad-search", "AD_001").await?;
    browser.click("form.search .primary").await?;
    eventually("one is found", SOON, async || (listed().await? == 1).then_some(())).await?;
    let address = browser.client.current_url().await?;
    ensure!(address.query().is_some_and(|query| query.contains("q=AD_001")), "{address}");
    browser.sees(&format!("{}/r/ad_001", stack.server_url())).await?;

    let becomes = async |state: &str| {
        eventually(&format!("the test click is {state}"), Duration::from_secs(20), async || {
            (browser.attribute("trial", "data-state").await? == state).then_some(())
        })
        .await
    };
    browser.click("button[data-key=test]").await?;
    becomes("counted").await?;
    browser.sees("Counted as test").await?;
    let location = browser.client.find(Locator::Css("[data-testid=trial-location]")).await?.text().await?;
    let id = location
        .split_once("cw_click_id=")
        .context(location.clone())?
        .1
        .split('.')
        .next()
        .unwrap_or_default();
    let kinds: Vec<(String, String)> = sqlx::query_as("SELECT click_id::text, disposition::text FROM clicks")
        .fetch_all(stack.database())
        .await?;
    ensure!(kinds == [(id.to_owned(), "test".to_owned())], "{kinds:?}");
    browser
        .looks(&[
            ("links-light.png", 1440, 900, "light"),
            ("links-trial-dark.png", 1440, 900, "dark"),
            ("links-trial-phone.png", 360, 780, "light"),
        ])
        .await?;
    browser.resize(1440, 900).await?;

    // While counting is behind it waits; a page that is loaded again makes no other click.
    drop(aggregator);
    browser.click(".drawer .form-end button").await?;
    becomes("waiting").await?;
    browser.client.refresh().await?;
    browser.client.wait().for_element(Locator::Css("button[data-key=test]")).await?;
    ensure!(browser.client.find(Locator::Css("[data-testid=trial]")).await.is_err());
    let _aggregator = stack.start_aggregator().await?;
    eventually("both are counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == 2).then_some(())
    })
    .await?;
    // All that is known of one is where the link leads.
    browser.click("button[data-key=test]").await?;
    becomes("counted").await?;
    browser.click("[data-testid=trial] a[href^='/clicks']").await?;
    browser.client.wait().for_element(Locator::Css("[data-testid=passport]")).await?;
    ensure!(stack.ledger().await? == 3, "one click for each wish");
    Ok(())
}
