//! Provisional and final minutes: what advances the watermark, what holds it back, and what a click
//! into a final minute is; and what screens are told of it, whoever stands still.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clickwire_client::Watch;
use clickwire_e2e::{Buckets, Program, Stack, Wire, eventually};
use clickwire_process::now_ms;
use clickwire_protocol::{
    MINUTE_MS,
    analytics::Aggregate,
    click::Click,
    counts::{DeviceType, Dimensions},
    finality::{self, ALLOWANCE_MS, Progress},
    ids::{AdId, AdvertiserId, CampaignId},
    live::ServerMessage,
    stream::DEFAULT_PARTITIONS,
    times::UnixMs,
};
use clickwire_services::Server as Service;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    task::JoinSet,
    time::timeout,
};

use super::live::SOON;

/// Puts a click into partition 0.
async fn publish(stack: &Stack, clicked_at_ms: i64, received_at_ms: i64) -> Result<()> {
    let click = Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked("ad_001"),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        clicked_at_ms: UnixMs(clicked_at_ms),
        received_at_ms: UnixMs(received_at_ms),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".into(),
        ..Click::bare(Stack::ids_in(0).next().context("no id")?)
    };
    stack.publish(&[click]).await
}

/// Returns the watermarks by partition; programs and database share one clock here.
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

/// The greatest lag of a live view of an idle deployment, as it is told: two half-seconds, a tick, and what a
/// busy test machine adds.
const UP_TO_DATE_MS: i64 = 3_000;

/// The time in which a standstill must be told of.
const STANDSTILL_SHOWS_WITHIN: Duration = Duration::from_secs(7);

/// The latest that a screen was told of how far it is counted, and when.
struct Told {
    progress: tokio::sync::watch::Receiver<Option<(Progress, Instant)>>,
    _task: JoinSet<()>,
}

impl Told {
    /// A dashboard that watches an advertiser.
    fn watch(stack: &Stack) -> Result<Self> {
        let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
        let (tells, progress) = tokio::sync::watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                // Progress alone is no change: it is looked at between two.
                let changed = timeout(Duration::from_millis(500), dashboard.update()).await;
                if matches!(changed, Ok(Err(_))) {
                    return;
                }
                tells.send_if_modified(|told| {
                    let news = dashboard.state().progress;
                    let is_news = news != told.map(|(progress, _)| progress);
                    *told = news.filter(|_| is_news).map(|news| (news, Instant::now())).or(*told);
                    is_news
                });
            }
        });
        Ok(Self { progress, _task: task })
    }

    /// Waits until a message says that the view is behind by less, or by more.
    async fn lag(&self, what: &str, within: Duration, is_so: impl Fn(i64) -> bool) -> Result<Progress> {
        eventually(what, within, async || {
            let (progress, at) = (*self.progress.borrow())?;
            // Of those that come now.
            (at.elapsed() < Duration::from_secs(3) && is_so(progress.lag_ms()?)).then_some(progress)
        })
        .await
    }

    async fn is_up_to_date(&self) -> Result<Progress> {
        self.lag("an idle view is up to date", Duration::from_secs(30), |lag_ms| lag_ms < UP_TO_DATE_MS).await
    }

    async fn falls_behind(&self, who: &str) -> Result<Progress> {
        let what = format!("the view is told to fall behind: {who} stands still");
        self.lag(&what, STANDSTILL_SHOWS_WITHIN, |lag_ms| lag_ms >= UP_TO_DATE_MS + 500).await
    }
}

/// No click at all: what screens say comes from the watermark alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_screen_is_told_that_nothing_is_missing_and_of_whoever_stands_still() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let _server = stack.start_server().await?;
    let told = Told::watch(&stack)?;
    let nobody_counts = eventually("a screen is told that nothing is counted yet", SOON, async || {
        (*told.progress.borrow()).map(|(progress, _)| progress)
    });
    assert_eq!(nobody_counts.await?.counted_until_ms, None);

    let aggregator = stack.start_aggregator().await?;
    let progress = told.is_up_to_date().await?;
    let watermark = progress.counted_until_ms.context("no watermark")?;
    assert_eq!(progress.final_before_ms, Some(finality::final_before(watermark)));

    aggregator.freeze(true).await?;
    let behind = told.falls_behind("the aggregator").await?;
    let later = told.lag("it falls further behind", Duration::from_secs(6), |lag_ms| lag_ms > 6_000).await?;
    assert_eq!(later.counted_until_ms, behind.counted_until_ms, "what stands still does not move");
    aggregator.freeze(false).await?;
    told.is_up_to_date().await?;

    for service in [Service::Redis, Service::Database, Service::Nats] {
        stack.wire_to(service)?.set(Wire::HalfOpen);
        told.falls_behind(&format!("{service:?}")).await?;
        stack.wire_to(service)?.set(Wire::Whole);
        told.is_up_to_date().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_answers_carry_it_as_sockets_do() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    follows_the_clock(&stack).await?;
    let told = Told::watch(&stack)?;
    told.is_up_to_date().await?;
    let is_up_to_date = |message: &ServerMessage| match message {
        ServerMessage::Snapshot { progress, .. } | ServerMessage::Delta { progress, .. } => {
            progress.and_then(|progress| progress.lag_ms()).is_some_and(|lag_ms| lag_ms < UP_TO_DATE_MS)
        }
        _ => false,
    };

    let viewer = stack.as_viewer("adv_001")?;
    let ask = async |query: &str| -> Option<ServerMessage> {
        let path = format!("/api/v1/live/poll?window_minutes=240{query}");
        let (status, body) = viewer.connection().get(&path).await.ok()?;
        serde_json::from_slice(&body).ok().filter(|_| status.is_success())
    };
    let whole = eventually("a whole state is up to date", SOON, async || ask("").await.filter(is_up_to_date));
    let ServerMessage::Snapshot { epoch, seq, .. } = whole.await? else { anyhow::bail!("no snapshot") };
    // Nothing has changed, and that is so as of now.
    let since = format!("&since={epoch}:{seq}");
    let nothing = ask(&since).await.context("no answer")?;
    assert!(matches!(&nothing, ServerMessage::Delta { cells, .. } if cells.is_empty()), "{nothing:?}");
    assert!(is_up_to_date(&nothing), "{nothing:?}");

    let mut stream = tokio::net::TcpStream::connect(stack.server_url().trim_start_matches("http://")).await?;
    let token = Stack::viewer_token("adv_001");
    // HTTP/1.0, so that the body comes as it is.
    let request =
        format!("GET /api/v1/live/sse HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        let line = timeout(SOON, lines.next_line()).await?.context("something is said every second")?;
        let line = line.context("the events ended")?;
        if let Some(message) = line.strip_prefix("data: ") {
            let message: ServerMessage = serde_json::from_str(message)?;
            anyhow::ensure!(is_up_to_date(&message), "{message:?}");
            kinds.push(matches!(message, ServerMessage::Snapshot { .. }));
        }
    }
    assert_eq!(kinds, [true, false, false], "a snapshot, then how far it is counted");
    Ok(())
}
