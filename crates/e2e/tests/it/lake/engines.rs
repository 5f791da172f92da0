//! Engines read the ledger's counts through the catalog that the server shows.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Load, Sent, Stack, conservation, eventually};
use clickwire_services::{Port, python_path};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use super::{PATIENCE, click};

const DUCKDB: &[&str] = &[
    "duckdb==1.5.5",
    "duckdb-extension-avro==1.5.5",
    "duckdb-extension-httpfs==1.5.5",
    "duckdb-extension-iceberg==1.5.5",
];
const PYICEBERG: &[&str] = &["pyarrow==26.0.1", "pyiceberg==0.12.0"];
const SAIL: &[&str] = &["pyarrow==26.0.1", "pysail==0.7.2"];

/// Clicks by advertiser and disposition.
type Counts = BTreeMap<(String, String), i64>;

/// What a program in Python prints: rows of advertiser, disposition, clicks.
async fn counts(packages: &'static [&'static str], script: &str, arguments: &[&str]) -> Result<Counts> {
    let path = installed(packages).await?;
    let python = Command::new("python3")
        .env("PYTHONPATH", &path)
        .args(["-c", script])
        .args(arguments)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, .. } = timeout(Duration::from_secs(120), python).await??;
    ensure!(status.success(), "{status}");
    let rows: Vec<(String, String, i64)> = serde_json::from_slice(&stdout)?;
    Ok(rows
        .into_iter()
        .map(|(advertiser, disposition, clicks)| ((advertiser, disposition), clicks))
        .collect())
}

async fn installed(packages: &'static [&'static str]) -> Result<PathBuf> {
    Ok(tokio::task::spawn_blocking(|| python_path(packages)).await??)
}

/// A stack whose lake has clicks, in some commits, and what the ledger says of them.
async fn filled(stack: &mut Stack) -> Result<Counts> {
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    let mut sent = Sent::new();
    for round in 0..3 {
        let load = Load::start(stack, 2, round)?;
        load.goes_on(150).await?;
        load.finish(&mut sent).await?;
        conservation::holds(stack, &sent, PATIENCE).await?;
        stack.lake_equals_ledger(PATIENCE).await?;
    }
    // Commits without rows, too.
    let clicks: Vec<_> = (0..20).map(click).collect();
    let before = stack.ledger().await?;
    stack.publish(&clicks).await?;
    eventually("they are counted", PATIENCE, async || {
        (stack.ledger().await.ok()? == before + 20).then_some(())
    })
    .await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    stack.publish(&clicks).await?;
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT advertiser_id, disposition::text, count(*) FROM clicks GROUP BY 1, 2")
            .fetch_all(stack.database())
            .await?;
    Ok(rows
        .into_iter()
        .map(|(advertiser, disposition, clicks)| ((advertiser, disposition), clicks))
        .collect())
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
    ensure!(ledger.values().sum::<i64>() > 450 && received(&ledger).len() > 1, "{ledger:?}");
    let _server = stack.start_server().await?;
    let (url, admin) = (format!("{}/iceberg", stack.server_url()), stack.as_admin()?);
    for (engine, packages, script) in
        [("DuckDB", DUCKDB, DUCKDB_SCRIPT), ("PyIceberg", PYICEBERG, PYICEBERG_SCRIPT)]
    {
        let found = counts(packages, script, &[&url, admin.token()]).await.context(engine)?;
        assert_eq!(received(&found), received(&ledger), "{engine}");
    }
    let found = sail(&url, admin.token()).await.context("Sail")?;
    assert_eq!(received(&found), received(&ledger), "Sail");

    Ok(())
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
    let tables = json!({"identifiers": [{"namespace": ["clickwire"], "name": "clicks"}]});
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
async fn sail(url: &str, token: &str) -> Result<Counts> {
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
    let counts = counts(SAIL, SAIL_SCRIPT, &[&port_number]).await;
    drop(server);
    counts
}

const DUCKDB_SCRIPT: &str = r#"
import duckdb, glob, json, os, sys
url, token = sys.argv[1:]
at = os.environ["PYTHONPATH"]
db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for name in ("avro", "httpfs", "iceberg"):
    [path] = glob.glob(f"{at}/duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    db.execute(f"LOAD '{path}'")
db.execute(f"ATTACH '' AS lake (TYPE iceberg, ENDPOINT '{url}', TOKEN '{token}')")
rows = db.execute("SELECT advertiser_id, disposition, count(*) FROM lake.clickwire.clicks GROUP BY 1, 2").fetchall()
ids = db.execute("SELECT count(DISTINCT click_id || advertiser_id) = count(*) FROM lake.clickwire.clicks").fetchone()
assert ids == (True,), "a click is there twice"
print(json.dumps(rows))
"#;

const PYICEBERG_SCRIPT: &str = r#"
import collections, json, sys
from pyiceberg.catalog import load_catalog
url, token = sys.argv[1:]
table = load_catalog("lake", type="rest", uri=url, token=token).load_table("clickwire.clicks")
rows = table.scan(selected_fields=("advertiser_id", "disposition")).to_arrow().to_pylist()
counts = collections.Counter((row["advertiser_id"], row["disposition"]) for row in rows)
print(json.dumps([[*name, clicks] for name, clicks in counts.items()]))
"#;

const SAIL_SCRIPT: &str = r#"
import json, sys, time
import pyarrow.flight as flight
def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value
sql = "SELECT advertiser_id, disposition, count(*) AS clicks FROM lake.clickwire.clicks GROUP BY 1, 2"
name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
command = field(1, name) + field(2, field(1, sql.encode()))
deadline = time.time() + 60
while True:
    try:
        client = flight.connect(f"grpc://127.0.0.1:{sys.argv[1]}")
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
        break
    except flight.FlightUnavailableError:
        if time.time() > deadline:
            raise
        time.sleep(0.2)
rows = [row for endpoint in info.endpoints for row in client.do_get(endpoint.ticket).read_all().to_pylist()]
print(json.dumps([[row["advertiser_id"], row["disposition"], row["clicks"]] for row in rows]))
"#;
