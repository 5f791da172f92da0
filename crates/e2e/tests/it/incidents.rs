//! Orders of operators on incidents: each is done once, recorded, and refused where it does not fit; a silence
//! holds what would call somebody, until it ends.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw::Answer};
use clickwire_protocol::alerts::Kind;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{alerts::SECRET, receiver::Receiver};

/// Longer than a watcher takes to find something again, and a webhook to be sent.
const PATIENCE: Duration = Duration::from_secs(20);

fn after(seconds: i64) -> Result<String> {
    Ok((OffsetDateTime::now_utc() + time::Duration::seconds(seconds)).format(&Rfc3339)?)
}

/// Opens the incident that dead letters wait, and keeps it so: as long as the letter lies there, it is found again.
pub(super) async fn open(stack: &Stack) -> Result<()> {
    stack.broker().await?.publish(stack.names().subject(0), "not a click".into()).await?.await?;
    Ok(())
}

/// The open incident, once it is another one than these.
async fn another(person: &Person, known: &[&str]) -> Result<Value> {
    eventually("an incident is open", PATIENCE, async || {
        let open = person.send("GET /api/v1/alerts", "").await.ok()?;
        let alert = open.body["data"].as_array()?.first()?;
        (!known.contains(&alert["alert_id"].as_str()?)).then(|| alert.clone())
    })
    .await
}

fn id(alert: &Value) -> Result<&str> {
    alert["alert_id"].as_str().context("no id")
}

async fn order(person: &Person, alert_id: &str, what: &str, body: Value) -> Result<Answer> {
    person.send(&format!("POST /api/v1/alerts/{alert_id}/{what}"), &body.to_string()).await
}

/// The order is done; the incident as it is then.
async fn done(person: &Person, alert_id: &str, what: &str, body: Value) -> Result<Value> {
    let answer = order(person, alert_id, what, body).await?;
    ensure!(answer.status == 200, "{what}: {answer:?}");
    Ok(answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_are_listed_by_kind_and_by_subject_of_a_kind() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    sqlx::query(
        "INSERT INTO alerts (kind, subject, severity, details) VALUES ('lag', 'one', 'warning', '{}'), \
           ('fraud_rate', 'one', 'warning', '{}'), ('fraud_rate', 'other', 'warning', '{}')",
    )
    .execute(stack.database())
    .await?;
    let password = stack.account("anna", "ops", &[]).await?;
    let anna = Person::sign_in(stack.server_url(), "anna", &password).await?;
    for (query, expected) in [
        ("", vec!["fraud_rate one", "fraud_rate other", "lag one"]),
        ("?kind=fraud_rate", vec!["fraud_rate one", "fraud_rate other"]),
        ("?kind=fraud_rate&subject=one", vec!["fraud_rate one"]),
        ("?kind=lag&subject=other", vec![]),
    ] {
        let answer = anna.send(&format!("GET /api/v1/alerts{query}"), "").await?.body;
        let rows = answer["data"].as_array().with_context(|| answer.to_string())?;
        let name =
            |alert: &Value| Some(format!("{} {}", alert["kind"].as_str()?, alert["subject"].as_str()?));
        let mut listed: Vec<String> = rows.iter().filter_map(name).collect();
        listed.sort();
        ensure!(listed == expected, "{query}: {listed:?}");
    }
    for wrong in ["?subject=one", "?kind=none"] {
        let answer = anna.send(&format!("GET /api/v1/alerts{wrong}"), "").await?;
        ensure!(answer.status == 400, "{wrong}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_does_not_fit_is_refused_and_says_why() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let url = stack.server_url().to_owned();
    let passwords = (
        stack.account("anna", "ops", &[]).await?,
        stack.account("berta", "ops", &[]).await?,
        stack.account("client", "advertiser", &["adv_001"]).await?,
    );
    let anna = Person::sign_in(&url, "anna", &passwords.0).await?;
    let berta = Person::sign_in(&url, "berta", &passwords.1).await?;
    let client = Person::sign_in(&url, "client", &passwords.2).await?;
    open(&stack).await?;
    let alert = another(&anna, &[]).await?;
    let alert_id = id(&alert)?;
    let orders = [
        ("acknowledge", json!({})),
        ("assign", json!({"from": null, "to": "account:anna"})),
        ("notes", json!({"text": "seen"})),
        ("silence", json!({"until": after(600)?, "reason": "known"})),
        ("resolve", json!({"reason": "mended"})),
    ];
    for (what, body) in &orders {
        for unknown in [Uuid::nil().to_string(), "nonsense".to_owned()] {
            assert_eq!(order(&anna, &unknown, what, body.clone()).await?.status, 404, "{what} of {unknown}");
        }
        assert_eq!(order(&client, alert_id, what, body.clone()).await?.status, 403, "{what}");
    }
    for (what, body, field) in [
        ("assign", json!({"from": null, "to": "account:client"}), "to"),
        ("assign", json!({"from": null, "to": "account:nobody"}), "to"),
        ("notes", json!({"text": " \n "}), "text"),
        ("notes", json!({"text": "n".repeat(2_001)}), "text"),
        ("silence", json!({"until": after(-60)?, "reason": "known"}), "until"),
        ("silence", json!({"until": after(31 * 86_400)?, "reason": "known"}), "until"),
        ("silence", json!({"until": "tomorrow", "reason": "known"}), "until"),
        ("silence", json!({"until": after(600)?, "reason": " "}), "reason"),
        ("resolve", json!({"reason": "r".repeat(501)}), "reason"),
        ("resolve", json!({"reason": "r", "outcome": "perhaps"}), "outcome"),
        // Dead letters are nobody's conviction.
        ("resolve", json!({"reason": "r", "outcome": "confirmed"}), "outcome"),
    ] {
        let answer = order(&anna, alert_id, what, body.clone()).await?;
        assert_eq!(answer.status, 400, "{what} {body}: {answer:?}");
        assert!(answer.body["error"]["fieldErrors"][field].is_array(), "{what} {body}: {answer:?}");
    }
    let untouched = anna.send(&format!("GET /api/v1/alerts/{alert_id}"), "").await?.body;
    assert_eq!(
        (&untouched["assigned_to"], &untouched["silenced_until"], &untouched["notes"]),
        (&Value::Null, &Value::Null, &json!([]))
    );

    // Of two who take it at once one has it.
    let take = |name: &str| json!({"from": null, "to": name});
    let (one, other) = tokio::try_join!(
        order(&anna, alert_id, "assign", take("account:anna")),
        order(&berta, alert_id, "assign", take("account:berta"))
    )?;
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {other:?}");
    let taken = if one.status == 200 { one.body } else { other.body };
    let given = json!({"from": taken["assigned_to"], "to": null});
    assert_eq!(done(&anna, alert_id, "assign", given).await?["assigned_at"], Value::Null);

    let noted = done(&anna, alert_id, "notes", json!({"text": " called the shop\nthey mend it "})).await?;
    assert_eq!(noted["note_count"], 1);
    let noted = berta.send(&format!("GET /api/v1/alerts/{alert_id}"), "").await?.body;
    assert_eq!(
        (&noted["notes"][0]["text"], &noted["notes"][0]["author"]),
        (&json!("called the shop\nthey mend it"), &json!("account:anna"))
    );
    sqlx::query("UPDATE alerts SET note_count = 200").execute(stack.database()).await?;
    assert_eq!(order(&anna, alert_id, "notes", json!({"text": "one more"})).await?.status, 409);

    let unsilence = format!("DELETE /api/v1/alerts/{alert_id}/silence");
    assert_eq!(anna.send(&unsilence, "").await?.status, 409, "there is no silence");
    done(&anna, alert_id, "silence", json!({"until": after(600)?, "reason": "known"})).await?;
    let longer = done(&berta, alert_id, "silence", json!({"until": after(900)?, "reason": "still"})).await?;
    assert_eq!(
        (&longer["silenced_by"], &longer["silence_reason"]),
        (&json!("account:berta"), &json!("still"))
    );
    let silenced = anna.send("GET /api/v1/alerts?state=silenced", "").await?.body;
    assert_eq!(silenced["data"][0]["alert_id"], alert_id);
    assert_eq!(client.send(&unsilence, "").await?.status, 403);
    assert_eq!(anna.send(&unsilence, "").await?.body["silenced_until"], Value::Null);

    let over = done(&berta, alert_id, "resolve", json!({"reason": "the shop mends it"})).await?;
    assert_eq!(
        (&over["resolved_by"], &over["resolution"]),
        (&json!("account:berta"), &json!("the shop mends it"))
    );
    for (what, body) in &orders[1..] {
        let status = order(&anna, alert_id, what, body.clone()).await?.status;
        assert_eq!(status, 409, "{what} of one that is over");
    }
    // The letter is still there: it is another incident.
    let again = another(&anna, &[alert_id]).await?;
    assert_eq!((&again["kind"], &again["silenced_until"]), (&json!("dead_letters"), &Value::Null));

    let admin = stack.as_admin()?;
    let (_, audited) =
        admin.connection().get(&format!("/api/v1/admin/audit?subject=alerts&subject_id={alert_id}")).await?;
    let audited: Value = serde_json::from_slice(&audited)?;
    let actors: Vec<&str> =
        audited["data"].as_array().context("entries")?.iter().filter_map(|e| e["actor"].as_str()).collect();
    // Taken and given back, a note, two silences and their end, the end; and what the test itself has done.
    let by = |name: &str| actors.iter().filter(|actor| **actor == name).count();
    assert_eq!(by("account:anna") + by("account:berta"), 7, "{actors:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn convictions_are_confirmed_once_and_it_is_recorded() -> Result<()> {
    let mut stack = Stack::new().await?;
    // Nobody watches: what is open stays so.
    let _server = stack.start_server().await?;
    let url = stack.server_url().to_owned();
    let passwords = (stack.account("anna", "ops", &[]).await?, stack.account("berta", "ops", &[]).await?);
    let anna = Person::sign_in(&url, "anna", &passwords.0).await?;
    let berta = Person::sign_in(&url, "berta", &passwords.1).await?;
    for kind in Kind::ALL {
        let alert_id: String = sqlx::query_scalar(
            "INSERT INTO alerts (kind, subject, severity, details) VALUES ($1, 'of a test', 'warning', '{}') \
             RETURNING alert_id::text",
        )
        .bind(kind.as_str())
        .fetch_one(stack.database())
        .await?;
        let judged = json!({"reason": "seen in the log", "outcome": "confirmed"});
        if !kind.is_about_convictions() {
            let refused = order(&anna, &alert_id, "resolve", judged).await?;
            assert_eq!(refused.status, 400, "{kind:?}: {refused:?}");
            let over = done(&anna, &alert_id, "resolve", json!({"reason": "mended"})).await?;
            assert_eq!(over["outcome"], Value::Null, "{kind:?}");
            continue;
        }
        // Of two people who end it at once, one succeeds.
        let released = json!({"reason": "all of them are people", "outcome": "released"});
        let (one, other) = tokio::try_join!(
            order(&anna, &alert_id, "resolve", judged),
            order(&berta, &alert_id, "resolve", released)
        )?;
        let (first, second, outcome) =
            if one.status == 200 { (one, other, "confirmed") } else { (other, one, "released") };
        assert_eq!((first.status, second.status), (200, 409), "{kind:?}: {first:?} {second:?}");
        let shown = anna.send(&format!("GET /api/v1/alerts/{alert_id}"), "").await?.body;
        for told in [&first.body, &shown] {
            assert_eq!(told["outcome"], outcome, "{kind:?}: {told}");
            assert!(told["resolved_by"].is_string() && told["resolution"].is_string(), "{told}");
        }
        let admin = stack.as_admin()?;
        let path = format!("/api/v1/admin/audit?subject=alerts&subject_id={alert_id}");
        let audited: Value = serde_json::from_slice(&admin.connection().get(&path).await?.1)?;
        assert_eq!(audited["data"].as_array().map(Vec::len), Some(1), "{audited}");
        assert_eq!(audited["data"][0]["after"]["outcome"], outcome, "{audited}");
        assert_eq!(audited["data"][0]["actor"], shown["resolved_by"], "{audited}");
    }
    Ok(())
}

/// Returns the news that the receiver got: incident and change, in order.
fn told(receiver: &Receiver) -> Result<Vec<(String, String)>> {
    receiver
        .posts()?
        .iter()
        .map(|post| {
            let news: Value = serde_json::from_slice(&post.body)?;
            let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
            Ok((text(&news["alert"]["alert_id"])?, text(&news["change"])?))
        })
        .collect()
}

async fn is_told(receiver: &Receiver, alert_id: &str, changes: &[&str]) -> Result<()> {
    let expected: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    let outcome = eventually(&format!("{changes:?} are told"), PATIENCE, async || {
        let told = told(receiver).ok()?.into_iter().filter(|(id, _)| id == alert_id);
        (told.map(|(_, change)| change).collect::<Vec<_>>() == expected).then_some(())
    })
    .await;
    outcome.with_context(|| format!("{:?}", told(receiver)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_holds_what_is_found_until_it_ends() -> Result<()> {
    let receiver = Receiver::start(SECRET, &[200]).await?;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_ALERT_WEBHOOK_URL", receiver.url.as_str());
    stack.set("CLICKWIRE_ALERT_WEBHOOK_SECRET", SECRET);
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let password = stack.account("anna", "ops", &[]).await?;
    let anna = Person::sign_in(stack.server_url(), "anna", &password).await?;
    open(&stack).await?;
    let first = another(&anna, &[]).await?;
    let first = id(&first)?;
    is_told(&receiver, first, &["opened"]).await?;

    // Its end is told, for its beginning was; what is found then is silent, and told when the silence ends.
    let end = OffsetDateTime::now_utc() + Duration::from_secs(8);
    done(&anna, first, "silence", json!({"until": end.format(&Rfc3339)?, "reason": "known"})).await?;
    done(&anna, first, "resolve", json!({"reason": "known"})).await?;
    let second = another(&anna, &[first]).await?;
    assert_eq!(second["silenced_by"], "account:anna", "the silence goes on");
    let second = id(&second)?;
    is_told(&receiver, first, &["opened", "silenced", "resolved"]).await?;
    let untold =
        |alert_id: &str| -> Result<bool> { Ok(told(&receiver)?.iter().all(|(id, _)| id != alert_id)) };
    assert!(untold(second)? || OffsetDateTime::now_utc() >= end, "told within the silence");
    is_told(&receiver, second, &["opened"]).await?;
    assert!(OffsetDateTime::now_utc() >= end, "told within the silence");
    let silenced = anna.send("GET /api/v1/alerts?state=silenced", "").await?.body;
    assert_eq!(silenced["data"], json!([]), "it has ended by itself");

    // Of one that begins and ends within a silence nothing is told.
    done(&anna, second, "silence", json!({"until": after(600)?, "reason": "still known"})).await?;
    done(&anna, second, "resolve", json!({"reason": "still known"})).await?;
    let third = another(&anna, &[first, second]).await?;
    let third = id(&third)?;
    done(&anna, third, "notes", json!({"text": "nobody is called"})).await?;
    done(&anna, third, "resolve", json!({"reason": "again"})).await?;
    let fourth = another(&anna, &[first, second, third]).await?;
    let fourth = id(&fourth)?;
    let lift = format!("DELETE /api/v1/alerts/{third}/silence");
    assert_eq!(anna.send(&lift, "").await?.status, 409, "a later incident carries it");
    assert!(untold(fourth)?);
    // Lifted, it lets through what it has held.
    let lift = format!("DELETE /api/v1/alerts/{fourth}/silence");
    assert_eq!(anna.send(&lift, "").await?.status, 200);
    is_told(&receiver, fourth, &["opened", "unsilenced"]).await?;
    assert!(untold(third)?, "{:?}", told(&receiver)?);
    is_told(&receiver, second, &["opened", "silenced", "resolved"]).await
}
