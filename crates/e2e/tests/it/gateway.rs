//! The gateway's other ways in, its limits, and how it goes away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{Program, Stack, eventually};
use clickwire_load::{http::Server, traffic};
use clickwire_protocol::live::{Applied, ServerMessage, ViewState, close};
use futures_util::{SinkExt as _, StreamExt as _};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::live::{SOON, closed, connect, counted, hear, post, refused_with, say, shows};

/// Posts one click of adv_001, and the same one again until it is taken.
async fn post_until_taken(server: &Server, random: &mut StdRng) -> Result<()> {
    let mut click = traffic::click(random, 0.0);
    click["advertiser_id"] = json!("adv_001");
    click["click_id"] = json!(uuid::Uuid::now_v7());
    eventually("a click is taken", Duration::from_secs(20), async || {
        let answer = server.connection().post("/api/v1/clicks", click.to_string().into_bytes()).await;
        matches!(answer, Ok((status, _)) if status.as_u16() == 202).then_some(())
    })
    .await
}

/// Server-sent events, as an `EventSource` reads them.
struct Events {
    lines: BufReader<TcpStream>,
    last_event_id: String,
    state: ViewState,
    /// Kinds of messages, in the order in which they came.
    kinds: Vec<&'static str>,
}

impl Events {
    async fn open(stack: &Stack, last_event_id: &str) -> Result<Self> {
        Self::open_with(stack, "", last_event_id).await
    }

    /// With more in the query string.
    async fn open_with(stack: &Stack, query: &str, last_event_id: &str) -> Result<Self> {
        let authority = stack.server_url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(authority).await?;
        // HTTP/1.0, so that the body comes as it is.
        let request = format!(
            "GET /api/v1/live/sse?window_minutes=240{query} HTTP/1.0\r\nhost: {authority}\r\nauthorization: Bearer {}\r\nlast-event-id: {last_event_id}\r\n\r\n",
            Stack::viewer_token("adv_001"),
        );
        stream.write_all(request.as_bytes()).await?;
        let mut events = Self {
            lines: BufReader::new(stream),
            last_event_id: last_event_id.to_owned(),
            state: ViewState::default(),
            kinds: Vec::new(),
        };
        let status = events.line().await?;
        ensure!(status.contains("200"), "{status}");
        while !events.line().await?.is_empty() {}
        ensure!(events.line().await?.starts_with("retry: "), "how long to wait");
        Ok(events)
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.lines.read_line(&mut line).await? > 0, "the stream has ended");
        Ok(line.trim_end().to_owned())
    }

    /// Takes one event.
    async fn take(&mut self) -> Result<()> {
        let line = self.line().await?;
        if let Some(id) = line.strip_prefix("id: ") {
            id.clone_into(&mut self.last_event_id);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let kind = match serde_json::from_str(data)? {
                ServerMessage::Snapshot { epoch, seq, cells, .. } => {
                    self.state.replace(epoch, seq, cells);
                    "snapshot"
                }
                ServerMessage::Delta { epoch, from, seq, cells, .. } => {
                    self.state.apply(&epoch, from, seq, cells);
                    "delta"
                }
                ServerMessage::Reset { .. } => "reset",
                other => anyhow::bail!("{other:?}"),
            };
            self.kinds.push(kind);
        }
        Ok(())
    }

    async fn show(&mut self, expected: i64) -> Result<()> {
        let reached = timeout(SOON, async {
            while self.kinds.is_empty() || self.state.total().received() != expected {
                self.take().await?;
            }
            anyhow::Ok(())
        });
        let reached = reached.await;
        reached.with_context(|| format!("{} instead of {expected}", self.state.total().received()))?
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_carry_the_same_view_and_resume() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    // Somebody stays, so that the gateway remembers what has changed.
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut dashboard, 0, SOON).await?;
    let mut events = Events::open(&stack, "").await?;
    post(&stack, 3).await?;
    shows(&mut dashboard, 3, SOON).await?;
    events.show(3).await?;
    let (state, id) = (events.state.clone(), events.last_event_id.clone());
    drop(events);

    post(&stack, 2).await?;
    shows(&mut dashboard, 5, SOON).await?;
    let mut again = Events::open(&stack, &id).await?;
    again.state = state;
    again.show(5).await?;
    assert_eq!(again.kinds[0], "delta", "it goes on where it was");
    assert!(server.metric(r#"clickwire_live_resumes_total{found="hit"}"#).await? >= 1.0);
    // A place that nobody remembers.
    let mut lost = Events::open(&stack, "another-epoch:7").await?;
    lost.show(5).await?;
    assert_eq!(lost.kinds[0], "snapshot");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_see_what_is_watched_and_by_how_many() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let admin = stack.as_admin()?;
    let connections = async || -> Result<serde_json::Value> {
        let (status, body) = admin.connection().get("/api/v1/admin/connections").await?;
        ensure!(status.as_u16() == 200, "{status}");
        Ok(serde_json::from_slice(&body)?)
    };
    assert_eq!(connections().await?["sessions"], 0);
    let mut dashboards = Vec::new();
    for advertiser in ["adv_001", "adv_001", "adv_002"] {
        let mut dashboard = Watch::new(stack.as_viewer(advertiser)?, Stack::view(advertiser));
        shows(&mut dashboard, 0, SOON).await?;
        dashboards.push(dashboard);
    }
    let events = Events::open(&stack, "").await?;
    let shown = connections().await?;
    assert_eq!(shown["sessions"], 4, "{shown}");
    let watched: Vec<_> = ["/advertisers/0", "/advertisers/1"]
        .map(|place| shown.pointer(place).map(|one| (one["advertiser_id"].clone(), one["watchers"].clone())))
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(watched, [(json!("adv_001"), json!(3)), (json!("adv_002"), json!(1))], "{shown}");
    let present = shown.pointer("/advertisers/1/views/0/present");
    assert_eq!(present, Some(&json!([{"name": "viewer", "connections": 1}])), "{shown}");
    drop((dashboards, events));
    eventually("everybody has gone", SOON, async || {
        let shown = connections().await.ok()?;
        (shown["sessions"] == 0 && shown["advertisers"] == json!([])).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_as_seldom_as_it_asks() -> Result<()> {
    const CLICKS: i64 = 30;
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let mut sockets = Vec::new();
    for min_interval_ms in [None, Some(1_000)] {
        let mut socket = connect(&stack).await?;
        say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
        let view = json!({"kind": "clicks", "advertiser_id": "adv_001", "window_minutes": 240});
        say(
            &mut socket,
            json!({"type": "subscribe", "id": 1, "view": view, "min_interval_ms": min_interval_ms}),
        )
        .await?;
        sockets.push(socket);
    }
    let mut events = Events::open_with(&stack, "&min_interval_ms=1000", "").await?;
    let began = Instant::now();
    for _ in 0..CLICKS {
        post(&stack, 1).await?;
        sleep(Duration::from_millis(100)).await;
    }
    let mut told = Vec::new();
    for socket in &mut sockets {
        let (mut state, mut changes) = (ViewState::default(), 0);
        while state.total().received() != CLICKS {
            match serde_json::from_value(hear(socket).await?)? {
                ServerMessage::Snapshot { epoch, seq, cells, .. } => state.replace(epoch, seq, cells),
                ServerMessage::Delta { epoch, from, seq, cells, .. } => {
                    ensure!(state.apply(&epoch, from, seq, cells) == Applied::Yes, "a gap");
                    changes += 1;
                }
                _ => {}
            }
        }
        told.push(changes);
    }
    events.show(CLICKS).await?;
    told.push(events.kinds.iter().filter(|kind| **kind == "delta").count() as u64);
    let seconds = began.elapsed().as_secs() + 2;
    let seldom = |told: u64| told <= seconds;
    assert!(told[0] > told[1] && seldom(told[1]) && seldom(told[2]), "{told:?} in {seconds} s");
    assert!(server.metric("clickwire_live_lag_seconds_count").await? >= 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_tells_what_changed_and_costs_nothing_when_nothing_has() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let viewer = stack.as_viewer("adv_001")?;
    let poll = async |since: &str| -> Result<ServerMessage> {
        let (status, body) = viewer.connection().get(&format!("/api/v1/live/poll{since}")).await?;
        ensure!(status.as_u16() == 200, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    };
    let mut state = ViewState::default();
    // Somebody asks again and again, so it is kept.
    let ServerMessage::Snapshot { epoch, seq, cells, .. } = poll("").await? else { panic!("no snapshot") };
    state.replace(epoch, seq, cells);
    post(&stack, 4).await?;
    counted(&stack, 4).await?;
    eventually("the answer shows 4 clicks", SOON, async || {
        let place = state.position.clone()?;
        match poll(&format!("?since={}:{}", place.epoch, place.seq)).await.ok()? {
            ServerMessage::Snapshot { epoch, seq, cells, .. } => state.replace(epoch, seq, cells),
            ServerMessage::Delta { epoch, from, seq, cells, .. } => {
                state.apply(&epoch, from, seq, cells);
            }
            _ => return None,
        }
        (state.total().received() == 4).then_some(())
    })
    .await?;
    let place = state.position.clone().context("no position")?;
    let tag = format!("\"{}:{}\"", place.epoch, place.seq);
    let path = format!("/api/v1/live/poll?since={}:{}", place.epoch, place.seq);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"of another view\", {tag}"), "*".to_owned()] {
        let (status, body) = viewer.connection().get_unless(&path, &known).await?;
        assert_eq!((status.as_u16(), body.len()), (304, 0), "{known}");
    }
    assert_eq!(viewer.connection().get_unless(&path, "\"of another view\"").await?.0.as_u16(), 200);
    assert_eq!(
        server.metric("clickwire_live_loads_total").await?,
        1.0,
        "it is read once, however often one asks"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_too_much_is_closed_with_the_documented_code() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let auth = json!({"type": "auth", "token": Stack::viewer_token("adv_001")}).to_string();
    let ping = json!({"type": "ping"}).to_string();
    let many = [vec![auth.clone()], vec![ping; 200]].concat();
    assert_eq!(refused_with(&stack, &many).await?, close::TOO_MANY_MESSAGES);
    let long = vec![auth, format!("{{\"type\":\"{}\"}}", "x".repeat(20_000))];
    assert_eq!(refused_with(&stack, &long).await?, close::TOO_LONG);

    // What is answered by WebSocket itself is not free, either, before anybody has said who they are.
    let mut socket = connect(&stack).await?;
    for _ in 0..200 {
        if socket.send(Message::Ping("x".repeat(125).into())).await.is_err() {
            break;
        }
    }
    assert_eq!(closed(&mut socket).await?, close::TOO_MANY_MESSAGES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_farewell_is_answered() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let mut socket = connect(&stack).await?;
    socket.close(None).await?;
    let answer = timeout(Duration::from_secs(5), socket.next()).await?.context("no answer")??;
    assert!(matches!(answer, Message::Close(_)), "{answer:?}");
    Ok(())
}

/// A server that is about to go shows the truth to whoever is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_kept_up_to_date_until_it_is_sent_away() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_DRAIN_SECONDS", "30");
    let _aggregator = stack.start_aggregator().await?;
    let leaving = stack.start_server().await?;
    let viewer = stack.as_viewer("adv_001")?;
    // Each is sent away at a random moment.
    let mut sockets = Vec::new();
    for _ in 0..6 {
        let mut socket = connect(&stack).await?;
        say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
        let view = json!({"kind": "clicks", "advertiser_id": "adv_001", "window_minutes": 240});
        say(&mut socket, json!({"type": "subscribe", "id": 1, "view": view})).await?;
        while hear(&mut socket).await?["type"] != "snapshot" {}
        sockets.push(socket);
    }
    let _staying = stack.start_server().await?;
    leaving.begin_to_stop().await?;
    eventually("it is not ready any more", Duration::from_secs(5), async || {
        let (status, _) = viewer.connection().get("/readyz").await.ok()?;
        (status.as_u16() == 503).then_some(())
    })
    .await?;
    post(&stack, 2).await?;
    let mut told = 0;
    for socket in &mut sockets {
        let is_told = timeout(SOON, async {
            loop {
                match socket.next().await.context("ended without a farewell")?? {
                    Message::Text(text) if text.contains(r#""type":"delta""#) => return anyhow::Ok(true),
                    Message::Close(_) => return Ok(false),
                    _ => {}
                }
            }
        });
        told += usize::from(is_told.await.context("it is open, and not told")??);
    }
    assert!(told > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_so_many_sessions_and_no_more() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LIVE_SESSIONS_PER_ADDRESS", "2");
    let _server = stack.start_server().await?;
    let held = (connect(&stack).await?, Events::open(&stack, "").await?);
    let refused = connect(&stack).await.map(drop).unwrap_err();
    assert!(format!("{refused:#}").contains("429"), "{refused:#}");
    assert!(Events::open(&stack, "").await.is_err());
    drop(held);
    eventually("there is room again", SOON, async || connect(&stack).await.ok().map(drop)).await
}

/// One address before several gateways, as a balancer: whoever comes goes to the next that listens.
struct Balancer {
    address: String,
    _tasks: JoinSet<()>,
}

impl Balancer {
    async fn start(gateways: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (gateways, turn) = (Arc::new(gateways), AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let (gateways, first) = (Arc::clone(&gateways), turn.fetch_add(1, Ordering::Relaxed));
                connections.spawn(async move {
                    for number in 0..gateways.len() {
                        let gateway = &gateways[(first + number) % gateways.len()];
                        if let Ok(mut server) = TcpStream::connect(gateway).await {
                            // However it ends, it has ended.
                            let _ = copy_bidirectional(&mut client, &mut server).await;
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { address, _tasks: tasks })
    }
}

/// Stops a gateway and starts it again, at the same address.
async fn restart(gateway: &mut Program) -> Result<()> {
    assert!(gateway.ends_well(Duration::from_secs(15)).await?, "it ends well");
    gateway.revive().await?;
    gateway.await_ready().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_gateways_loses_no_update() -> Result<()> {
    const DASHBOARDS: usize = 20;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_DRAIN_SECONDS", "2");
    let _aggregator = stack.start_aggregator().await?;
    let mut first = stack.start_server().await?;
    let addresses = vec![stack.server_url().trim_start_matches("http://").to_owned()];
    let mut second = stack.start_server().await?;
    let addresses = [addresses, vec![stack.server_url().trim_start_matches("http://").to_owned()]].concat();
    let balancer = Balancer::start(addresses).await?;

    let done = Arc::new(AtomicBool::new(false));
    let mut dashboards = JoinSet::new();
    for _ in 0..DASHBOARDS {
        let viewer = Server::new(&balancer.address, &Stack::viewer_token("adv_001"))?;
        let mut dashboard = Watch::new(viewer, Stack::view("adv_001"));
        let done = Arc::clone(&done);
        dashboards.spawn(async move {
            let mut shown = 0;
            while !done.load(Ordering::Relaxed) {
                // Looks up now and then, for when everything is shown nothing comes any more.
                match timeout(Duration::from_millis(200), dashboard.update()).await {
                    Ok(updated) => drop(updated?),
                    Err(_) => continue,
                }
                let now = dashboard.state().total().received();
                ensure!(now >= shown, "{now} after {shown}: it went back");
                shown = now;
            }
            Ok(dashboard)
        });
    }
    let poster = Server::new(&balancer.address, Stack::ingest_key())?;
    let mut random = StdRng::seed_from_u64(5);
    let mut posted = 0;
    for gateway in [&mut first, &mut second] {
        let mut restarting = std::pin::pin!(restart(gateway));
        let mut has_restarted = false;
        while !has_restarted {
            let mut post = std::pin::pin!(post_until_taken(&poster, &mut random));
            tokio::select! {
                restarted = &mut restarting => {
                    restarted?;
                    has_restarted = true;
                    // One that is given up may be taken all the same.
                    post.await?;
                }
                taken = &mut post => taken?,
            }
            posted += 1;
        }
    }
    done.store(true, Ordering::Relaxed);
    counted(&stack, posted).await?;
    let mut connections = 0;
    while let Some(dashboard) = dashboards.join_next().await {
        let mut dashboard = dashboard??;
        shows(&mut dashboard, posted, SOON).await?;
        connections += dashboard.counters().connections as usize;
    }
    // Those of the gateway that was restarted first have come back at the least.
    assert!(connections >= DASHBOARDS + DASHBOARDS / 2, "{connections} connections");
    assert!(posted > 10, "{posted} clicks meanwhile");
    Ok(())
}
