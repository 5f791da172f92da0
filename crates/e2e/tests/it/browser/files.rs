//! Files: those that schedules make, and those that a page's menu saves.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::json;

use super::{Browser, dead_letters::signed_in, live};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_is_made_makes_a_file_and_is_deleted() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 20).await?;
    live::counted(&stack, 20).await?;
    let browser = Browser::start().await?;
    browser.visit(&stack, "/reports?z=UTC", stack.as_admin()?.token()).await?;
    browser.sees("No schedules yet").await?;
    browser.sees("No files").await?;
    browser.screenshot("reports-empty.png", 1440, 900, "light").await?;

    browser.click(".sheet-actions .primary").await?;
    browser.fill("#schedule-name", "Daily <numbers>").await?;
    browser.choose("#schedule-advertiser", "adv_001").await?;
    browser.choose("#schedule-format", "ndjson").await?;
    browser.fill("#schedule-hour", "24").await?;
    browser.click(".drawer .form .primary").await?;
    ensure!(browser.fault_of("schedule-hour").await?.contains("0 to 23"));
    browser.fill("#schedule-hour", "5").await?;
    browser.fill("#schedule-webhook", "http://shop.example/").await?;
    browser.click(".drawer .form .primary").await?;
    ensure!(browser.fault_of("schedule-webhook").await?.contains("https"));
    browser
        .looks(&[
            ("schedule-new.png", 1440, 1000, "light"),
            ("schedule-new-dark.png", 1440, 1000, "dark"),
            ("schedule-new-phone.png", 390, 844, "light"),
        ])
        .await?;
    let field = browser.client.find(Locator::Css("#schedule-webhook")).await?;
    // Control and A, let go, then backspace: a person's way to empty a field.
    field.send_keys("\u{E009}a\u{E000}\u{E003}").await?;
    browser.click(".drawer .form .primary").await?;
    browser.sees("The schedule is created").await?;
    browser.sees("Daily <numbers>").await?;
    browser.sees("Every day at 05:00, UTC").await?;

    // Its hour has come.
    // About a day that is final.
    let due = "UPDATE report_schedules SET next_at = now() - INTERVAL '10 minutes'";
    sqlx::query(due).execute(stack.database()).await?;
    eventually("there is a file", Duration::from_secs(40), async || {
        browser.client.refresh().await.ok()?;
        browser.sees("Files").await.ok()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        browser.client.find(Locator::Css("[data-key=fetch]")).await.ok().map(drop)
    })
    .await?;
    browser.sees("Numbers by Campaign, NDJSON").await?;
    browser
        .looks(&[
            ("reports-full.png", 1440, 900, "light"),
            ("reports-full-dark.png", 1440, 900, "dark"),
            ("reports-full-phone.png", 360, 780, "light"),
        ])
        .await?;

    // Its advertiser's people have the file, and see no schedules; others have neither.
    let other = Browser::start().await?;
    for (advertiser, files) in [("adv_001", 1), ("adv_002", 0)] {
        other.visit(&stack, "/reports", &Stack::viewer_token(advertiser)).await?;
        eventually("the files of a viewer", Duration::from_secs(10), async || {
            if other.client.find(Locator::Css("[aria-busy]")).await.is_ok() {
                return None;
            }
            other.client.find(Locator::Css(".rows")).await.ok()?;
            let found = other.client.find_all(Locator::Css("[data-key=fetch]")).await.ok()?;
            (found.len() == files).then_some(())
        })
        .await?;
        let text = other.text().await?;
        ensure!(!text.contains("Daily <numbers>") && !text.contains("New schedule"), "{text}");
    }

    browser.click(".part [data-key=delete]").await?;
    browser.sees("stay until they expire").await?;
    browser.click("dialog .primary").await?;
    browser.sees("No schedules yet").await?;
    browser.click("[data-key=delete]").await?;
    browser.sees("Nobody can fetch it").await?;
    browser.click("dialog .primary").await?;
    browser.sees("No files").await
}

/// The file that the browser has saved, once it is whole.
pub(super) async fn saved(folder: &Path, ending: &str) -> Result<Vec<u8>> {
    eventually(&format!("a file that ends in {ending} is saved"), Duration::from_secs(20), async || {
        let mut names = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        // What is still on its way has another ending.
        let path = names.find(|path| path.extension().is_some_and(|found| found == ending))?;
        let bytes = std::fs::read(&path).ok().filter(|bytes| !bytes.is_empty())?;
        std::fs::remove_file(path).ok()?;
        Some(bytes)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_from_the_menu_has_what_the_page_shows_whoever_opens_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 60).await?;
    live::counted(&stack, 60).await?;
    // By a cookie the browser saves the file itself, by a token the page does.
    let by_cookie = signed_in(&stack, "anna", "admin", "/account").await?;
    by_cookie
        .client
        .goto(&format!("{}/explore?a=adv_001&r=1h&z=UTC&by=campaign", stack.server_url()))
        .await?;
    let by_token = Browser::start().await?;
    by_token.visit(&stack, "/explore?r=1h&z=UTC&by=campaign", &Stack::viewer_token("adv_001")).await?;
    for browser in [by_cookie, by_token] {
        let folder = tempfile::TempDir::new()?;
        let allowed = json!({"behavior": "allow", "downloadPath": folder.path()});
        browser.devtools("Browser.setDownloadBehavior", allowed).await?;
        let shown = eventually("the report is there", Duration::from_secs(10), async || {
            browser.number("total-clicks").await.filter(|clicks| *clicks > 0.0)
        })
        .await?;
        let choose = async |format: &str| -> Result<()> {
            browser.click("[aria-haspopup=menu][aria-label=Export]").await?;
            browser.click(&format!("[role=menuitem][data-key={format}]")).await
        };
        choose("csv").await?;
        let text = String::from_utf8(saved(folder.path(), "csv").await?)?;
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        let head: Vec<&str> = lines.next().context("an empty file")?.split(',').collect();
        let clicks = head.iter().position(|name| *name == "clicks").with_context(|| format!("{head:?}"))?;
        let rows: Vec<f64> = lines
            .map(|line| anyhow::Ok(line.split(',').nth(clicks).context("a short line")?.parse()?))
            .collect::<Result<_>>()?;
        ensure!(rows.iter().sum::<f64>() == shown, "{rows:?} are not {shown}");
        for (format, begins) in [("xlsx", b"PK\x03\x04"), ("parquet", b"PAR1")] {
            choose(format).await?;
            let bytes = saved(folder.path(), format).await?;
            ensure!(bytes.starts_with(begins), "{format} begins with {:?}", &bytes[..4]);
        }
    }
    Ok(())
}
