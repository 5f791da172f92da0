//! People who bill see everybody's numbers, and neither single clicks nor people, by whichever door they ask.

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, people::Person};
use serde_json::{Value, json};

const RELEASED: &str = "INSERT INTO adjustments \
    (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
    VALUES (gen_random_uuid(), now() - INTERVAL '25 min', 'adv_001', 'givt', 'valid', 'account:root', 'a mistake')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finance_sees_numbers_of_all_and_no_clicks_by_any_door() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    sqlx::query(RELEASED).execute(stack.database()).await?;
    let password = stack.account("fritz", "finance", &[]).await?;
    let fritz = Person::sign_in(stack.server_url(), "fritz", &password).await?;
    let session = fritz.send("GET /api/v1/session", "").await?;
    ensure!(session.body["role"] == "finance" && session.body["advertisers"] == json!(null), "{session:?}");

    let changes = fritz.send("GET /api/v1/adjustments?advertiser_id=adv_001", "").await?;
    let change = &changes.body["data"][0];
    ensure!(change["to_disposition"] == "valid" && change["actor"] == "operator", "{changes:?}");

    let ask = async |question: &str| {
        fritz.send("POST /api/v1/graphql", &json!({ "query": question }).to_string()).await
    };
    let numbers = ask("{ summary { totals { received } } advertisers { nodes { advertiserId } } }").await?;
    ensure!(numbers.body["errors"] == Value::Null, "{numbers:?}");
    for question in ["{ clicks { nodes { clickId } } }", "{ incidents { nodes { alertId } } }"] {
        let answer = ask(question).await?;
        ensure!(answer.body["errors"][0]["extensions"]["code"] == "forbidden", "{question}: {answer:?}");
    }

    let job = async |kind: &str| {
        fritz.send("POST /api/v1/exports/jobs", &json!({"kind": kind, "parameters": {}}).to_string()).await
    };
    let (breakdown, clicks) = (job("timeseries").await?, job("clicks").await?);
    ensure!((breakdown.status, clicks.status) == (202, 403), "{breakdown:?} {clicks:?}");

    // A file of clicks that somebody else's schedule has left is not its to fetch.
    let job_id: uuid::Uuid = sqlx::query_scalar(
        "UPDATE export_jobs SET kind = 'clicks', status = 'done', claim = NULL RETURNING job_id",
    )
    .fetch_one(stack.database())
    .await?;
    let file = fritz.send(&format!("GET /api/v1/exports/jobs/{job_id}/file"), "").await?;
    ensure!(file.status == 403, "{file:?}");
    Ok(())
}
