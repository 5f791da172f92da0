//! Robots that say what they are: not billed at any door, with the reason, by the list that was in force
//! when they came.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually, raw};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

const PERSON: &str = "Mozilla/5.0 (Linux; Android 13; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
                      Mobile Safari/537.36";

/// In the built-in list of data centres: EC2.
const LET: &str = "3.80.0.1";

async fn admin(stack: &Stack, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
    let (path, body) = (format!("/api/v1/admin/{path}"), body.to_string().into_bytes());
    let server = stack.as_admin()?;
    let mut connection = server.connection();
    let (status, answer) = match method {
        "PUT" => connection.put(&path, body).await?,
        "POST" => connection.post(&path, body).await?,
        _ => connection.get(&path).await?,
    };
    Ok((status.as_u16(), serde_json::from_slice(&answer).unwrap_or(Value::Null)))
}

/// A click's disposition, rule and kind of robot, once it is counted.
async fn judged(stack: &Stack, id: Uuid) -> Result<(String, Value, Value)> {
    let shown = eventually("the click is counted", PATIENCE, async || {
        let (status, shown) = admin(stack, "GET", &format!("clicks/{id}"), &Value::Null).await.ok()?;
        (status == 200).then_some(shown)
    })
    .await?;
    let disposition = shown["disposition"].as_str().context("a disposition")?.to_owned();
    Ok((disposition, shown["rule"].clone(), shown["robot"].clone()))
}

async fn followed(stack: &Stack, agent: &str) -> Result<Uuid> {
    let answer =
        raw::send(stack.server_url(), "GET /r/ad_001", &format!("user-agent: {agent}\r\n"), b"").await?;
    let location = answer.header("location").context("a redirect")?;
    let (_, id) = location.split_once("cw_click_id=").context("a click id")?;
    Ok(id.get(..36).context("a UUID")?.parse()?)
}

/// Posts a click by a program that calls itself curl.
async fn posted(stack: &Stack, key: &str, more: &Value) -> Result<Uuid> {
    let id = Uuid::new_v4();
    let mut click =
        json!({"click_id": id, "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"});
    for (name, value) in more.as_object().into_iter().flatten() {
        click[name] = value.clone();
    }
    let headers = format!("content-type: application/json\r\nx-api-key: {key}\r\nuser-agent: curl/8.5.0\r\n");
    let answer =
        raw::post(stack.server_url(), "/api/v1/clicks", &headers, click.to_string().as_bytes()).await?;
    anyhow::ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    Ok(id)
}

async fn key(stack: &Stack, speaks_for_users: bool) -> Result<String> {
    let wanted = json!({"name": "a key", "mode": "live", "speaks_for_users": speaks_for_users});
    let (status, issued) = admin(stack, "POST", "keys", &wanted).await?;
    anyhow::ensure!(status == 201, "{status} {issued}");
    Ok(issued["key"].as_str().context("the key")?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn robots_are_not_billed_at_any_door_and_a_program_that_posts_is_none() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    for (agent, expected) in [
        ("curl/8.5.0", Some("http-library")),
        ("Go-http-client/2.0", Some("http-library")),
        ("meta-externalagent/1.1", Some("ai-crawler")),
        (
            "Mozilla/5.0 AppleWebKit/537.36 Chrome/139.0 Safari/537.36 Google-Ads-Conversions",
            Some("advertising"),
        ),
        (PERSON, None),
    ] {
        let (disposition, rule, robot) = judged(&stack, followed(&stack, agent).await?).await?;
        let is_robot = expected.is_some();
        assert_eq!(disposition, if is_robot { "givt" } else { "valid" }, "{agent}");
        assert_eq!((rule, robot), (json!(is_robot.then_some("user_agent")), json!(expected)), "{agent}");
    }

    let (for_users, for_itself) = (key(&stack, true).await?, key(&stack, false).await?);
    for (what, key, more, expected, rule) in [
        (
            "a robot is named",
            &for_users,
            json!({"user_agent": "python-requests/2.32.3"}),
            "givt",
            Some("user_agent"),
        ),
        ("a person is named", &for_users, json!({"user_agent": PERSON}), "valid", None),
        ("nobody is named: curl is the program that posts", &for_users, json!({}), "valid", None),
        ("curl itself clicks", &for_itself, json!({}), "givt", Some("user_agent")),
        (
            "an address that is let",
            &for_users,
            json!({"user_agent": PERSON, "ip_address": LET}),
            "givt",
            Some("data_center"),
        ),
        (
            "another address",
            &for_users,
            json!({"user_agent": PERSON, "ip_address": "192.0.2.1"}),
            "valid",
            None,
        ),
    ] {
        let (disposition, decided, _) = judged(&stack, posted(&stack, key, &more).await?).await?;
        assert_eq!((disposition.as_str(), decided), (expected, json!(rule)), "{what}");
    }
    Ok(())
}

/// A program in a data centre that posts for users says nothing about them by what it leaves out, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_in_a_data_centre_posts_clicks_of_people() -> Result<()> {
    let mut stack = Stack::new().await?;
    let networks = tempfile::NamedTempFile::new()?;
    std::fs::write(networks.path(), "127.0.0.0/8\n")?;
    stack.set("CLICKWIRE_DATA_CENTER_NETWORKS", networks.path().to_str().context("a path")?);
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let (for_users, for_itself) = (key(&stack, true).await?, key(&stack, false).await?);
    let person = json!({"user_agent": PERSON});
    let (disposition, ..) = judged(&stack, posted(&stack, &for_users, &person).await?).await?;
    assert_eq!(disposition, "valid", "the address is the program's");
    let (disposition, ..) = judged(&stack, followed(&stack, PERSON).await?).await?;
    assert_eq!(disposition, "givt", "the address is the visitor's");
    let id = posted(&stack, &for_itself, &json!({})).await?;
    let evidence: Vec<String> = eventually("the click is counted", PATIENCE, async || {
        let query = sqlx::query_scalar("SELECT evidence FROM clicks WHERE click_id = $1").bind(id);
        query.fetch_optional(stack.database()).await.ok()?
    })
    .await?;
    assert_eq!(evidence, ["user_agent", "data_center"], "a key of pages has nobody to speak for");
    Ok(())
}

fn curl(received_at_ms: i64) -> Click {
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked("ad_001"),
            country: "DE".into(),
            device_type: DeviceType::Other,
        },
        clicked_at_ms: UnixMs(received_at_ms),
        received_at_ms: UnixMs(received_at_ms),
        user_agent: "curl/8.5.0".into(),
        ..Click::bare(Uuid::new_v4())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_is_judged_by_the_list_in_force_when_it_was_received_however_late_it_is_counted() -> Result<()>
{
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let early = now_ms() - 1;
    for parameters in [json!({}), json!({"list": 0}), json!({"list": 3})] {
        let change = json!({"mode": "flag", "parameters": parameters, "reason": "no such list"});
        let (status, answer) = admin(&stack, "PUT", "rules/user_agent", &change).await?;
        assert_eq!(status, 400, "{parameters}: {answer}");
    }
    let change = json!({"mode": "flag", "parameters": {"list": 1}, "reason": "as it was"});
    let (status, version) = admin(&stack, "PUT", "rules/user_agent", &change).await?;
    assert_eq!((status, &version["parameters"]), (200, &json!({"list": 1})), "{version}");
    let effective_at = OffsetDateTime::parse(version["effective_at"].as_str().context("when")?, &Rfc3339)?;
    let late = (effective_at.unix_timestamp_nanos() / 1_000_000) as i64;
    eventually("the list is in force", PATIENCE, async || (now_ms() > late).then_some(())).await?;

    // The later first, and the earlier in the same batch as another of the later ones.
    let clicks = [curl(late), curl(early), curl(late)];
    stack.publish(&clicks[..1]).await?;
    judged(&stack, clicks[0].click_id).await?;
    stack.publish(&clicks[1..]).await?;
    for (click, expected) in clicks.iter().zip(["valid", "givt", "valid"]) {
        let (disposition, _, robot) = judged(&stack, click.click_id).await?;
        assert_eq!(disposition, expected, "{}", click.received_at_ms.0 - late);
        assert_eq!(robot, json!((expected == "givt").then_some("http-library")));
    }
    Ok(())
}
