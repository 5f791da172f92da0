//! The server does what its OpenAPI document says: every operation is called, and every answer
//! compared with what is said of it.

mod document;
mod inputs;
mod matrix;
mod records;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use self::document::Document;

const PATIENCE: Duration = Duration::from_secs(20);

const JSON: &str = "content-type: application/json\r\n";

/// A header that opens something.
fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Calls operations and compares what is answered with the document.
struct Caller<'a> {
    url: &'a str,
    document: &'a Document,
    /// The operations that were answered with success.
    done: BTreeSet<String>,
}

impl Caller<'_> {
    /// The answer's body; status and body must be as expected and as the document says.
    async fn call(&mut self, request: &str, headers: &str, body: &str, status: u16) -> Result<Value> {
        let operation = self.document.operation(request)?;
        let answer = raw::send(self.url, request, headers, body.as_bytes()).await?;
        ensure!(answer.status == status, "{request} {body}: {answer:?}");
        self.document.judge(&operation, &answer).with_context(|| format!("{request} {body}: {answer:?}"))?;
        if status < 400 {
            self.done.insert(format!("{} {}", operation.method, operation.path));
            if let Ok(body) = serde_json::from_str(body) {
                self.document.judge_body(&operation, &body).with_context(|| format!("{request} {body}"))?;
            }
        }
        Ok(answer.body)
    }

    /// With a JSON body, or none if it is null.
    async fn json(&mut self, request: &str, headers: &str, body: &Value, status: u16) -> Result<Value> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let content_type = if body.is_null() { "" } else { JSON };
        self.call(request, &format!("{headers}{content_type}"), &text, status).await
    }

    /// Several, of which only status and form of the answers matter.
    async fn all(&mut self, headers: &str, calls: &[(&str, Value, u16)]) -> Result<()> {
        for (request, body, status) in calls {
            self.json(request, headers, body, *status).await?;
        }
        Ok(())
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer} in {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_what_the_document_says() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    // It makes the table of clicks.
    let _lake = stack.start_lake().await?;
    let document = Document::served_by(stack.server_url()).await?;
    let mut caller = Caller { url: stack.server_url(), document: &document, done: BTreeSet::new() };

    clicks(&mut caller).await?;
    anybody(&mut caller).await?;
    viewers(&mut caller).await?;
    let admin = bearer(stack.as_admin()?.token());
    begins(&mut caller, "/api/v1/live/sse/alerts", &admin).await?;
    registry(&mut caller, &admin).await?;
    records::verdicts(&mut caller, &admin, &stack).await?;
    records::dead_letters(&mut caller, &admin, &stack).await?;
    accounts(&mut caller, &admin).await?;

    let called = caller.done;
    let all: BTreeSet<_> = document
        .operations()
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    assert_eq!(
        all.difference(&called).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "never called with success"
    );
    Ok(())
}

async fn clicks(caller: &mut Caller<'_>) -> Result<()> {
    let poster = format!("x-api-key: {}\r\n", Stack::ingest_key());
    let once = format!("{poster}idempotency-key: once\r\n");
    let click = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001", "user_id": "u",
        "ip_address": "192.0.2.1", "user_agent": "curl/8", "country": "DE", "device_type": "tv"});
    let mut other = click.clone();
    other["ad_id"] = json!("ad_002");
    let post = "POST /api/v1/clicks";
    caller.json(post, &once, &click, 202).await?;
    caller.json(post, &once, &click, 202).await?;
    caller.json(post, &once, &other, 422).await?;
    let wrong = json!({"price": 1});
    caller.json(post, &poster, &wrong, 400).await?;
    caller.call(post, &poster, "{}", 415).await?;
    caller.call(post, &format!("{poster}{JSON}"), &" ".repeat(20_000), 413).await?;

    let batch = "POST /api/v1/clicks/batch";
    caller.json(batch, &poster, &json!([click, click]), 202).await?;
    let lines = format!("{poster}content-type: application/x-ndjson\r\n");
    caller.call(batch, &lines, &format!("{click}\n{wrong}\n"), 202).await?;
    caller.json(batch, &poster, &json!([wrong]), 400).await?;
    caller.json(batch, &poster, &json!([]), 400).await?;
    caller.call(batch, &poster, "[]", 415).await?;
    caller.json(batch, &poster, &json!(vec![json!({}); 5_001]), 413).await?;
    Ok(())
}

async fn anybody(caller: &mut Caller<'_>) -> Result<()> {
    for path in ["/api/v1/openapi.json", "/livez", "/readyz", "/health"] {
        caller.call(&format!("GET {path}"), "", "", 200).await?;
    }
    caller.call("GET /r/ad_001", "", "", 302).await?;
    caller.call("GET /r/nowhere", "", "", 404).await?;
    caller.call("GET /api/v1/live", "", "", 426).await?;
    let (_socket, response) =
        connect_async(format!("{}/api/v1/live", caller.url.replace("http", "ws"))).await?;
    assert_eq!(response.status().as_u16(), 101);
    caller.done.insert("GET /api/v1/live".to_owned());
    caller.call("GET /api/v1/graphql", "", "", 426).await?;
    let (_socket, response) =
        connect_async(format!("{}/api/v1/graphql", caller.url.replace("http", "ws"))).await?;
    assert_eq!(response.status().as_u16(), 101);
    caller.done.insert("GET /api/v1/graphql".to_owned());
    Ok(())
}

/// Calls an operation whose answer has no end, and looks at its beginning only.
async fn begins(caller: &mut Caller<'_>, path: &str, headers: &str) -> Result<()> {
    let request = format!("GET {path}");
    let answer = raw::head(caller.url, &request, headers, b"").await?;
    ensure!(answer.status == 200, "{request}: {answer:?}");
    caller.done.insert(request);
    Ok(())
}

async fn viewers(caller: &mut Caller<'_>) -> Result<()> {
    begins(caller, "/api/v1/live/sse", &bearer(&Stack::viewer_token("adv_001"))).await?;
    let aggregate = "GET /api/v1/analytics/aggregate";
    let calls = [
        (aggregate.to_owned(), 200),
        (format!("{aggregate}?granularity=hour&group_by=campaign_id,ad_id,country,device_type"), 200),
        (format!("{aggregate}?granularity=second&unknown=1"), 400),
        (format!("{aggregate}?advertiser_id=adv_002"), 403),
        ("GET /api/v1/analytics/summary?compare=previous&unique_users=true".to_owned(), 200),
        ("GET /api/v1/analytics/summary?time_zone=Nowhere".to_owned(), 400),
        ("GET /api/v1/analytics/summary?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/analytics/breakdown?group_by=os,campaign_id,weekday&limit=1&compare=year".to_owned(), 200),
        ("GET /api/v1/analytics/breakdown?group_by=advertiser_id,campaign_id&limit=1&compare=previous".to_owned(), 200),
        ("GET /api/v1/analytics/breakdown".to_owned(), 400),
        ("GET /api/v1/analytics/breakdown?group_by=os&advertiser_id=adv_002".to_owned(), 403),
        (
            "GET /api/v1/analytics/timeseries?granularity=day&time_zone=Asia/Kolkata&group_by=country&compare=previous"
                .to_owned(),
            200,
        ),
        ("GET /api/v1/analytics/timeseries?granularity=second".to_owned(), 400),
        ("GET /api/v1/analytics/timeseries?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/analytics/annotations".to_owned(), 200),
        ("GET /api/v1/analytics/annotations?start_time=yesterday".to_owned(), 400),
        ("GET /api/v1/analytics/annotations?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/clicks".to_owned(), 200),
        ("GET /api/v1/clicks?disposition=none".to_owned(), 400),
        ("GET /api/v1/clicks?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/adjustments".to_owned(), 200),
        ("GET /api/v1/adjustments?since=yesterday".to_owned(), 400),
        ("GET /api/v1/adjustments?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/exports/clicks".to_owned(), 200),
        ("GET /api/v1/exports/clicks?format=pdf".to_owned(), 400),
        ("GET /api/v1/exports/breakdown?group_by=country".to_owned(), 200),
        ("GET /api/v1/exports/timeseries?granularity=hour&format=ndjson".to_owned(), 200),
        ("GET /api/v1/exports/timeseries?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/live/poll?group_by=campaign_id".to_owned(), 200),
        ("GET /api/v1/live/poll?since=nothing".to_owned(), 400),
        ("GET /api/v1/live/poll?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/live/sse?window_minutes=0".to_owned(), 400),
        ("GET /api/v1/live/sse?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/advertisers".to_owned(), 200),
        ("GET /api/v1/advertisers?limit=0".to_owned(), 400),
        ("GET /api/v1/settings".to_owned(), 200),
        ("GET /api/v1/campaigns".to_owned(), 200),
        ("GET /api/v1/campaigns?advertiser_id=a&advertiser_id=b".to_owned(), 400),
        ("GET /api/v1/campaigns?advertiser_id=adv_002".to_owned(), 403),
        ("GET /api/v1/campaigns?campaign_id=camp_001".to_owned(), 200),
        ("GET /api/v1/campaigns?campaign_id=".to_owned(), 400),
        ("GET /api/v1/ads?campaign_id=camp_001&search=AD_&limit=1".to_owned(), 200),
        ("GET /api/v1/ads?ad_id=ad_001".to_owned(), 200),
        ("GET /api/v1/ads?ad_id=not%20an%20id".to_owned(), 400),
        ("GET /api/v1/ads?advertiser_id=adv_002".to_owned(), 403),
    ];
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    for (request, status) in calls {
        caller.call(&request, &viewer, "", status).await?;
    }
    let graphql = "POST /api/v1/graphql";
    caller.json(graphql, &viewer, &json!({"query": "{ summary { totals { clicks } } }"}), 200).await?;
    caller.json(graphql, &viewer, &json!({"query": "{ nothing }"}), 200).await?;
    caller.call("GET /api/v1/graphql/schema", &viewer, "", 200).await?;
    caller.json(graphql, &viewer, &json!([]), 400).await?;
    caller.json("POST /api/v1/ads/ad_001/test-click", &viewer, &Value::Null, 202).await?;
    caller.json("POST /api/v1/ads/nowhere/test-click", &viewer, &Value::Null, 404).await?;
    export_jobs(caller, &viewer).await
}

async fn export_jobs(caller: &mut Caller<'_>, viewer: &str) -> Result<()> {
    let jobs = "/api/v1/exports/jobs";
    let wanted = json!({"kind": "breakdown", "parameters": {"group_by": "country", "format": "ndjson"}});
    let job = caller.json(&format!("POST {jobs}"), viewer, &wanted, 202).await?;
    let job = format!("{jobs}/{}", text(&job, "/job_id")?);
    eventually("the export is done", PATIENCE, async || {
        let job = raw::send(caller.url, &format!("GET {job}"), viewer, b"").await.ok()?;
        (job.body["status"] == "done").then_some(())
    })
    .await?;
    let nobody = format!("{jobs}/01890a5d-ac96-774b-bcce-b302099a8057");
    let calls = [
        (format!("GET {jobs}"), Value::Null, 200),
        (format!("POST {jobs}"), json!({"kind": "summary"}), 400),
        (format!("POST {jobs}"), json!({"kind": "clicks", "parameters": {"advertiser_id": "adv_002"}}), 403),
        (format!("GET {job}"), Value::Null, 200),
        (format!("GET {nobody}"), Value::Null, 404),
        (format!("GET {job}/file"), Value::Null, 200),
        (format!("GET {nobody}/file"), Value::Null, 404),
        (format!("DELETE {job}"), Value::Null, 204),
        (format!("DELETE {job}"), Value::Null, 404),
    ];
    for (request, body, status) in calls {
        caller.json(&request, viewer, &body, status).await?;
    }
    Ok(())
}

/// An order for a new thing alone.
fn if_absent(order: &Value) -> Value {
    let mut order = order.clone();
    order["if_absent"] = json!(true);
    order
}

async fn registry(caller: &mut Caller<'_>, admin: &str) -> Result<()> {
    let ad = json!({"campaign_id": "camp_001", "name": "An ad", "target_url": "https://example.com/"});
    let template = json!({"name": "A shop", "click_id_template": "sub={click_id}"});
    let campaign = json!({"advertiser_id": "adv_new", "name": "Spring"});
    let calls = [
        ("PUT /api/v1/admin/ads/ad_new", if_absent(&ad), 200),
        ("PUT /api/v1/admin/ads/ad_new", ad.clone(), 200),
        ("PUT /api/v1/admin/ads/ad_new", if_absent(&ad), 409),
        ("PUT /api/v1/admin/ads/ad_new", json!({"campaign_id": "", "name": "", "target_url": "x"}), 400),
        ("GET /api/v1/admin/ads/ad_new", Value::Null, 200),
        ("GET /api/v1/admin/ads/nowhere", Value::Null, 404),
        ("PUT /api/v1/admin/advertisers/adv_001", template.clone(), 200),
        ("PUT /api/v1/admin/advertisers/adv_001", if_absent(&template), 409),
        ("PUT /api/v1/admin/advertisers/adv_new", if_absent(&template), 200),
        ("PUT /api/v1/admin/campaigns/camp_new", if_absent(&campaign), 200),
        ("PUT /api/v1/admin/campaigns/camp_new", if_absent(&campaign), 409),
        ("PUT /api/v1/admin/campaigns/camp_new", campaign.clone(), 200),
        ("PUT /api/v1/admin/campaigns/camp_001", campaign, 409),
        ("PUT /api/v1/admin/campaigns/camp_new", json!({"advertiser_id": "", "name": ""}), 400),
        ("GET /api/v1/admin/campaigns/camp_new", Value::Null, 200),
        ("GET /api/v1/admin/campaigns/camp_001/ads", Value::Null, 200),
        ("DELETE /api/v1/admin/advertisers/adv_new", Value::Null, 409),
        ("DELETE /api/v1/admin/campaigns/camp_001", Value::Null, 409),
        ("DELETE /api/v1/admin/campaigns/camp_new", Value::Null, 204),
        ("DELETE /api/v1/admin/campaigns/camp_new", Value::Null, 404),
        ("DELETE /api/v1/admin/advertisers/adv_new", Value::Null, 204),
        ("DELETE /api/v1/admin/ads/ad_new", Value::Null, 204),
        ("DELETE /api/v1/admin/ads/ad_new", Value::Null, 404),
        ("GET /api/v1/admin/audit", Value::Null, 200),
        ("GET /api/v1/admin/audit?subject=ads&limit=1", Value::Null, 200),
        ("GET /api/v1/admin/audit?limit=0", Value::Null, 400),
        ("GET /api/v1/admin/advertisers/adv_001", Value::Null, 200),
        ("GET /api/v1/admin/stats", Value::Null, 200),
        ("GET /iceberg/v1/config?warehouse=any", Value::Null, 200),
        ("GET /iceberg/v1/config?unknown=1", Value::Null, 400),
        ("GET /iceberg/v1/namespaces", Value::Null, 200),
        ("GET /iceberg/v1/namespaces/nothing", Value::Null, 404),
        ("GET /iceberg/v1/namespaces/clickwire", Value::Null, 200),
        ("GET /iceberg/v1/namespaces/clickwire/tables", Value::Null, 200),
        ("GET /iceberg/v1/namespaces/clickwire/tables/nothing", Value::Null, 404),
        ("GET /iceberg/v1/namespaces/clickwire/tables/clicks", Value::Null, 200),
        ("GET /api/v1/admin/connections", Value::Null, 200),
        ("GET /api/v1/admin/storage", Value::Null, 200),
        ("GET /api/v1/admin/rules", Value::Null, 200),
        ("GET /api/v1/admin/rules/ip_velocity", Value::Null, 200),
        ("GET /api/v1/admin/rules/nonsense", Value::Null, 404),
        (
            "PUT /api/v1/admin/rules/ip_velocity",
            json!({"mode": "flag", "parameters": {"threshold": 99, "window_seconds": 60}, "reason": "a test"}),
            200,
        ),
        (
            "PUT /api/v1/admin/rules/ip_velocity",
            json!({"mode": "flag", "parameters": {}, "reason": "a test"}),
            400,
        ),
        (
            "PUT /api/v1/admin/rules/ip_velocity",
            json!({"mode": "off", "reason": "a test", "if_version": 1}),
            409,
        ),
        ("POST /api/v1/admin/rules/duplicate/preview", json!({"mode": "off"}), 200),
        ("POST /api/v1/admin/rules/duplicate/preview", json!({"mode": "off", "hours": 0}), 400),
        ("POST /api/v1/admin/rules/nonsense/preview", json!({"mode": "off"}), 404),
        ("GET /api/v1/admin/report-schedules", Value::Null, 200),
        (
            "POST /api/v1/admin/report-schedules",
            json!({"name": "", "kind": "clicks", "every": "day", "time_zone": "UTC", "hour": 6}),
            400,
        ),
        ("DELETE /api/v1/admin/report-schedules/nobody", Value::Null, 404),
        (
            "POST /api/v1/admin/erasures",
            json!({"advertiser_id": "adv_001", "user_id": "nobody-of-ours", "reason": "a test"}),
            200,
        ),
        ("POST /api/v1/admin/erasures", json!({"advertiser_id": "", "user_id": "", "reason": ""}), 400),
        ("GET /api/v1/admin/erasures?limit=1", Value::Null, 200),
        ("GET /api/v1/admin/erasures?limit=0", Value::Null, 400),
        ("POST /api/v1/admin/keys", json!({"name": "", "mode": "live"}), 400),
        ("POST /api/v1/admin/keys/nobody/rotate", json!({}), 404),
        ("POST /api/v1/admin/keys/nobody/revoke", Value::Null, 404),
    ];
    caller.all(admin, &calls).await?;
    let wanted = json!({"name": "Days", "kind": "breakdown", "parameters": {"group_by": "country"}, "every": "week",
        "time_zone": "Europe/Berlin", "hour": 6});
    let schedules = "/api/v1/admin/report-schedules";
    let schedule = caller.json(&format!("POST {schedules}"), admin, &wanted, 201).await?;
    let delete = format!("DELETE {schedules}/{}", text(&schedule, "/schedule_id")?);
    caller.json(&delete, admin, &Value::Null, 204).await?;
    let wanted = json!({"name": "a shop", "mode": "test", "advertisers": ["adv_001"], "speaks_for_users": true,
        "rate_per_second": 10, "burst": 10});
    let issued = caller.json("POST /api/v1/admin/keys", admin, &wanted, 201).await?;
    let foreign = json!({"advertiser_id": "adv_002", "campaign_id": "camp_001", "ad_id": "ad_001"});
    caller.json("POST /api/v1/clicks", &bearer(text(&issued, "/key")?), &foreign, 403).await?;
    let key = format!("POST /api/v1/admin/keys/{}", text(&issued, "/key_id")?);
    let calls = [
        (&*format!("{key}/rotate"), json!({"grace_hours": 1}), 200),
        (&*format!("{key}/revoke"), Value::Null, 200),
        ("GET /api/v1/admin/keys", Value::Null, 200),
    ];
    caller.all(admin, &calls).await
}

/// An account from its making to its end, and what its owner does with it.
async fn accounts(caller: &mut Caller<'_>, admin: &str) -> Result<()> {
    let wanted = json!({"login": "anna@shop.example", "name": "Anna", "role": "advertiser", "advertisers": ["adv_001"]});
    let create = "POST /api/v1/admin/accounts";
    let issued = caller.json(create, admin, &wanted, 201).await?;
    caller.json(create, admin, &wanted, 409).await?;
    caller.json(create, admin, &json!({"login": "x", "name": "", "role": "advertiser"}), 400).await?;
    let account = format!("/api/v1/admin/accounts/{}", text(&issued, "/account_id")?);
    let nobody = "/api/v1/admin/accounts/01890a5d-ac96-774b-bcce-b302099a8057";
    let changed = json!({"name": "Anna B.", "role": "ops", "advertisers": [], "is_disabled": false});
    let calls = [
        ("GET /api/v1/admin/accounts", Value::Null, 200),
        (&*format!("GET {account}"), Value::Null, 200),
        (&*format!("GET {nobody}"), Value::Null, 404),
        (&*format!("PUT {account}"), changed.clone(), 200),
        (&*format!("PUT {nobody}"), changed, 404),
        (&*format!("POST {account}/sign-out"), Value::Null, 204),
        (&*format!("POST {nobody}/sign-out"), Value::Null, 404),
        (&*format!("POST {nobody}/password"), Value::Null, 404),
    ];
    caller.all(admin, &calls).await?;
    let reset = caller.json(&format!("POST {account}/password"), admin, &Value::Null, 200).await?;
    let password = text(&reset, "/password")?;

    let own = format!("origin: {}\r\n", caller.url);
    let sign_in = json!({"login": "anna@shop.example", "password": password});
    let wrong = json!({"login": "anna@shop.example", "password": "another"});
    caller.json("POST /api/v1/session", &own, &sign_in, 200).await?;
    caller.json("POST /api/v1/session", &own, &wrong, 401).await?;
    caller.json("POST /api/v1/session", "origin: https://evil.example\r\n", &sign_in, 403).await?;
    let anna = Person::sign_in(caller.url, "anna@shop.example", password).await?;
    let browser = format!("{own}cookie: {}\r\n", anna.cookie);
    let token =
        caller.json("POST /api/v1/account/tokens", &browser, &json!({"name": "a report"}), 201).await?;
    let revoke = format!("POST /api/v1/account/tokens/{}/revoke", text(&token, "/token_id")?);
    let weak = json!({"password": password, "new_password": "short"});
    let calls = [
        ("GET /api/v1/session", Value::Null, 200),
        ("POST /api/v1/account/tokens", json!({"name": "", "expires_in_days": 1}), 400),
        ("GET /api/v1/account/tokens", Value::Null, 200),
        (&*revoke, Value::Null, 200),
        ("POST /api/v1/account/tokens/nothing/revoke", Value::Null, 404),
        ("PUT /api/v1/account/password", weak, 400),
        ("DELETE /api/v1/session?everywhere=perhaps", Value::Null, 400),
    ];
    caller.all(&browser, &calls).await?;
    let new = json!({"password": password, "new_password": "correct horse battery"});
    let answer = anna.send("PUT /api/v1/account/password", &new.to_string()).await?;
    let operation = caller.document.operation("PUT /api/v1/account/password")?;
    caller.document.judge(&operation, &answer)?;
    caller.done.insert("PUT /api/v1/account/password".to_owned());
    let browser = format!("{own}cookie: {}\r\n", Person::of(caller.url, &answer)?.cookie);
    caller.json("DELETE /api/v1/session", &browser, &Value::Null, 204).await?;
    caller.json("GET /api/v1/session", &browser, &Value::Null, 401).await?;
    Ok(())
}
