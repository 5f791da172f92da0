//! Previews of rules beside deployments in which the previewed rule has been in force: both give the same verdicts.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    rules::preview::{RulePreview, Verdicts},
    times::UnixMs,
};
use futures_util::future::try_join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";

/// Returns clicks within two minutes of few advertisers, users and addresses: people, robots, tests; keys that are
/// bound to an advertiser, and others.
fn clicks() -> Vec<Click> {
    let mut random = StdRng::seed_from_u64(29);
    let now = now_ms();
    let click = |_| {
        let advertiser = random.random_range(1..=3);
        let at = now - random.random_range(0..120_000);
        Click {
            advertiser_id: AdvertiserId::unchecked(format!("adv_00{advertiser}")),
            dimensions: Dimensions {
                campaign_id: CampaignId::unchecked(format!("camp_00{advertiser}")),
                ad_id: AdId::unchecked(format!("ad_00{advertiser}_{}", random.random_range(0..2))),
                country: "DE".into(),
                device_type: DeviceType::Mobile,
            },
            user_id: random.random_bool(0.8).then(|| format!("user_{}", random.random_range(0..40))),
            clicked_at_ms: UnixMs(at),
            received_at_ms: UnixMs(now),
            user_agent: if random.random_bool(0.1) { "curl/8.0".into() } else { BROWSER.into() },
            ip_hash: random.random_bool(0.9).then(|| format!("{:032x}", random.random_range(0..12))),
            bound: random.random_bool(0.3),
            test: random.random_bool(0.05),
            ..Click::bare(Uuid::from_u128(random.random()))
        }
    };
    (0..800).map(click).collect()
}

/// Counts clicks and returns the verdicts on them.
async fn counted(stack: &Stack, clicks: &[Click]) -> Result<Verdicts> {
    stack.publish(clicks).await?;
    let numbers = eventually("all clicks are counted", PATIENCE, async || {
        let sql = "SELECT disposition::text, count(*) FROM clicks GROUP BY 1";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(stack.database()).await.ok()?;
        (rows.iter().map(|(_, count)| count).sum::<i64>() == clicks.len() as i64).then_some(rows)
    })
    .await?;
    let numbers: BTreeMap<String, i64> = numbers.into_iter().collect();
    let number = |name: &str| numbers.get(name).copied().unwrap_or_default();
    Ok(Verdicts {
        valid: number("valid"),
        duplicate: number("duplicate"),
        givt: number("givt"),
        sivt: number("sivt"),
    })
}

async fn preview(server: &Server, rule: &str, body: &Value) -> Result<(u16, Value)> {
    let path = format!("/api/v1/admin/rules/{rule}/preview");
    let (status, body) = server.connection().post(&path, body.to_string().into_bytes()).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_what_would_have_been_counted() -> Result<()> {
    let clicks = clicks();
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let before = counted(&stack, &clicks).await?;
    ensure!(before.givt > 0 && before.duplicate > 0 && before.valid > 0, "{before:?}");
    let admin = stack.as_admin()?;
    let cases = [
        ("duplicate", "flag", json!({"window_seconds": 10})),
        ("duplicate", "off", json!({"window_seconds": 60})),
        ("ip_velocity", "flag", json!({"threshold": 8, "window_seconds": 20})),
        ("user_velocity", "flag", json!({"threshold": 3, "window_seconds": 40})),
        ("user_velocity", "report_only", json!({"threshold": 3, "window_seconds": 40})),
        ("user_agent", "off", json!({"list": 2})),
    ];
    let compared = cases.iter().map(async |(rule, mode, parameters)| {
        let other = Stack::new().await?;
        let changed = sqlx::query(
            "INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason) \
             SELECT rule, version + 1, $2, $3::jsonb, effective_at + INTERVAL '1 second', 'a test', 'in force' \
               FROM fraud_rules WHERE rule = $1 ORDER BY version DESC LIMIT 1",
        );
        changed.bind(rule).bind(mode).bind(parameters.to_string()).execute(other.database()).await?;
        let _aggregator = other.start_aggregator().await?;
        let expected = counted(&other, &clicks).await?;
        let (status, answer) =
            preview(&admin, rule, &json!({"mode": mode, "parameters": parameters})).await?;
        ensure!(status == 200, "{rule} {mode}: {answer}");
        let answer: RulePreview = serde_json::from_value(answer)?;
        ensure!(answer.counted == before, "{rule} {mode}: {answer:?} and not {before:?}");
        ensure!(answer.previewed == expected, "{rule} {mode} {parameters}: {answer:?} and not {expected:?}");
        ensure!(!answer.is_cut, "{answer:?}");
        let valid = answer.counted.valid - answer.to_invalid + answer.to_valid;
        ensure!(valid == expected.valid, "{rule} {mode}: {answer:?}");
        Ok(expected != before)
    });
    let differ = try_join_all(compared).await?;
    ensure!(differ.iter().filter(|differs| **differs).count() >= 4, "{differ:?}: the cases change nothing");

    let known: i64 =
        sqlx::query_scalar("SELECT count(*) FROM fraud_rules").fetch_one(stack.database()).await?;
    for (server, rule, body, expected, field) in [
        (stack.as_viewer("adv_001")?, "duplicate", json!({"mode": "off"}), 403, None),
        (stack.as_admin()?, "nonsense", json!({"mode": "off"}), 404, None),
        (stack.as_admin()?, "duplicate", json!({"mode": "off", "hours": 25}), 400, Some("hours")),
        (stack.as_admin()?, "duplicate", json!({"mode": "off", "hours": 1}), 200, None),
        (stack.as_admin()?, "duplicate", json!({"mode": "flag", "parameters": {}}), 400, Some("parameters")),
        (
            stack.as_admin()?,
            "user_agent",
            json!({"mode": "flag", "parameters": {"list": 1}}),
            400,
            Some("parameters"),
        ),
        (stack.as_admin()?, "fraud_rate", json!({"mode": "report_only"}), 400, Some("mode")),
    ] {
        let (status, answer) = preview(&server, rule, &body).await?;
        ensure!(status == expected, "{rule} {body}: {status} {answer}");
        let fields = answer["error"]["fieldErrors"].as_object();
        let named = fields.and_then(|fields| fields.keys().next()).map(String::as_str);
        ensure!(named == field, "{rule} {body}: {answer}");
    }
    let after: i64 =
        sqlx::query_scalar("SELECT count(*) FROM fraud_rules").fetch_one(stack.database()).await?;
    ensure!(after == known, "a preview has changed a rule");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_without_clicks_has_an_empty_preview() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let (status, answer) = preview(&stack.as_admin()?, "prefetch", &json!({"mode": "report_only"})).await?;
    ensure!(status == 200, "{answer}");
    let answer: RulePreview = serde_json::from_value(answer).context("a preview")?;
    ensure!(answer.counted == Verdicts::default() && answer.advertisers.is_empty(), "{answer:?}");
    Ok(())
}
