//! Previews of rules beside deployments in which the previewed rule has been in force: both give the same verdicts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{MINUTE, Stack, eventually, room_in};
use clickwire_load::http::Server;
use clickwire_process::now_ms;
use clickwire_protocol::{
    MINUTE_MS,
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    rules::preview::{IncidentPreview, OpenedIncidents, RulePreview, Verdicts},
    times::UnixMs,
};
use futures_util::future::try_join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::sleep;
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

/// Makes a version of a rule that is in force from the beginning.
async fn change(stack: &Stack, rule: &str, mode: &str, parameters: &Value) -> Result<()> {
    let changed = sqlx::query(
        "INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason) \
         SELECT rule, version + 1, $2, $3::jsonb, effective_at + INTERVAL '1 second', 'a test', 'in force' \
           FROM fraud_rules WHERE rule = $1 ORDER BY version DESC LIMIT 1",
    );
    changed.bind(rule).bind(mode).bind(parameters.to_string()).execute(stack.database()).await?;
    Ok(())
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
        change(&other, rule, mode, parameters).await?;
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
        (stack.as_admin()?, "fraud_rate", json!({"mode": "report_only"}), 200, None),
        (stack.as_admin()?, "fraud_rate", json!({"mode": "flag"}), 400, Some("mode")),
        (
            stack.as_admin()?,
            "campaign_spike",
            json!({"mode": "report_only", "parameters": {"deviations": 6, "minimum_clicks": 1, "window_minutes": 9}}),
            400,
            Some("parameters"),
        ),
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

/// Clicks of the half hour before this minute: of one campaign as many each minute, but for the last; of the other,
/// which is young, with more robots than people.
fn uneven() -> Vec<Click> {
    let now = now_ms();
    let click = |campaign: &str, minutes_ago: i64, user_agent: &str| Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked(campaign),
            ad_id: AdId::unchecked(format!("ad of {campaign}")),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        clicked_at_ms: UnixMs(now - (1 + minutes_ago) * MINUTE_MS),
        received_at_ms: UnixMs(now),
        user_agent: user_agent.into(),
        ..Click::bare(Uuid::new_v4())
    };
    // Of this minute, too: an aggregator that is slow looks at the next one.
    let even = (-1..30).flat_map(|ago| (0..if ago <= 0 { 60 } else { 10 }).map(move |_| (ago, BROWSER)));
    let robots = (0..30)
        .flat_map(|number| (0..4).map(move |_| (number % 3, if number < 20 { "curl/8.0" } else { BROWSER })));
    let even = even.map(|(ago, agent)| click("camp_001", ago, agent));
    even.chain(robots.map(|(ago, agent)| click("camp_002", ago, agent))).collect()
}

/// The incidents of campaigns, by kind and campaign, and whether each is critical.
async fn opened(stack: &Stack) -> Result<Vec<(String, String, bool)>> {
    let sql = "SELECT kind, campaign_id, severity = 'critical' FROM alerts \
                WHERE kind IN ('campaign_spike', 'fraud_rate') ORDER BY 1, 2";
    Ok(sqlx::query_as(sql).fetch_all(stack.database()).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_of_incidents_is_what_would_have_been_opened() -> Result<()> {
    let cases = [
        (
            "campaign_spike",
            "report_only",
            json!({"deviations": 6, "minimum_clicks": 30, "window_minutes": 20}),
        ),
        (
            "campaign_spike",
            "report_only",
            json!({"deviations": 60, "minimum_clicks": 30, "window_minutes": 20}),
        ),
        (
            "campaign_spike",
            "report_only",
            json!({"deviations": 1, "minimum_clicks": 10, "window_minutes": 10}),
        ),
        ("campaign_spike", "off", json!({"deviations": 1, "minimum_clicks": 10, "window_minutes": 10})),
        (
            "fraud_rate",
            "report_only",
            json!({"warning_percent": 10, "critical_percent": 20, "minimum_clicks": 30, "window_minutes": 10}),
        ),
        (
            "fraud_rate",
            "report_only",
            json!({"warning_percent": 50, "critical_percent": 99, "minimum_clicks": 30, "window_minutes": 10}),
        ),
        (
            "fraud_rate",
            "report_only",
            json!({"warning_percent": 10, "critical_percent": 20, "minimum_clicks": 300, "window_minutes": 10}),
        ),
    ];
    let compared = cases.iter().map(async |(rule, mode, parameters)| {
        let mut stack = Stack::new().await?;
        // Nothing is opened by a part of the clicks.
        for rule in ["campaign_spike", "fraud_rate"] {
            change(&stack, rule, "off", &json!({})).await?;
        }
        let counting = stack.start_aggregator().await?;
        // What is looked at is of this minute and those before it.
        room_in(MINUTE, Duration::from_secs(30)).await;
        counted(&stack, &uneven()).await?;
        counting.kill().await?;
        change(&stack, rule, mode, parameters).await?;
        let _server = stack.start_server().await?;
        let admin = stack.as_admin()?;
        // Whoever starts works out the limits of the minutes before, and asks all rules every second.
        let _aggregator = stack.start_aggregator().await?;
        let in_force = json!({"mode": mode, "parameters": parameters, "hours": 1});
        let (_, expected) = preview(&admin, rule, &in_force).await?;
        let opened = if expected["current"]["opened"] == 0 {
            sleep(Duration::from_secs(5)).await;
            opened(&stack).await?
        } else {
            eventually("an incident is open", PATIENCE, async || {
                opened(&stack).await.ok().filter(|opened| !opened.is_empty())
            })
            .await?
        };
        ensure!(opened.iter().all(|(kind, ..)| kind == rule), "{opened:?}");
        let expected = OpenedIncidents {
            opened: opened.len() as i64,
            critical: opened.iter().filter(|(.., is_critical)| *is_critical).count() as i64,
        };
        // It is in force: as it is and with the "change" it says the same, and nothing once it is off.
        let (status, answer) = preview(&admin, rule, &in_force).await?;
        ensure!(status == 200, "{rule} {mode}: {answer}");
        let answer: IncidentPreview = serde_json::from_value(answer)?;
        ensure!(answer.current == answer.previewed && answer.campaigns.is_empty(), "{answer:?}");
        ensure!(answer.previewed == expected, "{rule} {mode} {parameters}: {answer:?} and not {opened:?}");
        ensure!(answer.campaign_count == 2 && !answer.is_cut, "{answer:?}");
        let (status, answer) = preview(&admin, rule, &json!({"mode": "off"})).await?;
        ensure!(status == 200, "{rule}: {answer}");
        let answer: IncidentPreview = serde_json::from_value(answer)?;
        ensure!(
            answer.previewed == OpenedIncidents::default() && answer.current.opened == expected.opened,
            "{answer:?}"
        );
        ensure!(answer.campaigns.len() == opened.len(), "{answer:?} and not {opened:?}");
        Ok((expected.opened, expected.critical))
    });
    let opened = try_join_all(compared).await?;
    let distinct: BTreeSet<_> = opened.iter().collect();
    ensure!(distinct.len() >= 3, "{opened:?}: the cases are too much alike");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_campaigns_those_with_the_most_clicks_are_looked_at() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    // The two smallest alone have invalid clicks.
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid, sivt) \
         SELECT date_trunc('minute', now()) - INTERVAL '30 minutes', 'adv_001', 'camp_' || n, 'ad_001', 'DE', 'tv', \
                CASE WHEN n > 2 THEN 100 + n ELSE 0 END, CASE WHEN n > 2 THEN 0 ELSE 100 END \
           FROM generate_series(1, 502) AS n",
    )
    .execute(stack.database())
    .await?;
    let rule = json!({"warning_percent": 1, "critical_percent": 1, "minimum_clicks": 1, "window_minutes": 1});
    let asked = json!({"mode": "report_only", "parameters": rule, "hours": 1});
    let (status, answer) = preview(&stack.as_admin()?, "fraud_rate", &asked).await?;
    ensure!(status == 200, "{answer}");
    let answer: IncidentPreview = serde_json::from_value(answer)?;
    ensure!(answer.is_cut && answer.campaign_count == 500, "{answer:?}");
    ensure!(answer.previewed == OpenedIncidents::default(), "{answer:?}");
    sqlx::query("DELETE FROM click_minutes WHERE campaign_id IN ('camp_3', 'camp_4')")
        .execute(stack.database())
        .await?;
    let (_, answer) = preview(&stack.as_admin()?, "fraud_rate", &asked).await?;
    let answer: IncidentPreview = serde_json::from_value(answer)?;
    ensure!(!answer.is_cut && answer.campaign_count == 500, "{answer:?}");
    ensure!(answer.previewed == OpenedIncidents { opened: 2, critical: 2 }, "{answer:?}");
    Ok(())
}
