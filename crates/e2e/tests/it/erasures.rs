//! An erased user is nowhere in the database, and everything is counted and judged as before.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_client::NewClick;
use clickwire_e2e::{
    Stack, eventually,
    naive::{self, Evidence},
};
use clickwire_ledger::erasure::{self, Order};
use clickwire_protocol::{
    ids::{AdId, AdvertiserId, CampaignId},
    stream::DEFAULT_PARTITIONS,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::live::counted;

const USER: &str = "anna.lindqvist-7731@example.org";
const ADDRESS: &str = "198.51.100.77";

/// Clicks of the user in a burst: more than a minute may have.
const BURST: usize = 60;

fn click(advertiser: &str, ad: &str, user: &str) -> NewClick {
    NewClick {
        user_id: Some(user.to_owned()),
        ip_address: ADDRESS.parse().ok(),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".to_owned()),
        clicked_at: Some(OffsetDateTime::now_utc()),
        referrer: Some(format!("https://example.org/of/{USER}")),
        params: [("gclid".to_owned(), format!("gclid-of-{USER}"))].into(),
        ..NewClick::new(
            AdvertiserId::unchecked(advertiser),
            CampaignId::unchecked("camp_x"),
            AdId::unchecked(ad),
        )
    }
}

/// Returns the disposition of each click.
async fn dispositions(stack: &Stack) -> Result<BTreeMap<naive::Name, String>> {
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("SELECT click_id, advertiser_id, disposition::text FROM clicks")
            .fetch_all(stack.database())
            .await?;
    Ok(rows.into_iter().map(|(id, advertiser, disposition)| ((id, advertiser), disposition)).collect())
}

/// The same, recounted from the ledger's rows by the rules as they are written.
async fn recounted(stack: &Stack) -> Result<BTreeMap<naive::Name, String>> {
    let rows = sqlx::query(
        "SELECT click_id, advertiser_id, coalesce(bound, false) AS bound, ad_id, user_id, encode(ip_hash, 'hex') AS address, \
                (extract(epoch FROM clicked_at) * 1000)::bigint AS at_ms, disposition::text, \
                coalesce(evidence && '{user_agent,data_center}', false) AS is_robot FROM clicks",
    )
    .fetch_all(stack.database())
    .await?;
    let evidence = rows.iter().map(|row| {
        let disposition: String = row.try_get("disposition")?;
        Ok(Evidence {
            click_id: row.try_get("click_id")?,
            advertiser_id: row.try_get("advertiser_id")?,
            is_bound: row.try_get("bound")?,
            clicked_at_ms: row.try_get("at_ms")?,
            is_test: disposition == "test",
            is_late: disposition == "defective",
            is_robot: row.try_get("is_robot")?,
            is_forged: false,
            user_id: row.try_get("user_id")?,
            ad_id: row.try_get("ad_id")?,
            address: row.try_get("address")?,
        })
    });
    let evidence = evidence.collect::<Result<Vec<_>>>()?;
    Ok(naive::judge(&evidence).into_iter().map(|(name, judged)| (name, judged.as_str().to_owned())).collect())
}

/// The tables that have a text, or its bytes, in one of their rows.
async fn tables_with(stack: &Stack, text: &str) -> Result<Vec<String>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
          WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    )
    .fetch_all(stack.database())
    .await?;
    ensure!(tables.len() > 40, "chunks and all: {tables:?}");
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {table} AS t WHERE position($1 IN t::text) > 0 OR position($2 IN t::text) > 0)"
        );
        let has =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(text).bind(&hex).fetch_one(stack.database()).await?;
        if has {
            found.push(table);
        }
    }
    Ok(found)
}

async fn erase(stack: &Stack, advertiser: &str, user: &str) -> Result<Value> {
    let order = json!({"advertiser_id": advertiser, "user_id": user, "reason": "asked for it, ticket 7"});
    let mut admin = stack.as_admin()?.connection();
    let (status, body) = admin.post("/api/v1/admin/erasures", order.to_string().into_bytes()).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}

/// Posts what the user has done, beside others; returns how many clicks of `adv_001` are the user's.
async fn traffic(stack: &Stack) -> Result<usize> {
    let mut poster = stack.poster()?;
    let mut clicks = vec![click("adv_001", "ad_same", USER), click("adv_001", "ad_same", USER)];
    clicks.extend((0..BURST).map(|number| click("adv_001", &format!("ad_{number}"), USER)));
    let of_user = clicks.len();
    clicks.push(click("adv_001", "ad_same", "somebody else"));
    clicks.push(click("adv_002", "ad_other", USER));
    clicks.push(NewClick {
        user_agent: Some("curl/8.5".to_owned()),
        ..click("adv_001", "ad_robot", "a robot")
    });
    for click in &clicks {
        poster.post_click(click).await?;
    }
    counted(stack, clicks.len() as i64).await?;
    Ok(of_user)
}

/// A kept export with the user in it.
async fn export(stack: &Stack) -> Result<()> {
    let mut admin = stack.as_admin()?.connection();
    let wanted = json!({"kind": "clicks", "parameters": {"advertiser_id": "adv_001", "format": "ndjson"}});
    let (status, body) = admin.post("/api/v1/exports/jobs", wanted.to_string().into_bytes()).await?;
    ensure!(status == 202, "{status}: {}", String::from_utf8_lossy(&body));
    eventually("the export has the user", Duration::from_secs(10), async || {
        tables_with(stack, USER).await.ok()?.contains(&"export_pieces".to_owned()).then_some(())
    })
    .await
}

/// An incident about the user, acknowledged, which is recorded, and a dead letter with the user in it.
async fn records(stack: &Stack) -> Result<()> {
    export(stack).await?;
    let alert: Uuid = eventually("the burst is an incident", Duration::from_secs(10), async || {
        let alert = "SELECT alert_id FROM alerts WHERE kind = 'user_burst' AND subject = 'adv_001/' || $1";
        sqlx::query_scalar(alert).bind(USER).fetch_optional(stack.database()).await.ok()?
    })
    .await?;
    let mut admin = stack.as_admin()?.connection();
    let (status, _) = admin.post(&format!("/api/v1/alerts/{alert}/acknowledge"), b"{}".to_vec()).await?;
    ensure!(status.is_success(), "{status}");
    let letter = json!({"advertiser_id": "adv_001", "user_id": USER, "ip_hash": "00ff", "user_agent": USER});
    for payload in [letter.to_string(), format!("no JSON {USER}")] {
        sqlx::query(
            "INSERT INTO dead_letter_actions (actor, action, reason, stream, sequence, generation, payload) \
             VALUES ('a test', 'dismiss', 'a test', 'CLICKS_DLQ', 1 + (SELECT count(*) FROM dead_letter_actions), now(), $1)",
        )
        .bind(payload.as_bytes())
        .execute(stack.database())
        .await?;
    }
    let before = tables_with(stack, USER).await?;
    for table in ["alerts", "alert_changes", "audit_log", "dead_letter_actions"] {
        ensure!(before.iter().any(|found| found == table), "{table} should have the user: {before:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_in_no_table_and_everything_counts_as_before() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let of_user = traffic(&stack).await?;
    records(&stack).await?;
    let before = dispositions(&stack).await?;
    for disposition in ["valid", "duplicate", "sivt", "givt"] {
        ensure!(before.values().any(|judged| judged == disposition), "nothing is {disposition}: {before:?}");
    }
    assert_eq!(recounted(&stack).await?, before);
    let address: Option<String> = sqlx::query_scalar(
        "SELECT max(encode(ip_hash, 'hex')) FROM clicks WHERE user_id = $1 AND advertiser_id = 'adv_001'",
    )
    .bind(USER)
    .fetch_one(stack.database())
    .await?;
    let address = address.context("no address")?;

    eventually("all partitions have counted", Duration::from_secs(20), async || {
        let partitions = "SELECT count(*) FROM watermarks";
        let partitions: i64 = sqlx::query_scalar(partitions).fetch_one(stack.database()).await.ok()?;
        (partitions == i64::from(DEFAULT_PARTITIONS)).then_some(())
    })
    .await?;
    let erased = erase(&stack, "adv_001", USER).await?;
    assert_eq!((&erased["finished"], &erased["clicks"]), (&json!(true), &json!(of_user)), "{erased}");
    assert_eq!((&erased["incidents"], &erased["dead_letters"]), (&json!(1), &json!(2)), "{erased}");
    ensure!(erased["counted_before"].is_string() && !erased.to_string().contains(USER), "{erased}");
    ensure!(erased["left"].as_array().is_some_and(|left| left.len() > 3), "{erased}");

    // What is counted and judged is as it was, and a recount finds the same.
    assert_eq!(dispositions(&stack).await?, before);
    assert_eq!(recounted(&stack).await?, before);
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM clicks WHERE advertiser_id = 'adv_001' AND user_id LIKE 'erased-%' \
            AND (os IS NOT NULL OR browser IS NOT NULL OR params IS NOT NULL OR referrer IS NOT NULL OR ip_hash = decode($1, 'hex'))",
    )
    .bind(&address)
    .fetch_one(stack.database())
    .await?;
    let stand_ins: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT user_id), count(DISTINCT ip_hash) FROM clicks WHERE user_id LIKE 'erased-%'",
    )
    .fetch_one(stack.database())
    .await?;
    assert_eq!((left, stand_ins), (0, (of_user as i64, 1, 1)));

    // Another advertiser's user has the same name by chance, and is erased where the programs run.
    let others = "SELECT count(*) FROM clicks WHERE user_id = $1 AND advertiser_id = 'adv_002'";
    let others: i64 = sqlx::query_scalar(others).bind(USER).fetch_one(stack.database()).await?;
    assert_eq!(others, 1);
    let arguments = ["erase-user", "--advertiser", "adv_002", "--user", USER, "--reason", "asked for it"];
    let erased = stack.administer(&arguments).await?;
    assert_eq!((&erased["finished"], &erased["clicks"]), (&json!(true), &json!(1)), "{erased}");
    // The referrer and the gclid of the others' clicks name the user, too, but are the others'.
    sqlx::query("UPDATE clicks SET params = NULL, referrer = NULL").execute(stack.database()).await?;
    assert_eq!(tables_with(&stack, USER).await?, [""; 0]);
    recorded(&stack).await?;

    // The user who comes back is a new one, and can be erased again.
    stack.poster()?.post_click(&click("adv_001", "ad_same", USER)).await?;
    counted(&stack, before.len() as i64 + 1).await?;
    assert_eq!(dispositions(&stack).await?, recounted(&stack).await?);
    assert_eq!(erase(&stack, "adv_001", USER).await?["clicks"], 1);
    assert_eq!(erase(&stack, "adv_001", USER).await?["clicks"], 0);
    Ok(())
}

/// The log names who has ordered what, and no secret.
async fn recorded(stack: &Stack) -> Result<()> {
    let (_, body) = stack.as_admin()?.connection().get("/api/v1/admin/audit?subject=erasures").await?;
    let log: Value = serde_json::from_slice(&body)?;
    let entries = log["data"].as_array().context("no entries")?;
    let actions: Vec<_> =
        entries.iter().map(|entry| (entry["action"].as_str(), entry["actor"].as_str())).collect();
    let expected = [
        (Some("update"), Some("shell:tester")),
        (Some("insert"), Some("shell:tester")),
        (Some("update"), Some("admin")),
        (Some("insert"), Some("admin")),
    ];
    assert_eq!(actions, expected);
    for entry in entries {
        let after = &entry["after"];
        ensure!(
            after["user_mac"].as_str().is_some_and(|mac| mac.len() == 66) && after["secret_hash"].is_null(),
            "{entry}"
        );
    }
    assert_eq!(entries[3]["after"]["reason"], "asked for it, ticket 7");
    // The records are append-only for everybody else, and an erasure changes no more than it must.
    for (sql, says) in [
        ("UPDATE audit_log SET before = NULL", "can only be added to"),
        (
            "SELECT set_config('clickwire.erasing', 'on', true); UPDATE audit_log SET actor = 'nobody'",
            "no more than",
        ),
        ("SELECT set_config('clickwire.erasing', 'on', true); DELETE FROM audit_log", "can only be added to"),
        (
            "SELECT set_config('clickwire.erasing', 'on', true); UPDATE dead_letter_actions SET reason = 'x'",
            "no more than",
        ),
    ] {
        let mut transaction = stack.database().begin().await?;
        let refused = sqlx::raw_sql(sql).execute(&mut *transaction).await;
        let refused = refused.err().context(sql)?.to_string();
        ensure!(refused.contains(says), "{sql}: {refused}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_cut_off_goes_on_and_a_wrong_order_is_refused() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    let two_clicks = [click("adv_001", "ad_same", USER), click("adv_001", "ad_same", USER)];
    poster.post_click(&two_clicks[0]).await?;
    counted(&stack, 1).await?;

    // As a server that dies after the first part leaves it; the code is of another secret.
    let advertiser_id = AdvertiserId::unchecked("adv_001");
    let order = Order {
        advertiser_id: &advertiser_id,
        user_id: USER,
        user_mac: b"a code",
        actor: "a test",
        reason: "r",
    };
    let mut transaction = stack.database().begin().await?;
    let begun = erasure::begin(&mut transaction, &order).await?;
    let names = stack.names();
    let part =
        erasure::erase_some(&mut transaction, &names, &order, &begun, OffsetDateTime::UNIX_EPOCH).await?;
    assert_eq!(part.map(|part| part.clicks), Some(1));
    transaction.commit().await?;
    poster.post_click(&two_clicks[1]).await?;
    counted(&stack, 2).await?;
    let mut transaction = stack.database().begin().await?;
    let again = erasure::begin(&mut transaction, &order).await?;
    assert_eq!((again.erasure_id, again.stand_in()), (begun.erasure_id, begun.stand_in()));
    erasure::erase_some(&mut transaction, &names, &order, &again, OffsetDateTime::UNIX_EPOCH).await?;
    let totals = erasure::finish(&mut transaction, &order, &again, 0).await?;
    transaction.commit().await?;
    assert_eq!(totals.clicks, 2);
    let same: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT user_id) FROM clicks").fetch_one(stack.database()).await?;
    assert_eq!(same, 1, "one stand-in for both parts");
    let mut transaction = stack.database().begin().await?;
    assert_ne!(
        erasure::begin(&mut transaction, &order).await?.stand_in(),
        begun.stand_in(),
        "the secret is forgotten"
    );
    transaction.rollback().await?;

    for (wrong, field) in [
        (json!({"advertiser_id": "adv 1", "user_id": USER, "reason": "r"}), "advertiser_id"),
        (json!({"advertiser_id": "adv_001", "user_id": "", "reason": "r"}), "user_id"),
        (json!({"advertiser_id": "adv_001", "user_id": USER, "reason": " "}), "reason"),
        (json!({"advertiser_id": "adv_001", "user_id": USER, "reason": format!("{USER} asked")}), "reason"),
    ] {
        let mut admin = stack.as_admin()?.connection();
        let (status, body) = admin.post("/api/v1/admin/erasures", wrong.to_string().into_bytes()).await?;
        let body: Value = serde_json::from_slice(&body)?;
        assert_eq!(status.as_u16(), 400, "{wrong}: {body}");
        ensure!(body["error"]["fieldErrors"][field].is_array(), "{wrong}: {body}");
    }
    Ok(())
}
