//! One value, several doors: what a question says means the same over REST, for asking now and then, as
//! events and on a socket, and what is wrong with it is said under the same name. Lists come in pages. A
//! write that waits for another is told to come again.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Buckets, Stack, eventually, raw};
use clickwire_load::http::Server;
use clickwire_protocol::counts::Disposition;
use serde_json::{Value, json};

use super::live::{closed, connect, hear, say};

const PATIENCE: Duration = Duration::from_secs(20);

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// The answer of one door to a filter: the number of clicks, or the field that is wrong.
type Said = Result<i64, String>;

fn fields(body: &Value) -> String {
    let fields = body["error"]["fieldErrors"].as_object();
    fields.map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(",")).unwrap_or_default()
}

fn received(cells: &Value) -> i64 {
    let cells =
        cells.as_array().into_iter().flatten().flat_map(|cell| cell.as_object().into_iter().flatten());
    let counts = Disposition::ALL.map(Disposition::as_str);
    cells.filter(|(name, _)| counts.contains(&name.as_str())).filter_map(|(_, count)| count.as_i64()).sum()
}

async fn by_aggregate(stack: &Stack, name: &str, value: &str) -> Result<Said> {
    let request = format!("GET /api/v1/analytics/aggregate?granularity=hour&{name}={value}");
    let answer =
        raw::send(stack.server_url(), &request, &bearer(&Stack::viewer_token("adv_001")), b"").await?;
    let rows = answer.body["data"].as_array().into_iter().flatten();
    let received = rows.filter_map(|row| row["received"].as_i64()).sum();
    Ok(if answer.status == 200 { Ok(received) } else { Err(fields(&answer.body)) })
}

async fn by_poll(stack: &Stack, name: &str, value: &str) -> Result<Said> {
    let request = format!("GET /api/v1/live/poll?{name}={value}");
    let answer =
        raw::send(stack.server_url(), &request, &bearer(&Stack::viewer_token("adv_001")), b"").await?;
    Ok(if answer.status == 200 {
        Ok(self::received(&answer.body["cells"]))
    } else {
        Err(fields(&answer.body))
    })
}

/// Returns only whether events come at all: they have no end.
async fn by_events(stack: &Stack, name: &str, value: &str) -> Result<bool> {
    let request = format!("GET /api/v1/live/sse?{name}={value}");
    let headers = bearer(&Stack::viewer_token("adv_001"));
    Ok(raw::head(stack.server_url(), &request, &headers, b"").await?.status == 200)
}

async fn by_socket(stack: &Stack, name: &str, value: &str) -> Result<Said> {
    let mut socket = connect(stack).await?;
    say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
    hear(&mut socket).await?;
    let view =
        json!({"kind": "clicks", "advertiser_id": "adv_001", "filters": {name: value}, "window_minutes": 60});
    say(&mut socket, json!({"type": "subscribe", "id": 1, "view": view})).await?;
    let answer = hear(&mut socket).await?;
    match answer["type"].as_str() {
        Some("snapshot") => Ok(Ok(received(&answer["cells"]))),
        Some("error") => {
            let field = answer["field"].as_str().context("no field is named")?;
            Ok(Err(field.rsplit('.').next().unwrap_or_default().to_owned()))
        }
        _ => anyhow::bail!("{answer}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_reads_a_filter_alike() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    for (country, campaign, times) in [("us", "camp_001", 2), ("DE", "camp_002", 1)] {
        for _ in 0..times {
            let click = json!({"advertiser_id": "adv_001", "campaign_id": campaign, "ad_id": "ad_001",
                "country": country, "device_type": "tv"});
            let (status, _) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
            ensure!(status.as_u16() == 202, "{status}");
        }
    }
    eventually("they are counted", PATIENCE, async || {
        (stack.received(Buckets::Minutes).await.ok()? == 3).then_some(())
    })
    .await?;
    for (name, value, expected) in [
        ("country", "us", Ok(2)),
        ("country", "US", Ok(2)),
        ("country", "de", Ok(1)),
        ("country", "FR", Ok(0)),
        ("country", "USA", Ok(2)),
        ("country", "Atlantis", Err("country")),
        ("country", "", Err("country")),
        ("campaign_id", "camp_001", Ok(2)),
        ("campaign_id", "", Err("campaign_id")),
        ("ad_id", "ad$1", Err("ad_id")),
        ("device_type", "tv", Ok(3)),
        ("device_type", "SmartTV", Ok(3)),
        ("device_type", "fridge", Err("device_type")),
    ] {
        let expected = expected.map_err(str::to_owned);
        let asked = format!("{name}={value}");
        assert_eq!(by_aggregate(&stack, name, value).await?, expected, "aggregate, {asked}");
        assert_eq!(by_poll(&stack, name, value).await?, expected, "poll, {asked}");
        assert_eq!(by_events(&stack, name, value).await?, expected.is_ok(), "events, {asked}");
        assert_eq!(by_socket(&stack, name, value).await?, expected, "socket, {asked}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_wrong_is_refused_by_its_field_and_the_session_goes_on() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut socket = connect(&stack).await?;
    say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
    assert_eq!(hear(&mut socket).await?["type"], "welcome");
    for (rest, field) in [
        (json!({}), "window_minutes"),
        (json!({"window_minutes": "60"}), "window_minutes"),
        (json!({"window_minutes": 0}), "window_minutes"),
        (json!({"window_minutes": 60, "group_by": ["os"]}), "group_by"),
        (json!({"window_minutes": 60, "filters": ["camp_001"]}), "filters"),
        (json!({"window_minutes": 60, "unknown": 1}), "unknown"),
    ] {
        let mut view = json!({"kind": "clicks", "advertiser_id": "adv_001"});
        view.as_object_mut().context("an object")?.extend(rest.as_object().cloned().unwrap_or_default());
        say(&mut socket, json!({"type": "subscribe", "id": 9, "view": view})).await?;
        let answer = hear(&mut socket).await?;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!(9)), "{view}: {answer}");
        assert_eq!(
            (&answer["code"], &answer["field"]),
            (&json!("invalid"), &json!(field)),
            "{view}: {answer}"
        );
    }
    say(&mut socket, json!({"type": "ping"})).await?;
    assert_eq!(hear(&mut socket).await?["type"], "pong");
    // What names no subscription ends the session, and says why.
    say(&mut socket, json!({"type": "unsubscribe"})).await?;
    assert_eq!(closed(&mut socket).await?, clickwire_protocol::live::close::PROTOCOL_ERROR);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_at_the_edges_are_answered() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let times = [
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00%2B23:59",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59-23:59",
    ];
    let mut answered = 0;
    for granularity in ["minute", "hour", "day"] {
        for time in times {
            let after = format!("start_time={time}&end_time={time}");
            for query in [format!("end_time={time}"), format!("start_time={time}"), after] {
                let request = format!("GET /api/v1/analytics/aggregate?granularity={granularity}&{query}");
                let answer = raw::send(stack.server_url(), &request, &viewer, b"").await?;
                assert!([200, 400].contains(&answer.status), "{request}: {answer:?}");
                answered += usize::from(answer.status == 200);
            }
        }
    }
    ensure!(answered >= 6, "{answered}");
    let arguments = ["reconcile", "--from", "2026-01-01T00:00:00Z", "--to"];
    for to in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z"] {
        let output = stack.command(&[arguments.as_slice(), &[to]].concat()).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(!said.contains("panicked"), "{to}: {said}");
    }
    Ok(())
}

/// All rows of a list, `limit` at a time; `meanwhile` is done after each page.
async fn pages(
    server: &Server,
    path: &str,
    limit: usize,
    mut meanwhile: impl AsyncFnMut(usize) -> Result<()>,
) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    let mut after = String::new();
    for page in 1.. {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (status, body) =
            server.connection().get(&format!("{path}{separator}limit={limit}{after}")).await?;
        ensure!(status.as_u16() == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
        let body: Value = serde_json::from_slice(&body)?;
        let some = body["data"].as_array().context("no data")?;
        ensure!(some.len() <= limit, "{path}: {body}");
        rows.extend(some.iter().cloned());
        let Some(next) = body["next"].as_str() else { break };
        after = format!("&after={next}");
        meanwhile(page).await?;
    }
    Ok(rows)
}

async fn sent(server: &Server, method: &str, path: &str, body: &Value, status: u16) -> Result<Value> {
    let headers = format!("{}content-type: application/json\r\n", bearer(server.token()));
    let url = format!("http://{}", server.authority());
    let answer = raw::send(&url, &format!("{method} {path}"), &headers, body.to_string().as_bytes()).await?;
    ensure!(answer.status == status, "{method} {path}: {answer:?}");
    Ok(answer.body)
}

fn names(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().filter_map(|row| row[name].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_and_what_is_inserted_meanwhile_moves_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let admin = stack.as_admin()?;
    let campaign = |n: usize| {
        (format!("/api/v1/admin/campaigns/page_{n:02}"), json!({"advertiser_id": "adv_001", "name": "A"}))
    };
    let ad = |n: usize| {
        let body = json!({"campaign_id": "page_00", "name": "An ad", "target_url": "https://example.com/"});
        (format!("/api/v1/admin/ads/page_{n:02}"), body)
    };
    let advertiser = |n: usize| (format!("/api/v1/admin/advertisers/page_{n:02}"), json!({"name": "A shop"}));
    let key = |n: usize| json!({"name": format!("key {n}"), "mode": "test"});
    let account = |n: usize| json!({"login": format!("page{n:02}"), "name": "A", "role": "advertiser", "advertisers": ["adv_001"]});
    let make = async |n: usize| -> Result<()> {
        for (path, body) in [advertiser(n), campaign(n), ad(n)] {
            sent(&admin, "PUT", &path, &body, 200).await?;
        }
        sent(&admin, "POST", "/api/v1/admin/keys", &key(n), 201).await?;
        sent(&admin, "POST", "/api/v1/admin/accounts", &account(n), 201).await?;
        let rule = json!({"mode": "report_only", "parameters": {}, "reason": "a test"});
        sent(&admin, "PUT", "/api/v1/admin/rules/prefetch", &rule, 200).await?;
        Ok(())
    };
    for n in (0..14).step_by(2) {
        make(n).await?;
    }
    let lists = [
        ("/api/v1/advertisers", "advertiser_id"),
        ("/api/v1/campaigns?advertiser_id=adv_001", "campaign_id"),
        ("/api/v1/admin/campaigns/page_00/ads", "ad_id"),
        ("/api/v1/admin/keys", "key_id"),
        ("/api/v1/admin/accounts", "account_id"),
        ("/api/v1/admin/rules/prefetch", "effective_at"),
    ];
    let mut new = 1;
    for (path, name) in lists {
        let whole = names(&pages(&admin, path, 1_000, async |_| Ok(())).await?, name);
        ensure!(whole.len() >= 7, "{path}: {whole:?}");
        for limit in [1, 2, 3, whole.len(), whole.len() + 1] {
            let by_pages = names(&pages(&admin, path, limit, async |_| Ok(())).await?, name);
            assert_eq!(by_pages, whole, "{path}, {limit} at a time");
        }
        // Before the page, on it and behind it.
        let seen = pages(&admin, path, 2, async |page| {
            if page <= 2 {
                make(new).await?;
                new += 2;
            }
            Ok(())
        });
        let seen = names(&seen.await?, name);
        let each: BTreeSet<_> = seen.iter().collect();
        assert_eq!(each.len(), seen.len(), "{path}: something came twice: {seen:?}");
        assert!(whole.iter().all(|known| each.contains(known)), "{path}: something is missing: {seen:?}");
        for wrong in ["after=nonsense", "limit=0", "limit=1001", "limit=x", "before=1"] {
            let separator = if path.contains('?') { '&' } else { '?' };
            let request = format!("GET {path}{separator}{wrong}");
            let answer = raw::send(stack.server_url(), &request, &bearer(admin.token()), b"").await?;
            let field = wrong.split('=').next().unwrap_or_default();
            assert_eq!((answer.status, fields(&answer.body).as_str()), (400, field), "{request}: {answer:?}");
        }
    }
    // The command line prints all of them.
    let keys = pages(&admin, "/api/v1/admin/keys", 1_000, async |_| Ok(())).await?;
    assert_eq!(keys.len(), 7 + (new - 1) / 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_waits_for_another_is_to_come_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let admin = bearer(stack.as_admin()?.token());
    let headers = format!("{admin}content-type: application/json\r\n");
    let mut blocking = stack.database().begin().await?;
    for sql in [
        "SELECT FROM advertisers WHERE advertiser_id = 'adv_001' FOR UPDATE",
        "LOCK TABLE fraud_rules IN EXCLUSIVE MODE",
    ] {
        sqlx::query(sql).execute(&mut *blocking).await?;
    }
    let rule = json!({"mode": "report_only", "parameters": {}, "reason": "a test"});
    for (request, body) in [
        ("PUT /api/v1/admin/advertisers/adv_001", json!({"name": "A shop"})),
        ("PUT /api/v1/admin/rules/prefetch", rule),
    ] {
        let answer = raw::send(stack.server_url(), request, &headers, body.to_string().as_bytes()).await?;
        let told = (answer.status, answer.body["error"]["code"].as_str(), answer.header("retry-after"));
        assert_eq!(told, (503, Some("locked"), Some("1")), "{request}: {answer:?}");
    }
    // Questions wait for nobody who writes.
    let answer = raw::send(stack.server_url(), "GET /api/v1/admin/rules", &admin, b"").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    blocking.rollback().await?;
    let answer = raw::send(
        stack.server_url(),
        "PUT /api/v1/admin/advertisers/adv_001",
        &headers,
        br#"{"name": "A shop"}"#,
    );
    assert_eq!(answer.await?.status, 200);
    Ok(())
}
