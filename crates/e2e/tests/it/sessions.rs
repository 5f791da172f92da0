//! A session that has ended makes nothing that stays, on any server; and who may try to begin one, how often.

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually, people::Person, raw};
use serde_json::{Value, json};

use super::neighbours::{EVERYWHERE, admin};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_makes_nothing_that_stays_on_any_server() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _one = stack.start_server().await?;
    let one = stack.server_url().to_owned();
    let _other = stack.start_server().await?;
    let other = stack.server_url().to_owned();
    let headers = format!("{}content-type: application/json\r\n", admin());
    let key = json!({"name": "a back door", "mode": "live"}).to_string();
    let account = json!({"login": "eve", "name": "Eve", "role": "admin"}).to_string();
    let ways: [(&str, &str); 7] = [
        ("signed out", "DELETE /api/v1/session"),
        ("signed out everywhere", "DELETE /api/v1/session?everywhere=true"),
        ("its password changed", "PUT /api/v1/account/password"),
        ("signed out by an administrator", "POST /api/v1/admin/accounts/ID/sign-out"),
        ("its password reset", "POST /api/v1/admin/accounts/ID/password"),
        ("disabled", "PUT /api/v1/admin/accounts/ID disabled"),
        ("given another role", "PUT /api/v1/admin/accounts/ID ops"),
    ];
    for (number, (way, request)) in ways.into_iter().enumerate() {
        let login = format!("root-{number}");
        let password = stack.account(&login, "admin", &[]).await?;
        let here = Person::sign_in(&one, &login, &password).await?;
        let there = Person { url: other.clone(), ..here.clone() };
        eventually("the other server knows the account", EVERYWHERE, async || {
            (there.send("GET /api/v1/session", "").await.ok()?.status == 200).then_some(())
        })
        .await?;
        let id: uuid::Uuid = sqlx::query_scalar("SELECT account_id FROM accounts WHERE login = $1")
            .bind(&login)
            .fetch_one(stack.database())
            .await?;
        let change = |role: &str, is_disabled: bool| {
            json!({"name": "Root", "role": role, "advertisers": [], "is_disabled": is_disabled}).to_string()
        };
        let (request, rest) =
            request.split_at(request.find(" disabled").or(request.find(" ops")).unwrap_or(request.len()));
        let body = match (request, rest.trim()) {
            ("PUT /api/v1/account/password", _) => {
                json!({"password": password, "new_password": "correct horse battery"}).to_string()
            }
            (_, "disabled") => change("admin", true),
            (_, "ops") => change("ops", false),
            _ => String::new(),
        };
        let request = request.replace("ID", &id.to_string());
        let ended = if request.contains("/admin/") {
            raw::send(&one, &request, &headers, body.as_bytes()).await?
        } else {
            here.send(&request, &body).await?
        };
        ensure!((200..300).contains(&ended.status), "{way}: {ended:?}");
        // Before the other server has heard of it.
        for (made, body) in [
            ("POST /api/v1/admin/accounts", &account),
            ("POST /api/v1/admin/keys", &key),
            ("POST /api/v1/account/tokens", &r#"{"name": "a back door", "expires_in_days": 366}"#.to_owned()),
        ] {
            let answer = there.send(made, body).await?;
            assert!(matches!(answer.status, 401 | 403), "{way}, then {made}: {answer:?}");
        }
    }
    let left: [i64; 3] = [
        sqlx::query_scalar("SELECT count(*) FROM account_tokens").fetch_one(stack.database()).await?,
        sqlx::query_scalar("SELECT count(*) FROM api_keys").fetch_one(stack.database()).await?,
        sqlx::query_scalar("SELECT count(*) FROM accounts WHERE login = 'eve'")
            .fetch_one(stack.database())
            .await?,
    ];
    assert_eq!(left, [0, 0, 0]);
    Ok(())
}

/// The end of a session waits for what the session is making, which is there before the end; or it is not made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_being_made_when_its_account_is_disabled_is_not_made() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let anna = Person::sign_in(stack.server_url(), "anna", &password).await?;
    let mut ending = stack.database().begin().await?;
    sqlx::query("UPDATE accounts SET generation = generation + 1").execute(&mut *ending).await?;
    let making =
        tokio::spawn(
            async move { anna.send("POST /api/v1/account/tokens", r#"{"name": "a back door"}"#).await },
        );
    stack.server_waits_for_a_lock().await?;
    ending.commit().await?;
    let answer = making.await??;
    assert_eq!(answer.status, 401, "{answer:?}");
    let made: i64 =
        sqlx::query_scalar("SELECT count(*) FROM account_tokens").fetch_one(stack.database()).await?;
    assert_eq!(made, 0);
    Ok(())
}

/// An office has one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_signs_in_and_who_guesses_is_locked_out() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let url = stack.server_url();
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    for nth in 0..15 {
        let answer = Person::attempt(url, "anna", &password).await?;
        assert_eq!(answer.status, 200, "the {nth}th of an office: {answer:?}");
    }
    let mut statuses = Vec::new();
    for nth in 0..12 {
        let login = format!("{}{nth}", "x".repeat(15_000));
        let answer = Person::attempt(url, &login, "a guess").await?;
        let code: &Value = &answer.body["error"]["code"];
        assert!(matches!(code.as_str(), Some("sign_in_refused" | "too_many_requests")), "{answer:?}");
        statuses.push(answer.status);
    }
    assert_eq!(statuses.iter().filter(|&&status| status == 401).count(), 10, "{statuses:?}");
    assert_eq!(Person::attempt(url, "anna", &password).await?.status, 429, "from this address");
    Ok(())
}
