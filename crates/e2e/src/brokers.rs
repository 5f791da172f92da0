//! Three brokers that are one cluster, for one test.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::{ConnectOptions, jetstream};
use clickwire_load::http::Server;
use clickwire_services::{Port, Program, Programs, Reservation, Supervisor};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{Nodes, Proxy, Wire, eventually};

/// The servers, by their names within the cluster.
const NODES: [&str; 3] = ["brokera", "brokerb", "brokerc"];

/// A password that an address can't hold as it is.
const PASSWORD: &str = "p@ss,word";
const PASSWORD_IN_ADDRESS: &str = "p%40ss%2Cword";

/// A server that comes back reads its files and catches up.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);

/// An answer of a cluster that is choosing a leader may never come.
const PATIENCE: Duration = Duration::from_secs(2);

/// An address without a listener.
const NOWHERE: &str = "127.0.0.1:9";

/// Three servers, which end with this. Every write of theirs is on the disk before it is acknowledged.
pub struct Brokers {
    ports: Vec<Ports>,
    routes: Vec<Route>,
    // Before the folder, so that everything has stopped when the folder is removed.
    nodes: Nodes,
    _folder: TempDir,
}

/// The wire from one server to another.
struct Route {
    from: usize,
    to: usize,
    proxy: Proxy,
}

struct Ports {
    client: Reservation,
    monitor: Reservation,
    route: Reservation,
}

impl Ports {
    /// Asks the monitoring port; an error if it does not answer well, or not in time.
    async fn ask(&self, path: &str) -> Result<Vec<u8>> {
        let server = Server::new(&format!("http://127.0.0.1:{}", self.monitor.port()), "")?;
        let (status, body) = timeout(PATIENCE, server.connection().get(path)).await??;
        ensure!(status.is_success(), "{path}: {status}");
        Ok(body.to_vec())
    }
}

impl Brokers {
    /// Starts the servers and returns when they are one cluster.
    pub async fn start() -> Result<Self> {
        let programs = tokio::task::spawn_blocking(|| Programs::ensure(&|_| ())).await??;
        let folder = TempDir::new()?;
        let supervisor = Supervisor::start(&folder.path().join("supervisor.log"), None, None)?;
        let reserve = |name| anyhow::Ok(Port::Free.reserve(name)?);
        let mut ports = Vec::new();
        for name in NODES {
            ports.push(Ports { client: reserve(name)?, monitor: reserve(name)?, route: reserve(name)? });
        }
        let mut routes = Vec::new();
        for from in 0..NODES.len() {
            for to in (0..NODES.len()).filter(|to| *to != from) {
                routes.push(Route { from, to, proxy: Proxy::start("route", ports[to].route.port()).await? });
            }
        }
        let mut nodes = Nodes::of(supervisor);
        for (number, (name, Ports { client, monitor, route })) in NODES.into_iter().zip(&ports).enumerate() {
            let ways: Vec<_> = routes
                .iter()
                .filter(|route| route.from == number)
                .map(|route| {
                    let port = route.proxy.port();
                    format!("\"nats://broker:{PASSWORD_IN_ADDRESS}@127.0.0.1:{port}\"")
                })
                .collect();
            let store = folder.path().join(name);
            let config = folder.path().join(name).with_extension("conf");
            // As deploy/compose/cluster.yml has it; but that servers know each other by the wires alone.
            let text = format!(
                "server_name: {name}\n\
                 listen: \"127.0.0.1:{}\"\n\
                 http: \"127.0.0.1:{}\"\n\
                 authorization {{ user: clickwire, password: \"{PASSWORD}\" }}\n\
                 jetstream {{ store_dir: {store:?}, max_memory_store: 64MB, max_file_store: 4GB, sync_interval: always }}\n\
                 cluster {{\n  name: clickwire\n  listen: \"127.0.0.1:{}\"\n  advertise: \"{NOWHERE}\"\n  \
                 authorization {{ user: broker, password: \"{PASSWORD}\" }}\n  routes: [{}]\n}}\n",
                client.port(),
                monitor.port(),
                route.port(),
                ways.join(", ")
            );
            std::fs::write(&config, text)?;
            let program = Program {
                name,
                stop_signal: "TERM",
                path: programs.nats_server.clone(),
                args: vec!["--config".into(), config.into()],
                env: Vec::new(),
                log: folder.path().join(name).with_extension("log"),
            };
            nodes.start(program)?;
        }
        let brokers = Self { ports, routes, nodes, _folder: folder };
        brokers.are_whole().await?;
        Ok(brokers)
    }

    /// For `CLICKWIRE_NATS_URL`: all three, and the login in the first.
    pub fn url(&self) -> String {
        let port = |node: usize| self.ports[node].client.port();
        format!(
            "nats://clickwire:{PASSWORD_IN_ADDRESS}@127.0.0.1:{},nats://127.0.0.1:{},127.0.0.1:{}",
            port(0),
            port(1),
            port(2)
        )
    }

    /// The address of one, without a login.
    pub fn url_of(&self, node: usize) -> String {
        format!("nats://127.0.0.1:{}", self.ports[node].client.port())
    }

    /// The processes of the servers.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The number of servers.
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// A connection to whichever server takes it.
    pub async fn connect(&self) -> Result<jetstream::Context> {
        let options = ConnectOptions::new().connection_timeout(PATIENCE);
        let client = clickwire_process::nats::connect(options, &self.url()).await?;
        Ok(jetstream::ContextBuilder::new().timeout(PATIENCE).build(client))
    }

    /// The server that leads a stream.
    pub async fn leader(&self, stream: &str) -> Result<usize> {
        eventually("the stream has a leader", WHOLE_WITHIN, async || {
            let broker = self.connect().await.ok()?;
            let stream = broker.get_stream(stream).await.ok()?;
            let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
            NODES.iter().position(|name| *name == leader)
        })
        .await
    }

    /// The server that a program is connected to, by the program's name.
    pub async fn server_of(&self, program: &str) -> Result<usize> {
        eventually(&format!("{program} is connected"), WHOLE_WITHIN, async || {
            for (number, ports) in self.ports.iter().enumerate() {
                let Ok(connections) = ports.ask("/connz").await else { continue };
                let connections: Value = serde_json::from_slice(&connections).ok()?;
                let mut connections = connections["connections"].as_array()?.iter();
                if connections.any(|connection| connection["name"] == program) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// Waits until a stream and its consumers are on so many servers, all of them up to date.
    pub async fn have(&self, stream: &str, copies: usize) -> Result<()> {
        eventually(&format!("{copies} current copies of {stream}"), WHOLE_WITHIN, async || {
            let asked = timeout(WHOLE_WITHIN, self.copies_of(stream)).await.ok()?.ok()?;
            asked.iter().all(|current| *current == copies).then_some(())
        })
        .await
    }

    /// Current copies of a stream, and of each of its consumers.
    async fn copies_of(&self, stream: &str) -> Result<Vec<usize>> {
        let broker = self.connect().await?;
        let stream = broker.get_stream(stream).await?;
        let mut clusters = vec![stream.cached_info().cluster.clone()];
        let consumers: Vec<_> = stream.consumers().try_collect().await?;
        clusters.extend(consumers.into_iter().map(|consumer| consumer.cluster));
        let current = clusters.into_iter().map(|cluster| {
            let cluster = cluster.context("not in a cluster")?;
            cluster.leader.context("no leader")?;
            Ok(1 + cluster.replicas.iter().filter(|peer| peer.current && !peer.offline).count())
        });
        current.collect()
    }

    /// Waits until every server says that it has caught up with the others.
    pub async fn are_whole(&self) -> Result<()> {
        for (name, ports) in NODES.into_iter().zip(&self.ports) {
            eventually(&format!("{name} is healthy"), WHOLE_WITHIN, async || {
                ports.ask("/healthz").await.ok().map(drop)
            })
            .await?;
        }
        Ok(())
    }

    /// Cuts one off from the others, each way, or lets it back ([`Wire::Whole`]); its clients stay with it.
    pub fn cut_off(&self, node: usize, wire: Wire) {
        for route in self.routes.iter().filter(|route| route.from == node || route.to == node) {
            route.proxy.set(wire);
        }
    }
}
