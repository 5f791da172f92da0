//! Redis, be it one server or a cluster: where it is, and commands over connections that all share.
//!
//! The library's connections are made again when they break. One whose other end is gone without a word
//! (a dead network, a frozen host) they keep for as long as the kernel does, which is for ever if
//! something in between still says that it is there; every command runs into its time-out meanwhile. So
//! here a connection that does not answer is replaced by one that does ([`shards`]).

mod shards;

use std::{
    io,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::future::{FutureExt as _, select_ok};
use redis::{
    AsyncCommands as _, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, Pipeline, ProtocolVersion,
    PushInfo, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
    cluster_routing::{RoutingInfo, SingleNodeRoutingInfo},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};
use url::Url;

use crate::Backoff;
use shards::Silent;
pub use shards::slot;

/// Connecting, and each answer, may take so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command whose shard is about to move or to fail over is tried so often again, each time after a
/// random wait between these.
const RETRIES: u32 = 3;
const RETRY_AFTER_MS: (u64, u64) = (20, 100);

/// The longest wait before a shard that did not answer is asked again: less than screens may be behind.
const ASK_WITHIN: Duration = Duration::from_millis(500);

/// Questions at once, each to a node at random, which slots belong together: the silent one may be asked, too.
const ASKED: usize = 8;

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

    async fn connect(&self) -> RedisResult<Link> {
        match self {
            Self::Server(client) => {
                ConnectionManager::new_with_config(client.clone(), managed()).await.map(Link::Server)
            }
            Self::Cluster(client) => {
                client.get_async_connection_with_config(patient()).await.map(Link::Cluster)
            }
        }
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

impl Link {
    /// All slots of the shard that has `slot`; `None` if no node says so.
    async fn shard_of(&self, slot: u16) -> Option<Vec<RangeInclusive<u16>>> {
        let Self::Cluster(link) = self else { return Some(shards::all()) };
        let asked = (0..ASKED).map(|_| {
            let mut link = link.clone();
            Box::pin(async move {
                let mut command = redis::cmd("CLUSTER");
                command.arg("SLOTS");
                let node = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                shards::of_shard(link.route_command(command, node).await?, slot)
            })
        });
        select_ok(asked).await.ok().map(|(slots, _)| slots)
    }
}

/// Commands over a connection that is made when first needed; cheap to clone. All keys of a command, and
/// of a pipeline, must be of one hash slot.
///
/// When a shard has not answered, what it is asked fails at once, until it answers a question that is asked again and
/// again, over new connections.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    current: Arc<Mutex<Current>>,
}

struct Current {
    link: Link,
    /// Tells the connection that did not answer from the one that has replaced it.
    number: u64,
    silent: Silent,
}

impl Connection {
    /// `redis://[user:password@]host[:port]` is one server;
    /// `redis-cluster://[user:password@]host[:port][?node=host:port&node=…]` is a cluster of which the named
    /// nodes are asked for the others. Nothing is connected yet.
    pub fn open(url: &str) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let current = Current { link: client.connect_later()?, number: 0, silent: Silent::default() };
        Ok(Self { client, current: Arc::new(Mutex::new(current)) })
    }

    /// A connection of the caller's own, and what is pushed over it. It is to be dropped at the first
    /// `PushKind::Disconnection`, and when it does not answer although the shard answers here.
    pub async fn listen(&self) -> RedisResult<(Link, UnboundedReceiver<PushInfo>)> {
        self.client.listen().await
    }

    /// The connection to send a command on that is for a key.
    fn take(&self, key: Option<&[u8]>) -> RedisResult<(Link, u64)> {
        let current = lock(&self.current);
        if key.is_some_and(|key| current.silent.has(slot(key))) {
            let why = "Redis, or a shard of it, has not answered and is asked again";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why).into());
        }
        Ok((current.link.clone(), current.number))
    }

    /// Draws the conclusions from a command's failure on the connection with this number.
    fn judge(&self, error: &RedisError, key: Option<&[u8]>, number: u64) {
        // Without a key a cluster's nodes are all asked, and the error does not say which has not answered.
        let key = match (&self.client, key) {
            (_, Some(key)) => key,
            (Client::Server(_), None) => b"",
            (Client::Cluster(_), None) => return,
        };
        if !error.is_timeout() {
            return;
        }
        let slot = slot(key);
        let link = {
            let mut current = lock(&self.current);
            if current.number != number || !current.silent.add(slot) {
                return;
            }
            current.link.clone()
        };
        tokio::spawn(ask_again(self.client.clone(), Arc::downgrade(&self.current), link, key.to_vec()));
    }
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks a shard until it answers. What it answers over takes the place of `old`, over which it did not.
///
/// Of a cluster it is asked over new connections alone: one that has none to the node, as the one in use may be, would
/// be held up while it is looked for.
async fn ask_again(client: Client, current: Weak<Mutex<Current>>, old: Link, key: Vec<u8>) {
    let (slot, since) = (slot(&key), Instant::now());
    let (mut is_known, mut backoff) = (false, Backoff::up_to(ASK_WITHIN));
    tracing::warn!("redis: a shard does not answer; it is asked again, and nothing else meanwhile");
    metrics::gauge!("clickwire_redis_silent_shards").increment(1);
    while current.strong_count() > 0 {
        if !is_known
            && let Some(slots) = old.shard_of(slot).await
            && let Some(known) = current.upgrade()
        {
            lock(&known).silent.extend(slot, slots);
            is_known = true;
        }
        let over_new = async {
            let mut link = client.connect().await?;
            link.exists::<_, Value>(&key).await.map(|_| Some(link))
        };
        let answered = match &old {
            Link::Server(link) => {
                let over_old = async { link.clone().exists::<_, Value>(&key).await.map(|_| None) };
                select_ok([over_old.boxed(), over_new.boxed()]).await.map(|(link, _)| link)
            }
            Link::Cluster(_) => over_new.await,
        };
        if let Ok(replacement) = answered
            && let Some(known) = current.upgrade()
        {
            let mut known = lock(&known);
            known.silent.remove(slot);
            metrics::gauge!("clickwire_redis_silent_shards").decrement(1);
            tracing::info!(seconds = since.elapsed().as_secs(), "redis: the shard answers again");
            if let Some(link) = replacement {
                (known.link, known.number) = (link, known.number + 1);
            }
            return;
        }
        backoff.wait().await;
    }
    metrics::gauge!("clickwire_redis_silent_shards").decrement(1);
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
            let key = shards::key(command);
            let (mut link, number) = self.take(key)?;
            link.req_packed_command(command).await.inspect_err(|error| self.judge(error, key, number))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let key = pipeline.cmd_iter().next().and_then(shards::key);
            let (mut link, number) = self.take(key)?;
            let answers = link.req_packed_commands(pipeline, offset, count).await;
            answers.inspect_err(|error| self.judge(error, key, number))
        })
    }

    fn get_db(&self) -> i64 {
        lock(&self.current).link.get_db()
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
