//! A database whose standby takes over: nothing is lost and nothing is counted twice, on the disk of whichever host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Address, Load, Program, Sent, Stack, Wire, conservation, eventually, on_standby};
use clickwire_services::{Server as Service, Standby};
use serde_json::Value;
use tokio::{task::block_in_place, time::sleep};

use super::live::{self, shows};

/// Hosts are asked every second, a silent one for two; the rest is connections and a busy machine.
const SOON: Duration = Duration::from_secs(40);

/// The end of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    /// Its connections stay open, and nothing is answered; later it is there again.
    Silent,
    /// It lives on, and answers on connections that are open.
    Alive,
}

/// A deployment whose database has a standby.
struct Hosts {
    stack: Stack,
    standby: Standby,
    address: Address,
}

impl Hosts {
    async fn start(address: Address) -> Result<Self> {
        let mut stack = Stack::alone().await?;
        stack.wire().await?;
        let standby = stack.stand_by(address)?;
        Ok(Self { stack, standby, address })
    }

    /// The standby receives nothing any more.
    async fn cut_off(&self) -> Result<()> {
        on_standby(&self.standby, "ALTER SYSTEM SET primary_conninfo = ''")?;
        on_standby(&self.standby, "SELECT pg_reload_conf()")?;
        eventually("nothing is replicated", SOON, async || {
            let following = self.stack.on_primary("SELECT count(*) FROM pg_stat_replication").ok()?;
            (following.trim() == "0").then_some(())
        })
        .await
    }

    /// The primary is gone, and after a while the standby is the primary.
    async fn fail_over(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Killed => block_in_place(|| self.stack.services().kill(Service::Database))?,
            Fault::Silent => self.stack.wire_to(Service::Database)?.set(Wire::HalfOpen),
            Fault::Alive => {}
        }
        sleep(Duration::from_secs(2)).await;
        self.stack.promote(&self.standby, self.address)?;
        if self.address == Address::Moving {
            self.stack.wire_to(Service::Database)?.set(Wire::Whole);
        }
        let url = self.standby.url("clickwire");
        self.stack.look_at(&url).await
    }
}

/// The answer to a click without content.
async fn status(stack: &Stack, key: &str) -> Result<u16> {
    let (status, _) = stack.poster_with(key)?.post("/api/v1/clicks", b"{}".to_vec()).await?;
    Ok(status.as_u16())
}

async fn received(stack: &Stack) -> Result<i64> {
    let path = "/api/v1/analytics/summary?advertiser_id=adv_001";
    let (status, body) = stack.as_viewer("adv_001")?.connection().get(path).await?;
    ensure!(status.is_success(), "{status}");
    serde_json::from_slice::<Value>(&body)?["totals"]["received"].as_i64().context("no number")
}

/// Waits until everything that was sent is counted, and people see it.
async fn holds(hosts: &Hosts, sent: &Sent, dashboard: &mut Watch) -> Result<()> {
    conservation::holds(&hosts.stack, sent, SOON).await?;
    let expected = sent["adv_001"];
    eventually("the server answers from the new primary", SOON, async || {
        (received(&hosts.stack).await.ok()? == expected).then_some(())
    })
    .await?;
    shows(dashboard, expected, SOON).await
}

async fn is_survived(address: Address, fault: Fault) -> Result<()> {
    let mut hosts = Hosts::start(address).await?;
    hosts.stack.synchronous().await?;
    let aggregators = [hosts.stack.start_aggregator().await?, hosts.stack.start_aggregator().await?];
    let server = hosts.stack.start_server().await?;
    for program in &aggregators {
        eventually("commits wait for the standby", SOON, async || {
            (program.health().await.ok()?["status"] == "ok").then_some(())
        })
        .await?;
    }
    let mut dashboard = Watch::new(hosts.stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut dashboard, 0, live::SOON).await?;
    let load = Load::start(&hosts.stack, 4, 1)?;
    load.goes_on(300).await?;
    hosts.fail_over(fault).await?;
    load.goes_on(300).await?;
    let mut sent = Sent::new();
    load.finish(&mut sent).await?;
    holds(&hosts, &sent, &mut dashboard).await?;
    // What people change is stored there, too.
    eventually("the server writes to the new primary", SOON, async || {
        hosts.stack.bound_key("adv_001").await.ok()
    })
    .await?;
    if fault != Fault::Killed {
        // It still takes itself for the primary. Nobody goes back to it.
        hosts.stack.wire_to(Service::Database)?.set(Wire::Whole);
        sleep(Duration::from_secs(3)).await;
        live::post(&hosts.stack, 20).await?;
        *sent.entry("adv_001".to_owned()).or_default() += 20;
        holds(&hosts, &sent, &mut dashboard).await?;
        let there: i64 = hosts.stack.on_primary("SELECT count(*) FROM clicks")?.trim().parse()?;
        ensure!(there < sent.values().sum(), "{there} clicks at the primary from before");
    }
    for program in aggregators.iter().chain([&server]) {
        program.health().await.context("a program has ended")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_by_its_standby() -> Result<()> {
    is_survived(Address::OfEach, Fault::Killed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_silent_is_left_and_not_gone_back_to() -> Result<()> {
    is_survived(Address::OfEach, Fault::Silent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_moves_is_followed_from_a_dead_primary() -> Result<()> {
    is_survived(Address::Moving, Fault::Killed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_hosts_are_known_and_the_primary_that_lives_on_is_left() -> Result<()> {
    is_survived(Address::OfEach, Fault::Alive).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_moves_is_followed_from_a_primary_that_lives_on() -> Result<()> {
    is_survived(Address::Moving, Fault::Alive).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_moves_is_followed_from_a_silent_primary() -> Result<()> {
    is_survived(Address::Moving, Fault::Silent).await
}

/// The standby is not synchronous, and lacks commits when it is promoted: of clicks, of files of the lake, of a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_the_standby_lacks_are_counted_again() -> Result<()> {
    let mut hosts = Hosts::start(Address::OfEach).await?;
    hosts.stack.set("CLICKWIRE_STREAM_KEPT_SECONDS", "600");
    let aggregator: Program = hosts.stack.start_aggregator().await?;
    let _server = hosts.stack.start_server().await?;
    let lake = hosts.stack.start_lake().await?;
    let health = eventually("commits are said not to wait", SOON, async || {
        aggregator.health().await.ok().filter(|health| health["standby"].is_string())
    })
    .await?;
    ensure!(health["status"] == "degraded", "{health}");
    let mut dashboard = Watch::new(hosts.stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    live::post(&hosts.stack, 20).await?;
    shows(&mut dashboard, 20, live::SOON).await?;
    eventually("the lake has them", SOON, async || (hosts.stack.archived().await.ok()? == 20).then_some(()))
        .await?;
    eventually("the standby has them", SOON, async || {
        let there = on_standby(&hosts.standby, "SELECT coalesce(sum(rows), 0) FROM lake_ranges").ok()?;
        (there.trim() == "20").then_some(())
    })
    .await?;

    hosts.cut_off().await?;
    live::post(&hosts.stack, 30).await?;
    live::counted(&hosts.stack, 50).await?;
    shows(&mut dashboard, 50, live::SOON).await?;
    eventually("the lake has all", SOON, async || (hosts.stack.archived().await.ok()? == 50).then_some(()))
        .await?;
    let lost = hosts.stack.bound_key("adv_001").await?;
    ensure!(status(&hosts.stack, &lost).await? == 400, "the key is known");
    let there = on_standby(&hosts.standby, "SELECT count(*) FROM clicks")?;
    ensure!(there.trim() == "20", "the standby has {there} clicks");
    // What is counted and archived has been acknowledged to the broker by then.
    sleep(Duration::from_secs(3)).await;
    hosts.fail_over(Fault::Killed).await?;

    let sent = Sent::from([("adv_001".to_owned(), 50)]);
    holds(&hosts, &sent, &mut dashboard).await?;
    live::post(&hosts.stack, 5).await?;
    let sent = Sent::from([("adv_001".to_owned(), 55)]);
    holds(&hosts, &sent, &mut dashboard).await?;
    hosts.stack.lake_equals_ledger(SOON).await?;
    ensure!(hosts.stack.archived().await? == 55, "each click once in the lake");
    // As many keys were changed as before the primary died, and others.
    let new = eventually("a key is made", SOON, async || hosts.stack.bound_key("adv_002").await.ok()).await?;
    eventually("keys are those of the new primary", SOON, async || {
        let (lost, new) = (status(&hosts.stack, &lost).await.ok()?, status(&hosts.stack, &new).await.ok()?);
        ((lost, new) == (401, 400)).then_some(())
    })
    .await?;
    for program in [&aggregator, &lake] {
        program.health().await.context("a program has ended")?;
    }
    Ok(())
}
