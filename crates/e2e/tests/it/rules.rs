//! Administrators change rules while clicks are counted.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a number of clicks of one address within two seconds, each by a user of its own.
pub(crate) fn burst(address: u32, clicks: u32) -> Vec<Click> {
    let now = now_ms();
    let click = |number: u32| Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked("ad_001"),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        user_id: Some(Uuid::new_v4().to_string()),
        clicked_at_ms: UnixMs(now - 2_000 + i64::from(number)),
        received_at_ms: UnixMs(now),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".into(),
        ip_hash: Some(format!("{address:032x}")),
        ..Click::bare(Uuid::new_v4())
    };
    (0..clicks).map(click).collect()
}

pub(crate) type Judged = (String, Option<String>, Option<i32>, Option<Vec<String>>);

/// Publishes clicks and returns how all of them were judged, which must be alike.
pub(crate) async fn judged(stack: &Stack, clicks: &[Click]) -> Result<Judged> {
    stack.publish(clicks).await?;
    let ids: Vec<Uuid> = clicks.iter().map(|click| click.click_id).collect();
    eventually("the clicks are judged alike", PATIENCE, async || {
        let verdicts: Vec<(Judged, i64)> = sqlx::query_as::<_, (String, Option<String>, Option<i32>, Option<Vec<String>>, i64)>(
            "SELECT disposition::text, rule, rule_version, evidence, count(*) FROM clicks WHERE click_id = ANY($1) \
              GROUP BY 1, 2, 3, 4",
        )
        .bind(&ids)
        .fetch_all(stack.database())
        .await
        .ok()?
        .into_iter()
        .map(|(disposition, rule, version, evidence, count)| ((disposition, rule, version, evidence), count))
        .collect();
        match verdicts.as_slice() {
            [(verdict, count)] if *count == ids.len() as i64 => Some(verdict.clone()),
            _ => None,
        }
    })
    .await
}

pub(crate) async fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
    let (path, body) = (format!("/api/v1/admin/{path}"), body.to_string().into_bytes());
    let mut connection = server.connection();
    let (status, body) = match method {
        "PUT" => connection.put(&path, body).await?,
        "POST" => connection.post(&path, body).await?,
        _ => connection.get(&path).await?,
    };
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// Changes the rule of addresses and waits until that is in force.
async fn change(admin: &Server, database: &PgPool, change: &Value) -> Result<()> {
    let (status, version) = ask(admin, "PUT", "rules/ip_velocity", change).await?;
    assert_eq!(status, 200, "{version}");
    let effective_at = version["effective_at"].as_str().context("when is it in force?")?;
    let effective_at = OffsetDateTime::parse(effective_at, &Rfc3339)?;
    let stored: OffsetDateTime =
        sqlx::query_scalar("SELECT max(effective_at) FROM fraud_rules").fetch_one(database).await?;
    assert_eq!(effective_at, stored, "the answer says when to the millisecond, and so it is");
    eventually("the rule is in force", PATIENCE, async || {
        (OffsetDateTime::now_utc() > effective_at).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_changes_for_clicks_received_from_then_on_and_every_version_is_kept() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let admin = stack.as_admin()?;
    let verdict = |disposition: &str, version: Option<i32>, has_evidence: bool| {
        let rule = version.map(|_| "ip_velocity".to_owned());
        (disposition.to_owned(), rule, version, has_evidence.then(|| vec!["ip_velocity".to_owned()]))
    };
    let early = burst(1, 6);
    assert_eq!(judged(&stack, &burst(2, 6)).await?, verdict("valid", None, false));

    let parameters = json!({"threshold": 5, "window_seconds": 10});
    change(
        &admin,
        stack.database(),
        &json!({"mode": "flag", "parameters": parameters, "reason": "a botnet"}),
    )
    .await?;
    assert_eq!(judged(&stack, &burst(3, 5)).await?, verdict("valid", None, false));
    assert_eq!(
        judged(&stack, &burst(3, 1)).await?,
        verdict("sivt", Some(2), true),
        "the sixth of the address"
    );
    assert_eq!(judged(&stack, &early).await?, verdict("valid", None, false), "received before the change");
    change(&admin, stack.database(), &json!({"mode": "report_only", "reason": "too strict?"})).await?;
    assert_eq!(judged(&stack, &burst(4, 6)).await?, verdict("valid", None, true));
    change(&admin, stack.database(), &json!({"mode": "off", "reason": "too strict"})).await?;
    assert_eq!(judged(&stack, &burst(5, 6)).await?, verdict("valid", None, false));

    let refused = [
        (stack.as_viewer("adv_001")?, "ip_velocity", json!({"mode": "off", "reason": "let me"}), 403),
        (
            Server::new(stack.server_url(), "unknown-token")?,
            "ip_velocity",
            json!({"mode": "off", "reason": "let me"}),
            401,
        ),
        (stack.as_admin()?, "no_such_rule", json!({"mode": "off", "reason": "why not"}), 404),
        (stack.as_admin()?, "ip_velocity", json!({"mode": "off", "reason": " "}), 400),
        (stack.as_admin()?, "ip_velocity", json!({"mode": "off"}), 400),
        (stack.as_admin()?, "fraud_rate", json!({"mode": "flag", "reason": "why not"}), 400),
        (
            stack.as_admin()?,
            "fraud_rate",
            json!({"mode": "report_only", "parameters": {}, "reason": "why not"}),
            400,
        ),
        (stack.as_admin()?, "ip_velocity", json!({"mode": "sometimes", "reason": "why not"}), 400),
        (
            stack.as_admin()?,
            "ip_velocity",
            json!({"mode": "flag", "parameters": {"threshold": 0, "window_seconds": 60}, "reason": "x"}),
            400,
        ),
    ];
    for (server, rule, body, expected) in refused {
        let (status, answer) = ask(&server, "PUT", &format!("rules/{rule}"), &body).await?;
        assert_eq!(status, expected, "{rule} {body}: {answer}");
    }
    // Made from another version than the newest it is refused.
    for (version, expected) in [(0, 409), (2, 409), (1, 200), (1, 409)] {
        let body = json!({"mode": "off", "reason": "too strict", "if_version": version});
        let (status, answer) = ask(&admin, "PUT", "rules/user_velocity", &body).await?;
        assert_eq!(status, expected, "{version}: {answer}");
        assert!(status == 200 || answer["error"]["code"] == "conflict", "{answer}");
    }
    let quieter = json!({"mode": "off", "reason": "a known campaign"});
    assert_eq!(ask(&admin, "PUT", "rules/campaign_spike", &quieter).await?.0, 200, "rules that alert, too");
    let (_, history) = ask(&admin, "GET", "rules/ip_velocity", &Value::Null).await?;
    let versions: Vec<_> = history["data"]
        .as_array()
        .context("versions")?
        .iter()
        .map(|version| {
            (
                version["version"].as_i64(),
                version["mode"].as_str(),
                version["reason"].as_str(),
                version["changed_by"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        versions,
        [
            (Some(4), Some("off"), Some("too strict"), Some("admin")),
            (Some(3), Some("report_only"), Some("too strict?"), Some("admin")),
            (Some(2), Some("flag"), Some("a botnet"), Some("admin")),
            (Some(1), Some("flag"), Some("default"), Some("clickwire")),
        ]
    );
    assert_eq!(history["data"][0]["parameters"], parameters, "parameters that are not given stay");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_from_the_operators_list_of_data_centres_are_invalid() -> Result<()> {
    let mut stack = Stack::new().await?;
    let networks = tempfile::NamedTempFile::new()?;
    std::fs::write(networks.path(), "# a provider\n192.0.2.0/24\n")?;
    stack.set("CLICKWIRE_DATA_CENTER_NETWORKS", networks.path().to_str().context("a path")?);
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    for (address, expected) in [("192.0.2.17", "givt"), ("198.51.100.17", "valid")] {
        let id = Uuid::new_v4();
        let click = json!({"click_id": id, "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "ip_address": address});
        let (status, _) = stack.poster()?.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        assert_eq!(status.as_u16(), 202);
        let disposition: String = eventually("the click is counted", PATIENCE, async || {
            let query =
                sqlx::query_scalar("SELECT disposition::text FROM clicks WHERE click_id = $1").bind(id);
            query.fetch_optional(stack.database()).await.ok()?
        })
        .await?;
        assert_eq!(disposition, expected, "{address}");
    }
    Ok(())
}
