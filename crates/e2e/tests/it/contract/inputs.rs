//! Answers to any input: a parameter or body is answered as the document says, and never as if the server
//! or the database were at fault. The inputs are made from the document, so that a new operation is tried, too.

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use serde_json::{Value, json};

use super::{
    JSON, PATIENCE, bearer,
    document::{Document, Operation},
};

/// NUL, as a query string and a path have it.
const NUL: &str = "a%00b";

/// Values that some reader may stumble over.
const VALUES: [&str; 16] = [
    NUL,
    "%00",
    "%FF%FE",
    "",
    "0",
    "-1",
    "1e999",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "%5B%5D",
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "'%3B--",
];

/// The caller that may do an operation: an administrator's browser, or a key.
struct Callers {
    browser: String,
    token: String,
    key: String,
}

impl Callers {
    async fn new(stack: &Stack) -> Result<Self> {
        let url = stack.server_url();
        let password = stack.account("root", "admin", &[]).await?;
        let root = Person::sign_in(url, "root", &password).await?;
        Ok(Self {
            browser: root.headers().replace(JSON, ""),
            token: bearer(stack.as_admin()?.token()),
            key: format!("x-api-key: {}\r\n", Stack::ingest_key()),
        })
    }

    fn headers(&self, operation: &Operation) -> &str {
        match operation.role.as_str() {
            "account" => &self.browser,
            "poster" => &self.key,
            _ => &self.token,
        }
    }
}

/// A request with `value` in place of one parameter, and what does no harm in place of the others.
fn request(operation: &Operation, name: &str, place: &str, value: &str) -> String {
    let parts = operation.path.split('/').map(|part| {
        let parameter = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        match parameter {
            Some(parameter) if place == "path" && parameter == name => value,
            Some("account_id" | "click_id" | "alert_id") => "01890a5d-ac96-774b-bcce-b302099a8057",
            Some(_) => "1",
            None => part,
        }
    });
    let path = parts.collect::<Vec<_>>().join("/");
    let query = if place == "query" { format!("?{name}={value}") } else { String::new() };
    format!("{} {path}{query}", operation.method)
}

/// Sends it and looks at the answer. Streams are looked at up to their head.
async fn tried(
    stack: &Stack,
    document: &Document,
    operation: &Operation,
    request: &str,
    headers: &str,
    body: &str,
) -> Result<raw::Answer> {
    let url = stack.server_url();
    let answer = match operation.path.as_str() {
        path if path.starts_with("/api/v1/live/sse") => {
            raw::head(url, request, headers, body.as_bytes()).await?
        }
        _ => raw::send(url, request, headers, body.as_bytes()).await?,
    };
    ensure!(answer.status < 500, "{request} {body}: {answer:?}");
    if answer.status >= 400 && !operation.path.starts_with("/api/v1/live/sse") {
        document.judge(operation, &answer).with_context(|| format!("{request} {body}: {answer:?}"))?;
    }
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_parameter_is_the_servers_fault() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let document = Document::served_by(stack.server_url()).await?;
    let callers = Callers::new(&stack).await?;
    let mut count = 0;
    for operation in document.operations() {
        // What ends the session that the others are tried with.
        let headers = match operation.path.as_str() {
            "/api/v1/session" if operation.method == "DELETE" => "",
            _ => callers.headers(&operation),
        };
        let headers = format!("{headers}{JSON}");
        for (name, place) in operation.parameters() {
            // A path with nothing in a parameter's place is another path.
            for value in VALUES.into_iter().filter(|value| place != "path" || !value.is_empty()) {
                let request = request(&operation, &name, &place, value);
                let status = tried(&stack, &document, &operation, &request, &headers, "{}").await?.status;
                if value == NUL && operation.path.starts_with("/api/") && !headers.starts_with("content-type")
                {
                    assert_eq!(status, 400, "{request}");
                }
                count += 1;
            }
        }
    }
    ensure!(count > 500, "{count} requests");
    Ok(())
}

/// Returns values in place of an object, and of each of its fields.
fn bodies(fields: &[String]) -> Vec<Value> {
    let whole = [json!([]), json!([1, 2]), json!(["a", "b", "c", "d"]), json!(null), json!("{}"), json!(1)];
    let fields = fields.iter().flat_map(|field| {
        let values =
            [json!("a\0"), json!([1]), json!([100, 60]), json!(u64::MAX), json!({"a": "\0"}), json!(-1)];
        values.into_iter().map(move |value| json!({field: value}))
    });
    whole.into_iter().chain(fields).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_an_object_and_holds_no_nul() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let document = Document::served_by(stack.server_url()).await?;
    let callers = Callers::new(&stack).await?;
    let url = stack.server_url();
    eventually("keys are read", PATIENCE, async || {
        let answer =
            raw::send(url, "POST /api/v1/clicks", &format!("{}{JSON}", callers.key), b"[]").await.ok()?;
        (answer.status == 400).then_some(())
    })
    .await?;
    let mut operations = 0;
    for operation in document.operations() {
        // A batch is an array.
        let Some(fields) = document.fields(&operation)? else { continue };
        operations += 1;
        let headers = format!("{}{JSON}", callers.headers(&operation));
        // Who signs in is not known by a token, and comes from the page.
        let headers = if operation.role == "anybody" { format!("origin: {url}\r\n{JSON}") } else { headers };
        let request = request(&operation, "", "", "");
        for body in bodies(&fields) {
            let text = body.to_string();
            let answer = tried(&stack, &document, &operation, &request, &headers, &text).await?;
            assert_eq!(answer.status, 400, "{request} {body}: {answer:?}");
            if text.contains("u0000") && operation.role != "poster" {
                let told = answer.body["error"]["fieldErrors"].as_object().context("no field is named")?;
                let names = told.iter().filter(|(_, why)| why.to_string().contains("NUL"));
                assert!(names.count() == 1, "{request} {body}: {answer:?}");
            }
        }
    }
    ensure!(operations >= 12, "{operations} operations with a body");
    // Inside of what is an object itself.
    let admin = format!("{}{JSON}", callers.token);
    for (rule, parameters) in [
        ("ip_velocity", json!([100, 60])),
        ("user_agent", json!([])),
        ("campaign_spike", json!([6, 30, 60])),
        ("fraud_rate", json!([3, 5, 30, 10])),
    ] {
        let body = json!({"mode": "report_only", "parameters": parameters, "reason": "a test"}).to_string();
        let request = format!("PUT /api/v1/admin/rules/{rule}");
        let operation = document.operation(&request)?;
        let answer = tried(&stack, &document, &operation, &request, &admin, &body).await?;
        assert_eq!(answer.status, 400, "{rule}: {answer:?}");
    }
    for request in ["GET /api/v1/admin/dead-letters/0", "POST /api/v1/admin/dead-letters/0/replay"] {
        let letter = document.operation(request)?;
        assert_eq!(tried(&stack, &document, &letter, request, &admin, "{}").await?.status, 404, "{request}");
    }
    Ok(())
}
