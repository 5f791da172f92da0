//! Everything at once: awkward clicks, lost answers, crashes and broken wires, drawn from a seed; in
//! the end the law of conservation, and every disposition recounted.
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

use self::{faults::Faults, plan::Plan};
use crate::{Screens, Stack};

/// Advertisers that are clicked on.
const ADVERTISERS: [&str; 3] = ["adv_001", "adv_002", "adv_003"];

/// How long a run may take, after its last fault, to have counted everything.
const COUNTED_WITHIN: Duration = Duration::from_secs(120);

/// Runs for `duration` and then checks; `say` hears what happens.
pub async fn run(seed: u64, duration: Duration, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let began = Instant::now();
    let say = move |text: &str| say(&format!("[{:>5.1} s] {text}", began.elapsed().as_secs_f64()));
    let plan = Plan::draw(seed, duration);
    say(&format!("seed {seed}: {} clicks, sent {} times", plan.clicks.len(), plan.posts.len()));
    say("starting services");
    let mut stack = Stack::alone().await?;
    stack.wire().await?;
    if plan.spools_posts {
        stack.set("CLICKWIRE_SPOOL_POSTS", "true");
    }
    let mut programs = faults::Programs::start(&mut stack).await?;
    let mut keys = BTreeMap::new();
    for advertiser in ADVERTISERS {
        keys.insert(advertiser, stack.bound_key(advertiser).await?);
    }
    let mut screens = Screens::open(&stack, ADVERTISERS)?;

    let faults = Faults { schedule: &plan.faults, began: Instant::now(), say: &say };
    let (posted, disturbed) =
        tokio::join!(posts::send(&plan, &keys, &stack, &say), faults.happen(&mut programs, &stack));
    posted.context("posting")?;
    disturbed.context("disturbing")?;
    programs.are_ready().await?;
    say("all clicks were taken and all is whole again; counting");
    verdict::check(&plan, &stack, &mut screens, COUNTED_WITHIN, &say).await?;
    Ok(())
}
