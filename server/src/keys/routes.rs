//! `/api/v1/admin/keys`: what administrators do with keys.

use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::store::{self, Issued, Key, Wanted};
use crate::{AppState, access::Admin, error::Error};

/// How long the key before a rotation is taken unless told otherwise, and at most, in hours.
pub(super) const GRACE_HOURS: u32 = 24;
const GRACE_HOURS_MAX: u32 = 24 * 30;

#[derive(Serialize)]
struct List {
    data: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default = "grace_hours")]
    grace_hours: u32,
}

fn grace_hours() -> u32 {
    GRACE_HOURS
}

/// Everything below `/api/v1/admin/keys`.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(list).post(create))
        .route("/{key_id}/rotate", post(rotate))
        .route("/{key_id}/revoke", post(revoke))
}

async fn list(State(state): State<AppState>, _admin: Admin) -> Result<Json<List>, Error> {
    Ok(Json(List { data: store::list(&state.database).await? }))
}

async fn create(
    State(state): State<AppState>,
    admin: Admin,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Issued>), Error> {
    let Json(wanted) = body?;
    let issued = store::create(&state.admin_database, &wanted, admin.actor()).await?;
    tracing::info!(key_id = issued.known.key_id, "key created");
    state.keys.refresh(&state.database).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}

async fn rotate(
    State(state): State<AppState>,
    _admin: Admin,
    Path(key_id): Path<String>,
    body: Result<Json<Rotation>, JsonRejection>,
) -> Result<Json<Issued>, Error> {
    let Json(Rotation { grace_hours }) = body?;
    if grace_hours > GRACE_HOURS_MAX {
        return Err(Error::field("grace_hours", &format!("At most {GRACE_HOURS_MAX}.")));
    }
    let issued = store::rotate(&state.admin_database, &key_id, grace_hours).await?;
    tracing::info!(key_id, grace_hours, "key rotated");
    state.keys.refresh(&state.database).await?;
    Ok(Json(issued))
}

async fn revoke(
    State(state): State<AppState>,
    admin: Admin,
    Path(key_id): Path<String>,
) -> Result<Json<Key>, Error> {
    let key = store::revoke(&state.admin_database, &key_id, admin.actor()).await?;
    tracing::info!(key_id, "key revoked");
    state.keys.refresh(&state.database).await?;
    Ok(Json(key))
}
