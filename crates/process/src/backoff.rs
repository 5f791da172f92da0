//! Waiting between attempts: exponential with full jitter, so that many aggregators do not return
//! to a recovering service at the same moment.

use std::time::Duration;

use rand::RngExt as _;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// The attempts since something last worked.
#[derive(Debug)]
pub struct Backoff {
    attempts: u32,
    longest: Duration,
}

impl Default for Backoff {
    /// Waits up to 5 s.
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// Waits up to `longest`: for what must be noticed soon when it is back.
    pub fn up_to(longest: Duration) -> Self {
        Self { attempts: 0, longest }
    }

    /// An attempt worked: the next failure waits briefly again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Returns whether nothing was waited for since the last success.
    pub fn is_first(&self) -> bool {
        self.attempts == 0
    }

    /// Waits a random time up to a limit that doubles with each call.
    pub async fn wait(&mut self) {
        let limit = FIRST.saturating_mul(1 << self.attempts.min(10)).min(self.longest);
        self.attempts += 1;
        let share: f64 = rand::rng().random_range(0.1..1.0);
        tokio::time::sleep(limit.mul_f64(share)).await;
    }
}
