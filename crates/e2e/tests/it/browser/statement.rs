//! The statement: its sums are the API's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};

use super::{Browser, live};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_a_month_are_those_of_the_api() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
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
