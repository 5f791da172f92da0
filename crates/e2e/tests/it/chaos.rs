//! A short run of `cargo xtask chaos`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::chaos;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_what_is_counted_whatever_breaks() -> Result<()> {
    run(20_261_130, &|text| println!("{text}")).await
}

/// With an odd seed, posts wait on the server's disk while the broker is away; with this one it is killed,
/// and so is the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_on_the_disk_is_counted_like_the_rest() -> Result<()> {
    run(20_261_131, &|text| println!("{text}")).await
}

async fn run(seed: u64, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
    chaos::run(seed, Duration::from_secs(15), say)
        .await
        .with_context(|| format!("to repeat: cargo xtask chaos --minutes 0.25 --seed {seed}"))
}
