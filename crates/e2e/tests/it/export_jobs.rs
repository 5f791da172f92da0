//! Exports that nobody waits for: the file is what the same export is at once, whichever server has made it, and
//! however often it was begun; it is its owner's, and gone after a day.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use clickwire_load::http::Server;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::sleep;

use super::live::{counted, post_for};

const JOBS: &str = "/api/v1/exports/jobs";
const JSON: &str = "content-type: application/json\r\n";
const PATIENCE: Duration = Duration::from_secs(20);
const RANGE: [(&str, &str); 2] = [("start_time", "2026-01-01T00:00:00Z"), ("as_of", "2099-01-01T00:00:00Z")];

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n{JSON}")
}

async fn begin(stack: &Stack, headers: &str, kind: &str, parameters: &Value) -> Result<raw::Answer> {
    let body = json!({"kind": kind, "parameters": parameters}).to_string();
    raw::post(stack.server_url(), JOBS, headers, body.as_bytes()).await
}

async fn begun(stack: &Stack, headers: &str, kind: &str, parameters: &Value) -> Result<String> {
    let answer = begin(stack, headers, kind, parameters).await?;
    ensure!(answer.status == 202 && answer.body["status"] == "queued", "{answer:?}");
    Ok(answer.body["job_id"].as_str().context("no id")?.to_owned())
}

async fn ask(stack: &Stack, headers: &str, request: &str) -> Result<raw::Answer> {
    raw::send(stack.server_url(), request, headers, b"").await
}

/// The job when it has ended.
async fn ended(stack: &Stack, headers: &str, job_id: &str) -> Result<Value> {
    eventually("an export has ended", PATIENCE, async || {
        let job = ask(stack, headers, &format!("GET {JOBS}/{job_id}")).await.ok()?.body;
        ["done", "failed"].contains(&job["status"].as_str()?).then_some(job)
    })
    .await
}

async fn bytes(server: &Server, path: &str) -> Result<(u16, Vec<u8>)> {
    let (status, body) = server.connection().get(path).await?;
    Ok((status.as_u16(), body.to_vec()))
}

fn query(parameters: &Value) -> String {
    let fields = parameters.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join("&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_what_the_same_export_is_at_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    post_for(&stack, "adv_001", 40).await?;
    post_for(&stack, "adv_002", 3).await?;
    counted(&stack, 43).await?;
    let as_of = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339)?;
    let [(start, from), _] = RANGE;
    let tenant = stack.as_viewer("adv_001")?;
    let viewer = bearer(tenant.token());
    let mut lines = 0;
    for (kind, format, more) in [
        ("clicks", "csv", ("bom", "true")),
        ("clicks", "ndjson", ("disposition", "valid,duplicate")),
        ("breakdown", "csv", ("group_by", "country,device_type")),
        ("timeseries", "ndjson", ("granularity", "hour")),
    ] {
        let parameters =
            json!({start: from, "end_time": as_of, "as_of": as_of, "format": format, more.0: more.1});
        let job_id = begun(&stack, &viewer, kind, &parameters).await?;
        let job = ended(&stack, &viewer, &job_id).await?;
        ensure!(job["status"] == "done", "{job}");
        let path = job["file"].as_str().context("no file")?;
        let (status, file) = bytes(&tenant, path).await?;
        let (at_once_status, at_once) =
            bytes(&tenant, &format!("/api/v1/exports/{kind}?{}", query(&parameters))).await?;
        assert_eq!((status, at_once_status), (200, 200), "{kind} {}", String::from_utf8_lossy(&at_once));
        // Clicks of one moment come in any order.
        let sorted = |file: &[u8]| {
            let mut lines: Vec<_> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&file), sorted(&at_once), "{kind} as {format}");
        assert_eq!(job["bytes"], json!(file.len()), "{job}");
        lines += sorted(&file).len();
        let listed = ask(&stack, &viewer, &format!("GET {JOBS}")).await?.body;
        ensure!(listed["data"][0]["job_id"] == json!(job_id), "{listed}");
    }
    ensure!(lines > 60, "{lines} lines: little was exported");
    // An empty one is a file, too.
    let parameters = json!({start: from, "campaign_id": "nothing", "format": "ndjson"});
    let job = ended(&stack, &viewer, &begun(&stack, &viewer, "clicks", &parameters).await?).await?;
    assert_eq!((&job["status"], &job["bytes"]), (&json!("done"), &json!(0)));
    assert_eq!(bytes(&tenant, job["file"].as_str().context("no file")?).await?, (200, Vec::new()));
    // As many as are kept.
    let answer = begin(&stack, &viewer, "clicks", &json!({})).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (409, &json!("too_many_exports")));
    let job_id = job["job_id"].as_str().context("no id")?;
    assert_eq!(ask(&stack, &viewer, &format!("DELETE {JOBS}/{job_id}")).await?.status, 204);
    assert_eq!(ask(&stack, &viewer, &format!("GET {JOBS}/{job_id}")).await?.status, 404);
    begun(&stack, &viewer, "clicks", &json!({})).await?;
    // Other tenants have their own.
    begun(&stack, &bearer(&Stack::viewer_token("adv_002")), "clicks", &json!({})).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_exports_that_are_asked_for_at_once_no_more_are_kept_than_one_after_the_other() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let parameters = json!({});
    let asked = (0..16).map(|_| begin(&stack, &viewer, "clicks", &parameters));
    let statuses: Vec<u16> = try_join_all(asked).await?.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status < 300).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 11, "{statuses:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_its_owners_alone() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let (viewer, other) = (bearer(&Stack::viewer_token("adv_001")), bearer(&Stack::viewer_token("adv_002")));
    let admin = bearer(stack.as_admin()?.token());
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?.headers();
    for (headers, kind, parameters, status) in [
        (JSON.to_owned(), "clicks", json!({}), 401),
        (bearer(Stack::ingest_key()), "clicks", json!({}), 401),
        (viewer.clone(), "clicks", json!({"advertiser_id": "adv_002"}), 403),
        (viewer.clone(), "breakdown", json!({"advertiser_id": "adv_002", "group_by": "os"}), 403),
        (viewer.clone(), "timeseries", json!({"advertiser_id": "adv_404"}), 403),
        (viewer.clone(), "summary", json!({}), 400),
        (viewer.clone(), "breakdown", json!({}), 400),
        (viewer.clone(), "clicks", json!({"format": "pdf"}), 400),
        (viewer.clone(), "clicks", json!({"unknown": "1"}), 400),
        (viewer.clone(), "clicks", json!({"user_id": 1}), 400),
        (viewer.clone(), "clicks", json!({"user_id": "a\u{0}"}), 400),
    ] {
        let answer = begin(&stack, &headers, kind, &parameters).await?;
        assert_eq!(answer.status, status, "{kind} {parameters}: {answer:?}");
    }
    let job_id = begun(&stack, &viewer, "clicks", &json!({})).await?;
    let path = format!("{JOBS}/{job_id}");
    ended(&stack, &viewer, &job_id).await?;
    for (name, headers, status) in [
        ("its owner", &viewer, 200),
        ("operators", &admin, 200),
        ("a tenant", &other, 404),
        ("an account", &anna, 404),
    ] {
        for request in [format!("GET {path}"), format!("GET {path}/file")] {
            assert_eq!(ask(&stack, headers, &request).await?.status, status, "{request} by {name}");
        }
        let listed = ask(&stack, headers, &format!("GET {JOBS}")).await?.body;
        assert_eq!(listed.to_string().contains(&job_id), name == "its owner", "{name}: {listed}");
        if status == 404 {
            assert_eq!(ask(&stack, headers, &format!("DELETE {path}")).await?.status, 404, "{name}");
        }
    }
    for request in [format!("GET {JOBS}/1"), format!("GET {JOBS}/01890a5d-ac96-774b-bcce-b302099a8057/file")]
    {
        assert_eq!(ask(&stack, &viewer, &request).await?.status, 404, "{request}");
    }

    // Rights that were taken away since.
    let job_id = begun(&stack, &anna, "clicks", &json!({})).await?;
    ended(&stack, &anna, &job_id).await?;
    let accounts = ask(&stack, &admin, "GET /api/v1/admin/accounts").await?.body;
    let account =
        accounts["data"].as_array().into_iter().flatten().find(|account| account["login"] == "anna");
    let account_id = account.and_then(|account| account["account_id"].as_str()).context("no account")?;
    let changed =
        json!({"name": "Anna", "role": "advertiser", "advertisers": ["adv_002"], "is_disabled": false});
    let put = format!("PUT /api/v1/admin/accounts/{account_id}");
    ensure!(raw::send(url, &put, &admin, changed.to_string().as_bytes()).await?.status == 200, "not changed");
    eventually("the rights are others", PATIENCE, async || {
        let answer = ask(&stack, &anna, &format!("GET {JOBS}/{job_id}/file")).await.ok()?;
        (answer.status == 403).then_some(())
    })
    .await
}

async fn pieces(database: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM export_pieces").fetch_one(database).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_left_is_begun_anew_and_what_is_old_is_deleted() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    post_for(&stack, "adv_001", 10).await?;
    counted(&stack, 10).await?;
    let tenant = stack.as_viewer("adv_001")?;
    let viewer = bearer(tenant.token());
    let job_id = begun(&stack, &viewer, "clicks", &json!({"format": "ndjson"})).await?;
    let job = ended(&stack, &viewer, &job_id).await?;
    let path = job["file"].as_str().context("no file")?;
    let (_, whole) = bytes(&tenant, path).await?;
    ensure!(whole.iter().filter(|byte| **byte == b'\n').count() == 10, "{whole:?}");

    // As a server leaves it that is killed after a piece: no other touches it while that one may live.
    let left = "UPDATE export_jobs SET status = 'running', claim = gen_random_uuid(), bytes = 7, beat_at = now() - $1 * INTERVAL '1 s'";
    sqlx::query(left).bind(20.0).execute(stack.database()).await?;
    sqlx::query("UPDATE export_pieces SET piece = 'garbage'").execute(stack.database()).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let answer = ask(&stack, &viewer, &format!("GET {path}")).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (409, &json!("not_ready")));
    let job = ended(&stack, &viewer, &job_id).await?;
    assert_eq!(job["status"], "done", "{job}");
    let (_, again) = bytes(&tenant, path).await?;
    let lines = |file: &[u8]| {
        let mut lines: Vec<_> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&again), lines(&whole));
    // What makes every server fail is given up.
    sqlx::query("UPDATE export_jobs SET attempts = 3").execute(stack.database()).await?;
    sqlx::query(left).bind(40.0).execute(stack.database()).await?;
    let job = ended(&stack, &viewer, &job_id).await?;
    assert_eq!((&job["status"], &job["error"]), (&json!("failed"), &json!("internal")), "{job}");

    // A server that stops leaves nothing begun behind.
    ensure!(server.stop(Duration::from_secs(15)).await?, "it did not stop well");
    let running: i64 = sqlx::query_scalar("SELECT count(*) FROM export_jobs WHERE status = 'running'")
        .fetch_one(stack.database())
        .await?;
    assert_eq!(running, 0);
    let _server = stack.start_server().await?;
    ensure!(pieces(stack.database()).await? > 0, "there is nothing to delete");
    sqlx::query("UPDATE export_jobs SET expires_at = now()").execute(stack.database()).await?;
    assert_eq!(ask(&stack, &viewer, &format!("GET {JOBS}/{job_id}")).await?.status, 404);
    eventually("files that have expired are deleted", PATIENCE, async || {
        (pieces(stack.database()).await.ok()? == 0).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_make_an_export_for_each_day_and_their_tenants_fetch_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _servers = [stack.start_server().await?, stack.start_server().await?];
    post_for(&stack, "adv_001", 8).await?;
    post_for(&stack, "adv_002", 2).await?;
    counted(&stack, 10).await?;
    let admin = bearer(stack.as_admin()?.token());
    let (tenant, other) = (stack.as_viewer("adv_001")?, stack.as_viewer("adv_002")?);
    let (viewer, others) = (bearer(tenant.token()), bearer(other.token()));
    let url = stack.server_url();
    let schedules = "/api/v1/admin/report-schedules";
    let wanted = |advertiser: Value| {
        json!({"name": "Clicks of the day", "advertiser_id": advertiser, "kind": "clicks", "parameters": {"format": "ndjson"},
            "every": "day", "time_zone": "Pacific/Kiritimati", "hour": 0})
    };
    for advertiser in [json!("adv_001"), json!(null)] {
        let body = wanted(advertiser).to_string();
        let created = raw::post(url, schedules, &admin, body.as_bytes()).await?;
        ensure!(created.status == 201, "{created:?}");
        assert_eq!(raw::post(url, schedules, &viewer, body.as_bytes()).await?.status, 403);
    }
    let mut wrong = wanted(json!("adv_001"));
    wrong["parameters"]["start_time"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(raw::post(url, schedules, &admin, wrong.to_string().as_bytes()).await?.status, 400);

    let day = "SELECT count(*) FROM export_jobs WHERE owner LIKE 'schedule:%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(day).fetch_one(stack.database()).await?, 0, "not its hour");
    // As if it were just after the last midnight of that zone, which is 14 hours ahead of UTC. Two servers look.
    // Whose last minutes are not final yet, for counting stands still.
    eventually("all partitions are counted", PATIENCE, async || {
        let all = "SELECT FROM watermarks HAVING count(*) = 4";
        sqlx::query(all).fetch_optional(stack.database()).await.ok()?.map(drop)
    })
    .await?;
    aggregator.freeze(true).await?;
    for sql in [
        "UPDATE report_schedules SET next_at = date_trunc('day', now() + INTERVAL '14 hours', 'UTC') - INTERVAL '14 hours'",
        "UPDATE watermarks SET counted_until = (SELECT max(next_at) + INTERVAL '150 seconds' FROM report_schedules)",
    ] {
        sqlx::query(sql).execute(stack.database()).await?;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(sqlx::query_scalar::<_, i64>(day).fetch_one(stack.database()).await?, 0, "not final");
    // In the first minutes after that midnight this takes as long as they do.
    aggregator.freeze(false).await?;
    eventually("the day is final", Duration::from_secs(300), async || {
        let final_now = "SELECT FROM watermarks HAVING min(counted_until) >= \
                          (SELECT max(next_at) + INTERVAL '4 minutes' FROM report_schedules)";
        sqlx::query(final_now).fetch_optional(stack.database()).await.ok()?.map(drop)
    })
    .await?;
    eventually("both schedules have made one", PATIENCE, async || {
        let made = "SELECT count(*) FROM export_jobs WHERE owner LIKE 'schedule:%' AND status = 'done'";
        let made: i64 = sqlx::query_scalar(made).fetch_one(stack.database()).await.ok()?;
        (made == 2).then_some(())
    })
    .await?;
    let next: i64 = sqlx::query_scalar("SELECT count(*) FROM report_schedules WHERE next_at > now()")
        .fetch_one(stack.database())
        .await?;
    assert_eq!(next, 2, "each has moved on");
    let listed = ask(&stack, &viewer, &format!("GET {JOBS}")).await?.body;
    let jobs = listed["data"].as_array().context("no list")?;
    assert_eq!(jobs.len(), 1, "everybody's is not a tenant's: {listed}");
    let parameters = &jobs[0]["parameters"];
    let (start, end) = (parameters["start_time"].as_str(), parameters["end_time"].as_str());
    let at = |text: Option<&str>| {
        time::OffsetDateTime::parse(text.unwrap_or_default(), &time::format_description::well_known::Rfc3339)
    };
    assert_eq!(at(end)? - at(start)?, time::Duration::DAY, "{parameters}");
    let path = jobs[0]["file"].as_str().context("no file")?;
    let (status, file) = bytes(&tenant, path).await?;
    // Yesterday there were none, unless this runs around that midnight.
    ensure!(status == 200 && file.len() < 10_000, "{status} {}", String::from_utf8_lossy(&file));
    assert_eq!(bytes(&other, path).await?.0, 404);
    assert_eq!(ask(&stack, &others, &format!("GET {JOBS}")).await?.body["data"], json!([]));
    // A schedule's exports are no tenant's to delete.
    let own = format!("DELETE {}", path.trim_end_matches("/file"));
    assert_eq!(ask(&stack, &viewer, &own).await?.status, 403);
    assert_eq!(ask(&stack, &admin, &own).await?.status, 204);
    for schedule in
        ask(&stack, &admin, &format!("GET {schedules}")).await?.body["data"].as_array().into_iter().flatten()
    {
        let delete = format!("DELETE {schedules}/{}", schedule["schedule_id"].as_str().context("no id")?);
        assert_eq!(ask(&stack, &admin, &delete).await?.status, 204);
        assert_eq!(ask(&stack, &admin, &delete).await?.status, 404);
    }
    Ok(())
}
