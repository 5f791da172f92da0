//! No tenant's hand on another's numbers and answers: everything that a key bound to one advertiser can post,
//! against another advertiser's ledger, buckets, live view and answers, before and after its own clicks.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_client::Watch;
use clickwire_e2e::{
    Stack, eventually,
    naive::{self, Evidence, Name},
    raw,
};
use clickwire_protocol::{
    counts::{Counts, Disposition},
    times::Minute,
};
use serde_json::{Value, json};
use time::{Duration as Span, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::fraud::PERSON;

const PATIENCE: Duration = Duration::from_secs(30);

const VICTIM: &str = "adv_001";
const ATTACKER: &str = "adv_002";

/// A click of the victim that an attacker knows everything about.
#[derive(Clone)]
struct Target {
    id: Uuid,
    user: String,
    /// An ad that nobody has registered.
    ad: String,
    address: String,
    idempotency_key: String,
    at: OffsetDateTime,
}

impl Target {
    fn new(number: usize, at: OffsetDateTime) -> Self {
        Self {
            id: Uuid::new_v4(),
            user: format!("user_{number}"),
            ad: format!("free_{number}"),
            address: format!("203.0.113.{}", number + 1),
            idempotency_key: format!("order-{number}"),
            at,
        }
    }

    /// The click as one of these advertisers posts it, so much later.
    fn click(&self, advertiser: &str, later: Span) -> Value {
        json!({"click_id": self.id, "advertiser_id": advertiser, "campaign_id": format!("free_{advertiser}"),
            "ad_id": self.ad, "user_id": self.user, "ip_address": self.address, "user_agent": PERSON,
            "clicked_at": (self.at + later).format(&Rfc3339).unwrap_or_default()})
    }
}

/// A post about a target that an attacker's key can send.
#[derive(Clone, Copy, Debug)]
enum Attack {
    SameId,
    SameIdInBatch,
    SameIdInLines,
    SameIdempotencyKey,
    SameUserAndAd,
    BurstOfTheAddress,
    BurstOfTheUser,
    ForgedId,
    Late,
    Test,
}

const ATTACKS: [Attack; 10] = [
    Attack::SameId,
    Attack::SameIdInBatch,
    Attack::SameIdInLines,
    Attack::SameIdempotencyKey,
    Attack::SameUserAndAd,
    Attack::BurstOfTheAddress,
    Attack::BurstOfTheUser,
    Attack::ForgedId,
    Attack::Late,
    Attack::Test,
];

struct Keys {
    victim: String,
    attacker: String,
    attackers_tests: String,
}

impl Attack {
    /// Carries it out, and returns how many clicks were taken. None of the answers tells of the victim's.
    async fn carry_out(self, target: &Target, keys: &Keys, url: &str) -> Result<i64> {
        let same = |later_ms: i64| target.click(ATTACKER, Span::milliseconds(later_ms));
        let other = |later_ms: i64, change: &dyn Fn(&mut Value)| {
            let mut click = same(later_ms);
            click["click_id"] = json!(Uuid::new_v4());
            change(&mut click);
            click
        };
        let array = |clicks: Vec<Value>| ("application/json", Value::from(clicks).to_string());
        let single = |click: Value| ("application/json", click.to_string());
        let (mut key, mut headers) = (&keys.attacker, String::new());
        let (path, (content_type, body), taken) = match self {
            Self::SameId => ("", single(same(0)), 1),
            Self::SameIdInBatch => ("/batch", array(vec![same(0)]), 1),
            Self::SameIdInLines => ("/batch", ("application/x-ndjson", format!("{}\n", same(0))), 1),
            Self::SameIdempotencyKey => {
                headers = format!("idempotency-key: {}\r\n", target.idempotency_key);
                let mut click = same(0);
                click["click_id"] = Value::Null;
                ("", single(click), 1)
            }
            // Right before and right after.
            Self::SameUserAndAd => ("/batch", array(vec![other(-1_000, &|_| ()), other(1_000, &|_| ())]), 2),
            Self::BurstOfTheAddress => {
                let stranger = |click: &mut Value| click["user_id"] = Value::Null;
                ("/batch", array((-75..75).map(|number| other(number * 10, &stranger)).collect()), 150)
            }
            Self::BurstOfTheUser => {
                let elsewhere = |number: i64| {
                    other(number * 10, &|click: &mut Value| {
                        click["ad_id"] = json!(format!("free_{number}"));
                        click["ip_address"] = json!("198.51.100.7");
                    })
                };
                ("/batch", array((-30..30).map(elsewhere).collect()), 60)
            }
            Self::ForgedId => {
                let mut click = same(0);
                click["click_id"] = json!(format!("{}.AAAAAAAAAAAAAAAAAAAAAA", target.id));
                ("", single(click), 1)
            }
            Self::Late => ("", single(same(-30 * 3_600_000)), 1),
            Self::Test => {
                key = &keys.attackers_tests;
                ("", single(same(0)), 1)
            }
        };
        headers += &format!("authorization: Bearer {key}\r\ncontent-type: {content_type}\r\n");
        let answer = raw::post(url, &format!("/api/v1/clicks{path}"), &headers, body.as_bytes()).await?;
        ensure!(answer.status == 202, "{self:?}: {answer:?}");
        let text = answer.body.to_string();
        ensure!(!text.contains(r#""is_duplicate":true"#) && !text.contains("error"), "{self:?}: {text}");
        Ok(taken)
    }
}

/// Posts a target as the victim does, with its own key and again with the operator's, and with its idempotency
/// key: three clicks, or those of them that were posted before.
async fn post_as_victim(target: &Target, keys: &Keys, url: &str, is_known: bool) -> Result<()> {
    let own = target.click(VICTIM, Span::ZERO);
    let mut vouched = own.clone();
    vouched["click_id"] = json!(Uuid::from_u128(target.id.as_u128() ^ 1));
    vouched["user_id"] = json!(format!("{}_of_the_operator", target.user));
    let mut once = own.clone();
    once["click_id"] = Value::Null;
    once["user_id"] = Value::Null;
    let with_key = format!("idempotency-key: {}\r\n", target.idempotency_key);
    for (body, key, more, is_answered_again) in [
        (own, keys.victim.as_str(), "", false),
        (vouched, Stack::ingest_key(), "", false),
        // What is answered again is the first answer.
        (once, keys.victim.as_str(), with_key.as_str(), true),
    ] {
        let headers = format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n{more}");
        let answer = raw::post(url, "/api/v1/clicks", &headers, body.to_string().as_bytes()).await?;
        let is_duplicate = is_known && !is_answered_again;
        ensure!(
            answer.status == 202 && answer.body["is_duplicate"] == json!(is_duplicate),
            "{body}: {answer:?}"
        );
    }
    Ok(())
}

/// A person follows the link of one of the victim's ads: the signed id, and what an attacker may know.
async fn redirect(url: &str) -> Result<(String, Target)> {
    let answer = raw::send(url, "GET /r/ad_001", &format!("user-agent: {PERSON}\r\n"), b"").await?;
    let location = answer.header("location").with_context(|| format!("{answer:?}"))?;
    let (_, signed) = location.split_once("cw_click_id=").with_context(|| location.to_owned())?;
    let mut target = Target::new(2 * ATTACKS.len(), OffsetDateTime::now_utc());
    target.address = "127.0.0.1".to_owned();
    Ok((signed.to_owned(), target))
}

/// Waits until so many clicks of an advertiser are in the ledger.
async fn counted(stack: &Stack, advertiser: &str, clicks: i64) -> Result<()> {
    let counted = eventually("all of it is counted", PATIENCE, async || {
        let count =
            sqlx::query_scalar("SELECT count(*) FROM clicks WHERE advertiser_id = $1").bind(advertiser);
        let count: i64 = count.fetch_one(stack.database()).await.ok()?;
        (count >= clicks).then_some(count)
    });
    let counted = counted.await.with_context(|| format!("{clicks} clicks of {advertiser}"))?;
    ensure!(counted == clicks, "{counted} clicks of {advertiser}, not {clicks}");
    Ok(())
}

/// All data that the victim can see, or is billed by.
#[derive(Debug, PartialEq)]
struct Seen {
    ledger: Vec<String>,
    buckets: Vec<String>,
    adjustments: i64,
    answer: Value,
    live: BTreeMap<(Minute, Vec<String>), Counts>,
}

async fn seen(stack: &Stack, live: &mut Watch, start: OffsetDateTime) -> Result<Seen> {
    let rows = async |sql: &'static str| {
        sqlx::query_scalar::<_, String>(sql).bind(VICTIM).fetch_all(stack.database()).await
    };
    let ledger =
        rows("SELECT to_jsonb(c)::text FROM clicks c WHERE advertiser_id = $1 ORDER BY clicked_at, click_id")
            .await?;
    let buckets =
        rows("SELECT to_jsonb(m)::text FROM click_minutes m WHERE advertiser_id = $1 ORDER BY 1").await?;
    let adjustments =
        sqlx::query_scalar("SELECT count(*) FROM adjustments WHERE advertiser_id = $1").bind(VICTIM);
    let adjustments = adjustments.fetch_one(stack.database()).await?;
    // From an hour before the first click to an hour after the last, whenever it is asked.
    let (from, to) = (start - Span::hours(1), start + Span::hours(1));
    let path = format!(
        "/api/v1/analytics/aggregate?advertiser_id={VICTIM}&granularity=minute&group_by=ad_id\
         &start_time={}&end_time={}",
        from.format(&Rfc3339)?,
        to.format(&Rfc3339)?
    );
    let (status, answer) = stack.as_viewer(VICTIM)?.connection().get(&path).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    let mut answer: Value = serde_json::from_slice(&answer)?;
    // The time that it took, and the minutes that have become final meanwhile.
    for of_the_moment in ["query_time_ms", "final_before"] {
        answer.as_object_mut().context("an answer")?.remove(of_the_moment).context(of_the_moment)?;
    }
    let clicks = ledger.len() as u64;
    let shown = tokio::time::timeout(PATIENCE, async {
        while live.state().total().received() as u64 != clicks {
            live.update().await?;
        }
        anyhow::Ok(())
    });
    shown.await.with_context(|| format!("live: {:?} of {clicks}", live.state().total()))??;
    Ok(Seen { ledger, buckets, adjustments, answer, live: live.state().cells.clone() })
}

/// Every click of the ledger is what a naive recount says: the attacker's own, too.
async fn recounted(stack: &Stack) -> Result<BTreeMap<Name, Disposition>> {
    type Row =
        (Uuid, String, OffsetDateTime, Option<String>, String, Option<String>, bool, String, Vec<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT click_id, advertiser_id, clicked_at, user_id, ad_id, encode(ip_hash, 'hex'), coalesce(bound, false), \
                disposition::text, coalesce(evidence, '{}') FROM clicks",
    )
    .fetch_all(stack.database())
    .await?;
    let evidence =
        rows.iter().map(|(id, of, at, user, ad, address, is_bound, disposition, evidence)| Evidence {
            click_id: *id,
            advertiser_id: of.clone(),
            is_bound: *is_bound,
            clicked_at_ms: (at.unix_timestamp_nanos() / 1_000_000) as i64,
            is_test: disposition == "test",
            is_late: disposition == "defective",
            is_robot: false,
            is_forged: evidence.iter().any(|rule| rule == "forged_click_id"),
            user_id: user.clone(),
            ad_id: ad.clone(),
            address: address.clone(),
        });
    let judged = naive::judge(&evidence.collect::<Vec<_>>());
    for (id, of, .., disposition, evidence) in &rows {
        let expected = judged.get(&(*id, of.clone())).context("a click")?.as_str();
        ensure!(disposition == expected, "{id} of {of}: {disposition} by {evidence:?}, recounted {expected}");
    }
    Ok(judged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_bound_key_posts_changes_what_another_advertiser_has() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let url = stack.server_url().to_owned();
    let create =
        ["keys", "create", "--name", "tests", "--test", "--speaks-for-users", "--advertiser", ATTACKER];
    let issued = stack.administer(&create).await?;
    let keys = Keys {
        victim: stack.bound_key(VICTIM).await?,
        attacker: stack.bound_key(ATTACKER).await?,
        attackers_tests: issued["key"].as_str().context("no key")?.to_owned(),
    };
    eventually("the server knows the test key", PATIENCE, async || {
        let headers =
            format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", keys.attackers_tests);
        (raw::post(&url, "/api/v1/clicks", &headers, b"{}").await.ok()?.status == 400).then_some(())
    })
    .await?;
    let start = OffsetDateTime::now_utc() - Span::minutes(20);
    let mut live = Watch::new(stack.as_viewer(VICTIM)?, Stack::view(VICTIM));
    let (mut victims, mut attackers) = (0, 0);
    // Whoever is first: the attacker.
    for (number, attack) in ATTACKS.into_iter().enumerate() {
        let target = Target::new(number, start);
        attackers += attack.carry_out(&target, &keys, &url).await?;
        counted(&stack, ATTACKER, attackers).await?;
        post_as_victim(&target, &keys, &url, false).await.with_context(|| format!("after {attack:?}"))?;
        victims += 3;
    }
    counted(&stack, VICTIM, victims).await?;
    // The victim.
    let targets: Vec<Target> = (ATTACKS.len()..2 * ATTACKS.len())
        .map(|number| Target::new(number, start + Span::minutes(5)))
        .collect();
    for target in &targets {
        post_as_victim(target, &keys, &url, false).await?;
        victims += 3;
    }
    let (signed, redirected) = redirect(&url).await?;
    victims += 1;
    counted(&stack, VICTIM, victims).await?;
    let before = seen(&stack, &mut live, start).await?;
    for (attack, target) in ATTACKS.into_iter().zip(&targets) {
        attackers += attack.carry_out(target, &keys, &url).await?;
        counted(&stack, ATTACKER, attackers).await?;
        let after = seen(&stack, &mut live, start).await?;
        ensure!(after == before, "{attack:?} changed {before:#?} to {after:#?}");
    }
    // A redirect's address, and its signed id, for its own ad and for another.
    attackers += Attack::BurstOfTheAddress.carry_out(&redirected, &keys, &url).await?;
    let mut click = redirected.click(ATTACKER, Span::ZERO);
    click["click_id"] = json!(signed);
    let headers = |key: &str| format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n");
    for (ad, expected) in [(redirected.ad.as_str(), 202), ("ad_001", 403)] {
        click["ad_id"] = json!(ad);
        let body = click.to_string();
        let answer = raw::post(&url, "/api/v1/clicks", &headers(&keys.attacker), body.as_bytes()).await?;
        assert_eq!(answer.status, expected, "{click}");
    }
    attackers += 1;
    counted(&stack, ATTACKER, attackers).await?;
    let after = seen(&stack, &mut live, start).await?;
    ensure!(after == before, "what was posted about a redirect changed {before:#?} to {after:#?}");
    // The landing page's own post of the id is still the redirect's click, and all others are known.
    (click["advertiser_id"], click["campaign_id"]) = (json!(VICTIM), json!("camp_001"));
    let answer =
        raw::post(&url, "/api/v1/clicks", &headers(&keys.victim), click.to_string().as_bytes()).await?;
    assert_eq!((answer.status, &answer.body["is_duplicate"]), (202, &json!(true)), "{answer:?}");
    for target in &targets {
        post_as_victim(target, &keys, &url, true).await?;
    }
    let judged = recounted(&stack).await?;
    let of = |advertiser: &str, disposition: Disposition| {
        judged.iter().filter(|((_, of), is)| of == advertiser && **is == disposition).count() as i64
    };
    assert_eq!(of(VICTIM, Disposition::Valid), victims, "{judged:?}");
    // Twice each: the bursts; the second of two by one user on one ad, the forged, late and test ones.
    assert_eq!(of(ATTACKER, Disposition::Sivt), 2 * (150 + 60 + 1) + 150 + 1);
    assert_eq!(of(ATTACKER, Disposition::Duplicate), 2);
    assert_eq!((of(ATTACKER, Disposition::Defective), of(ATTACKER, Disposition::Test)), (2, 2));
    Ok(())
}

/// Clicks that the operator vouches for are everybody's evidence; bound ones only their own advertiser's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vouched_clicks_of_an_address_count_for_all_and_bound_ones_for_their_own() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let url = stack.server_url().to_owned();
    let (one, two) = (stack.bound_key("adv_001").await?, stack.bound_key("adv_002").await?);
    let now = OffsetDateTime::now_utc();
    let post = async |advertiser: &str, key: &str, clicks: usize| {
        let click = |number: usize| {
            let mut target = Target::new(1, now);
            target.id = Uuid::new_v4();
            target.user = target.id.to_string();
            target.click(advertiser, Span::milliseconds(number as i64))
        };
        let body = Value::from((0..clicks).map(click).collect::<Vec<_>>()).to_string();
        let headers = format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n");
        let answer = raw::post(&url, "/api/v1/clicks/batch", &headers, body.as_bytes()).await?;
        ensure!(answer.status == 202 && answer.body["accepted"] == json!(clicks), "{answer:?}");
        Ok(())
    };
    let convicted = async || -> Result<BTreeMap<String, i64>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT advertiser_id, count(*) FROM clicks WHERE disposition = 'sivt' AND rule = 'ip_velocity' GROUP BY 1",
        )
        .fetch_all(stack.database())
        .await?;
        Ok(rows.into_iter().collect())
    };
    post("adv_003", Stack::ingest_key(), 60).await?;
    post("adv_001", &one, 40).await?;
    post("adv_002", &two, 40).await?;
    counted(&stack, "adv_001", 40).await?;
    counted(&stack, "adv_002", 40).await?;
    counted(&stack, "adv_003", 60).await?;
    assert_eq!(convicted().await?, BTreeMap::new(), "nobody's clicks are more than a hundred");
    // The 101st that adv_001's are seen with; adv_002 is not concerned.
    post("adv_001", &one, 1).await?;
    counted(&stack, "adv_001", 41).await?;
    assert_eq!(convicted().await?, BTreeMap::from([("adv_001".to_owned(), 41)]));
    // One more that is vouched for concerns everybody with bound clicks, and nobody else's 61 are too many.
    post("adv_003", Stack::ingest_key(), 1).await?;
    counted(&stack, "adv_003", 61).await?;
    assert_eq!(convicted().await?, BTreeMap::from([("adv_001".to_owned(), 41), ("adv_002".to_owned(), 40)]));
    recounted(&stack).await?;
    let subjects: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT subject, advertiser_id FROM alerts WHERE kind = 'ip_burst' ORDER BY 1")
            .fetch_all(stack.database())
            .await?;
    let of: Vec<_> = subjects
        .iter()
        .map(|(subject, of)| (subject.split_once('/').map(|(of, _)| of), of.as_deref()))
        .collect();
    assert_eq!(of, [(Some("adv_001"), Some("adv_001")), (Some("adv_002"), Some("adv_002"))], "{subjects:?}");
    Ok(())
}

/// Ads and campaigns that another has registered are refused like another advertiser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_advertiser_has_registered_is_refused() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let url = stack.server_url().to_owned();
    let key = stack.bound_key(ATTACKER).await?;
    let click = |advertiser: &str, campaign: &str, ad: &str| json!({"advertiser_id": advertiser, "campaign_id": campaign, "ad_id": ad});
    // Campaign 5 and its ads 9 and 10 are adv_002's.
    let cases = [
        (click("adv_002", "camp_005", "ad_009"), true),
        (click("adv_002", "nobodys", "nobodys"), true),
        (click("adv_002", "camp_005", "ad_001"), false),
        (click("adv_002", "camp_001", "ad_009"), false),
        (click("adv_002", "camp_001", "nobodys"), false),
        (click("adv_001", "camp_001", "ad_001"), false),
    ];
    let send = async |path: &str, key: &str, body: &Value| {
        let headers = format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n");
        raw::post(&url, path, &headers, body.to_string().as_bytes()).await
    };
    for (body, is_taken) in &cases {
        // The second time from memory.
        for _ in 0..2 {
            let answer = send("/api/v1/clicks", &key, body).await?;
            let refused = (answer.status, answer.body["error"]["code"].as_str()) == (403, Some("forbidden"));
            assert!(if *is_taken { answer.status == 202 } else { refused }, "{body}: {answer:?}");
        }
    }
    let batch = Value::from(cases.iter().map(|(body, _)| body.clone()).collect::<Vec<_>>());
    let answer = send("/api/v1/clicks/batch", &key, &batch).await?;
    assert_eq!(
        (answer.status, &answer.body["accepted"], &answer.body["rejected"]),
        (202, &json!(2), &json!(4))
    );
    for (result, (_, is_taken)) in answer.body["results"].as_array().context("results")?.iter().zip(&cases) {
        assert_eq!(result["error"]["code"].as_str(), (!is_taken).then_some("forbidden"), "{result}");
    }
    // The operator answers for its own keys.
    assert_eq!(send("/api/v1/clicks", Stack::ingest_key(), &cases[2].0).await?.status, 202);
    // An ad that changes hands is the new advertiser's at once.
    let body = json!({"campaign_id": "camp_005", "name": "Banner", "target_url": "https://example.com/"});
    let (status, answer) =
        stack.as_admin()?.connection().put("/api/v1/admin/ads/ad_001", body.to_string().into_bytes()).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    eventually("the new advertiser may post it", Duration::from_secs(3), async || {
        (send("/api/v1/clicks", &key, &cases[2].0).await.ok()?.status == 202).then_some(())
    })
    .await
}
