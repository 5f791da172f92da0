//! `/api/v1/session`: people sign in, their browsers keep the session alive, they sign out.
//!
//! An unknown login and a wrong password are answered alike, after the same time. Attempts are limited for
//! each client address and for each login.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use clickwire_process::now_ms;
use clickwire_protocol::{ids::AdvertiserId, times::UnixMs};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Role, password, session::Token, store};
use crate::{
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
        parameters::{Parameters, boolean},
        visitor::Visitor,
    },
    identity::{
        access::{Caller, Credential},
        actor::Actor,
        error::IdentityError,
        state::IdentityState,
    },
    store::following::commit,
};

#[derive(Deserialize, ToSchema)]
#[schema(as = SignIn)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    pub(crate) login: String,
    pub(crate) password: String,
}

/// The account that is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// Name of the account in records.
    name: String,
    role: Role,
    /// The advertisers that it may see; `None`: all.
    #[schema(value_type = Option<Vec<String>>)]
    advertisers: Option<Vec<AdvertiserId>>,
    /// Time until which the browser's token is good unless it is replaced; `null` for other tokens.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// The answer to who is signed in: what it is, and its token if it has got another one.
pub(super) fn answer(state: &IdentityState, caller: &Caller, new: Option<Token>) -> Response {
    let token = new.or(match caller.credential {
        Credential::Session(token) => Some(token),
        Credential::Configured | Credential::Token(_) => None,
    });
    let expires_at = token.and_then(|token| {
        let at_ms = state.access.tokens.expires_at_ms(&token);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok()
    });
    let session = Session {
        name: caller.name.to_string(),
        role: caller.role,
        advertisers: caller.scope.advertisers().map(<[AdvertiserId]>::to_vec),
        expires_at,
    };
    let mut response = Json(session).into_response();
    if let Some(cookie) = new.and_then(|token| state.access.cookie(Some(&token))) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Signs in.
///
/// The session is in a cookie that only the browser reads. Ten wrong passwords a minute for an address, and for
/// a login.
#[utoipa::path(post, path = "/", operation_id = "sign_in", tag = "anybody", request_body = SignIn,
    responses(
        (status = 200, body = Session, headers(("Set-Cookie" = String))),
        Refused<(crate::identity::error::SignIn, openapi::Body, crate::store::error::Record)>
    ))]
pub(super) async fn sign_in(
    State(state): State<Arc<IdentityState>>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Result<Object<SignIn>, Error>,
) -> Result<Response, Error> {
    if !state.access.is_allowed_origin(&headers) {
        return Err(Error::CrossSite);
    }
    let Object(SignIn { login, password }) = body?;
    let login = store::canonical(&login);
    let attempt = state.attempts.spend(visitor.address, &login)?;
    let known = store::to_sign_in(&state.database, &login).await?;
    let is_right =
        password::verify(password, known.as_ref().map(|known| known.password_hash.clone())).await?;
    let known = match known {
        Some(known) if is_right => known,
        tried => {
            metrics::counter!("clickwire_sign_ins_total", "outcome" => "refused").increment(1);
            let origin = state.hasher.hash(visitor.address, UnixMs(now_ms()));
            // What was typed may be a password in the wrong field: it is not logged.
            tracing::info!(origin, "a sign-in was refused");
            if let Some(tried) = tried {
                // Not waited for: an unknown login would be answered sooner.
                tokio::spawn(record_refusal(state.database.clone(), Actor::nobody(origin), tried.account_id));
            }
            return Err(IdentityError::SignInRefused.into());
        }
    };
    attempt.succeeded();
    metrics::counter!("clickwire_sign_ins_total", "outcome" => "done").increment(1);
    let token = Token::begin(known.account_id, known.generation, now_ms());
    // This server may not have heard of a new account yet.
    state.access.directory.refresh().await?;
    let caller = state.access.directory.caller(Credential::Session(token))?;
    let mut transaction = Actor::new(&caller, &visitor, &state).begin(&state.database).await?;
    store::record(&mut transaction, "sign_in", known.account_id).await?;
    crate::store::database::answer(transaction.commit()).await?;
    Ok(answer(&state, &caller, Some(token)))
}

/// Records a wrong password for a login that exists. Limits on attempts bound how often that happens.
async fn record_refusal(database: PgPool, actor: Actor, account_id: Uuid) {
    let recorded = async {
        let mut transaction = actor.begin(&database).await?;
        store::record(&mut transaction, "sign_in_refused", account_id).await?;
        Ok::<_, Error>(crate::store::database::answer(transaction.commit()).await?)
    };
    if let Err(error) = recorded.await {
        tracing::warn!(%error, "a refused sign-in is not in the audit log");
    }
}

/// The caller.
///
/// A browser that has signed in gets a younger token when its own is past a third of its time: a page that
/// is open asks now and then.
#[utoipa::path(get, path = "/", operation_id = "show_session", tag = "viewer",
    responses((status = 200, body = Session), Refused<(crate::identity::error::Viewer,)>))]
pub(super) async fn show(State(state): State<Arc<IdentityState>>, caller: Caller) -> Response {
    let renewed = match &caller.credential {
        Credential::Session(token) => state.access.tokens.renewed(token, now_ms()),
        Credential::Configured | Credential::Token(_) => None,
    };
    answer(&state, &caller, renewed)
}

/// Signs out.
///
/// Its live data ends within two seconds, on every server.
#[utoipa::path(delete, path = "/", operation_id = "sign_out", tag = "account", 
    params(("everywhere" = Option<bool>, Query, description = "All sessions of the account, whichever browser has them.")),
    responses(
        (status = 204, description = "It is over.", headers(("Set-Cookie" = String))),
        Refused<(crate::identity::error::Account, openapi::Input, crate::store::error::Record)>
    ))]
pub(super) async fn sign_out(
    State(state): State<Arc<IdentityState>>,
    caller: Caller,
    visitor: Visitor,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let everywhere = parameters.take("everywhere", boolean).unwrap_or_default();
    let everywhere = parameters.finish(everywhere)?;
    let Credential::Session(token) = caller.credential else { return Err(Error::Forbidden) };
    let mut transaction = Actor::new(&caller, &visitor, &state).begin(&state.database).await?;
    if everywhere {
        store::end_sessions(&mut transaction, token.account_id).await?;
    } else {
        let lifetime = state.access.tokens.session_lifetime().as_secs_f64();
        store::end_session(&mut transaction, token.session_id, lifetime).await?;
    }
    store::record(&mut transaction, "sign_out", token.account_id).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = state.access.cookie(None) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
