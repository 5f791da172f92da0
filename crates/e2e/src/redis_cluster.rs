//! A Redis Cluster for one test.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_protocol::{
    feed::{Keys, generation_key},
    ids::AdvertiserId,
};
use clickwire_services::{Port, Program, Programs, Reservation, Supervisor};
use redis::{Cmd, FromRedisValue, cmd};
use tempfile::TempDir;

use crate::{Nodes, eventually};

/// The nodes' programs; the last is a replica of the first, the others are masters of a shard each: of a
/// third of the slots.
const NODES: [&str; 4] = ["redisa", "redisb", "redisc", "redisd"];
const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// The first master's only replica.
const REPLICA: usize = 3;

/// Before a replica takes over, its master must have been away for so long: longer than screens may be behind.
const AWAY_MS: &str = "5000";

const FORMED_WITHIN: Duration = Duration::from_secs(30);

/// Three masters and a replica of the first; they end with this.
pub struct RedisCluster {
    ports: Vec<Ports>,
    /// The first part of every key.
    prefix: String,
    /// Which third of the slots the first master has.
    first_third: usize,
    // Before the folder, so that everything has stopped when the folder is removed.
    nodes: Nodes,
    _folder: TempDir,
}

struct Ports {
    client: Reservation,
    bus: Reservation,
}

impl RedisCluster {
    /// Starts the nodes and returns when all know each other. The first master, which may fail, has the feed generation
    /// of the deployment with this `prefix`.
    pub async fn start(prefix: &str) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(|| Programs::ensure(&|_| ())).await??;
        let folder = TempDir::new()?;
        let supervisor = Supervisor::start(&folder.path().join("supervisor.log"), None, None)?;
        let (mut ports, mut nodes) = (Vec::new(), Nodes::of(supervisor));
        for name in NODES {
            let (client, bus) = (Port::Free.reserve(name)?, Port::Free.reserve(name)?);
            let mut args = Vec::new();
            for (flag, value) in [
                ("--bind", "127.0.0.1"),
                ("--port", &client.port().to_string()),
                ("--save", ""),
                ("--cluster-enabled", "yes"),
                ("--cluster-port", &bus.port().to_string()),
                ("--cluster-config-file", &format!("{name}.conf")),
                ("--cluster-node-timeout", AWAY_MS),
                // What the other shards do must not depend on the one that is away.
                ("--cluster-require-full-coverage", "no"),
            ] {
                args.extend([flag.into(), value.into()]);
            }
            args.extend(["--dir".into(), folder.path().into()]);
            let log = folder.path().join(name).with_extension("log");
            let path = programs.redis_server.clone();
            let program = Program { name, stop_signal: "TERM", path, args, env: Vec::new(), log };
            nodes.start(program)?;
            ports.push(Ports { client, bus });
        }
        let prefix = prefix.to_owned();
        let mut cluster = Self { ports, prefix, first_third: 0, nodes, _folder: folder };
        cluster.form().await?;
        Ok(cluster)
    }

    async fn form(&mut self) -> Result<()> {
        for (number, name) in NODES.into_iter().enumerate() {
            eventually(name, FORMED_WITHIN, async || self.ask::<()>(number, &cmd("PING")).await.ok()).await?;
        }
        self.first_third = self.slot_of(&generation_key(&self.prefix)).await? * MASTERS / SLOTS;
        for (number, ports) in self.ports.iter().enumerate() {
            let mut epoch = cmd("CLUSTER");
            self.ask::<()>(number, epoch.arg("SET-CONFIG-EPOCH").arg(number + 1)).await?;
            if number < MASTERS {
                let third = (number + self.first_third) % MASTERS;
                let (first, end) =
                    ((third * SLOTS).div_ceil(MASTERS), ((third + 1) * SLOTS).div_ceil(MASTERS));
                let mut slots = cmd("CLUSTER");
                self.ask::<()>(number, slots.arg("ADDSLOTSRANGE").arg(first).arg(end - 1)).await?;
            }
            let mut meet = cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(ports.client.port()).arg(ports.bus.port());
            self.ask::<()>(0, &meet).await?;
        }
        let first = self.id(0).await?;
        eventually("the replica knows its master", FORMED_WITHIN, async || {
            self.ask::<()>(REPLICA, cmd("CLUSTER").arg("REPLICATE").arg(&first)).await.ok()
        })
        .await?;
        for number in 0..NODES.len() {
            eventually("all nodes know each other", FORMED_WITHIN, async || {
                let info: String = self.ask(number, cmd("CLUSTER").arg("INFO")).await.ok()?;
                let is_whole = ["cluster_state:ok", "cluster_known_nodes:4", "cluster_slots_ok:16384"];
                is_whole.iter().all(|line| info.contains(line)).then_some(())
            })
            .await?;
        }
        eventually("the replica follows", FORMED_WITHIN, async || {
            let info: String = self.ask(REPLICA, cmd("INFO").arg("replication")).await.ok()?;
            info.contains("master_link_status:up").then_some(())
        })
        .await
    }

    /// For `CLICKWIRE_REDIS_URL`: two of the masters, from which the others must be found out.
    pub fn url(&self) -> String {
        let [_, second, third, _] = self.ports.as_slice() else { unreachable!("there are four nodes") };
        format!("redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}", second.client.port(), third.client.port())
    }

    /// The processes: three masters, of which the first has a replica that may take over, and that replica.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// An advertiser whose feed is the business of a master.
    pub async fn advertiser_of(&self, master: usize) -> Result<String> {
        for number in 1..1_000 {
            let advertiser_id = format!("adv_{number:03}");
            let third = self.slot_of(&self.head_of(&advertiser_id)).await? * MASTERS / SLOTS;
            if third == (master + self.first_third) % MASTERS {
                return Ok(advertiser_id);
            }
        }
        anyhow::bail!("a thousand advertisers, and none of this shard")
    }

    fn head_of(&self, advertiser_id: &str) -> String {
        Keys::new(&self.prefix, &AdvertiserId::unchecked(advertiser_id)).high_water_mark
    }

    async fn slot_of(&self, key: &str) -> Result<usize> {
        self.ask(1, cmd("CLUSTER").arg("KEYSLOT").arg(key)).await
    }

    /// Ends the first master as a crash would, and returns when its replica has taken over.
    pub async fn fail_over(&self) -> Result<()> {
        self.nodes.kill(0)?;
        eventually("the replica takes over", FORMED_WITHIN, async || {
            let info: String = self.ask(REPLICA, cmd("INFO").arg("replication")).await.ok()?;
            info.contains("role:master").then_some(())
        })
        .await
    }

    /// Gives the slot of an advertiser's feed from one master to another, with all keys.
    pub async fn move_feed(&self, advertiser_id: &str, from: usize, to: usize) -> Result<()> {
        let slot = self.slot_of(&self.head_of(advertiser_id)).await?;
        let (source, target) = (self.id(from).await?, self.id(to).await?);
        let set = |how: &str, node: &str| {
            let mut command = cmd("CLUSTER");
            command.arg("SETSLOT").arg(slot).arg(how).arg(node);
            command
        };
        self.ask::<()>(to, &set("IMPORTING", &source)).await?;
        self.ask::<()>(from, &set("MIGRATING", &target)).await?;
        let keys: Vec<String> =
            self.ask(from, cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(1_000)).await?;
        ensure!(!keys.is_empty(), "the feed has no high-water mark");
        let mut migrate = cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(self.ports[to].client.port()).arg("").arg(0).arg(5_000);
        self.ask::<()>(from, migrate.arg("KEYS").arg(keys)).await?;
        for node in [to, from] {
            self.ask::<()>(node, &set("NODE", &target)).await?;
        }
        Ok(())
    }

    async fn id(&self, node: usize) -> Result<String> {
        self.ask(node, cmd("CLUSTER").arg("MYID")).await
    }

    async fn ask<T: FromRedisValue>(&self, node: usize, command: &Cmd) -> Result<T> {
        let port = self.ports[node].client.port();
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        command.query_async(&mut connection).await.context(NODES[node])
    }
}
