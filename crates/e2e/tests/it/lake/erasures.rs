//! An erasure that is ordered from the ledger reaches the lake without anybody's hand.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_protocol::click::Click;
use serde_json::{Value, json};

use super::{
    PATIENCE, click,
    upkeep::{archived, files, has, users},
};

const USER: &str = "somebody-to-forget";

/// A click of the user.
fn of_user(number: usize) -> Click {
    Click { user_id: Some(USER.to_owned()), ..click(number) }
}

/// Orders the erasure.
async fn order(stack: &Stack) -> Result<Value> {
    let order = json!({"advertiser_id": "adv_001", "user_id": USER, "reason": "asked for it, ticket 7"});
    let mut admin = stack.as_admin()?.connection();
    let (status, body) = admin.post("/api/v1/admin/erasures", order.to_string().into_bytes()).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}

/// Returns the server's list of all erasures.
async fn list(stack: &Stack) -> Result<Vec<Value>> {
    let (_, body) = stack.as_admin()?.connection().get("/api/v1/admin/erasures").await?;
    let page: Value = serde_json::from_slice(&body)?;
    Ok(page["data"].as_array().context("no erasures")?.clone())
}

/// Waits until the lake has come to a state with the latest erasure, and returns it.
async fn comes_to(stack: &Stack, state: &str) -> Result<Value> {
    eventually(&format!("the erasure is {state}"), PATIENCE, async || {
        let latest = list(stack).await.ok()?.into_iter().next()?;
        (latest["lake"]["state"] == state).then_some(latest)
    })
    .await
}

async fn counted(stack: &Stack, clicks: i64) -> Result<()> {
    eventually("they are counted", PATIENCE, async || (stack.ledger().await.ok()? == clicks).then_some(()))
        .await
}

/// Points of an erasure at which a lake dies.
const POINTS: [&str; 3] = ["lake_erasure_file_written", "lake_erasure_committed", "lake_file_removed"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_erasure_is_carried_out_by_whichever_lake_runs() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LAKE_UPKEEP_SECONDS", "1");
    stack.set("CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS", "4");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    // Without a lake there is nothing to order.
    assert_eq!(order(&stack).await?["lake"], Value::Null);
    assert_eq!(list(&stack).await?[0]["lake"], Value::Null);

    let lake = stack.start_lake().await?;
    for batch in 0..2 {
        let mut clicks: Vec<_> = (0..20).map(|number| click(batch * 100 + number)).collect();
        clicks.extend((0..3).map(|number| of_user(batch * 100 + 50 + number)));
        stack.publish(&clicks).await?;
        archived(&stack, (batch as i64 + 1) * 23).await?;
    }
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    // Counted, so erased in the ledger, and still on the stream under the user's name.
    stack.publish(&[of_user(500), of_user(501), click(502)]).await?;
    counted(&stack, 49).await?;
    let ordered = order(&stack).await?;
    assert_eq!((&ordered["lake"], &ordered["clicks"]), (&json!("waiting"), &json!(8)), "{ordered}");
    let waiting = list(&stack).await?;
    assert_eq!((waiting.len(), &waiting[0]["lake"]["state"]), (2, &json!("waiting")), "{waiting:?}");
    assert_eq!(waiting[0]["erasure_id"], ordered["erasure_id"]);

    for point in POINTS {
        let lake = stack.begin_lake(Some(&format!("{point}=return"))).await?;
        lake.ended(PATIENCE).await.with_context(|| point.to_owned())?;
    }
    let _lake = stack.start_lake().await?;
    let done = comes_to(&stack, "done").await?;
    assert_eq!(done["lake"]["rows"], 8, "{done}");
    ensure!(!done.to_string().contains(USER), "{done}");
    archived(&stack, 49).await?;
    ensure!(!files(&stack.lake_folder())?.iter().any(|file| has(file, USER.as_bytes())));
    let left = users(&stack).await?;
    ensure!(left.len() == 41 && !left.iter().any(|user| user == USER), "{left:?}");
    stack.lake_equals_ledger(PATIENCE).await?;

    // The user who comes back is a new one, and can be erased again. An order of nobody's comes to its end, too.
    stack.publish(&[of_user(600)]).await?;
    archived(&stack, 50).await?;
    for rows in [1, 0] {
        assert_eq!(order(&stack).await?["lake"], "waiting");
        assert_eq!(comes_to(&stack, "done").await?["lake"]["rows"], rows);
    }
    ensure!(!files(&stack.lake_folder())?.iter().any(|file| has(file, USER.as_bytes())));
    // Nobody can find the user by what is recorded.
    let hashes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM lake_erasures WHERE num_nonnulls(salt, user_hash) > 0")
            .fetch_one(stack.database())
            .await?;
    assert_eq!(hashes, 0);
    stack.lake_equals_ledger(PATIENCE).await
}
