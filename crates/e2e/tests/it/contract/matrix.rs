//! Permissions: every operation of the document by every kind of caller, and every operation about an
//! advertiser by those who may see another one. The matrix is made from the document, so that a route without a rule
//! fails.

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use clickwire_protocol::live::close;
use serde_json::json;

use super::super::live::{closed, hear, open, say};
use super::{
    JSON, PATIENCE, bearer,
    document::{Document, Operation},
};

/// A kind of caller.
struct Caller {
    name: &'static str,
    headers: String,
    /// The permitted operations: roles of the document.
    may: &'static [&'static str],
    /// The status for all others: the caller is unknown, or it may not do that.
    refused: u16,
    /// The caller may see `adv_001` alone.
    is_tenant: bool,
}

/// An operation with something in place of its parameters.
fn request(operation: &Operation, parameter: &str) -> String {
    let parts = operation.path.split('/');
    let path: Vec<_> = parts.map(|part| if part.starts_with('{') { parameter } else { part }).collect();
    format!("{} {}", operation.method, path.join("/"))
}

/// Returns whether an operation answers advertisers with their own data.
fn is_viewers(operation: &Operation) -> bool {
    ["viewer", "clicks"].contains(&operation.role.as_str())
}

async fn callers(stack: &Stack) -> Result<Vec<Caller>> {
    let url = stack.server_url();
    let anna = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let finance = stack.account("finance", "finance", &[]).await?;
    let ops = stack.account("ops", "ops", &[]).await?;
    let root = stack.account("root", "admin", &[]).await?;
    let anna = Person::sign_in(url, "anna", &anna).await?;
    let issued = anna.send("POST /api/v1/account/tokens", r#"{"name": "a program"}"#).await?;
    let token = issued.body["token"].as_str().context("no token")?;
    let finance = Person::sign_in(url, "finance", &finance).await?;
    let ops = Person::sign_in(url, "ops", &ops).await?;
    let root = Person::sign_in(url, "root", &root).await?;
    let admin = bearer(stack.as_admin()?.token());
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let (tenant, everybody) = (true, false);
    let all: [(&str, String, &[&str], u16, bool); 10] = [
        ("nobody", String::new(), &["anybody"], 401, everybody),
        ("a wrong token", bearer("nobody's"), &["anybody"], 401, everybody),
        ("a key", bearer(Stack::ingest_key()), &["anybody", "poster"], 401, everybody),
        ("a viewer's token", viewer, &["anybody", "viewer", "clicks"], 403, tenant),
        (
            "the administrator's token",
            admin,
            &["anybody", "viewer", "clicks", "staff", "operator", "admin"],
            403,
            everybody,
        ),
        ("an advertiser's program", bearer(token), &["anybody", "viewer", "clicks"], 403, tenant),
        ("an advertiser", anna.headers(), &["anybody", "viewer", "clicks", "account"], 403, tenant),
        ("finance", finance.headers(), &["anybody", "viewer", "account", "staff"], 403, everybody),
        (
            "operations",
            ops.headers(),
            &["anybody", "viewer", "clicks", "account", "staff", "operator"],
            403,
            everybody,
        ),
        (
            "an administrator",
            root.headers(),
            &["anybody", "viewer", "clicks", "account", "staff", "operator", "admin"],
            403,
            everybody,
        ),
    ];
    let callers = all.into_iter().map(|(name, headers, may, refused, is_tenant)| Caller {
        name,
        // Each names its content type once.
        headers: format!("{}{JSON}", headers.replace(JSON, "")),
        may,
        refused,
        is_tenant,
    });
    Ok(callers.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_takes_whom_the_document_names_and_no_others() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let document = Document::served_by(url).await?;
    let callers = callers(&stack).await?;
    eventually("keys are read", PATIENCE, async || {
        let answer = raw::send(url, "POST /api/v1/clicks", &bearer("nobody's"), b"").await.ok()?;
        (answer.status == 401).then_some(())
    })
    .await?;
    let mut operations = document.operations();
    // Who has signed out can try nothing else.
    operations.sort_by_key(|operation| operation.method == "DELETE" && operation.path == "/api/v1/session");
    for operation in operations {
        let role = operation.role.as_str();
        ensure!(callers.iter().any(|caller| caller.may.contains(&role)), "{role} is no role");
        let request = request(&operation, "1");
        for Caller { name, headers, may, refused, .. } in &callers {
            // Keys open nothing else, and nothing else posts clicks.
            let refused = if role == "poster" || may.len() == 1 { 401 } else { *refused };
            let answer = raw::head(url, &request, headers, b"{}").await?;
            if may.contains(&role) {
                // What is wrong with the request, if anything, is not who sent it: `{}` is no sign-in.
                let is_in = ![401, 403].contains(&answer.status);
                assert!(is_in, "{request} by {name}: {answer:?}");
            } else {
                assert_eq!(answer.status, refused, "{request} by {name}: {answer:?}");
                let answer = raw::send(url, &request, headers, b"{}").await?;
                document
                    .judge(&operation, &answer)
                    .with_context(|| format!("{request} by {name}: {answer:?}"))?;
            }
        }
        if operation.path.contains('{') {
            let request = self::request(&operation, "%FF");
            let admin =
                callers.iter().find(|caller| caller.may.contains(&"admin")).context("no administrator")?;
            let answer = raw::send(url, &request, &admin.headers, b"{}").await?;
            document.judge(&operation, &answer).with_context(|| format!("{request}: {answer:?}"))?;
        }
        for method in ["DELETE", "PATCH"] {
            let request = request.replacen(&operation.method, method, 1);
            if document.operation(&request).is_err() {
                let answer = raw::send(url, &request, "", b"").await?;
                assert_eq!(answer.status, 405, "{request}: {answer:?}");
                assert_eq!(answer.body["error"]["code"], "method_not_allowed", "{request}: {answer:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_another_advertisers_data() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let document = Document::served_by(url).await?;
    let callers = callers(&stack).await?;
    let operations = document.operations();
    // Operators see everybody's, whomever they name.
    let is_about_one = |operation: &&Operation| is_viewers(operation) && operation.takes("advertiser_id");
    let about_one: Vec<_> = operations.iter().filter(is_about_one).collect();
    ensure!(about_one.len() >= 4, "{about_one:?}");
    for operation in &operations {
        // A new way to ask for an advertiser's data is tried below, or says here why it need not be.
        let is_tried = operation.takes("advertiser_id");
        match (is_viewers(operation), operation.path.as_str()) {
            (true, "/api/v1/advertisers" | "/api/v1/session" | "/api/v1/settings") => {}
            // Tried with each question of its own (`graphql`).
            (true, "/api/v1/graphql") => {}
            // The ad names one (`redirects::test_clicks`).
            (true, "/api/v1/ads/{ad_id}/test-click") => {}
            // The same for everybody.
            (true, "/api/v1/graphql/schema") => {}
            // Its body names one, and a job is its owner's (`export_jobs`).
            (true, path) if path.starts_with("/api/v1/exports/jobs") => {}
            (true, path) if !is_tried => bail!("{path} does not say which advertiser it is about"),
            _ => {}
        }
    }
    for operation in about_one {
        for Caller { name, headers, is_tenant, may, .. } in &callers {
            if !may.contains(&operation.role.as_str()) {
                continue;
            }
            for (advertiser, is_own) in [("adv_001", true), ("adv_002", false), ("adv_404", false)] {
                let grouped =
                    if operation.path.ends_with("/breakdown") { "&group_by=advertiser_id" } else { "" };
                let request = format!("{}?advertiser_id={advertiser}{grouped}", request(operation, "1"));
                let answer = raw::head(url, &request, headers, b"").await?;
                let expected = if !is_own && *is_tenant { 403 } else { 200 };
                assert_eq!(answer.status, expected, "{request} by {name}: {answer:?}");
            }
        }
    }
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT date_trunc('minute', now()), 'adv_00' || n, 'c', 'a', 'DE', 'tv', 1 FROM generate_series(1, 2) AS n",
    )
    .execute(stack.database())
    .await?;
    for Caller { name, headers, is_tenant, may, .. } in &callers {
        if may.contains(&"viewer") {
            for question in
                ["breakdown?group_by=advertiser_id", "timeseries?group_by=advertiser_id,campaign_id"]
            {
                let request = format!("GET /api/v1/analytics/{question}");
                let text = raw::send(url, &request, headers, b"").await?.body.to_string();
                assert!(text.contains("adv_001"), "{request} by {name}: {text}");
                assert_eq!(text.contains("adv_002"), !is_tenant, "{request} by {name}: {text}");
            }
            let answer = raw::send(url, "GET /api/v1/advertisers", headers, b"").await?;
            let text = answer.body.to_string();
            assert_eq!(text.contains("adv_002"), !is_tenant, "{name}: {text}");
        }
    }
    Ok(())
}

/// The same for WebSockets, which no document describes: by a token in the first message, or by the cookie of
/// the handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_sessions_watch_what_their_caller_may_see() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let clicks =
        |advertiser: &str| json!({"kind": "clicks", "advertiser_id": advertiser, "window_minutes": 5});
    for Caller { name, headers, may, is_tenant, .. } in callers(&stack).await? {
        let value = |header: &str| headers.lines().find_map(|line| line.strip_prefix(header));
        let mut socket = open(&stack, value("cookie: ")).await?;
        let mut auth = json!({"type": "auth"});
        if let Some(token) = value("authorization: Bearer ") {
            auth["token"] = json!(token);
        }
        say(&mut socket, auth).await?;
        if !may.contains(&"viewer") {
            assert_eq!(closed(&mut socket).await?, close::UNAUTHORIZED, "{name}");
            continue;
        }
        let welcome = hear(&mut socket).await?;
        let seen = if is_tenant { json!(["adv_001"]) } else { json!(null) };
        assert_eq!(
            (&welcome["type"], &welcome["advertisers"]),
            (&json!("welcome"), &seen),
            "{name}: {welcome}"
        );
        for (view, is_shown) in [
            (clicks("adv_001"), true),
            (clicks("adv_002"), !is_tenant),
            (clicks("adv_404"), !is_tenant),
            (json!({"kind": "alerts"}), may.contains(&"operator")),
        ] {
            say(&mut socket, json!({"type": "subscribe", "id": 1, "view": view})).await?;
            let answer = hear(&mut socket).await?;
            if is_shown {
                assert!(
                    matches!(answer["type"].as_str(), Some("snapshot" | "alerts")),
                    "{name} {view}: {answer}"
                );
            } else {
                assert_eq!(
                    (&answer["type"], &answer["code"]),
                    (&json!("error"), &json!("forbidden")),
                    "{name} {view}"
                );
            }
            say(&mut socket, json!({"type": "unsubscribe", "id": 1})).await?;
        }
    }
    Ok(())
}
