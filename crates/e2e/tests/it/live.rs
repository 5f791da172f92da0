//! Screens converge, and show nobody else's data.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_client::Watch;
use clickwire_e2e::{Buckets, Stack, Wire, eventually};
use clickwire_load::{http::Server, traffic};
use clickwire_protocol::{
    feed::Keys,
    ids::AdvertiserId,
    live::{SUBPROTOCOL, close},
};
use clickwire_services::Server as Service;
use futures_util::{SinkExt as _, StreamExt as _};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

/// The promised time within which a screen equals the database, whatever it missed. How much sooner it is
/// without a fault, `cargo xtask bench latency` tells.
pub(super) const SOON: Duration = Duration::from_secs(3);

/// Waits until a dashboard shows `expected` clicks received.
pub(super) async fn shows(dashboard: &mut Watch, expected: i64, within: Duration) -> Result<()> {
    let reached = timeout(within, async {
        while dashboard.state().position.is_none() || dashboard.state().total().received() != expected {
            dashboard.update().await?;
        }
        anyhow::Ok(())
    })
    .await;
    let (shown, counters) = (dashboard.state().total().received(), dashboard.counters());
    reached.with_context(|| format!("shows {shown} instead of {expected} after {within:?}: {counters:?}"))?
}

pub(super) async fn post(stack: &Stack, clicks: usize) -> Result<()> {
    post_for(stack, "adv_001", clicks).await
}

pub(super) async fn post_for(stack: &Stack, advertiser_id: &str, clicks: usize) -> Result<()> {
    let mut poster = stack.poster()?;
    let mut random = StdRng::from_rng(&mut rand::rng());
    for _ in 0..clicks {
        let mut click = traffic::click(&mut random, 0.0);
        click["advertiser_id"] = json!(advertiser_id);
        let (status, _) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        anyhow::ensure!(status.as_u16() == 202, "{status}");
    }
    Ok(())
}

pub(super) async fn counted(stack: &Stack, clicks: i64) -> Result<()> {
    eventually("clicks are counted", Duration::from_secs(20), async || {
        (stack.received(Buckets::Minutes).await.ok()? == clicks).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_reaches_the_screens_that_may_see_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut ours = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    let mut by_admin = Watch::new(stack.as_admin()?, Stack::view("adv_001"));
    let mut anothers = Watch::new(stack.as_viewer("adv_002")?, Stack::view("adv_002"));
    for dashboard in [&mut ours, &mut by_admin, &mut anothers] {
        shows(dashboard, 0, SOON).await?;
    }
    post(&stack, 3).await?;
    shows(&mut ours, 3, SOON).await?;
    shows(&mut by_admin, 3, SOON).await?;
    // A whole round later the other advertiser has seen nothing.
    post(&stack, 1).await?;
    shows(&mut ours, 4, SOON).await?;
    assert_eq!(anothers.state().total().received(), 0);
    // How fast they came, as far as it was watched.
    let clicks: i64 = ours.state().rates.values().sum();
    assert!((1..=4).contains(&clicks) && anothers.state().rates.is_empty(), "{clicks}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_after_a_pause_is_sent_at_once_and_those_behind_it_at_the_next_tick() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LIVE_TICK_MS", "6000");
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    let mut expected = 0;
    shows(&mut dashboard, expected, Duration::from_secs(10)).await?;
    for _ in 0..2 {
        post(&stack, 1).await?;
        expected += 1;
        shows(&mut dashboard, expected, SOON).await?;
        let told = Instant::now();
        post(&stack, 1).await?;
        expected += 1;
        shows(&mut dashboard, expected, Duration::from_secs(10)).await?;
        let waited = told.elapsed();
        assert!(waited > Duration::from_secs(4), "told again after {waited:?}");
        sleep(Duration::from_secs(6)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_message_and_a_new_aggregator_are_made_up_for() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    post(&stack, 5).await?;
    shows(&mut dashboard, 5, SOON).await?;

    // What a lost publish leaves behind: the database and the feed's high-water mark moved, no message came.
    sqlx::query("UPDATE click_minutes SET valid = valid + 1, version = version + 1 WHERE ctid = (SELECT min(ctid) FROM click_minutes)")
        .execute(stack.database())
        .await?;
    let mut redis =
        redis::Client::open(stack.services().redis_url())?.get_multiplexed_async_connection().await?;
    let mark = format!("{}:{{adv_001}}:head", stack.redis_prefix());
    let _: i64 = redis::cmd("HINCRBY").arg(&mark).arg("seq").arg(1).query_async(&mut redis).await?;
    shows(&mut dashboard, 6, SOON).await?;

    // An aggregator that died between commit and publish: its successor makes screens read again.
    aggregator.kill().await?;
    sqlx::query("UPDATE click_minutes SET valid = valid + 1, version = version + 1 WHERE ctid = (SELECT min(ctid) FROM click_minutes)")
        .execute(stack.database())
        .await?;
    let _successor = stack.start_aggregator().await?;
    shows(&mut dashboard, 7, SOON).await?;
    Ok(())
}

/// Messages are lost as when Redis drops a subscriber's: the feed's high-water mark moves on, and nothing comes. More
/// are lost than ever would be, so that some surely are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn screens_equal_the_database_while_a_quarter_of_the_messages_is_lost() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator_with_failpoint("unheard=25%return").await?;
    let server = stack.start_server().await?;
    let mut dashboards = Vec::new();
    for _ in 0..3 {
        let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
        shows(&mut dashboard, 0, SOON).await?;
        dashboards.push(dashboard);
    }
    for round in 1..=24 {
        post(&stack, 2).await?;
        for dashboard in &mut dashboards {
            shows(dashboard, 2 * round, SOON).await?;
        }
    }
    assert!(server.metric("clickwire_live_gaps_total").await? >= 1.0, "nothing was lost");
    Ok(())
}

/// A dashboard that was away meanwhile has a place in a feed that has not moved since, and must not be
/// told that nothing has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_aggregator_lost_is_shown_to_a_dashboard_that_comes_back() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    post(&stack, 5).await?;
    shows(&mut dashboard, 5, SOON).await?;
    server.crash().await?;
    aggregator.kill().await?;
    sqlx::query("UPDATE click_minutes SET valid = valid + 1, version = version + 1 WHERE ctid = (SELECT min(ctid) FROM click_minutes)")
        .execute(stack.database())
        .await?;
    let _successor = stack.start_aggregator().await?;
    server.revive().await?;
    server.await_ready().await?;
    shows(&mut dashboard, 6, SOON).await
}

/// A feed on which nothing was ever published has nothing to begin anew, and screens must hear of it all the
/// same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_aggregator_committed_before_anything_was_published_is_shown() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut dashboard, 0, SOON).await?;
    // It dies between commit and publish, its first.
    aggregator.kill().await?;
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         VALUES (date_trunc('minute', now()), 'adv_001', 'camp_001', 'ad_001', 'DE', 'mobile', 3)",
    )
    .execute(stack.database())
    .await?;
    let _successor = stack.start_aggregator().await?;
    shows(&mut dashboard, 3, SOON).await
}

/// Posts without end until told to stop; returns how many were accepted.
fn keep_posting(stack: &Stack) -> Result<(tokio::sync::oneshot::Sender<()>, JoinHandle<Result<i64>>)> {
    let mut poster = stack.poster()?;
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut accepted = 0;
        let mut random = StdRng::seed_from_u64(3);
        while stopped.try_recv().is_err() {
            let mut click = traffic::click(&mut random, 0.1);
            click["advertiser_id"] = json!("adv_001");
            let (status, _) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
            accepted += i64::from(status.as_u16() == 202);
        }
        Ok(accepted)
    });
    Ok((stop, task))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_back_empty_under_load() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    post(&stack, 5).await?;
    shows(&mut dashboard, 5, SOON).await?;

    let (stop, posting) = keep_posting(&stack)?;
    tokio::task::block_in_place(|| stack.services().kill(Service::Redis))?;
    // Counting goes on without Redis.
    let before = stack.received(Buckets::Minutes).await?;
    eventually("clicks are counted without Redis", Duration::from_secs(10), async || {
        (stack.received(Buckets::Minutes).await.ok()? > before + 100).then_some(())
    })
    .await?;
    assert!(stop.send(()).is_ok());
    let expected = 5 + posting.await??;
    counted(&stack, expected).await?;
    // Long enough for every back-off to have grown as far as it does.
    eventually("the gateway has tried many times", Duration::from_secs(60), async || {
        (server.metric("clickwire_live_interruptions_total").await.ok()? >= 16.0).then_some(())
    })
    .await?;
    tokio::task::block_in_place(|| stack.services().restart(Service::Redis))?;
    shows(&mut dashboard, expected, SOON).await?;
    post(&stack, 2).await?;
    shows(&mut dashboard, expected + 2, SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_says_so_and_its_dashboards_go_on_at_the_next() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let first = stack.start_server().await?;
    let mut socket = connect(&stack).await?;
    say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
    assert_eq!(hear(&mut socket).await?["type"], "welcome");
    assert!(first.stop(Duration::from_secs(15)).await?, "SIGTERM ends it with success");
    assert_eq!(closed(&mut socket).await?, close::RECONNECT);

    let _second = stack.start_server().await?;
    post(&stack, 4).await?;
    counted(&stack, 4).await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut dashboard, 4, SOON).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_break_the_rules_are_told_why() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let auth = json!({"type": "auth", "token": Stack::viewer_token("adv_001")});
    for (first, expected) in [
        (json!({"type": "auth", "token": "nonsense"}), close::UNAUTHORIZED),
        (json!({"type": "ping"}), close::PROTOCOL_ERROR),
        (json!({"type": "frobnicate"}), close::PROTOCOL_ERROR),
        (json!("text"), close::PROTOCOL_ERROR),
    ] {
        let mut socket = connect(&stack).await?;
        say(&mut socket, first.clone()).await?;
        assert_eq!(closed(&mut socket).await?, expected, "{first}");
    }

    let mut socket = connect(&stack).await?;
    say(&mut socket, auth.clone()).await?;
    assert_eq!(hear(&mut socket).await?["advertisers"], json!(["adv_001"]));
    let view = |advertiser: &str, window: u32| {
        json!({"type": "subscribe", "id": 4,
        "view": {"kind": "clicks", "advertiser_id": advertiser, "window_minutes": window}})
    };
    for (request, code) in [
        (view("adv_002", 60), "forbidden"),
        (view("adv_001", 0), "invalid"),
        (view("adv_001", 241), "invalid"),
    ] {
        say(&mut socket, request).await?;
        let answer = hear(&mut socket).await?;
        assert_eq!(
            (&answer["type"], &answer["id"], &answer["code"]),
            (&json!("error"), &json!(4), &json!(code))
        );
    }
    say(&mut socket, json!({"type": "ping"})).await?;
    assert_eq!(hear(&mut socket).await?, json!({"type": "pong"}));
    say(&mut socket, view("adv_001", 60)).await?;
    assert_eq!(hear(&mut socket).await?["type"], "snapshot");
    // 16 KiB at most.
    let sent = socket.send(Message::text(" ".repeat(17 * 1024))).await;
    assert!(
        sent.is_err()
            || !matches!(timeout(Duration::from_secs(5), socket.next()).await?, Some(Ok(Message::Text(_))))
    );

    let mut request = format!("ws://{}/api/v1/live", stack.server_url().trim_start_matches("http://"))
        .into_client_request()?;
    request.headers_mut().insert("origin", "https://evil.example".parse()?);
    assert!(tokio_tungstenite::connect_async(request).await.is_err(), "a page of another origin");
    let (status, _) = Server::new(stack.server_url(), "")?.connection().get("/api/v1/live").await?;
    assert_eq!(status.as_u16(), 426, "not a WebSocket handshake");
    Ok(())
}

pub(crate) type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub(crate) async fn connect(stack: &Stack) -> Result<Socket> {
    open(stack, None).await
}

/// A socket of a browser that has this cookie.
pub(crate) async fn open(stack: &Stack, cookie: Option<&str>) -> Result<Socket> {
    let mut request = format!("ws://{}/api/v1/live", stack.server_url().trim_start_matches("http://"))
        .into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    if let Some(cookie) = cookie {
        request.headers_mut().insert("cookie", cookie.parse()?);
    }
    let (socket, response) = tokio_tungstenite::connect_async(request).await?;
    assert_eq!(response.headers().get("sec-websocket-protocol").context("no subprotocol")?, SUBPROTOCOL);
    Ok(socket)
}

pub(crate) async fn say(socket: &mut Socket, message: Value) -> Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

/// The next text message.
pub(crate) async fn hear(socket: &mut Socket) -> Result<Value> {
    loop {
        let message = timeout(Duration::from_secs(5), socket.next()).await?.context("the socket ended")??;
        if let Message::Text(text) = message {
            return Ok(serde_json::from_str(&text)?);
        }
    }
}

/// The code that the server closes with when it is told all this.
pub(super) async fn refused_with(stack: &Stack, messages: &[String]) -> Result<u16> {
    let mut socket = connect(stack).await?;
    for message in messages {
        // It may be closed before everything is said.
        if socket.send(Message::text(message.as_str())).await.is_err() {
            break;
        }
    }
    closed(&mut socket).await
}

/// The code that the server closes with.
pub(crate) async fn closed(socket: &mut Socket) -> Result<u16> {
    loop {
        let message =
            timeout(Duration::from_secs(5), socket.next()).await?.context("ended without a code")??;
        if let Message::Close(frame) = message {
            return Ok(frame.context("closed without a code")?.code.into());
        }
    }
}

/// A replica that takes over may not have heard the last messages; their numbers are given to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_whose_head_goes_back_begins_anew() -> Result<()> {
    let mut stack = Stack::alone().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut dashboard, 0, SOON).await?;
    post(&stack, 3).await?;
    shows(&mut dashboard, 3, SOON).await?;
    let before = dashboard.state().position.clone().context("no position")?;
    assert!(before.seq > 0);

    let redis = redis::Client::open(stack.services().redis_url())?;
    let mut redis = redis.get_multiplexed_async_connection().await?;
    let mark = Keys::new(stack.redis_prefix(), &AdvertiserId::unchecked("adv_001")).high_water_mark;
    let _: () = redis::cmd("HSET").arg(mark).arg("seq").arg(0).query_async(&mut redis).await?;
    let _: () = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("PUBSUB").query_async(&mut redis).await?;
    let begun = timeout(SOON, async {
        while dashboard.state().position.as_ref().is_none_or(|position| position.epoch == before.epoch) {
            dashboard.update().await?;
        }
        anyhow::Ok(())
    });
    begun.await.context("it resumes from numbers that were given away again")??;
    post(&stack, 1).await?;
    shows(&mut dashboard, 4, SOON).await
}

/// An aggregator that stops has nobody to tell later what it could not publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_aggregator_could_not_publish_before_it_stopped_is_shown() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _staying = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    stack.wire().await?;
    let leaving = stack.start_aggregator().await?;
    shows(&mut dashboard, 0, SOON).await?;
    stack.wire_to(Service::Redis)?.set(Wire::Cut);
    let mut posted = 0;
    while leaving.metric("clickwire_clicks_counted_total").await? < 20.0 {
        post(&stack, 20).await?;
        posted += 20;
        counted(&stack, posted).await?;
    }
    let heals = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stack.wire_to(Service::Redis).map(|wire| wire.set(Wire::Whole))
    };
    let (stopped, healed) = tokio::join!(leaving.stop(Duration::from_secs(20)), heals);
    healed?;
    assert!(stopped?);
    shows(&mut dashboard, posted, SOON).await
}
