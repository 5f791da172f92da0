//! The whole system for a test: the real programs as processes of their own, on real services,
//! under names that no other test has.

pub mod chaos;
pub mod conservation;
pub mod load;
pub mod naive;
pub mod people;
pub mod raw;
pub mod way;

mod brokers;
mod database;
mod lake;
mod nodes;
mod program;
mod proxy;
mod redis_cluster;
mod screens;
mod stack;
mod standby;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

pub use brokers::Brokers;
pub use load::{Load, Sent, post_until_taken};
pub use nodes::{Frozen, Nodes};
pub use program::{Program, examples};
pub use proxy::{Proxy, Wire};
pub use redis_cluster::RedisCluster;
pub use screens::Screens;
pub use stack::{Buckets, Stack};
pub use standby::{Address, on_standby};

/// Waits until `condition` gives a value; an error says what was waited for.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("not within {within:?}: {what}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
