//! The lake holds every click that the ledger holds, once.

mod engines;
mod erasures;
mod faults;
mod follows;
mod rivals;
mod stalled;
mod stores;
mod upkeep;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Load, Sent, Stack, conservation, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use uuid::Uuid;

use crate::fraud::PERSON;

const PATIENCE: Duration = Duration::from_secs(30);

/// A click of a user, received now.
fn click(user: usize) -> Click {
    let now = UnixMs(now_ms());
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked(format!("ad_{:03}", user % 40)),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        user_id: Some(format!("user_{user}")),
        clicked_at_ms: now,
        received_at_ms: now,
        user_agent: PERSON.into(),
        ip_hash: Some(format!("{user:032x}")),
        ..Click::bare(Uuid::new_v4())
    }
}

/// A click of yesterday, a given number of minutes before its end; it was received then: a day later it would be too late.
fn yesterday(user: usize, minutes: i64) -> Click {
    let now = now_ms();
    let then = UnixMs(now - now.rem_euclid(86_400_000) - minutes * 60_000);
    Click { clicked_at_ms: then, received_at_ms: then, ..click(user) }
}

/// Lets the pointer, and what goes with it, be as they were, as after a restore of an older backup.
async fn forget_commits(stack: &Stack, after: i64) -> Result<()> {
    let pointer = "UPDATE iceberg_tables SET metadata_location = previous_metadata_location \
                    WHERE previous_metadata_location IS NOT NULL";
    sqlx::query(pointer).execute(stack.database()).await?;
    let ranges = "DELETE FROM lake_ranges WHERE last_seq > $1";
    sqlx::query(ranges).bind(after).execute(stack.database()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_the_database_has_lost_are_adopted() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    for batch in 0..2 {
        stack.publish(&(0..40).map(|user| click(batch * 100 + user)).collect::<Vec<_>>()).await?;
        let clicks = (batch as i64 + 1) * 40;
        eventually("they are archived", PATIENCE, async || {
            (stack.archived().await.ok()? == clicks).then_some(())
        })
        .await?;
    }
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    forget_commits(&stack, 40).await?;
    let differs = stack.lake_command_around_now("verify").await?;
    assert!(String::from_utf8(differs.stdout)?.contains("ledger 80 lake 40"));
    let adopted = stack.lake_command(&["adopt"]).await?;
    ensure!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    stack.lake_equals_ledger(PATIENCE).await?;
    let _lake = stack.start_lake().await?;
    stack.publish(&(200..220).map(click).collect::<Vec<_>>()).await?;
    eventually("they are archived", PATIENCE, async || (stack.archived().await.ok()? == 100).then_some(()))
        .await?;
    stack.lake_equals_ledger(PATIENCE).await
}

/// Messages on the stream.
async fn kept(stack: &Stack) -> Option<u64> {
    let mut stream = stack.broker().await.ok()?.get_stream(stack.names().stream()).await.ok()?;
    Some(stream.info().await.ok()?.state.messages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lake_has_each_click_once_and_no_resend_or_dead_letter() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    let (load, mut sent) = (Load::start(&stack, 4, 1)?, Sent::new());
    load.goes_on(500).await?;
    load.finish(&mut sent).await?;

    // The same under other message ids, one in another advertiser's name, one that can't be read, one that came
    // too late, and a test.
    let clicks: Vec<Click> = (0..100).map(click).collect();
    stack.publish(&clicks).await?;
    stack.publish(&clicks).await?;
    let mut others = clicks[..3].to_vec();
    others[0].advertiser_id = AdvertiserId::unchecked("adv_002");
    others[1] = Click { clicked_at_ms: UnixMs(now_ms() - 50 * 3_600_000), ..click(1_000) };
    others[2] = Click { test: true, ..click(1_001) };
    stack.publish(&others).await?;
    let broker = stack.broker().await?;
    broker.publish(stack.names().subject(0), "{}".into()).await?.await?;
    *sent.entry("adv_001".to_owned()).or_default() += 102;
    *sent.entry("adv_002".to_owned()).or_default() += 1;
    conservation::holds(&stack, &sent, PATIENCE).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    ensure!(lake.metric("clickwire_lake_skipped_total{reason=\"resend\"}").await? == 100.0);

    eventually("the stream forgets what is archived", PATIENCE, async || {
        (kept(&stack).await? == 0).then_some(())
    })
    .await?;
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_forgets_nothing_that_a_lake_in_use_has_not_read() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    stack.start_lake().await?.kill().await?;
    stack.publish(&(0..50).map(click).collect::<Vec<_>>()).await?;
    let rounds = "clickwire_housekeeping_rounds_total";
    let before = aggregator.metric(rounds).await?;
    eventually("the clicks are counted, and housekeeping went round", PATIENCE, async || {
        let is_done = aggregator.metric(rounds).await.ok()? >= before + 3.0;
        (is_done && stack.ledger().await.ok()? == 50).then_some(())
    })
    .await?;
    assert_eq!(kept(&stack).await, Some(50));

    // Whoever wants no lake any more says so.
    let detached = stack.lake_command(&["detach"]).await?;
    ensure!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
    eventually("the stream forgets them", PATIENCE, async || (kept(&stack).await? == 0).then_some(())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_that_the_ledger_has_lost_are_restored_and_counted_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _lake = stack.start_lake().await?;
    let clicks: Vec<Click> = (0..200).map(click).collect();
    stack.publish(&clicks).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    eventually("all are archived", PATIENCE, async || (stack.archived().await.ok()? == 200).then_some(()))
        .await?;
    let rows = "SELECT to_jsonb(c) - 'stream_seq' FROM clicks c ORDER BY click_id";
    let before: Vec<serde_json::Value> = sqlx::query_scalar(rows).fetch_all(stack.database()).await?;

    // As after a restore of an older backup.
    let half: Vec<Uuid> = clicks.iter().take(90).map(|click| click.click_id).collect();
    sqlx::query("DELETE FROM clicks WHERE click_id = ANY($1)").bind(&half).execute(stack.database()).await?;
    let differs = stack.lake_command_around_now("verify").await?;
    assert_eq!(differs.status.code(), Some(1));
    assert!(String::from_utf8(differs.stdout)?.contains("ledger 110 lake 200"));

    let restored = stack.lake_command_around_now("restore").await?;
    ensure!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    eventually("the ledger has all again", PATIENCE, async || {
        (stack.ledger().await.ok()? == 200).then_some(())
    })
    .await?;
    let after: Vec<serde_json::Value> = sqlx::query_scalar(rows).fetch_all(stack.database()).await?;
    assert_eq!(before, after);
    eventually("the lake has read what was sent", PATIENCE, async || {
        let read = "SELECT max(last_seq) FROM lake_ranges";
        let read: i64 = sqlx::query_scalar(read).fetch_one(stack.database()).await.ok()?;
        (read == 400).then_some(())
    })
    .await
    .context("400 messages")?;
    stack.lake_equals_ledger(PATIENCE).await
}
