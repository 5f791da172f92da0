//! Ads that are registered and changed, and links that lead nowhere.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{ask, published};

/// A change is followed so soon.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn admin(server: &Server, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
    let (path, mut connection) = (format!("/api/v1/admin/{path}"), server.connection());
    let (status, answer) = match method {
        "PUT" => connection.put(&path, body.to_string().into_bytes()).await?,
        _ => connection.get(&path).await?,
    };
    Ok((status.as_u16(), serde_json::from_slice(&answer).unwrap_or(Value::Null)))
}

async fn location(server_url: &str, ad_id: &str) -> Result<String> {
    Ok(ask(server_url, "GET", &format!("/r/{ad_id}"), "").await?.header("location").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_followed_at_once_by_every_server() -> Result<()> {
    changes_are_followed(&mut Stack::new().await?).await
}

/// With two servers of its own, and an aggregator.
pub(crate) async fn changes_are_followed(stack: &mut Stack) -> Result<()> {
    let _aggregator = stack.start_aggregator().await?;
    let _one = stack.start_server().await?;
    let one = stack.server_url().to_owned();
    let _other = stack.start_server().await?;
    let other = stack.server_url().to_owned();
    let administrator = stack.as_admin()?;
    let follows = async |what: &str, ad_id: &str, begins: &str| {
        eventually(what, FOLLOWED_WITHIN, async || {
            let both = [location(&one, ad_id).await.ok()?, location(&other, ad_id).await.ok()?];
            both.iter().all(|location| location.starts_with(begins)).then_some(())
        })
        .await
    };
    follows("known to both", "ad_001", "https://example.com/1/0?cw_click_id=").await?;
    assert_eq!(location(&one, "ad_new").await?, "", "known not to be there");

    let ad = |target: &str| json!({"campaign_id": "camp_001", "name": "A banner", "target_url": target});
    for (ad_id, target) in [
        ("ad_001", "https://shop.example/boots?size=42#top"),
        ("ad_new", "http://shop.example:8080/"),
        ("ad_new", "https://shop.example/new"),
    ] {
        let (status, registered) = admin(&administrator, "PUT", &format!("ads/{ad_id}"), &ad(target)).await?;
        assert_eq!((status, registered["target_url"].as_str()), (200, Some(target)), "{registered}");
        assert_eq!(registered["advertiser_id"], "adv_001");
        let begins = target.split('#').next().unwrap_or_default();
        follows("the new target", ad_id, begins).await?;
    }
    assert!(location(&one, "ad_001").await?.ends_with("#top"));
    let (_, shown) = admin(&administrator, "GET", "ads/ad_new", &Value::Null).await?;
    assert_eq!(shown["target_url"], "https://shop.example/new");

    let template = json!({"name": "A shop", "click_id_template": "src=cw&sub={ad_id}&cid={click_id}"});
    let (status, changed) = admin(&administrator, "PUT", "advertisers/adv_001", &template).await?;
    assert_eq!((status, &changed["click_id_template"]), (200, &template["click_id_template"]));
    follows("the new template", "ad_001", "https://shop.example/boots?size=42&src=cw&sub=ad_001&cid=")
        .await?;
    follows("of every ad", "ad_002", "https://example.com/1/1?src=cw&sub=ad_002&cid=").await?;
    let (_, shown) = admin(&administrator, "GET", "advertisers/adv_001", &Value::Null).await?;
    assert_eq!(shown, changed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_web_pages_can_be_registered_and_only_by_administrators() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let administrator = stack.as_admin()?;
    let good = json!({"campaign_id": "camp_001", "name": "A banner", "target_url": "https://example.org/"});
    let with = |field: &str, value: &str| {
        let mut body = good.clone();
        body[field] = value.into();
        body
    };
    for (server, path, body, expected, field) in [
        (stack.as_viewer("adv_001")?, "ads/ad_001", good.clone(), 403, ""),
        (Server::new(stack.server_url(), "nobody")?, "ads/ad_001", good.clone(), 401, ""),
        (administrator.clone(), "ads/ad%20001", good.clone(), 400, "ad_id"),
        (administrator.clone(), "ads/ad_001", with("campaign_id", "camp_404"), 400, "campaign_id"),
        (administrator.clone(), "ads/ad_001", with("name", " "), 400, "name"),
        (administrator.clone(), "ads/ad_001", with("name", "a\u{0}b"), 400, "name"),
        (administrator.clone(), "ads/ad_001", with("target_url", "javascript:alert(1)"), 400, "target_url"),
        (
            administrator.clone(),
            "ads/ad_001",
            with("target_url", "https://u:p@example.org/"),
            400,
            "target_url",
        ),
        (administrator.clone(), "ads/ad_001", with("target_url", "//example.org/"), 400, "target_url"),
        (administrator.clone(), "ads/ad_001", json!({"name": "x"}), 400, ""),
        (
            administrator.clone(),
            "advertisers/adv_001",
            json!({"name": "A shop", "click_id_template": "a=b#{click_id}"}),
            400,
            "click_id_template",
        ),
        (administrator.clone(), "advertisers/adv_001", json!({"name": ""}), 400, "name"),
        (
            administrator.clone(),
            "campaigns/camp_404",
            json!({"advertiser_id": "adv_404", "name": "x"}),
            400,
            "advertiser_id",
        ),
        (
            administrator.clone(),
            "campaigns/camp_001",
            json!({"advertiser_id": "adv_002", "name": "x"}),
            409,
            "",
        ),
    ] {
        let (status, answer) = admin(&server, "PUT", path, &body).await?;
        assert_eq!(status, expected, "{path} {body}: {answer}");
        if !field.is_empty() {
            let errors =
                answer["error"]["fieldErrors"].as_object().map(|errors| errors.keys().collect::<Vec<_>>());
            assert_eq!(errors, Some(vec![&field.to_owned()]), "{path} {body}: {answer}");
        }
    }
    assert_eq!(admin(&stack.as_viewer("adv_001")?, "GET", "ads/ad_001", &Value::Null).await?.0, 403);
    assert_eq!(admin(&administrator, "GET", "ads/ad_404", &Value::Null).await?.0, 404);
    let (_, shown) = admin(&administrator, "GET", "ads/ad_001", &Value::Null).await?;
    assert_eq!(shown["target_url"], "https://example.com/1/0", "what was refused has changed nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_ad_leads_nowhere_and_leaves_nothing_behind() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let nothing = ask(stack.server_url(), "GET", "/r/nothing", "").await?;
    assert_eq!((nothing.status, nothing.header("content-type")), (404, "text/html; charset=utf-8"));
    assert_eq!(nothing.header("cache-control"), "no-store");
    assert!(nothing.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(nothing.body.contains("<h1>This link leads nowhere</h1>"), "{}", nothing.body);
    assert_eq!(ask(stack.server_url(), "POST", "/r/ad_001", "content-length: 0\r\n").await?.status, 405);

    let mut paths: Vec<String> = [
        "",
        "%00",
        "%ff",
        "%",
        "%2",
        "%zz",
        "a%2Fb",
        "..%2f..",
        "%2e%2e",
        "ad_001%00x",
        "ad_001%20x",
        "ad_001/x",
        "ad_001%0d%0aset-cookie:a=b",
        "https:%2F%2Fevil.example",
        "//evil.example",
        "'%3B--",
        "%E4%BD%A0%E5%A5%BD",
        "\u{4f60}",
        "a\u{1}b",
        "a\u{7f}b",
        "AD_001",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([65, 5_000, 60_000].map(|length| "a".repeat(length)));
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..200 {
        let mut path = String::new();
        for _ in 0..random.random_range(1..80) {
            // As it is, or encoded; bytes that end a request line only encoded.
            let byte: u8 = random.random();
            if byte.is_ascii_graphic() && byte != b'?' && random.random_bool(0.7) {
                path.push(char::from(byte));
            } else {
                write!(path, "%{byte:02x}")?;
            }
        }
        paths.push(path);
    }
    for path in &paths {
        let answer = ask(stack.server_url(), "GET", &format!("/r/{path}"), "").await?;
        assert!(matches!(answer.status, 400 | 404 | 414 | 431), "{}: {path:.80}", answer.status);
        assert_eq!(answer.header("location"), "", "{path}");
    }
    assert_eq!(published(&stack).await?, 0);
    assert_eq!(server.metric(r#"clickwire_redirects_total{outcome="redirected"}"#).await?, 0.0);
    Ok(())
}
