//! `is_fraudulent`: a hint for keys that the operator trusts, and nothing for anybody else.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, raw};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
const ROBOT: &str = "python-requests/2.32.3";
/// In the built-in list of data centres: EC2.
const LET: &str = "3.80.0.1";

/// A live key that speaks for users.
async fn key(stack: &Stack, hints: bool, advertisers: Option<&[&str]>) -> Result<String> {
    let wanted = json!({"name": "a key", "mode": "live", "speaks_for_users": true, "hints": hints,
        "advertisers": advertisers, "rate_per_second": 10_000, "burst": 100_000});
    let body = wanted.to_string().into_bytes();
    let (status, issued) = stack.as_admin()?.connection().post("/api/v1/admin/keys", body).await?;
    let issued: Value = serde_json::from_slice(&issued)?;
    ensure!(status == 201 && issued["hints"] == hints, "{status} {issued}");
    Ok(issued["key"].as_str().context("the key")?.to_owned())
}

fn click(advertiser: &str, user: u32, ad: u32, address: &str, agent: &str) -> Value {
    json!({"click_id": Uuid::new_v4(), "advertiser_id": advertiser, "campaign_id": "camp_hints",
        "ad_id": format!("{advertiser}_ad_{ad}"), "user_id": format!("user_{user}"), "ip_address": address,
        "user_agent": agent})
}

fn address(number: u32) -> String {
    std::net::Ipv4Addr::from_bits(0xc612_0000 | number).to_string()
}

/// Posts a click and returns what it is told of it.
async fn told(stack: &Stack, key: &str, click: &Value) -> Result<bool> {
    let headers = format!("content-type: application/json\r\nx-api-key: {key}\r\n");
    let answer =
        raw::post(stack.server_url(), "/api/v1/clicks", &headers, click.to_string().as_bytes()).await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    answer.body["is_fraudulent"].as_bool().context("is_fraudulent")
}

/// The server reads the rules within seconds of its start: until then it gives no hints.
async fn ready(stack: &Stack, key: &str) -> Result<()> {
    eventually("hints are given", PATIENCE, async || {
        told(stack, key, &click("adv_001", 0, 0, &address(0), ROBOT)).await.ok()?.then_some(())
    })
    .await
}

/// Returns the clicks of a day, in a minute and in any order.
fn replay(random: &mut StdRng) -> Vec<Value> {
    let mut clicks = Vec::new();
    for number in 0..900 {
        let agent = if random.random_bool(0.15) { ROBOT } else { PERSON };
        let from = if random.random_bool(0.05) { LET.to_owned() } else { address(1_000 + number) };
        clicks.push(click("adv_001", 1_000 + number, number % 20, &from, agent));
        if random.random_bool(0.05) {
            clicks.push(click("adv_001", 1_000 + number, number % 20, &from, agent));
        }
    }
    // One address with many users, one user on many ads.
    clicks.extend((0..250).map(|number| click("adv_001", 5_000 + number, number % 20, &address(1), PERSON)));
    clicks.extend((0..150).map(|number| click("adv_001", 1, 100 + number, &address(9_000 + number), PERSON)));
    clicks.shuffle(random);
    clicks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_mixed_replay_a_hint_is_what_the_ledger_says_and_changes_no_count() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let key = key(&stack, true, None).await?;
    ready(&stack, &key).await?;
    let clicks = replay(&mut StdRng::seed_from_u64(7));
    let (single, batched) = clicks.split_at(clicks.len() / 2);
    let (posted_to, posted_with) = (&stack, &key);
    let mut hints: HashMap<Uuid, bool> = stream::iter(single)
        .map(|click| async move {
            let id: Uuid = click["click_id"].as_str().context("an id")?.parse()?;
            anyhow::Ok((id, told(posted_to, posted_with, click).await?))
        })
        .buffered(4)
        .try_collect()
        .await?;
    for clicks in batched.chunks(50) {
        let headers = format!("content-type: application/json\r\nx-api-key: {key}\r\n");
        let body = Value::from(clicks).to_string();
        let answer = raw::post(stack.server_url(), "/api/v1/clicks/batch", &headers, body.as_bytes()).await?;
        for result in answer.body["results"].as_array().context("results")? {
            let id = result["click_id"].as_str().context("an id")?.parse()?;
            hints.insert(id, result["is_fraudulent"].as_bool().context("is_fraudulent")?);
        }
    }
    assert_eq!(hints.len(), clicks.len());

    let ids: Vec<Uuid> = hints.keys().copied().collect();
    let verdicts: Vec<(Uuid, bool, String)> = eventually("all are counted", PATIENCE, async || {
        let query = sqlx::query_as(
            "SELECT click_id, disposition IN ('givt', 'sivt'), coalesce(rule, '') FROM clicks WHERE click_id = ANY($1)",
        );
        let rows: Vec<_> = query.bind(&ids).fetch_all(stack.database()).await.ok()?;
        (rows.len() == ids.len()).then_some(rows)
    })
    .await?;
    let count = |hinted: Option<bool>, convicted: bool| {
        let is = |(id, verdict, _): &&(Uuid, bool, String)| {
            *verdict == convicted && hinted.is_none_or(|hinted| hints[id] == hinted)
        };
        verdicts.iter().filter(is).count()
    };
    let (right, wrong, convicted) = (count(Some(true), true), count(Some(true), false), count(None, true));
    let precision = right as f64 / (right + wrong).max(1) as f64;
    let missed = (convicted - right) as f64 / convicted as f64;
    println!(
        "{} clicks, {convicted} convicted: {right} hints were right, {wrong} wrong: precision {:.2} %, missed {:.1} %",
        clicks.len(),
        precision * 100.0,
        missed * 100.0
    );
    ensure!(right > 0 && precision >= 0.99, "{right} right, {wrong} wrong");
    for (id, _, rule) in &verdicts {
        ensure!(hints[id] || !matches!(rule.as_str(), "user_agent" | "data_center"), "{id}: {rule}");
    }
    Ok(())
}

/// A hint that a bound key gets about an address tells nothing of what others post with theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_is_for_trusted_keys_and_tells_nothing_of_other_tenants() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let vouched = key(&stack, true, None).await?;
    let ours = key(&stack, true, Some(&["adv_001"])).await?;
    let theirs = key(&stack, true, Some(&["adv_002"])).await?;
    let untrusted = key(&stack, false, None).await?;
    ready(&stack, &vouched).await?;

    assert!(!told(&stack, &untrusted, &click("adv_001", 1, 1, LET, ROBOT)).await?, "no oracle");
    assert!(told(&stack, &ours, &click("adv_001", 1, 1, LET, ROBOT)).await?);

    // Theirs, until they themselves are told: a hint that takes too long is false, so it may take more.
    let from = address(77);
    let post = async |key: &str, advertiser: &str, first: u32| -> Result<u32> {
        for number in 0..2_000 {
            if told(&stack, key, &click(advertiser, first + number, number % 20, &from, PERSON)).await? {
                return Ok(number);
            }
        }
        anyhow::bail!("{advertiser} is told nothing")
    };
    let before = post(&theirs, "adv_002", 10_000).await?;
    assert!(before >= 100, "{before}: an address may click a hundred times a minute");
    let user = |number: u32| click("adv_001", 20_000 + number, number % 20, &from, PERSON);
    for number in 0..20 {
        assert!(!told(&stack, &ours, &user(number)).await?, "our click {number} beside {before} of theirs");
    }
    // The same user name with them is another user.
    assert!(!told(&stack, &ours, &click("adv_001", 10_000, 0, &address(78), PERSON)).await?);
    // What the operator vouches for is seen beside ours, not theirs beside it.
    let before = post(&vouched, "adv_003", 30_000).await?;
    assert!(before >= 100, "{before} of those that are vouched for");
    assert!(post(&ours, "adv_001", 40_000).await? < 100, "theirs do not count, the vouched ones do");
    Ok(())
}
