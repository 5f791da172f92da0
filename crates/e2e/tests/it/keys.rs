//! Keys that clicks are posted with: made, limited, rotated, revoked, on more than one server.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually, raw};
use clickwire_load::http::Server;
use serde_json::{Value, json};

fn click(advertiser: &str) -> Value {
    json!({"advertiser_id": advertiser, "campaign_id": "camp_001", "ad_id": "ad_001"})
}

/// Posts a click and returns status and body.
async fn post(url: &str, key: &str, body: &Value) -> Result<(u16, Value)> {
    let body = body.to_string().into_bytes();
    let (status, answer) = Server::new(url, key)?.connection().post("/api/v1/clicks", body).await?;
    Ok((status.as_u16(), serde_json::from_slice(&answer)?))
}

/// Posts as an administrator; returns the answer, which must be a good one.
async fn admin(stack: &Stack, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string().into_bytes();
    let (status, answer) = stack.as_admin()?.connection().post(path, body).await?;
    anyhow::ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer));
    Ok(serde_json::from_slice(&answer)?)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("no {name} in {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_posts_for_its_advertisers_until_it_is_revoked_on_every_server() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _first = stack.start_server().await?;
    let first = stack.server_url().to_owned();
    let _second = stack.start_server().await?;
    let second = stack.server_url().to_owned();

    let wanted = json!({"name": "a shop", "mode": "live", "advertisers": ["adv_001"]});
    let issued = admin(&stack, "/api/v1/admin/keys", &wanted).await?;
    let (key, key_id) = (text(&issued, "key")?, text(&issued, "key_id")?);
    assert!(key.starts_with("cw_live_"), "{key}");
    assert_eq!(
        post(&second, key, &click("adv_001")).await?.0,
        202,
        "the server that made it knows it at once"
    );
    eventually("the other server knows it", Duration::from_secs(2), async || {
        (post(&first, key, &click("adv_001")).await.ok()?.0 == 202).then_some(())
    })
    .await?;
    let (status, answer) = post(&first, key, &click("adv_002")).await?;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("forbidden")));
    let mut named = click("adv_001");
    named["ip_address"] = json!("192.0.2.1");
    let (status, answer) = post(&first, key, &named).await?;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.pointer("/error/fieldErrors/ip_address").is_some(), "{answer}");

    // What is kept does not open anything.
    let rows: String = sqlx::query_scalar("SELECT string_agg(to_jsonb(k)::text, ' ') FROM api_keys k")
        .fetch_one(stack.database())
        .await?;
    assert!(!rows.contains(key) && !rows.contains(&key["cw_live_".len()..]), "{rows}");
    let (_, list) = stack.as_admin()?.connection().get("/api/v1/admin/keys").await?;
    let list: Value = serde_json::from_slice(&list)?;
    assert_eq!(list["data"][0]["key_id"], issued["key_id"]);
    assert!(list["data"][0].get("key").is_none() && !list.to_string().contains(key), "{list}");

    admin(&stack, &format!("/api/v1/admin/keys/{key_id}/revoke"), &json!({})).await?;
    assert_eq!(post(&second, key, &click("adv_001")).await?.0, 401);
    eventually("the other server refuses it", Duration::from_secs(2), async || {
        (post(&first, key, &click("adv_001")).await.ok()?.0 == 401).then_some(())
    })
    .await
}

/// A secret is shown once, and kept: who rotates again because of an error would lose the one in use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_has_been_made_is_shown_though_it_can_not_be_read_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let run = async |sql: &'static str| sqlx::raw_sql(sql).execute(stack.database()).await.map(drop);
    // The change is committed, and with it what the server would ask next is gone.
    run("CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             ALTER TABLE api_keys_version RENAME TO hidden; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER hide AFTER INSERT ON api_keys DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION hide()")
    .await?;
    let issued = admin(&stack, "/api/v1/admin/keys", &json!({"name": "a shop", "mode": "live"})).await?;
    let key = text(&issued, "key")?;
    assert_eq!(post(stack.server_url(), key, &click("adv_001")).await?.0, 401, "it is not known yet");
    run("ALTER TABLE hidden RENAME TO api_keys_version").await?;
    eventually("it is known when it can be read", Duration::from_secs(3), async || {
        (post(stack.server_url(), key, &click("adv_001")).await.ok()?.0 == 202).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_makes_test_keys_and_replaces_secrets() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url().to_owned();
    let create = ["keys", "create", "--name", "trying out", "--test", "--speaks-for-users"];
    let issued = stack.administer(&create).await?;
    let (old, key_id) = (text(&issued, "key")?, text(&issued, "key_id")?);
    assert!(old.starts_with("cw_test_"), "{issued}");
    assert_eq!(issued["created_by"], "shell:tester");
    eventually("the key is taken", Duration::from_secs(2), async || {
        (post(&url, old, &click("adv_001")).await.ok()?.0 == 202).then_some(())
    })
    .await?;
    let disposition = eventually("the click is counted", Duration::from_secs(10), async || {
        let query = sqlx::query_scalar::<_, String>("SELECT disposition::text FROM clicks");
        query.fetch_optional(stack.database()).await.ok()?
    })
    .await?;
    assert_eq!(disposition, "test");

    let rotated = stack.administer(&["keys", "rotate", key_id, "--grace-hours", "1"]).await?;
    let new = text(&rotated, "key")?;
    assert_eq!(rotated["key_id"], issued["key_id"]);
    eventually("the new secret is taken", Duration::from_secs(2), async || {
        (post(&url, new, &click("adv_001")).await.ok()?.0 == 202).then_some(())
    })
    .await?;
    assert_eq!(post(&url, old, &click("adv_001")).await?.0, 202, "the old secret is taken for an hour");
    stack.administer(&["keys", "rotate", key_id, "--grace-hours", "0"]).await?;
    eventually("a secret without grace is refused", Duration::from_secs(2), async || {
        (post(&url, new, &click("adv_001")).await.ok()?.0 == 401).then_some(())
    })
    .await?;
    assert_eq!(post(&url, old, &click("adv_001")).await?.0, 401, "only one secret before the last is kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowances_of_keys_and_addresses_are_told_and_kept() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ADDRESS_RATE", "1");
    stack.set("CLICKWIRE_ADDRESS_BURST", "3");
    stack.set("CLICKWIRE_TRUSTED_PROXIES", "127.0.0.0/8");
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url().to_owned();
    let wanted =
        json!({"name": "slow", "mode": "live", "speaks_for_users": true, "rate_per_second": 1, "burst": 2});
    let slow = admin(&stack, "/api/v1/admin/keys", &wanted).await?;
    let page = admin(&stack, "/api/v1/admin/keys", &json!({"name": "a page", "mode": "live"})).await?;
    let send = async |key: &str, client: &str| {
        let headers =
            format!("x-api-key: {key}\r\ncontent-type: application/json\r\nx-forwarded-for: {client}\r\n");
        let body = click("adv_001").to_string();
        raw::send(&url, "POST /api/v1/clicks", &headers, body.as_bytes()).await
    };

    let key = text(&slow, "key")?;
    let first = send(key, "192.0.2.1").await?;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.header("ratelimit-policy"), Some("\"key\";q=2;w=2"));
    assert!(first.header("ratelimit").is_some_and(|left| left.starts_with("\"key\";r=1;")), "{first:?}");
    // One is left, and at most one more comes while we ask.
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(send(key, "192.0.2.1").await?);
    }
    let refused = answers.iter().find(|answer| answer.status == 429).context("nothing was refused")?;
    assert_eq!(refused.body["error"]["code"], "too_many_requests");
    assert!(
        refused.header("retry-after").is_some_and(|wait| wait.parse().is_ok_and(|wait: u32| wait >= 1)),
        "{refused:?}"
    );

    assert!(refused.header("ratelimit").is_some_and(|left| left.starts_with("\"key\";r=0;")), "{refused:?}");

    // A key that many clients use: each address has its own allowance.
    let key = text(&page, "key")?;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(send(key, "192.0.2.2").await?.status);
    }
    assert_eq!(statuses[..3], [202; 3]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(send(key, "192.0.2.3").await?.status, 202);

    // So has who tries keys.
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(send("cw_live_nobody-has-this-one", "192.0.2.4").await?.status);
    }
    assert_eq!(statuses[..3], [401; 3]);
    assert!(statuses.contains(&429), "{statuses:?}");
    Ok(())
}
