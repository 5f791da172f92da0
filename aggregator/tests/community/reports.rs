//! The same questions about the same minutes have the same answers under both licences.

use anyhow::Context as _;
use clickwire_ledger::schema;
use clickwire_protocol::times::UnixMs;
use clickwire_services::{Options, Services};
use serde_json::Value;
use sqlx::PgPool;

use crate::{asked::Asked, pglite, roll_up};

const MINUTES: &str = include_str!("../../../crates/ledger/src/fixture/minutes.sql");

/// 4 November 2026, 10:00 UTC: what is before it is stored as hours and days, what is behind it is not.
const STORED_BEFORE: i64 = 1_793_786_400_000;

const GROUPS: [&str; 5] = ["campaign_id", "ad_id", "country,device_type", "hour_of_day", "weekday"];

/// Returns questions of every kind, over stored hours and days, minutes alone and both.
fn questions() -> Vec<String> {
    // In zones of whole and of broken hours, with days of 23 and 25 hours.
    let ranges = [
        ("start_time=2026-10-19T00:00:00Z&end_time=2026-11-07T00:00:00Z", ["UTC", "America/New_York"]),
        ("start_time=2026-10-24T05:30:00Z&end_time=2026-10-26T18:00:00Z", ["Europe/Berlin", "Asia/Kolkata"]),
        ("start_time=2026-11-05T00:00:00Z&end_time=2026-11-05T06:00:00Z", ["Asia/Kolkata", "UTC"]),
    ];
    let mut questions = Vec::new();
    for (range, zones) in ranges {
        for zone in zones {
            let asked = format!("{range}&time_zone={zone}&advertiser_id=adv_001");
            questions.push(format!("summary?{asked}&compare=previous"));
            for granularity in ["hour", "day", "week", "month"] {
                questions.push(format!("timeseries?{asked}&granularity={granularity}"));
            }
            for group in GROUPS {
                questions.push(format!(
                    "breakdown?{asked}&group_by={group}&order_by=-received&exclude_country=FR"
                ));
            }
        }
        // Minutes of few days only.
        let width = if range == ranges[0].0 { "day" } else { "minute" };
        questions
            .push(format!("timeseries?{range}&granularity={width}&limit=5&group_by=campaign_id&country=DE"));
        questions.push(format!("breakdown?{range}&group_by=ad_id&limit=2&order_by=-billable"));
        questions.push(format!("timeseries?{range}&granularity={width}&group_by=advertiser_id"));
        for group in ["advertiser_id", "advertiser_id,campaign_id"] {
            questions.push(format!("breakdown?{range}&group_by={group}&order_by=-received&compare=previous"));
        }
    }
    questions
}

/// Returns the server's answers about a database that has the minutes. `database` is closed: there may be one
/// connection.
async fn answers(url: &str, database: PgPool, questions: &[String]) -> anyhow::Result<Vec<Value>> {
    sqlx::raw_sql(MINUTES).execute(&database).await?;
    roll_up(&database, UnixMs(STORED_BEFORE)).await?;
    let asked = Asked::start(url, &database).await?;
    let mut connection = asked.server.connection();
    let mut answers = Vec::new();
    for question in questions {
        let (status, body) = connection.get(&format!("/api/v1/analytics/{question}")).await?;
        anyhow::ensure!(status == 200, "{question}: {status} {}", String::from_utf8_lossy(&body));
        let mut answer: Value = serde_json::from_slice(&body)?;
        answer.as_object_mut().and_then(|answer| answer.remove("query_time_ms")).context("no time")?;
        answers.push(answer);
    }
    asked.stop().await?;
    Ok(answers)
}

#[tokio::test]
async fn reports_are_the_same_under_both_licences() {
    let questions = questions();
    let community = pglite::start().await.unwrap();
    schema::migrate(&community.url, false).await.unwrap();
    let theirs = answers(&community.url, community.connect().await.unwrap(), &questions).await.unwrap();

    let services = tokio::task::spawn_blocking(|| Services::start(&Options::temporary(), &|_| ())).await;
    let services = services.unwrap().unwrap();
    let url = services.database_url();
    schema::migrate(url, false).await.unwrap();
    let ours = answers(url, PgPool::connect(url).await.unwrap(), &questions).await.unwrap();

    let mut received = 0;
    for ((question, ours), theirs) in questions.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours, theirs, "{question}");
        received += ours["totals"]["received"].as_i64().unwrap();
    }
    assert!(received > 100_000, "{received}");
    // All three kinds of stored rows were asked.
    let sources = format!("{ours:?}");
    for source in ["\"minutes\"", "\"hours", "\"days"] {
        assert!(sources.contains(source), "{source}");
    }
    services.stop();
}
