//! Provisional and final minutes: what advances the watermark, what holds it back, and what a click
//! into a final minute is.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Buckets, Program, Stack, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{
    MINUTE_MS,
    analytics::Aggregate,
    click::Click,
    counts::{DeviceType, Dimensions},
    finality::{self, ALLOWANCE_MS},
    ids::{AdId, AdvertiserId, CampaignId},
    stream::{DEFAULT_PARTITIONS, partition_of},
    times::UnixMs,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// Partition 0 of four: see the test in `protocol/stream.rs`.
const AD: &str = "ad_001";

async fn publish(stack: &Stack, clicked_at_ms: i64, received_at_ms: i64) -> Result<()> {
    let click = Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked(AD),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        clicked_at_ms: UnixMs(clicked_at_ms),
        received_at_ms: UnixMs(received_at_ms),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".into(),
        ..Click::bare(Uuid::now_v7())
    };
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let subject = stack.names().subject(partition_of(&AdId::unchecked(AD), DEFAULT_PARTITIONS));
    nats.publish(subject, serde_json::to_vec(&click)?.into()).await?.await?;
    Ok(())
}

/// By partition; programs and database share one clock here.
async fn watermarks(stack: &Stack) -> Result<Vec<(i32, UnixMs)>> {
    let query = sqlx::query_as(
        "SELECT partition, (extract(epoch FROM counted_until) * 1000)::bigint FROM watermarks ORDER BY partition",
    );
    let rows: Vec<(i32, i64)> = query.fetch_all(stack.database()).await?;
    Ok(rows.into_iter().map(|(partition, at_ms)| (partition, UnixMs(at_ms))).collect())
}

async fn deployment_ms(stack: &Stack) -> Option<i64> {
    finality::watermark(&watermarks(stack).await.ok()?, DEFAULT_PARTITIONS).map(|watermark| watermark.0)
}

/// Waits until the watermark is past now.
async fn follows_the_clock(stack: &Stack) -> Result<i64> {
    let now = now_ms();
    eventually("an idle stream's watermark follows the clock", Duration::from_secs(15), async || {
        deployment_ms(stack).await.filter(|&watermark_ms| watermark_ms > now)
    })
    .await
}

async fn is_counted(stack: &Stack, clicks: i64) -> Result<()> {
    eventually("it is counted", Duration::from_secs(15), async || {
        (stack.ledger().await.ok()? == clicks).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_ahead_do_not_move_it_and_an_uncounted_click_holds_it_back() -> Result<()> {
    let stack = Stack::new().await?;
    let _aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    follows_the_clock(&stack).await?;

    // A user's clock, then a server's.
    let now = now_ms();
    publish(&stack, now + 5 * MINUTE_MS, now).await?;
    publish(&stack, now, now + 60 * MINUTE_MS).await?;
    is_counted(&stack, 2).await?;
    let seen = watermarks(&stack).await?;
    let latest = seen.iter().map(|&(_, counted_until)| counted_until.0).max().context("no watermark")?;
    assert!((now..=now_ms()).contains(&latest), "{seen:?}");
    follows_the_clock(&stack).await?;

    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE clicks IN EXCLUSIVE MODE").execute(&mut *blocking).await?;
    let received_at_ms = now_ms();
    publish(&stack, received_at_ms, received_at_ms).await?;
    let stored_at_ms = now_ms();
    eventually("the other partitions go on", Duration::from_secs(20), async || {
        let seen = watermarks(&stack).await.ok()?;
        seen.iter().all(|&(partition, at)| partition == 0 || at.0 > stored_at_ms + 4_000).then_some(())
    })
    .await?;
    let held_at_ms = deployment_ms(&stack).await.context("no watermark")?;
    assert!(held_at_ms <= stored_at_ms, "{held_at_ms} is past what is not counted: {stored_at_ms}");
    blocking.rollback().await?;
    is_counted(&stack, 3).await?;
    follows_the_clock(&stack).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_into_a_final_minute_is_a_correction_that_shows_at_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let corrections = async |aggregator: &Program| aggregator.metric("clickwire_corrections_total").await;
    follows_the_clock(&stack).await?;
    let now = now_ms();
    publish(&stack, now, now).await?;
    is_counted(&stack, 1).await?;
    assert_eq!(corrections(&aggregator).await?, 0.0, "the minute is provisional");

    let late_ms = now - ALLOWANCE_MS - 2 * MINUTE_MS;
    let final_before = final_before(&stack).await?;
    let is_final =
        |at_ms| finality::is_final(UnixMs(at_ms).minute(), UnixMs(final_before.unix_timestamp() * 1_000));
    assert!(is_final(late_ms) && !is_final(now), "{final_before}");
    publish(&stack, late_ms, now_ms()).await?;
    is_counted(&stack, 2).await?;
    for table in [Buckets::Minutes, Buckets::Hours, Buckets::Days] {
        assert_eq!(stack.received(table).await?, 2, "{table:?}");
    }
    eventually("it is counted as a correction", Duration::from_secs(5), async || {
        (corrections(&aggregator).await.ok()? == 1.0).then_some(())
    })
    .await
}

async fn final_before(stack: &Stack) -> Result<OffsetDateTime> {
    let (_, body) = stack.as_admin()?.connection().get("/api/v1/analytics/aggregate").await?;
    let answer: Aggregate = serde_json::from_slice(&body)?;
    let final_before = answer.final_before.context("nothing is final")?;
    Ok(OffsetDateTime::parse(&final_before, &Rfc3339)?)
}
