//! People who sign in: what they see, how long, and how it ends on every server.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{
    Stack, Wire, eventually,
    people::{Person, set_cookie},
    raw::{self, Answer},
};
use clickwire_protocol::live::close;
use clickwire_services::Server as Service;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::live::open;

/// The time within which what ends anywhere ends everywhere.
const EVERYWHERE: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A live session in a person's browser, welcomed.
async fn watch(person: &Person) -> Result<Socket> {
    let mut request = format!("{}/api/v1/live", person.url.replace("http", "ws")).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "clickwire.v1".parse()?);
    request.headers_mut().insert("origin", person.url.parse()?);
    request.headers_mut().insert("cookie", person.cookie.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    socket.send(Message::text(json!({"type": "auth"}).to_string())).await?;
    let welcome = timeout(Duration::from_secs(10), socket.next()).await?.context("closed")??;
    let welcome: Value = serde_json::from_str(welcome.to_text()?)?;
    ensure!(welcome["type"] == "welcome", "{welcome}");
    Ok(socket)
}

/// The code that a session is closed with, soon.
async fn closed(socket: &mut Socket, within: Duration) -> Result<u16> {
    let code = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return Ok(u16::from(frame.code)),
                Some(Ok(Message::Close(None)) | Err(_)) | None => anyhow::bail!("closed without a code"),
                Some(Ok(_)) => {}
            }
        }
    };
    timeout(within, code).await.context("it goes on")?
}

fn code(answer: &Answer) -> &str {
    answer.body["error"]["code"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_see_their_own_and_sign_out_on_every_server() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _one = stack.start_server().await?;
    let one = stack.server_url().to_owned();
    let _other = stack.start_server().await?;
    let other = stack.server_url().to_owned();
    let password = stack.account("Anna@Shop.example", "advertiser", &["adv_001"]).await?;

    let refused = [
        ("anna@shop.example", "not her password"),
        ("nobody@shop.example", "not a password"),
        ("anna@shop.example", ""),
    ];
    for (login, wrong) in refused {
        let answer = Person::attempt(&one, login, wrong).await?;
        assert_eq!((answer.status, code(&answer)), (401, "sign_in_refused"), "{login}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let answer = Person::attempt(&one, "ANNA@shop.example", &password).await?;
    assert_eq!((answer.status, &answer.body["role"]), (200, &json!("advertiser")), "{answer:?}");
    assert_eq!(answer.body["advertisers"], json!(["adv_001"]));
    let cookie = answer.header("set-cookie").unwrap_or_default();
    assert!(cookie.starts_with("clickwire=") && cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("Secure"), "this server is not reached over TLS: {cookie}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let anna = Person::of(&one, &answer)?;
    let elsewhere = Person { url: other, ..anna.clone() };
    eventually("the other server knows the account", EVERYWHERE, async || {
        (elsewhere.send("GET /api/v1/session", "").await.ok()?.status == 200).then_some(())
    })
    .await?;
    for (request, expected) in [
        ("GET /api/v1/campaigns", 200),
        ("GET /api/v1/campaigns?advertiser_id=adv_002", 403),
        ("GET /api/v1/analytics/aggregate?advertiser_id=adv_002", 403),
        ("GET /api/v1/live/poll?advertiser_id=adv_002", 403),
        ("GET /api/v1/alerts", 403),
        ("GET /api/v1/admin/accounts", 403),
        ("POST /api/v1/admin/accounts", 403),
    ] {
        let answer = anna.send(request, "{}").await?;
        assert_eq!(answer.status, expected, "{request}: {answer:?}");
    }
    let advertisers = anna.send("GET /api/v1/advertisers", "").await?;
    let ids: Vec<_> = advertisers.body["data"].as_array().into_iter().flatten().collect();
    assert!(ids.len() == 1 && ids[0]["advertiser_id"] == "adv_001", "{advertisers:?}");

    // Another browser of hers goes on when this one is signed out, until all are.
    let second = Person::sign_in(&one, "anna@shop.example", &password).await?;
    let mut socket = watch(&anna).await?;
    let answer = elsewhere.send("DELETE /api/v1/session", "").await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{answer:?}");
    assert_eq!(closed(&mut socket, EVERYWHERE).await?, close::UNAUTHORIZED);
    assert_eq!(anna.send("GET /api/v1/session", "").await?.status, 401);
    assert_eq!(second.send("GET /api/v1/session", "").await?.status, 200);
    let third = Person::sign_in(&one, "anna@shop.example", &password).await?;
    assert_eq!(third.send("DELETE /api/v1/session?everywhere=true", "").await?.status, 204);
    assert_eq!(second.send("GET /api/v1/session", "").await?.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_ends_when_the_account_may_not_go_on() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _one = stack.start_server().await?;
    let one = stack.server_url().to_owned();
    let _other = stack.start_server().await?;
    let other = stack.server_url().to_owned();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let root = stack.account("root", "admin", &[]).await?;
    let root = Person::sign_in(&other, "root", &root).await?;
    let accounts = root.send("GET /api/v1/admin/accounts", "").await?;
    let all = accounts.body["data"].as_array().context("no accounts")?;
    let anna_id = all.iter().find(|account| account["login"] == "anna").map(|account| &account["account_id"]);
    let anna_id = anna_id.and_then(Value::as_str).context("no anna")?;
    let change = async |advertisers: Value, is_disabled: bool| -> Result<()> {
        let body = json!({"name": "Anna", "role": "advertiser", "advertisers": advertisers, "is_disabled": is_disabled});
        let request = format!("PUT /api/v1/admin/accounts/{anna_id}");
        let answer = root.send(&request, &body.to_string()).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    };

    let misspelt = json!({"name": "Anna", "role": "advertiser", "advertisers": ["adv_001"],
        "is_disabled": false, "advertiser": ["adv_002"]});
    let request = format!("PUT /api/v1/admin/accounts/{anna_id}");
    assert_eq!(root.send(&request, &misspelt.to_string()).await?.status, 400);
    let anna = Person::sign_in(&one, "anna", &password).await?;
    let mut socket = watch(&anna).await?;
    change(json!(["adv_001", "adv_002"]), false).await?;
    assert_eq!(closed(&mut socket, EVERYWHERE).await?, close::AUTHENTICATE_AGAIN, "she may see more");
    let mut socket = watch(&anna).await?;
    let mut events = raw::begin(&one, "GET /api/v1/live/sse?advertiser_id=adv_001", &anna.headers()).await?;
    change(json!(["adv_002"]), false).await?;
    assert_eq!(
        closed(&mut socket, EVERYWHERE).await?,
        close::AUTHENTICATE_AGAIN,
        "she may see something else"
    );
    timeout(EVERYWHERE, events.read_to_end(&mut Vec::new())).await.context("the events go on")??;
    assert_eq!(anna.send("GET /api/v1/campaigns?advertiser_id=adv_001", "").await?.status, 403);

    // A new password ends every other session, and this browser has a new one.
    let mut socket = watch(&anna).await?;
    let body = json!({"password": password, "new_password": "correct horse battery"}).to_string();
    let changing = Person::sign_in(&other, "anna", &password).await?;
    let weak = json!({"password": password, "new_password": "short"}).to_string();
    assert_eq!(changing.send("PUT /api/v1/account/password", &weak).await?.status, 400);
    let wrong = json!({"password": "wrong", "new_password": "correct horse battery"}).to_string();
    assert_eq!(changing.send("PUT /api/v1/account/password", &wrong).await?.status, 401);
    let answer = changing.send("PUT /api/v1/account/password", &body).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(closed(&mut socket, EVERYWHERE).await?, close::UNAUTHORIZED, "her password is another");
    let changed = Person::of(&one, &answer)?;
    assert_eq!(changed.send("GET /api/v1/session", "").await?.status, 200);
    assert_eq!(Person::attempt(&one, "anna", &password).await?.status, 401);

    let made = changed.send("POST /api/v1/account/tokens", r#"{"name": "a report"}"#).await?;
    let token = made.body["token"].as_str().context("no token")?;
    let bearer = format!("authorization: Bearer {token}\r\n");
    assert_eq!(raw::send(&one, "GET /api/v1/session", &bearer, b"").await?.status, 200);
    let mut socket = watch(&changed).await?;
    change(json!(["adv_002"]), true).await?;
    assert_eq!(closed(&mut socket, EVERYWHERE).await?, close::UNAUTHORIZED, "she is disabled");
    assert_eq!(Person::attempt(&one, "anna", "correct horse battery").await?.status, 401);
    change(json!(["adv_002"]), false).await?;
    assert_eq!(Person::attempt(&one, "anna", "correct horse battery").await?.status, 200);
    assert_eq!(raw::send(&other, "GET /api/v1/session", &bearer, b"").await?.status, 401, "for good");
    Ok(())
}

/// A person who knows the old password can't replace the one that an administrator has set with one of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_reset_meanwhile_is_not_replaced() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?;
    let mut reset = stack.database().begin().await?;
    sqlx::query("UPDATE accounts SET password_hash = 'another', generation = generation + 1")
        .execute(&mut *reset)
        .await?;
    let changing = tokio::spawn(async move {
        let body = json!({"password": password, "new_password": "correct horse battery"}).to_string();
        anna.send("PUT /api/v1/account/password", &body).await
    });
    stack.server_waits_for_a_lock().await?;
    reset.commit().await?;
    assert_eq!(changing.await??.status, 401);
    let kept: String =
        sqlx::query_scalar("SELECT password_hash FROM accounts").fetch_one(stack.database()).await?;
    assert_eq!(kept, "another");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_replaced_in_time_and_ends_what_is_open_when_it_is_not() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_SESSION_TOKEN_SECONDS", "10");
    stack.set("CLICKWIRE_LIVE_SESSIONS_PER_ACCOUNT", "1");
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?;
    let mut socket = watch(&anna).await?;
    let mut second = watch(&anna).await;
    if let Ok(second) = &mut second {
        assert_eq!(closed(second, EVERYWHERE).await?, close::TOO_MANY_SESSIONS);
    }
    assert!(second.is_err(), "one session is what the account may have");
    let renewed = eventually("a younger token comes", Duration::from_secs(10), async || {
        let answer = anna.send("GET /api/v1/session", "").await.ok()?;
        set_cookie(&answer).is_some().then_some(answer)
    })
    .await?;
    assert_eq!(closed(&mut socket, Duration::from_secs(15)).await?, close::AUTHENTICATE_AGAIN);
    assert_eq!(anna.send("GET /api/v1/session", "").await?.status, 401);
    let younger = Person::of(url, &renewed)?;
    assert_eq!(younger.send("GET /api/v1/session", "").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_vouches_for_nothing_that_another_sites_page_sends() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("root", "admin", &[]).await?;
    let root = Person::sign_in(url, "root", &password).await?;
    let key = json!({"name": "a shop", "mode": "test"}).to_string();
    let json = "content-type: application/json\r\n";
    for (headers, expected) in [
        ("", 403),
        ("origin: https://evil.example\r\n", 403),
        ("origin: null\r\n", 403),
        ("sec-fetch-site: cross-site\r\n", 403),
        ("sec-fetch-site: same-site\r\n", 403),
        ("sec-fetch-site: same-origin\r\n", 201),
        (&format!("origin: {url}\r\n"), 201),
    ] {
        let headers = format!("cookie: {}\r\n{json}{headers}", root.cookie);
        let answer = raw::post(url, "/api/v1/admin/keys", &headers, key.as_bytes()).await?;
        assert_eq!(answer.status, expected, "{headers}: {answer:?}");
        assert!(expected == 201 || code(&answer) == "cross_site", "{headers}: {answer:?}");
    }
    let reading = format!("cookie: {}\r\n", root.cookie);
    assert_eq!(raw::send(url, "GET /api/v1/admin/keys", &reading, b"").await?.status, 200);
    let body = json!({"login": "root", "password": password}).to_string();
    let evil = format!("{json}origin: https://evil.example\r\n");
    let answer = raw::post(url, "/api/v1/session", &evil, body.as_bytes()).await?;
    assert_eq!((answer.status, code(&answer)), (403, "cross_site"));
    assert_eq!(answer.header("access-control-allow-origin"), None);

    // Nor does a cookie that was changed, or is another deployment's.
    let middle = root.cookie.len() / 2;
    let changed = format!("{}x{}", &root.cookie[..middle], &root.cookie[middle + 1..]);
    for cookie in [changed.as_str(), "clickwire=", "clickwire=a.b", "clickwire"] {
        let answer = raw::send(url, "GET /api/v1/session", &format!("cookie: {cookie}\r\n"), b"").await?;
        assert_eq!(answer.status, 401, "{cookie}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_can_be_tried_ten_times_a_minute() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let mut refused = None;
    for _ in 0..12 {
        let answer = Person::attempt(url, "anna", "a wrong password").await?;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let refused = refused.context("there is no limit")?;
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let answer = Person::attempt(url, "anna", &password).await?;
    assert_eq!(answer.status, 429, "not even the right one: {answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_have_tokens_of_their_own() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?;
    let answer = anna.send("POST /api/v1/account/tokens", r#"{"name": "nightly report"}"#).await?;
    assert_eq!(answer.status, 201, "{answer:?}");
    let token = answer.body["token"].as_str().context("no token")?;
    let token_id = answer.body["token_id"].as_str().context("no id")?;
    assert!(token.starts_with("cw_user_"), "{token}");
    let bearer = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    for (request, expected) in [
        ("GET /api/v1/session", 200),
        ("GET /api/v1/campaigns", 200),
        ("GET /api/v1/campaigns?advertiser_id=adv_002", 403),
        ("POST /api/v1/account/tokens", 403),
        ("PUT /api/v1/account/password", 403),
        ("DELETE /api/v1/session", 403),
        ("POST /api/v1/clicks", 401),
    ] {
        let answer = raw::send(url, request, &bearer, b"{}").await?;
        assert_eq!(answer.status, expected, "{request}: {answer:?}");
    }
    let kept: String = sqlx::query_scalar("SELECT string_agg(to_jsonb(t)::text, ' ') FROM account_tokens t")
        .fetch_one(stack.database())
        .await?;
    assert!(!kept.contains(token), "{kept}");
    let list = anna.send("GET /api/v1/account/tokens", "").await?;
    assert!(
        list.body["data"][0]["token_id"] == token_id && !list.body.to_string().contains(token),
        "{list:?}"
    );
    let answer = anna.send(&format!("POST /api/v1/account/tokens/{token_id}/revoke"), "").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(raw::send(url, "GET /api/v1/session", &bearer, b"").await?.status, 401);
    assert_eq!(anna.send("POST /api/v1/account/tokens/nonsense/revoke", "").await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_what_is_recorded_and_stays_so() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("root", "admin", &[]).await?;
    let root = Person::sign_in(url, "root", &password).await?;
    let ad = r#"{"campaign_id": "camp_001", "name": "Boots", "target_url": "https://shop.example/"}"#;
    let rule = r#"{"mode": "report_only", "reason": "a test"}"#;
    for (request, body) in [
        ("PUT /api/v1/admin/advertisers/adv_new", r#"{"name": "A shop"}"#),
        ("PUT /api/v1/admin/campaigns/camp_new", r#"{"advertiser_id": "adv_new", "name": "Spring"}"#),
        ("PUT /api/v1/admin/ads/ad_001", ad),
        ("PUT /api/v1/admin/rules/ip_velocity", rule),
        ("POST /api/v1/admin/keys", r#"{"name": "a shop", "mode": "live"}"#),
        ("POST /api/v1/admin/accounts", r#"{"login": "ops", "name": "Ops", "role": "ops"}"#),
        ("DELETE /api/v1/admin/campaigns/camp_new", ""),
    ] {
        let answer = root.send(request, body).await?;
        ensure!((200..300).contains(&answer.status), "{request}: {answer:?}");
    }
    let audit = root.send("GET /api/v1/admin/audit?actor=account:root", "").await?;
    let entries = audit.body["data"].as_array().context("no entries")?;
    let done: Vec<String> = entries
        .iter()
        .rev()
        .map(|entry| format!("{} {}", entry["action"], entry["subject"]).replace('"', ""))
        .collect();
    let expected = [
        "sign_in accounts",
        "insert advertisers",
        "insert campaigns",
        "update ads",
        "insert fraud_rules",
        "insert api_keys",
        "insert accounts",
        "delete campaigns",
    ];
    assert_eq!(done, expected, "{audit:?}");
    let of_ad = &entries[4];
    assert_eq!(of_ad["before"]["target_url"], "https://example.com/1/0", "{of_ad}");
    assert_eq!(of_ad["after"]["target_url"], "https://shop.example/", "{of_ad}");
    let text = audit.body.to_string();
    assert!(!text.contains("hash") && !text.contains("127.0.0.1"), "{text}");
    assert_eq!(entries[0]["origin"].as_str().map(str::len), Some(32), "{text}");
    for login in ["root", "nobody-has-this"] {
        ensure!(Person::attempt(url, login, "not the password").await?.status == 401);
    }
    let refused = eventually("a refused sign-in is recorded", EVERYWHERE, async || {
        let refused = root.send("GET /api/v1/admin/audit?actor=nobody", "").await.ok()?;
        refused.body["data"].as_array().filter(|entries| !entries.is_empty()).cloned()
    })
    .await?;
    assert!(refused.len() == 1 && refused[0]["action"] == "sign_in_refused", "{refused:?}");
    assert_eq!(refused[0]["subject_id"], entries[entries.len() - 1]["subject_id"], "{refused:?}");
    let shell = root.send("GET /api/v1/admin/audit?subject=accounts&actor=shell:tester", "").await?;
    assert_eq!(shell.body["data"][0]["origin"], "shell", "{shell:?}");
    for change in ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"] {
        let refused = sqlx::query(change).execute(stack.database()).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("can only be added to")), "{change}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_tls_cookies_and_browsers_are_held_to_it() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_HTTPS", "true");
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let answer = Person::attempt(url, "anna", &password).await?;
    let cookie = answer.header("set-cookie").unwrap_or_default();
    assert!(cookie.starts_with("__Host-clickwire=") && cookie.contains("; Secure"), "{cookie}");
    for request in ["GET /", "GET /livez", "GET /nowhere", "GET /api/v1/session"] {
        let answer = raw::send(url, request, "", b"").await?;
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}: {answer:?}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("script-src 'unsafe"),
            "{policy}"
        );
    }
    Ok(())
}

/// A browser that comes when nobody's account can be looked up is not told that it is signed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_accounts_are_unread_sessions_are_asked_to_come_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.wire().await?;
    let mut server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(url, "anna", &password).await?;
    server.crash().await?;
    stack.wire_to(Service::Database)?.set(Wire::Cut);
    server.revive().await?;
    let mut socket = eventually("the server is there", Duration::from_secs(20), async || {
        open(&stack, Some(&anna.cookie)).await.ok()
    })
    .await?;
    socket.send(Message::text(json!({"type": "auth"}).to_string())).await?;
    assert_eq!(closed(&mut socket, EVERYWHERE).await?, close::TRY_AGAIN_LATER);
    Ok(())
}
