//! A database that is gone comes back as it was: from a base backup, and what was counted since from the lake and the
//! stream. As docs/operate/backup-and-restore.md has it, step by step.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use clickwire_e2e::{Load, Screens, Sent, Stack, conservation, eventually, people::Person, post_until_taken};
use clickwire_uniques::Union;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

const PATIENCE: Duration = Duration::from_secs(60);

const ADVERTISERS: [&str; 3] = ["adv_001", "adv_002", "adv_003"];

/// Data that must be equal: verdicts on clicks, and everything that is billed or shown. Versions and positions in the
/// stream tell copies of rows apart and are never shown.
const EQUAL: [(&str, &str, &str); 4] = [
    ("clicks", "to_jsonb(t) - 'stream_seq'", "advertiser_id, click_id"),
    (
        "click_minutes",
        "to_jsonb(t) - 'version'",
        "bucket, advertiser_id, campaign_id, ad_id, country, device_type",
    ),
    ("click_hours", "to_jsonb(t)", "bucket, advertiser_id, campaign_id, ad_id, country, device_type"),
    ("click_days", "to_jsonb(t)", "bucket, advertiser_id, campaign_id, ad_id, country, device_type"),
];

async fn all(stack: &Stack) -> Result<Vec<(&'static str, Vec<Value>)>> {
    let mut all = Vec::new();
    for (table, row, order) in EQUAL {
        let sql = format!("SELECT {row} FROM {table} t ORDER BY {order}");
        all.push((table, sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(stack.database()).await?));
    }
    Ok(all)
}

/// Unique users by advertiser and campaign. A sketch of few is a list in the order in which they came.
async fn users(stack: &Stack) -> Result<BTreeMap<(String, String), i64>> {
    let sketches = "SELECT advertiser_id, campaign_id, sketch FROM unique_minutes";
    let sketches: Vec<(String, String, Vec<u8>)> =
        sqlx::query_as(sketches).fetch_all(stack.database()).await?;
    let mut unions = BTreeMap::<_, Union>::new();
    for (advertiser_id, campaign_id, sketch) in sketches {
        unions.entry((advertiser_id, campaign_id)).or_default().add(&sketch)?;
    }
    Ok(unions.into_iter().map(|(campaign, union)| (campaign, union.users())).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_backup_and_the_lake_make_the_database_equal_to_before() -> Result<()> {
    let mut stack = Stack::alone().await?;
    // The lake is frozen for a while: its messages must not have come again before it is killed.
    stack.set("CLICKWIRE_ACK_WAIT_SECONDS", "30");
    let server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let mut sent = Sent::new();
    post(&stack, 300, 1, &mut sent).await?;
    let old = json!({"click_id": uuid::Uuid::now_v7(), "advertiser_id": "adv_001", "campaign_id": "camp_001",
        "ad_id": "ad_001"});
    post_until_taken(&mut stack.poster()?, &old).await?;
    *sent.entry("adv_001".to_owned()).or_default() += 1;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    tokio::task::block_in_place(|| stack.services().back_up_database())?;

    // What the backup does not have: in the lake, and counted without being there yet.
    post(&stack, 300, 2, &mut sent).await?;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    let archived = stack.archived().await?;
    lake.freeze(true).await?;
    post(&stack, 100, 3, &mut sent).await?;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    ensure!(stack.archived().await? == archived, "a frozen lake has archived");
    let (before, users_before) = (all(&stack).await?, users(&stack).await?);
    ensure!(users_before.values().sum::<i64>() > 100, "{users_before:?}");
    for program in [server, aggregator, lake] {
        program.kill().await?;
    }

    tokio::task::block_in_place(|| stack.services().restore_database())?;
    eventually("the database answers", PATIENCE, async || stack.ledger().await.ok()).await?;
    let kept = stack.ledger().await?;
    ensure!(kept < archived, "the backup holds {kept} clicks of {archived}");
    let adopted = stack.lake_command(&["adopt"]).await?;
    ensure!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    let again = stack.command(&["read-again"]).await?;
    ensure!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    let all_sent: i64 = sent.values().sum();
    let read = eventually("the lake has read what the stream holds", PATIENCE, async || {
        (stack.archived().await.ok()? == all_sent).then_some(())
    });
    if read.await.is_err() {
        ensure!(false, "the lake has {} of {all_sent} clicks", stack.archived().await?);
    }
    let restored = stack.lake_command_around_now("restore").await?;
    ensure!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    conservation::holds(&stack, &sent, PATIENCE).await?;
    let rounds = "clickwire_housekeeping_rounds_total";
    let round = aggregator.metric(rounds).await?;
    eventually("the stored hours are up to date", PATIENCE, async || {
        (aggregator.metric(rounds).await.ok()? > round + 1.0).then_some(())
    })
    .await?;
    for ((table, before), (_, after)) in before.iter().zip(&all(&stack).await?) {
        assert_eq!(before.len(), after.len(), "{table}");
        for (before, after) in before.iter().zip(after) {
            assert_eq!(before, after, "{table}");
        }
    }
    assert_eq!(users_before, users(&stack).await?);
    stack.lake_equals_ledger(PATIENCE).await?;

    // People sign in as before, screens show it all, a resend is refused, and a new click is counted.
    let _server = stack.start_server().await?;
    let anna = Person::sign_in(stack.server_url(), "anna", &password).await?;
    let settings = anna.send("GET /api/v1/settings", "").await?;
    assert_eq!(settings.status, 200, "{settings:?}");
    let mut screens = Screens::open(&stack, ADVERTISERS)?;
    screens.show(&sent, PATIENCE).await?;
    post_until_taken(&mut stack.poster()?, &old).await?;
    post(&stack, 20, 4, &mut sent).await?;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    screens.show(&sent, PATIENCE).await
}

async fn post(stack: &Stack, clicks: usize, seed: u64, sent: &mut Sent) -> Result<()> {
    let load = Load::start(stack, 2, seed)?;
    load.goes_on(clicks).await?;
    load.finish(sent).await
}
