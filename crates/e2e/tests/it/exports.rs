//! Clicks are found by what is known of them, by their own tenant; files of every format hold what the ledger and
//! the reports hold; millions of clicks take the memory of a batch, and a client that goes away ends its query.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, raw};
use clickwire_load::http::Server;
use clickwire_protocol::report::Summary;
use clickwire_services::python_path;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::fraud::PERSON;

const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// Reads a file with Apache Arrow and prints its rows as JSON.
const READ: &str = "
import json, sys, pyarrow.ipc, pyarrow.parquet
source = sys.argv[2]
table = pyarrow.parquet.read_table(source) if sys.argv[1] == 'parquet' else pyarrow.ipc.open_stream(source).read_all()
print(json.dumps(table.to_pylist(), default=str))
";

async fn get(server: &Server, path: &str) -> Result<(u16, Value)> {
    let (status, body) = server.connection().get(path).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
}

async fn file(server: &Server, path: &str) -> Result<Vec<u8>> {
    let (status, body) = server.connection().get(&format!("/api/v1/exports/{path}")).await?;
    ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
    Ok(body.to_vec())
}

/// A few clicks of two tenants; one of them a robot's, one with a name that looks like a formula.
async fn clicked() -> Result<(Stack, Vec<clickwire_e2e::Program>)> {
    let mut stack = Stack::new().await?;
    let programs = vec![stack.start_aggregator().await?, stack.start_server().await?];
    let mut poster = stack.poster()?;
    for (advertiser, ad, agent, user) in [
        ("adv_001", "ad_1", PERSON, "anna"),
        ("adv_001", "ad_2", PERSON, "=1+1\",\u{fc}\n"),
        ("adv_001", "ad_2", ROBOT, "carl"),
        ("adv_002", "ad_9", PERSON, "anna"),
    ] {
        let body = json!({"advertiser_id": advertiser, "campaign_id": "camp_1", "ad_id": ad, "country": "DE",
            "user_agent": agent, "user_id": user, "ip_address": "192.0.2.77"});
        let (status, answer) = poster.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
        ensure!(status == 202 || user.starts_with('='), "{}", String::from_utf8_lossy(&answer));
        if status != 202 {
            let body = body.to_string().replace("\\n", "");
            let (status, answer) = poster.post("/api/v1/clicks", body.into_bytes()).await?;
            ensure!(status == 202, "{}", String::from_utf8_lossy(&answer));
        }
    }
    eventually("all clicks are counted", Duration::from_secs(10), async || {
        (stack.ledger().await.ok()? == 4).then_some(())
    })
    .await?;
    Ok((stack, programs))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_are_found_by_what_is_known_of_them() -> Result<()> {
    let (stack, _programs) = clicked().await?;
    let (viewer, admin) = (stack.as_viewer("adv_001")?, stack.as_admin()?);
    let found = async |server: &Server, query: &str| -> Result<Vec<Value>> {
        let (status, body) = get(server, &format!("/api/v1/clicks?{query}")).await?;
        ensure!(status == 200, "{query}: {body}");
        Ok(body["data"].as_array().cloned().unwrap_or_default())
    };
    for (query, mine, all) in [
        ("", 3, 4),
        ("user_id=anna", 1, 2),
        ("ad_id=ad_2", 2, 2),
        ("disposition=givt", 1, 1),
        ("disposition=valid,sivt", 2, 3),
        ("rule=user_agent", 1, 1),
        ("os=Linux&disposition=duplicate", 0, 0),
        ("start_time=2020-01-01T00:00:00Z&end_time=2020-01-02T00:00:00Z", 0, 0),
    ] {
        assert_eq!(found(&viewer, query).await?.len(), mine, "{query}");
        assert_eq!(found(&admin, query).await?.len(), all, "{query}");
    }
    let robot = found(&viewer, "rule=user_agent").await?.remove(0);
    assert_eq!(robot["evidence"], json!(["user_agent"]), "{robot}");
    assert!(!robot.to_string().contains("hash"), "{robot}");
    let other = found(&admin, "advertiser_id=adv_002").await?.remove(0);
    let id = other["click_id"].as_str().context("no id")?;
    assert_eq!(found(&viewer, &format!("click_id={id}")).await?.len(), 0, "another's click");
    assert_eq!(found(&admin, &format!("click_id={id}")).await?.len(), 1);

    // A release is seen by the tenant, the person's name by operators.
    let id = robot["click_id"].as_str().context("no id")?;
    let body = json!({"reason": "a person after all"}).to_string().into_bytes();
    let released = admin.connection().post(&format!("/api/v1/admin/clicks/{id}/release"), body).await?;
    assert_eq!(released.0, 200);
    for (server, actor) in [(&viewer, "operator"), (&admin, "admin")] {
        let click = found(server, &format!("click_id={id}")).await?.remove(0);
        assert_eq!((&click["disposition"], &click["released"]), (&json!("valid"), &json!(true)));
        let change = &click["adjustments"][0];
        assert_eq!(
            (&change["actor"], &change["from_disposition"]),
            (&json!(actor), &json!("givt")),
            "{change}"
        );
    }

    // In pages, each click once, the latest first.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = get(&admin, &format!("/api/v1/clicks?limit=1{after}")).await?;
        assert_eq!(status, 200, "{page}");
        seen.extend(
            page["data"].as_array().into_iter().flatten().map(|click| click["clicked_at"].to_string()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    for (query, field) in [
        ("disposition=odd", "disposition"),
        ("rule=odd", "rule"),
        ("click_id=1", "click_id"),
        ("start_time=2040-01-01T00:00:00Z", "start_time"),
    ] {
        let (status, body) = get(&viewer, &format!("/api/v1/clicks?{query}")).await?;
        assert!(status == 400 && body["error"]["fieldErrors"][field].is_array(), "{query}: {status} {body}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_format_hold_what_the_ledger_holds() -> Result<()> {
    let (stack, _programs) = clicked().await?;
    let viewer = stack.as_viewer("adv_001")?;
    let text = String::from_utf8(file(&viewer, "clicks?bom=true").await?)?;
    assert!(text.starts_with("\u{feff}click_id,clicked_at,"), "{text}");
    // What a spreadsheet would compute has an apostrophe in front.
    assert!(text.contains("\"'=1+1\"\",\u{fc}"), "{text}");
    assert!(!text.contains("adv_002") && text.lines().count() == 4, "{text}");
    let lines = String::from_utf8(file(&viewer, "clicks?format=ndjson").await?)?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 3);
    let dispositions = |rows: &[Value]| {
        let mut count = BTreeMap::new();
        for row in rows {
            *count.entry(row["disposition"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        count
    };
    assert_eq!(dispositions(&lines), BTreeMap::from([("givt".to_owned(), 1), ("valid".to_owned(), 2)]));

    // Other people's readers.
    let folder = tempfile::tempdir()?;
    let path = tokio::task::spawn_blocking(|| python_path(&["pyarrow==26.0.1", "openpyxl==3.1.5"])).await??;
    let python = async |arguments: &[&str]| -> Result<Value> {
        let mut python = tokio::process::Command::new("python3");
        python.env("PYTHONPATH", &path).args(arguments).stderr(Stdio::inherit());
        Ok(serde_json::from_slice(&python.output().await?.stdout)?)
    };
    for format in ["parquet", "arrow"] {
        let file_path = folder.path().join(format).display().to_string();
        std::fs::write(&file_path, file(&viewer, &format!("clicks?format={format}")).await?)?;
        let rows = python(&["-c", READ, format, &file_path]).await?;
        let rows = rows.as_array().context("no rows")?.clone();
        assert_eq!(dispositions(&rows), dispositions(&lines), "{format}");
        let names = |row: &Value| row.as_object().map(|row| row.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(&rows[0]), names(&lines[0]));
    }
    let file_path = folder.path().join("clicks.xlsx").display().to_string();
    std::fs::write(&file_path, file(&viewer, "breakdown?format=xlsx&group_by=ad_id,country").await?)?;
    let script = "import json, sys, openpyxl; print(json.dumps([[cell.value for cell in row] for row in openpyxl.load_workbook(sys.argv[1]).active.rows]))";
    let rows = python(&["-c", script, &file_path]).await?;
    assert_eq!(
        rows[0],
        json!(["ad_id", "country", "clicks", "billable", "fraud_count", "duplicates", "received"])
    );
    assert_eq!(rows[1], json!(["ad_2", "DE", 2, 1, 1, 0, 2]), "{rows}");

    // The same totals as the report, also as of a moment before a release.
    let as_of = OffsetDateTime::now_utc().format(&Rfc3339)?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let click_id =
        lines.iter().find(|row| row["disposition"] == "givt").context("no robot")?["click_id"].clone();
    let path = format!("/api/v1/admin/clicks/{}/release", click_id.as_str().unwrap_or_default());
    let body = json!({"reason": "a person after all"}).to_string().into_bytes();
    assert_eq!(stack.as_admin()?.connection().post(&path, body).await?.0, 200);
    for query in [String::new(), format!("&as_of={as_of}")] {
        let (_, report) =
            get(&viewer, &format!("/api/v1/analytics/summary?{}", query.trim_start_matches('&'))).await?;
        let report: Summary = serde_json::from_value(report)?;
        let rows = String::from_utf8(file(&viewer, &format!("clicks?format=ndjson{query}")).await?)?;
        let rows: Vec<Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let valid = dispositions(&rows).get("valid").copied().unwrap_or_default();
        assert_eq!((report.totals.billable, report.totals.received), (valid, rows.len() as i64), "{query}");
    }
    let compared = file(&viewer, "breakdown?group_by=ad_id&compare=previous&format=ndjson").await?;
    let compared: Value =
        serde_json::from_slice(compared.split(|byte| *byte == b'\n').next().unwrap_or(&[]))?;
    assert_eq!((&compared["clicks"], &compared["previous_clicks"]), (&json!(2), &json!(0)), "{compared}");
    let series = file(&viewer, "timeseries?granularity=hour&compare=year").await?;
    let periods = String::from_utf8(series)?.lines().fold(BTreeMap::new(), |mut count, line| {
        *count.entry(line.split(',').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        count
    });
    assert_eq!(
        periods,
        [("current", 24), ("period", 1), ("previous", 24)].map(|(name, n)| (name.to_owned(), n)).into()
    );
    let series = String::from_utf8(file(&viewer, "timeseries?granularity=hour&format=csv").await?)?;
    assert_eq!(series.lines().count(), 25, "{series}");
    for (path, status) in [
        ("clicks?advertiser_id=adv_002", 403),
        ("clicks?format=pdf", 400),
        ("clicks?compare=year", 400),
        ("timeseries?compare=century", 400),
    ] {
        assert_eq!(get(&viewer, &format!("/api/v1/exports/{path}")).await?.0, status, "{path}");
    }
    Ok(())
}

/// Resident memory of the process, in KiB.
fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no size")?.parse()?)
}

/// Rows of the ledger as if this number of clicks had been counted.
async fn stored(stack: &Stack, clicks: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, device_type, \
           os, browser, user_id, disposition, stream_seq) \
         SELECT gen_random_uuid(), at, at, 'adv_001', 'camp_1', 'ad_' || n % 100, 'DE', 'mobile', 'Android', 'Chrome', \
                'user_' || n, 'valid', n \
           FROM (SELECT n, now() - n * INTERVAL '10 ms' AS at FROM generate_series(1, $1) AS n) AS rows",
    )
    .bind(clicks)
    .execute(stack.database())
    .await?;
    Ok(())
}

/// Requests an export; nothing of the answer is read yet.
async fn request(stack: &Stack, path: &str) -> Result<TcpStream> {
    let authority = stack.server_url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&authority).await?;
    let head = format!(
        "GET /api/v1/exports/{path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        Stack::viewer_token("adv_001")
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_million_clicks_take_the_memory_of_a_batch() -> Result<()> {
    const CLICKS: i64 = 500_000;
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    let pid = server.pid()?;
    stored(&stack, CLICKS).await?;
    // Allocators keep what they once had: a small one of each kind first.
    for format in ["csv", "parquet", "arrow"] {
        file(&stack.as_viewer("adv_001")?, &format!("clicks?format={format}&ad_id=ad_1")).await?;
    }
    for format in ["csv", "ndjson", "parquet", "arrow"] {
        let before = resident(pid)?;
        let mut stream = request(&stack, &format!("clicks?format={format}")).await?;
        let (mut bytes, mut most, mut lines) = (0_u64, 0, 0);
        let mut piece = vec![0; 1 << 20];
        loop {
            let read = stream.read(&mut piece).await?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            lines += piece[..read].iter().filter(|byte| **byte == b'\n').count() as i64;
            most = most.max(resident(pid)?);
        }
        let more = most.saturating_sub(before) / 1024;
        println!("{format}: {bytes} bytes, at most {more} MiB more");
        assert!(more < 64, "{format}: {more} MiB more");
        if format == "ndjson" {
            assert!(lines >= CLICKS, "{lines} lines");
        }
    }
    // A workbook of so many is refused before anything is made.
    let refused = get(&stack.as_viewer("adv_001")?, "/api/v1/exports/clicks?format=xlsx").await?;
    assert_eq!(refused.0, 400, "{}", refused.1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_or_does_not_read_holds_nothing_up() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    stored(&stack, 200_000).await?;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL \
                AND query LIKE 'FETCH%'";
    let mut stream = request(&stack, "clicks?format=ndjson").await?;
    let mut head = [0; 1024];
    ensure!(stream.read(&mut head).await? > 0);
    eventually("the export is under way", Duration::from_secs(10), async || {
        (sqlx::query_scalar::<_, i64>(open).fetch_one(stack.database()).await.ok()? == 1).then_some(())
    })
    .await?;
    // Meanwhile: the tenant's second export waits its turn, its questions and another's export don't.
    let viewer = stack.as_viewer("adv_001")?;
    assert_eq!(get(&viewer, "/api/v1/analytics/summary").await?.0, 200);
    assert_eq!(get(&viewer, "/api/v1/exports/clicks").await?.0, 429);
    let other = stack.as_viewer("adv_002")?;
    assert_eq!(file(&other, "clicks").await?.split(|byte| *byte == b'\n').count(), 2);
    drop(stream);
    eventually("the query has ended", Duration::from_secs(15), async || {
        (sqlx::query_scalar::<_, i64>(open).fetch_one(stack.database()).await.ok()? == 0).then_some(())
    })
    .await?;
    let answer = raw::send(
        stack.server_url(),
        "GET /api/v1/exports/clicks?ad_id=ad_1",
        &format!("authorization: Bearer {}\r\n", Stack::viewer_token("adv_001")),
        b"",
    )
    .await?;
    assert_eq!(answer.status, 200);
    Ok(())
}
