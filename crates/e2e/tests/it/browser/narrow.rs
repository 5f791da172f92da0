//! A proxy as some companies have it, and a page behind it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use fantoccini::Locator;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::{Browser, live};

/// The connections that a [`Narrow`] proxy lets through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lets {
    /// Requests with an answer that ends.
    Answers,
    /// Streams of events, too.
    Streams,
    /// All connections: WebSockets, too.
    Sockets,
}

/// A proxy as some companies have it: no WebSocket gets through, perhaps no stream either, until it is told better.
pub(super) struct Narrow {
    pub(super) address: String,
    lets_through: watch::Sender<Lets>,
    _task: JoinSet<()>,
}

impl Narrow {
    pub(super) async fn start(server: &str, lets_through: Lets) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let server = server.trim_start_matches("http://").to_owned();
        let (lets_through, watched) = watch::channel(lets_through);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, mut watched) = (server.clone(), watched.clone());
                watched.mark_unchanged();
                connections.spawn(async move {
                    let lets_through = *watched.borrow();
                    // What was let through before is not any more, and the other way round.
                    tokio::select! { () = pass(client, &server, lets_through) => {}, _ = watched.changed() => {} }
                });
            }
        });
        Ok(Self { address, lets_through, _task: task })
    }
}

/// Passes on what is let through, until one side ends; how does not matter, it has ended.
async fn pass(client: TcpStream, server: &str, lets_through: Lets) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let requests = async {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut piece).await {
            let begins = |with: &str| piece[..length].starts_with(with.as_bytes());
            if begins("GET /api/v1/live HTTP") && lets_through != Lets::Sockets
                || begins("GET /api/v1/live/sse") && lets_through == Lets::Answers
                || to_server.write_all(&piece[..length]).await.is_err()
            {
                return;
            }
        }
    };
    let answers = async { drop(copy(&mut from_server, &mut to_client).await) };
    tokio::select! { () = requests => {}, () = answers => {} }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sockets_events_are_streamed_without_streams_the_page_asks_and_back_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let narrow = Narrow::start(stack.server_url(), Lets::Streams).await?;
    let browser = Browser::start().await?;
    browser.client.goto(&format!("{}/#token={}", narrow.address, Stack::viewer_token("adv_001"))).await?;
    let mut clicks = 0;
    for (lets_through, state) in [
        (Lets::Streams, "streaming"),
        (Lets::Answers, "polling"),
        (Lets::Streams, "streaming"),
        (Lets::Sockets, "live"),
    ] {
        if *narrow.lets_through.borrow() != lets_through {
            narrow.lets_through.send_replace(lets_through);
        }
        browser.becomes(state, Duration::from_secs(60)).await?;
        clicks += 3;
        live::post(&stack, 3).await?;
        eventually("the clicks arrive on the screen", Duration::from_secs(10), async || {
            (browser.number("kpi-clicks").await? == f64::from(clicks)).then_some(())
        })
        .await
        .with_context(|| format!("{state}, {clicks} clicks"))?;
        let now = browser.attribute("connection", "data-state").await;
        ensure!(now.as_deref() == Some(state), "{now:?} after {state}");
        for (width, theme) in [(1_360, "light"), (500, "dark")] {
            browser.screenshot(&format!("{state}-{theme}.png"), width, 1_100, theme).await?;
        }
    }
    Ok(())
}

/// Requests for the open incidents that a page has made.
async fn asked(browser: &Browser) -> Result<i64> {
    let asked = "return performance.getEntriesByType('resource').filter(e => e.name.includes('/alerts?limit')).length";
    browser.run(asked).await?.as_i64().context("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sockets_incidents_are_streamed_without_streams_they_are_asked_for_and_back_again()
-> Result<()> {
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    let narrow = Narrow::start(stack.server_url(), Lets::Streams).await?;
    let password = stack.account("anna", "ops", &[]).await?;
    let browser = Browser::start().await?;
    browser.client.goto(&format!("{}/incidents?z=UTC", narrow.address)).await?;
    browser.fill("#login", "anna").await?;
    browser.fill("#password", &password).await?;
    browser.click("button.primary").await?;
    browser.sees("No open incidents").await?;
    let mut open = 0;
    for lets_through in [Lets::Streams, Lets::Answers, Lets::Sockets, Lets::Answers, Lets::Streams] {
        narrow.lets_through.send_replace(lets_through);
        let is_pushed = lets_through != Lets::Answers;
        eventually("the page has its way", Duration::from_secs(120), async || {
            let before = asked(&browser).await.ok()?;
            // A question is noted when it has been answered.
            sleep(Duration::from_secs(3)).await;
            let sessions = server.metric("clickwire_live_sessions").await.ok()?;
            (sessions == f64::from(is_pushed) && asked(&browser).await.ok()? == before).then_some(())
        })
        .await?;
        let before = asked(&browser).await?;
        open += 1;
        sqlx::query(
            "INSERT INTO alerts (kind, subject, severity, details) VALUES ('ip_burst', $1, 'warning', '{\"clicks\": 120}')",
        )
        .bind(format!("{open:032x}"))
        .execute(stack.database())
        .await?;
        eventually("the bell says how many are open", Duration::from_secs(20), async || {
            let bell = browser.client.find(Locator::Css("[data-testid=bell]")).await.ok()?;
            bell.text().await.ok()?.contains(&open.to_string()).then_some(())
        })
        .await?;
        ensure!((asked(&browser).await? == before) == is_pushed, "incident {open}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_data_is_saved_a_page_asks_for_fewer_messages() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    for (saves, expected) in [(false, Value::Null), (true, json!(1_000))] {
        let browser = Browser::start().await?;
        // What the page sends is noted, and the browser says what a phone says whose owner saves data.
        let script = format!(
            "Object.defineProperty(navigator, 'connection', {{value: {{saveData: {saves}}}}}); \
             window.sent = []; const send = WebSocket.prototype.send; \
             WebSocket.prototype.send = function (text) {{ window.sent.push(text); return send.call(this, text); }};"
        );
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await?;
        browser.open(stack.server_url(), "adv_001").await?;
        let sent = browser.run("return window.sent.map(text => JSON.parse(text))").await?;
        let subscribed =
            sent.as_array().and_then(|sent| sent.iter().find(|sent| sent["type"] == "subscribe"));
        ensure!(subscribed.context("no subscription")?["min_interval_ms"] == expected, "{sent}");
    }
    Ok(())
}
