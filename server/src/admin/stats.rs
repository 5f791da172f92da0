//! `GET /api/v1/admin/stats`: whether the deployment counts, and counts right.

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_ledger::counts::{RECEIVED, each};
use clickwire_process::now_ms;
use clickwire_protocol::times::UnixMs;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    admin::state::AdminState,
    http::{error::Error, openapi::Refused},
    identity::access::Staff,
    query::watermark::Watermark,
};

/// Requests of one holder that wait for another, at most.
const WAITING: usize = 8;

#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    /// The last comparison of buckets with the ledger.
    reconciliation: Option<Reconciliation>,
    /// Clicks of this day in UTC by disposition: from the buckets, for the ledger's day is too much to
    /// be counted while somebody waits, and the reconciliation says whether they are the same.
    today: Today,
    /// Time before which everything received is counted; RFC 3339.
    watermark: Option<String>,
    final_before: Option<String>,
    /// Lag of the watermark behind the clock, in milliseconds.
    watermark_lag_ms: Option<i64>,
}

#[derive(Serialize, ToSchema, sqlx::FromRow)]
struct Reconciliation {
    #[serde(with = "time::serde::rfc3339")]
    finished_at: OffsetDateTime,
    started_by: String,
    #[serde(with = "time::serde::rfc3339")]
    range_start: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    range_end: OffsetDateTime,
    differences: i64,
    repaired: i64,
}

#[derive(Serialize, ToSchema, sqlx::FromRow)]
struct Today {
    received: i64,
    valid: i64,
    duplicate: i64,
    givt: i64,
    sivt: i64,
    test: i64,
    defective: i64,
}

/// Returns the state of counting: watermark, clicks of today, last reconciliation.
#[utoipa::path(get, path = "/stats", operation_id = "show_stats", tag = "staff",
    responses((status = 200, body = Stats), Refused<(crate::identity::error::Scoped, crate::store::error::Shared)>))]
pub(super) async fn stats(
    State(state): State<Arc<AdminState>>,
    Staff(caller): Staff,
) -> Result<Json<Stats>, Error> {
    // The connections are operators': finance takes one at a time.
    let turn = state.stats.take(caller.holder(), WAITING).await;
    let _turn = turn.ok_or(Error::TooManyAtOnce)?;
    let watermark = Watermark::read(&state.reading, state.partitions).await?;
    let reconciliation = sqlx::query_as(
        "SELECT finished_at, started_by, range_start, range_end, differences, repaired FROM reconciliations \
          ORDER BY finished_at DESC LIMIT 1",
    )
    .fetch_optional(&state.reading)
    .await?;
    Ok(Json(Stats {
        reconciliation,
        today: today(&state.reading).await?,
        watermark: watermark.rfc3339(),
        final_before: watermark.final_before(),
        watermark_lag_ms: watermark.time().map(|watermark| UnixMs(now_ms()) - watermark),
    }))
}

async fn today(database: &PgPool) -> Result<Today, sqlx::Error> {
    let sql = format!(
        "SELECT coalesce(sum({RECEIVED}), 0)::bigint AS received, {sums} \
           FROM click_minutes WHERE bucket >= date_trunc('day', now(), 'UTC')",
        sums = each(|column| format!("coalesce(sum({column}), 0)::bigint AS {column}")),
    );
    sqlx::query_as(AssertSqlSafe(sql)).fetch_one(database).await
}
