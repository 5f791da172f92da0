//! People who bill see everybody's numbers, and neither single clicks nor people, by whichever door they ask.

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, people::Person};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

const RELEASED: &str = "INSERT INTO adjustments \
    (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
    VALUES (gen_random_uuid(), now() - INTERVAL '25 min', 'adv_001', 'givt', 'valid', 'account:root', 'a mistake')";

const HAPPENED: &str = "INSERT INTO alerts (kind, subject, advertiser_id, campaign_id, severity, opened_at, details) VALUES \
       ('lag', 'CLICKS', NULL, NULL, 'critical', now() - INTERVAL '30 min', '{}'), \
       ('fraud_rate', 'adv_001/camp_001', 'adv_001', 'camp_001', 'warning', now() - INTERVAL '1 hour', '{}'); \
    INSERT INTO fraud_rules VALUES ('ip_velocity', 2, 'report_only', '{\"threshold\": 90, \"window_seconds\": 60}', \
       now() - INTERVAL '20 min', 'account:root', 'a reason')";

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
    let (series, clicks) = (job("timeseries").await?, job("clicks").await?);
    ensure!((series.status, clicks.status) == (202, 403), "{series:?} {clicks:?}");

    // Others' jobs: of clicks it is told nothing, of numbers a schedule's alone, and it deletes none.
    let of_others = [
        ("operators", None, "clicks", 404, 404),
        ("operators", None, "breakdown", 404, 404),
        ("account:1", Some("adv_001"), "breakdown", 404, 404),
        ("schedule:1", Some("adv_001"), "clicks", 404, 404),
        ("schedule:2", None, "breakdown", 200, 403),
    ];
    for (owner, advertiser, kind, shown, deleted) in of_others {
        let job_id: Uuid = sqlx::query_scalar(
            "INSERT INTO export_jobs (job_id, created_at, expires_at, owner, owner_name, advertisers, kind, parameters, extension, status) \
             VALUES (gen_random_uuid(), now(), now() + INTERVAL '1 hour', $1, 'somebody', $2, $3, '{\"user_id\": \"anna\"}', 'csv', 'done') \
             RETURNING job_id",
        )
        .bind(owner)
        .bind(advertiser.map(|advertiser| vec![advertiser]))
        .bind(kind)
        .fetch_one(stack.database())
        .await?;
        let path = format!("/api/v1/exports/jobs/{job_id}");
        for (request, expected) in [
            (format!("GET {path}"), shown),
            (format!("GET {path}/file"), shown),
            (format!("DELETE {path}"), deleted),
        ] {
            let answer = fritz.send(&request, "").await?;
            ensure!(answer.status == expected, "{request} of {owner}, {kind}: {answer:?}");
        }
        let listed = fritz.send("GET /api/v1/exports/jobs", "").await?.body.to_string();
        ensure!(listed.contains(&job_id.to_string()) == (shown == 200), "{owner}, {kind}: {listed}");
    }

    // What happened is told without incidents.
    sqlx::raw_sql(AssertSqlSafe(HAPPENED)).execute(stack.database()).await?;
    let told = fritz.send("GET /api/v1/analytics/annotations", "").await?.body;
    let kinds: Vec<&str> =
        told["data"].as_array().into_iter().flatten().filter_map(|one| one["kind"].as_str()).collect();
    ensure!(kinds.contains(&"outage") && !kinds.contains(&"incident"), "{told}");
    ensure!(told["data"].as_array().into_iter().flatten().all(|one| one["alert_id"].is_null()), "{told}");
    ensure!(!told.to_string().contains("report_only"), "{told}");
    Ok(())
}
