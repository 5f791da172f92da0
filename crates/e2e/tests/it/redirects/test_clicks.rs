//! Links that are tried out: one click that is counted as a test, and the ads that a viewer may try.

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, people::Person, raw};
use serde_json::json;
use uuid::Uuid;

use super::{KEY, published, registry::admin, signed, verdict};

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_click_is_counted_as_test_and_says_where_the_link_leads() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_CLICK_ID_KEYS", KEY);
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let ad = json!({"campaign_id": "camp_001", "name": "A banner",
        "target_url": "https://shop.example/{campaign_id}?ad={ad_id}&whose={advertiser_id}&sub={sub1}#{ad_id}"});
    let (status, answer) = admin(&stack.as_admin()?, "PUT", "ads/ad_001", &ad).await?;
    ensure!(status == 200, "{answer}");
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let request = "POST /api/v1/ads/ad_001/test-click";
    let answer = raw::send(stack.server_url(), request, &viewer, b"").await?;
    ensure!(answer.status == 202, "{answer:?}");
    let id: Uuid = answer.body["click_id"].as_str().context("no id")?.parse()?;
    assert_eq!(answer.body["advertiser_id"], "adv_001");
    let expected = format!(
        "https://shop.example/camp_001?ad=ad_001&whose=adv_001&sub=&cw_click_id={}#ad_001",
        signed(KEY, id, "ad_001")?
    );
    assert_eq!(answer.body["location"], expected);
    assert_eq!(published(&stack).await?, 1, "it is on the stream before the answer");
    assert_eq!(verdict(&stack, id).await?, ("test".to_owned(), None));
    let billed: Option<i64> =
        sqlx::query_scalar("SELECT sum(valid + givt + sivt + duplicate)::bigint FROM click_minutes")
            .fetch_one(stack.database())
            .await?;
    assert_eq!(billed, Some(0), "on no bill");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_tried_by_those_who_see_its_advertiser_from_our_own_pages_and_not_without_end() -> Result<()>
{
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url().to_owned();
    let try_out = async |ad_id: &str, headers: &str| -> Result<u16> {
        let request = format!("POST /api/v1/ads/{ad_id}/test-click");
        Ok(raw::send(&url, &request, headers, b"").await?.status)
    };
    let foreign: String = sqlx::query_scalar(
        "SELECT ad_id FROM ads JOIN campaigns USING (campaign_id) WHERE advertiser_id = 'adv_002' LIMIT 1",
    )
    .fetch_one(stack.database())
    .await?;
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let admin = bearer(stack.as_admin()?.token());
    for (ad_id, headers, expected) in [
        ("ad_001", viewer.as_str(), 202),
        // The same for an ad of somebody else's as for none.
        (foreign.as_str(), viewer.as_str(), 404),
        ("nowhere", viewer.as_str(), 404),
        ("not%20an%20id", viewer.as_str(), 404),
        (foreign.as_str(), admin.as_str(), 202),
        ("ad_001", "", 401),
        ("ad_001", &bearer(Stack::ingest_key()), 401),
    ] {
        ensure!(try_out(ad_id, headers).await? == expected, "{ad_id} {headers}");
    }
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(&url, "anna", &password).await?;
    ensure!(try_out("ad_001", &anna.headers()).await? == 202);
    let cookie = format!("cookie: {}\r\n", anna.cookie);
    ensure!(try_out("ad_001", &cookie).await? == 403, "nobody says which page has sent it");
    ensure!(try_out("ad_001", &format!("{cookie}origin: https://evil.example\r\n")).await? == 403);
    // One caller's allowance is used up, and nobody else's.
    let mut last = 202;
    for _ in 0..60 {
        last = try_out("ad_001", &viewer).await?;
        if last != 202 {
            break;
        }
    }
    ensure!(last == 429, "{last}");
    ensure!(try_out("ad_001", &anna.headers()).await? == 202);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ads_are_listed_searched_and_paged_for_those_who_see_their_advertiser() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let administrator = stack.as_admin()?;
    for (ad_id, name) in [("ad_search_1", "Läufer 50%"), ("ad_search_2", "Another_one")] {
        let ad = json!({"campaign_id": "camp_001", "name": name, "target_url": "https://shop.example/"});
        let (status, answer) = admin(&administrator, "PUT", &format!("ads/{ad_id}"), &ad).await?;
        ensure!(status == 200, "{answer}");
    }
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let list = async |query: &str| -> Result<(Vec<String>, Option<String>)> {
        let answer = raw::send(stack.server_url(), &format!("GET /api/v1/ads?{query}"), &viewer, b"").await?;
        ensure!(answer.status == 200, "{query}: {answer:?}");
        let rows = answer.body["data"].as_array().context("no rows")?.iter();
        let ids = rows.filter_map(|row| row["ad_id"].as_str().map(str::to_owned)).collect();
        Ok((ids, answer.body["next"].as_str().map(str::to_owned)))
    };
    let (all, _) = list("").await?;
    let own: Vec<String> = sqlx::query_scalar(
        "SELECT ad_id FROM ads JOIN campaigns USING (campaign_id) WHERE advertiser_id = 'adv_001' ORDER BY ad_id",
    )
    .fetch_all(stack.database())
    .await?;
    assert_eq!(all, own);
    for (query, expected) in [
        ("search=l%C3%84UFER", vec!["ad_search_1"]),
        // Not patterns, but text.
        ("search=50%25", vec!["ad_search_1"]),
        ("search=another_", vec!["ad_search_2"]),
        ("search=%25", vec!["ad_search_1"]),
        ("search=nothing+of+the+kind", vec![]),
        ("ad_id=ad_search_2", vec!["ad_search_2"]),
        ("ad_id=ad_search_2&campaign_id=camp_404", vec![]),
    ] {
        assert_eq!(list(query).await?.0, expected, "{query}");
    }
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let (rows, next) = list(&format!("limit=1{after}")).await?;
        ensure!(rows.len() == 1, "{rows:?}");
        paged.extend(rows);
        match next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    Ok(())
}
