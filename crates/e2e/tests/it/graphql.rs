//! GraphQL answers what REST answers, to the same callers; its subscriptions are taken by the protocol's own client,
//! converge, and end with their caller's rights.

mod incidents;

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use clickwire_services::Package;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::{
    live::{SOON, Socket, closed, counted, hear, post_for, say},
    rollups::rolled_up,
};

const PATH: &str = "/api/v1/graphql";
const JSON: &str = "content-type: application/json\r\n";

/// The client of the makers of `graphql-transport-ws`, and a socket for it.
const CLIENT: [Package; 2] = [Package::Node("graphql-ws", "6.4.2"), Package::Node("ws", "8.23.0")];

/// Prints each update of a subscription as a line.
const WATCH: &str = "
import { pathToFileURL } from 'node:url';
const [graphql, ws, url, token, query] = process.argv.slice(2);
const { createClient } = await import(pathToFileURL(graphql + '/dist/client.js'));
const { default: webSocketImpl } = await import(pathToFileURL(ws + '/wrapper.mjs'));
const client = createClient({ url, webSocketImpl, retryAttempts: 0, connectionParams: { token } });
try {
  for await (const { data, errors } of client.iterate({ query })) console.log(JSON.stringify(errors ?? data.clicks));
} catch (error) {
  console.log(JSON.stringify({ ended: error.code ?? error }));
}
";

const SUBSCRIPTION: &str = "subscription { clicks(view: {advertiserId: \"adv_001\", groupBy: [COUNTRY], windowMinutes: 60}) \
    { kind epoch from seq cells { minute group valid duplicate givt sivt test defective } } }";

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n{JSON}")
}

/// The answer to a document, by who sends these headers.
async fn ask(stack: &Stack, headers: &str, query: &str) -> Result<Value> {
    let body = json!({"query": query}).to_string();
    let answer = raw::post(stack.server_url(), PATH, headers, body.as_bytes()).await?;
    ensure!(answer.status == 200, "{query}: {answer:?}");
    Ok(answer.body)
}

async fn over_rest(stack: &Stack, headers: &str, path: &str) -> Result<Value> {
    let answer = raw::send(stack.server_url(), &format!("GET {path}"), headers, b"").await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(answer.body)
}

/// A value whose names are written as REST has them, without what is missing.
fn as_rest(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut plain = serde_json::Map::new();
            for (name, value) in fields {
                // REST's rows are flat.
                match (name.as_str(), value) {
                    (_, Value::Null) | ("other", Value::Bool(false)) | ("partial", Value::Bool(false)) => {}
                    ("group" | "numbers" | "basis", Value::Object(_)) => {
                        if let Value::Object(inner) = as_rest(value) {
                            plain.extend(inner);
                        }
                    }
                    ("sources" | "granularity", value) => {
                        plain.insert(name.clone(), lower(value));
                    }
                    _ => {
                        let snake = name.chars().fold(String::new(), |mut snake, letter| {
                            if letter.is_ascii_uppercase() {
                                snake.push('_');
                            }
                            snake.push(letter.to_ascii_lowercase());
                            snake
                        });
                        plain.insert(snake, as_rest(value));
                    }
                }
            }
            Value::Object(plain)
        }
        Value::Array(values) => values.iter().map(as_rest).collect(),
        value => value.clone(),
    }
}

fn lower(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().to_lowercase()).unwrap_or_default()
}

/// Takes out what is another at each time.
fn without_time(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("query_time_ms");
    }
    value
}

const NUMBERS: &str = "clicks billable fraudCount duplicates received uniqueUsers";
const GROUP: &str =
    "group { advertiserId campaignId adId country deviceType os browser hourOfDay weekday other }";
const BASIS: &str = "basis { startTime endTime timeZone sources storedBefore asOf }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_as_over_rest_to_the_same_callers() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    post_for(&stack, "adv_001", 30).await?;
    post_for(&stack, "adv_002", 5).await?;
    counted(&stack, 35).await?;
    // How far hours are stored is in every answer, and moves on between two questions until then.
    rolled_up(&stack).await?;
    let range = "startTime: \"2026-10-01T00:00:00+02:00\", endTime: \"2027-01-01T00:00:00Z\", timeZone: \"Europe/Berlin\"";
    let of_rest =
        "start_time=2026-10-01T00:00:00%2B02:00&end_time=2027-01-01T00:00:00Z&time_zone=Europe/Berlin";
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let admin = bearer(stack.as_admin()?.token());
    for (name, headers) in [("a viewer", &viewer), ("the administrator", &admin)] {
        for (document, path) in [
            (
                format!(
                    "{{ summary(report: {{{range}, uniqueUsers: true, compare: YEAR}}) \
                    {{ totals {{ {NUMBERS} }} comparison {{ startTime endTime totals {{ {NUMBERS} }} }} {BASIS} }} }}"
                ),
                format!("summary?{of_rest}&unique_users=true&compare=year"),
            ),
            (
                format!(
                    "{{ breakdown(report: {{{range}, filters: [{{dimension: COUNTRY, values: [\"DE\", \"US\"], exclude: true}}]}}, \
                    group: {{by: [COUNTRY, HOUR_OF_DAY], orderBy: {{metric: RECEIVED}}, limit: 2}}) \
                    {{ rows {{ {GROUP} numbers {{ {NUMBERS} }} previous {{ {NUMBERS} }} }} groups totals {{ {NUMBERS} }} {BASIS} }} }}"
                ),
                format!(
                    "breakdown?{of_rest}&exclude_country=DE,US&group_by=country,hour_of_day&order_by=-received&limit=2"
                ),
            ),
            (
                format!(
                    "{{ breakdown(report: {{{range}}}, group: {{by: [ADVERTISER_ID, CAMPAIGN_ID], orderBy: {{dimension: ADVERTISER_ID}}}}) \
                    {{ rows {{ {GROUP} numbers {{ {NUMBERS} }} previous {{ {NUMBERS} }} }} groups totals {{ {NUMBERS} }} {BASIS} }} }}"
                ),
                format!("breakdown?{of_rest}&group_by=advertiser_id,campaign_id&order_by=-advertiser_id"),
            ),
            (
                format!(
                    "{{ timeseries(report: {{{range}}}, granularity: MONTH, group: {{by: [DEVICE_TYPE]}}) \
                    {{ granularity rows {{ timeBucket partial {GROUP} numbers {{ {NUMBERS} }} }} totals {{ {NUMBERS} }} {BASIS} }} }}"
                ),
                format!("timeseries?{of_rest}&granularity=month&group_by=device_type"),
            ),
        ] {
            let answer = ask(&stack, headers, &document).await?;
            ensure!(answer["errors"].is_null(), "{name}: {document}: {answer}");
            let data = answer["data"].as_object().and_then(|data| data.values().next()).context("no data")?;
            let mut expected =
                without_time(over_rest(&stack, headers, &format!("/api/v1/analytics/{path}")).await?);
            // It moves on between two questions.
            expected.as_object_mut().context("no object")?.remove("final_before");
            // An answer of the moment says `hours` once the hour is stored: both are right.
            assert_eq!(as_rest(data), expected, "{name}: {document}");
        }
        let document = "{ clicks(limit: 1000, search: {disposition: [\"valid\", \"duplicate\"]}) { nodes { clickId clickedAt receivedAt \
            advertiserId campaignId adId country deviceType os browser userId disposition rule ruleVersion evidence robot released \
            params referrer adjustments { adjustedAt toDisposition } } next } }";
        let answer = ask(&stack, headers, document).await?;
        let rest = over_rest(&stack, headers, "/api/v1/clicks?disposition=valid,duplicate").await?;
        let (nodes, rows) = (&answer["data"]["clicks"]["nodes"], &rest["data"]);
        ensure!(nodes.as_array().is_some_and(|nodes| !nodes.is_empty()), "{answer}");
        for (node, row) in nodes.as_array().into_iter().flatten().zip(rows.as_array().context("no rows")?) {
            for name in ["click_id", "clicked_at", "advertiser_id", "os", "disposition", "params"] {
                assert_eq!(
                    as_rest(node).get(name),
                    row.get(name).filter(|value| !value.is_null()),
                    "{name}: {node} {row}"
                );
            }
        }
        assert_eq!(nodes.as_array().map(Vec::len), rows.as_array().map(Vec::len));
        let answer = ask(&stack, headers, "{ advertisers { nodes { advertiserId name } next } }").await?;
        let rest = over_rest(&stack, headers, "/api/v1/advertisers").await?;
        assert_eq!(as_rest(&answer["data"]["advertisers"]["nodes"]), rest["data"], "{name}");
        let answer = ask(
            &stack,
            headers,
            "{ campaigns(advertiserId: \"adv_001\") { nodes { campaignId name } next } }",
        )
        .await?;
        let rest = over_rest(&stack, headers, "/api/v1/campaigns?advertiser_id=adv_001").await?;
        assert_eq!(as_rest(&answer["data"]["campaigns"]["nodes"]), rest["data"], "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_refused_with_a_code_and_nothing_else() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let viewer = bearer(&Stack::viewer_token("adv_001"));
    let foreign = [
        "{ summary(report: {advertiserId: \"adv_002\"}) { totals { clicks } } }",
        "{ breakdown(report: {advertiserId: \"adv_002\"}, group: {by: [COUNTRY]}) { groups } }",
        "{ timeseries(report: {advertiserId: \"adv_404\"}) { totals { clicks } } }",
        "{ clicks(search: {advertiserId: \"adv_002\"}) { next } }",
        "{ campaigns(advertiserId: \"adv_002\") { next } }",
    ];
    for document in foreign {
        let answer = ask(&stack, &viewer, document).await?;
        assert_eq!(answer["data"], Value::Null, "{document}: {answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "forbidden", "{document}: {answer}");
        ensure!(!answer.to_string().contains("SELECT"), "{answer}");
    }
    // A page of a thousand clicks is an answer; three hundred values of each are not.
    let aliases: String = (0..300).map(|n| format!("a{n}: clickId ")).collect();
    let aliases = format!("{{ clicks(limit: 1000) {{ nodes {{ {aliases} }} }} }}");
    for (document, field) in [
        ("{ summary(report: {timeZone: \"Nowhere\"}) { totals { clicks } } }", "timeZone"),
        ("{ summary(report: {startTime: \"then\"}) { totals { clicks } } }", "startTime"),
        ("{ breakdown(group: {by: []}) { groups } }", "groupBy"),
        ("{ breakdown(group: {by: [OS], orderBy: {}}) { groups } }", "orderBy"),
        (
            "{ summary(report: {filters: [{dimension: AD_ID, values: [\"a,b\"]}]}) { totals { clicks } } }",
            "adId",
        ),
        (
            "{ summary(report: {filters: [{dimension: ADVERTISER_ID, values: [\"adv_002\"]}]}) { totals { clicks } } }",
            "filters",
        ),
        ("{ clicks(limit: 1001) { next } }", "limit"),
        (aliases.as_str(), "limit"),
        ("{ clicks(search: {clickId: \"1\"}) { next } }", "clickId"),
        ("{ advertisers(after: \"?\") { next } }", "after"),
    ] {
        let answer = ask(&stack, &viewer, document).await?;
        let fields =
            answer["errors"][0]["extensions"]["fieldErrors"].as_object().cloned().unwrap_or_default();
        assert_eq!(fields.keys().collect::<Vec<_>>(), [field], "{document}: {answer}");
    }
    let url = stack.server_url();
    for (headers, body, status) in [
        (JSON.to_owned(), json!({"query": "{ __typename }"}), 401),
        (bearer(Stack::ingest_key()), json!({"query": "{ __schema { types { name } } }"}), 401),
        (viewer.clone(), json!({"query": "{ __typename }"}), 200),
        (viewer.clone(), json!([{"query": "{ __typename }"}]), 400),
        (viewer.clone(), json!({"query": "mutation { x }"}), 200),
        (viewer.clone(), json!({"query": SUBSCRIPTION}), 200),
        (viewer.replace(JSON, ""), json!({"query": "{ __typename }"}), 415),
        (
            format!("{viewer}accept: application/graphql-response+json\r\n"),
            json!({"query": "{ nothing }"}),
            400,
        ),
        (
            format!("{viewer}accept: application/graphql-response+json\r\n"),
            json!({"query": "{ __typename }"}),
            200,
        ),
        (viewer, json!({"query": "x".repeat(20_000)}), 413),
    ] {
        let answer = raw::post(url, PATH, &headers, body.to_string().as_bytes()).await?;
        let start: String = body.to_string().chars().take(100).collect();
        assert_eq!(answer.status, status, "{start}: {answer:?}");
    }
    // A cookie alone does not vouch for what another site's page sends.
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?;
    let evil = format!("cookie: {}\r\norigin: https://evil.example\r\n{JSON}", anna.cookie);
    let answer = raw::post(url, PATH, &evil, br#"{"query":"{ __typename }"}"#).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (403, &json!("cross_site")));
    let mut request = format!("{}{PATH}", url.replace("http", "ws")).into_client_request()?;
    request.headers_mut().insert("origin", "https://evil.example".parse()?);
    request.headers_mut().insert("cookie", anna.cookie.parse()?);
    let refused = tokio_tungstenite::connect_async(request).await;
    assert!(
        matches!(refused, Err(tokio_tungstenite::tungstenite::Error::Http(answer)) if answer.status() == 403)
    );
    Ok(())
}

async fn connect(stack: &Stack, cookie: Option<&str>) -> Result<Socket> {
    let mut request = format!("{}{PATH}", stack.server_url().replace("http", "ws")).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
    if let Some(cookie) = cookie {
        request.headers_mut().insert("cookie", cookie.parse()?);
    }
    let (socket, response) = tokio_tungstenite::connect_async(request).await?;
    let protocol = response.headers().get("sec-websocket-protocol").context("no subprotocol")?;
    assert_eq!(protocol, "graphql-transport-ws");
    Ok(socket)
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({"type": "subscribe", "id": id, "payload": {"query": query}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocols_own_client_sees_what_the_database_has() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let server = stack.start_server().await?;
    let folders = tokio::task::spawn_blocking(|| CLIENT.map(Package::folder)).await?;
    let [graphql, ws] = folders;
    let script = std::env::temp_dir().join(format!("clickwire-watch-{}.mjs", std::process::id()));
    std::fs::write(&script, WATCH)?;
    let url = format!("{}{PATH}", stack.server_url().replace("http", "ws"));
    let mut watch = Command::new("node");
    watch.arg(&script).arg(graphql?).arg(ws?).arg(&url).arg(Stack::viewer_token("adv_001")).arg(SUBSCRIPTION);
    let mut watch = watch.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let mut next = async || -> Result<Value> {
        let line = timeout(Duration::from_secs(10), lines.next_line()).await??;
        Ok(serde_json::from_str(&line.context("the client has ended")?)?)
    };
    let first = next().await?;
    assert_eq!((&first["kind"], &first["cells"]), (&json!("SNAPSHOT"), &json!([])), "{first}");
    post_for(&stack, "adv_002", 2).await?;
    post_for(&stack, "adv_001", 20).await?;
    let (mut shown, mut seq) = (std::collections::BTreeMap::new(), first["seq"].clone());
    timeout(SOON * 2, async {
        while shown.values().sum::<i64>() < 20 {
            let update = next().await?;
            ensure!(update["kind"] == "DELTA" && update["from"] == seq, "{update} after {seq}");
            seq = update["seq"].clone();
            for cell in update["cells"].as_array().context("no cells")? {
                let counts = ["valid", "duplicate", "givt", "sivt", "test", "defective"]
                    .map(|name| cell[name].as_i64());
                let received = counts.into_iter().flatten().sum::<i64>();
                shown.insert((cell["minute"].to_string(), cell["group"].to_string()), received);
            }
        }
        anyhow::Ok(())
    })
    .await??;
    counted(&stack, 22).await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT country, sum(valid + duplicate + givt + sivt + test + defective)::bigint FROM click_minutes \
          WHERE advertiser_id = 'adv_001' GROUP BY country",
    )
    .fetch_all(stack.database())
    .await?;
    for (country, received) in rows {
        let of_country = json!([country]).to_string();
        let here = shown.iter().filter(|((_, group), _)| *group == of_country);
        assert_eq!(here.map(|(_, received)| received).sum::<i64>(), received, "{country}");
    }
    // A server that stops sends it away with a code after which clients come back.
    server.stop(Duration::from_secs(15)).await?;
    // Until then it is told how far the view is counted.
    let mut last = next().await?;
    while last["kind"] == "DELTA" && last["cells"] == json!([]) {
        last = next().await?;
    }
    assert_eq!(last["ended"], 1001, "{last}");
    std::fs::remove_file(script)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_keeps_to_the_protocol_and_to_its_limits() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let init = |token: &str| json!({"type": "connection_init", "payload": {"token": token}});
    let viewer = Stack::viewer_token("adv_001");
    let watched = SUBSCRIPTION;
    for (messages, code) in [
        (vec![subscribe("1", watched)], 4401),
        (vec![init("nobody's")], 4403),
        (vec![json!({"type": "connection_init"})], 4403),
        (vec![init(Stack::ingest_key())], 4403),
        (vec![init(&viewer), init(&viewer)], 4429),
        (vec![init(&viewer), subscribe("1", watched), subscribe("1", watched)], 4409),
        (vec![json!({"type": "nonsense"})], 4400),
        (vec![init(&viewer), json!({"type": "subscribe", "id": "1"})], 4400),
    ] {
        let mut socket = connect(&stack, None).await?;
        for message in &messages {
            say(&mut socket, message.clone()).await?;
        }
        assert_eq!(closed(&mut socket).await?, code, "{messages:?}");
    }
    let mut flood = connect(&stack, None).await?;
    for _ in 0..200 {
        if flood.send(Message::text(r#"{"type":"ping"}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(closed(&mut flood).await?, 1008);
    let mut silent = connect(&stack, None).await?;
    let code = async {
        loop {
            if let Some(Ok(Message::Close(Some(frame)))) = silent.next().await {
                return u16::from(frame.code);
            }
        }
    };
    assert_eq!(timeout(Duration::from_secs(15), code).await?, 4408);

    let mut socket = connect(&stack, None).await?;
    say(&mut socket, init(&viewer)).await?;
    assert_eq!(hear(&mut socket).await?, json!({"type": "connection_ack"}));
    say(&mut socket, json!({"type": "ping"})).await?;
    assert_eq!(hear(&mut socket).await?, json!({"type": "pong"}));
    // Questions are answered here, too.
    say(&mut socket, subscribe("q", "{ __typename }")).await?;
    assert_eq!(
        hear(&mut socket).await?,
        json!({"type": "next", "id": "q", "payload": {"data": {"__typename": "Query"}}})
    );
    assert_eq!(hear(&mut socket).await?, json!({"type": "complete", "id": "q"}));
    for (query, code) in
        [(watched.replace("adv_001", "adv_002"), Some("forbidden")), ("nonsense".to_owned(), None)]
    {
        say(&mut socket, subscribe("bad", &query)).await?;
        let said = hear(&mut socket).await?;
        assert_eq!((&said["type"], &said["id"]), (&json!("error"), &json!("bad")), "{said}");
        assert_eq!(said["payload"][0]["extensions"]["code"].as_str(), code, "{said}");
    }
    for id in 0..8 {
        say(&mut socket, subscribe(&id.to_string(), watched)).await?;
        let said = hear(&mut socket).await?;
        assert_eq!((&said["type"], &said["id"]), (&json!("next"), &json!(id.to_string())), "{said}");
    }
    say(&mut socket, subscribe("9", watched)).await?;
    assert_eq!(hear(&mut socket).await?["type"], "error");
    say(&mut socket, json!({"type": "complete", "id": "3"})).await?;
    say(&mut socket, subscribe("9", watched)).await?;
    let said = hear(&mut socket).await?;
    assert_eq!((&said["type"], &said["id"]), (&json!("next"), &json!("9")), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_callers_rights() -> Result<()> {
    let mut stack = Stack::new().await?;
    let server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?;
    let mut socket = connect(&stack, Some(&anna.cookie)).await?;
    say(&mut socket, json!({"type": "connection_init"})).await?;
    assert_eq!(hear(&mut socket).await?["type"], "connection_ack");
    say(&mut socket, subscribe("1", SUBSCRIPTION)).await?;
    assert_eq!(hear(&mut socket).await?["type"], "next");
    anna.send("DELETE /api/v1/session", "").await?;
    assert_eq!(closed(&mut socket).await?, 4401);
    // The places of sessions that have ended are given back.
    eventually("no session is open", SOON, async || {
        let metrics = server.metric("clickwire_live_sessions").await.ok()?;
        (metrics == 0.0).then_some(())
    })
    .await
}
