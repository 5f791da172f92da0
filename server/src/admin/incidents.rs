//! Incidents, for operators: listed, and acknowledged by a person.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_protocol::alerts::Alert;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    AppState,
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Operator,
    store::database::answer,
};

/// Incidents in one answer, unless asked otherwise, and at most.
const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// Everything below `/api/v1/alerts`.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(acknowledge))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Question {
    #[param(inline, required = false)]
    state: Lives,
    /// 50 unless asked otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<Uuid>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
enum Lives {
    #[default]
    Open,
    Resolved,
    All,
}

fn lives(text: &str) -> Result<Lives, &'static str> {
    match text {
        "open" => Ok(Lives::Open),
        "resolved" => Ok(Lives::Resolved),
        "all" => Ok(Lives::All),
        _ => Err("Expected open, resolved or all."),
    }
}

/// One page, the latest opened first.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertPage)]
struct Page {
    data: Vec<Alert>,
    /// Where the next page begins; `None` after the last.
    next: Option<Uuid>,
}

/// Incidents, the latest opened first.
#[utoipa::path(get, path = "/", operation_id = "list_alerts", tag = "operator", params(Question),
    responses((status = 200, body = Page), Refused<(openapi::Scoped, openapi::Input, openapi::Database)>))]
async fn list(
    State(state): State<AppState>,
    _operator: Operator,
    mut given: Parameters,
) -> Result<Json<Page>, Error> {
    let question = Question {
        state: given.take("state", lives).unwrap_or_default(),
        limit: given.number("limit", 1..=MAX_LIMIT),
        before: given
            .take("before", |text| Uuid::try_parse(text).map_err(|_| "Expected the `next` of a page.")),
    };
    let question = given.finish(question)?;
    let limit = question.limit.unwrap_or(LIMIT);
    let is_resolved = match question.state {
        Lives::Open => Some(false),
        Lives::Resolved => Some(true),
        Lives::All => None,
    };
    let documents: Vec<String> = sqlx::query_scalar(
        "SELECT alert_document(a)::text FROM alerts a \
          WHERE ($1::boolean IS NULL OR (resolved_at IS NOT NULL) = $1) \
            AND ($2::uuid IS NULL OR (opened_at, alert_id) < (SELECT opened_at, alert_id FROM alerts WHERE alert_id = $2)) \
          ORDER BY opened_at DESC, alert_id DESC LIMIT $3",
    )
    .bind(is_resolved)
    .bind(question.before)
    .bind(limit + 1)
    .fetch_all(&state.database)
    .await?;
    let mut data = documents.iter().map(|text| read(text)).collect::<Result<Vec<Alert>, _>>()?;
    let is_last = data.len() as i64 <= limit;
    data.truncate(limit as usize);
    let next = if is_last { None } else { data.last().map(|alert| alert.alert_id) };
    Ok(Json(Page { data, next }))
}

/// Acknowledges an incident.
///
/// Who does it first is kept; again does nothing.
#[utoipa::path(post, path = "/{alert_id}/acknowledge", operation_id = "acknowledge_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)),
    responses((status = 200, body = Alert), Refused<(openapi::Scoped, openapi::Missing, openapi::Record)>))]
async fn acknowledge(
    State(state): State<AppState>,
    operator: Operator,
    alert_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Alert>, Error> {
    let Path(alert_id) = alert_id.map_err(|_| Error::NotFound)?;
    let mut transaction = operator.begin(&state.admin_database).await?;
    let acknowledged = sqlx::query(
        "UPDATE alerts SET acknowledged_at = clock_timestamp(), acknowledged_by = $2 \
          WHERE alert_id = $1 AND acknowledged_at IS NULL",
    )
    .bind(alert_id)
    .bind(operator.actor());
    answer(acknowledged.execute(&mut *transaction)).await?;
    answer(transaction.commit()).await?;
    Ok(Json(find(&state.database, alert_id).await?.ok_or(Error::NotFound)?))
}

async fn find(database: &PgPool, alert_id: Uuid) -> Result<Option<Alert>, Error> {
    let document: Option<String> =
        sqlx::query_scalar("SELECT alert_document(a)::text FROM alerts a WHERE alert_id = $1")
            .bind(alert_id)
            .fetch_optional(database)
            .await?;
    Ok(document.map(|text| read(&text)).transpose()?)
}

/// Reads what the database says of an incident, or of news about one.
pub(crate) fn read<T: serde::de::DeserializeOwned>(document: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(document).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
