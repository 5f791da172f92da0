//! Files of schedules reach the receiver's address, whatever it answers and whichever server dies; and each is the
//! file that can be fetched.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, raw};
use serde_json::{Value, json};
use time::{OffsetDateTime, Time, format_description::well_known::Rfc3339};

use super::{
    live::counted,
    receiver::{Receiver, SILENCE},
};

const PATIENCE: Duration = Duration::from_secs(30);
const SCHEDULES: &str = "/api/v1/admin/report-schedules";
const SECRET: &str = "report-secret-of-the-tests";

fn headers(token: &str) -> String {
    format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n")
}

fn wanted(format: &str, webhook_url: &str) -> Value {
    json!({"name": format!("as {format}"), "advertiser_id": "adv_001", "kind": "clicks",
        "parameters": {"format": format}, "every": "day", "time_zone": "UTC", "hour": 0, "webhook_url": webhook_url})
}

/// Schedules whose hour has come, about yesterday and 8 clicks of its last second.
async fn due(stack: &Stack, schedules: &[Value]) -> Result<()> {
    // The last one, or the one before where the last one's day is not final yet.
    let midnight = (OffsetDateTime::now_utc() - Duration::from_secs(600)).replace_time(Time::MIDNIGHT);
    let clicked_at = (midnight - Duration::from_secs(1)).format(&Rfc3339)?;
    let mut poster = stack.poster()?;
    for _ in 0..8 {
        let click = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001", "clicked_at": clicked_at});
        let (status, _) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        ensure!(status == 202, "{status}");
    }
    counted(stack, 8).await?;
    for schedule in schedules {
        let admin = headers(stack.as_admin()?.token());
        let created =
            raw::post(stack.server_url(), SCHEDULES, &admin, schedule.to_string().as_bytes()).await?;
        ensure!(created.status == 201, "{created:?}");
        ensure!(created.body["webhook_url"] == schedule["webhook_url"], "{created:?}");
    }
    let now = sqlx::query("UPDATE report_schedules SET next_at = $1").bind(midnight);
    now.execute(stack.database()).await?;
    Ok(())
}

/// Jobs of schedules, once each is delivered or given up.
async fn settled(stack: &Stack, jobs: usize) -> Result<Vec<Value>> {
    let admin = headers(stack.as_admin()?.token());
    eventually("every file is delivered or given up", PATIENCE, async || {
        let list = raw::send(stack.server_url(), "GET /api/v1/exports/jobs", &admin, b"").await.ok()?;
        let list = list.body["data"].as_array()?.clone();
        let is_settled = |job: &Value| job["delivery"] == "delivered" || job["delivery"] == "given_up";
        (list.len() == jobs && list.iter().all(is_settled)).then_some(list)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sent_until_it_is_taken_and_is_the_one_to_fetch() -> Result<()> {
    // A redirect is no answer: it may lead anywhere.
    let receivers =
        [Receiver::start(SECRET, &[500, 302, 204]).await?, Receiver::start(SECRET, &[200]).await?];
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_REPORT_WEBHOOK_SECRET", SECRET);
    let _aggregator = stack.start_aggregator().await?;
    // Two look for what is due.
    let servers = [stack.start_server().await?, stack.start_server().await?];
    due(&stack, &[wanted("csv", &receivers[0].url), wanted("parquet", &receivers[1].url)]).await?;
    let jobs = settled(&stack, 2).await?;
    for (receiver, format, attempts) in [(&receivers[0], "csv", 3), (&receivers[1], "parquet", 1)] {
        let job = jobs.iter().find(|job| job["parameters"]["format"] == format).context("no job")?;
        assert_eq!(job["delivery"], "delivered");
        let path = job["file"].as_str().context("no file")?;
        let (status, file) = stack.as_admin()?.connection().get(path).await?;
        ensure!(status == 200 && file.len() > 100, "{status}");
        let posts = receiver.posts()?;
        assert_eq!(posts.len(), attempts, "{format}");
        for post in &posts {
            assert_eq!(post.body, file, "{format}");
            assert_eq!(Some(post.delivery()?), job["job_id"].as_str());
            assert_eq!(post.header("content-length")?, file.len().to_string());
            ensure!(post.header("content-disposition")?.ends_with(&format!(".{format}\"")), "{post:?}");
        }
    }
    let mut counted = [0.0, 0.0];
    for server in &servers {
        for (sum, outcome) in counted.iter_mut().zip(["delivered", "failed"]) {
            let name = format!("clickwire_report_webhooks_total{{outcome=\"{outcome}\"}}");
            *sum += server.metric(&name).await.unwrap_or_default();
        }
    }
    assert_eq!(counted, [2.0, 2.0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_with_a_silent_receiver_leaves_the_file_to_another() -> Result<()> {
    let receiver = Receiver::start(SECRET, &[SILENCE, 200]).await?;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_REPORT_WEBHOOK_SECRET", SECRET);
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    due(&stack, &[wanted("ndjson", &receiver.url)]).await?;
    eventually("the file was sent", PATIENCE, async || (receiver.posts().ok()?.len() == 1).then_some(()))
        .await?;
    server.kill().await?;
    let _server = stack.start_server().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.posts()?.len(), 1, "whoever sends it may still be there");
    let later = "UPDATE export_jobs SET delivery_due = now()";
    sqlx::query(later).execute(stack.database()).await?;
    assert_eq!(settled(&stack, 1).await?[0]["delivery"], "delivered");
    let posts = receiver.posts()?;
    assert_eq!(posts.len(), 2);
    assert_eq!((posts[0].delivery()?, &posts[0].body), (posts[1].delivery()?, &posts[1].body));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_nobody_takes_for_a_day_is_given_up_and_can_be_fetched() -> Result<()> {
    let receiver = Receiver::start(SECRET, &[503]).await?;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_REPORT_WEBHOOK_SECRET", SECRET);
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    due(&stack, &[wanted("csv", &receiver.url)]).await?;
    eventually("it was tried", PATIENCE, async || (!receiver.posts().ok()?.is_empty()).then_some(())).await?;
    let a_day_later =
        "UPDATE export_jobs SET created_at = created_at - INTERVAL '25 hours', delivery_due = now()";
    sqlx::query(a_day_later).execute(stack.database()).await?;
    let jobs = settled(&stack, 1).await?;
    assert_eq!((&jobs[0]["status"], &jobs[0]["delivery"]), (&json!("done"), &json!("given_up")));
    let path = jobs[0]["file"].as_str().context("no file")?;
    assert_eq!(stack.as_admin()?.connection().get(path).await?.0, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_needs_a_secret_and_tls() -> Result<()> {
    let mut stack = Stack::new().await?;
    for (secret, address, status) in [
        (None, "https://reports.example/", 400),
        (Some(SECRET), "http://reports.example/", 400),
        (Some(SECRET), "reports.example", 400),
        (Some(SECRET), "https://anna:secret@reports.example/", 400),
        (Some(SECRET), "https://reports.example/", 201),
    ] {
        if let Some(secret) = secret {
            stack.set("CLICKWIRE_REPORT_WEBHOOK_SECRET", secret);
        }
        let server = stack.start_server().await?;
        let admin = headers(stack.as_admin()?.token());
        let body = wanted("csv", address).to_string();
        let answer = raw::post(stack.server_url(), SCHEDULES, &admin, body.as_bytes()).await?;
        assert_eq!(answer.status, status, "{secret:?} {address}: {answer:?}");
        let is_named = answer.body["error"]["fieldErrors"]["webhook_url"].is_array();
        assert_eq!(is_named, status == 400, "{answer:?}");
        server.kill().await?;
    }
    Ok(())
}
