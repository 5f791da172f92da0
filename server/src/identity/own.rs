//! `/api/v1/account`: what people change of their own account: its password, and the tokens of their
//! programs, which see what the account sees and last until they expire or are revoked.

use std::sync::Arc;

use std::time::Duration;

use axum::{
    Json,
    extract::{FromRef, FromRequestParts, Path, State, rejection::PathRejection},
    http::{StatusCode, request::Parts},
    response::Response,
};
use clickwire_process::now_ms;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    password,
    session::Token,
    sign_in,
    store::{self, IssuedToken, ProgramToken},
};
use crate::{
    http::{
        body::Object,
        cursor::{Asked, InPages, Page},
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
        quota::QuotaGuard,
        state::HttpState,
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

/// Days for which a program's token lasts: by default, and at most.
const DAYS: i32 = 90;
const DAYS_MAX: i32 = 366;

/// Requests of one account that wait for its turn, at most, and for how long.
const WAITING_MAX: usize = 8;
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// A person who has signed in: a program's token can't make others, nor change the password. An account has one
/// request at a time in hand, so it can't hold the connections that others sign in over.
pub(crate) struct Owner {
    account_id: Uuid,
    caller: Caller,
    actor: Actor,
    _turn: QuotaGuard<Uuid>,
}

impl<S> FromRequestParts<S> for Owner
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
    Arc<HttpState>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Credential::Session(Token { account_id, .. }) = caller.credential else {
            return Err(Error::Forbidden);
        };
        let visitor = Visitor::from_request_parts(parts, state).await.map_err(|_| Error::Unauthorized)?;
        let identity = Arc::<IdentityState>::from_ref(state);
        let actor = Actor::new(&caller, &visitor, &identity);
        let turn = timeout(TURN_WITHIN, identity.turns.take(account_id, WAITING_MAX)).await.ok().flatten();
        Ok(Self { account_id, caller, actor, _turn: turn.ok_or(Error::TooManyAtOnce)? })
    }
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewPassword)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The one until now.
    password: String,
    /// The one from now on: at least 12 characters, at most 256 bytes.
    new_password: String,
}

/// Changes the password.
///
/// All sessions of the account end, but this one goes on.
#[utoipa::path(put, path = "/password", operation_id = "change_password", tag = "account", request_body = NewPassword,
    responses(
        (status = 200, body = sign_in::Session, headers(("Set-Cookie" = String))),
        Refused<(crate::identity::error::Account, crate::identity::error::OneAtATime, crate::identity::error::SignIn, openapi::Body, openapi::Missing, crate::store::error::Record)>
    ))]
pub(super) async fn change_password(
    State(state): State<Arc<IdentityState>>,
    owner: Owner,
    visitor: Visitor,
    body: Result<Object<NewPassword>, Error>,
) -> Result<Response, Error> {
    let Object(NewPassword { password: old, new_password }) = body?;
    let account = store::find(&state.database, owner.account_id).await?;
    password::check(&new_password, &account.login)
        .map_err(|message| Error::field("new_password", message))?;
    let attempt = state.attempts.spend(visitor.address, &account.login)?;
    let known = store::to_sign_in(&state.database, &account.login).await?;
    let old_hash = known.map(|known| known.password_hash).ok_or(IdentityError::SignInRefused)?;
    if !password::verify(old, Some(old_hash.clone())).await? {
        return Err(IdentityError::SignInRefused.into());
    }
    attempt.succeeded();
    let hash = password::hash(new_password).await?;
    let mut transaction = owner.actor.begin(&state.database).await?;
    // An administrator may have replaced it meanwhile, perhaps because somebody else knows it.
    let generation = store::replace_password(&mut transaction, owner.account_id, &old_hash, &hash).await?;
    let generation = generation.ok_or(IdentityError::SignInRefused)?;
    commit(transaction, state.access.directory.refresh()).await?;
    let token = Token::begin(owner.account_id, generation, now_ms());
    Ok(sign_in::answer(&state, &owner.caller, Some(token)))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = WantedAccountToken)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedToken {
    /// Name for people.
    name: String,
    /// Days for which it lasts; 90 unless told otherwise.
    #[schema(minimum = 1, maximum = 366)]
    #[serde(default = "days")]
    expires_in_days: i32,
}

fn days() -> i32 {
    DAYS
}

/// The tokens of one's programs, the newest first.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "account", params(InPages),
    responses((status = 200, body = Page<ProgramToken>), Refused<(crate::identity::error::Account, crate::identity::error::OneAtATime, openapi::Input, crate::store::error::Database)>))]
pub(super) async fn tokens(
    State(state): State<Arc<IdentityState>>,
    owner: Owner,
    mut parameters: Parameters,
) -> Result<Json<Page<ProgramToken>>, Error> {
    let asked = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    Ok(Json(store::tokens(&state.database, owner.account_id, &asked).await?))
}

/// Makes a token for a program.
///
/// The token sees what the account sees, and is shown this once.
#[utoipa::path(post, path = "/tokens", operation_id = "create_token", tag = "account", request_body = WantedToken,
    responses((status = 201, body = IssuedToken), Refused<(
        crate::identity::error::Account, crate::identity::error::OneAtATime, openapi::Body, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn create_token(
    State(state): State<Arc<IdentityState>>,
    owner: Owner,
    body: Result<Object<WantedToken>, Error>,
) -> Result<(StatusCode, Json<IssuedToken>), Error> {
    let Object(WantedToken { name, expires_in_days }) = body?;
    if !(1..=DAYS_MAX).contains(&expires_in_days) {
        return Err(Error::field("expires_in_days", "From 1 to 366."));
    }
    let mut transaction = owner.actor.begin(&state.database).await?;
    let issued = store::create_token(&mut transaction, owner.account_id, &name, expires_in_days).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Ends a token. Again does nothing.
#[utoipa::path(post, path = "/tokens/{token_id}/revoke", operation_id = "revoke_token", tag = "account",
    params(("token_id" = String, Path)),
    responses((status = 200, body = ProgramToken), Refused<(
        crate::identity::error::Account, crate::identity::error::OneAtATime, openapi::Missing, crate::store::error::Record
    )>))]
pub(super) async fn revoke_token(
    State(state): State<Arc<IdentityState>>,
    owner: Owner,
    token_id: Result<Path<String>, PathRejection>,
) -> Result<Json<ProgramToken>, Error> {
    let Path(token_id) = token_id.map_err(|_| Error::NotFound)?;
    let mut transaction = owner.actor.begin(&state.database).await?;
    let token = store::revoke_token(&mut transaction, owner.account_id, &token_id).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    Ok(Json(token))
}
