//! `/api/v1/admin/dead-letters`: what can't be counted, for administrators. They see it, send it back
//! to be counted, edited if need be, or dismiss it. The work itself is [`clickwire_dead_letters`]'s,
//! as it is for the command line.

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    routing::{get, post},
};
use clickwire_dead_letters::{DeadLetter, PAGE_MAX, Page, Replayed};
use clickwire_protocol::click::Rejection;
use serde::Deserialize;

use crate::{AppState, access::Admin, admin::reason, error::Error};

/// Letters on a page, if nothing else is asked for.
const PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    after: u64,
    #[serde(default = "page")]
    limit: usize,
}

fn page() -> usize {
    PAGE
}

/// What comes with a replay or a dismissal.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    payload: Option<String>,
    reason: Option<String>,
}

/// Everything below `/api/v1/admin/dead-letters`.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(list))
        .route("/{sequence}", get(show))
        .route("/{sequence}/replay", post(replay))
        .route("/{sequence}/dismiss", post(dismiss))
}

async fn list(
    State(state): State<AppState>,
    _admin: Admin,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Page>, Error> {
    let Query(asked) = query.map_err(|error| Error::Invalid(Rejection::form(error.body_text())))?;
    if !(1..=PAGE_MAX).contains(&asked.limit) {
        return Err(Error::field("limit", &format!("From 1 to {PAGE_MAX}.")));
    }
    Ok(Json(state.dead_letters.list(asked.after, asked.limit).await?))
}

async fn show(
    State(state): State<AppState>,
    _admin: Admin,
    sequence: Result<Path<u64>, PathRejection>,
) -> Result<Json<DeadLetter>, Error> {
    Ok(Json(state.dead_letters.read(number(sequence)?).await?))
}

async fn replay(
    State(state): State<AppState>,
    admin: Admin,
    sequence: Result<Path<u64>, PathRejection>,
    order: Result<Option<Json<Order>>, JsonRejection>,
) -> Result<Json<Replayed>, Error> {
    let order = order?.map(|Json(order)| order).unwrap_or_default();
    let reason = order.reason.as_deref().map(reason).transpose()?;
    let edited = order.payload.map(Into::into);
    let replayed = state
        .dead_letters
        .replay(&state.admin_database, number(sequence)?, edited, admin.actor(), reason.as_ref())
        .await?;
    Ok(Json(replayed))
}

async fn dismiss(
    State(state): State<AppState>,
    admin: Admin,
    sequence: Result<Path<u64>, PathRejection>,
    order: Result<Option<Json<Order>>, JsonRejection>,
) -> Result<StatusCode, Error> {
    let order = order?.map(|Json(order)| order).unwrap_or_default();
    if order.payload.is_some() {
        return Err(Error::field("payload", "What is dismissed is not edited."));
    }
    let given = order.reason.as_deref().ok_or_else(|| Error::field("reason", "Required."))?;
    let reason = reason(given)?;
    state.dead_letters.dismiss(&state.admin_database, number(sequence)?, admin.actor(), &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no number names no letter.
fn number(sequence: Result<Path<u64>, PathRejection>) -> Result<u64, Error> {
    sequence.map(|Path(sequence)| sequence).map_err(|_| Error::NotFound)
}
