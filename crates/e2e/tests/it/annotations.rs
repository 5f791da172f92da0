//! Annotations of a chart: everybody is told of what is theirs, tenants of nobody else, and no answer has more than it
//! may.

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::Stack;
use clickwire_load::http::Server;
use clickwire_protocol::annotations::{Annotation, Annotations, Kind, MAX};
use sqlx::{AssertSqlSafe, Executor as _};

const PATH: &str = "/api/v1/analytics/annotations";

/// The events before the test: nobody counts meanwhile, so they stay as they are.
const HAPPENED: [&str; 5] = [
    "INSERT INTO alerts (kind, subject, advertiser_id, campaign_id, severity, opened_at, resolved_at, details) VALUES \
        ('lag', 'CLICKS', NULL, NULL, 'critical', now() - INTERVAL '30 min', NULL, '{}'), \
        ('dead_letters', 'CLICKS', NULL, NULL, 'warning', now() - INTERVAL '40 min', now() - INTERVAL '35 min', '{}'), \
        ('ip_burst', 'of-an-address', NULL, NULL, 'critical', now() - INTERVAL '50 min', now() - INTERVAL '45 min', '{}'), \
        ('fraud_rate', 'adv_001/camp_001', 'adv_001', 'camp_001', 'warning', now() - INTERVAL '1 hour', now(), '{}'), \
        ('user_burst', 'adv_002/of-a-user', 'adv_002', NULL, 'critical', now() - INTERVAL '2 hours', now(), '{}'), \
        ('campaign_spike', 'adv_001/long ago', 'adv_001', 'camp_001', 'warning', now() - INTERVAL '9 days', \
         now() - INTERVAL '8 days', '{}')",
    "INSERT INTO fraud_rules VALUES \
        ('ip_velocity', 2, 'report_only', '{\"threshold\": 90, \"window_seconds\": 60}', now() - INTERVAL '20 min', \
         'account:root', 'of-a-reason'), \
        ('fraud_rate', 2, 'off', '{}', now() - INTERVAL '10 min', 'account:root', 'of-a-reason')",
    "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, rule, actor, reason) \
     SELECT gen_random_uuid(), date_trunc('hour', now()) - INTERVAL '90 min', 'adv_001', 'valid', 'sivt', \
            'user_velocity', 'rules', '' FROM generate_series(1, 3)",
    "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
     VALUES (gen_random_uuid(), now() - INTERVAL '25 min', 'adv_002', 'givt', 'valid', 'account:root', 'of-a-reason'), \
            (gen_random_uuid(), now() - INTERVAL '25 min', 'adv_001', 'givt', 'sivt', 'rules', '')",
    "INSERT INTO reconciliations (started_by, range_start, range_end, differences, repaired) \
     VALUES ('command', now() - INTERVAL '3 hours', now() - INTERVAL '2 hours', 4, 4), \
            ('schedule', now() - INTERVAL '2 hours', now() - INTERVAL '1 hour', 0, 0)",
];

async fn told(server: &Server, query: &str) -> Result<Annotations> {
    let (status, body) = server.connection().get(&format!("{PATH}{query}")).await?;
    let text = String::from_utf8_lossy(&body);
    ensure!(status == 200, "{query}: {status} {text}");
    // What nobody is told, whoever asks.
    for secret in ["of-an-address", "of-a-user", "of-a-reason", "root"] {
        ensure!(!text.contains(secret), "{query}: {text}");
    }
    let mut told: Annotations = serde_json::from_slice(&body).with_context(|| text.into_owned())?;
    // A migration has made a version of this one, in force some minutes after it.
    told.data.retain(|annotation| annotation.rule.as_deref() != Some("user_agent"));
    Ok(told)
}

/// Returns the annotations, in a few letters each, in the order of time.
fn names(told: &Annotations) -> Vec<String> {
    let name = |annotation: &Annotation| {
        let what = annotation.incident.map(|kind| kind.as_str().to_owned());
        let what = what.or_else(|| annotation.rule.clone()).unwrap_or_default();
        let count = annotation.count.map(|count| count.to_string()).unwrap_or_default();
        format!("{} {what}{count}", annotation.kind.as_str())
    };
    told.data.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_what_is_theirs_to_know() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    for statement in HAPPENED {
        stack.database().execute(statement).await?;
    }
    let admin = stack.as_admin()?;

    let own = told(&stack.as_viewer("adv_001")?, "").await?;
    let mut sorted = names(&own);
    sorted.sort();
    assert_eq!(
        sorted,
        ["conviction user_velocity3", "incident fraud_rate", "outage lag", "rule ip_velocity"]
    );
    for annotation in &own.data {
        assert_eq!(
            (annotation.alert_id, annotation.version, annotation.mode),
            (None, None, None),
            "{annotation:?}"
        );
        assert!(annotation.advertiser_id.as_deref().is_none_or(|id| id == "adv_001"), "{annotation:?}");
    }
    assert!(own.data.is_sorted_by(|a, b| a.start_time <= b.start_time) && !own.has_more, "{own:?}");
    let of = |kind: Kind| own.data.iter().find(|annotation| annotation.kind == kind);
    assert_eq!(of(Kind::Outage).map(|outage| outage.end_time.is_none()), Some(true), "it lasts");
    assert_eq!(of(Kind::Incident).and_then(|incident| incident.campaign_id.as_deref()), Some("camp_001"));

    let mut other = names(&told(&stack.as_viewer("adv_002")?, "").await?);
    other.sort();
    assert_eq!(other, ["incident user_burst", "outage lag", "release 1", "rule ip_velocity"]);

    // Operators are told of all, of one advertiser with what is nobody's own.
    let mut one = names(&told(&admin, "?advertiser_id=adv_001").await?);
    one.sort();
    let of_nobody = [
        "conviction user_velocity3",
        "incident dead_letters",
        "incident fraud_rate",
        "incident ip_burst",
        "outage lag",
        "repair 4",
        "rule fraud_rate",
        "rule ip_velocity",
    ];
    assert_eq!(one, of_nobody);
    let all = told(&admin, "").await?;
    assert_eq!(all.data.len(), of_nobody.len() + 2, "{:?}", names(&all));
    for annotation in &all.data {
        assert_eq!(annotation.alert_id.is_some(), annotation.incident.is_some(), "{annotation:?}");
        assert_eq!(annotation.version, (annotation.kind == Kind::Rule).then_some(2), "{annotation:?}");
    }

    // A range has what it touches, and nothing else.
    let now = time::OffsetDateTime::now_utc();
    let minutes = |before: i64| -> Result<String> {
        let format = &time::format_description::well_known::Rfc3339;
        Ok((now - time::Duration::minutes(before)).format(format)?.replace('+', "%2B"))
    };
    let range = format!("?start_time={}&end_time={}", minutes(48)?, minutes(36)?);
    let mut touched = names(&told(&admin, &range).await?);
    touched.sort();
    assert_eq!(
        touched,
        ["incident dead_letters", "incident fraud_rate", "incident ip_burst", "incident user_burst"]
    );
    assert_eq!(told(&admin, &format!("?end_time={}", minutes(30 * 1_440)?)).await?, Annotations::default());
    let ends = "?start_time=0000-01-01T00:00:00Z&end_time=9999-12-31T23:59:59Z";
    assert!(names(&told(&admin, ends).await?).contains(&"incident campaign_spike".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_the_most_important_ones_and_says_that_there_are_more() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let many = MAX + 20;
    let warnings = format!(
        "INSERT INTO alerts (kind, subject, advertiser_id, severity, opened_at, details) \
         SELECT 'user_burst', 'adv_001/' || n, 'adv_001', 'warning', now() - n * INTERVAL '1 s', '{{}}' \
           FROM generate_series(1, {many}) AS n"
    );
    stack.database().execute(AssertSqlSafe(warnings)).await?;
    for statement in HAPPENED {
        stack.database().execute(statement).await?;
    }
    let told = told(&stack.as_viewer("adv_001")?, "").await?;
    assert!(told.has_more);
    assert!((MAX - 1..=MAX).contains(&told.data.len()), "{}", told.data.len());
    let names = names(&told);
    for expected in ["outage lag", "rule ip_velocity"] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("conviction")), "{names:?}");
    Ok(())
}
