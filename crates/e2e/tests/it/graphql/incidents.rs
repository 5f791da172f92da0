//! Incidents in GraphQL: what REST tells operators, and nothing to others.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use serde_json::Value;

use super::{as_rest, ask, bearer, over_rest};
use crate::alerts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_told_of_incidents_as_over_rest_and_nobody_else() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    for address in ["0", "1", "2"] {
        stack.publish(&alerts::burst(&address.repeat(32), 120)).await?;
    }
    eventually("incidents are open", Duration::from_secs(20), async || {
        // One for each address, and the campaign's, which comes later.
        let kinds = "SELECT count(*) FROM alerts WHERE kind IN ('ip_burst', 'fraud_rate')";
        let open: i64 = sqlx::query_scalar(kinds).fetch_one(stack.database()).await.ok()?;
        (open == 4).then_some(())
    })
    .await?;
    let admin = bearer(stack.as_admin()?.token());
    let fields = "alertId kind subject advertiserId campaignId severity openedAt resolvedAt resolvedBy resolution outcome acknowledgedBy assignedTo silencedUntil";
    // What was measured, and when last, may change between two answers.
    let named = |value: &Value| {
        let mut value = as_rest(value);
        for name in ["last_seen_at", "details", "version", "note_count"] {
            value.as_object_mut().map(|fields| fields.remove(name));
        }
        value
    };
    for (state, of_rest) in
        [("OPEN", "open"), ("ALL", "all"), ("SILENCED", "silenced"), ("RESOLVED", "resolved")]
    {
        let found =
            ask(&stack, &admin, &format!("{{ incidents(state: {state}) {{ nodes {{ {fields} }} next }} }}"))
                .await?;
        let rest = over_rest(&stack, &admin, &format!("/api/v1/alerts?state={of_rest}&limit=200")).await?;
        let all = |list: &Value| list.as_array().map(|list| list.iter().map(named).collect::<Vec<_>>());
        assert_eq!(all(&found["data"]["incidents"]["nodes"]), all(&rest["data"]), "{state}: {found}");
    }
    // Page by page.
    let page = async |before: &str| {
        ask(&stack, &admin, &format!("{{ incidents(limit: 2{before}) {{ nodes {{ alertId }} next }} }}"))
            .await
    };
    let first = page("").await?;
    let next = first["data"]["incidents"]["next"].as_str().context("no next page")?;
    let second = page(&format!(", before: \"{next}\"")).await?;
    ensure!(
        second["data"]["incidents"]["nodes"][0]["alertId"]
            != first["data"]["incidents"]["nodes"][0]["alertId"]
    );
    for (headers, document, code) in [
        (&bearer(&Stack::viewer_token("adv_001")), "{ incidents { nodes { alertId } } }", "forbidden"),
        (&admin, "{ incidents(limit: 201) { next } }", "invalid"),
        (&admin, "{ incidents(before: \"x\") { next } }", "invalid"),
    ] {
        let refused = ask(&stack, headers, document).await?;
        assert_eq!(refused["errors"][0]["extensions"]["code"], code, "{document}: {refused}");
        assert_eq!(refused["data"], Value::Null, "{document}");
    }
    Ok(())
}
