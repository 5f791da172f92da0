//! The lake of a stack, in a folder of its own.

use std::{os::unix::fs::symlink, path::PathBuf, process::Output, time::Duration};

use anyhow::{Context as _, Result};
use clickwire_services::Port;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Program, Stack, eventually};

/// Clicks of the tests are received in this time around now.
const AROUND: time::Duration = time::Duration::hours(26);

impl Stack {
    /// The folder with the lake's files, by a link.
    pub fn lake_folder(&self) -> PathBuf {
        self.spools.path().join("lake")
    }

    /// Takes the object store away from the lake, in one moment, or gives it back: what is in it stays.
    pub fn object_store(&self, is_there: bool) -> Result<()> {
        let folder = self.lake_folder();
        let (files, no_folder) = (folder.with_extension("files"), folder.with_extension("away"));
        std::fs::create_dir_all(&files)?;
        std::fs::write(&no_folder, "no folder")?;
        let link = folder.with_extension("link");
        symlink(if is_there { files } else { no_folder }, &link)?;
        Ok(std::fs::rename(link, folder)?)
    }

    fn lake_environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.environment.clone();
        if !environment.iter().any(|(name, _)| *name == "CLICKWIRE_LAKE_URL") {
            environment.push(("CLICKWIRE_LAKE_URL", format!("file://{}", self.lake_folder().display())));
        }
        environment.push(("CLICKWIRE_LAKE_FLUSH_SECONDS", "1".to_owned()));
        if !environment.iter().any(|(name, _)| *name == "CLICKWIRE_LAKE_UPKEEP_SECONDS") {
            environment.push(("CLICKWIRE_LAKE_UPKEEP_SECONDS", "2".to_owned()));
        }
        environment
    }

    /// Starts a lake and returns when it reads the stream.
    pub async fn start_lake(&self) -> Result<Program> {
        let mut lake = self.begin_lake(None).await?;
        lake.await_ready().await?;
        Ok(lake)
    }

    /// Starts a lake that fails at a point, and does not wait until it is ready.
    pub async fn begin_lake(&self, point: Option<&str>) -> Result<Program> {
        if !self.lake_folder().exists() {
            self.object_store(true)?;
        }
        let port = Port::Free.reserve("clickwire-lake")?;
        let mut environment = self.lake_environment();
        environment.extend(point.map(|point| ("FAILPOINTS", point.to_owned())));
        Program::begin_with("clickwire-lake", &["run"], "CLICKWIRE_LAKE_LISTEN", port, environment).await
    }

    /// Runs one of the lake's commands to its end.
    pub async fn lake_command(&self, arguments: &[&str]) -> Result<Output> {
        crate::program::output("clickwire-lake", arguments, &self.lake_environment()).await
    }

    /// Runs one of the lake's commands about the time around now.
    pub async fn lake_command_around_now(&self, command: &str) -> Result<Output> {
        let hour = |time: OffsetDateTime| time.truncate_to_hour().format(&Rfc3339);
        let now = OffsetDateTime::now_utc();
        let (from, to) = (hour(now - AROUND)?, hour(now + AROUND)?);
        self.lake_command(&[command, "--from", &from, "--to", &to]).await
    }

    /// Rows that ranges of the stream have brought into the lake.
    pub async fn archived(&self) -> Result<i64> {
        let rows = "SELECT coalesce(sum(rows), 0)::bigint FROM lake_ranges";
        Ok(sqlx::query_scalar(rows).fetch_one(self.database()).await?)
    }

    /// Waits until the lake has as many clicks as the ledger, and the same, and adjustments and counts of days, too.
    /// Clicks may still be counted meanwhile; a row too many or too few stays.
    pub async fn lake_equals_ledger(&self, within: Duration) -> Result<()> {
        let mut difference = String::new();
        let equal = eventually("the lake has what the ledger has", within, async || {
            let (lake, ledger) = (self.archived().await.ok()?, self.ledger().await.ok()?);
            if lake != ledger {
                difference = format!("the lake holds {lake} clicks, the ledger {ledger}");
                return None;
            }
            let compared = self.lake_command_around_now("verify").await.ok()?;
            difference =
                [compared.stdout, compared.stderr].iter().map(|text| String::from_utf8_lossy(text)).collect();
            compared.status.success().then_some(())
        })
        .await;
        equal.with_context(|| difference)
    }
}
