//! Operations hears of an incident once, soon, and in every way that was promised.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use crate::{
    fraud::PERSON,
    live::{Socket, connect, hear, say},
    receiver::Receiver,
};

/// The promised time from a click's acceptance to the push.
const SOON: Duration = Duration::from_secs(5);

pub(super) const SECRET: &str = "webhook-secret-of-the-tests";

fn click(campaign_id: &str, clicked_at_ms: i64) -> Click {
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked(campaign_id),
            ad_id: AdId::unchecked(format!("ad of {campaign_id}")),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        clicked_at_ms: UnixMs(clicked_at_ms),
        received_at_ms: UnixMs(now_ms()),
        user_agent: PERSON.into(),
        ..Click::bare(Uuid::new_v4())
    }
}

pub(super) fn burst(address: &str, clicks: usize) -> Vec<Click> {
    let of_address = |_| Click { ip_hash: Some(address.into()), ..click("camp_001", now_ms()) };
    (0..clicks).map(of_address).collect()
}

/// An administrator's session that watches incidents; also what it is shown first.
async fn watch(stack: &Stack) -> Result<(Socket, Value)> {
    let mut socket = connect(stack).await?;
    say(&mut socket, json!({"type": "auth", "token": stack.as_admin()?.token()})).await?;
    ensure!(hear(&mut socket).await?["type"] == "welcome");
    say(&mut socket, json!({"type": "subscribe", "id": 1, "view": {"kind": "alerts"}})).await?;
    let snapshot = hear(&mut socket).await?;
    ensure!(snapshot["type"] == "alerts", "{snapshot}");
    Ok((socket, snapshot))
}

/// The next news, which must come soon.
async fn news(socket: &mut Socket) -> Result<Value> {
    let message = timeout(SOON, hear(socket)).await.context("no news")??;
    ensure!(message["type"] == "alert", "{message}");
    Ok(message)
}

/// The news that comes until an incident of this kind is over.
async fn news_until_resolved(socket: &mut Socket, kind: &str) -> Result<Vec<Value>> {
    let mut heard = Vec::new();
    timeout(Duration::from_secs(60), async {
        loop {
            // Hearing nothing for a while is what an incident's end begins with.
            let Ok(message) = hear(socket).await else { continue };
            let is_end = message["change"] == "resolved" && message["alert"]["kind"] == kind;
            heard.push(message);
            if is_end {
                return;
            }
        }
    })
    .await
    .with_context(|| format!("{kind} is not over; heard {heard:?}"))?;
    Ok(heard)
}

async fn get(stack: &Stack, path: &str) -> Result<Value> {
    let (status, body) = stack.as_admin()?.connection().get(path).await?;
    ensure!(status.is_success(), "{path}: {status}");
    Ok(serde_json::from_slice(&body)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_one_incident_told_once_whatever_restarts() -> Result<()> {
    let receiver = Receiver::start(SECRET, &[500, 500, 200]).await?;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_QUIET_SECONDS", "8");
    stack.set("CLICKWIRE_ALERT_WEBHOOK_URL", receiver.url.as_str());
    stack.set("CLICKWIRE_ALERT_WEBHOOK_SECRET", SECRET);
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    // All of the burst's clicks are invalid, which is an incident of the campaign, too.
    sqlx::query(
        "INSERT INTO fraud_rules VALUES ('fraud_rate', 2, 'off', '{}', now(), 'tester', 'not asked here')",
    )
    .execute(stack.database())
    .await?;
    let (mut socket, snapshot) = watch(&stack).await?;
    assert_eq!(snapshot["total"], 0);

    let address = "00112233445566778899aabbccddeeff";
    stack.publish(&burst(address, 120)).await?;
    let opened = news(&mut socket).await?;
    assert_eq!((&opened["change"], &opened["alert"]["kind"]), (&json!("opened"), &json!("ip_burst")));
    assert_eq!(opened["alert"]["subject"], address);
    let alert_id = opened["alert"]["alert_id"].as_str().context("no id")?.to_owned();
    let path = format!("/api/v1/alerts/{alert_id}/acknowledge");
    for _ in 0..2 {
        let (status, _) = stack.as_admin()?.connection().post(&path, Vec::new()).await?;
        assert_eq!(status.as_u16(), 200, "twice is as good as once");
    }
    let acknowledged = news(&mut socket).await?;
    assert_eq!(acknowledged["change"], "acknowledged", "{acknowledged}");
    assert_eq!(acknowledged["alert"]["acknowledged_by"], "admin");
    let audited = get(&stack, &format!("/api/v1/admin/audit?subject=alerts&subject_id={alert_id}")).await?;
    let entries = audited["data"].as_array().context("entries")?;
    assert_eq!(entries.len(), 1, "what aggregators write is nobody's act: {audited}");
    assert_eq!(
        (&entries[0]["actor"], &entries[0]["after"]["acknowledged_by"]),
        (&json!("admin"), &json!("admin"))
    );

    aggregator.kill().await?;
    let _successors = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    stack.publish(&burst(address, 120)).await?;
    eventually("the second burst is the same incident", Duration::from_secs(20), async || {
        let open = get(&stack, "/api/v1/alerts?state=open").await.ok()?;
        (open["data"][0]["details"]["clicks"] == 240 && open["data"][0]["alert_id"] == alert_id).then_some(())
    })
    .await?;
    let (mut late, snapshot) = watch(&stack).await?;
    assert_eq!((&snapshot["total"], &snapshot["open"][0]["alert_id"]), (&json!(1), &json!(alert_id)));

    let rest = news_until_resolved(&mut socket, "ip_burst").await?;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(news_until_resolved(&mut late, "ip_burst").await?, rest, "every session is told the same");
    let all = get(&stack, "/api/v1/alerts?state=all").await?;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1), "{all}");
    assert_eq!(get(&stack, "/api/v1/alerts").await?["data"], json!([]));

    let told = eventually("the webhook is told of the end", Duration::from_secs(30), async || {
        let posts = receiver.posts().ok()?.into_iter();
        let told: Option<Vec<(String, Value)>> = posts
            .map(|post| Some((post.delivery().ok()?.to_owned(), serde_json::from_slice(&post.body).ok()?)))
            .collect();
        told.filter(|told| told.last().is_some_and(|(_, news)| news["change"] == "resolved"))
    })
    .await?;
    let changes: Vec<&Value> = told.iter().map(|(_, news)| &news["change"]).collect();
    assert_eq!(changes, ["opened", "opened", "opened", "acknowledged", "resolved"], "two failed");
    let deliveries: BTreeMap<&str, &Value> = told.iter().map(|(id, news)| (id.as_str(), news)).collect();
    assert_eq!(deliveries.len(), 3, "what is sent again has the same id");
    assert_eq!(told[2].1["alert"], opened["alert"]);

    // It is over; the next one is another.
    stack.publish(&burst(address, 120)).await?;
    let again = news(&mut socket).await?;
    assert_eq!(again["change"], "opened");
    assert_ne!(again["alert"]["alert_id"], alert_id);
    let page = get(&stack, "/api/v1/alerts?state=all&limit=1").await?;
    assert_eq!(page["data"][0]["alert_id"], again["alert"]["alert_id"]);
    let next =
        format!("/api/v1/alerts?state=all&limit=1&before={}", page["next"].as_str().context("no next")?);
    let page = get(&stack, &next).await?;
    assert_eq!((&page["data"][0]["alert_id"], &page["next"]), (&json!(alert_id), &Value::Null));
    Ok(())
}

/// The lines of a stream of events.
type Lines = tokio::io::Lines<BufReader<TcpStream>>;

/// The next message of a stream of events. What nobody announces is read every five seconds.
async fn event(lines: &mut Lines) -> Result<Value> {
    timeout(4 * SOON, async {
        loop {
            let line = lines.next_line().await?.context("the events ended")?;
            if let Some(data) = line.strip_prefix("data: ") {
                return Ok(serde_json::from_str(data)?);
            }
        }
    })
    .await
    .context("no event")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_comes_as_events_for_as_long_as_its_reader_is_an_operator() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LIVE_HEARTBEAT_MS", "1000");
    stack.set("CLICKWIRE_LIVE_SESSIONS_PER_ACCOUNT", "2");
    let server = stack.start_server().await?;
    let root = stack.account("root", "admin", &[]).await?;
    let root = Person::sign_in(stack.server_url(), "root", &root).await?;
    let ops = stack.account("ops", "ops", &[]).await?;
    let ops = Person::sign_in(stack.server_url(), "ops", &ops).await?;
    let headers = ops.headers();
    let request = "GET /api/v1/live/sse/alerts";
    let watch = async || -> Result<Lines> {
        let mut stream = TcpStream::connect(stack.server_url().trim_start_matches("http://")).await?;
        // HTTP/1.0, so that the body comes as it is.
        let head = format!("{request} HTTP/1.0\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await?;
        Ok(BufReader::new(stream).lines())
    };
    let (mut first, mut second) = (watch().await?, watch().await?);
    for lines in [&mut first, &mut second] {
        let open = event(lines).await?;
        ensure!(open["type"] == "alerts" && open["total"] == 0 && open["id"] == 1, "{open}");
    }
    let full = raw::head(stack.server_url(), request, &headers, b"").await?;
    assert_eq!(full.status, 503, "an account has its share");

    let open = "INSERT INTO alerts (kind, subject, severity, details) VALUES ('fraud_rate', 'camp_001', 'warning', '{}')";
    sqlx::query(open).execute(stack.database()).await?;
    for lines in [&mut first, &mut second] {
        let news = event(lines).await?;
        ensure!(news["type"] == "alert" && news["change"] == "opened", "{news}");
    }
    drop(second);
    let mut late = eventually("the place of one who left is free", SOON, async || {
        let mut lines = watch().await.ok()?;
        let status = lines.next_line().await.ok()??;
        status.contains("200").then_some(lines)
    })
    .await?;
    let open = event(&mut late).await?;
    ensure!(open["total"] == 1 && open["open"][0]["subject"] == "camp_001", "{open}");
    // Nothing happens, and yet the connection is heard.
    let quiet = async {
        while late.next_line().await?.context("the events ended")? != ":" {}
        Ok::<_, anyhow::Error>(())
    };
    timeout(SOON, quiet).await.context("no heartbeat")??;

    let ops_id: Uuid = sqlx::query_scalar("SELECT account_id FROM accounts WHERE login = 'ops'")
        .fetch_one(stack.database())
        .await?;
    let change =
        json!({"name": "Ops", "role": "finance", "advertisers": [], "is_disabled": false}).to_string();
    let changed = root.send(&format!("PUT /api/v1/admin/accounts/{ops_id}"), &change).await?;
    assert_eq!(changed.status, 200, "{changed:?}");
    for lines in [&mut first, &mut late] {
        timeout(SOON, async {
            while lines.next_line().await?.is_some() {}
            anyhow::Ok(())
        })
        .await
        .context("who is no operator any more is told on")??;
    }
    assert_eq!(raw::head(stack.server_url(), request, &headers, b"").await?.status, 403);
    let _of_root = raw::begin(stack.server_url(), request, &root.headers()).await?;
    ensure!(server.stop(Duration::from_secs(20)).await?, "a stream keeps a server from stopping");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_spikes_and_one_that_is_cheated_on() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let minute_ms = |ago: i64| now_ms() - ago * 60_000;
    let past: Vec<Click> =
        (3..33).flat_map(|ago| (0..10).map(move |_| click("camp_001", minute_ms(ago)))).collect();
    let first = stack.start_aggregator().await?;
    stack.publish(&past).await?;
    eventually("the past is counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == past.len() as i64).then_some(())
    })
    .await?;
    // Limits are worked out once a minute, and by whoever starts.
    first.kill().await?;
    let _aggregator = stack.start_aggregator().await?;
    let (mut socket, _) = watch(&stack).await?;
    let present: Vec<Click> = (0..60).map(|_| click("camp_001", now_ms())).collect();
    stack.publish(&present).await?;
    let spike = news(&mut socket).await?;
    assert_eq!((&spike["change"], &spike["alert"]["kind"]), (&json!("opened"), &json!("campaign_spike")));
    assert_eq!(
        (&spike["alert"]["advertiser_id"], &spike["alert"]["campaign_id"]),
        (&json!("adv_001"), &json!("camp_001"))
    );
    assert_eq!(spike["alert"]["details"]["limit"], 16.0, "a median of 10, and 6 times at least 1");

    let robot = || Click { user_agent: String::new(), ..click("camp_002", now_ms()) };
    // 3.1 % of so few, which says nothing; told of first, if it were.
    let mut few: Vec<Click> = (0..31).map(|_| click("camp_003", now_ms())).collect();
    few.push(Click { user_agent: String::new(), ..click("camp_003", now_ms()) });
    stack.publish(&few).await?;
    eventually("the few are counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == (past.len() + present.len() + few.len()) as i64).then_some(())
    })
    .await?;
    let mut clicks: Vec<Click> = (0..760).map(|_| click("camp_002", now_ms())).collect();
    clicks.extend((0..40).map(|_| robot()));
    stack.publish(&clicks).await?;
    let warning = news(&mut socket).await?;
    assert_eq!((&warning["change"], &warning["alert"]["kind"]), (&json!("opened"), &json!("fraud_rate")));
    assert_eq!(warning["alert"]["severity"], "warning");
    let clicks: Vec<Click> = (0..20).map(|_| robot()).collect();
    stack.publish(&clicks).await?;
    let critical = news(&mut socket).await?;
    assert_eq!(
        (&critical["change"], &critical["alert"]["severity"]),
        (&json!("escalated"), &json!("critical"))
    );
    assert_eq!(critical["alert"]["alert_id"], warning["alert"]["alert_id"]);
    assert_eq!(get(&stack, "/api/v1/alerts").await?["data"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_and_what_could_not_be_read() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_QUIET_SECONDS", "2");
    stack.set("CLICKWIRE_ALERT_LAG_SECONDS", "2");
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let (mut socket, _) = watch(&stack).await?;
    let nats = stack.broker().await?;

    nats.publish(stack.names().subject(0), "not a click".into()).await?.await?;
    let opened = news(&mut socket).await?;
    assert_eq!((&opened["change"], &opened["alert"]["kind"]), (&json!("opened"), &json!("dead_letters")));
    assert_eq!(opened["alert"]["details"], json!({"messages": 1}));
    assert_eq!(aggregator.metric("clickwire_alerts_open{kind=\"dead_letters\"}").await?, 1.0);
    nats.get_stream(stack.names().dead_letter_stream()).await?.purge().await?;
    let heard = news_until_resolved(&mut socket, "dead_letters").await?;
    assert_eq!(heard.len(), 1, "{heard:?}");

    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE clicks IN EXCLUSIVE MODE").execute(&mut *blocking).await?;
    stack.publish(&[click("camp_001", now_ms())]).await?;
    let late = timeout(Duration::from_secs(10), async {
        loop {
            if let Ok(message) = hear(&mut socket).await {
                return message;
            }
        }
    })
    .await?;
    assert_eq!((&late["change"], &late["alert"]["kind"]), (&json!("opened"), &json!("lag")));
    assert_eq!(late["alert"]["severity"], "critical");
    blocking.rollback().await?;
    assert_eq!(news_until_resolved(&mut socket, "lag").await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_are_for_administrators() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let acknowledge = format!("/api/v1/alerts/{}/acknowledge", Uuid::nil());
    let nobody = clickwire_load::http::Server::new(stack.server_url(), "nonsense")?;
    for (who, expected) in [(nobody, 401), (stack.as_viewer("adv_001")?, 403)] {
        let (listed, _) = who.connection().get("/api/v1/alerts").await?;
        let (changed, _) = who.connection().post(&acknowledge, Vec::new()).await?;
        assert_eq!((listed.as_u16(), changed.as_u16()), (expected, expected));
    }
    let mut admin = stack.as_admin()?.connection();
    assert_eq!(admin.post(&acknowledge, Vec::new()).await?.0.as_u16(), 404);
    for wrong in ["state=ajar", "limit=0", "limit=x", "before=1", "x=1"] {
        assert_eq!(admin.get(&format!("/api/v1/alerts?{wrong}")).await?.0.as_u16(), 400, "{wrong}");
    }

    let mut socket = connect(&stack).await?;
    say(&mut socket, json!({"type": "auth", "token": Stack::viewer_token("adv_001")})).await?;
    assert_eq!(hear(&mut socket).await?["type"], "welcome");
    say(&mut socket, json!({"type": "subscribe", "id": 1, "view": {"kind": "alerts"}})).await?;
    let refused = hear(&mut socket).await?;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("forbidden")));
    Ok(())
}
