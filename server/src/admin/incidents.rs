//! Incidents, for operators: listed, and acknowledged by a person.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_protocol::alerts::Alert;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    admin::state::AdminState,
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Operator,
    query::incidents,
    store::database::answer,
};

/// Incidents in one answer, unless asked otherwise, and at most.
const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct IncidentQuery {
    #[param(inline, required = false)]
    state: StateFilter,
    /// 50 unless asked otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<Uuid>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
enum StateFilter {
    #[default]
    Open,
    Resolved,
    All,
}

fn state_filter(text: &str) -> Result<StateFilter, &'static str> {
    match text {
        "open" => Ok(StateFilter::Open),
        "resolved" => Ok(StateFilter::Resolved),
        "all" => Ok(StateFilter::All),
        _ => Err("Expected open, resolved or all."),
    }
}

/// One page, the latest opened first.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertPage)]
pub(super) struct Page {
    data: Vec<Alert>,
    /// Where the next page begins; `None` after the last.
    next: Option<Uuid>,
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
        state: given.take("state", state_filter).unwrap_or_default(),
        limit: given.number("limit", 1..=MAX_LIMIT),
        before: given
            .take("before", |text| Uuid::try_parse(text).map_err(|_| "Expected the `next` of a page.")),
    };
    let question = given.finish(question)?;
    let limit = question.limit.unwrap_or(LIMIT);
    let is_resolved = match question.state {
        StateFilter::Open => Some(false),
        StateFilter::Resolved => Some(true),
        StateFilter::All => None,
    };
    let mut data = incidents::latest(&state.reading, is_resolved, question.before, limit + 1).await?;
    let is_last = data.len() as i64 <= limit;
    data.truncate(limit as usize);
    let next = if is_last { None } else { data.last().map(|alert| alert.alert_id) };
    Ok(Json(Page { data, next }))
}

/// Acknowledges an incident.
///
/// The first acknowledgement is kept; another one does nothing.
#[utoipa::path(post, path = "/{alert_id}/acknowledge", operation_id = "acknowledge_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)),
    responses((status = 200, body = Alert), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Record)>))]
pub(super) async fn acknowledge(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Alert>, Error> {
    let Path(alert_id) = alert_id.map_err(|_| Error::NotFound)?;
    let mut transaction = operator.begin(&state.writing).await?;
    answer(clickwire_ledger::incidents::acknowledge(&mut transaction, alert_id, operator.actor())).await?;
    answer(transaction.commit()).await?;
    Ok(Json(incidents::find(&state.reading, alert_id).await?.ok_or(Error::NotFound)?))
}
