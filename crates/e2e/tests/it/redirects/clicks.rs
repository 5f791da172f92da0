//! Clicks on links, and what is made of the ids that come back.

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually};
use clickwire_process::now_ms;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::{Builder, Uuid};

use super::{KEY, PATIENCE, PERSON, ask, click, post, published, signed, verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_is_sent_on_with_an_id_that_counts_once() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_CLICK_ID_KEYS", KEY);
    let server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let answer = click(&stack, "ad_001").await?;
    let (before, id) = answer.target()?;
    assert_eq!((answer.status, before), (302, "https://example.com/1/0?"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("referrer-policy"), "strict-origin-when-cross-origin");
    let uuid = answer.click_id()?;
    assert_eq!(id, signed(KEY, uuid, "ad_001")?);
    assert_eq!(published(&stack).await?, 1, "it is on the stream before the answer");
    assert_eq!(verdict(&stack, uuid).await?, ("valid".to_owned(), None));
    let (advertiser, campaign, clicked_at): (String, String, OffsetDateTime) =
        sqlx::query_as("SELECT advertiser_id, campaign_id, clicked_at FROM clicks")
            .fetch_one(stack.database())
            .await?;
    assert_eq!((advertiser.as_str(), campaign.as_str()), ("adv_001", "camp_001"));
    let inside = (uuid.as_u128() >> 80) as i128;
    assert_eq!(clicked_at.unix_timestamp_nanos() / 1_000_000, inside, "the time in the id");

    // The landing page reports the same click; the broker knows it, and without it the ledger does.
    let known = post(&stack, id, "ad_001", &json!({})).await?;
    assert_eq!((&known["click_id"], &known["is_duplicate"]), (&json!(uuid), &json!(true)));
    let again = click(&stack, "ad_001").await?.click_id()?;
    assert_ne!(again, uuid);
    assert_eq!(verdict(&stack, again).await?.0, "valid");
    assert_eq!(stack.ledger().await?, 2);
    assert_eq!(server.metric(r#"clickwire_redirects_total{outcome="redirected"}"#).await?, 2.0);
    assert_eq!(server.metric(r#"clickwire_ad_lookups_total{from="database"}"#).await?, 1.0);
    assert_eq!(server.metric(r#"clickwire_ad_lookups_total{from="cache"}"#).await?, 1.0);
    Ok(())
}

/// A poster's time would lead past the click that the redirect has counted long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_comes_back_late_with_another_time_counts_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_CLICK_ID_KEYS", KEY);
    stack.set("CLICKWIRE_CLICK_ID_HOURS", "72");
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let clicked_at_ms = now_ms() - 60 * 3_600_000;
    let id = Builder::from_unix_timestamp_millis(clicked_at_ms as u64, &[9; 10]).into_uuid();
    let redirected = json!({"click_id": id, "advertiser_id": "adv_001", "campaign_id": "camp_001",
        "ad_id": "ad_001", "country": "DE", "device_type": "mobile", "clicked_at_ms": clicked_at_ms,
        "received_at_ms": clicked_at_ms, "user_agent": PERSON});
    stack.publish(&[serde_json::from_value(redirected)?]).await?;
    assert_eq!(verdict(&stack, id).await?.0, "valid");
    let now = json!({"clicked_at": OffsetDateTime::now_utc().format(&Rfc3339)?});
    post(&stack, &signed(KEY, id, "ad_001")?, "ad_001", &now).await?;
    eventually("the post has been looked at", PATIENCE, async || {
        let known = aggregator.metric("clickwire_clicks_known_total").await.ok()?;
        (known == 1.0 || stack.ledger().await.ok()? > 1).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_ids_are_sophisticated_and_expired_ones_defective() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_CLICK_ID_KEYS", &format!("{KEY},the-key-before-that"));
    stack.set("CLICKWIRE_CLICK_ID_HOURS", "2");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let minted = |hours_ago: i64, number: u8| {
        Builder::from_unix_timestamp_millis((now_ms() - hours_ago * 3_600_000) as u64, &[number; 10])
            .into_uuid()
    };
    let plain = minted(3, 8);
    let real = click(&stack, "ad_001").await?;
    let (_, id) = real.target()?;
    let now = json!({"clicked_at": OffsetDateTime::now_utc().format(&Rfc3339)?});
    let made_up = format!("{}.{}", minted(0, 1), "A".repeat(22));
    let forged = ("sivt", Some("forged_click_id"));
    for (what, id, ad_id, more, expected) in [
        ("another signature", made_up, "ad_001", &json!({}), forged),
        ("one character of a real one", id[..id.len() - 2].to_owned() + "AA", "ad_001", &json!({}), forged),
        ("part of a real one", id[..id.len() - 4].to_owned(), "ad_001", &json!({}), forged),
        ("a real one for another ad", id.to_owned(), "ad_002", &json!({}), forged),
        (
            "a key that is not ours",
            signed("not-our-key-at-all", minted(0, 2), "ad_001")?,
            "ad_001",
            &now,
            forged,
        ),
        ("a random id", signed(KEY, Uuid::new_v4(), "ad_001")?, "ad_001", &now, forged),
        ("expired", signed(KEY, minted(3, 3), "ad_001")?, "ad_001", &now, ("defective", Some("expired"))),
        (
            "expired, by its own time",
            signed(KEY, minted(3, 4), "ad_001")?,
            "ad_001",
            &json!({}),
            ("defective", Some("expired")),
        ),
        (
            "too late for everything",
            signed(KEY, minted(30, 5), "ad_001")?,
            "ad_001",
            &json!({}),
            ("defective", Some("too_late")),
        ),
        ("not expired yet", signed(KEY, minted(1, 6), "ad_001")?, "ad_001", &json!({}), ("valid", None)),
        (
            "the key before",
            signed("the-key-before-that", minted(0, 7), "ad_001")?,
            "ad_001",
            &json!({}),
            ("valid", None),
        ),
        ("a plain UUID", plain.to_string(), "ad_001", &json!({}), ("valid", None)),
    ] {
        let answer = post(&stack, &id, ad_id, more).await?;
        assert_eq!(answer["is_fraudulent"], false, "{what}: no oracle");
        let counted: Uuid = answer["click_id"].as_str().context("click_id")?.parse()?;
        let (disposition, rule) = verdict(&stack, counted).await?;
        assert_eq!((disposition.as_str(), rule.as_deref()), expected, "{what}");
    }
    let (disposition, _) = verdict(&stack, real.click_id()?).await?;
    assert_eq!(disposition, "valid", "whose id was forged is what it was");

    // A forgery that is sent again is the same, and so is an expired id whose click is known.
    let before = stack.ledger().await?;
    post(&stack, id, "ad_002", &json!({})).await?;
    post(&stack, &signed(KEY, plain, "ad_001")?, "ad_001", &now).await?;
    let last = click(&stack, "ad_001").await?.click_id()?;
    verdict(&stack, last).await?;
    assert_eq!(stack.ledger().await?, before + 1);
    Ok(())
}

/// A request that only fetches is sent on like every other, and nobody pays for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefetches_previews_and_head_are_sent_on_and_not_billed() -> Result<()> {
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    for (method, headers, rule) in [
        ("HEAD", "", "prefetch"),
        ("GET", "Sec-Purpose: prefetch\r\n", "prefetch"),
        ("GET", "Sec-Purpose: prefetch;prerender\r\n", "prefetch"),
        ("GET", "Purpose: prefetch\r\n", "prefetch"),
        ("GET", "X-Moz: prefetch\r\n", "prefetch"),
        ("GET", "X-Purpose: preview\r\n", "prefetch"),
        ("GET", "user-agent: WhatsApp/2.23.20.0 A\r\n", "user_agent"),
        ("GET", "user-agent: Slack-ImgProxy (+https://api.slack.com/robots)\r\n", "user_agent"),
        ("GET", "user-agent: facebookexternalhit/1.1\r\nPurpose: prefetch\r\n", "user_agent"),
        ("GET", "user-agent:\r\n", "user_agent"),
    ] {
        let answer = ask(stack.server_url(), method, "/r/ad_003", headers).await?;
        assert_eq!(answer.status, 302, "{method} {headers}");
        let judged = verdict(&stack, answer.click_id()?).await?;
        assert_eq!(judged, ("givt".to_owned(), Some(rule.to_owned())), "{method} {headers}");
    }
    assert_eq!(server.metric(r#"clickwire_redirects_total{outcome="prefetched"}"#).await?, 7.0);
    Ok(())
}

/// No visitor is kept from the advertiser, but clicks of one address beyond its allowance are no load for
/// anybody, nor are they billed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_allowance_an_address_is_sent_on_and_not_counted() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ADDRESS_RATE", "1");
    stack.set("CLICKWIRE_ADDRESS_BURST", "2");
    let server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut uncounted = 0;
    // The allowance grows while we ask, so not every one of them is beyond it.
    while uncounted < 3 {
        let answer = click(&stack, "ad_001").await?;
        assert_eq!(answer.status, 302);
        let location = answer.header("location");
        if location.contains("cw_click_id=") {
            continue;
        }
        assert_eq!(location, "https://example.com/1/0");
        uncounted += 1;
        // This one would have to be looked up.
        let unknown = click(&stack, &format!("ad_{:03}", 1 + uncounted)).await?;
        if unknown.status != 302 {
            assert_eq!(unknown.status, 429);
            assert_ne!(unknown.header("retry-after"), "");
        }
    }
    let redirected = server.metric(r#"clickwire_redirects_total{outcome="redirected"}"#).await?;
    assert_eq!(server.metric(r#"clickwire_redirects_total{outcome="uncounted"}"#).await?, 3.0);
    assert_eq!(published(&stack).await? as f64, redirected);
    Ok(())
}
