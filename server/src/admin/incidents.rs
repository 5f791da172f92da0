//! Incidents, for operators: listed and shown here, changed by [`orders`].

pub(super) mod orders;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_protocol::alerts::{Assignees, Kind, Page, Which, WithNotes};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    admin::state::AdminState,
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Operator,
    query::incidents::{self, Listing},
};

/// Incidents in one answer, unless asked otherwise, and at most.
const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// Bytes of a subject, at most: two names and what stands between them.
const SUBJECT_BYTES: usize = 512;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct IncidentQuery {
    #[param(inline, required = false)]
    state: Which,
    /// Incidents of this kind only.
    #[param(inline)]
    kind: Option<Kind>,
    /// Incidents about this subject only; with `kind`.
    #[param(max_length = 512)]
    subject: Option<String>,
    /// 50 unless asked otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<Uuid>,
}

/// Incidents, the latest opened first.
#[utoipa::path(get, path = "/", operation_id = "list_alerts", tag = "operator", params(IncidentQuery),
    responses((status = 200, body = Page), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    mut given: Parameters,
) -> Result<Json<Page>, Error> {
    let question = IncidentQuery {
        state: given.take("state", str::parse).unwrap_or_default(),
        kind: given.take("kind", str::parse),
        subject: given.take("subject", |text| match text.len() {
            0..=SUBJECT_BYTES => Ok(text.to_owned()),
            _ => Err("Expected the subject of an incident."),
        }),
        limit: given.number("limit", 1..=MAX_LIMIT),
        before: given
            .take("before", |text| Uuid::try_parse(text).map_err(|_| "Expected the `next` of a page.")),
    };
    let question = given.finish(question)?;
    if question.subject.is_some() && question.kind.is_none() {
        return Err(Error::field("kind", "Required with subject: a subject is one of a kind."));
    }
    let limit = question.limit.unwrap_or(LIMIT);
    let listing = Listing {
        which: question.state,
        kind: question.kind,
        subject: question.subject.as_deref(),
        before: question.before,
    };
    let mut data = incidents::latest(&state.reading, &listing, limit + 1).await?;
    let is_last = data.len() as i64 <= limit;
    data.truncate(limit as usize);
    let next = if is_last { None } else { data.last().map(|alert| alert.alert_id) };
    Ok(Json(Page { data, next }))
}

/// One incident with the notes about it.
#[utoipa::path(get, path = "/{alert_id}", operation_id = "show_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)),
    responses((status = 200, body = WithNotes), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Database)>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    alert_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<WithNotes>, Error> {
    let Path(alert_id) = alert_id.map_err(|_| Error::NotFound)?;
    let alert = incidents::find(&state.reading, alert_id).await?.ok_or(Error::NotFound)?;
    Ok(Json(WithNotes { alert, notes: incidents::notes(&state.reading, alert_id).await? }))
}

/// The operators and administrators who have an account: to them an incident can be given.
#[utoipa::path(get, path = "/assignees", operation_id = "list_assignees", tag = "operator",
    responses((status = 200, body = Assignees), Refused<crate::identity::error::Scoped>))]
pub(super) async fn assignees(State(state): State<Arc<AdminState>>, _operator: Operator) -> Json<Assignees> {
    let operators = state.access.directory.operators();
    Json(Assignees { data: operators.iter().map(ToString::to_string).collect() })
}
