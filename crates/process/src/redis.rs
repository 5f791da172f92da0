//! Commands to Redis over one connection that all share: made when first needed, made again when it
//! breaks, and given up when it does not answer.
//!
//! `redis::aio::ConnectionManager` does the first two. A connection whose other end is gone without a
//! word (a dead network, a frozen host) it keeps for as long as the kernel does, which is for ever if
//! something in between still says that it is there; every command runs into its time-out meanwhile.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::timeout;

/// Connecting, and each answer, may take so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connection; cheap to clone.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    current: Arc<Mutex<Current>>,
}

struct Current {
    manager: ConnectionManager,
    /// Tells the connection that did not answer from the one that has replaced it.
    number: u64,
}

impl Connection {
    /// A connection that is made when it is first needed.
    pub fn new(client: Client) -> RedisResult<Self> {
        let manager = lazy(&client)?;
        Ok(Self { client, current: Arc::new(Mutex::new(Current { manager, number: 0 })) })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> (ConnectionManager, u64) {
        let current = self.current();
        (current.manager.clone(), current.number)
    }

    fn judge(&self, error: &RedisError, number: u64) {
        if !error.is_timeout() {
            return;
        }
        let mut current = self.current();
        if current.number == number
            && let Ok(manager) = lazy(&self.client)
        {
            *current = Current { manager, number: number + 1 };
        }
    }
}

/// What a command answers within `patience`; `None` if it fails or takes longer.
///
/// It goes on by itself for as long as the connection waits for an answer: one that never answers
/// would not be found out if nobody waited.
pub async fn within<T: Send + 'static>(
    patience: Duration,
    command: impl Future<Output = RedisResult<T>> + Send + 'static,
) -> Option<T> {
    timeout(patience, tokio::spawn(command)).await.ok()?.ok()?.ok()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (mut manager, number) = self.take();
            manager.send_packed_command(command).await.inspect_err(|error| self.judge(error, number))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut manager, number) = self.take();
            let answers = manager.send_packed_commands(pipeline, offset, count).await;
            answers.inspect_err(|error| self.judge(error, number))
        })
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}

fn lazy(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}
