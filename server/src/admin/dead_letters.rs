//! `/api/v1/admin/dead-letters`: what can't be counted, for administrators. They see it, send it back
//! to be counted, edited if need be, or dismiss it. The work itself is [`clickwire_dead_letters`]'s,
//! as it is for the command line.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use clickwire_dead_letters::{Actor, DeadLetter, Outcome, PAGE_MAX};
use clickwire_protocol::dead_letters::{Page, Replayed};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    admin::{reason, state::AdminState},
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::{
        Role,
        access::{Caller, Operator},
    },
};

/// Letters on a page, if nothing else is asked for.
const PAGE: usize = 50;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The `next` of the page before.
    after: Option<u64>,
    /// 50 unless asked otherwise.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// The body of a replay or a dismissal.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = DeadLetterOrder)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The message as it is to be sent; not for a dismissal.
    payload: Option<String>,
    /// Required for a dismissal.
    reason: Option<String>,
}

/// Dead letters, the oldest first.
#[utoipa::path(get, path = "/", operation_id = "list_dead_letters", tag = "operator", params(Asked),
    responses((status = 200, body = Page), Refused<(crate::identity::error::Scoped, openapi::Input, crate::intake::error::Broker)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    mut given: Parameters,
) -> Result<Json<Page>, Error> {
    let asked =
        Asked { after: given.number("after", 0..=u64::MAX), limit: given.number("limit", 1..=PAGE_MAX) };
    let Asked { after, limit } = given.finish(asked)?;
    Ok(Json(state.dead_letters.list(after.unwrap_or_default(), limit.unwrap_or(PAGE)).await?))
}

/// A dead letter with its message.
#[utoipa::path(get, path = "/{sequence}", operation_id = "show_dead_letter", tag = "operator",
    params(("sequence" = u64, Path)),
    responses((status = 200, body = DeadLetter), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::intake::error::Broker)>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    sequence: Result<Path<u64>, PathRejection>,
) -> Result<Json<DeadLetter>, Error> {
    Ok(Json(state.dead_letters.read(number(sequence)?).await?))
}

/// Returns the outcome of a dead letter: the action, its actor and the reason.
#[utoipa::path(get, path = "/{sequence}/outcome", operation_id = "show_dead_letter_outcome", tag = "operator",
    params(("sequence" = u64, Path)),
    responses((status = 200, body = Outcome), Refused<(
        crate::identity::error::Scoped, openapi::Missing, crate::intake::error::Broker, crate::store::error::Database
    )>))]
pub(super) async fn outcome(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    sequence: Result<Path<u64>, PathRejection>,
) -> Result<Json<Outcome>, Error> {
    Ok(Json(state.dead_letters.outcome(&state.reading, number(sequence)?).await?))
}

/// Sends a message back to be counted.
///
/// Whose click it is the message says; where it does not, or is to say another, an administrator must, with
/// a reason. Of all who deal with a dead letter at once, one succeeds.
#[utoipa::path(post, path = "/{sequence}/replay", operation_id = "replay_dead_letter", tag = "operator",
    params(("sequence" = u64, Path)), request_body = Option<Order>,
    responses((status = 200, body = Replayed), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::admin::error::NotReplayable,
        crate::intake::error::Broker, crate::store::error::Record
    )>))]
pub(super) async fn replay(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    caller: Caller,
    sequence: Result<Path<u64>, PathRejection>,
    order: Result<Option<Object<Order>>, Error>,
) -> Result<Json<Replayed>, Error> {
    let order = order?.map(|Object(order)| order).unwrap_or_default();
    let reason = order.reason.as_deref().map(reason).transpose()?;
    let edited = order.payload.map(Into::into);
    let replayed = state
        .dead_letters
        .replay(&state.writing, number(sequence)?, edited, actor(&operator, &caller), reason.as_ref())
        .await?;
    Ok(Json(replayed))
}

/// Puts a message away that is not to be counted.
#[utoipa::path(post, path = "/{sequence}/dismiss", operation_id = "dismiss_dead_letter", tag = "operator",
    params(("sequence" = u64, Path)), request_body = Order,
    responses((status = 204, description = "It is gone."), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::intake::error::Broker, crate::store::error::Record
    )>))]
pub(super) async fn dismiss(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    caller: Caller,
    sequence: Result<Path<u64>, PathRejection>,
    order: Result<Option<Object<Order>>, Error>,
) -> Result<StatusCode, Error> {
    let order = order?.map(|Object(order)| order).unwrap_or_default();
    if order.payload.is_some() {
        return Err(Error::field("payload", "What is dismissed is not edited."));
    }
    let given = order.reason.as_deref().ok_or_else(|| Error::field("reason", "Required."))?;
    let reason = reason(given)?;
    let actor = actor(&operator, &caller);
    state.dead_letters.dismiss(&state.writing, number(sequence)?, actor, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn actor<'a>(operator: &'a Operator, caller: &Caller) -> Actor<'a> {
    Actor { name: operator.actor(), is_administrator: caller.role == Role::Admin }
}

/// Returns the dead letter's number from the path; anything else than a number is not found.
fn number(sequence: Result<Path<u64>, PathRejection>) -> Result<u64, Error> {
    sequence.map(|Path(sequence)| sequence).map_err(|_| Error::NotFound)
}
