//! The statement: its sums are the API's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{DAY, Stack, eventually, room_in};
use fantoccini::Locator;
use serde_json::{Value, json};
use time::{OffsetDateTime, Time};
use uuid::{Builder, Uuid};

use super::{Browser, live};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_a_month_are_those_of_the_api() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    room_in(DAY, Duration::from_secs(60)).await;
    live::post(&stack, 200).await?;
    live::counted(&stack, 200).await?;
    let viewer = Stack::viewer_token("adv_001");
    let browser = Browser::start().await?;
    browser.visit(&stack, "/statement?z=UTC", &viewer).await?;
    let total = eventually("the month is there", Duration::from_secs(10), async || {
        browser.number("statement-billable").await
    })
    .await?;
    ensure!(total > 0.0, "nothing is billed");
    let month = time::OffsetDateTime::now_utc();
    let start = format!("{:04}-{:02}-01T00:00:00Z", month.year(), u8::from(month.month()));
    let path = format!(
        "/api/v1/analytics/breakdown?advertiser_id=adv_001&group_by=campaign_id&order_by=-billable&start_time={start}&time_zone=UTC"
    );
    let (status, body) = stack.as_viewer("adv_001")?.connection().get(&path).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    let api: Value = serde_json::from_slice(&body)?;
    ensure!(api["totals"]["billable"].as_f64() == Some(total), "{} is not {total}", api["totals"]);
    for metric in ["fraud_count", "duplicates", "received"] {
        let shown = browser.number(&format!("statement-{metric}")).await;
        ensure!(shown == api["totals"][metric].as_f64(), "{metric}: {shown:?}");
    }
    // Row by row, and the foot.
    let column = "return [...document.querySelectorAll('.statement > .rows tbody tr')].map(row => \
        [row.querySelector('[data-label=ID]').innerText.trim(), Number(row.querySelector('[data-label=Billable]').innerText.replaceAll(',', ''))])";
    let shown = browser.run(column).await?;
    let rows = api["rows"].as_array().context("no rows")?;
    let expected: Vec<Value> = rows.iter().map(|row| json!([row["campaign_id"], row["billable"]])).collect();
    ensure!(shown == json!(expected), "{shown} is not {expected:?}");
    let sum: i64 = rows.iter().filter_map(|row| row["billable"].as_i64()).sum();
    ensure!(sum as f64 == total, "rows sum up to {sum}, not to {total}");
    let foot = browser.client.find(Locator::Css(".statement tfoot td")).await?.text().await?;
    ensure!(foot.replace(',', "") == sum.to_string(), "{foot}");
    // The file of the menu has the same.
    let folder = tempfile::TempDir::new()?;
    let allowed = json!({"behavior": "allow", "downloadPath": folder.path()});
    browser.devtools("Browser.setDownloadBehavior", allowed).await?;
    browser.click("[aria-haspopup=menu][aria-label=Export]").await?;
    browser.click("[role=menuitem][data-key=csv]").await?;
    let file = String::from_utf8(super::files::saved(folder.path(), "csv").await?)?;
    let mut lines = file.trim_start_matches('\u{feff}').lines();
    let head: Vec<&str> = lines.next().context("an empty file")?.split(',').collect();
    let billable = head.iter().position(|name| *name == "billable").with_context(|| format!("{head:?}"))?;
    let billed: f64 = lines.filter_map(|line| line.split(',').nth(billable)?.parse::<f64>().ok()).sum();
    ensure!(billed == total, "the file bills {billed}, the page {total}");
    // The present month is not over.
    browser.sees("So far").await?;
    browser
        .looks(&[
            ("statement-full-light.png", 1440, 900, "light"),
            ("statement-full-dark.png", 1440, 900, "dark"),
            ("statement-full-phone.png", 360, 900, "light"),
        ])
        .await?;
    // On paper: whose, when, and the numbers; nothing that can be pressed.
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "print"})).await?;
    let text = browser.text().await?;
    for expected in ["Billable", "Total", "adv_001", "UTC"] {
        ensure!(text.contains(expected), "{expected}: {text}");
    }
    for absent in ["Export", "Explore", "Print"] {
        ensure!(!text.contains(absent), "{absent} is printed: {text}");
    }
    browser.picture("statement-print.png").await?;
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": ""})).await?;

    // A month before is another address, and is final without clicks.
    let before = if month.month() == time::Month::January {
        format!("{:04}-12", month.year() - 1)
    } else {
        format!("{:04}-{:02}", month.year(), u8::from(month.month()) - 1)
    };
    browser.visit(&stack, &format!("/statement?z=UTC&p={before}"), &viewer).await?;
    browser.sees("Nothing was counted").await?;
    ensure!(browser.number("statement-billable").await == Some(0.0));
    browser.client.find(Locator::Css(".unprinted tbody th a")).await?.click().await?;
    eventually("back at the present month", Duration::from_secs(10), async || {
        (browser.number("statement-billable").await? == total).then_some(())
    })
    .await
}

/// Clicks of a moment that is long past, in the ledger and in minutes as if they had been counted then; their ids.
async fn count(stack: &Stack, at: OffsetDateTime, campaigns: &[(&str, &str)]) -> Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for (number, (campaign_id, ad_id)) in (0_u8..).zip(campaigns) {
        let at = at + Duration::from_millis(u64::from(number));
        let at_ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000)?;
        let id = Builder::from_unix_timestamp_millis(at_ms, &[number; 10]).into_uuid();
        sqlx::query(
            "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
               device_type, os, browser, user_id, disposition, stream_seq) \
             VALUES ($1, $2, $2, 'adv_001', $3, $4, 'DE', 'mobile', 'Android', 'Chrome', $5, 'valid', $6)",
        )
        .bind(id)
        .bind(at)
        .bind(campaign_id)
        .bind(ad_id)
        .bind(format!("person {number}"))
        .bind(i64::from(number) + 1)
        .execute(stack.database())
        .await?;
        ids.push(id);
    }
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT date_trunc('minute', clicked_at), advertiser_id, campaign_id, ad_id, country, device_type, count(*) \
           FROM clicks GROUP BY 1, 2, 3, 4, 5, 6",
    )
    .execute(stack.database())
    .await?;
    Ok(ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_month_says_what_was_corrected_and_why() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LEDGER_RETENTION_DAYS", "90");
    // A month that is final: in its first minutes this one's predecessor is not.
    let lately = OffsetDateTime::now_utc() - Duration::from_secs(600);
    let first = lately.replace_day(1)?.replace_time(Time::MIDNIGHT);
    let at = first - Duration::from_secs(3_600);
    let month = format!("{:04}-{:02}", at.year(), u8::from(at.month()));
    let campaigns =
        [("camp_001", "ad_001"), ("camp_001", "ad_001"), ("camp_001", "ad_002"), ("camp_002", "ad_003")];
    let ids = count(&stack, at, &campaigns).await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let viewer = Stack::viewer_token("adv_001");
    let address = format!("/statement?z=UTC&p={month}");
    let browser = Browser::start().await?;
    let shows = async |then: f64, now: f64| {
        browser.visit(&stack, &address, &viewer).await?;
        eventually(&format!("{then} at closing, {now} now"), Duration::from_secs(10), async || {
            let shown = (browser.number("billable-then").await?, browser.number("billable-now").await?);
            (shown == (then, now)).then_some(())
        })
        .await
    };
    eventually("the month is counted", Duration::from_secs(40), async || {
        browser.visit(&stack, &address, &viewer).await.ok()?;
        browser.sees("Corrections since closing").await.ok()?;
        (browser.number("statement-billable").await? == 4.0).then_some(())
    })
    .await?;
    shows(4.0, 4.0).await?;
    browser.sees("No corrections.").await?;
    browser.sees("No verdict was changed.").await?;

    // One was invalid at closing and was released since, one was valid and is so again: the second is no difference.
    for (id, from, to) in [(ids[0], "givt", "valid"), (ids[3], "valid", "sivt"), (ids[3], "sivt", "valid")] {
        sqlx::query(
            "INSERT INTO adjustments (click_id, clicked_at, adjusted_at, advertiser_id, from_disposition, to_disposition, actor, \
               reason) \
             SELECT click_id, clicked_at, least(now(), clicked_at + INTERVAL '8 days'), advertiser_id, $2::disposition, \
                    $3::disposition, 'Olga Ops', 'our own <office>' \
               FROM clicks WHERE click_id = $1",
        )
        .bind(id)
        .bind(from)
        .bind(to)
        .execute(stack.database())
        .await?;
    }
    shows(3.0, 4.0).await?;
    browser.sees("our own <office>").await?;
    let text = browser.text().await?;
    ensure!(!text.contains("Olga"), "an advertiser is told who: {text}");
    let script = "return [...document.querySelectorAll('[data-testid=corrections] [data-label=Difference]')].map(cell => cell.innerText)";
    ensure!(browser.run(script).await? == json!(["+1"]), "one campaign has changed");
    let changes = "return document.querySelectorAll('[aria-label=\"Changed verdicts\"] tbody tr').length";
    ensure!(browser.run(changes).await? == json!(3));
    browser
        .looks(&[
            ("statement-corrections-light.png", 1440, 1400, "light"),
            ("statement-corrections-dark.png", 1440, 1400, "dark"),
            ("statement-corrections-phone.png", 360, 1400, "light"),
        ])
        .await?;
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "print"})).await?;
    let text = browser.text().await?;
    for expected in ["Corrections since closing", "Billable at closing", "+1", "our own <office>"] {
        ensure!(text.contains(expected), "{expected} is not printed: {text}");
    }
    browser.picture("statement-corrections-print.png").await?;
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": ""})).await?;
    // The click is where all is known of it.
    browser.click("[data-testid=corrections] th a[href^='/clicks']").await?;
    browser.client.wait().for_element(Locator::Css("[data-testid=passport]")).await?;

    // One of those that changed nothing came late.
    ensure!(browser.number("received-late").await.is_none(), "another page");
    sqlx::query("UPDATE clicks SET received_at = received_at + INTERVAL '2 days' WHERE click_id = $1")
        .bind(ids[2])
        .execute(stack.database())
        .await?;
    shows(2.0, 4.0).await?;
    ensure!(browser.number("received-late").await == Some(1.0), "one click was late");

    // Another advertiser has neither.
    let other = Stack::viewer_token("adv_002");
    browser.visit(&stack, &address, &other).await?;
    browser.sees("No verdict was changed.").await?;
    Ok(())
}
