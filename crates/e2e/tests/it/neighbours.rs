//! A tenant, or a stranger, that asks for as much as it can, beside others: theirs is answered, shown, signed
//! in and revoked as promised.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use axum::body::{Body, Bytes};
use clickwire_client::Watch;
use clickwire_e2e::{Stack, Wire, eventually, people::Person, raw};
use clickwire_services::Server as Service;
use futures_util::stream;
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::live::{SOON, connect, hear, post_for, say, shows};

/// The time within which what ends anywhere ends everywhere.
pub(super) const EVERYWHERE: Duration = Duration::from_secs(2);

/// Comparing a password takes a while where tests run.
const SIGNED_IN: Duration = Duration::from_secs(10);

/// A flood ends by itself after so long.
const FLOOD: Duration = Duration::from_secs(60);

/// Requests of a flood at the same time.
const AT_ONCE: usize = 64;

/// A question about a week of minutes, for which the database reads all that [`weigh`] has put there.
const HEAVY: &str = "GET /api/v1/analytics/aggregate?advertiser_id=adv_001&granularity=minute";

/// Gives an advertiser so much history that a question about it takes the database a while.
async fn weigh(stack: &Stack) -> Result<()> {
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT date_trunc('minute', now()) - make_interval(mins => m), 'adv_001', 'camp_001', 'ad_' || a, 'DE', \
                'mobile', 1 FROM generate_series(300, 10000) m, generate_series(1, 20) a",
    )
    .execute(stack.database())
    .await?;
    sqlx::query("ANALYZE click_minutes").execute(stack.database()).await?;
    Ok(())
}

fn bearer(advertiser_id: &str) -> String {
    format!("authorization: Bearer {}\r\n", Stack::viewer_token(advertiser_id))
}

/// Requests that are sent again and again, over connections of their own, until this is dropped.
struct Flood {
    _tasks: JoinSet<()>,
    answers: Arc<Answers>,
}

#[derive(Default)]
struct Answers {
    done: AtomicUsize,
    refused: AtomicUsize,
    other: AtomicUsize,
    /// A refusal did not say when to come again.
    is_unclear: AtomicBool,
}

impl Flood {
    /// Starts `at_once` connections, each of which sends again when it has been answered, at most once every `pace`.
    fn of(stack: &Stack, request: &str, headers: &str, at_once: usize, pace: Duration) -> Self {
        let answers = Arc::new(Answers::default());
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let (url, answers) = (stack.server_url().to_owned(), Arc::clone(&answers));
            let (request, headers) = (request.to_owned(), headers.to_owned());
            tasks.spawn(async move {
                let ends = Instant::now() + FLOOD;
                let mut paces = interval(pace);
                paces.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while Instant::now() < ends {
                    paces.tick().await;
                    let Ok(answer) = raw::send(&url, &request, &headers, b"").await else { continue };
                    let counter = match answer.status {
                        200 => &answers.done,
                        429 => {
                            let is_clear = answer.header("retry-after").is_some()
                                && answer.body["error"]["code"] == "too_many_at_once";
                            answers.is_unclear.fetch_or(!is_clear, Ordering::Relaxed);
                            &answers.refused
                        }
                        _ => &answers.other,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { _tasks: tasks, answers }
    }

    /// Waits until it has begun in earnest.
    async fn rages(&self) -> Result<()> {
        let begun = async || {
            let Answers { done, refused, other, .. } = &*self.answers;
            let answered = [done, refused, other].map(|count| count.load(Ordering::Relaxed));
            (answered.iter().sum::<usize>() >= AT_ONCE / 2).then_some(())
        };
        eventually("the flood is answered", Duration::from_secs(30), begun).await
    }
}

/// Checks the promises to everybody else, whatever one tenant or a stranger does.
async fn others_have_what_they_are_promised(
    stack: &Stack,
    screen: &mut Watch,
    shown: i64,
    key: &Key,
    password: &str,
) -> Result<()> {
    let url = stack.server_url();
    // A screen that is open.
    post_for(stack, "adv_002", 1).await?;
    shows(screen, shown + 1, SOON).await.context("a screen that is open")?;
    // One that is opened: the advertiser's first, for an account and by operators.
    let anna = timeout(SIGNED_IN, Person::sign_in(url, "anna", password)).await;
    let anna = anna.context("signing in takes long")??;
    for (headers, advertiser_id) in
        [(anna.headers(), "adv_003"), (admin(), "adv_004"), (bearer("adv_002"), "adv_002")]
    {
        for request in [
            format!("GET /api/v1/live/poll?advertiser_id={advertiser_id}"),
            format!("GET /api/v1/analytics/aggregate?advertiser_id={advertiser_id}"),
            format!("GET /api/v1/campaigns?advertiser_id={advertiser_id}"),
            "GET /api/v1/advertisers".to_owned(),
        ] {
            let answer = timeout(SOON, raw::send(url, &request, &headers, b"")).await;
            let answer = answer.with_context(|| format!("{request}: no answer"))??;
            ensure!(answer.status == 200, "{request} of {advertiser_id}: {answer:?}");
        }
    }
    // What administrators do, and an ad that is in nobody's memory.
    let unknown = format!("GET /r/ad_{}", uuid::Uuid::now_v7());
    for (request, headers, expected) in
        [("GET /api/v1/admin/accounts", admin(), 200), (unknown.as_str(), String::new(), 404)]
    {
        eventually(request, SIGNED_IN, async || {
            (raw::send(url, request, &headers, b"").await.ok()?.status == expected).then_some(())
        })
        .await?;
    }
    // A key that is revoked elsewhere.
    ensure!(key.post(url).await? == 202, "the key is not known yet");
    sqlx::query("UPDATE api_keys SET revoked_at = now(), revoked_by = 'another' WHERE key_id = $1")
        .bind(&key.id)
        .execute(stack.database())
        .await?;
    eventually("the revoked key is refused", EVERYWHERE, async || {
        (key.post(url).await.ok()? == 401).then_some(())
    })
    .await
}

pub(super) fn admin() -> String {
    "authorization: Bearer admin-token-of-the-tests\r\n".to_owned()
}

/// A key to post with.
struct Key {
    id: String,
    secret: String,
}

impl Key {
    async fn make(stack: &Stack) -> Result<Self> {
        let body = json!({"name": "a shop", "mode": "test", "advertisers": ["adv_002"]}).to_string();
        let headers = format!("{}content-type: application/json\r\n", admin());
        let made = raw::post(stack.server_url(), "/api/v1/admin/keys", &headers, body.as_bytes()).await?;
        let text =
            |name: &str| made.body[name].as_str().map(str::to_owned).with_context(|| format!("{made:?}"));
        Ok(Self { id: text("key_id")?, secret: text("key")? })
    }

    async fn post(&self, url: &str) -> Result<u16> {
        let headers = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", self.secret);
        let click =
            json!({"advertiser_id": "adv_002", "campaign_id": "camp_404", "ad_id": "ad_404"}).to_string();
        Ok(raw::post(url, "/api/v1/clicks", &headers, click.as_bytes()).await?.status)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_floods_questions_holds_up_itself_alone() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    weigh(&stack).await?;
    let password = stack.account("anna", "advertiser", &["adv_003"]).await?;
    let key = Key::make(&stack).await?;
    let mut screen = Watch::new(stack.as_viewer("adv_002")?, Stack::view("adv_002"));
    shows(&mut screen, 0, SOON).await?;

    let week = time::OffsetDateTime::now_utc() - time::Duration::days(6);
    let week = week.format(&time::format_description::well_known::Rfc3339)?;
    let flood = Flood::of(
        &stack,
        &format!("{HEAVY}&start_time={week}"),
        &bearer("adv_001"),
        AT_ONCE,
        Duration::from_millis(500),
    );
    flood.rages().await?;
    others_have_what_they_are_promised(&stack, &mut screen, 0, &key, &password).await?;
    eventually("the flood is told to wait", FLOOD, async || {
        (flood.answers.refused.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await?;
    let Answers { done, other, is_unclear, .. } = &*flood.answers;
    assert!(done.load(Ordering::Relaxed) > 0, "it is answered, too, in its turn");
    assert_eq!(other.load(Ordering::Relaxed), 0, "neither answered nor told to wait");
    assert!(!is_unclear.load(Ordering::Relaxed));
    Ok(())
}

/// The database goes on with a question that nobody waits for any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_are_given_up_use_up_their_tenants_share() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    // Nobody's question about minutes is answered while this goes on, which is what makes them pile up.
    let mut locked = stack.database().begin().await?;
    sqlx::query("LOCK TABLE click_minutes IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await?;
    let asked = format!("{HEAVY}&country=DE");
    for round in 0..4 {
        let mut given_up = Vec::new();
        for _ in 0..16 {
            given_up.push(raw::begin(stack.server_url(), &asked, &bearer("adv_001")).await?);
        }
        let waiting = async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                              AND application_name = 'clickwire-server' AND wait_event_type = 'Lock'";
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(stack.database()).await.ok()?;
            (waiting > 0).then_some(waiting)
        };
        let waiting = eventually("questions wait in the database", Duration::from_secs(10), waiting).await?;
        assert!(waiting <= 2, "round {round}: {waiting} of 8 connections are one tenant's");
        // A share is not given back while the database is at it.
        drop(given_up);
    }
    let answer = raw::send(stack.server_url(), "GET /api/v1/campaigns", &bearer("adv_002"), b"").await?;
    assert_eq!(answer.status, 200, "another tenant's question: {answer:?}");
    locked.rollback().await?;
    eventually("the tenant is answered again", Duration::from_secs(20), async || {
        let answer = raw::send(stack.server_url(), &asked, &bearer("adv_001"), b"").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_floods_health_makes_the_server_ask_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.wire().await?;
    let server = stack.start_server().await?;
    let password = stack.account("anna", "advertiser", &["adv_003"]).await?;
    let key = Key::make(&stack).await?;
    let mut screen = Watch::new(stack.as_viewer("adv_002")?, Stack::view("adv_002"));
    shows(&mut screen, 0, SOON).await?;
    let first = server.health().await?;

    // A database some way off, so that each question takes one of its connections for a while.
    stack.wire_to(Service::Database)?.set(Wire::Slow(Duration::from_millis(15)));
    let flood = Flood::of(&stack, "GET /health", "", 100, Duration::from_millis(500));
    flood.rages().await?;
    others_have_what_they_are_promised(&stack, &mut screen, 0, &key, &password).await?;
    let Answers { refused, other, .. } = &*flood.answers;
    assert_eq!((refused.load(Ordering::Relaxed), other.load(Ordering::Relaxed)), (0, 0));
    drop(flood);

    // Thousands were answered, and what they were told was found out once a second.
    let now = server.health().await?;
    assert!(now["checked_at"].is_string() && now["status"] == "healthy", "{now}");
    assert_ne!(now["checked_at"], first["checked_at"], "{now}");
    let asked = "SELECT max(calls) FROM (SELECT count(*) AS calls FROM pg_stat_activity \
                  WHERE datname = current_database() AND query LIKE '%timescaledb.license%' \
                    AND application_name = 'clickwire-server') a";
    let connections: i64 = sqlx::query_scalar(asked).fetch_one(stack.database()).await?;
    assert!(connections <= 4, "health was asked about over {connections} connections");
    Ok(())
}

/// Subscribes to so many views that differ in their window, from `first` on; returns how many were refused.
async fn watch(
    stack: &Stack,
    token: &str,
    first: u32,
    count: u32,
) -> Result<(Vec<super::live::Socket>, u32)> {
    let (mut sockets, mut refused) = (Vec::new(), 0);
    let windows: Vec<u32> = (first..first + count).collect();
    for windows in windows.chunks(8) {
        let mut socket = connect(stack).await?;
        say(&mut socket, json!({"type": "auth", "token": token})).await?;
        ensure!(hear(&mut socket).await?["type"] == "welcome");
        for (id, window_minutes) in windows.iter().enumerate() {
            let view =
                json!({"kind": "clicks", "advertiser_id": "adv_001", "window_minutes": window_minutes});
            say(&mut socket, json!({"type": "subscribe", "id": id, "view": view})).await?;
            let heard = loop {
                let heard = hear(&mut socket).await?;
                if heard["id"] == id && matches!(heard["type"].as_str(), Some("snapshot" | "error")) {
                    break heard;
                }
            };
            if heard["type"] == "error" {
                ensure!(heard["code"] == "too_many", "{heard}");
                refused += 1;
            }
        }
        sockets.push(socket);
    }
    Ok((sockets, refused))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_with_many_views_leaves_room_for_others_of_its_advertiser() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url().to_owned();
    let viewer = Stack::viewer_token("adv_001");
    let (_greedy, refused) = watch(&stack, &viewer, 1, 64).await?;
    assert_eq!(refused, 32, "half is left to others");
    for (nth, login) in ["anna", "berta"].into_iter().enumerate() {
        let password = stack.account(login, "advertiser", &["adv_001"]).await?;
        let known = eventually("the account can sign in", EVERYWHERE, async || {
            Person::sign_in(&url, login, &password).await.ok()
        });
        let person = known.await?;
        let made = person.send("POST /api/v1/account/tokens", r#"{"name": "a screen"}"#).await?;
        let token = made.body["token"].as_str().with_context(|| format!("{made:?}"))?.to_owned();
        let (_modest, refused) = watch(&stack, &token, 100 + 20 * nth as u32, 8).await?;
        assert_eq!(refused, 0, "{login} watches the same advertiser");
    }
    let (_operator, refused) = watch(&stack, "admin-token-of-the-tests", 200, 8).await?;
    assert_eq!(refused, 0, "operators have views of their own");
    // What is watched already costs nothing.
    let (_same, refused) = watch(&stack, &viewer, 1, 8).await?;
    assert_eq!(refused, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_are_polled_are_kept_for_each_within_its_share() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let poll = async |headers: &str, advertiser_id: &str, window: u32| -> Result<u16> {
        let request = format!("GET /api/v1/live/poll?advertiser_id={advertiser_id}&window_minutes={window}");
        Ok(raw::send(url, &request, headers, b"").await?.status)
    };
    // Operators may watch 32 views of each advertiser, and poll 100 in all.
    let mut kept = 0;
    for advertiser in 0..4 {
        for window in 1..=32 {
            kept += u32::from(poll(&admin(), &format!("adv_10{advertiser}"), window).await? == 200);
        }
    }
    assert_eq!(kept, 100);
    assert_eq!(poll(&bearer("adv_001"), "adv_001", 60).await?, 200);
    Ok(())
}

/// Batches whose bodies do not come, over HTTP/1.1.
async fn bodies_that_do_not_come(
    url: &str,
    key: &str,
    sent: &[u8],
    count: usize,
) -> Result<JoinSet<Result<u16>>> {
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let headers =
            format!("x-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n");
        let mut stream = raw::begin(url, "POST /api/v1/clicks/batch", &headers).await?;
        stream.write_all(sent).await?;
        waiting.spawn(async move {
            let mut answer = Vec::new();
            timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await??;
            let answer = String::from_utf8_lossy(&answer);
            answer
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .with_context(|| answer.into_owned())
        });
    }
    Ok(waiting)
}

/// The same over one HTTP/2 connection.
async fn streams_that_do_not_come(
    url: &str,
    key: &str,
    sent: &'static [u8],
    count: usize,
) -> Result<JoinSet<Result<u16>>> {
    let client: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let first = (!sent.is_empty()).then(|| Ok::<_, std::io::Error>(Bytes::from_static(sent)));
        let body = stream::unfold(first, |first| async move {
            match first {
                Some(first) => Some((first, None)),
                None => pending().await,
            }
        });
        let request = axum::http::Request::post(format!("{url}/api/v1/clicks/batch"))
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .body(Body::from_stream(body))?;
        let answer = client.request(request);
        waiting.spawn(async move { Ok(timeout(Duration::from_secs(30), answer).await??.status().as_u16()) });
    }
    Ok(waiting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_whose_bodies_do_not_come_leave_room_for_others_and_are_given_up() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let key = Key::make(&stack).await?;
    let good = async || -> Result<()> {
        let click =
            json!([{"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"}]).to_string();
        let headers = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", Stack::ingest_key());
        let answer = raw::post(url, "/api/v1/clicks/batch", &headers, click.as_bytes());
        let answer = timeout(Duration::from_secs(2), answer).await.context("no answer")??;
        ensure!(answer.status == 202, "{answer:?}");
        Ok(())
    };
    // Without a word; with one, after which a place is taken: eight are one key's.
    for sent in [&b""[..], b"["] {
        let begun = Instant::now();
        let one = bodies_that_do_not_come(url, &key.secret, sent, 40).await?;
        let other = streams_that_do_not_come(url, &key.secret, sent, 40).await?;
        // All 80 have been read: of those that have begun a body, what is more than a key's share is refused.
        let mut statuses: Vec<u16> = Vec::new();
        let (mut one, mut other) = (one, other);
        if !sent.is_empty() {
            while statuses.len() < 72 {
                let status = tokio::select! {
                    Some(status) = one.join_next() => status,
                    Some(status) = other.join_next() => status,
                };
                statuses.push(status??);
            }
            assert!(statuses.iter().all(|&status| status == 503), "{statuses:?}");
        }
        good().await?;
        let mut given_up = one.join_all().await;
        given_up.extend(other.join_all().await);
        for status in given_up {
            assert_eq!(status?, 408);
        }
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(12), "they were given up after {taken:?}");
        good().await?;
    }
    Ok(())
}
