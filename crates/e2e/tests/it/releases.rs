//! Administrators release what a rule convicted wrongly: one click, or all that a search finds.

use anyhow::{Context as _, Result};
use clickwire_client::Watch;
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use clickwire_protocol::{
    click::Click,
    feed::Keys,
    ids::{AdId, AdvertiserId},
    stream::DEFAULT_PARTITIONS,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::rules::{PATIENCE, ask, burst, judged};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_click_is_valid_on_screens_and_stays_so() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let admin = stack.as_admin()?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    let clicks = burst(1, 101);
    assert_eq!(judged(&stack, &clicks).await?.0, "sivt");
    let click = format!("clicks/{}", clicks[0].click_id);
    let release = format!("{click}/release");
    let order = json!({"reason": "a call centre"});
    for (server, path, body, expected) in [
        (stack.as_viewer("adv_001")?, &release, &order, 403),
        (stack.as_admin()?, &format!("clicks/{}/release", Uuid::new_v4()), &order, 404),
        (stack.as_admin()?, &release, &json!({"reason": ""}), 400),
    ] {
        assert_eq!(ask(&server, "POST", path, body).await?.0, expected, "{path} {body}");
    }
    // The second time only tells screens again.
    for _ in 0..2 {
        let (status, released) = ask(&admin, "POST", &release, &order).await?;
        assert_eq!((status, released["disposition"].as_str()), (200, Some("valid")), "{released}");
        let adjustments = released["adjustments"].as_array().context("adjustments")?;
        let last = adjustments.last().context("no adjustment")?;
        assert_eq!((last["actor"].as_str(), last["reason"].as_str()), (Some("admin"), Some("a call centre")));
        assert_eq!(adjustments.iter().filter(|adjustment| adjustment["actor"] == "admin").count(), 1);
    }
    // More of the same burst convicts it no more.
    assert_eq!(judged(&stack, &burst(1, 20)).await?.0, "sivt");
    let shown = tokio::time::timeout(PATIENCE, async {
        while (dashboard.state().total().valid, dashboard.state().total().sivt) != (1, 120) {
            dashboard.update().await?;
        }
        anyhow::Ok(())
    })
    .await;
    shown.with_context(|| format!("shown: {:?}", dashboard.state().total()))??;
    let (status, kept) = ask(&admin, "GET", &click, &Value::Null).await?;
    assert_eq!(
        (status, kept["released"].as_bool(), kept["evidence"][0].as_str()),
        (200, Some(true), Some("ip_velocity"))
    );

    let valid = burst(2, 1);
    assert_eq!(judged(&stack, &valid).await?.0, "valid");
    let release = format!("clicks/{}/release", valid[0].click_id);
    assert_eq!(ask(&admin, "POST", &release, &order).await?.0, 409, "nothing to release");

    // Hours and days of that time are not refreshed any more: minutes alone must not change.
    let old = Uuid::new_v4();
    sqlx::query(
        "INSERT INTO clicks SELECT (jsonb_populate_record(c, jsonb_build_object('click_id', $2, \
             'clicked_at', c.clicked_at - INTERVAL '9 days'))).* FROM clicks c WHERE click_id = $1",
    )
    .bind(clicks[1].click_id)
    .bind(old)
    .execute(stack.database())
    .await?;
    let (status, refused) = ask(&admin, "POST", &format!("clicks/{old}/release"), &order).await?;
    assert_eq!(status, 409, "{refused}");
    Ok(())
}

/// Ids are names within an advertiser, and one may come back after days: a release is about one row, is counted
/// as a correction, and stands in the audit log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_about_one_click_of_those_with_its_id() -> Result<()> {
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let admin = stack.as_admin()?;
    let clicks = burst(1, 101);
    let others = clicks
        .iter()
        .map(|click| Click { advertiser_id: AdvertiserId::unchecked("adv_002"), ..click.clone() });
    stack.publish(&clicks.iter().cloned().chain(others).collect::<Vec<_>>()).await?;
    let id = clicks[0].click_id;
    eventually("both advertisers' clicks are convicted", PATIENCE, async || {
        let convicted = "SELECT count(*) FROM clicks WHERE disposition = 'sivt'";
        let convicted: i64 = sqlx::query_scalar(convicted).fetch_one(stack.database()).await.ok()?;
        (convicted == 202).then_some(())
    })
    .await?;
    // The id has come back after three days.
    sqlx::raw_sql(
        "INSERT INTO clicks SELECT (jsonb_populate_record(c, jsonb_build_object('clicked_at', c.clicked_at - INTERVAL '3 days'))).* \
           FROM clicks c WHERE advertiser_id = 'adv_001' ORDER BY clicked_at, click_id LIMIT 1; \
         INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, sivt) \
         SELECT date_trunc('minute', clicked_at), advertiser_id, campaign_id, ad_id, country, device_type, 1 FROM clicks \
          WHERE clicked_at < now() - INTERVAL '1 day'",
    )
    .execute(stack.database())
    .await?;
    let earlier: OffsetDateTime =
        sqlx::query_scalar("SELECT min(clicked_at) FROM clicks WHERE click_id = $1")
            .bind(id)
            .fetch_one(stack.database())
            .await?;
    eventually("minutes become final", PATIENCE, async || {
        let watermarks: i64 =
            sqlx::query_scalar("SELECT count(*) FROM watermarks").fetch_one(stack.database()).await.ok()?;
        (watermarks == i64::from(DEFAULT_PARTITIONS)).then_some(())
    })
    .await?;

    let (click, order) = (format!("clicks/{id}"), json!({"reason": "a call centre"}));
    let one = format!("advertiser_id=adv_001&clicked_at={}", earlier.format(&Rfc3339)?);
    for (query, expected) in [
        ("", 409),
        ("?advertiser_id=adv_001", 409),
        ("?advertiser_id=adv_002", 200),
        ("?advertiser_id=adv_003", 404),
        ("?clicked_at=yesterday", 400),
        ("?advertiser=adv_002", 400),
        (&format!("?{one}"), 200),
    ] {
        let (status, answer) = ask(&admin, "GET", &format!("{click}{query}"), &Value::Null).await?;
        assert_eq!(status, expected, "{query}: {answer}");
        if expected != 200 {
            let (status, answer) = ask(&admin, "POST", &format!("{click}/release{query}"), &order).await?;
            assert_eq!(status, expected, "{query}: {answer}");
        }
    }
    // Again changes nothing.
    for _ in 0..2 {
        let (status, released) = ask(&admin, "POST", &format!("{click}/release?{one}"), &order).await?;
        assert_eq!(
            (status, &released["disposition"], &released["released"]),
            (200, &json!("valid"), &json!(true))
        );
        assert_eq!(released["adjustments"].as_array().map(Vec::len), Some(1), "{released}");
    }
    let released: Vec<(String, OffsetDateTime)> = sqlx::query_as(
        "SELECT advertiser_id, clicked_at FROM clicks WHERE released OR disposition <> 'sivt'",
    )
    .fetch_all(stack.database())
    .await?;
    assert_eq!(released, [("adv_001".to_owned(), earlier)]);
    let minutes: Vec<(OffsetDateTime, i64, i64)> =
        sqlx::query_as("SELECT bucket, valid, sivt FROM click_minutes WHERE valid <> 0 OR sivt < 0 OR bucket < now() - INTERVAL '1 day'")
            .fetch_all(stack.database())
            .await?;
    let minute = earlier.replace_second(0)?.replace_nanosecond(0)?;
    assert_eq!(minutes, [(minute, 1, 0)]);

    assert_eq!(server.metric("clickwire_corrections_total").await?, 1.0);
    let (_, audited) =
        ask(&admin, "GET", &format!("audit?subject=adjustments&subject_id={id}"), &Value::Null).await?;
    let entries = audited["data"].as_array().context("entries")?;
    assert_eq!(entries.len(), 1, "what rules adjust is nobody's act: {audited}");
    let entry = &entries[0];
    assert_eq!((&entry["actor"], &entry["after"]["reason"]), (&json!("admin"), &json!("a call centre")));
    assert_eq!(entry["after"]["advertiser_id"], "adv_001");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_search_finds_is_released_some_hundred_at_a_time() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let admin = stack.as_admin()?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    // Of another advertiser, another ad, an age at which nothing is released any more, and valid: all stay as they are.
    let mut other = burst(2, 120);
    other.iter_mut().for_each(|click| click.advertiser_id = AdvertiserId::unchecked("adv_002"));
    let mut elsewhere = burst(3, 110);
    elsewhere.iter_mut().for_each(|click| click.dimensions.ad_id = AdId::unchecked("ad_002"));
    for convicted in [&burst(1, 620), &other, &elsewhere] {
        assert_eq!(judged(&stack, convicted).await?.0, "sivt");
    }
    assert_eq!(judged(&stack, &burst(4, 3)).await?.0, "valid");
    sqlx::query(
        "INSERT INTO clicks SELECT (jsonb_populate_record(c, jsonb_build_object('click_id', gen_random_uuid(), \
             'clicked_at', c.clicked_at - INTERVAL '9 days'))).* FROM clicks c WHERE ad_id = 'ad_001' AND disposition = 'sivt' LIMIT 1",
    )
    .execute(stack.database())
    .await?;

    let order = json!({"reason": "a call centre"});
    let since = (OffsetDateTime::now_utc() - time::Duration::days(10)).format(&Rfc3339)?;
    let search =
        format!("clicks/release?advertiser_id=adv_001&ad_id=ad_001&rule=ip_velocity&start_time={since}");
    for (server, path, body, expected) in [
        (stack.as_viewer("adv_001")?, &*search, &order, 403),
        (stack.as_admin()?, "clicks/release?ad_id=ad_001", &order, 400),
        (stack.as_admin()?, &*format!("{search}&as_of={since}"), &order, 400),
        (stack.as_admin()?, &*format!("{search}&ad_id=ad_002"), &order, 400),
        (stack.as_admin()?, "clicks/release?advertiser_id=adv_001&rule=none_such", &order, 400),
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(ask(&server, method, path, body).await?.0, expected, "{method} {path}");
        }
    }
    assert_eq!(ask(&admin, "POST", &search, &json!({"reason": ""})).await?.0, 400);
    let nothing = "clicks/release?advertiser_id=adv_001&ad_id=ad_404";
    for (method, path, released, left) in [
        ("GET", &*search, 0, 620),
        ("POST", nothing, 0, 0),
        ("POST", &*search, 500, 120),
        ("GET", &*search, 0, 120),
        ("POST", &*search, 120, 0),
        ("POST", &*search, 0, 0),
    ] {
        let (status, answer) = ask(&admin, method, path, &order).await?;
        assert_eq!((status, &answer), (200, &json!({"released": released, "left": left})), "{method} {path}");
    }

    let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(stack.database());
    for (sql, expected) in [
        ("SELECT count(*) FROM clicks WHERE released AND disposition = 'valid' AND rule IS NULL", 620),
        ("SELECT count(*) FROM clicks WHERE released AND ad_id <> 'ad_001'", 0),
        ("SELECT count(*) FROM clicks WHERE disposition = 'sivt'", 231),
        ("SELECT count(*) FROM adjustments WHERE actor = 'admin' AND reason = 'a call centre'", 620),
        ("SELECT sum(valid)::bigint FROM click_minutes", 623),
        ("SELECT sum(sivt)::bigint FROM click_minutes", 230),
    ] {
        assert_eq!(count(sql).await?, expected, "{sql}");
    }
    let shown = tokio::time::timeout(PATIENCE, async {
        while (dashboard.state().total().valid, dashboard.state().total().sivt) != (623, 110) {
            dashboard.update().await?;
        }
        anyhow::Ok(())
    })
    .await;
    shown.with_context(|| format!("shown: {:?}", dashboard.state().total()))?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_of_an_address_are_found_by_operators_alone_and_released_for_all_advertisers() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let (admin, viewer) = (stack.as_admin()?, stack.as_viewer("adv_001")?);
    // One address that is vouched for, with clicks of two advertisers; another that only keys of one tell of.
    let mut shared = burst(1, 120);
    shared.iter_mut().step_by(2).for_each(|click| click.advertiser_id = AdvertiserId::unchecked("adv_002"));
    let mut own = burst(2, 110);
    // The first one's hash, too, in a pool of its own.
    let mut both = burst(1, 105);
    own.iter_mut().chain(&mut both).for_each(|click| click.bound = true);
    both.iter_mut().for_each(|click| click.advertiser_id = AdvertiserId::unchecked("adv_003"));
    for convicted in [&shared, &own, &both] {
        assert_eq!(judged(&stack, convicted).await?.0, "sivt");
    }
    assert_eq!(judged(&stack, &burst(3, 3)).await?.0, "valid");
    let of_own = format!("ip_hash={:032X}", 2);
    let (of_both, of_shared) = (format!("ip_hash={:032x}", 1), format!("ip_hash={:032x}&bound=false", 1));

    let clicks = async |server: &Server, path: &str| -> Result<(u16, Value)> {
        let (status, body) = server.connection().get(&format!("/api/v1/{path}")).await?;
        Ok((status.as_u16(), serde_json::from_slice(&body)?))
    };
    for (query, found) in [
        (of_shared.clone(), 120),
        (format!("{of_shared}&advertiser_id=adv_002"), 60),
        (format!("{of_both}&bound=true"), 105),
        (format!("{of_both}&disposition=sivt&advertiser_id=adv_003"), 105),
        (format!("{of_own}&advertiser_id=adv_001"), 110),
        (format!("{of_own}&advertiser_id=adv_001&bound=false"), 0),
        (format!("{of_own}&advertiser_id=adv_002"), 0),
        (format!("{of_shared}&disposition=valid"), 0),
        (format!("{of_shared}&as_of=2026-01-01T00:00:00Z"), 0),
        (format!("ip_hash={:032x}", 4), 0),
    ] {
        let (status, page) = clicks(&admin, &format!("clicks?limit=200&{query}")).await?;
        let rows = page["data"].as_array().with_context(|| format!("{status}: {page}"))?;
        assert_eq!(rows.len(), found, "{query}");
        assert!(!page.to_string().contains("ip_hash"), "no click tells its address");
    }
    for (server, path) in [
        (&viewer, format!("clicks?{of_shared}")),
        (&viewer, format!("exports/clicks?{of_shared}")),
        (&admin, format!("exports/clicks?{of_shared}")),
        (&admin, "clicks?ip_hash=1".to_owned()),
        (&admin, "clicks?bound=true".to_owned()),
        (&admin, format!("clicks?{of_both}&bound=maybe")),
        (&admin, format!("clicks?ip_hash={}", "z".repeat(32))),
        (&admin, format!("clicks?ip_hash=%2B{:031x}", 1)),
    ] {
        assert_eq!(clicks(server, &path).await?.0, 400, "{path}");
    }
    let order = json!({"reason": "a call centre"});
    for (server, path, expected) in
        [(&viewer, format!("clicks/release?{of_shared}"), 403), (&admin, "clicks/release".to_owned(), 400)]
    {
        assert_eq!(ask(server, "POST", &path, &order).await?.0, expected, "{path}");
    }

    for (method, query, released, left) in [
        ("GET", &of_shared, 0, 120),
        ("POST", &of_shared, 120, 0),
        ("POST", &of_shared, 0, 0),
        ("GET", &of_own, 0, 110),
    ] {
        let (status, answer) = ask(&admin, method, &format!("clicks/release?{query}"), &order).await?;
        assert_eq!(
            (status, &answer),
            (200, &json!({"released": released, "left": left})),
            "{method} {query}"
        );
    }
    let minutes: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT advertiser_id, sum(valid)::bigint, sum(sivt)::bigint FROM click_minutes GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(stack.database())
    .await?;
    let expected = [("adv_001", 63, 110), ("adv_002", 60, 0), ("adv_003", 0, 105)];
    assert_eq!(minutes, expected.map(|(id, valid, sivt)| (id.to_owned(), valid, sivt)));
    // An order that finds nothing any more tells the screens of an address's advertisers all the same.
    let heads = ["adv_001", "adv_002"]
        .map(|id| Keys::new(stack.redis_prefix(), &AdvertiserId::unchecked(id)).high_water_mark);
    let mut redis =
        redis::Client::open(stack.services().redis_url())?.get_multiplexed_async_connection().await?;
    for head in &heads {
        let _new: i64 = redis::cmd("HSET").arg(head).arg("seq").arg(7).query_async(&mut redis).await?;
    }
    assert_eq!(ask(&admin, "POST", &format!("clicks/release?{of_shared}"), &order).await?.0, 200);
    let left: i64 = redis::cmd("EXISTS").arg(&heads).query_async(&mut redis).await?;
    assert_eq!(left, 0, "marks of feeds");
    Ok(())
}
