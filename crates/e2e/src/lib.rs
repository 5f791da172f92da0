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

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Waits for the next minute (hour, day) of UTC if less than `room` is left of this one: for what must not see two.
pub async fn room_in(period: Duration, room: Duration) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let passed = since_epoch.as_nanos() % period.as_nanos();
    let left = period.saturating_sub(Duration::from_nanos(passed as u64));
    if left < room {
        sleep(left).await;
    }
}

/// Waits until `condition` gives a value; an error says what was waited for. It is asked once more after the time, so a
/// slow answer is not the only one.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let is_last = Instant::now() > deadline;
        if let Some(value) = condition().await {
            return Ok(value);
        }
        if is_last {
            bail!("not within {within:?}: {what}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
