//! `/api/v1/admin/keys`: what administrators do with keys.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    admin::state::AdminState,
    http::{
        body::Object,
        cursor::{Asked, InPages, Page},
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Admin,
    intake::keys::store::{self, Issued, Key, Wanted},
    store::following::commit,
};

/// Hours for which the key before a rotation is still accepted: by default, and at most.
pub(crate) const GRACE_HOURS: u32 = 24;
const GRACE_HOURS_MAX: u32 = 24 * 30;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Hours for which the secret before is still accepted.
    #[schema(maximum = 720)]
    #[serde(default = "grace_hours")]
    grace_hours: u32,
}

fn grace_hours() -> u32 {
    GRACE_HOURS
}

/// Every key, revoked ones included, the newest first.
#[utoipa::path(get, path = "/", operation_id = "list_keys", tag = "admin", params(InPages),
    responses((status = 200, body = Page<Key>), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    mut parameters: Parameters,
) -> Result<Json<Page<Key>>, Error> {
    let asked = Asked::read(&mut parameters);
    Ok(Json(store::list(&state.reading, &parameters.finish(asked)?).await?))
}

/// Makes a key.
///
/// Its secret is shown this once.
#[utoipa::path(post, path = "/", operation_id = "create_key", tag = "admin", request_body = Wanted,
    responses((status = 201, body = Issued), Refused<(crate::identity::error::Scoped, openapi::Body, crate::store::error::Record)>))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    body: Result<Object<Wanted>, Error>,
) -> Result<(StatusCode, Json<Issued>), Error> {
    let Object(wanted) = body?;
    let mut transaction = admin.begin(&state.writing).await?;
    let issued = store::create(&mut transaction, &wanted, admin.actor()).await?;
    commit(transaction, state.keys.refresh()).await?;
    tracing::info!(key_id = issued.known.key_id, "key created");
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Gives a key a new secret.
///
/// The one before is still taken for a while.
#[utoipa::path(post, path = "/{key_id}/rotate", operation_id = "rotate_key", tag = "admin",
    params(("key_id" = String, Path)), request_body = Rotation,
    responses((status = 200, body = Issued), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, crate::store::error::Record
    )>))]
pub(super) async fn rotate(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    key_id: Result<Path<String>, PathRejection>,
    body: Result<Object<Rotation>, Error>,
) -> Result<Json<Issued>, Error> {
    let Path(key_id) = key_id.map_err(|_| Error::NotFound)?;
    let Object(Rotation { grace_hours }) = body?;
    if grace_hours > GRACE_HOURS_MAX {
        return Err(Error::field("grace_hours", &format!("At most {GRACE_HOURS_MAX}.")));
    }
    let mut transaction = admin.begin(&state.writing).await?;
    let issued = store::rotate(&mut transaction, &key_id, grace_hours).await?;
    commit(transaction, state.keys.refresh()).await?;
    tracing::info!(key_id, grace_hours, "key rotated");
    Ok(Json(issued))
}

/// Ends a key.
#[utoipa::path(post, path = "/{key_id}/revoke", operation_id = "revoke_key", tag = "admin",
    params(("key_id" = String, Path)),
    responses((status = 200, body = Key), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Record)>))]
pub(super) async fn revoke(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    key_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Key>, Error> {
    let Path(key_id) = key_id.map_err(|_| Error::NotFound)?;
    let mut transaction = admin.begin(&state.writing).await?;
    let key = store::revoke(&mut transaction, &key_id, admin.actor()).await?;
    commit(transaction, state.keys.refresh()).await?;
    tracing::info!(key_id, "key revoked");
    Ok(Json(key))
}
