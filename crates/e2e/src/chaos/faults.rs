//! Making things break, and mending them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clickwire_services::{Server as Service, Standby};
use tokio::{
    task::block_in_place,
    time::{sleep, sleep_until},
};

use super::plan::{Fault, FaultKind, LakeFault, LakeFaultKind, Trouble};
use crate::{Address, Brokers, Nodes, Program, RedisCluster, Stack, Wire};

/// A server and two aggregators.
pub(crate) struct Programs {
    server: Program,
    aggregators: [Program; 2],
}

/// What there is more than one of.
pub(crate) struct Cluster {
    pub(crate) brokers: Brokers,
    pub(crate) redis: RedisCluster,
    pub(crate) standby: Standby,
}

impl Cluster {
    /// Starts it, for programs of this stack that are started afterwards.
    pub(crate) async fn start(stack: &mut Stack) -> Result<Self> {
        let (brokers, redis) = tokio::try_join!(Brokers::start(), RedisCluster::start(stack.redis_prefix()))?;
        stack.put_on(&brokers);
        stack.set("CLICKWIRE_REDIS_URL", &redis.url());
        let standby = stack.stand_by(Address::OfEach)?;
        stack.synchronous().await?;
        Ok(Self { brokers, redis, standby })
    }
}

impl Trouble {
    /// Brings it on a node until `mended`.
    async fn befall(self, nodes: &Nodes, node: usize, mended: tokio::time::Instant) -> Result<()> {
        match self {
            Self::Killed => {
                block_in_place(|| nodes.kill(node))?;
                sleep_until(mended).await;
                nodes.revive(node)
            }
            Self::Frozen => {
                let frozen = nodes.freeze(node)?;
                sleep_until(mended).await;
                drop(frozen);
                Ok(())
            }
        }
    }
}

/// The faults to come.
pub(crate) struct Faults<'a> {
    pub(crate) schedule: &'a [Fault],
    pub(crate) began: Instant,
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

/// The faults of the lake to come.
pub(crate) struct LakeFaults<'a> {
    pub(crate) schedule: &'a [LakeFault],
    pub(crate) began: Instant,
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

impl LakeFaults<'_> {
    /// Lets them happen one after the other; what is late is not left out.
    pub(crate) async fn happen(&self, lake: &mut Program, stack: &Stack) -> Result<()> {
        for fault in self.schedule {
            sleep_until((self.began + Duration::from_millis(fault.at_ms)).into()).await;
            (self.say)(&fault.to_string());
            let mended = (Instant::now() + fault.lasts).into();
            match fault.kind {
                LakeFaultKind::Killed => {
                    lake.crash().await?;
                    sleep_until(mended).await;
                    lake.revive().await?;
                }
                LakeFaultKind::Frozen => {
                    lake.freeze(true).await?;
                    sleep_until(mended).await;
                    lake.freeze(false).await?;
                }
                LakeFaultKind::StoreAway => {
                    stack.object_store(false)?;
                    sleep_until(mended).await;
                    stack.object_store(true)?;
                }
            }
        }
        Ok(())
    }
}

impl Programs {
    pub(crate) async fn start(stack: &mut Stack) -> Result<Self> {
        let server = stack.start_server().await?;
        let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
        Ok(Self { server, aggregators })
    }

    /// Waits until all of them are, after whatever happened.
    pub(crate) async fn are_ready(&mut self) -> Result<()> {
        self.server.await_ready().await?;
        for aggregator in &mut self.aggregators {
            aggregator.await_ready().await?;
        }
        Ok(())
    }
}

impl Faults<'_> {
    /// Lets them happen one after the other; what is late is not left out.
    pub(crate) async fn happen(
        &self,
        programs: &mut Programs,
        stack: &Stack,
        cluster: Option<&Cluster>,
    ) -> Result<()> {
        let several = || cluster.context("there is one of each");
        for fault in self.schedule {
            sleep_until((self.began + Duration::from_millis(fault.at_ms)).into()).await;
            (self.say)(&fault.to_string());
            let mended = (Instant::now() + fault.lasts).into();
            match fault.kind {
                FaultKind::Broker(node, trouble) => {
                    trouble.befall(several()?.brokers.nodes(), node, mended).await?;
                }
                FaultKind::Redis(node, trouble) => {
                    trouble.befall(several()?.redis.nodes(), node, mended).await?;
                }
                FaultKind::CutOff(node, wire) => {
                    let brokers = &several()?.brokers;
                    brokers.cut_off(node, wire);
                    sleep_until(mended).await;
                    // What was silent is reset in the end.
                    brokers.cut_off(node, Wire::Cut);
                    sleep(Duration::from_millis(200)).await;
                    brokers.cut_off(node, Wire::Whole);
                }
                FaultKind::FailOver => {
                    block_in_place(|| stack.services().kill(Service::Database))?;
                    sleep_until(mended).await;
                    stack.promote(&several()?.standby, Address::OfEach)?;
                }
                FaultKind::Aggregator(number) => {
                    programs.aggregators[number].crash().await?;
                    sleep_until(mended).await;
                    programs.aggregators[number].revive().await?;
                }
                FaultKind::Server => {
                    programs.server.crash().await?;
                    sleep_until(mended).await;
                    programs.server.revive().await?;
                }
                FaultKind::Service(service) => {
                    block_in_place(|| stack.services().kill(service))?;
                    sleep_until(mended).await;
                    block_in_place(|| stack.services().restart(service))?;
                }
                FaultKind::Wire(service, wire) => {
                    stack.wire_to(service)?.set(wire);
                    sleep_until(mended).await;
                    stack.wire_to(service)?.set(Wire::Whole);
                }
            }
        }
        Ok(())
    }
}
