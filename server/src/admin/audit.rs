//! The audit log, which administrators read: who changed what, when, from where. The tables write it themselves
//! (migration 13), in the transaction of the change ([`Actor`](crate::identity::actor::Actor)).

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::{
    admin::state::AdminState,
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Admin,
    store::database::answer,
};

/// Entries in one answer, unless asked otherwise, and at most.
const LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Table that the entries are about: `accounts`, `account_tokens`, `api_keys`, `advertisers`, `campaigns`, `ads`,
    /// `fraud_rules`, `alerts` (what people do with incidents), `adjustments` (releases, by click id).
    subject: Option<String>,
    /// Row that the entries are about.
    subject_id: Option<String>,
    /// Actor of the entries: a person or a program.
    actor: Option<String>,
    /// 100 unless asked otherwise.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<i64>,
}

/// An entry of the audit log: one change of one row.
#[derive(Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Entry {
    entry_id: i64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    actor: String,
    /// The keyed hash of an address, or where else than over HTTP it was done.
    origin: String,
    /// `insert`, `update`, `delete`, `sign_in`, `sign_out`.
    action: String,
    subject: String,
    subject_id: String,
    /// The row before, without secrets.
    #[schema(value_type = Option<Object>)]
    #[sqlx(try_from = "Option<String>")]
    before: Row,
    /// The row after, without secrets.
    #[schema(value_type = Option<Object>)]
    #[sqlx(try_from = "Option<String>")]
    after: Row,
}

/// A row as JSON.
#[derive(Serialize)]
struct Row(Option<Value>);

impl TryFrom<Option<String>> for Row {
    type Error = serde_json::Error;

    fn try_from(text: Option<String>) -> serde_json::Result<Self> {
        text.map(|text| serde_json::from_str(&text)).transpose().map(Self)
    }
}

/// One page, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(crate) struct Page {
    data: Vec<Entry>,
    /// Cursor of the next page; `null` after the last.
    next: Option<i64>,
}

/// Lists recorded changes, the latest first.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "admin", params(AuditQuery),
    responses((status = 200, body = Page), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    mut given: Parameters,
) -> Result<Json<Page>, Error> {
    let question = AuditQuery {
        subject: given.text("subject"),
        subject_id: given.text("subject_id"),
        actor: given.text("actor"),
        limit: given.number("limit", 1..=MAX_LIMIT),
        before: given.number("before", 0..=i64::MAX),
    };
    let question = given.finish(question)?;
    let limit = question.limit.unwrap_or(LIMIT);
    let page = sqlx::query_as(
        "SELECT entry_id, at, actor, origin, action, subject, subject_id, before::text, after::text FROM audit_log \
          WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR subject_id = $2) \
            AND ($3::text IS NULL OR actor = $3) AND ($4::bigint IS NULL OR entry_id < $4) \
          ORDER BY entry_id DESC LIMIT $5",
    )
    .bind(question.subject)
    .bind(question.subject_id)
    .bind(question.actor)
    .bind(question.before)
    .bind(limit + 1)
    .fetch_all(&state.reading);
    let mut data: Vec<Entry> = answer(page).await?;
    let is_last = data.len() as i64 <= limit;
    data.truncate(limit as usize);
    let next = if is_last { None } else { data.last().map(|entry| entry.entry_id) };
    Ok(Json(Page { data, next }))
}
