//! A short run of `cargo xtask chaos`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::chaos;

const SEED: u64 = 20_261_130;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_what_is_counted_whatever_breaks() -> Result<()> {
    chaos::run(SEED, Duration::from_secs(15), &|text| println!("{text}"))
        .await
        .with_context(|| format!("to repeat: cargo xtask chaos --minutes 0.25 --seed {SEED}"))
}
