//! A server has the parts of the API that its roles name, and is ready for these.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, Wire, eventually, raw};
use clickwire_services::Server as Service;

/// A part of the API and a request that only this part answers.
const PARTS: [(&str, &str); 5] = [
    ("intake", "POST /api/v1/clicks"),
    ("redirect", "GET /r/ad_001"),
    ("query", "GET /api/v1/analytics/aggregate"),
    ("live", "GET /api/v1/live/sse"),
    ("admin", "GET /api/v1/admin/stats"),
];

/// People sign in to a server that has something for them.
const FOR_PEOPLE: [&str; 3] = ["query", "live", "admin"];

/// Returns whether a request leads to a handler, with whatever answer. An unknown ad is 404, too, with a page.
async fn is_served(url: &str, request: &str) -> Result<bool> {
    let answer = raw::head(url, request, "", b"").await?;
    let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    // A path that another part takes by another method is 405.
    Ok(![404, 405].contains(&answer.status) || (request.contains("/r/") && is_page))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_what_its_roles_name_and_nothing_else() -> Result<()> {
    let mut stack = Stack::new().await?;
    for roles in
        ["intake", "redirect", "query", "live", "admin", "intake,redirect,intake", "query,live,admin"]
    {
        stack.set("CLICKWIRE_ROLES", roles);
        let server = stack.start_server().await?;
        let url = stack.server_url().to_owned();
        let has = |part: &str| roles.split(',').any(|role| role == part);
        for (part, request) in PARTS {
            ensure!(is_served(&url, request).await? == has(part), "{roles}: {request}");
        }
        let people = FOR_PEOPLE.iter().any(|part| has(part));
        for request in ["GET /", "GET /api/v1/session", "PUT /api/v1/account/password"] {
            ensure!(is_served(&url, request).await? == people, "{roles}: {request}");
        }
        for request in ["GET /health", "GET /livez", "GET /readyz"] {
            ensure!(is_served(&url, request).await?, "{roles}: {request}");
        }
        let document = raw::send(&url, "GET /api/v1/openapi.json", "", b"").await?.body;
        let clicks = &document["paths"]["/api/v1/clicks"];
        ensure!(clicks["post"].is_object() == has("intake"), "{roles}: the document");
        ensure!(clicks["get"].is_object() == has("query"), "{roles}: the document");
        server.kill().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_roles() -> Result<()> {
    // The roles; whether such a server is ready without the broker, the database, Redis.
    let table = [
        ("intake", [false, true, true]),
        ("redirect", [true, true, true]),
        ("query", [true, false, true]),
        ("admin", [true, false, true]),
        ("live", [true, false, false]),
        ("intake,redirect,live", [true, true, true]),
    ];
    let services = [Service::Nats, Service::Database, Service::Redis];
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    for (roles, ready) in table {
        stack.set("CLICKWIRE_ROLES", roles);
        let server = stack.start_server().await?;
        let url = stack.server_url().to_owned();
        let is = async |expected: bool, what: &str| {
            eventually(what, Duration::from_secs(20), async || {
                let answer = raw::send(&url, "GET /readyz", "", b"").await.ok()?;
                ((answer.status == 200) == expected).then_some(())
            })
            .await
        };
        is(true, &format!("{roles}: ready with everything")).await?;
        for (service, is_ready) in services.into_iter().zip(ready) {
            stack.wire_to(service)?.set(Wire::Cut);
            if is_ready {
                // Long enough for a check of what is away.
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            is(is_ready, &format!("{roles}: without {}", service.name())).await?;
            stack.wire_to(service)?.set(Wire::Whole);
            is(true, &format!("{roles}: ready again")).await?;
        }
        server.kill().await?;
    }
    Ok(())
}
