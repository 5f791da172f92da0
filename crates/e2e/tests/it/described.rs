//! Data that identify and bill a click are strict; data that only describe it are cleaned, cut or left unknown, and the
//! click is kept: by every door alike. Posts may come compressed, from pages, and with fields of others.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use clickwire_e2e::{
    Stack, eventually,
    raw::{self, Answer},
    way::Way,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: (&str, &str) = ("x-api-key", "ingest-key-of-the-tests");
const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

/// A door to which programs post clicks.
#[derive(Clone, Copy, Debug)]
enum Door {
    Single,
    Array,
    Lines,
}

const DOORS: [Door; 3] = [Door::Single, Door::Array, Door::Lines];

impl Door {
    /// Posts a click by itself, or between two others; returns the answer and what is said of the click.
    async fn post(self, url: &str, click: &[u8]) -> Result<(Answer, Value)> {
        let others = [Uuid::now_v7(), Uuid::now_v7()].map(|id| whole(id, "\"country\": \"DE\"".as_bytes()));
        let [first, last] = &others;
        let (path, (name, value), body) = match self {
            Self::Single => ("", JSON, click.to_vec()),
            Self::Array => ("/batch", JSON, [b"[", &first[..], b",", click, b",", last, b"]"].concat()),
            Self::Lines => ("/batch", LINES, [&first[..], b"\n", click, b"\n", last].concat()),
        };
        let headers = format!("{}: {}\r\n{name}: {value}\r\n", KEY.0, KEY.1);
        let answer = raw::post(url, &format!("/api/v1/clicks{path}"), &headers, &body).await?;
        let said = match self {
            Self::Single => answer.body.clone(),
            Self::Array | Self::Lines => {
                let taken = answer.body["accepted"].as_u64().with_context(|| format!("{answer:?}"))?;
                assert!(taken >= 2, "its neighbours are taken: {answer:?}");
                answer.body["results"][1].clone()
            }
        };
        Ok((answer, said))
    }
}

/// A click with something more.
fn whole(id: Uuid, more: &[u8]) -> Vec<u8> {
    let ids = format!(
        r#"{{"click_id":"{id}","advertiser_id":"adv_001","campaign_id":"camp_001","ad_id":"ad_001","#
    );
    [ids.as_bytes(), more, b"}"].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_describes_a_click_never_loses_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let long = format!(r#""user_agent":"{}""#, "Mozilla/5.0 ".repeat(200));
    let mut sent = Vec::new();
    for (more, country, device_type, user_id) in [
        (long.as_bytes(), "ZZ", None, None),
        (r#""user_agent":"eZee\u0092 Tab","country":"USA""#.as_bytes(), "US", None, None),
        (br#""user_agent":"Mozilla \ud83d","country":"UK""#, "GB", None, None),
        (b"\"user_agent\":\"Telef\xf3nica\",\"country\":\"T1\"", "ZZ", None, None),
        (b"\"user_agent\":\"a\0b\tc\",\"country\":\"(not set)\"", "ZZ", None, None),
        (br#""user_agent":["a"],"country":276,"device_type":{}"#, "ZZ", None, None),
        (br#""device_type":"Desktop","country":"de""#, "DE", Some("desktop"), None),
        (br#""device_type":4,"user_id":42,"country":"Germany""#, "DE", Some("mobile"), Some("42")),
        (br#""device_type":"fridge","gclid":7,"referrer":"nowhere""#, "ZZ", None, None),
    ] {
        for door in DOORS {
            let (id, shown) = (Uuid::now_v7(), String::from_utf8_lossy(more));
            let (answer, said) = door.post(stack.server_url(), &whole(id, more)).await?;
            assert_eq!((answer.status, &said["click_id"]), (202, &json!(id)), "{door:?} {shown}: {answer:?}");
            sent.push((id, country, device_type, user_id));
        }
    }
    for (id, country, device_type, user_id) in sent {
        let (stored, device, user): (String, String, Option<String>) =
            eventually(&format!("{id} is counted"), Duration::from_secs(30), async || {
                sqlx::query_as("SELECT country, device_type, user_id FROM clicks WHERE click_id = $1")
                    .bind(id)
                    .fetch_optional(stack.database())
                    .await
                    .ok()?
            })
            .await?;
        assert_eq!((stored.as_str(), user.as_deref()), (country, user_id));
        assert!(device_type.is_none_or(|expected| device == expected), "{device}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_identifies_a_click_refuses_it_alone_and_says_why() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let broken = "Not Unicode: half of a surrogate pair, or bytes that are not UTF-8.";
    let control = "Control characters are not allowed.";
    for (more, field, reason) in [
        (&br#""user_id":"Anna \ud83d""#[..], "user_id", broken),
        (b"\"user_id\":\"Telef\xf3nica\"", "user_id", broken),
        (b"\"user_id\":\"a\0b\"", "user_id", control),
        (br#""user_id":"a\u0000b""#, "user_id", control),
        (br#""user_id":18446744073709551616"#, "user_id", "Expected a string or a whole number."),
        (br#""ip_address":"300.1.1.1""#, "ip_address", "Expected an IPv4 or IPv6 address."),
        (br#""price":{"amount":1}"#, "price", "Unknown field."),
    ] {
        for door in DOORS {
            let shown = String::from_utf8_lossy(more);
            let (answer, said) = door.post(stack.server_url(), &whole(Uuid::now_v7(), more)).await?;
            let status = if matches!(door, Door::Single) { 400 } else { 202 };
            assert_eq!(answer.status, status, "{door:?} {shown}: {answer:?}");
            assert_eq!(
                said["error"]["fieldErrors"],
                json!({field: [reason]}),
                "{door:?} {shown}: {answer:?}"
            );
        }
    }
    // Beyond all limits, and a line that is no JSON.
    for (doors, click, reason) in [
        (&DOORS[..], whole(Uuid::now_v7(), br#""price":1e999"#), "can't be read: number out of range"),
        (&[Door::Lines][..], b"{\"ad_id\":".to_vec(), "Click 2 of the batch is not JSON: EOF"),
    ] {
        for door in doors {
            let (answer, said) = door.post(stack.server_url(), &click).await?;
            let said = said["error"]["formErrors"][0].as_str().unwrap_or_default();
            assert!(said.contains(reason), "{door:?}: {answer:?}");
        }
    }
    let large = whole(Uuid::now_v7(), format!(r#""user_agent":"{}""#, "a".repeat(16 << 10)).as_bytes());
    for door in [Door::Array, Door::Lines] {
        let (answer, said) = door.post(stack.server_url(), &large).await?;
        assert_eq!(said["error"]["code"], "too_large", "{door:?}: {answer:?}");
    }
    // A byte order mark is no part of what it marks.
    for door in DOORS {
        let headers = format!(
            "{}: {}\r\n{}: {}\r\n",
            KEY.0,
            KEY.1,
            JSON.0,
            if matches!(door, Door::Lines) { LINES.1 } else { JSON.1 }
        );
        let click = String::from_utf8(whole(Uuid::now_v7(), br#""country":"DE""#))?;
        let (path, body) = match door {
            Door::Single => ("/api/v1/clicks", format!("\u{feff}{click}")),
            Door::Array => ("/api/v1/clicks/batch", format!("\u{feff}[{click}]")),
            Door::Lines => ("/api/v1/clicks/batch", format!("\u{feff}{click}\n\u{feff}{click}")),
        };
        let answer = raw::post(stack.server_url(), path, &headers, body.as_bytes()).await?;
        assert_eq!(answer.status, 202, "{door:?}: {answer:?}");
        assert_eq!(answer.body.get("rejected").unwrap_or(&json!(0)), 0, "{door:?}: {answer:?}");
    }
    Ok(())
}

fn gzip(body: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_read_and_a_false_or_unknown_one_refused() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    for way in Way::PLAIN {
        let mut client = stack.connect(way).await?;
        for (path, kind, batch) in [
            ("/api/v1/clicks", JSON, false),
            ("/api/v1/clicks/batch", JSON, true),
            ("/api/v1/clicks/batch", LINES, true),
        ] {
            let click = whole(Uuid::now_v7(), br#""country":"DE""#);
            let body = if kind == JSON && batch { [b"[", &click[..], b"]"].concat() } else { click };
            let bomb = vec![b' '; 5 << 20];
            for (encoding, body, status) in [
                ("gzip", gzip(&body)?, 202),
                ("GZIP", gzip(&body)?, 202),
                ("identity", body.clone(), 202),
                ("gzip", body.clone(), 400),
                ("br", body.clone(), 400),
                ("zstd", body.clone(), 400),
                ("gzip", gzip(&body)?[..20].to_vec(), 400),
                ("gzip", gzip(&bomb)?, 413),
                ("deflate", body.clone(), 415),
                ("gzip, gzip", body.clone(), 415),
            ] {
                let headers = [KEY, kind, ("content-encoding", encoding)];
                let answer = client.send(&format!("POST {path}"), &headers, &body).await?;
                assert_eq!(answer.status, status, "{way:?} {path} {encoding}: {answer:?}");
                let accepts = (status == 415).then_some("gzip, br, zstd");
                assert_eq!(
                    answer.header("accept-encoding"),
                    accepts,
                    "{way:?} {path} {encoding}: {answer:?}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_may_post_and_do_nothing_else() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let origin = ("origin", "https://shop.example");
    let asks = ("access-control-request-method", "POST");
    for way in Way::PLAIN {
        let mut client = stack.connect(way).await?;
        for path in ["/api/v1/clicks", "/api/v1/clicks/batch"] {
            let wanted = ("access-control-request-headers", "content-type,x-api-key");
            let answer = client.send(&format!("OPTIONS {path}"), &[origin, asks, wanted], b"").await?;
            assert_eq!(answer.status, 204, "{answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
            let headers = answer.header("access-control-allow-headers").unwrap_or_default();
            assert!(headers.contains("content-type") && headers.contains("x-api-key"), "{headers}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
        // As `fetch` sends a text, and as it learns what became of it.
        let click = whole(Uuid::now_v7(), br#""country":"DE""#);
        let text = ("content-type", "text/plain;charset=UTF-8");
        for (headers, status) in [(&[origin, text, KEY][..], 202), (&[origin, text], 401)] {
            let answer = client.send("POST /api/v1/clicks", headers, &click).await?;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, Some("*")));
        }
        for path in ["/api/v1/session", "/api/v1/admin/keys", "/api/v1/analytics/aggregate", "/r/ad_001"] {
            for method in ["OPTIONS", "POST", "GET"] {
                let answer = client.send(&format!("{method} {path}"), &[origin, asks], b"").await?;
                assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {path}: {answer:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_pass_over_fields_that_no_click_has() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    for (ignores, statuses) in
        [(json!(null), [400, 400]), (json!(false), [400, 400]), (json!(true), [202, 400])]
    {
        let mut wanted = json!({"name": "a shop", "mode": "live"});
        if !ignores.is_null() {
            wanted["ignores_unknown_fields"] = ignores.clone();
        }
        let (status, issued) = stack
            .as_admin()?
            .connection()
            .post("/api/v1/admin/keys", wanted.to_string().into_bytes())
            .await?;
        assert_eq!(status.as_u16(), 201);
        let issued: Value = serde_json::from_slice(&issued)?;
        assert_eq!(issued["ignores_unknown_fields"], json!(ignores == json!(true)));
        let key = issued["key"].as_str().context("a key")?;
        let headers = format!("x-api-key: {key}\r\ncontent-type: application/json\r\n");
        let misspelt = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "adid": "ad_001"});
        let more = whole(Uuid::now_v7(), br#""price":{"amount":1},"session":"s""#);
        for (body, status) in [more, misspelt.to_string().into_bytes()].iter().zip(statuses) {
            for door in ["", "/batch"] {
                let body = if door.is_empty() { body.clone() } else { [b"[", &body[..], b"]"].concat() };
                let path = format!("/api/v1/clicks{door}");
                let answer = raw::post(stack.server_url(), &path, &headers, &body).await?;
                assert_eq!(answer.status, status, "{ignores} {path}: {answer:?}");
            }
        }
    }
    Ok(())
}

/// The answer tells what the broker remembers, not what the ledger does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_duplicate_tells_what_the_broker_remembers() -> Result<()> {
    let mut stack = Stack::alone().await?;
    stack.set("CLICKWIRE_DUPLICATE_WINDOW_SECONDS", "2");
    let aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let click = whole(Uuid::now_v7(), br#""country":"DE""#);
    let post = async || Door::Single.post(stack.server_url(), &click).await;
    assert_eq!(post().await?.1["is_duplicate"], json!(false));
    assert_eq!(post().await?.1["is_duplicate"], json!(true));
    eventually("the broker has forgotten it", Duration::from_secs(30), async || {
        (post().await.ok()?.1["is_duplicate"] == json!(false)).then_some(())
    })
    .await?;
    eventually("the ledger has not", Duration::from_secs(30), async || {
        (aggregator.metric("clickwire_clicks_known_total").await.ok()? >= 1.0).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, 1);
    Ok(())
}
