//! A short run of `cargo xtask chaos`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::chaos::{self, Machines};

/// With every other pair of seeds, this one and the third, the server has a write-ahead log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_what_is_counted_whatever_breaks() -> Result<()> {
    run(20_261_130, 15, Machines::One, &|text| println!("{text}")).await
}

/// With an odd seed, posts wait on the server's disk while the broker is away; with this one it is killed,
/// and so is the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_on_the_disk_is_counted_like_the_rest() -> Result<()> {
    run(20_261_131, 15, Machines::One, &|text| println!("{text}")).await
}

/// With this seed a broker is killed and later cut off in silence, a node of Redis frozen, and the server killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_what_is_counted_whichever_node_of_a_cluster_breaks() -> Result<()> {
    run(20_261_225, 20, Machines::Cluster, &|text| println!("{text}")).await
}

async fn run(seed: u64, seconds: u16, machines: Machines, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let flag = if machines == Machines::Cluster { " --cluster" } else { "" };
    let minutes = f64::from(seconds) / 60.0;
    chaos::run(seed, Duration::from_secs(seconds.into()), machines, say)
        .await
        .with_context(|| format!("to repeat: cargo xtask chaos --minutes {minutes:.2} --seed {seed}{flag}"))
}
