//! An aggregator that dies anywhere between fetch and acknowledgement changes no count.

use std::{os::unix::process::ExitStatusExt as _, pin::pin, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Load, Screens, Sent, Stack, conservation, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::fraud::PERSON;

/// SIGABRT: what dies at a point dies by this, and nothing else does.
pub(crate) const ABORTED: i32 = 6;

/// Points at which to die, and whether a message that can't be read is needed to get there.
const POINTS: [(&str, bool); 12] = [
    ("fetched", false),
    ("before_dead_letter", true),
    ("after_dead_letter", true),
    ("before_transaction", false),
    ("clicks_inserted", false),
    ("minutes_added", false),
    ("before_commit", false),
    ("committed", false),
    ("half_published", false),
    ("before_acknowledge", false),
    ("half_acknowledged", false),
    // A second time, into what the crashes before have left.
    ("committed", false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_changes_no_count() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let mut screens = Screens::open(&stack, ["adv_001", "adv_002", "adv_003"])?;
    let (mut sent, mut poison) = (Sent::new(), 0);
    for (round, (point, is_by_poison)) in POINTS.into_iter().enumerate() {
        // Some batches pass, so that it dies in the middle of things.
        let passes = if is_by_poison { 0 } else { round % 4 };
        let aggregator =
            stack.start_aggregator_with_failpoint(&format!("{point}={passes}*off->return")).await?;
        let load = Load::start(&stack, 4, round as u64)?;
        if is_by_poison {
            let broker = stack.broker().await?;
            broker.publish(stack.names().subject(0), "{}".into()).await?.await?;
            poison += 1;
        }
        let ended = aggregator.ended(Duration::from_secs(20)).await.with_context(|| point.to_owned())?;
        ensure!(ended.signal() == Some(ABORTED), "{point}: {ended}");
        // Clicks are taken while nobody counts.
        load.goes_on(50).await?;
        let successor = stack.start_aggregator().await?;
        load.goes_on(50).await?;
        load.finish(&mut sent).await?;
        conservation::holds(&stack, &sent, Duration::from_secs(20))
            .await
            .with_context(|| point.to_owned())?;
        screens.show(&sent, Duration::from_secs(3)).await.with_context(|| point.to_owned())?;
        eventually("every dead letter is stored, once", Duration::from_secs(10), async || {
            (stack.dead_letters().await.ok()? == poison).then_some(())
        })
        .await?;
        successor.kill().await?;
    }
    Ok(())
}

/// A click of one user on one ad, so many milliseconds after the start of a minute that has just passed.
fn click(user: u32, after_ms: i64) -> Click {
    let now = now_ms();
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked(format!("ad_{user:03}")),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        user_id: Some(format!("user_{user}")),
        clicked_at_ms: UnixMs(now - now % 60_000 - 60_000 + after_ms),
        received_at_ms: UnixMs(now),
        user_agent: PERSON.into(),
        ip_hash: Some(format!("{user:032x}")),
        ..Click::bare(Uuid::new_v4())
    }
}

/// A click can change an older one's verdict in another minute. If who counted it died before it was
/// published, the aggregator that gets it next has changed nothing, and runs all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_kept_from_being_published_of_other_minutes_is_shown_all_the_same() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _survivor = stack.start_aggregator().await?;
    let users = 0..40;
    stack.publish(&users.clone().map(|user| click(user, 2_000)).collect::<Vec<_>>()).await?;
    let mut client = Watch::new(stack.as_admin()?, Stack::view("adv_001"));
    timeout(Duration::from_secs(20), async {
        while client.state().total().valid < 40 {
            client.update().await?;
        }
        anyhow::Ok(())
    })
    .await
    .context("the first clicks are shown")??;

    let victim = stack.start_aggregator_with_failpoint("committed=return").await?;
    let mut died = pin!(victim.ended(Duration::from_secs(60)));
    let mut duplicates = 0;
    for user in users {
        stack.publish(&[click(user, -3_000)]).await?;
        duplicates += 1;
        if let Ok(ended) = timeout(Duration::from_millis(300), &mut died).await {
            ensure!(ended?.signal() == Some(ABORTED));
            break;
        }
        ensure!(duplicates < 40, "the victim got none of the clicks");
    }
    let shown = timeout(Duration::from_secs(10), async {
        while client.state().total().duplicate < duplicates {
            client.update().await?;
        }
        anyhow::Ok(())
    });
    if shown.await.is_err() {
        bail!("{:?} instead of {duplicates} duplicates", client.state().total());
    }
    Ok(())
}

/// A commit whose answer is lost is tried again, changes nothing then, and what it has changed of other
/// minutes is shown all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_commit_without_an_answer_changed_of_other_minutes_is_shown_all_the_same() -> Result<()> {
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator_with_failpoint("unanswered=1*off->1*return->off").await?;
    let mut client = Watch::new(stack.as_admin()?, Stack::view("adv_001"));
    stack.publish(&[click(1, 2_000)]).await?;
    let mut shows = async |duplicates: i64| {
        let shown = timeout(Duration::from_secs(10), async {
            while client.state().total().duplicate < duplicates || client.state().total().received() == 0 {
                client.update().await?;
            }
            anyhow::Ok(())
        });
        shown.await.with_context(|| format!("{:?}", client.state().total()))?
    };
    shows(0).await?;
    // So that it is not the beginning that has it read again.
    let mut loads = 0.0;
    eventually("the screen is no longer read again", Duration::from_secs(10), async || {
        let before = std::mem::replace(&mut loads, server.metric("clickwire_live_loads_total").await.ok()?);
        tokio::time::sleep(Duration::from_secs(2)).await;
        (server.metric("clickwire_live_loads_total").await.ok()? == before).then_some(())
    })
    .await?;
    stack.publish(&[click(1, -3_000)]).await?;
    shows(1).await
}
