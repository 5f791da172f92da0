//! Small files are put together, what nothing names is removed, a user is taken out, and counts stay.

use std::{fs, io, path::Path, time::Duration};

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_services::python_path;
use tokio::process::Command;

use super::{PATIENCE, click};

const SOON: Duration = Duration::from_secs(40);

/// Every file below a folder.
fn files(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
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

/// Whether a text is in the bytes of an object.
fn has(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|window| window == text)
}

/// Users in any data file below a folder: what is packed in it does not show in its bytes.
const USERS: &str = r#"
import glob, json, sys
import pyarrow.parquet as parquet
files = glob.glob(f"{sys.argv[1]}/**/*.parquet", recursive=True)
print(json.dumps(sorted({user for file in files for user in parquet.ParquetFile(file).read(["user_id"])["user_id"].to_pylist() if user})))
"#;

async fn users(stack: &Stack) -> Result<Vec<String>> {
    let path = tokio::task::spawn_blocking(|| python_path(&["pyarrow==26.0.1", "openpyxl==3.1.5"])).await??;
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", path).args(["-c", USERS]).arg(stack.lake_folder());
    let output = python.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn archived(stack: &Stack, clicks: i64) -> Result<()> {
    eventually("they are archived", PATIENCE, async || (stack.archived().await.ok()? == clicks).then_some(()))
        .await
}

/// Data files of the newest snapshot.
async fn data_files(stack: &Stack) -> Option<u64> {
    let metadata = "SELECT metadata::jsonb FROM lake_metadata WHERE table_name = 'clicks'";
    let metadata: serde_json::Value = sqlx::query_scalar(metadata).fetch_one(stack.database()).await.ok()?;
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
    for batch in 0..7 {
        stack.publish(&(0..20).map(|user| click(batch * 100 + user)).collect::<Vec<_>>()).await?;
        archived(&stack, (batch as i64 + 1) * 20).await?;
    }
    eventually("the files are put together", SOON, async || (data_files(&stack).await? < 3).then_some(()))
        .await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    let in_use = data_files(&stack).await.unwrap_or_default();
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
