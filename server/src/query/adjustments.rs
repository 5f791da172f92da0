//! `GET /api/v1/adjustments`: verdicts that were changed after they were counted, the latest change first.
//!
//! Tenants see the changes of their own clicks, without the names of people.

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_protocol::ids::AdvertiserId;
use serde::Serialize;
use sqlx::FromRow;
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    http::{
        cursor::{Asked, InPages, Page, at, micros},
        error::Error,
        openapi::{self, Refused},
        parameters::{Parameters, instant},
    },
    identity::access::Caller,
    query::state::QueryState,
    store::{
        database::{answer, rfc3339},
        error::of_question,
    },
};

/// The range of clicks unless another is asked for.
const RANGE: Duration = Duration::DAY;

/// A change of a click's verdict.
#[derive(Clone, Serialize, ToSchema, FromRow)]
#[schema(as = ChangedVerdict)]
pub(crate) struct Adjustment {
    #[schema(format = DateTime)]
    adjusted_at: String,
    click_id: Uuid,
    /// The time that the click is counted under.
    #[schema(format = DateTime)]
    clicked_at: String,
    /// `null` where the ledger does not keep the click any more; so is the ad.
    campaign_id: Option<String>,
    ad_id: Option<String>,
    from_disposition: String,
    to_disposition: String,
    rule: Option<String>,
    rule_version: Option<i32>,
    /// `rules`, or the person who released it; for tenants, `operator`.
    actor: String,
    reason: String,
    #[serde(skip)]
    adjustment_id: i64,
    #[serde(skip)]
    at: OffsetDateTime,
}

/// Which changes are asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct Wanted {
    /// Required of a caller that sees more than one.
    advertiser_id: Option<String>,
    /// Of clicks from this time on; by default a day before the end.
    start_time: Option<OffsetDateTime>,
    /// Of clicks before this time; by default now.
    end_time: Option<OffsetDateTime>,
    /// Only changes after this moment.
    since: Option<OffsetDateTime>,
}

/// The place of a change in the order of pages.
type Cursor = (i64, i64);

/// Changes of verdicts of clicks in a range, the latest first.
#[utoipa::path(get, path = "/api/v1/adjustments", operation_id = "list_adjustments", tag = "viewer", params(Wanted, InPages),
    responses((status = 200, body = Page<Adjustment>), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn list(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Json<Page<Adjustment>>, Error> {
    let asked: Asked<Cursor> = Asked::read(&mut parameters);
    let advertiser_id = parameters.text("advertiser_id").map(AdvertiserId::unchecked);
    let end = parameters.take("end_time", instant).unwrap_or_else(OffsetDateTime::now_utc);
    let start = parameters.take("start_time", instant).unwrap_or_else(|| end.saturating_sub(RANGE));
    let since = parameters.take("since", instant);
    if start >= end {
        parameters.reject("start_time", "Must be before end_time.");
    }
    let asked = parameters.finish(asked)?;
    let advertiser_id = caller.scope.advertiser(advertiser_id.as_ref())?;
    let sees_people = caller.scope.advertisers().is_none();
    let actor = if sees_people { "actor" } else { "CASE actor WHEN 'rules' THEN actor ELSE 'operator' END" };
    let sql = format!(
        "SELECT {} AS adjusted_at, click_id, {} AS clicked_at, c.campaign_id, c.ad_id, from_disposition::text, \
                to_disposition::text, a.rule, a.rule_version, {actor} AS actor, reason, adjustment_id, adjusted_at AS at \
           FROM (SELECT * FROM adjustments WHERE advertiser_id = $1 AND clicked_at >= $2 AND clicked_at < $3 \
                    AND ($4::timestamptz IS NULL OR adjusted_at > $4) \
                    AND ($5::timestamptz IS NULL OR (adjusted_at, adjustment_id) < ($5, $6)) \
                  ORDER BY adjusted_at DESC, adjustment_id DESC LIMIT $7) AS a \
           LEFT JOIN clicks AS c USING (click_id, clicked_at, advertiser_id) \
          ORDER BY a.adjusted_at DESC, adjustment_id DESC",
        rfc3339("adjusted_at"),
        rfc3339("clicked_at"),
    );
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(advertiser_id)
        .bind(start)
        .bind(end)
        .bind(since)
        .bind(asked.after().map(|&(adjusted_at, _)| at(adjusted_at)))
        .bind(asked.after().map(|&(_, adjustment_id)| adjustment_id))
        .bind(asked.limit());
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(Some(advertiser_id))).await?;
    let found: Vec<Adjustment> = answer(found.fetch_all(&mut *tenants)).await.map_err(of_question)?;
    Ok(Json(asked.page(found, |change| (micros(change.at), change.adjustment_id))))
}
