//! Addresses of pages, who may see them, and how they look: for eyes (pictures) and for assistive technology.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Buckets, Stack, eventually, people::Person};
use clickwire_load::{demo, http::Server};
use clickwire_protocol::pages::ADDRESSES;
use fantoccini::Locator;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::Browser;
use crate::alerts;

/// Pages that something else than the rail leads to.
const BESIDE: [&str; 3] = ["/wall", "/setup", "/account"];

/// Pages of operators and administrators.
const STAFF: [&str; 15] = [
    "/deployment",
    "/wall",
    "/incidents",
    "/dead-letters",
    "/pipeline",
    "/rules",
    "/storage",
    "/setup",
    "/advertisers",
    "/campaigns",
    "/ads",
    "/keys",
    "/test-clicks",
    "/accounts",
    "/audit",
];

/// Addresses without parts that are to be filled in.
fn addresses() -> impl Iterator<Item = &'static str> {
    ADDRESSES.into_iter().map(|(address, _)| address).filter(|address| !address.contains('{'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_opens_at_its_address_for_those_who_may_see_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut connection = stack.as_viewer("adv_001")?.connection();
    for (address, _) in ADDRESSES {
        let address = address
            .replace("{id}", "018f6f0e-7c1a-7e2b-9d3c-4b5a69788796")
            .replace("{sequence}", "7")
            .replace("{rule}", "ip_velocity");
        let (status, body) = connection.get(&address).await?;
        ensure!(status.as_u16() == 200 && body.starts_with(b"<!doctype html>"), "{address}: {status}");
    }
    for address in ["/nothing", "/explore/more", "/keys/1", "/api/v1/nothing"] {
        ensure!(connection.get(address).await?.0.as_u16() == 404, "{address}");
    }
    let browser = Browser::start().await?;
    let admin = stack.as_admin()?;
    let password = stack.account("fritz", "finance", &[]).await?;
    let fritz = Person::sign_in(stack.server_url(), "fritz", &password).await?;
    let issued = fritz.send("POST /api/v1/account/tokens", r#"{"name": "a browser"}"#).await?;
    let finance = issued.body["token"].as_str().context("no token")?.to_owned();
    let without_clicks: Vec<&str> = ["/clicks", "/links"].into_iter().chain(STAFF).collect();
    for (token, refused) in [
        (admin.token().to_owned(), Vec::new()),
        (finance, without_clicks),
        (Stack::viewer_token("adv_001"), STAFF.to_vec()),
    ] {
        for address in addresses() {
            browser.visit(&stack, address, &token).await?;
            browser.client.wait().for_element(Locator::Css("main h1")).await?;
            let says_no = browser.text().await.unwrap_or_default().contains("not open to your account");
            ensure!(says_no == refused.contains(&address), "{address} says no: {says_no}");
            ensure!(browser.client.find(Locator::Css("#login")).await.is_err(), "{address} is no sign-in");
        }
        let links = browser.client.find_all(Locator::Css(".rail a")).await?.len();
        ensure!(
            links
                == addresses()
                    .filter(|address| !BESIDE.contains(address) && !refused.contains(address))
                    .count(),
            "{links}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_address_says_is_shown_and_stays_through_a_reload() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let browser = Browser::start().await?;
    let admin = stack.as_admin()?;
    let query = "?a=adv_002&r=7d&cmp=prev&by=country,device&f=device:mobile&f=!country:FR&s=country&m=billable&z=Asia/Tokyo&g=day&v=bars";
    browser.visit(&stack, &format!("/explore{query}"), admin.token()).await?;
    let shown = async || -> Result<serde_json::Value> {
        browser.client.wait().for_element(Locator::Css("[data-testid=total-clicks]")).await?;
        browser
            .run(
                "const of = id => document.getElementById(id)?.value; \
                 return {scope: of('scope'), range: of('range'), compare: of('compare'), zone: of('zone'), metric: of('metric'), \
                   width: of('width'), by: of('by'), then: of('then'), \
                   shape: document.querySelector('.plot-choices [aria-pressed=true]')?.dataset.key, \
                   chips: [...document.querySelectorAll('.chosen bdi')].map(chip => chip.innerText), \
                   search: decodeURIComponent(location.search)}",
            )
            .await
    };
    let expected = json!({"scope": "adv_002", "range": "7d", "compare": "previous", "zone": "Asia/Tokyo", "metric": "billable",
        "width": "day", "by": "country", "then": "device", "shape": "bars",
        "chips": ["Device: mobile", "Country: not France"], "search": query});
    eventually("the names are there", Duration::from_secs(10), async || {
        (shown().await.ok()? == expected).then_some(())
    })
    .await
    .map_err(|error| error.context("not what the address says"))?;
    browser.client.refresh().await?;
    eventually("the same again", Duration::from_secs(10), async || {
        (shown().await.ok()? == expected).then_some(())
    })
    .await?;
    // Another choice is another address, and back is back.
    browser.choose("#metric", "received").await?;
    ensure!(browser.client.current_url().await?.query().is_some_and(|query| query.contains("m=received")));
    browser.client.back().await?;
    eventually("back", Duration::from_secs(5), async || (shown().await.ok()? == expected).then_some(()))
        .await?;
    // The scope and the range go on to the next page.
    browser.click(".rail a[href^='/campaigns']").await?;
    eventually("another page, about the same", Duration::from_secs(10), async || {
        let address = browser.client.current_url().await.ok()?;
        let goes_on = address.query() == Some("a=adv_002&r=7d&cmp=prev&z=Asia/Tokyo");
        (address.path() == "/campaigns" && goes_on).then_some(())
    })
    .await
}

/// An hour of demonstration traffic, an incident, a key and people.
async fn furnish(stack: &Stack) -> Result<()> {
    demo::history(Server::new(stack.server_url(), Stack::ingest_key())?, 1.0, 58).await?;
    stack.account("anna@shop.example", "advertiser", &["adv_001"]).await?;
    stack.account("operations@clickwire.example", "ops", &[]).await?;
    stack.bound_key("adv_001").await?;
    stack.publish(&alerts::burst("00112233445566778899aabbccddeeff", 120)).await?;
    eventually("the history is counted", Duration::from_secs(30), async || {
        (stack.ledger().await.ok()? == stack.received(Buckets::Minutes).await.ok()?).then_some(())
    })
    .await?;
    eventually("an incident is open", Duration::from_secs(10), async || {
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM alerts").fetch_one(stack.database()).await.ok()?;
        (open > 0).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_accessible_and_fits_every_screen() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    furnish(&stack).await?;
    let admin = stack.as_admin()?;
    let browser = Browser::start().await?;
    let phone = json!({"mobileEmulation": {"deviceMetrics": {"width": 360, "height": 780, "pixelRatio": 2.0, "touch": true}}});
    let phone = Browser::start_with(&phone).await?;
    for address in addresses().filter(|address| *address != "/setup") {
        let query = if address == "/explore" { "?r=1h&cmp=prev&v=stack" } else { "" };
        let name = if address == "/" { "overview" } else { address.trim_start_matches('/') };
        for browser in [&browser, &phone] {
            browser.visit(&stack, &format!("{address}{query}"), admin.token()).await?;
            browser.client.wait().for_element(Locator::Css("main h1")).await?;
            eventually(&format!("{name} is there"), Duration::from_secs(15), async || {
                let script = "return !document.querySelector('.skeleton, .asking, [aria-busy=true]') && !!document.querySelector('table, .facts, form.form')";
                browser.run(script).await.ok()?.as_bool()?.then_some(())
            })
            .await?;
        }
        for theme in ["light", "dark"] {
            browser.run(&format!("document.documentElement.setAttribute('data-theme', '{theme}')")).await?;
            browser.is_accessible(&format!("{name} in {theme}")).await?;
            browser.screenshot(&format!("{name}-{theme}.png"), 1440, 900, theme).await?;
        }
        browser.screenshot(&format!("{name}-4k.png"), 3840, 2160, "light").await?;
        suits_everybody(&browser, name).await?;
        browser.client.set_window_size(1440, 900).await?;
        phone.is_accessible(&format!("{name} on a phone")).await?;
        let width = phone.run("return document.documentElement.scrollWidth").await?;
        ensure!(
            width.as_f64().is_some_and(|width| width <= 360.0),
            "{name} is {width} px wide on a phone of 360"
        );
        // Pages that are needed often are side by side, the others behind one button.
        let links = "return [...document.querySelectorAll('.rail a, .rail button')].filter(link => link.getBoundingClientRect().right > innerWidth).length";
        ensure!(phone.run(links).await? == 0, "{name}: pages are out of reach on a phone");
        phone.picture(&format!("{name}-phone.png")).await?;
    }
    every_page_is_in_reach_on_a_phone(&phone).await
}

/// The page has no error on the console, uses a large screen and fits a narrow one, can be read where the system
/// replaces all colours, and stands still for those who want no motion.
async fn suits_everybody(browser: &Browser, name: &str) -> Result<()> {
    let errors = browser.errors().await?;
    ensure!(errors.is_empty(), "{name}: {errors:?}");
    browser.resize(3840, 2160).await?;
    let used = "return document.querySelector('main').getBoundingClientRect().width / innerWidth";
    let used = browser.run(used).await?.as_f64().unwrap_or_default();
    ensure!(used > 0.8, "{name} uses {used} of the width of a 4K screen");
    browser.resize(320, 800).await?;
    let width = browser.run("return document.documentElement.scrollWidth").await?;
    ensure!(
        width.as_f64().is_some_and(|width| width <= 320.0),
        "{name} is {width} px wide on a screen of 320"
    );
    browser.resize(1440, 900).await?;
    let wishes = |colours: &str, motion: &str| {
        json!({"features": [
            {"name": "forced-colors", "value": colours}, {"name": "prefers-reduced-motion", "value": motion},
        ]})
    };
    browser.devtools("Emulation.setEmulatedMedia", wishes("active", "reduce")).await?;
    browser.is_accessible_in_forced_colours(&format!("{name} in forced colours")).await?;
    browser.screenshot(&format!("{name}-forced.png"), 1440, 900, "light").await?;
    let moving = "return document.getAnimations().filter(a => a.playState == 'running' && \
        a.effect.getComputedTiming().activeDuration > 10).map(a => a.animationName ?? a.transitionProperty)";
    let moving = browser.run(moving).await?;
    ensure!(moving == json!([]), "{name}: {moving} moves");
    browser.devtools("Emulation.setEmulatedMedia", wishes("none", "no-preference")).await?;
    Ok(())
}

/// The ways to a page are the links that are seen at the bottom, and the menu beside them.
async fn every_page_is_in_reach_on_a_phone(phone: &Browser) -> Result<()> {
    let seen = "return [...document.querySelectorAll('.rail a')].filter(link => link.getBoundingClientRect().width > 0).map(link => link.pathname)";
    let mut seen: Vec<String> = serde_json::from_value(phone.run(seen).await?)?;
    phone.click(".rail-more button").await?;
    phone.client.wait().for_element(Locator::Css(".rail-more [role=menuitem]")).await?;
    phone.is_accessible("more pages on a phone").await?;
    phone.picture("more-phone.png").await?;
    let items = "return [...document.querySelectorAll('.rail-more [role=menuitem]')].filter(item => { \
        const box = item.getBoundingClientRect(); \
        return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight; \
    }).map(item => item.dataset.key)";
    seen.extend(serde_json::from_value::<Vec<String>>(phone.run(items).await?)?);
    for address in addresses().filter(|address| !BESIDE.contains(address)) {
        ensure!(seen.iter().any(|known| known == address), "{address} is out of reach on a phone: {seen:?}");
    }
    phone.click(".rail-more [data-key='/keys']").await?;
    eventually("the menu leads to its page", Duration::from_secs(5), async || {
        (phone.client.current_url().await.ok()?.path() == "/keys").then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_loaded_is_not_said_to_be_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    furnish(&stack).await?;
    // Pages of both programs: going from one to the other loads the page anew.
    let (explore, staff) = (Browser::start().await?, Browser::start().await?);
    for (browser, address) in [(&explore, "/explore?r=1h"), (&staff, "/account")] {
        browser.visit(&stack, address, stack.as_admin()?.token()).await?;
        browser.client.wait().for_element(Locator::Css("main h1")).await?;
    }
    // The database turns everybody away. The pages that are open go on to others.
    let (url, name) = stack.database_url().rsplit_once('/').context("no database")?;
    let mut beside = PgConnection::connect(&format!("{url}/postgres")).await?;
    for statement in [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut beside).await?;
    }
    for address in addresses().filter(|address| !["/", "/setup", "/account"].contains(address)) {
        let browser = if address == "/explore" { &explore } else { &staff };
        let go =
            format!("history.pushState(null, '', '{address}'); dispatchEvent(new PopStateEvent('popstate'))");
        browser.run(&go).await?;
        // Incidents are pushed, dead letters are the broker's, and the pipeline says of each service whether it answers.
        let is_known = ["/incidents", "/dead-letters", "/pipeline", "/wall"].contains(&address);
        let said = format!(
            "if (document.querySelector('main .skeleton, main [aria-busy=true]')) return null; \
             if ({} && !document.querySelector('main [role=alert]')) return null; \
             return [...document.querySelectorAll('main .empty-title')].map(title => title.innerText)",
            !is_known
        );
        let said =
            eventually(&format!("{address} says what is wrong"), Duration::from_secs(20), async || {
                serde_json::from_value::<Vec<String>>(browser.run(&said).await.ok()?).ok()
            })
            .await?;
        ensure!(is_known || said.iter().all(|title| title == "Could not be loaded."), "{address}: {said:?}");
        // Numbers of the range before are not shown for this one's.
        let numbers = browser.run("return document.querySelectorAll('main [data-value]').length").await?;
        ensure!(is_known || numbers == 0, "{address} shows {numbers} numbers");
        browser.is_accessible(&format!("{address} without the database")).await?;
        browser.screenshot(&format!("away{}.png", address.replace('/', "-")), 1440, 900, "light").await?;
    }
    // Opened now, a page about one advertiser does not know which there are: that is not to be none.
    for address in ["/statement", "/links", "/campaigns", "/ads", "/test-clicks", "/campaigns/c", "/ads/a"] {
        staff.visit(&stack, address, stack.as_admin()?.token()).await?;
        staff
            .client
            .wait()
            .for_element(Locator::Css(".frame main .problem[role=alert]"))
            .await
            .context(address)?;
        let text = staff.text().await?;
        ensure!(!text.contains("No advertisers yet."), "{address}: {text}");
    }
    staff
        .looks(&[
            ("unknown-light.png", 1440, 900, "light"),
            ("unknown-dark.png", 1440, 900, "dark"),
            ("unknown-phone.png", 390, 844, "light"),
            ("unknown-4k.png", 3840, 2160, "light"),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_the_week_sums_up_to_the_total() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    furnish(&stack).await?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/explore?r=7d&z=Asia/Tokyo", &Stack::viewer_token("adv_001")).await?;
    // The button is below the chart, and moves when the chart comes.
    browser.client.wait().for_element(Locator::Css("[data-testid=explore-chart]")).await?;
    browser.click("[data-testid=hours-of-week]").await?;
    // The numbers of hours may have grown between two answers; an answer is one.
    let sums = "const number = element => Number(element.dataset.value); \
                const cells = [...document.querySelectorAll('[data-testid=heat] td[data-value]')].map(number); \
                const total = document.querySelector('[data-testid=total-clicks][data-value]'); \
                if (cells.length != 168 || !total || document.querySelector('.asking')) return null; \
                return [cells.reduce((a, b) => a + b), number(total), cells.filter(Boolean).length, \
                        document.querySelectorAll('.explore-rows .rows tbody tr').length]";
    let [sum, total, hours, rows] = eventually("the map is there", Duration::from_secs(10), async || {
        serde_json::from_value::<[i64; 4]>(browser.run(sums).await.ok()?).ok()
    })
    .await?;
    ensure!(sum == total && total > 0, "{sum} of {total}");
    ensure!(hours == rows && (1..=2).contains(&hours), "{hours} hours, {rows} rows: an hour of history");
    let address = browser.client.current_url().await?;
    ensure!(address.query().is_some_and(|query| query.contains("by=weekday,hour")), "{address}");
    browser
        .looks(&[
            ("week-light.png", 1440, 900, "light"),
            ("week-dark.png", 1440, 900, "dark"),
            ("week-phone.png", 390, 844, "light"),
        ])
        .await?;
    // A campaign of it has its own title, and countries their names.
    browser.visit(&stack, "/explore?by=country&f=campaign:camp_001", &Stack::viewer_token("adv_001")).await?;
    browser.client.wait().for_element(Locator::Css(".explore-rows tbody th a")).await?;
    let title = browser.client.find(Locator::Css("main h1")).await?.text().await?;
    ensure!(title.matches(" › ").count() == 1 && !title.contains("camp_001"), "{title}");
    let names = "return [...document.querySelectorAll('.explore-rows tbody th')].map(cell => cell.innerText)";
    let names: Vec<String> = serde_json::from_value(browser.run(names).await?)?;
    ensure!(!names.is_empty() && names.iter().all(|name| name.len() > 2), "{names:?}");
    browser.screenshot("campaign-countries.png", 1440, 900, "light").await
}
