//! `/api/v1/admin/dead-letters`: what can't be counted, for administrators. They see it, send it back
//! to be counted, edited if need be, or dismiss it. The work itself is [`clickwire_dead_letters`]'s,
//! as it is for the command line.

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use clickwire_dead_letters::{DeadLetter, PAGE_MAX, Page, Replayed};
use clickwire_protocol::click::Rejection;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::Operator,
    admin::reason,
    error::Error,
    openapi::{self, Refused},
};

/// Letters on a page, if nothing else is asked for.
const PAGE: usize = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The `next` of the page before.
    #[serde(default)]
    after: u64,
    /// 50 unless asked otherwise.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 100)]
    limit: usize,
}

fn page() -> usize {
    PAGE
}

/// What comes with a replay or a dismissal.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = DeadLetterOrder)]
#[serde(deny_unknown_fields)]
struct Order {
    /// The message as it is to be sent; not for a dismissal.
    payload: Option<String>,
    /// Required for a dismissal.
    reason: Option<String>,
}

/// Everything below `/api/v1/admin/dead-letters`.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(replay))
        .routes(routes!(dismiss))
}

/// Dead letters, the oldest first.
#[utoipa::path(get, path = "/", operation_id = "list_dead_letters", tag = "operator", params(Asked),
    responses((status = 200, body = Page), Refused<(openapi::Scoped, openapi::Input, openapi::Broker)>))]
async fn list(
    State(state): State<AppState>,
    _operator: Operator,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Page>, Error> {
    let Query(asked) = query.map_err(|error| Error::Invalid(Rejection::form(error.body_text())))?;
    if !(1..=PAGE_MAX).contains(&asked.limit) {
        return Err(Error::field("limit", &format!("From 1 to {PAGE_MAX}.")));
    }
    Ok(Json(state.dead_letters.list(asked.after, asked.limit).await?))
}

/// A dead letter with its message.
#[utoipa::path(get, path = "/{sequence}", operation_id = "show_dead_letter", tag = "operator",
    params(("sequence" = u64, Path)),
    responses((status = 200, body = DeadLetter), Refused<(openapi::Scoped, openapi::Missing, openapi::Broker)>))]
async fn show(
    State(state): State<AppState>,
    _operator: Operator,
    sequence: Result<Path<u64>, PathRejection>,
) -> Result<Json<DeadLetter>, Error> {
    Ok(Json(state.dead_letters.read(number(sequence)?).await?))
}

/// Sends a message back to be counted.
#[utoipa::path(post, path = "/{sequence}/replay", operation_id = "replay_dead_letter", tag = "operator",
    params(("sequence" = u64, Path)), request_body = Option<Order>,
    responses((status = 200, body = Replayed), Refused<(
        openapi::Scoped, openapi::Body, openapi::Missing, openapi::NotReplayable, openapi::Broker, openapi::Record
    )>))]
async fn replay(
    State(state): State<AppState>,
    operator: Operator,
    sequence: Result<Path<u64>, PathRejection>,
    order: Result<Option<Json<Order>>, JsonRejection>,
) -> Result<Json<Replayed>, Error> {
    let order = order?.map(|Json(order)| order).unwrap_or_default();
    let reason = order.reason.as_deref().map(reason).transpose()?;
    let edited = order.payload.map(Into::into);
    let replayed = state
        .dead_letters
        .replay(&state.admin_database, number(sequence)?, edited, operator.actor(), reason.as_ref())
        .await?;
    Ok(Json(replayed))
}

/// Puts a message away that is not to be counted.
#[utoipa::path(post, path = "/{sequence}/dismiss", operation_id = "dismiss_dead_letter", tag = "operator",
    params(("sequence" = u64, Path)), request_body = Order,
    responses((status = 204, description = "It is gone."), Refused<(
        openapi::Scoped, openapi::Body, openapi::Missing, openapi::Broker, openapi::Record
    )>))]
async fn dismiss(
    State(state): State<AppState>,
    operator: Operator,
    sequence: Result<Path<u64>, PathRejection>,
    order: Result<Option<Json<Order>>, JsonRejection>,
) -> Result<StatusCode, Error> {
    let order = order?.map(|Json(order)| order).unwrap_or_default();
    if order.payload.is_some() {
        return Err(Error::field("payload", "What is dismissed is not edited."));
    }
    let given = order.reason.as_deref().ok_or_else(|| Error::field("reason", "Required."))?;
    let reason = reason(given)?;
    state.dead_letters.dismiss(&state.admin_database, number(sequence)?, operator.actor(), &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no number names no letter.
fn number(sequence: Result<Path<u64>, PathRejection>) -> Result<u64, Error> {
    sequence.map(|Path(sequence)| sequence).map_err(|_| Error::NotFound)
}
