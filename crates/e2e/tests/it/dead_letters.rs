//! Messages that can't be read are set aside with their reason and hold up nobody else; administrators send them
//! back or dismiss them, and they are counted once at most.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use async_nats::{
    HeaderMap,
    jetstream::{self, stream::LastRawMessageErrorKind},
};
use clickwire_e2e::{Buckets, Program, Stack, eventually, people::Person};
use clickwire_load::http::Server;
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::message_id,
    ids::AdvertiserId,
    stream::{DEFAULT_PARTITIONS, partition_of},
};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use uuid::Uuid;

const LETTERS: &str = "/api/v1/admin/dead-letters";

/// Longer than any wait of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn click(ad_id: &str) -> Value {
    json!({"click_id": Uuid::new_v4(), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": ad_id,
        "country": "DE", "device_type": "mobile", "clicked_at_ms": now_ms(), "received_at_ms": now_ms()})
}

pub(super) async fn nats(stack: &Stack) -> Result<jetstream::Context> {
    Ok(jetstream::new(async_nats::connect(stack.services().nats_url()).await?))
}

pub(super) async fn publish(nats: &jetstream::Context, subject: &str, messages: Vec<Vec<u8>>) -> Result<()> {
    for some in messages.chunks(500) {
        let sent = some.iter().map(|message| nats.publish(subject.to_owned(), message.clone().into()));
        try_join_all(try_join_all(sent).await?.into_iter().map(IntoFuture::into_future)).await?;
    }
    Ok(())
}

/// Status and body of what `server` answers.
async fn get(server: &Server, path: &str) -> Result<(u16, Value)> {
    let (status, body) = server.connection().get(&format!("{LETTERS}{path}")).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

async fn post(server: &Server, path: &str, body: &Value) -> Result<(u16, Value)> {
    let body = body.to_string().into_bytes();
    let (status, body) = server.connection().post(&format!("{LETTERS}{path}"), body).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

pub(super) async fn wait_for_letters(admin: &Server, number: usize) -> Result<Vec<Value>> {
    eventually(&format!("{number} dead letters"), PATIENCE, async || {
        let (_, mut page) = get(admin, "").await.ok()?;
        let letters: Vec<Value> = serde_json::from_value(page["data"].take()).ok()?;
        (letters.len() == number).then_some(letters)
    })
    .await
}

/// Waits until everything on the stream of clicks is counted or set aside.
async fn wait_for_the_stream(stack: &Stack, nats: &jetstream::Context) -> Result<()> {
    let names = stack.names();
    let stream = nats.get_stream(names.stream()).await?;
    eventually("the stream is read", PATIENCE, async || {
        for partition in 0..4 {
            let acknowledged = stream.consumer_info(names.consumer(partition)).await.ok()?.ack_floor;
            match stream.get_last_raw_message_by_subject(&names.subject(partition)).await {
                Ok(last) => (acknowledged.stream_sequence >= last.sequence).then_some(())?,
                Err(error) => (error.kind() == LastRawMessageErrorKind::NoMessageFound).then_some(())?,
            }
        }
        Some(())
    })
    .await
}

async fn wait_for_gauge(aggregator: &Program, letters: u64) -> Result<()> {
    eventually("health and metrics tell how many wait", PATIENCE, async || {
        let gauge = aggregator.metric("clickwire_dead_letters_waiting").await.ok()?;
        let told = aggregator.health().await.ok()?["dead_letters_waiting"].as_u64()?;
        (gauge == letters as f64 && told == letters).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bad_messages_in_a_batch_are_set_aside_and_the_rest_is_counted() -> Result<()> {
    let stack = Stack::new().await?;
    let names = stack.names();
    let aggregator = stack.start_aggregator().await?;
    aggregator.kill().await?;
    let nats = nats(&stack).await?;
    let messages = (0..5_000).map(|number| match number {
        1_000 => b"{\"not\": \"a click\"}".to_vec(),
        // Readable, but PostgreSQL stores no NUL: only the database finds out.
        3_000 => click("ad\u{0}1").to_string().into_bytes(),
        _ => click("ad_001").to_string().into_bytes(),
    });
    publish(&nats, &names.subject(0), messages.collect()).await?;
    let _aggregator = stack.start_aggregator().await?;
    eventually("the rest is counted", PATIENCE, async || (stack.ledger().await.ok()? == 4_998).then_some(()))
        .await?;
    assert_eq!(stack.received(Buckets::Minutes).await?, 4_998);

    let mut dead_letters = nats.get_stream(names.dead_letter_stream()).await?;
    assert_eq!(dead_letters.info().await?.state.messages, 2);
    for (sequence, stream_sequence, code) in [(1, "1001", "unreadable"), (2, "3001", "refused")] {
        let message = dead_letters.get_raw_message(sequence).await?;
        let header = |name: &str| {
            message.headers.get(name).map(|value| value.as_str().to_owned()).context(name.to_owned())
        };
        assert_eq!(header("Clickwire-Code")?, code);
        assert_eq!(header("Clickwire-Sequence")?, stream_sequence);
        assert_eq!(header("Clickwire-Subject")?, names.subject(0));
        assert!(!header("Clickwire-Reason")?.is_empty());
    }
    let kept = dead_letters.get_raw_message(1).await?;
    assert_eq!(&kept.payload[..], b"{\"not\": \"a click\"}", "the original bytes are kept");
    let huge = publish(&nats, &names.subject(0), vec![vec![b'x'; 65 << 10]]).await;
    assert!(huge.is_err(), "the broker takes nothing that could not be set aside");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_and_replayed_is_counted_once_under_its_id() -> Result<()> {
    let mut stack = Stack::new().await?;
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (nats, names, admin) = (nats(&stack).await?, stack.names(), stack.as_admin()?);
    assert_eq!(get(&admin, "").await?, (200, json!({"data": [], "next": null})));

    // Wrong in one field only, no text at all, and lacking a field.
    let bad = click("ad\u{0}1");
    let id: Uuid = serde_json::from_value(bad["click_id"].clone())?;
    let mut lacking = click("ad_002");
    lacking.as_object_mut().context("an object")?.remove("click_id");
    // The broker remembers the click's id, as it does after a post.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", message_id(id, &AdvertiserId::unchecked("adv_001")));
    let message = bad.to_string().into_bytes().into();
    nats.publish_with_headers(names.subject(3), headers, message).await?.await?;
    wait_for_the_stream(&stack, &nats).await?;
    for message in [b"\xff\xfe".to_vec(), lacking.to_string().into_bytes()] {
        publish(&nats, &names.subject(3), vec![message]).await?;
        wait_for_the_stream(&stack, &nats).await?;
    }
    let letters = wait_for_letters(&admin, 3).await?;
    wait_for_gauge(&aggregator, 3).await?;
    let (first, second, third) = (&letters[0], &letters[1], &letters[2]);
    assert_eq!((&first["code"], &first["click_id"]), (&json!("refused"), &json!(id)));
    assert_eq!((&second["code"], &second["size_bytes"]), (&json!("unreadable"), &json!(2)));
    assert_eq!((&third["click_id"], &third["subject"]), (&Value::Null, &json!(names.subject(3))));
    let (_, page) = get(&admin, "?limit=2").await?;
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next"]), (Some(2), &json!(2)));
    assert_eq!(get(&admin, "?after=2&limit=2").await?.1, json!({"data": [third], "next": null}));
    assert_eq!(get(&admin, "/1").await?.1["payload"], json!(bad.to_string()), "the original message");
    assert_eq!(get(&admin, "/2").await?.1["payload_base64"], json!("//4="));

    let mut edited = bad.clone();
    edited["ad_id"] = json!("ad_001");
    let order = json!({"payload": edited.to_string(), "reason": "the ad's id was garbled"});
    refusals_leave_everything_as_it_was(&stack, &edited).await?;

    // Published, but neither recorded nor deleted.
    let mut blocking = stack.database().begin().await?;
    sqlx::query("LOCK TABLE dead_letter_actions IN EXCLUSIVE MODE").execute(&mut *blocking).await?;
    assert_eq!(post(&admin, "/1/replay", &order).await?.0, 503);
    blocking.rollback().await?;
    wait_for_letters(&admin, 3).await?;

    // Twice at once, and again as after a crash that the broker has long forgotten.
    let (one, other) = tokio::join!(post(&admin, "/1/replay", &order), post(&admin, "/1/replay", &order));
    let answers = [one?, other?];
    let replayed = answers.iter().find(|(status, _)| *status == 200).context("one of both")?;
    assert!(answers.iter().all(|(status, _)| [200, 404, 409].contains(status)), "{answers:?}");
    assert_eq!((&replayed.1["click_id"], &replayed.1["is_repeated"]), (&json!(id), &json!(true)));
    let partition = partition_of(id, DEFAULT_PARTITIONS);
    assert_eq!(replayed.1["subject"], json!(names.subject(partition)), "where its repetitions come");
    let mut headers = HeaderMap::new();
    headers.insert("Clickwire-Subject", names.subject(3).as_str());
    let crashed = bad.to_string().into_bytes().into();
    nats.publish_with_headers(names.dead_letter_subject(), headers, crashed).await?.await?;
    assert_eq!(post(&admin, "/4/replay", &order).await?.0, 200);
    wait_for_the_stream(&stack, &nats).await?;
    let counted: Vec<Uuid> =
        sqlx::query_scalar("SELECT click_id FROM clicks").fetch_all(stack.database()).await?;
    assert_eq!((counted, stack.received(Buckets::Minutes).await?), (vec![id], 1));

    the_command_line_does_the_same(&stack, &lacking).await?;
    wait_for_the_stream(&stack, &nats).await?;
    assert_eq!((stack.ledger().await?, stack.received(Buckets::Minutes).await?), (2, 2));
    wait_for_letters(&admin, 0).await?;
    wait_for_gauge(&aggregator, 0).await?;
    the_record_tells_it_and_stays(&stack, &bad, &edited).await
}

/// Letter 1 is readable, and nobody has done anything yet.
async fn refusals_leave_everything_as_it_was(stack: &Stack, edited: &Value) -> Result<()> {
    let admin = stack.as_admin()?;
    let before = get(&admin, "").await?;
    let good = json!({"payload": edited.to_string(), "reason": "a test"});
    let stranger = |token: &str| Server::new(stack.server_url(), token);
    for (caller, expected) in
        [(stranger("")?, 401), (stranger("nobody")?, 401), (stack.as_viewer("adv_001")?, 403)]
    {
        for path in ["", "/1"] {
            assert_eq!(get(&caller, path).await?.0, expected, "{path}");
        }
        for path in ["/1/replay", "/1/dismiss"] {
            assert_eq!(post(&caller, path, &good).await?.0, expected, "{path}");
        }
    }
    let mut another = edited.clone();
    another["click_id"] = json!(Uuid::new_v4());
    let another = json!({"payload": another.to_string()});
    for (path, order, expected, reason) in [
        ("/99/replay", &good, 404, ""),
        ("/first/replay", &good, 404, ""),
        ("/99/dismiss", &json!({"reason": "a test"}), 404, ""),
        ("/1/replay", &json!({}), 422, "ad_id: Only letters"),
        ("/2/replay", &json!({}), 422, "not a click"),
        ("/1/replay", &json!({"payload": "{}"}), 422, "missing field"),
        ("/1/replay", &another, 422, "keeps its id"),
        ("/1/replay", &json!({"reason": " "}), 400, "Must not be empty."),
        ("/1/replay", &json!({"playload": ""}), 400, "unknown field"),
        ("/1/dismiss", &json!({}), 400, "Required."),
        ("/1/dismiss", &good, 400, "not edited"),
    ] {
        let (status, answer) = post(&admin, path, order).await?;
        assert_eq!(status, expected, "{path} {order}: {answer}");
        assert!(answer.to_string().contains(reason), "{path} {order}: {answer}");
    }
    for (path, expected) in [("/99", 404), ("?limit=0", 400), ("?limit=101", 400), ("?from=1", 400)] {
        assert_eq!(get(&admin, path).await?.0, expected, "{path}");
    }
    assert_eq!(get(&admin, "").await?, before);
    let actions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead_letter_actions").fetch_one(stack.database()).await?;
    assert_eq!((actions, stack.ledger().await?), (0, 0));
    Ok(())
}

/// Letters 2 and 3 are left; the third lacks its id.
async fn the_command_line_does_the_same(stack: &Stack, lacking: &Value) -> Result<()> {
    let listed = stack.operate(&["dead-letters", "list"]).await?;
    let listed: Vec<Value> = listed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(Value::from(listed), get(&stack.as_admin()?, "").await?.1["data"]);
    let shown: Value = serde_json::from_str(&stack.operate(&["dead-letters", "show", "3"]).await?)?;
    assert_eq!(shown["payload"], json!(lacking.to_string()));

    let refused = stack.operate(&["dead-letters", "replay", "3"]).await.map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("missing field `click_id`")), "{refused:?}");
    let mut edited = lacking.clone();
    edited["click_id"] = json!(Uuid::new_v4());
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), edited.to_string())?;
    let path = file.path().to_str().context("a path")?;
    let replayed = stack.operate(&["dead-letters", "replay", "3", "--file", path]).await?;
    assert_eq!(serde_json::from_str::<Value>(&replayed)?["click_id"], edited["click_id"]);
    stack.operate(&["dead-letters", "dismiss", "2", "--reason", "line noise"]).await?;
    Ok(())
}

async fn the_record_tells_it_and_stays(stack: &Stack, bad: &Value, edited: &Value) -> Result<()> {
    type Row = (String, String, Option<String>, i64, Vec<u8>, Option<Vec<u8>>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT actor, action, reason, sequence, payload, edited_payload FROM dead_letter_actions \
         WHERE sequence <> 3 ORDER BY sequence",
    )
    .fetch_all(stack.database())
    .await?;
    let replay = |sequence| {
        let reason = Some("the ad's id was garbled".to_owned());
        let bytes = (bad.to_string().into_bytes(), Some(edited.to_string().into_bytes()));
        ("admin".to_owned(), "replay".to_owned(), reason, sequence, bytes.0, bytes.1)
    };
    let noise = Some("line noise".to_owned());
    let dismiss = ("shell:tester".to_owned(), "dismiss".to_owned(), noise, 2, b"\xff\xfe".to_vec(), None);
    assert_eq!(rows, [replay(1), dismiss, replay(4)]);
    for sql in [
        "UPDATE dead_letter_actions SET actor = 'nobody'",
        "DELETE FROM dead_letter_actions",
        "TRUNCATE dead_letter_actions",
    ] {
        assert!(sqlx::query(sql).execute(stack.database()).await.is_err(), "{sql}");
    }
    Ok(())
}

/// One of six who replay it at once, over HTTP and on the command line, each as another click, succeeds; and
/// what a crash has left behind of it can't be replayed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_six_replays_wins() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (nats, names, admin) = (nats(&stack).await?, stack.names(), stack.as_admin()?);
    publish(&nats, &names.subject(0), vec![b"cut o".to_vec()]).await?;
    wait_for_letters(&admin, 1).await?;
    let files = (0..3).map(|_| {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), click("ad_001").to_string())?;
        anyhow::Ok(file)
    });
    let files = files.collect::<Result<Vec<_>>>()?;
    let typed = files.iter().map(async |file| {
        let path = file.path().to_str().context("a path")?;
        let order = ["dead-letters", "replay", "1", "--file", path, "--reason", "mended"];
        anyhow::Ok(stack.operate(&order).await.is_ok())
    });
    let posted = (0..3).map(async |_| {
        let order = json!({"payload": click("ad_001").to_string(), "reason": "mended"});
        let (status, answer) = post(&admin, "/1/replay", &order).await?;
        anyhow::ensure!([200, 404, 409].contains(&status), "{answer}");
        anyhow::Ok(status == 200)
    });
    let (typed, posted) = tokio::try_join!(try_join_all(typed), try_join_all(posted))?;
    let won = typed.iter().chain(&posted).filter(|won| **won).count();
    assert_eq!(won, 1, "on the command line {typed:?}, over HTTP {posted:?}");
    wait_for_the_stream(&stack, &nats).await?;
    let actions = async || -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM dead_letter_actions").fetch_one(stack.database()).await?)
    };
    assert_eq!((stack.ledger().await?, actions().await?), (1, 1));

    // Recorded, but not deleted.
    publish(&nats, &names.subject(0), vec![b"cut of".to_vec()]).await?;
    wait_for_letters(&admin, 1).await?;
    let created = nats.get_stream(names.dead_letter_stream()).await?.cached_info().created;
    sqlx::query(
        "INSERT INTO dead_letter_actions (actor, action, reason, stream, generation, sequence, payload) \
         VALUES ('admin', 'dismiss', 'noise', $1, $2, 2, '')",
    )
    .bind(names.dead_letter_stream())
    .bind(created)
    .execute(stack.database())
    .await?;
    let order = json!({"payload": click("ad_001").to_string(), "reason": "mended"});
    assert_eq!(post(&admin, "/2/replay", &order).await?.0, 409);
    wait_for_letters(&admin, 0).await?;
    wait_for_the_stream(&stack, &nats).await?;
    assert_eq!((stack.ledger().await?, actions().await?), (1, 2));
    Ok(())
}

/// The message says whose click it is, or an administrator does, with a reason that is recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_makes_no_click_anothers() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (nats, names, admin) = (nats(&stack).await?, stack.names(), stack.as_admin()?);
    let password = stack.account("ops", "ops", &[]).await?;
    let operator = Person::sign_in(stack.server_url(), "ops", &password).await?;
    let readable = click("ad\u{0}1");
    for message in
        [readable.to_string().into_bytes(), b"cut off".to_vec(), click("ad\u{0}2").to_string().into_bytes()]
    {
        publish(&nats, &names.subject(0), vec![message]).await?;
        wait_for_the_stream(&stack, &nats).await?;
    }
    wait_for_letters(&admin, 3).await?;
    let mended = |id: &Value, advertiser_id: &str| {
        let mut edited = click("ad_001");
        if !id.is_null() {
            edited["click_id"] = id.clone();
        }
        edited["advertiser_id"] = json!(advertiser_id);
        json!({"payload": edited.to_string(), "reason": "cut off by the shop's program"})
    };
    let id = readable["click_id"].clone();
    let by_operator = async |path: &str, order: &Value| -> Result<(u16, Value)> {
        let answer = operator.send(&format!("POST {LETTERS}{path}"), &order.to_string()).await?;
        Ok((answer.status, answer.body))
    };
    for (path, order) in
        [("/1/replay", mended(&id, "adv_002")), ("/2/replay", mended(&Value::Null, "adv_001"))]
    {
        let (status, answer) = by_operator(path, &order).await?;
        assert_eq!(status, 422, "{path} {answer}");
        assert!(answer.to_string().contains("only an administrator"), "{answer}");
        // What is refused gives the letter up before it says so.
        for _ in 0..30 {
            let (status, answer) = by_operator(path, &order).await?;
            assert_eq!(status, 422, "{path} {answer}");
        }
        let mut without = order.clone();
        without.as_object_mut().context("an object")?.remove("reason");
        let (status, answer) = post(&admin, path, &without).await?;
        assert_eq!((status, answer["error"]["fieldErrors"]["reason"].is_array()), (400, true), "{answer}");
    }
    assert_eq!(by_operator("/1/replay", &mended(&id, "adv_001")).await?.0, 200);
    assert_eq!(post(&admin, "/2/replay", &mended(&Value::Null, "adv_002")).await?.0, 200);
    let (_, third) = get(&admin, "/3").await?;
    assert_eq!(post(&admin, "/3/replay", &mended(&third["click_id"], "adv_002")).await?.0, 200);
    wait_for_the_stream(&stack, &nats).await?;
    let advertisers: Vec<String> =
        sqlx::query_scalar("SELECT advertiser_id FROM clicks ORDER BY 1").fetch_all(stack.database()).await?;
    assert_eq!(advertisers, ["adv_001", "adv_002", "adv_002"]);
    let recorded: Vec<(i64, String, Option<String>)> =
        sqlx::query_as("SELECT sequence, actor, named_advertiser FROM dead_letter_actions ORDER BY sequence")
            .fetch_all(stack.database())
            .await?;
    let named = || Some("adv_002".to_owned());
    let named = [(1, None), (2, named()), (3, named())];
    let found = recorded.iter().map(|(sequence, _, advertiser)| (*sequence, advertiser.clone()));
    assert_eq!(found.collect::<Vec<_>>(), named, "{recorded:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_room_for_dead_letters_their_partition_waits() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_DEAD_LETTERS_MAX_BYTES", "4096");
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (nats, names, admin) = (nats(&stack).await?, stack.names(), stack.as_admin()?);
    let bad: BTreeSet<Vec<u8>> = (b'a'..=b'h').map(|letter| vec![letter; 1_000]).collect();
    let mut messages: Vec<Vec<u8>> = bad.iter().cloned().collect();
    messages.push(click("ad_001").to_string().into_bytes());
    publish(&nats, &names.subject(0), messages).await?;
    eventually("the partition waits", PATIENCE, async || {
        let health = aggregator.health().await.ok()?;
        (health["services"]["dead_letters"]["status"] == "waiting").then_some(())
    })
    .await?;

    publish(&nats, &names.subject(1), vec![click("ad_002").to_string().into_bytes()]).await?;
    eventually("another partition counts", PATIENCE, async || {
        (stack.ledger().await.ok()? == 1).then_some(())
    })
    .await?;
    let health = aggregator.health().await?;
    assert_eq!(
        (&health["status"], &health["services"]["dead_letters"]["status"]),
        (&json!("degraded"), &json!("waiting"))
    );

    eventually("all is counted as soon as there is room", Duration::from_secs(60), async || {
        for letter in get(&admin, "").await.ok()?.1["data"].as_array()? {
            let path = format!("/{}/dismiss", letter["sequence"]);
            post(&admin, &path, &json!({"reason": "room for others"})).await.ok()?;
        }
        // The last ones may still wait when the good one is counted.
        let are_dismissed = stack.dead_letters().await.ok()? == 0;
        (stack.ledger().await.ok()? == 2 && are_dismissed).then_some(())
    })
    .await?;
    let dismissed: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT payload FROM dead_letter_actions").fetch_all(stack.database()).await?;
    assert_eq!(dismissed.into_iter().collect::<BTreeSet<_>>(), bad, "nothing is lost");
    eventually("nothing waits any more", PATIENCE, async || {
        (aggregator.health().await.ok()?["status"] == "ok").then_some(())
    })
    .await
}
