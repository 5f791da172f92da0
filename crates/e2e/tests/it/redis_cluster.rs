//! A cluster of Redis does for us what one server does.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Program, RedisCluster, Stack};
use clickwire_process::now_ms;
use tokio::time::{Instant, sleep, timeout};

use super::{
    idempotency,
    live::{SOON, post_for, shows},
    redirects::registry,
};

/// Time until a shard that does not answer is known.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// A watermark is told within this time.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

fn counted_until(screen: &Watch) -> Option<i64> {
    Some(screen.state().progress?.counted_until_ms?.0)
}

/// A dashboard for each of the three shards.
struct Shards {
    dashboards: Vec<(String, Watch)>,
    /// Clicks posted for each of them.
    posted: i64,
}

impl Shards {
    async fn open(stack: &Stack, cluster: &RedisCluster) -> Result<Self> {
        let mut shards = Self { dashboards: Vec::new(), posted: 0 };
        for master in 0..3 {
            let advertiser_id = cluster.advertiser_of(master).await?;
            let client = Watch::new(stack.as_admin()?, Stack::view(&advertiser_id));
            shards.dashboards.push((advertiser_id, client));
        }
        shards.show(&[0, 1, 2], SOON).await?;
        Ok(shards)
    }

    async fn post(&mut self, stack: &Stack) -> Result<()> {
        for (advertiser_id, _) in &self.dashboards {
            post_for(stack, advertiser_id, 2).await?;
        }
        self.posted += 2;
        Ok(())
    }

    async fn show(&mut self, shards: &[usize], within: Duration) -> Result<()> {
        for &shard in shards {
            let shown = shows(&mut self.dashboards[shard].1, self.posted, within).await;
            shown.with_context(|| format!("shard {shard}"))?;
        }
        Ok(())
    }

    /// Waits until the screen of a shard says that all is counted which was received before `at_ms`.
    async fn is_complete(&mut self, shard: usize, at_ms: i64) -> Result<()> {
        let screen = &mut self.dashboards[shard].1;
        let deadline = Instant::now() + TOLD_WITHIN;
        while counted_until(screen).is_none_or(|until| until < at_ms) {
            ensure!(
                Instant::now() < deadline,
                "shard {shard}: not until {at_ms}: {:?}",
                screen.state().progress
            );
            // Only changed numbers are returned.
            if let Ok(updated) = timeout(Duration::from_millis(100), screen.update()).await {
                updated?;
            }
        }
        Ok(())
    }

    /// Clicks reach all screens by messages. On a busy machine a message may come so late that the
    /// database is read again, but not every time.
    async fn are_pushed_to(&mut self, stack: &Stack, server: &Program) -> Result<()> {
        for _ in 0..10 {
            let before = server.metric("clickwire_live_loads_total").await?;
            self.post(stack).await?;
            self.show(&[0, 1, 2], SOON).await?;
            if server.metric("clickwire_live_loads_total").await? == before {
                return Ok(());
            }
        }
        bail!("what is shown was read from the database ten times")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn screens_equal_the_database_when_a_shard_fails_over_and_a_slot_moves() -> Result<()> {
    let mut stack = Stack::new().await?;
    let cluster = RedisCluster::start(stack.redis_prefix()).await?;
    stack.set("CLICKWIRE_REDIS_URL", &cluster.url());
    let aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let stack = &stack;
    let mut shards = Shards::open(stack, &cluster).await?;
    shards.are_pushed_to(stack, &server).await?;

    // While a shard is away the others go on, and counting with them, although the feed generation is known to that
    // one alone.
    let failing_over = cluster.fail_over();
    let others = async {
        for _ in 0..3 {
            shards.post(stack).await?;
            shards.show(&[1, 2], SOON).await?;
        }
        anyhow::Ok(())
    };
    let (failed_over, others) = tokio::join!(failing_over, others);
    others?;
    failed_over?;
    shards.show(&[0], SOON).await?;
    shards.are_pushed_to(stack, &server).await?;

    let moved = shards.dashboards[1].0.clone();
    cluster.move_feed(&moved, 1, 2).await?;
    shards.post(stack).await?;
    shards.show(&[0, 1, 2], SOON).await?;
    shards.are_pushed_to(stack, &server).await?;

    // An aggregator that died between commit and publish: its successor makes all screens read again.
    aggregator.kill().await?;
    sqlx::query(
        "UPDATE click_minutes SET valid = valid + 1, version = version + 1 \
          WHERE ctid IN (SELECT min(ctid) FROM click_minutes GROUP BY advertiser_id)",
    )
    .execute(stack.database())
    .await?;
    shards.posted += 1;
    let _successor = stack.start_aggregator().await?;
    shards.show(&[0, 1, 2], SOON).await?;
    shards.are_pushed_to(stack, &server).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_shard_holds_up_no_screens_of_others() -> Result<()> {
    let mut stack = Stack::new().await?;
    let cluster = RedisCluster::start(stack.redis_prefix()).await?;
    stack.set("CLICKWIRE_REDIS_URL", &cluster.url());
    // Either of two may have what the other could not publish.
    let _aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    let server = stack.start_server().await?;
    let mut shards = Shards::open(&stack, &cluster).await?;
    shards.are_pushed_to(&stack, &server).await?;

    for shard in [0, 1, 2] {
        shards.is_complete(shard, now_ms()).await?;
    }

    let frozen = cluster.nodes().freeze(1)?;
    let known_at = now_ms() + NOTICED_WITHIN.as_millis() as i64 + 1_000;
    let others = [0, 2];
    let interruptions = server.metric("clickwire_live_interruptions_total").await?;
    // Nobody knows yet, and what waits for an answer waits until it has not come.
    shards.post(&stack).await?;
    shards.show(&others, SOON + NOTICED_WITHIN).await?;
    sleep(NOTICED_WITHIN).await;
    // For longer than it takes the cluster to call the shard failed.
    let (since, mut longest) = (Instant::now(), Duration::ZERO);
    while since.elapsed() < Duration::from_secs(12) {
        shards.post(&stack).await?;
        let posted = Instant::now();
        shards.show(&others, SOON).await?;
        longest = longest.max(posted.elapsed());
    }
    println!("two clicks were on the screens of the other shards after {longest:?} at the latest");
    assert_eq!(server.metric("clickwire_live_interruptions_total").await?, interruptions);
    assert_eq!(server.metric("clickwire_redis_silent_shards").await?, 1.0);
    // They are complete, and know it; the frozen shard's screen does not say so of itself.
    for shard in others {
        shards.is_complete(shard, known_at).await?;
    }
    let (_, screen) = &mut shards.dashboards[1];
    let waited = timeout(SOON, async {
        loop {
            screen.update().await?;
        }
    });
    let ended: Result<Result<()>, _> = waited.await;
    assert!(ended.is_err(), "the session ended: {ended:?}");
    let (shown, until) = (screen.state().total().received(), counted_until(screen));
    assert!(shown < shards.posted, "it shows what it can't have been told");
    assert!(until.is_some_and(|until| until < known_at), "complete until {until:?}, known at {known_at}");

    // The screen that stands still is closed and opened again.
    let (advertiser_id, screen) = &mut shards.dashboards[1];
    *screen = Watch::new(stack.as_admin()?, Stack::view(advertiser_id));
    drop(timeout(Duration::from_secs(2), screen.update()).await);
    assert_eq!(server.metric("clickwire_live_interruptions_total").await?, interruptions);

    // A server that starts now, for screens alone, is ready and shows the database, whichever shard a feed is on.
    stack.set("CLICKWIRE_ROLES", "query,live,admin");
    let _second = stack.start_server().await?;
    let mut arrived = Vec::new();
    for (advertiser_id, _) in &shards.dashboards {
        let mut screen = Watch::new(stack.as_admin()?, Stack::view(advertiser_id));
        let is_shown = async {
            while screen.state().total().received() != shards.posted {
                screen.update().await?;
            }
            anyhow::Ok(())
        };
        timeout(SOON + NOTICED_WITHIN, is_shown).await.with_context(|| advertiser_id.clone())??;
        arrived.push(screen);
    }
    stack.unset("CLICKWIRE_ROLES");
    let _third = stack.start_server().await?;
    for shard in others {
        post_for(&stack, &shards.dashboards[shard].0, 1).await?;
        shows(&mut arrived[shard], shards.posted + 1, SOON).await?;
        shows(&mut shards.dashboards[shard].1, shards.posted + 1, SOON).await?;
    }
    post_for(&stack, &shards.dashboards[1].0, 1).await?;
    shards.posted += 1;

    drop(frozen);
    shards.show(&[0, 1, 2], SOON).await?;
    shows(&mut arrived[1], shards.posted, SOON).await?;
    shards.are_pushed_to(&stack, &server).await?;
    for shard in [0, 1, 2] {
        shards.is_complete(shard, now_ms()).await?;
    }
    assert_eq!(server.metric("clickwire_redis_silent_shards").await?, 0.0);
    assert_eq!(server.metric("clickwire_live_interruptions_total").await?, interruptions);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ads_that_change_and_posts_that_are_repeated_are_known_to_every_server() -> Result<()> {
    let mut stack = Stack::new().await?;
    let cluster = RedisCluster::start(stack.redis_prefix()).await?;
    stack.set("CLICKWIRE_REDIS_URL", &cluster.url());
    registry::changes_are_followed(&mut stack).await?;

    let _server = stack.start_server().await?;
    let first = idempotency::post(stack.server_url(), "order-7", idempotency::BODY).await?;
    let again = idempotency::post(stack.server_url(), "order-7", idempotency::BODY).await?;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None));
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(again.body, first.body);
    Ok(())
}
