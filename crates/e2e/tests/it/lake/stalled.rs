//! A lake that stands still is an incident, whatever it is for, and loses nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Program, Stack, eventually};
use serde_json::Value;

use super::{PATIENCE, click, kept};

/// A fault of an object store, or of the lake.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The folder is gone.
    Away,
    /// The store takes no more files for a while, though files can be read.
    Full,
    /// The store takes seconds for each file that is put.
    Slow,
    /// There is a store, and no lake.
    Dead,
}

/// The puts until the first commit is through: three tables, and four files of the commit.
const FIRST_COMMIT: u32 = 7;

impl Fault {
    fn point(self) -> Option<String> {
        match self {
            Self::Away | Self::Dead => None,
            Self::Full => Some(format!("lake_store_full={FIRST_COMMIT}*off->8*return->off")),
            Self::Slow => Some(format!("lake_store_slow={FIRST_COMMIT}*off->2*return->off")),
        }
    }

    /// Returns the service that the incident must name as waited for.
    fn service(self) -> Value {
        match self {
            Self::Away | Self::Full => "object_store".into(),
            Self::Slow | Self::Dead => Value::Null,
        }
    }
}

/// Incidents of the lake, by their state.
async fn incidents(stack: &Stack, state: &str) -> Option<Vec<Value>> {
    let path = format!("/api/v1/alerts?state={state}");
    let (_, body) = stack.as_admin().ok()?.connection().get(&path).await.ok()?;
    let page: Value = serde_json::from_slice(&body).ok()?;
    let found = page["data"].as_array()?.iter().filter(|alert| alert["kind"] == "lake_stalled");
    Some(found.cloned().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_object_store_or_a_lake_an_incident_is_open_until_all_is_archived() -> Result<()> {
    for fault in [Fault::Away, Fault::Full, Fault::Slow, Fault::Dead] {
        stands_still(fault).await.with_context(|| format!("{fault:?}"))?;
    }
    Ok(())
}

async fn stands_still(fault: Fault) -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_LAKE_SECONDS", "2");
    stack.set("CLICKWIRE_ALERT_QUIET_SECONDS", "2");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut lake = stack.begin_lake(fault.point().as_deref()).await?;
    lake.await_ready().await?;
    stack.publish(&(0..30).map(click).collect::<Vec<_>>()).await?;
    eventually("all are archived", PATIENCE, async || (stack.archived().await.ok()? == 30).then_some(()))
        .await?;
    // On a busy machine these may have taken long enough to be one.
    let before = eventually("no incident is open", PATIENCE, async || {
        let resolved = incidents(&stack, "resolved").await?.len();
        incidents(&stack, "open").await?.is_empty().then_some(resolved)
    })
    .await?;
    match fault {
        Fault::Away => stack.object_store(false)?,
        Fault::Dead => lake.crash().await?,
        Fault::Full | Fault::Slow => {}
    }
    stack.publish(&(30..60).map(click).collect::<Vec<_>>()).await?;
    let open = eventually("the incident is open", PATIENCE, async || {
        let open = incidents(&stack, "open").await?.into_iter().next()?;
        (open["details"]["waiting_for"] == fault.service()).then_some(open)
    })
    .await?;
    ensure!(open["severity"] == "warning" && open["details"]["messages"] == 30, "{open}");
    ensure!(open["details"]["stream_full_percent"] == 0, "{open}");
    says_so(&stack, &lake, fault).await?;
    match fault {
        Fault::Away => stack.object_store(true)?,
        Fault::Dead => lake.revive().await?,
        Fault::Full | Fault::Slow => {}
    }
    eventually("the incident is over", PATIENCE, async || {
        (incidents(&stack, "open").await?.is_empty()
            && incidents(&stack, "resolved").await?.len() == before + 1)
            .then_some(())
    })
    .await?;
    assert_eq!(stack.archived().await?, 60);
    stack.lake_equals_ledger(PATIENCE).await?;
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    Ok(())
}

/// Clicks are counted and wait on the stream; a lake that runs says what for.
async fn says_so(stack: &Stack, lake: &Program, fault: Fault) -> Result<()> {
    eventually("they are counted", PATIENCE, async || (stack.ledger().await.ok()? == 60).then_some(()))
        .await?;
    if matches!(fault, Fault::Away | Fault::Dead) {
        assert_eq!(stack.archived().await?, 30);
        ensure!(kept(stack).await.is_some_and(|kept| kept >= 30));
    }
    if fault.service() == "object_store" {
        eventually("/health says so", PATIENCE, async || {
            (lake.says_of("object_store").await.ok()? == "waiting").then_some(())
        })
        .await?;
    }
    Ok(())
}
