//! A run of all faults at once: awkward clicks, lost answers, crashes and broken wires, drawn from a seed; in
//! the end the law of conservation, every disposition recounted, and a lake that has what the ledger has. Then the
//! stream is made anew, and it must all be true again.
//!
//! The seed fixes what is sent and which faults happen when. How they meet is up to the machine.

mod faults;
mod plan;
mod posts;
mod verdict;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clickwire_ledger::primary::timeline;
use clickwire_process::nats::on_timeline;
use clickwire_protocol::stream::DEFAULT_PARTITIONS;

use self::{
    faults::{Cluster, Faults, LakeFaults},
    plan::Plan,
};
use crate::{Load, Screens, Sent, Stack, conservation, eventually};

/// Advertisers that are clicked on.
const ADVERTISERS: [&str; 3] = ["adv_001", "adv_002", "adv_003"];

/// The longest time that a run may take, after its last fault, to have counted everything.
const COUNTED_WITHIN: Duration = Duration::from_secs(120);

/// What a run breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machines {
    /// One of each service.
    One,
    /// Three brokers that have every click, a cluster of Redis, and a database with a synchronous standby.
    Cluster,
}

/// Runs for `duration` and then checks; `say` hears what happens.
pub async fn run(
    seed: u64,
    duration: Duration,
    machines: Machines,
    say: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let began = Instant::now();
    let say = move |text: &str| say(&format!("[{:>5.1} s] {text}", began.elapsed().as_secs_f64()));
    let plan = Plan::draw(seed, duration, machines);
    say(&format!("seed {seed}: {} clicks, sent {} times", plan.clicks.len(), plan.posts.len()));
    say("starting services");
    let mut stack = Stack::alone().await?;
    stack.wire().await?;
    let cluster = match machines {
        Machines::One => None,
        Machines::Cluster => Some(Cluster::start(&mut stack).await?),
    };
    if plan.spools_posts {
        stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    }
    if plan.has_wal {
        stack.set("CLICKWIRE_WAL", &stack.wal("server"));
    }
    let mut programs = faults::Programs::start(&mut stack).await?;
    let mut lake = stack.start_lake().await?;
    let mut keys = BTreeMap::new();
    for advertiser in ADVERTISERS {
        keys.insert(advertiser, stack.bound_key(advertiser).await?);
    }
    let mut screens = Screens::open(&stack, ADVERTISERS)?;

    let began = Instant::now();
    let faults = Faults { schedule: &plan.faults, began, say: &say };
    let lake_faults = LakeFaults { schedule: &plan.lake_faults, began, say: &say };
    let (posted, disturbed, lake_disturbed) = tokio::join!(
        posts::send(&plan, &keys, &stack, &say),
        faults.happen(&mut programs, &stack, cluster.as_ref()),
        lake_faults.happen(&mut lake, &stack)
    );
    posted.context("posting")?;
    disturbed.context("disturbing")?;
    lake_disturbed.context("disturbing the lake")?;
    if let Some(cluster) = &cluster {
        cluster.brokers.are_whole().await?;
        stack.look_at(&cluster.standby.url("clickwire")).await?;
    }
    programs.are_ready().await?;
    say("all clicks were taken and all is whole again; counting");
    let sent = verdict::check(&plan, &stack, &mut screens, COUNTED_WITHIN, &say).await?;
    stack.lake_equals_ledger(COUNTED_WITHIN).await?;
    say("the lake has what the ledger has");
    goes_on_with_another_stream(&stack, sent).await.context("with another stream")?;
    say("and so it has after the stream was made anew");
    Ok(())
}

/// Clicks that are sent when the stream was made anew, the last having been counted and archived before.
async fn goes_on_with_another_stream(stack: &Stack, mut sent: Sent) -> Result<()> {
    let timeline = timeline(&mut *stack.database().acquire().await?).await?;
    let broker = stack.broker().await?;
    broker.delete_stream(stack.names().stream()).await?;
    eventually("the stream is there again", COUNTED_WITHIN, async || {
        let stream = broker.get_stream(stack.names().stream()).await.ok()?;
        for partition in 0..DEFAULT_PARTITIONS {
            stream.consumer_info(on_timeline(&stack.names().consumer(partition), timeline)).await.ok()?;
        }
        Some(())
    })
    .await?;
    let load = Load::start(stack, 2, 0)?;
    load.goes_on(200).await?;
    load.finish(&mut sent).await?;
    conservation::holds(stack, &sent, COUNTED_WITHIN).await?;
    stack.lake_equals_ledger(COUNTED_WITHIN).await
}
