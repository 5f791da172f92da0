//! Three brokers that have every click: one may die, freeze or be replaced, and nobody who posts notices.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Brokers, Load, Program, Sent, Stack, Wire, conservation, eventually};
use clickwire_protocol::alerts::{Alert, Kind, Severity, Which};
use serde_json::json;
use tokio::time::sleep;

/// A cluster that has lost a leader chooses another one within seconds; on a busy machine it takes longer.
const SOON: Duration = Duration::from_secs(60);

/// Clicks that must be taken whatever happens to a broker meanwhile.
const MEANWHILE: usize = 300;

/// A sum over a metric's labels.
async fn sum(program: &Program, name: &str) -> Result<f64> {
    let (_, text) = program.http()?.connection().get("/metrics").await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    };
    Ok(text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// A deployment on three brokers.
struct Deployment {
    stack: Stack,
    brokers: Brokers,
    server: Program,
    aggregators: [Program; 2],
}

impl Deployment {
    async fn start() -> Result<Self> {
        let (mut stack, brokers) = (Stack::new().await?, Brokers::start().await?);
        stack.put_on(&brokers);
        stack.set("CLICKWIRE_SPOOL_POSTS", "true");
        stack.set("CLICKWIRE_ALERT_REPLICAS_SECONDS", "2");
        stack.set("CLICKWIRE_ALERT_QUIET_SECONDS", "3");
        let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
        let server = stack.start_server().await?;
        let deployment = Self { stack, brokers, server, aggregators };
        deployment.brokers.have(deployment.stack.names().stream(), 3).await?;
        Ok(deployment)
    }

    /// Waits until an aggregator reports this number of copies of the stream.
    async fn says(&self, current: usize) -> Result<()> {
        let status = if current == 3 { "ok" } else { "degraded" };
        eventually(&format!("an aggregator knows {current} copies"), SOON, async || {
            let health = self.aggregators[0].health().await.ok()?;
            let copies = &health["streams"][self.stack.names().stream()];
            (*copies == json!({"replicas": 3, "current": current}) && health["status"] == status)
                .then_some(())
        })
        .await
    }

    /// All clicks that were taken are counted once, none was lost on the way, and none is a dead letter.
    async fn holds(&self, sent: &Sent) -> Result<()> {
        conservation::holds(&self.stack, sent, SOON * 2).await?;
        ensure!(sum(&self.server, "clickwire_spool_lost_total").await? == 0.0, "clicks were lost");
        let broker = self.brokers.connect().await?;
        let letters = broker.get_stream(self.stack.names().dead_letter_stream()).await?;
        ensure!(letters.cached_info().state.messages == 0, "an outage is never the click's fault");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_are_taken_while_a_broker_dies_freezes_and_is_replaced_and_each_click_counts_once() -> Result<()>
{
    let deployment = Deployment::start().await?;
    let Deployment { stack, brokers, server, .. } = &deployment;
    let names = stack.names();
    let mut sent = Sent::new();
    let load = Load::start(stack, 4, 5)?;
    load.goes_on(MEANWHILE).await?;

    // It leads the stream, so it is missed most.
    let dead = brokers.leader(names.stream()).await?;
    brokers.nodes().kill(dead)?;
    load.goes_on(MEANWHILE).await?;
    deployment.says(2).await?;
    short(stack, names.stream(), Some((Severity::Warning, 2))).await?;
    brokers.nodes().revive(dead)?;
    brokers.are_whole().await?;
    brokers.have(names.stream(), 3).await?;
    deployment.says(3).await?;
    short(stack, names.stream(), None).await?;

    // It leaves connections that nobody answers, that of the server among them.
    let frozen = brokers.nodes().freeze(brokers.server_of("clickwire-server").await?)?;
    load.goes_on(MEANWHILE).await?;
    deployment.says(2).await?;
    load.goes_on(MEANWHILE).await?;
    drop(frozen);
    brokers.are_whole().await?;
    brokers.have(names.stream(), 3).await?;

    for node in 0..brokers.count() {
        brokers.nodes().restart(node)?;
        load.goes_on(MEANWHILE).await?;
        brokers.are_whole().await?;
        brokers.have(names.stream(), 3).await?;
    }
    load.finish(&mut sent).await?;
    deployment.holds(&sent).await?;
    ensure!(sum(server, "clickwire_spool_taken_total").await? > 0.0, "no broker was missed");
    // Each post was answered 202 at its first attempt.
    let refused = sum(server, "clickwire_refused_total").await?;
    ensure!(refused == 0.0, "{refused} posts were refused");
    Ok(())
}

/// Cut off from the two others, a broker goes on taking connections and can store nothing. Those that are with it wait, or
/// leave it; nobody's click is lost, and none counts twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_cut_off_costs_no_click() -> Result<()> {
    let deployment = Deployment::start().await?;
    let Deployment { stack, brokers, .. } = &deployment;
    let stream = stack.names().stream().to_owned();
    let mut sent = Sent::new();
    let load = Load::start(stack, 4, 9)?;
    load.goes_on(MEANWHILE).await?;
    for wire in [Wire::Cut, Wire::HalfOpen] {
        // The one that the server talks to, and the one that leads the stream.
        for by_leader in [false, true] {
            let node = match by_leader {
                true => brokers.leader(&stream).await?,
                false => brokers.server_of("clickwire-server").await?,
            };
            brokers.cut_off(node, wire);
            load.goes_on(MEANWHILE).await?;
            brokers.have(&stream, 2).await?;
            load.goes_on(MEANWHILE).await?;
            // What was silent is reset in the end: by the network, or by the broker that hears nothing.
            brokers.cut_off(node, Wire::Cut);
            sleep(Duration::from_millis(200)).await;
            brokers.cut_off(node, Wire::Whole);
            brokers.are_whole().await?;
            brokers.have(&stream, 3).await?;
        }
    }
    load.finish(&mut sent).await?;
    deployment.holds(&sent).await
}

/// Waits until the open incident about a stream says so many copies, or until there is none.
async fn short(stack: &Stack, stream: &str, expected: Option<(Severity, i64)>) -> Result<()> {
    eventually(&format!("an incident says {expected:?} of {stream}"), SOON, async || {
        let open = stack.as_admin().ok()?.connection().incidents(Which::Open, None).await.ok()?;
        let is_of_it = |alert: &&Alert| alert.kind == Kind::StreamReplicas && alert.subject == stream;
        let said = open.data.iter().find(is_of_it);
        let said = said.map(|alert| (alert.severity, alert.details["current"].as_i64().unwrap_or(-1)));
        (said == expected).then_some(())
    })
    .await
}

/// A stream that is gone is told of as long as it is; whoever starts makes it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_is_an_incident_until_it_is_there_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_REPLICAS_SECONDS", "1");
    stack.set("CLICKWIRE_ALERT_QUIET_SECONDS", "2");
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let letters = stack.names().dead_letter_stream();
    short(&stack, &letters, None).await?;
    stack.broker().await?.delete_stream(&letters).await?;
    short(&stack, &letters, Some((Severity::Critical, 0))).await?;
    eventually("an aggregator says that it is gone", SOON, async || {
        let health = aggregator.health().await.ok()?;
        (health["streams"][&letters] == json!({"replicas": 1, "current": 0})
            && health["status"] == "degraded")
            .then_some(())
    })
    .await?;
    let _successor = stack.start_aggregator().await?;
    short(&stack, &letters, None).await
}

/// A deployment that began with one copy on one server gets its copies, with what the stream holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_there_already_gets_its_copies() -> Result<()> {
    let (mut stack, brokers) = (Stack::new().await?, Brokers::start().await?);
    stack.set("CLICKWIRE_NATS_URL", &brokers.url());
    let names = stack.names();
    let first = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    brokers.have(names.stream(), 1).await?;
    first.kill().await?;
    let (load, mut sent) = (Load::start(&stack, 2, 6)?, Sent::new());
    load.goes_on(100).await?;
    load.finish(&mut sent).await?;

    stack.set("CLICKWIRE_STREAM_REPLICAS", "3");
    let aggregator = stack.start_aggregator().await?;
    for stream in [names.stream(), &names.dead_letter_stream()] {
        brokers.have(stream, 3).await?;
    }
    conservation::holds(&stack, &sent, SOON).await?;
    eventually("the metric tells the copies of both streams", SOON, async || {
        (sum(&aggregator, "clickwire_stream_replicas_current").await.ok()? == 6.0).then_some(())
    })
    .await?;
    // The server has gone on with the same connection, and takes clicks into all three.
    let load = Load::start(&stack, 2, 7)?;
    load.goes_on(100).await?;
    load.finish(&mut sent).await?;
    conservation::holds(&stack, &sent, SOON).await?;
    drop(server);
    Ok(())
}

/// Two of three addresses may lead nowhere, at the start too; and the login is one that the brokers ask for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_that_works_and_the_login_are_enough() -> Result<()> {
    let (mut stack, brokers) = (Stack::new().await?, Brokers::start().await?);
    stack.set("CLICKWIRE_NATS_URL", &format!("nats://127.0.0.1:9,{},nats://127.0.0.1:19", brokers.url()));
    stack.set("CLICKWIRE_STREAM_REPLICAS", "3");
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (load, mut sent) = (Load::start(&stack, 2, 8)?, Sent::new());
    load.goes_on(50).await?;
    load.finish(&mut sent).await?;
    conservation::holds(&stack, &sent, SOON).await?;

    stack.set("CLICKWIRE_NATS_URL", &brokers.url_of(0));
    stack.set("CLICKWIRE_SPOOL", "off");
    let stranger = stack.begin_server().await?;
    eventually("a server without the login has no broker", SOON, async || {
        (stranger.says_of("nats").await.ok()? == "down").then_some(())
    })
    .await
}
