//! Unique users are the users that there are, whatever is resent, killed or folded.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{
    MINUTE_MS,
    analytics::Aggregate,
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use clickwire_uniques::Sketch;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::fraud::PERSON;

const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Few users on three campaigns: in the last two hours, forty hours ago, and three days ago, where
/// minutes are not kept. Some are nobody's, some robots' or repeats, some tests, some too late.
fn clicks(random: &mut StdRng) -> Vec<Click> {
    let now = now_ms();
    let mut clicks = Vec::new();
    for number in 0..1_200_u32 {
        let age_ms = match number % 10 {
            0 | 1 => 3 * 24 * HOUR_MS + random.random_range(0..HOUR_MS),
            2 => 40 * HOUR_MS + random.random_range(0..HOUR_MS),
            _ => random.random_range(0..2 * HOUR_MS),
        };
        let (test, too_late) = (number % 50 == 7, number % 50 == 8);
        let user: u32 = random.random_range(0..150);
        let who = if test || too_late { "nobody_counts" } else { "user" };
        clicks.push(Click {
            advertiser_id: AdvertiserId::unchecked("adv_001"),
            dimensions: Dimensions {
                campaign_id: CampaignId::unchecked(format!("camp_{:03}", random.random_range(1..=3))),
                ad_id: AdId::unchecked(format!("ad_{:03}", random.random_range(1..=12))),
                country: "DE".into(),
                device_type: DeviceType::Mobile,
            },
            user_id: (number % 15 != 0).then(|| format!("{who}_{user}")),
            clicked_at_ms: UnixMs(if too_late { now - 30 * HOUR_MS } else { now - age_ms }),
            received_at_ms: UnixMs(if too_late { now } else { now - age_ms }),
            user_agent: if random.random_bool(0.05) { String::new() } else { PERSON.into() },
            test,
            ..Click::bare(Uuid::from_u128(random.random()))
        });
    }
    clicks
}

/// Users by start of the bucket in Unix milliseconds, and campaign if by campaign.
fn expected(clicks: &[Click], width_ms: i64, by_campaign: bool) -> BTreeMap<(i64, Option<String>), i64> {
    let mut users: BTreeMap<_, HashSet<&str>> = BTreeMap::new();
    for click in clicks.iter().filter(|click| is_counted(click)) {
        let bucket_ms = click.clicked_at_ms.0 - click.clicked_at_ms.0.rem_euclid(width_ms);
        let campaign = by_campaign.then(|| click.dimensions.campaign_id.to_string());
        users.entry((bucket_ms, campaign)).or_default().extend(click.user_id.as_deref());
    }
    users.into_iter().map(|(key, users)| (key, users.len() as i64)).collect()
}

fn is_counted(click: &Click) -> bool {
    !click.test && click.clicked_at_ms == click.received_at_ms
}

/// Asks about the last `hours` hours.
async fn ask(stack: &Stack, hours: i64, query: &str) -> Result<Aggregate> {
    let start = (OffsetDateTime::now_utc() - time::Duration::hours(hours)).format(&Rfc3339)?;
    let path = format!("/api/v1/analytics/aggregate?start_time={start}&{query}");
    let (status, body) = stack.as_viewer("adv_001")?.connection().get(&path).await?;
    assert_eq!(status, 200, "{query}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}

async fn assert_answers(stack: &Stack, clicks: &[Click]) -> Result<()> {
    let all: HashSet<&str> = clicks
        .iter()
        .filter(|click| is_counted(click))
        .filter_map(|click| click.user_id.as_deref())
        .collect();
    for (granularity, width_ms, hours) in
        [("minute", MINUTE_MS, 45), ("hour", HOUR_MS, 75), ("day", 24 * HOUR_MS, 75)]
    {
        for by_campaign in [false, true] {
            let group = if by_campaign { "&group_by=campaign_id" } else { "" };
            let answer = ask(stack, hours, &format!("granularity={granularity}{group}")).await?;
            let mut expected = expected(clicks, width_ms, by_campaign);
            for row in &answer.data {
                let bucket = OffsetDateTime::parse(&row.time_bucket, &Rfc3339)?.unix_timestamp() * 1_000;
                let users = expected.remove(&(bucket, row.campaign_id.clone())).unwrap_or(0);
                assert_eq!(row.unique_users, Some(users), "{granularity}{group}: {row:?}");
            }
            let asked_from_ms = now_ms() - hours * HOUR_MS;
            assert!(expected.keys().all(|(bucket_ms, _)| *bucket_ms < asked_from_ms), "{expected:?}");
            if granularity != "minute" {
                assert_eq!(answer.total_unique_users, Some(all.len() as i64), "{granularity}{group}");
            }
        }
    }
    let of_one = clicks
        .iter()
        .filter(|click| is_counted(click) && click.dimensions.campaign_id.as_str() == "camp_002");
    let of_one: HashSet<&str> = of_one.filter_map(|click| click.user_id.as_deref()).collect();
    let answer = ask(stack, 75, "granularity=hour&campaign_id=camp_002").await?;
    assert_eq!(answer.total_unique_users, Some(of_one.len() as i64));
    Ok(())
}

/// Days are their own sketches, and those of hours and minutes that are not folded yet, in one snapshot.
async fn assert_days(stack: &Stack, clicks: &[Click]) -> Result<()> {
    for (campaign, of_days) in [("campaign_id", "campaign_id <> ''"), ("NULL", "campaign_id = ''")] {
        let from = |table: &str, which: &str| {
            format!(
                "SELECT date_trunc('day', bucket, 'UTC') AS day, {campaign}::text AS campaign_id, sketch \
                   FROM {table} WHERE advertiser_id = 'adv_001' AND {which}"
            )
        };
        let parts =
            [("unique_days", of_days), ("unique_hours", "NOT folded"), ("unique_minutes", "NOT folded")];
        let sql = parts.map(|(table, which)| from(table, which)).join(" UNION ALL ");
        let rows: Vec<(OffsetDateTime, Option<String>, Vec<u8>)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(stack.database()).await?;
        let mut merged: BTreeMap<_, Sketch> = BTreeMap::new();
        for (day, campaign_id, sketch) in rows {
            merged.entry((day.unix_timestamp() * 1_000, campaign_id)).or_default().merge_bytes(&sketch)?;
        }
        let users: BTreeMap<_, i64> = merged.into_iter().map(|(key, sketch)| (key, sketch.users())).collect();
        assert_eq!(users, expected(clicks, 24 * HOUR_MS, campaign == "campaign_id"), "{campaign}");
    }
    Ok(())
}

/// Minutes are not kept for so long, and nothing is kept by country, device or ad.
async fn assert_silent_where_nobody_knows(stack: &Stack) -> Result<()> {
    let answer = ask(stack, 75, "granularity=minute").await?;
    assert!(answer.data.first().is_some_and(|row| row.unique_users.is_none()));
    assert!(answer.data.last().is_some_and(|row| row.unique_users.is_some()));
    assert_eq!(answer.total_unique_users, None);
    for query in ["country=DE", "group_by=device_type", "group_by=campaign_id,ad_id"] {
        let answer = ask(stack, 75, &format!("granularity=hour&{query}")).await?;
        assert!(answer.total_clicks > 0 && answer.total_unique_users.is_none(), "{query}");
        assert!(answer.data.iter().all(|row| row.unique_users.is_none()), "{query}");
    }
    Ok(())
}

/// Minutes, and hours that are over.
async fn unfolded(stack: &Stack) -> Result<(i64, i64)> {
    let count = "SELECT (SELECT count(*) FROM unique_minutes WHERE NOT folded), \
                        (SELECT count(*) FROM unique_hours WHERE NOT folded AND bucket < now() - INTERVAL '2 hours')";
    Ok(sqlx::query_as(count).fetch_one(stack.database()).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_users_are_exact_for_small_sets_however_clicks_come() -> Result<()> {
    let mut random = StdRng::seed_from_u64(23);
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_BATCH_MAX", "40");
    stack.set("CLICKWIRE_ACK_WAIT_SECONDS", "2");
    // Only what starts folds.
    stack.set("CLICKWIRE_HOUSEKEEPING_SECONDS", "3600");
    let _server = stack.start_server().await?;
    let nats = async_nats::jetstream::new(async_nats::connect(stack.services().nats_url()).await?);
    let mut aggregators = vec![stack.start_aggregator().await?, stack.start_aggregator().await?];
    let clicks = clicks(&mut random);
    let mut resent = clicks.clone();
    resent.shuffle(&mut random);

    let (first, second) = clicks.split_at(clicks.len() / 2);
    stack.publish(first).await?;
    aggregators.remove(0).kill().await?;
    aggregators.push(stack.start_aggregator().await?);
    stack.publish(&resent[..clicks.len() / 2]).await?;
    stack.publish(second).await?;
    eventually("every click is in the ledger", Duration::from_secs(60), async || {
        (stack.ledger().await.ok()? == clicks.len() as i64).then_some(())
    })
    .await?;
    let (minutes, hours) = unfolded(&stack).await?;
    assert!(
        minutes > 0 && hours > 0,
        "days must be asked while {minutes} minutes, {hours} hours are not folded"
    );
    assert_answers(&stack, &clicks).await?;
    assert_days(&stack, &clicks).await?;

    stack.set("CLICKWIRE_HOUSEKEEPING_SECONDS", "1");
    aggregators.push(stack.start_aggregator().await?);
    stack.publish(&resent).await?;
    let mut stream = nats.get_stream(stack.names().stream()).await?;
    eventually("all is counted and folded", Duration::from_secs(60), async || {
        let left = stream.info().await.ok()?.state.messages;
        (left == 0 && unfolded(&stack).await.ok()? == (0, 0)).then_some(())
    })
    .await?;
    assert_answers(&stack, &clicks).await?;
    assert_days(&stack, &clicks).await?;
    assert_silent_where_nobody_knows(&stack).await?;

    // A user of an hour whose day is folded, three days ago; and a version that knows of no days writes an hour.
    let mut late = clicks
        .iter()
        .find(|click| UnixMs(now_ms()) - click.clicked_at_ms > 60 * HOUR_MS)
        .context("none")?
        .clone();
    (late.click_id, late.user_id) = (Uuid::from_u128(random.random()), Some("late".into()));
    late.user_agent = PERSON.into();
    let clicks: Vec<Click> = clicks.into_iter().chain([late.clone()]).collect();
    stack.publish(&[late]).await?;
    eventually("the late click is in the ledger", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == clicks.len() as i64).then_some(())
    })
    .await?;
    assert_days(&stack, &clicks).await?;
    sqlx::query("UPDATE unique_hours SET sketch = sketch").execute(stack.database()).await?;
    assert_days(&stack, &clicks).await?;
    eventually("hours are folded again", Duration::from_secs(20), async || {
        (unfolded(&stack).await.ok()? == (0, 0)).then_some(())
    })
    .await?;
    assert_days(&stack, &clicks).await?;
    let other = stack.as_viewer("adv_002")?.connection().get("/api/v1/analytics/aggregate").await?;
    let other: Value = serde_json::from_slice(&other.1).context("the answer")?;
    assert_eq!(other["total_unique_users"], 0);
    Ok(())
}
