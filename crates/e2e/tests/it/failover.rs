//! A database whose standby takes over: nothing is lost and nothing is counted twice, on the disk of whichever host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Buckets, Load, Program, Sent, Stack, Wire, conservation, eventually};
use clickwire_services::{Server as Service, Standby};
use serde_json::Value;
use tokio::{task::block_in_place, time::sleep};

use super::live::{self, shows};

/// Hosts are asked every second, a silent one for two; the rest is connections and a busy machine.
const SOON: Duration = Duration::from_secs(40);

/// The way in which programs know the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    /// They are told both.
    OfEach,
    /// One address, which moves.
    Moving,
}

/// The end of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    /// Its connections stay open, and nothing is answered; later it is there again.
    Silent,
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
        let standby = block_in_place(|| stack.services().start_standby())?;
        stack.wire().await?;
        let wire = format!("127.0.0.1:{}", stack.wire_to(Service::Database)?.port());
        let primary = format!("127.0.0.1:{}", port(stack.database_url())?);
        let hosts = match address {
            Address::OfEach => format!("{wire},127.0.0.1:{}", port(&standby.url("clickwire"))?),
            Address::Moving => wire,
        };
        let url = stack.database_url().replacen(&primary, &hosts, 1);
        stack.set("CLICKWIRE_DATABASE_URL", &url);
        Ok(Self { stack, standby, address })
    }

    fn on_primary(&self, sql: &str) -> Result<String> {
        Ok(block_in_place(|| self.stack.services().psql("clickwire", sql))?)
    }

    fn on_standby(&self, sql: &str) -> Result<String> {
        Ok(block_in_place(|| self.standby.psql("clickwire", sql))?)
    }

    /// A commit waits for the standby from now on.
    async fn synchronous(&self) -> Result<()> {
        self.on_primary("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.on_primary("SELECT pg_reload_conf()")?;
        eventually("the standby is synchronous", SOON, async || {
            let state = self.on_primary("SELECT sync_state FROM pg_stat_replication").ok()?;
            (state.trim() == "sync").then_some(())
        })
        .await
    }

    /// The standby receives nothing any more.
    async fn cut_off(&self) -> Result<()> {
        self.on_standby("ALTER SYSTEM SET primary_conninfo = ''")?;
        self.on_standby("SELECT pg_reload_conf()")?;
        eventually("nothing is replicated", SOON, async || {
            let following = self.on_primary("SELECT count(*) FROM pg_stat_replication").ok()?;
            (following.trim() == "0").then_some(())
        })
        .await
    }

    /// The primary is gone, and after a while the standby is the primary.
    async fn fail_over(&mut self, fault: Fault) -> Result<()> {
        let wire = self.stack.wire_to(Service::Database)?;
        match fault {
            Fault::Killed => block_in_place(|| self.stack.services().kill(Service::Database))?,
            Fault::Silent => wire.set(Wire::HalfOpen),
        }
        sleep(Duration::from_secs(2)).await;
        self.on_standby("SELECT pg_promote()")?;
        if self.address == Address::Moving {
            wire.lead_to(port(&self.standby.url("clickwire"))?);
            wire.set(Wire::Whole);
        }
        let url = self.standby.url("clickwire");
        self.stack.look_at(&url).await
    }
}

fn port(url: &str) -> Result<u16> {
    let port = url.split('/').nth(2).and_then(|authority| authority.rsplit(':').next()?.parse().ok());
    port.context("a URL without a port")
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
    hosts.synchronous().await?;
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
    if fault == Fault::Silent {
        // It still takes itself for the primary. Nobody goes back to it.
        hosts.stack.wire_to(Service::Database)?.set(Wire::Whole);
        sleep(Duration::from_secs(3)).await;
        live::post(&hosts.stack, 20).await?;
        *sent.entry("adv_001".to_owned()).or_default() += 20;
        holds(&hosts, &sent, &mut dashboard).await?;
        let there: i64 = hosts.on_primary("SELECT count(*) FROM clicks")?.trim().parse()?;
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
        let there = hosts.on_standby("SELECT coalesce(sum(rows), 0) FROM lake_ranges").ok()?;
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
    // What is counted and archived has been acknowledged to the broker by then.
    sleep(Duration::from_secs(3)).await;
    hosts.fail_over(Fault::Killed).await?;
    let there = hosts.stack.received(Buckets::Minutes).await?;
    ensure!(there <= 50, "{there}");

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
