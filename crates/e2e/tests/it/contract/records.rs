//! Operations on what was recorded: verdicts, dead letters, deliveries to webhooks.

use std::time::Duration;

use anyhow::Result;
use clickwire_e2e::{Stack, eventually};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{Caller, PATIENCE, text};

/// One click that a rule convicts, and is released, twice: the posts above are robots' clicks.
pub(super) async fn verdicts(caller: &mut Caller<'_>, admin: &str, stack: &Stack) -> Result<()> {
    let click_id: String = eventually("a click is convicted", PATIENCE, async || {
        let query =
            sqlx::query_scalar("SELECT click_id::text FROM clicks WHERE disposition = 'givt' LIMIT 1");
        query.fetch_optional(stack.database()).await.ok()?
    })
    .await?;
    let click = format!("/api/v1/admin/clicks/{click_id}");
    let nowhere = "/api/v1/admin/clicks/01890a5d-ac96-774b-bcce-b302099a8057";
    let reason = json!({"reason": "a test of ours"});
    let found = "/api/v1/admin/clicks/release?advertiser_id=adv_001&disposition=givt";
    let calls = [
        (&*format!("GET {found}"), Value::Null, 200),
        ("GET /api/v1/admin/clicks/release", Value::Null, 400),
        (&*format!("POST {click}/release"), json!({"reason": ""}), 400),
        (&*format!("POST {click}/release"), reason.clone(), 200),
        (&*format!("GET {click}"), Value::Null, 200),
        (&*format!("GET {nowhere}"), Value::Null, 404),
        (&*format!("POST {nowhere}/release"), reason.clone(), 404),
        (&*format!("POST {found}"), reason.clone(), 200),
        ("POST /api/v1/admin/clicks/release", reason, 400),
    ];
    caller.all(admin, &calls).await
}

/// Messages that can't be read are set aside, which opens an incident.
pub(super) async fn dead_letters(caller: &mut Caller<'_>, admin: &str, stack: &Stack) -> Result<()> {
    let (broker, subject) = (stack.broker().await?, stack.names().subject(0));
    for message in [&b"nonsense"[..], b"\xff", b"{}"] {
        broker.publish(subject.clone(), message.to_vec().into()).await?.await?;
    }
    eventually("they are set aside", PATIENCE, async || {
        (stack.dead_letters().await.ok()? == 3).then_some(())
    })
    .await?;
    let letters = "/api/v1/admin/dead-letters";
    let click = json!({"click_id": "01890a5d-ac96-774b-bcce-b302099a8057", "advertiser_id": "adv_001",
        "campaign_id": "camp_001", "ad_id": "ad_001", "country": "DE", "device_type": "tv",
        "clicked_at_ms": clickwire_process::now_ms(), "received_at_ms": clickwire_process::now_ms()});
    let calls = [
        (&*format!("GET {letters}?limit=1"), Value::Null, 200),
        (&*format!("GET {letters}?limit=0"), Value::Null, 400),
        (&*format!("GET {letters}/1"), Value::Null, 200),
        (&*format!("GET {letters}/2"), Value::Null, 200),
        (&*format!("GET {letters}/999"), Value::Null, 404),
        (&*format!("GET {letters}/1/outcome"), Value::Null, 404),
        (&*format!("POST {letters}/1/replay"), Value::Null, 422),
        (
            &*format!("POST {letters}/1/replay"),
            json!({"payload": click.to_string(), "reason": "mended"}),
            200,
        ),
        (&*format!("GET {letters}/1/outcome"), Value::Null, 200),
        (&*format!("POST {letters}/2/dismiss"), json!({}), 400),
        (&*format!("POST {letters}/2/dismiss"), json!({"reason": "no click"}), 204),
        ("GET /api/v1/admin/pipeline", Value::Null, 200),
        ("GET /api/v1/alerts?state=nonsense", Value::Null, 400),
        ("POST /api/v1/alerts/nonsense/acknowledge", Value::Null, 404),
    ];
    caller.all(admin, &calls).await?;
    let alert_id = eventually("an incident is opened", PATIENCE, async || {
        let page =
            caller.json("GET /api/v1/alerts?state=all&limit=5", admin, &Value::Null, 200).await.ok()?;
        Some(text(&page, "/data/0/alert_id").ok()?.to_owned())
    })
    .await?;
    deliveries(caller, admin, stack).await?;
    let alert = format!("/api/v1/alerts/{alert_id}");
    let silence = |until: &str| json!({"until": until, "reason": "known"});
    let soon = (time::OffsetDateTime::now_utc() + Duration::from_secs(3_600)).format(&Rfc3339)?;
    let calls = [
        ("GET /api/v1/alerts/assignees", Value::Null, 200),
        ("GET /api/v1/alerts/nonsense", Value::Null, 404),
        (&*format!("POST {alert}/acknowledge"), Value::Null, 200),
        (&*format!("POST {alert}/assign"), json!({"from": null, "to": "account:nobody"}), 400),
        (&*format!("POST {alert}/assign"), json!({"from": null, "to": "admin"}), 200),
        (&*format!("POST {alert}/assign"), json!({"from": null, "to": null}), 409),
        (&*format!("POST {alert}/notes"), json!({"text": ""}), 400),
        (&*format!("POST {alert}/notes"), json!({"text": "one\ntwo"}), 200),
        (&*format!("POST {alert}/silence"), silence("2020-01-01T00:00:00Z"), 400),
        (&*format!("POST {alert}/silence"), silence(&soon), 200),
        ("GET /api/v1/alerts?state=silenced", Value::Null, 200),
        (&*format!("DELETE {alert}/silence"), Value::Null, 200),
        (&*format!("DELETE {alert}/silence"), Value::Null, 409),
        (&*format!("POST {alert}/resolve"), json!({"reason": "mended", "outcome": "perhaps"}), 400),
        (&*format!("POST {alert}/resolve"), json!({"reason": "mended", "outcome": null}), 200),
        (&*format!("POST {alert}/resolve"), json!({"reason": "mended"}), 409),
        (&*format!("GET {alert}"), Value::Null, 200),
    ];
    caller.all(admin, &calls).await?;
    Ok(())
}

/// News about the incident can be sent again once it has been sent.
pub(super) async fn deliveries(caller: &mut Caller<'_>, admin: &str, stack: &Stack) -> Result<()> {
    let listed = "/api/v1/admin/webhook-deliveries";
    let page = caller.json(&format!("GET {listed}"), admin, &Value::Null, 200).await?;
    let resend = format!("POST {listed}/{}/resend", text(&page, "/data/0/id")?);
    caller.json(&resend, admin, &Value::Null, 409).await?;
    sqlx::query("UPDATE alert_changes SET webhook_tries = 1, webhook_due_at = NULL")
        .execute(stack.database())
        .await?;
    let calls = [
        (resend.as_str(), Value::Null, 200),
        (&*format!("POST {listed}/incidents-0/resend"), Value::Null, 404),
        (&*format!("POST {listed}/reports-nonsense/resend"), Value::Null, 404),
        (&*format!("POST {listed}/nonsense/resend"), Value::Null, 404),
    ];
    caller.all(admin, &calls).await
}
