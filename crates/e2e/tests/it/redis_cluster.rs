//! A cluster of Redis does for us what one server does.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clickwire_client::Watch;
use clickwire_e2e::{Program, RedisCluster, Stack};

use super::{
    idempotency,
    live::{SOON, post_for, shows},
    redirects::registry,
};

/// A dashboard for each of the three shards.
struct Shards<'a> {
    stack: &'a Stack,
    dashboards: Vec<(String, Watch)>,
    /// Clicks posted for each of them.
    posted: i64,
}

impl<'a> Shards<'a> {
    async fn open(stack: &'a Stack, cluster: &RedisCluster) -> Result<Self> {
        let mut shards = Self { stack, dashboards: Vec::new(), posted: 0 };
        for master in 0..3 {
            let advertiser_id = cluster.advertiser_of(master).await?;
            let client = Watch::new(stack.as_admin()?, Stack::view(&advertiser_id));
            shards.dashboards.push((advertiser_id, client));
        }
        shards.show(&[0, 1, 2], SOON).await?;
        Ok(shards)
    }

    async fn post(&mut self) -> Result<()> {
        for (advertiser_id, _) in &self.dashboards {
            post_for(self.stack, advertiser_id, 2).await?;
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

    /// Clicks reach all screens by messages. On a busy machine a message may come so late that the
    /// database is read again, but not every time.
    async fn are_pushed_to(&mut self, server: &Program) -> Result<()> {
        for _ in 0..10 {
            let before = server.metric("clickwire_live_loads_total").await?;
            self.post().await?;
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
    shards.are_pushed_to(&server).await?;

    // While a shard is away the others go on, and counting with them, although the feed generation is known to that
    // one alone.
    let failing_over = cluster.fail_over();
    let others = async {
        for _ in 0..3 {
            shards.post().await?;
            shards.show(&[1, 2], SOON).await?;
        }
        anyhow::Ok(())
    };
    let (failed_over, others) = tokio::join!(failing_over, others);
    others?;
    failed_over?;
    shards.show(&[0], SOON).await?;
    shards.are_pushed_to(&server).await?;

    let moved = shards.dashboards[1].0.clone();
    cluster.move_feed(&moved, 1, 2).await?;
    shards.post().await?;
    shards.show(&[0, 1, 2], SOON).await?;
    shards.are_pushed_to(&server).await?;

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
    shards.are_pushed_to(&server).await
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
