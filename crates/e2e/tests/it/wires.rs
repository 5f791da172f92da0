//! Faults on the wire to one service, in the middle of load: everything is exact soon after the wire
//! is whole again, nothing is blamed on a click, and `/health` says meanwhile what is waited for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Load, Program, Screens, Sent, Stack, Wire, conservation, eventually};
use clickwire_services::Server as Service;

/// The time after the wire's repair within which everything is counted. The longest wait is for a transaction whose
/// connection died: it is given up after 30 s.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// Half-open twice: connections that are never given back are missed the second time.
const FAULTS: [Wire; 4] = [Wire::Slow(Duration::from_millis(150)), Wire::Cut, Wire::HalfOpen, Wire::HalfOpen];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_to_the_broker() -> Result<()> {
    faults(Service::Nats, "nats").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_to_the_database() -> Result<()> {
    faults(Service::Database, "database").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_to_redis() -> Result<()> {
    faults(Service::Redis, "redis").await
}

async fn faults(service: Service, name: &str) -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let _server = stack.start_server().await?;
    let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    let mut screens = Screens::open(&stack, ["adv_001", "adv_002", "adv_003"])?;
    let mut sent = Sent::new();
    for (round, wire) in FAULTS.into_iter().enumerate() {
        let load = Load::start(&stack, 4, round as u64)?;
        load.goes_on(100).await?;
        stack.wire_to(service)?.set(wire);
        // A slow wire only makes things slow.
        if matches!(wire, Wire::Slow(_)) {
            load.goes_on(50).await?;
        } else {
            says(&aggregators[0], name, "waiting").await?;
        }
        stack.wire_to(service)?.set(Wire::Whole);
        load.goes_on(100).await?;
        load.finish(&mut sent).await?;
        let what = || format!("{name}, after {wire:?}");
        conservation::holds(&stack, &sent, HEALED_WITHIN).await.with_context(what)?;
        screens.show(&sent, HEALED_WITHIN).await.with_context(what)?;
        says(&aggregators[0], name, "ok").await.with_context(what)?;
    }
    assert_eq!(stack.dead_letters().await?, 0, "an outage is never the click's fault");
    for aggregator in aggregators {
        assert!(aggregator.stop(Duration::from_secs(15)).await?);
    }
    Ok(())
}

async fn says(aggregator: &Program, service: &str, expected: &str) -> Result<()> {
    eventually(&format!("/health says that {service} is {expected}"), HEALED_WITHIN, async || {
        (aggregator.says_of(service).await.ok()? == expected).then_some(())
    })
    .await
}
