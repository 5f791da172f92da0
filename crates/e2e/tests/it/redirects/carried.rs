//! Parameters that a link carries on to the advertiser, and those that stay with the click.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually};
use serde_json::{Value, json};

use super::{PATIENCE, ask, registry::admin, verdict};

/// Follows a link until it leads where it should: a change is followed within a moment.
async fn leads(stack: &Stack, path: &str, expected: &str) -> Result<()> {
    eventually(&format!("{path} leads to {expected}"), PATIENCE, async || {
        let answer = ask(stack.server_url(), "GET", path, "").await.ok()?;
        let location = answer.header("location");
        let (before, id) = location.split_once("cw_click_id=").unwrap_or((location, ""));
        let after = id.split_once('&').map_or_else(
            || id.split_once('#').map_or(String::new(), |(_, fragment)| format!("#{fragment}")),
            |(_, rest)| format!("&{rest}"),
        );
        (format!("{before}ID{after}") == expected).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_goes_on_and_what_names_the_click_stays_with_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let administrator = stack.as_admin()?;
    let ad = json!({"campaign_id": "camp_001", "name": "A", "target_url": "https://example.com/lp?a=1#top"});
    assert_eq!(admin(&administrator, "PUT", "ads/ad_new", &ad).await?.0, 200);
    let query = "gclid=TeSter-123&utm_source=google&sub1=pub_42&email=a%40b&a=2&cw_click_id=theirs";
    leads(
        &stack,
        &format!("/r/ad_new?{query}"),
        "https://example.com/lp?a=1&ID&gclid=TeSter-123&utm_source=google&sub1=pub_42&email=a%40b#top",
    )
    .await?;
    let referrer = "referer: https://user@news.example/story?reader=anna#part\r\n";
    let answer = ask(stack.server_url(), "GET", &format!("/r/ad_new?{query}"), referrer).await?;
    let id = answer.click_id()?;
    assert_eq!(verdict(&stack, id).await?.0, "valid");
    let (status, shown) = admin(&administrator, "GET", &format!("clicks/{id}"), &Value::Null).await?;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["params"], json!({"gclid": "TeSter-123", "utm_source": "google", "sub1": "pub_42"}));
    assert_eq!(shown["referrer"], "https://news.example/story");
    // Nothing takes no room.
    let plain = ask(stack.server_url(), "GET", "/r/ad_new", "").await?.click_id()?;
    verdict(&stack, plain).await?;
    let empty: (bool, bool) =
        sqlx::query_as("SELECT params IS NULL, referrer IS NULL FROM clicks WHERE click_id = $1")
            .bind(plain)
            .fetch_one(stack.database())
            .await?;
    assert_eq!(empty, (true, true));

    let template = |forwarded: &[&str]| json!({"name": "A shop", "forwarded_params": forwarded});
    for (forwarded, expected) in [
        (&["gclid", "utm_*"][..], "https://example.com/lp?a=1&ID&gclid=TeSter-123&utm_source=google#top"),
        (&[], "https://example.com/lp?a=1&ID#top"),
        (
            &["*"],
            "https://example.com/lp?a=1&ID&gclid=TeSter-123&utm_source=google&sub1=pub_42&email=a%40b#top",
        ),
    ] {
        let (status, put) = admin(&administrator, "PUT", "advertisers/adv_001", &template(forwarded)).await?;
        assert_eq!((status, &put["forwarded_params"]), (200, &json!(forwarded)));
        leads(&stack, &format!("/r/ad_new?{query}"), expected).await?;
    }
    let (status, refused) = admin(&administrator, "PUT", "advertisers/adv_001", &template(&["a b"])).await?;
    assert_eq!((status, refused["error"]["fieldErrors"]["forwarded_params"].is_array()), (400, true));
    Ok(())
}

/// Posted clicks keep both, too: few, which the ledger inserts, and as many at once as it stores by COPY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posted_clicks_keep_where_they_came_from() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    let click = |number: usize| {
        json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001", "user_id": number,
            "fbclid": "Iw\u{e9}", "sub10": number, "referrer": "https://news.example/?q"})
    };
    let post = async |numbers: Range<usize>| {
        let body = numbers.map(click).collect::<Value>().to_string().into_bytes();
        anyhow::Ok(stack.poster()?.post("/api/v1/clicks/batch", body).await?.0.as_u16())
    };
    let all_are_kept = async |clicks: i64| {
        let count = "SELECT count(*) FROM clicks WHERE params = jsonb_build_object('fbclid', 'Iwé', 'sub10', user_id) \
                     AND referrer = 'https://news.example/'";
        eventually("all of them are kept", PATIENCE, async || {
            let kept: i64 = sqlx::query_scalar(count).fetch_one(stack.database()).await.ok()?;
            (kept == clicks).then_some(())
        })
        .await
    };
    assert_eq!(post(0..100).await?, 202);
    all_are_kept(100).await?;
    aggregator.kill().await?;
    for thousand in 1..=3 {
        assert_eq!(post(thousand * 1_000..(thousand + 1) * 1_000).await?, 202);
    }
    let _aggregator = stack.start_aggregator().await?;
    all_are_kept(3_100).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn macros_are_filled_in_and_unknown_ones_refused() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let administrator = stack.as_admin()?;
    let ad = |target: &str| json!({"campaign_id": "camp_001", "name": "A", "target_url": target});
    let target =
        "https://app.example/{ad_id}/lp?c={campaign_id}.{advertiser_id}&g={gclid}&d={device_type}#{sub1}";
    let (status, put) = admin(&administrator, "PUT", "ads/ad_macro", &ad(target)).await?;
    assert_eq!((status, put["target_url"].as_str()), (200, Some(target)), "{put}");
    leads(
        &stack,
        "/r/ad_macro?sub1=a%2Fb%23c&g=x",
        "https://app.example/ad_macro/lp?c=camp_001.adv_001&g=&d=desktop&ID&sub1=a%2Fb%23c#a%2Fb%23c",
    )
    .await?;
    for target in
        ["https://app.example/?p={price}", "https://app.example/{clickid}", "https://app.example/?a={"]
    {
        let (status, refused) = admin(&administrator, "PUT", "ads/ad_macro", &ad(target)).await?;
        assert_eq!(
            (status, refused["error"]["fieldErrors"]["target_url"].is_array()),
            (400, true),
            "{target}"
        );
    }
    let template = json!({"name": "A shop", "click_id_template": "t={price}"});
    let (status, refused) = admin(&administrator, "PUT", "advertisers/adv_001", &template).await?;
    assert_eq!((status, refused["error"]["fieldErrors"]["click_id_template"].is_array()), (400, true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transparent_tracker_leads_to_registered_hosts_only() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let administrator = stack.as_admin()?;
    let followed = "/r/ad_001?force_transparent=true&url=https%3A%2F%2Fexample.com%2Fother%3Fx%3D1&gclid=1";
    leads(&stack, followed, "https://example.com/other?x=1&ID&gclid=1").await?;
    let other = "/r/ad_001?lpurl=https%3A%2F%2Fshop.example%2Fother";
    leads(&stack, other, "https://example.com/1/0?ID&lpurl=https%3A%2F%2Fshop.example%2Fother").await?;
    for url in ["https%3A%2F%2Fexample.com%40evil.example%2F", "%2F%2Fevil.example", "javascript%3Aalert(1)"]
    {
        let answer = ask(stack.server_url(), "GET", &format!("/r/ad_001?url={url}"), "").await?;
        assert!(answer.header("location").starts_with("https://example.com/1/0?"), "{url}");
    }
    let ad = |hosts: &[&str]| json!({"campaign_id": "camp_001", "name": "A", "target_url": "https://example.com/1/0", "landing_hosts": hosts});
    let (status, put) = admin(&administrator, "PUT", "ads/ad_001", &ad(&["shop.example"])).await?;
    assert_eq!((status, &put["landing_hosts"]), (200, &json!(["shop.example"])));
    leads(&stack, other, "https://shop.example/other?ID").await?;
    let own = "/r/ad_001?url=https%3A%2F%2Fexample.com%2Fother";
    leads(&stack, own, "https://example.com/1/0?ID&url=https%3A%2F%2Fexample.com%2Fother").await?;
    let (status, refused) =
        admin(&administrator, "PUT", "ads/ad_001", &ad(&["https://shop.example"])).await?;
    assert_eq!((status, refused["error"]["fieldErrors"]["landing_hosts"].is_array()), (400, true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_found_however_it_was_copied() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    for path in [
        "/r/ad_001",
        "/r/ad_001/",
        "/r/ad_001.",
        "/r/ad_001)",
        "/r/ad_001%29.",
        "/r/ad_001%2F",
        "/r/ad_001%20",
        "//r/ad_001",
        "/r//ad_001//",
        "/r/ad%5F001",
        "/r/%E2%80%9Cad_001%E2%80%9D",
        "/r/ad_001/?gclid=1",
    ] {
        let answer = ask(stack.server_url(), "GET", path, "").await?;
        assert_eq!(answer.status, 302, "{path}: {}", answer.body);
        assert!(answer.header("location").starts_with("https://example.com/1/0?cw_click_id="), "{path}");
    }
    let counted: BTreeMap<String, i64> = eventually("all are clicks on one ad", PATIENCE, async || {
        let rows =
            sqlx::query_as("SELECT ad_id, count(*) FROM clicks GROUP BY 1").fetch_all(stack.database());
        let rows: BTreeMap<String, i64> = rows.await.ok()?.into_iter().collect();
        (rows.values().sum::<i64>() == 12).then_some(rows)
    })
    .await?;
    assert_eq!(counted.keys().collect::<Vec<_>>(), ["ad_001"]);

    // Who finds nothing sees a page; a program is told as programs are, where it was no link.
    let html = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for (path, headers, kind) in [
        ("/r/nowhere", "", "text/html"),
        ("/r/nowhere/", "", "text/html"),
        ("//r/nowhere", html, "text/html"),
        ("/r/", "", "text/html"),
        ("/r/%ff/", "", "text/html"),
        ("/nowhere", html, "text/html"),
        ("/nowhere", "", "application/json"),
        ("/nowhere", "accept: application/json\r\n", "application/json"),
    ] {
        let answer = ask(stack.server_url(), "GET", path, headers).await?;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.header("content-type").starts_with(kind), "{path}: {:?}", answer.headers);
    }
    ask(stack.server_url(), "GET", "/livez", "").await.context("it goes on")?;
    Ok(())
}
