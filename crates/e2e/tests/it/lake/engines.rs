//! Engines read the ledger's counts through the catalog that the server shows.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Load, Sent, Stack, conservation, eventually};
use clickwire_protocol::click::Click;
use clickwire_services::{Port, python_path};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use super::{PATIENCE, click, follows, yesterday};

const DUCKDB: &[&str] = &[
    "duckdb==1.5.5",
    "duckdb-extension-avro==1.5.5",
    "duckdb-extension-httpfs==1.5.5",
    "duckdb-extension-iceberg==1.5.5",
];
const PYICEBERG: &[&str] = &["pyarrow==26.0.1", "pyiceberg==0.12.0"];
const SAIL: &[&str] = &["pyarrow==26.0.1", "pysail==0.7.2"];

/// Sums by two names.
type Counts = BTreeMap<(String, String), i64>;

/// The data that a program finds in the tables.
#[derive(Debug, PartialEq)]
struct Found {
    /// Clicks by advertiser and disposition.
    clicks: Counts,
    /// Adjustments by the dispositions before and after.
    adjustments: Counts,
    /// Clicks of whole days by day and disposition.
    days: Counts,
}

/// Sums as a program prints them, or the database gives them.
fn summed(rows: Vec<(String, String, i64)>) -> Counts {
    let rows = rows.into_iter().filter(|&(.., count)| count > 0);
    rows.map(|(one, other, count)| ((one, other), count)).collect()
}

/// Runs a program in Python and returns what it prints: three lists of sums.
async fn found(packages: &'static [&'static str], script: &str, arguments: &[&str]) -> Result<Found> {
    let path = installed(packages).await?;
    let python = Command::new("python3")
        .env("PYTHONPATH", &path)
        .args(["-c", &format!("{COMMON}{script}")])
        .args(arguments)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, .. } = timeout(Duration::from_secs(120), python).await??;
    ensure!(status.success(), "{status}");
    type Rows = Vec<(String, String, i64)>;
    let (clicks, adjustments, days): (Rows, Rows, Rows) = serde_json::from_slice(&stdout)?;
    Ok(Found { clicks: summed(clicks), adjustments: summed(adjustments), days: summed(days) })
}

async fn installed(packages: &'static [&'static str]) -> Result<PathBuf> {
    Ok(tokio::task::spawn_blocking(|| python_path(packages)).await??)
}

/// A stack whose lake has clicks, in some commits, adjustments and a whole day, and what the ledger says of them.
async fn filled(stack: &mut Stack) -> Result<Found> {
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.yesterday_is_stored().await?;
    let _lake = stack.start_lake().await?;
    let mut sent = Sent::new();
    for round in 0..3 {
        let load = Load::start(stack, 2, round)?;
        load.goes_on(150).await?;
        load.finish(&mut sent).await?;
        conservation::holds(stack, &sent, PATIENCE).await?;
        stack.lake_equals_ledger(PATIENCE).await?;
    }
    // A burst of yesterday in two parts, of which the second convicts the first.
    for part in [follows::burst(0..40), follows::burst(40..70), vec![yesterday(0, 30)]] {
        counted(stack, &part).await?;
        stack.lake_equals_ledger(PATIENCE).await?;
    }
    // Commits without rows, too.
    let clicks: Vec<_> = (0..20).map(click).collect();
    counted(stack, &clicks).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    stack.publish(&clicks).await?;
    let of = async |sql: &'static str| -> Result<Counts> {
        Ok(summed(sqlx::query_as(sql).fetch_all(stack.database()).await?))
    };
    Ok(Found {
        clicks: of("SELECT advertiser_id, disposition::text, count(*) FROM clicks GROUP BY 1, 2").await?,
        adjustments: of("SELECT from_disposition::text, to_disposition::text, count(*) FROM adjustments GROUP BY 1, 2")
            .await?,
        days: of("SELECT (bucket AT TIME ZONE 'UTC')::date::text, name, sum(clicks)::bigint FROM click_days, \
                  LATERAL (VALUES ('valid', valid), ('duplicate', duplicate), ('givt', givt), ('sivt', sivt), \
                           ('test', test), ('defective', defective)) AS c (name, clicks) \
                   WHERE bucket < (SELECT days_before FROM rollup_progress) GROUP BY 1, 2")
            .await?,
    })
}

async fn counted(stack: &Stack, clicks: &[Click]) -> Result<()> {
    let expected = stack.ledger().await? + clicks.len() as i64;
    stack.publish(clicks).await?;
    eventually("they are counted", PATIENCE, async || (stack.ledger().await.ok()? == expected).then_some(()))
        .await
}

/// The sum over dispositions: a verdict may have changed since a click was archived.
fn received(counts: &Counts) -> BTreeMap<&str, i64> {
    let mut sums = BTreeMap::new();
    for ((advertiser, _), clicks) in counts {
        *sums.entry(advertiser.as_str()).or_default() += clicks;
    }
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_pyiceberg_and_sail_read_the_ledgers_counts() -> Result<()> {
    let mut stack = Stack::new().await?;
    let ledger = filled(&mut stack).await?;
    ensure!(ledger.clicks.values().sum::<i64>() > 450 && received(&ledger.clicks).len() > 1, "{ledger:?}");
    ensure!(ledger.adjustments.values().sum::<i64>() >= 40 && ledger.days.len() > 1, "{ledger:?}");
    let _server = stack.start_server().await?;
    let (url, admin) = (format!("{}/iceberg", stack.server_url()), stack.as_admin()?);
    for (engine, packages, script) in
        [("DuckDB", DUCKDB, &*format!("{DUCKDB_SCRIPT}{SHOW}")), ("PyIceberg", PYICEBERG, PYICEBERG_SCRIPT)]
    {
        let found = found(packages, script, &[&url, admin.token()]).await.context(engine)?;
        equal(&found, &ledger, engine);
    }
    equal(&sail(&url, admin.token()).await.context("Sail")?, &ledger, "Sail");
    // Clicks with their last adjustments are what the ledger says now.
    let now = found(DUCKDB, &format!("{DUCKDB_SCRIPT}{SHOW_NOW}"), &[&url, admin.token()]).await?;
    assert_eq!(now.clicks, ledger.clicks);
    Ok(())
}

/// Clicks have the verdicts of when they were archived.
fn equal(found: &Found, ledger: &Found, engine: &str) {
    assert_eq!(received(&found.clicks), received(&ledger.clicks), "{engine}");
    assert_eq!(found.adjustments, ledger.adjustments, "{engine}");
    assert_eq!(found.days, ledger.days, "{engine}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_shows_what_the_last_commit_has_left() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let mut admin = stack.as_admin()?.connection();
    let mut get = async |path: &str| -> Result<(u16, Value)> {
        let (status, body) = admin.get(path).await?;
        Ok((status.as_u16(), serde_json::from_slice(&body)?))
    };
    assert_eq!(get("/iceberg/v1/namespaces").await?, (200, json!({"namespaces": []})));
    assert_eq!(get("/iceberg/v1/namespaces/clickwire").await?.0, 404);
    let _aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    stack.publish(&(0..10).map(click).collect::<Vec<_>>()).await?;
    eventually("they are archived", PATIENCE, async || (stack.archived().await.ok()? == 10).then_some(()))
        .await?;
    assert_eq!(get("/iceberg/v1/namespaces").await?, (200, json!({"namespaces": [["clickwire"]]})));
    assert_eq!(get("/iceberg/v1/namespaces?parent=clickwire").await?, (200, json!({"namespaces": []})));
    assert_eq!(get("/iceberg/v1/namespaces/clickwire").await?.0, 200);
    let names = ["adjustments", "clicks", "daily_counts"];
    let tables = json!({"identifiers": names.map(|name| json!({"namespace": ["clickwire"], "name": name}))});
    assert_eq!(get("/iceberg/v1/namespaces/clickwire/tables").await?, (200, tables));
    assert_eq!(get("/iceberg/v1/namespaces/clickwire/tables/nothing").await?.0, 404);
    let (status, table) = get("/iceberg/v1/namespaces/clickwire/tables/clicks").await?;
    assert_eq!(status, 200);
    let location = table["metadata-location"].as_str().context("no location")?;
    let file: Value =
        serde_json::from_slice(&std::fs::read(location.strip_prefix("file://").context("no file")?)?)?;
    assert_eq!(table["metadata"], file);
    assert_eq!(file["snapshots"][0]["summary"]["total-records"], "10");
    assert_eq!(file["format-version"], 2);
    Ok(())
}

/// Sail as a driver with two workers, asked over Flight SQL.
async fn sail(url: &str, token: &str) -> Result<Found> {
    let path = installed(SAIL).await?;
    let port = Port::Free.reserve("sail")?;
    let catalogs =
        format!(r#"[{{type="iceberg-rest", name="lake", uri="{url}", bearer_access_token="{token}"}}]"#);
    let port_number = port.port().to_string();
    let server = Command::new("python3")
        .env("PYTHONPATH", &path)
        .env("SAIL_MODE", "local-cluster")
        .env("SAIL_CLUSTER__WORKER_INITIAL_COUNT", "2")
        .env("SAIL_CLUSTER__WORKER_MAX_COUNT", "2")
        .env("SAIL_CATALOG__LIST", catalogs)
        .env("SAIL_CATALOG__DEFAULT_CATALOG", "lake")
        .args(["-c", "from pysail.cli import main; main()", "flight", "server", "--port", &port_number])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let found = found(SAIL, SAIL_SCRIPT, &[&port_number]).await;
    drop(server);
    found
}

/// Common part of the scripts: their queries, and the output.
const COMMON: &str = r#"
import json, sys
NAMES = ("valid", "duplicate", "givt", "sivt", "test", "defective")
CLICKS = "SELECT advertiser_id, disposition, count(*) AS n FROM lake.clickwire.clicks GROUP BY 1, 2"
ADJUSTMENTS = "SELECT from_disposition, to_disposition, count(*) AS n FROM lake.clickwire.adjustments GROUP BY 1, 2"
DAYS = "SELECT CAST(day AS STRING) AS day, " + ", ".join(f"CAST(sum({n}) AS BIGINT) AS {n}" for n in NAMES) + \
    " FROM lake.clickwire.daily_counts GROUP BY 1"
def show(clicks, adjustments, days):
    print(json.dumps([clicks, adjustments, [(row[0], name, n) for row in days for name, n in zip(NAMES, row[1:])]]))
"#;

const DUCKDB_SCRIPT: &str = r#"
import duckdb, glob, os
url, token = sys.argv[1:]
at = os.environ["PYTHONPATH"]
db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for name in ("avro", "httpfs", "iceberg"):
    [path] = glob.glob(f"{at}/duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    db.execute(f"LOAD '{path}'")
db.execute(f"ATTACH '' AS lake (TYPE iceberg, ENDPOINT '{url}', TOKEN '{token}')")
ask = lambda sql: db.execute(sql).fetchall()
for table, key in (("clicks", "click_id || advertiser_id"), ("adjustments", "adjustment_id"),
                   ("daily_counts", "concat_ws('/', day, advertiser_id, campaign_id, ad_id, country, device_type)")):
    once = ask(f"SELECT count(DISTINCT {key}) = count(*) FROM lake.clickwire.{table}")
    assert once == [(True,)], f"a row of {table} is there twice"
"#;

/// Prints what the tables have.
const SHOW: &str = "show(ask(CLICKS), ask(ADJUSTMENTS), ask(DAYS))";

/// Prints clicks by the verdict that was the last.
const SHOW_NOW: &str = r#"
now = ask("""
    SELECT c.advertiser_id, coalesce(a.to_disposition, c.disposition), count(*) FROM lake.clickwire.clicks c
      LEFT JOIN (SELECT click_id, advertiser_id, clicked_at, arg_max(to_disposition, adjustment_id) AS to_disposition
                   FROM lake.clickwire.adjustments GROUP BY 1, 2, 3) a
          ON (a.click_id, a.advertiser_id, a.clicked_at) = (c.click_id, c.advertiser_id, c.clicked_at)
     GROUP BY 1, 2""")
show(now, ask(ADJUSTMENTS), ask(DAYS))
"#;

const PYICEBERG_SCRIPT: &str = r#"
import collections
from pyiceberg.catalog import load_catalog
url, token = sys.argv[1:]
catalog = load_catalog("lake", type="rest", uri=url, token=token)
def rows(table, *fields):
    found = catalog.load_table(f"clickwire.{table}").scan(selected_fields=fields).to_arrow().to_pylist()
    return [tuple(row[field] for field in fields) for row in found]
count = lambda found: [[*name, n] for name, n in collections.Counter(found).items()]
days = collections.defaultdict(lambda: [0] * len(NAMES))
for day, *counts in rows("daily_counts", "day", *NAMES):
    days[str(day)] = [one + other for one, other in zip(days[str(day)], counts)]
show(count(rows("clicks", "advertiser_id", "disposition")),
     count(rows("adjustments", "from_disposition", "to_disposition")),
     [(day, *counts) for day, counts in days.items()])
"#;

const SAIL_SCRIPT: &str = r#"
import time
import pyarrow.flight as flight
def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value
name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
deadline = time.time() + 60
def ask(sql):
    command = field(1, name) + field(2, field(1, sql.encode()))
    while True:
        try:
            client = flight.connect(f"grpc://127.0.0.1:{sys.argv[1]}")
            info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
            break
        except flight.FlightUnavailableError:
            if time.time() > deadline:
                raise
            time.sleep(0.2)
    found = [row for end in info.endpoints for row in client.do_get(end.ticket).read_all().to_pylist()]
    return [tuple(row.values()) for row in found]
show(ask(CLICKS), ask(ADJUSTMENTS), ask(DAYS))
"#;
