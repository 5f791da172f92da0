//! `GET /api/v1/adjustments`: verdicts that were changed after they were counted, the latest change first.
//!
//! Tenants see the changes of their own clicks, without the names of people.

use std::{collections::HashMap, sync::Arc, time::Instant};

use axum::{Json, extract::State};
use clickwire_ledger::schema::COMPRESSION_DAYS;
use clickwire_protocol::ids::AdvertiserId;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
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

/// The longest time from a click to a change of its verdict: a rule looks no further back, and a release less far.
pub(super) const CHANGED_WITHIN: Duration = Duration::days(COMPRESSION_DAYS as i64);

/// The longest time by which a change may precede its click's time: a client's clock may be ahead.
pub(super) const AHEAD: Duration = Duration::HOUR;

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
    #[serde(skip)]
    clicked: OffsetDateTime,
}

/// The changes that are asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct Wanted {
    /// The advertiser; required of a caller that sees more than one.
    advertiser_id: Option<String>,
    /// Earliest time of the clicks; by default a day before the end.
    start_time: Option<OffsetDateTime>,
    /// End of the clicks' times, exclusive; by default now.
    end_time: Option<OffsetDateTime>,
    /// Moment after which the changes were made.
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
    let (start, end) = parameters.day_or_range(OffsetDateTime::now_utc());
    let since = parameters.take("since", instant);
    let asked = parameters.finish(asked)?;
    let advertiser_id = caller.scope.advertiser(advertiser_id.as_ref())?;
    let sees_people = caller.sees_people();
    let actor = if sees_people { "actor" } else { "CASE actor WHEN 'rules' THEN actor ELSE 'operator' END" };
    // The bounds of the time of change alone are what an index answers: no other order comes out of the reader's view.
    let sql = format!(
        "SELECT {} AS adjusted_at, click_id, {} AS clicked_at, NULL::text AS campaign_id, NULL::text AS ad_id, \
                from_disposition::text, to_disposition::text, rule, rule_version, {actor} AS actor, reason, \
                adjustment_id, adjusted_at AS at, clicked_at AS clicked \
           FROM adjustments WHERE advertiser_id = $1 AND clicked_at >= $2 AND clicked_at < $3 \
            AND adjusted_at >= $4 AND adjusted_at < $5 AND ($6::timestamptz IS NULL OR adjusted_at > $6) \
            AND ($7::timestamptz IS NULL OR (adjusted_at, adjustment_id) < ($7, $8)) \
          ORDER BY adjusted_at DESC, adjustment_id DESC LIMIT $9",
        rfc3339("adjusted_at"),
        rfc3339("clicked_at"),
    );
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(advertiser_id)
        .bind(start)
        .bind(end)
        .bind(start.saturating_sub(AHEAD))
        .bind(end.saturating_add(CHANGED_WITHIN))
        .bind(since)
        .bind(asked.after().map(|&(adjusted_at, _)| at(adjusted_at)))
        .bind(asked.after().map(|&(_, adjustment_id)| adjustment_id))
        .bind(asked.limit());
    let started = Instant::now();
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(Some(advertiser_id))).await?;
    let mut found: Vec<Adjustment> = answer(found.fetch_all(&mut *tenants)).await.map_err(of_question)?;
    answer(add_ads(&mut found, advertiser_id, &mut tenants)).await.map_err(of_question)?;
    metrics::histogram!("clickwire_query_seconds", "query" => "adjustments").record(started.elapsed());
    Ok(Json(asked.page(found, |change| (micros(change.at), change.adjustment_id))))
}

/// Adds the campaigns and ads of clicks that the ledger still keeps. With a join the reader's view would read
/// everything, so the clicks are looked for by constants.
async fn add_ads(
    found: &mut [Adjustment],
    advertiser_id: &AdvertiserId,
    database: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let times = || found.iter().map(|change| change.clicked);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let ids: Vec<Uuid> = found.iter().map(|change| change.click_id).collect();
    let clicks: Vec<(Uuid, OffsetDateTime, String, String)> = sqlx::query_as(
        "SELECT click_id, clicked_at, campaign_id, ad_id FROM clicks \
          WHERE advertiser_id = $1 AND clicked_at >= $2 AND clicked_at <= $3 AND click_id = ANY($4)",
    )
    .bind(advertiser_id)
    .bind(first)
    .bind(last)
    .bind(ids)
    .fetch_all(database)
    .await?;
    let ads: HashMap<_, _> =
        clicks.into_iter().map(|(id, at, campaign_id, ad_id)| ((id, at), (campaign_id, ad_id))).collect();
    for change in found {
        if let Some((campaign_id, ad_id)) = ads.get(&(change.click_id, change.clicked)) {
            (change.campaign_id, change.ad_id) = (Some(campaign_id.clone()), Some(ad_id.clone()));
        }
    }
    Ok(())
}
