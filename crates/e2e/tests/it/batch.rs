//! Batches of clicks: a result for each, in order; what refuses the whole leaves nothing behind.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clickwire_e2e::{
    Buckets, Stack, Wire, eventually,
    raw::{self, Answer},
};
use clickwire_services::Server as Service;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};
use uuid::Uuid;

const BATCH: &str = "/api/v1/clicks/batch";
const KEY: &str = "x-api-key: ingest-key-of-the-tests\r\n";
const ARRAY: &str = "x-api-key: ingest-key-of-the-tests\r\ncontent-type: application/json\r\n";
const LINES: &str =
    "x-api-key: ingest-key-of-the-tests\r\ncontent-type: application/x-ndjson; charset=utf-8\r\n";

/// The time within which a few thousand clicks are counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);

fn click(ad: usize) -> Value {
    json!({"click_id": Uuid::now_v7(), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": format!("ad_{ad}")})
}

fn clicks(count: usize) -> Vec<Value> {
    (0..count).map(|ad| click(ad % 40)).collect()
}

fn array(clicks: &[Value]) -> Vec<u8> {
    json!(clicks).to_string().into_bytes()
}

fn lines(clicks: &[Value]) -> Vec<u8> {
    clicks.iter().map(|click| format!("{click}\r\n")).collect::<String>().into_bytes()
}

/// The numbers of accepted, rejected and failed clicks.
fn numbers(answer: &Answer) -> [Option<u64>; 3] {
    ["accepted", "rejected", "failed"].map(|name| answer.body[name].as_u64())
}

/// All of one field, in the order of the results.
fn all<'a>(answer: &'a Answer, field: &str) -> Vec<&'a Value> {
    answer.body["results"]
        .as_array()
        .map(|results| results.iter().map(|result| &result[field]).collect())
        .unwrap_or_default()
}

async fn stored(stack: &Stack) -> Result<u64> {
    let mut stream = stack.broker().await?.get_stream(stack.names().stream()).await?;
    Ok(stream.info().await?.state.last_sequence)
}

async fn is_counted(stack: &Stack, expected: i64) -> Result<()> {
    eventually("the batch is in the ledger", COUNTED_WITHIN, async || {
        stack.ledger().await.ok().filter(|&ledger| ledger >= expected)
    })
    .await?;
    assert_eq!(stack.ledger().await?, expected);
    assert_eq!(stack.received(Buckets::Minutes).await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_both_kinds_count_once_after_a_resend() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let (full, other) = (clicks(5_000), clicks(300));
    for is_resent in [false, true] {
        let answers = [
            (raw::post(url, BATCH, ARRAY, &array(&full)).await?, &full),
            // However it is cut into pieces.
            (raw::post_chunked(url, BATCH, LINES, &lines(&other), 37).await?, &other),
        ];
        for (answer, sent) in answers {
            assert_eq!(answer.status, 202, "{answer:?}");
            assert_eq!(numbers(&answer), [Some(sent.len() as u64), Some(0), Some(0)]);
            assert_eq!(
                all(&answer, "click_id"),
                sent.iter().map(|click| &click["click_id"]).collect::<Vec<_>>()
            );
            assert!(all(&answer, "is_duplicate").into_iter().all(|known| *known == json!(is_resent)));
        }
    }
    assert_eq!(stored(&stack).await?, 5_300);
    is_counted(&stack, 5_300).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_one_click_refuses_that_one() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let (good, long) =
        (click(1), json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "a".repeat(65)}));
    let mixed = [good.clone(), long, json!(7), json!({}), click(2), good.clone()];
    for (headers, body) in [(ARRAY, array(&mixed)), (LINES, lines(&mixed))] {
        let answer = raw::post(stack.server_url(), BATCH, headers, &body).await?;
        assert_eq!((answer.status, numbers(&answer)), (202, [Some(3), Some(3), Some(0)]), "{answer:?}");
        for (pointer, expected) in [
            ("/results/0/click_id", &good["click_id"]),
            ("/results/0/is_fraudulent", &json!(false)),
            ("/results/1/error/fieldErrors/ad_id/0", &json!("At most 64 characters.")),
            ("/results/2/error/formErrors/0", &json!("A click must be a JSON object.")),
            ("/results/3/error/fieldErrors/campaign_id/0", &json!("Required.")),
            ("/results/4/click_id", &mixed[4]["click_id"]),
            // The same click twice in one batch.
            ("/results/5/click_id", &good["click_id"]),
            ("/results/5/is_duplicate", &json!(true)),
        ] {
            assert_eq!(answer.body.pointer(pointer), Some(expected), "{pointer}: {answer:?}");
        }
    }
    let answer = raw::post(stack.server_url(), BATCH, LINES, b"{\"ad_id\":\n[").await?;
    assert_eq!((answer.status, numbers(&answer)), (400, [Some(0), Some(2), Some(0)]), "{answer:?}");
    assert_eq!(
        answer.body["results"][1]["error"]["formErrors"],
        json!(["Click 2 of the batch is not JSON: EOF while parsing a list at line 1 column 1"])
    );
    let answer = raw::post(stack.server_url(), BATCH, ARRAY, &array(&mixed[1..4])).await?;
    assert_eq!((answer.status, numbers(&answer)), (400, [Some(0), Some(3), Some(0)]), "{answer:?}");
    assert_eq!(stored(&stack).await?, 2);
    is_counted(&stack, 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_batches_are_named_and_leave_nothing_behind() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    // Behind clicks that could be taken.
    let good = String::from_utf8(array(&clicks(20)))?;
    let begun = good.trim_end_matches(']');
    let good_lines = String::from_utf8(lines(&clicks(20)))?;
    let with_key = format!("{ARRAY}idempotency-key: \"a\"\r\n");
    let (form, code) = ("/error/formErrors/0", "/error/code");
    for (name, headers, body, status, pointer, expected) in [
        ("no key", "content-type: application/json\r\n", good.clone(), 401, code, "unauthorized"),
        ("no content type", KEY, good.clone(), 415, code, "unsupported_media_type"),
        (
            "an idempotency key",
            &with_key,
            good.clone(),
            400,
            "/error/fieldErrors/Idempotency-Key/0",
            "Not for batches: send a click_id with each click.",
        ),
        ("an empty body", ARRAY, String::new(), 400, form, "The body must be a JSON array."),
        ("an object", ARRAY, click(1).to_string(), 400, form, "The body must be a JSON array."),
        ("lines as an array", ARRAY, good_lines.clone(), 400, form, "The body must be a JSON array."),
        ("no clicks", ARRAY, "[ ]".to_owned(), 400, form, "The batch has no clicks."),
        ("no lines", LINES, "\r\n\n".to_owned(), 400, form, "The batch has no clicks."),
        ("a cut array", ARRAY, begun.to_owned(), 400, form, "The body ends before the array does."),
        ("a comma too many", ARRAY, "[7,]".to_owned(), 400, form, "Expected an element at byte 3."),
        ("two arrays", ARRAY, "[7] []".to_owned(), 400, form, "Expected the end at byte 4."),
        (
            "broken JSON",
            ARRAY,
            format!("{begun},{{\"ad_id\":}}]"),
            400,
            form,
            "Click 21 of the batch is not JSON: expected value at line 1 column 10",
        ),
        ("too many clicks", ARRAY, String::from_utf8(array(&clicks(5_001)))?, 413, code, "too_large"),
        ("too many lines", LINES, String::from_utf8(lines(&clicks(5_001)))?, 413, code, "too_large"),
        ("a large body", ARRAY, format!("{good}{}", " ".repeat(4 << 20)), 413, code, "too_large"),
    ] {
        let answer = raw::post(url, BATCH, headers, body.as_bytes()).await.context(name)?;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(answer.body.pointer(pointer), Some(&json!(expected)), "{name}: {answer:?}");
        if status != 413 {
            let answer = raw::post_chunked(url, BATCH, headers, body.as_bytes(), 100).await.context(name)?;
            assert_eq!(answer.body.pointer(pointer), Some(&json!(expected)), "{name}, in pieces: {answer:?}");
        }
    }
    // Whole lines, but fewer bytes than were promised.
    let promised = format!("content-length: {}\r\n{LINES}", good_lines.len() + 1);
    let mut cut_short = raw::begin(url, &format!("POST {BATCH}"), &promised).await?;
    cut_short.write_all(good_lines.as_bytes()).await?;
    cut_short.shutdown().await?;
    let mut answer = String::new();
    cut_short.read_to_string(&mut answer).await?;
    assert!(!answer.contains("accepted"), "{answer}");
    // A length that is not told is counted.
    let large = " ".repeat((4 << 20) + 1);
    let answer = raw::post_chunked(url, BATCH, ARRAY, large.as_bytes(), 1 << 16).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (413, &json!("too_large")));
    assert_eq!(stored(&stack).await?, 0, "something was published");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_in_hand_are_limited() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_REQUEST_TIMEOUT_MS", "5000");
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    // One more than a key has room for, none of which goes on.
    let mut begun = JoinSet::new();
    for _ in 0..9 {
        let url = stack.server_url().to_owned();
        begun.spawn(async move {
            let mut batch =
                raw::begin(&url, &format!("POST {BATCH}"), &format!("content-length: 100\r\n{ARRAY}"))
                    .await?;
            batch.write_all(b"[").await?;
            let mut answer = String::new();
            batch.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        });
    }
    let mut next = async || begun.join_next().await.context("a batch is answered")??;
    let answer = next().await?;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_batches"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    // Who sends too slowly makes room: after five seconds, or when it goes.
    let answer = next().await?;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too_long"), "{answer}");
    drop(begun);
    let (url, body) = (stack.server_url(), array(&clicks(1)));
    eventually("the next batch is taken", Duration::from_secs(10), async || {
        let answer = raw::post(url, BATCH, ARRAY, &body).await.ok()?;
        (answer.status == 202).then_some(())
    })
    .await
}

/// A server that believes in more partitions than there are: the broker has no room for some clicks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refuses_is_named_and_the_others_are_taken() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.set("CLICKWIRE_PARTITIONS", "8");
    let server = stack.start_server().await?;
    let batch = clicks(200);
    let answer = raw::post(stack.server_url(), BATCH, ARRAY, &array(&batch)).await?;
    let [Some(accepted), Some(0), Some(failed)] = numbers(&answer) else { panic!("{answer:?}") };
    assert_eq!((answer.status, accepted + failed), (202, 200));
    assert!(accepted > 0 && failed > 0, "{accepted} {failed}");
    assert_eq!(stored(&stack).await?, accepted);
    let to_send_again: Vec<Value> = batch
        .iter()
        .zip(all(&answer, "error"))
        .filter(|(_, error)| !error.is_null())
        .map(|(click, error)| {
            assert_eq!(
                (&error["code"], &error["click_id"]),
                (&json!("broker_unavailable"), &click["click_id"])
            );
            click.clone()
        })
        .collect();
    drop(server);
    stack.set("CLICKWIRE_PARTITIONS", "4");
    let _server = stack.start_server().await?;
    let answer = raw::post(stack.server_url(), BATCH, ARRAY, &array(&to_send_again)).await?;
    assert_eq!((answer.status, numbers(&answer)), (202, [Some(failed), Some(0), Some(0)]), "{answer:?}");
    is_counted(&stack, 200).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_broker_a_batch_is_refused_soon_and_taken_later() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.wire().await?;
    stack.set("CLICKWIRE_PUBLISH_TIMEOUT_MS", "1000");
    let _server = stack.start_server().await?;
    let batch = clicks(5_000);
    for wire in [Wire::HalfOpen, Wire::Cut] {
        stack.wire_to(Service::Nats)?.set(wire);
        let begun = Instant::now();
        let answer = raw::post(stack.server_url(), BATCH, ARRAY, &array(&batch)).await?;
        assert_eq!((answer.status, numbers(&answer)), (503, [Some(0), Some(0), Some(5_000)]), "{wire:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.body["results"][4_999]["error"]["click_id"], batch[4_999]["click_id"]);
        // Not the patience of a post for every few hundred clicks.
        assert!(begun.elapsed() < Duration::from_secs(8), "{wire:?}: {:?}", begun.elapsed());
    }
    stack.wire_to(Service::Nats)?.set(Wire::Whole);
    eventually("the batch is taken", Duration::from_secs(30), async || {
        let answer = raw::post(stack.server_url(), BATCH, ARRAY, &array(&batch)).await.ok()?;
        (numbers(&answer) == [Some(5_000), Some(0), Some(0)]).then_some(())
    })
    .await?;
    is_counted(&stack, 5_000).await
}
