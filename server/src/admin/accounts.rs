//! `/api/v1/admin/accounts`: what administrators do with accounts. Passwords that they give are made by the
//! server and shown once; who gets one should change it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::state::AdminState,
    http::{
        body::Object,
        cursor::{Asked, InPages, Page},
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::{
        access::Admin,
        password,
        store::{self, Account, Profile, Wanted},
    },
    store::following::commit,
};

/// An account with a new password, which is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedAccount)]
pub(crate) struct Issued {
    #[serde(flatten)]
    pub(crate) account: Account,
    pub(crate) password: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ChangedAccount)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    #[serde(flatten)]
    profile: Profile,
    /// The account is closed: no sign-in any more, and its sessions and tokens end.
    is_disabled: bool,
}

fn account_id(path: Result<Path<Uuid>, PathRejection>) -> Result<Uuid, Error> {
    path.map(|Path(id)| id).map_err(|_| Error::NotFound)
}

/// Every account, the newest first.
#[utoipa::path(get, path = "/", operation_id = "list_accounts", tag = "admin", params(InPages),
    responses((status = 200, body = Page<Account>), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    mut parameters: Parameters,
) -> Result<Json<Page<Account>>, Error> {
    let asked = Asked::read(&mut parameters);
    Ok(Json(store::list(&state.reading, &parameters.finish(asked)?).await?))
}

/// One account.
#[utoipa::path(get, path = "/{account_id}", operation_id = "show_account", tag = "admin",
    params(("account_id" = Uuid, Path)),
    responses((status = 200, body = Account), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Database)>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Account>, Error> {
    Ok(Json(store::find(&state.reading, account_id(id)?).await?))
}

/// Makes an account.
///
/// Its password is shown this once.
#[utoipa::path(post, path = "/", operation_id = "create_account", tag = "admin", request_body = Wanted,
    responses((status = 201, body = Issued), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Conflict, crate::identity::error::Busy, crate::store::error::Record
    )>))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    body: Result<Object<Wanted>, Error>,
) -> Result<(StatusCode, Json<Issued>), Error> {
    let Object(wanted) = body?;
    wanted.check()?;
    let password = password::generate();
    let hash = password::hash(password.clone()).await?;
    let mut transaction = admin.begin(&state.writing).await?;
    let account = store::create(&mut transaction, &wanted, &hash).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    tracing::info!(account_id = %account.account_id, "account created");
    Ok((StatusCode::CREATED, Json(Issued { account, password })))
}

/// Changes an account, disables it, or lets it in again.
///
/// What it has open follows within two seconds, on every server.
#[utoipa::path(put, path = "/{account_id}", operation_id = "change_account", tag = "admin",
    params(("account_id" = Uuid, Path)), request_body = Changed,
    responses((status = 200, body = Account), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, crate::store::error::Record
    )>))]
pub(super) async fn change(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Object<Changed>, Error>,
) -> Result<Json<Account>, Error> {
    let id = account_id(id)?;
    let Object(Changed { profile, is_disabled }) = body?;
    let mut transaction = admin.begin(&state.writing).await?;
    let account = store::change(&mut transaction, id, &profile, is_disabled).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    tracing::info!(account_id = %id, is_disabled, "account changed");
    Ok(Json(account))
}

/// Gives an account a new password.
///
/// The password is shown this once; the account's sessions end.
#[utoipa::path(post, path = "/{account_id}/password", operation_id = "reset_password", tag = "admin",
    params(("account_id" = Uuid, Path)),
    responses((status = 200, body = Issued), Refused<(
        crate::identity::error::Scoped, openapi::Missing, crate::identity::error::Busy, crate::store::error::Record
    )>))]
pub(super) async fn reset_password(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Issued>, Error> {
    let id = account_id(id)?;
    let account = store::find(&state.reading, id).await?;
    let password = password::generate();
    let hash = password::hash(password.clone()).await?;
    let mut transaction = admin.begin(&state.writing).await?;
    store::set_password(&mut transaction, id, &hash).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    tracing::info!(account_id = %id, "password reset");
    Ok(Json(Issued { account, password }))
}

/// Ends all sessions of an account.
#[utoipa::path(post, path = "/{account_id}/sign-out", operation_id = "sign_account_out", tag = "admin",
    params(("account_id" = Uuid, Path)),
    responses((status = 204, description = "They are over."), Refused<(
        crate::identity::error::Scoped, openapi::Missing, crate::store::error::Record
    )>))]
pub(super) async fn sign_out(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Error> {
    let id = account_id(id)?;
    let mut transaction = admin.begin(&state.writing).await?;
    store::end_sessions(&mut transaction, id).await?;
    commit(transaction, state.access.directory.refresh()).await?;
    tracing::info!(account_id = %id, "signed out everywhere");
    Ok(StatusCode::NO_CONTENT)
}
