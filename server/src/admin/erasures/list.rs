//! The list of erasures: each with its actor, its reason and its progress in the lake.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::lake::LakeState;
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

/// Erasures in one answer, unless asked otherwise, and at most.
const LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct ErasureQuery {
    /// 100 unless asked otherwise.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct Row {
    erasure_id: Uuid,
    requested_at: OffsetDateTime,
    finished_at: Option<OffsetDateTime>,
    advertiser_id: String,
    actor: String,
    reason: String,
    clicks: i64,
    incidents: i64,
    dead_letters: i64,
    lake_requested_at: Option<OffsetDateTime>,
    lake_rows: Option<i64>,
    lake_rewritten_at: Option<OffsetDateTime>,
    lake_finished_at: Option<OffsetDateTime>,
}

/// An erasure as it is recorded: without the user.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErasureRecord {
    erasure_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    requested_at: OffsetDateTime,
    /// Time at which the ledger had been looked through; `null` while clicks are left.
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    advertiser_id: String,
    /// Actor who ordered it.
    actor: String,
    reason: String,
    /// Clicks that have lost their user.
    clicks: i64,
    /// Incidents that named the user.
    incidents: i64,
    /// Recorded dead letters that had the user in them.
    dead_letters: i64,
    /// The lake's part; `null` if none was ever in use, or while clicks are left.
    lake: Option<LakeErasure>,
}

/// The lake's part of an erasure.
#[derive(Serialize, ToSchema)]
pub(crate) struct LakeErasure {
    state: LakeState,
    /// Rows that have lost their user.
    rows: i64,
    #[serde(with = "time::serde::rfc3339")]
    requested_at: OffsetDateTime,
    /// Time at which its tables were without the user.
    #[serde(with = "time::serde::rfc3339::option")]
    rewritten_at: Option<OffsetDateTime>,
    /// Time at which no object had the user any more.
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

/// One page, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasurePage)]
pub(crate) struct Page {
    data: Vec<ErasureRecord>,
    /// Cursor of the next page; `null` after the last.
    next: Option<Uuid>,
}

impl From<Row> for ErasureRecord {
    fn from(row: Row) -> Self {
        let lake = row.lake_requested_at.map(|requested_at| LakeErasure {
            state: LakeState::of(row.lake_rewritten_at, row.lake_finished_at),
            rows: row.lake_rows.unwrap_or_default(),
            requested_at,
            rewritten_at: row.lake_rewritten_at,
            finished_at: row.lake_finished_at,
        });
        Self {
            erasure_id: row.erasure_id,
            requested_at: row.requested_at,
            finished_at: row.finished_at,
            advertiser_id: row.advertiser_id,
            actor: row.actor,
            reason: row.reason,
            clicks: row.clicks,
            incidents: row.incidents,
            dead_letters: row.dead_letters,
            lake,
        }
    }
}

/// Erasures, the latest first. Nobody can read from them who was erased.
#[utoipa::path(get, path = "/erasures", operation_id = "list_erasures", tag = "admin", params(ErasureQuery),
    responses((status = 200, body = Page), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Database)>))]
pub(crate) async fn list(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    mut given: Parameters,
) -> Result<Json<Page>, Error> {
    let question = ErasureQuery {
        limit: given.number("limit", 1..=MAX_LIMIT),
        before: given
            .take("before", |text| Uuid::try_parse(text).map_err(|_| "Expected the `next` of a page.")),
    };
    let question = given.finish(question)?;
    let limit = question.limit.unwrap_or(LIMIT);
    // The ids grow with time.
    let page = sqlx::query_as(
        "SELECT e.erasure_id, e.requested_at, e.finished_at, e.advertiser_id, e.actor, e.reason, e.clicks, e.incidents, \
                e.dead_letters, l.requested_at AS lake_requested_at, l.rows AS lake_rows, \
                l.rewritten_at AS lake_rewritten_at, l.finished_at AS lake_finished_at \
           FROM erasures e LEFT JOIN lake_erasures l USING (erasure_id) \
          WHERE $1::uuid IS NULL OR e.erasure_id < $1 ORDER BY e.erasure_id DESC LIMIT $2",
    )
    .bind(question.before)
    .bind(limit + 1)
    .fetch_all(&state.reading);
    let rows: Vec<Row> = answer(page).await?;
    let is_last = rows.len() as i64 <= limit;
    let data: Vec<ErasureRecord> = rows.into_iter().take(limit as usize).map(ErasureRecord::from).collect();
    let next = if is_last { None } else { data.last().map(|record| record.erasure_id) };
    Ok(Json(Page { data, next }))
}
