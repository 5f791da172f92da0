//! Small files are put together, what nothing names is removed, a user is taken out, and counts stay.

use std::{fs, io, os::unix::process::ExitStatusExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{DAY, Stack, eventually, room_in};
use clickwire_process::now_ms;
use clickwire_protocol::{click::Click, times::UnixMs};
use clickwire_services::python_path;
use tokio::process::Command;

use super::{PATIENCE, click, follows, yesterday};

const SOON: Duration = Duration::from_secs(60);

/// Every file below a folder.
pub(super) fn files(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(fs::read(&path)?);
        }
    }
    Ok(found)
}

/// Returns whether a text is in the bytes of an object.
pub(super) fn has(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|window| window == text)
}

/// Users in any data file below a folder: what is packed in it does not show in its bytes.
const USERS: &str = r#"
import glob, json, sys
import pyarrow.parquet as parquet
files = glob.glob(f"{sys.argv[1]}/**/*.parquet", recursive=True)
print(json.dumps(sorted({user for file in files for user in parquet.ParquetFile(file).read(["user_id"])["user_id"].to_pylist() if user})))
"#;

/// The same of a stack's lake.
pub(super) async fn users(stack: &Stack) -> Result<Vec<String>> {
    let path = tokio::task::spawn_blocking(|| python_path(&["pyarrow==26.0.1", "openpyxl==3.1.5"])).await??;
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", path).args(["-c", USERS]).arg(stack.lake_folder());
    let output = python.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Waits until so many clicks are archived.
pub(super) async fn archived(stack: &Stack, clicks: i64) -> Result<()> {
    eventually("they are archived", PATIENCE, async || (stack.archived().await.ok()? == clicks).then_some(()))
        .await
}

/// Data files of a table's newest snapshot.
async fn data_files(stack: &Stack, table: &str) -> Option<u64> {
    let metadata = "SELECT metadata::jsonb FROM lake_metadata WHERE table_name = $1";
    let metadata = sqlx::query_scalar(metadata).bind(table).fetch_one(stack.database());
    let metadata: serde_json::Value = metadata.await.ok()?;
    let current = &metadata["current-snapshot-id"];
    let snapshots = metadata["snapshots"].as_array()?;
    let newest = snapshots.iter().find(|snapshot| &snapshot["snapshot-id"] == current)?;
    newest["summary"]["total-data-files"].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_are_put_together_and_old_ones_removed() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LAKE_UPKEEP_SECONDS", "1");
    stack.set("CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS", "3");
    stack.set("CLICKWIRE_LAKE_COMPACT_FILES", "3");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    // A file is of one day.
    room_in(DAY, Duration::from_secs(60)).await;
    for batch in 0..7 {
        stack.publish(&(0..20).map(|user| click(batch * 100 + user)).collect::<Vec<_>>()).await?;
        archived(&stack, (batch as i64 + 1) * 20).await?;
    }
    eventually("the files are put together", SOON, async || {
        (data_files(&stack, "clicks").await? < 3).then_some(())
    })
    .await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    let in_use = data_files(&stack, "clicks").await.unwrap_or_default();
    eventually("the others are removed", SOON, async || {
        let folder = stack.lake_folder().join("clickwire/clicks/data");
        (files(&folder).ok()?.len() as u64 <= in_use).then_some(())
    })
    .await?;
    stack.lake_equals_ledger(PATIENCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_in_no_object_after_the_grace() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LAKE_UPKEEP_SECONDS", "1");
    stack.set("CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS", "5");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    // Beside others, and as the only one of a file, whose name is then in the file's bounds.
    let mut clicks: Vec<_> = (0..30).map(click).collect();
    clicks.iter_mut().step_by(5).for_each(|click| click.user_id = Some("somebody-to-forget".to_owned()));
    stack.publish(&clicks).await?;
    archived(&stack, 30).await?;
    let mut alone = click(100);
    alone.user_id = Some("somebody-to-forget".to_owned());
    stack.publish(&[alone]).await?;
    archived(&stack, 31).await?;
    let is_there =
        || anyhow::Ok(files(&stack.lake_folder())?.iter().any(|file| has(file, b"somebody-to-forget")));
    ensure!(is_there()?, "the test would not see the user");
    ensure!(users(&stack).await?.iter().any(|user| user == "somebody-to-forget"));

    let erase = ["erase-user", "--advertiser", "adv_001", "--user", "somebody-to-forget"];
    let erased = stack.lake_command(&erase).await?;
    ensure!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    assert!(String::from_utf8(erased.stdout)?.starts_with("7 rows erased"));
    eventually("no object has the user", SOON, async || (!is_there().ok()?).then_some(())).await?;
    let users = users(&stack).await?;
    ensure!(users.len() == 24 && !users.iter().any(|user| user == "somebody-to-forget"), "{users:?}");
    stack.lake_equals_ledger(PATIENCE).await?;
    // And it goes on.
    stack.publish(&[click(200)]).await?;
    archived(&stack, 32).await?;
    stack.lake_equals_ledger(PATIENCE).await
}

/// SIGABRT: what dies at a point dies by this, and nothing else does.
const ABORTED: i32 = 6;

/// Points at which a lake dies that follows the ledger and looks after its tables.
const POINTS: [&str; 12] = [
    "lake_adjustments_written",
    "lake_adjustments_committed",
    "lake_days_written",
    "lake_days_committed",
    "lake_retention_written",
    "lake_retention_committed",
    "lake_compaction_file_written",
    "lake_compaction_written",
    "lake_compaction_committed",
    "lake_expiry_written",
    "lake_expired",
    "lake_file_removed",
];

/// A click that was received three days ago.
fn old(user: usize) -> Click {
    let then = UnixMs(now_ms() - 3 * 86_400_000);
    Click { clicked_at_ms: then, received_at_ms: then, ..click(user) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_of_upkeep_leaves_every_row_once_and_no_file_for_ever() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LAKE_UPKEEP_SECONDS", "1");
    stack.set("CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS", "2");
    stack.set("CLICKWIRE_LAKE_COMPACT_FILES", "2");
    stack.set("CLICKWIRE_LAKE_RETENTION_DAYS", "2");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.yesterday_is_stored().await?;
    // From its first start on the stream keeps what is counted.
    stack.start_lake().await?.kill().await?;
    let convicted = follows::burst(0..60);
    let mut counted = 60;
    stack.publish(&convicted).await?;
    for (round, (point, convicted)) in POINTS.into_iter().zip(&convicted).enumerate() {
        let number = round * 100 + 1_000;
        let clicks = [click(number), click(number + 1), yesterday(number + 2, 30), old(number + 3)];
        stack.publish(&clicks).await?;
        counted += clicks.len() as i64;
        eventually("they are counted", PATIENCE, async || {
            (stack.ledger().await.ok()? == counted).then_some(())
        })
        .await?;
        // A verdict changes, and its day does.
        follows::release(&stack, convicted).await?;
        let lake = stack.begin_lake(Some(&format!("{point}=return"))).await?;
        let ended = lake.ended(SOON).await.with_context(|| point.to_owned())?;
        ensure!(ended.signal() == Some(ABORTED), "{point}: {ended}");
        let successor = stack.start_lake().await?;
        stack.lake_equals_ledger(SOON).await.with_context(|| point.to_owned())?;
        successor.kill().await?;
    }
    let _lake = stack.start_lake().await?;
    for table in ["clicks", "adjustments", "daily_counts"] {
        let folder = stack.lake_folder().join("clickwire").join(table).join("data");
        eventually(&format!("{table}: no file is there that is in no snapshot"), SOON, async || {
            let (files, in_use) = (files(&folder).ok()?.len() as u64, data_files(&stack, table).await?);
            (files == in_use).then_some(())
        })
        .await?;
    }
    stack.lake_equals_ledger(PATIENCE).await
}
