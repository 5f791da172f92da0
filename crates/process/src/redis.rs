//! Redis, be it one server or a cluster: where it is, and commands over connections that all share.
//!
//! The library's connections are made again when they break. One whose other end is gone without a word
//! (a dead network, a frozen host) they keep for as long as the kernel does, which is for ever if
//! something in between still says that it is there; every command runs into its time-out meanwhile. So
//! here a connection is given up when it does not answer.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, Pipeline, ProtocolVersion, PushInfo, RedisError,
    RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};
use url::Url;

/// Connecting, and each answer, may take so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command whose shard is about to move or to fail over is tried so often again, each time after a
/// random wait between these.
const RETRIES: u32 = 3;
const RETRY_AFTER_MS: (u64, u64) = (20, 100);

/// First part of the URL of a cluster.
const CLUSTER: &str = "redis-cluster://";

/// The client of one Redis server or of a cluster.
#[derive(Clone)]
enum Client {
    /// One server.
    Server(redis::Client),
    /// A cluster, known by some of its nodes.
    Cluster(Box<ClusterClient>),
}

impl Client {
    fn open(url: &str) -> RedisResult<Self> {
        match url.strip_prefix(CLUSTER) {
            None => {
                let info = url.into_connection_info()?;
                // What is pushed comes with this protocol over the connection that commands are sent on.
                let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
                Ok(Self::Server(redis::Client::open(info.set_redis_settings(settings))?))
            }
            Some(rest) => {
                let client = ClusterClient::builder(nodes(rest)?)
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(PATIENCE)
                    .response_timeout(PATIENCE)
                    .retries(RETRIES)
                    .min_retry_wait(RETRY_AFTER_MS.0)
                    .max_retry_wait(RETRY_AFTER_MS.1)
                    .build()?;
                Ok(Self::Cluster(Box::new(client)))
            }
        }
    }

    async fn listen(&self) -> RedisResult<(Link, UnboundedReceiver<PushInfo>)> {
        let (pushes, received) = unbounded_channel();
        let link = match self {
            Self::Server(client) => {
                let config = managed().set_push_sender(pushes);
                Link::Server(ConnectionManager::new_with_config(client.clone(), config).await?)
            }
            Self::Cluster(client) => {
                let config = patient().set_push_sender(pushes);
                Link::Cluster(client.get_async_connection_with_config(config).await?)
            }
        };
        Ok((link, received))
    }

    /// A connection that is made when it is first needed.
    fn connect_later(&self) -> RedisResult<Link> {
        match self {
            Self::Server(client) => {
                ConnectionManager::new_lazy_with_config(client.clone(), managed()).map(Link::Server)
            }
            Self::Cluster(client) => {
                Ok(Link::Cluster(client.get_pending_async_connection_with_config(patient())))
            }
        }
    }
}

fn managed() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1)
}

/// A connection's settings replace the client's, also where they say nothing.
fn patient() -> ClusterConfig {
    ClusterConfig::new().set_connection_timeout(PATIENCE).set_response_timeout(PATIENCE)
}

/// The nodes that the URL of a cluster names, after its scheme.
fn nodes(rest: &str) -> RedisResult<Vec<ConnectionInfo>> {
    let invalid = |why: String| RedisError::from((ErrorKind::InvalidClientConfig, "URL of a cluster", why));
    let first = Url::parse(&format!("redis://{rest}")).map_err(|error| invalid(error.to_string()))?;
    let mut urls = vec![first.clone()];
    for (name, address) in first.query_pairs() {
        let mut url = first.clone();
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let is_set = name == "node"
            && parts.is_some_and(|(host, port)| {
                url.set_host(Some(host)).is_ok() && url.set_port(Some(port)).is_ok()
            });
        if !is_set {
            return Err(invalid(format!("expected node=host:port, found {name}={address}")));
        }
        urls.push(url);
    }
    let node = |mut url: Url| {
        url.set_query(None);
        url.into_connection_info().map_err(|error| invalid(error.to_string()))
    };
    urls.into_iter().map(node).collect()
}

/// A connection to the server, or one to each node of the cluster; cheap to clone.
#[derive(Clone)]
pub enum Link {
    /// To one server.
    Server(ConnectionManager),
    /// To each node.
    Cluster(ClusterConnection),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(link) => link.req_packed_command(command),
            Self::Cluster(link) => link.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(link) => link.req_packed_commands(pipeline, offset, count),
            Self::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

/// Commands over a connection that is made when first needed; cheap to clone. All keys of a command, and
/// of a pipeline, must be of one hash slot.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    current: Arc<Mutex<Current>>,
}

struct Current {
    link: Link,
    /// Tells the connection that did not answer from the one that has replaced it.
    number: u64,
}

impl Connection {
    /// `redis://[user:password@]host[:port]` is one server;
    /// `redis-cluster://[user:password@]host[:port][?node=host:port&node=…]` is a cluster of which the named
    /// nodes are asked for the others. Nothing is connected yet.
    pub fn open(url: &str) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let link = client.connect_later()?;
        Ok(Self { client, current: Arc::new(Mutex::new(Current { link, number: 0 })) })
    }

    /// A connection of the caller's own, and what is pushed over it. It is to be dropped at the first
    /// `PushKind::Disconnection`, and when a command runs into its time-out.
    pub async fn listen(&self) -> RedisResult<(Link, UnboundedReceiver<PushInfo>)> {
        self.client.listen().await
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> (Link, u64) {
        let current = self.current();
        (current.link.clone(), current.number)
    }

    fn judge(&self, error: &RedisError, number: u64) {
        if !error.is_timeout() {
            return;
        }
        let mut current = self.current();
        if current.number == number
            && let Ok(link) = self.client.connect_later()
        {
            *current = Current { link, number: number + 1 };
        }
    }
}

/// Returns the answer of a command within `patience`; `None` if it fails or takes longer.
///
/// The command goes on by itself for as long as the connection waits for an answer: one that never answers
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
            let (mut link, number) = self.take();
            link.req_packed_command(command).await.inspect_err(|error| self.judge(error, number))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut link, number) = self.take();
            let answers = link.req_packed_commands(pipeline, offset, count).await;
            answers.inspect_err(|error| self.judge(error, number))
        })
    }

    fn get_db(&self) -> i64 {
        self.current().link.get_db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_server_or_nodes_of_a_cluster() {
        assert!(matches!(Client::open("redis://127.0.0.1:6379").unwrap(), Client::Server(_)));
        let addresses = |rest| {
            let nodes = nodes(rest).map_err(|error| error.to_string())?;
            let user = |node: &ConnectionInfo| node.redis_settings().username().map(str::to_owned);
            Ok::<_, String>(
                nodes.iter().map(|node| (node.addr().to_string(), user(node))).collect::<Vec<_>>(),
            )
        };
        assert_eq!(addresses("a").unwrap(), [("a:6379".to_owned(), None)]);
        let user = Some("me".to_owned());
        assert_eq!(
            addresses("me:secret@a:1?node=b:2&node=[::1]:3").unwrap(),
            [("a:1".to_owned(), user.clone()), ("b:2".to_owned(), user.clone()), ("::1:3".to_owned(), user)]
        );
        for wrong in ["a?nodes=b:2", "a?node=b", "a?node=b:port", ""] {
            let error = addresses(wrong).unwrap_err();
            assert!(error.contains("URL of a cluster"), "{wrong}: {error}");
        }
    }
}
