//! `/api/v1/admin/clicks`: what a click was judged as and why, and the release of one that was
//! convicted wrongly.
//!
//! A release ([`clickwire_ledger::release`]) is about one row of the ledger, which takes more than a click id to
//! name where several clicks have it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_ledger::release::{self, ClickKey, Outcome};
use clickwire_protocol::{feed::Keys, ids::AdvertiserId};
use redis::AsyncCommands as _;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    admin::{reason, state::AdminState},
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
        parameters::{Parameters, instant},
    },
    identity::access::{Admin, Operator},
    redirect::error::RedirectError,
    store::{
        database::{answer, rfc3339},
        params::StoredParams,
    },
};

/// A click in the ledger.
#[derive(Serialize, ToSchema, FromRow)]
struct Judged {
    click_id: Uuid,
    #[schema(format = DateTime)]
    clicked_at: String,
    #[schema(format = DateTime)]
    received_at: String,
    #[schema(value_type = String)]
    advertiser_id: AdvertiserId,
    campaign_id: String,
    ad_id: String,
    country: String,
    device_type: String,
    disposition: String,
    /// The rule that decided, and its version.
    rule: Option<String>,
    rule_version: Option<i32>,
    /// Every rule that applies.
    evidence: Option<Vec<String>>,
    /// The kind of robot that the user agent declares, such as `ai-crawler` or `http-library`.
    robot: Option<String>,
    released: bool,
    /// Parameters of its link: networks' click ids and the like.
    #[schema(value_type = BTreeMap<String, String>)]
    #[sqlx(try_from = "Option<String>")]
    params: StoredParams,
    /// The page that it came from, without query.
    referrer: Option<String>,
}

/// A verdict that changed.
#[derive(Serialize, ToSchema, FromRow)]
struct Adjustment {
    #[schema(format = DateTime)]
    adjusted_at: String,
    from_disposition: String,
    to_disposition: String,
    rule: Option<String>,
    rule_version: Option<i32>,
    actor: String,
    reason: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(super) struct Answer {
    #[serde(flatten)]
    click: Judged,
    adjustments: Vec<Adjustment>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = Release)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) reason: String,
}

/// The click that is meant, where its id alone does not tell: ids are names within an advertiser, and one may have come
/// back after days.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The advertiser of the click.
    #[param(value_type = Option<String>)]
    advertiser_id: Option<AdvertiserId>,
    /// The time that it is counted under, as answers have it; RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    clicked_at: Option<OffsetDateTime>,
}

impl Which {
    fn read(mut given: Parameters) -> Result<Self, Error> {
        let which = Self {
            advertiser_id: given.take("advertiser_id", AdvertiserId::new),
            clicked_at: given.take("clicked_at", instant),
        };
        given.finish(which)
    }
}

/// The one click that is meant.
async fn find(connection: &mut PgConnection, click_id: Uuid, which: &Which) -> Result<ClickKey, Error> {
    let found = sqlx::query_as(
        "SELECT clicked_at, advertiser_id FROM clicks WHERE click_id = $1 \
            AND ($2::timestamptz IS NULL OR clicked_at = $2) AND ($3::text IS NULL OR advertiser_id = $3) LIMIT 2",
    )
    .bind(click_id)
    .bind(which.clicked_at)
    .bind(&which.advertiser_id);
    let mut found: Vec<(OffsetDateTime, AdvertiserId)> = answer(found.fetch_all(connection)).await?;
    match (found.pop(), found.pop()) {
        (None, _) => Err(Error::NotFound),
        (Some((clicked_at, advertiser_id)), None) => Ok(ClickKey { click_id, clicked_at, advertiser_id }),
        (Some(_), Some(_)) => Err(Error::Conflict(
            "Several clicks have this id. Add advertiser_id, and clicked_at if one advertiser has several.",
        )),
    }
}

/// Returns the verdict on a click, and its reasons.
///
/// An id that several clicks have is a conflict: say whose it is, and when it was.
#[utoipa::path(get, path = "/{click_id}", operation_id = "show_click", tag = "operator",
    params(("click_id" = Uuid, Path), Which),
    responses((status = 200, body = Answer), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, openapi::Conflict, crate::store::error::Database
    )>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    click_id: Result<Path<Uuid>, PathRejection>,
    parameters: Parameters,
) -> Result<Json<Answer>, Error> {
    let Path(click_id) = click_id.map_err(|_| Error::NotFound)?;
    let which = Which::read(parameters)?;
    let mut connection = state.reading.acquire().await?;
    let key = find(&mut connection, click_id, &which).await?;
    Ok(Json(answer(read(&mut connection, &key)).await?.ok_or(Error::NotFound)?))
}

/// Makes a click valid that a rule has convicted wrongly.
///
/// An id that several clicks have is a conflict: say whose it is, and when it was.
#[utoipa::path(post, path = "/{click_id}/release", operation_id = "release_click", tag = "admin",
    params(("click_id" = Uuid, Path), Which), request_body = Order,
    responses((status = 200, body = Answer), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::store::error::Record, crate::redirect::error::Announced
    )>))]
pub(super) async fn release(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    click_id: Result<Path<Uuid>, PathRejection>,
    parameters: Parameters,
    body: Result<Object<Order>, Error>,
) -> Result<Json<Answer>, Error> {
    let Path(click_id) = click_id.map_err(|_| Error::NotFound)?;
    let which = Which::read(parameters)?;
    let Object(order) = body?;
    let reason = reason(&order.reason)?;
    let mut transaction = admin.begin(&state.writing).await?;
    let key = find(&mut transaction, click_id, &which).await?;
    let by = (admin.actor(), reason.as_str());
    let released = release::release(&mut transaction, &state.names, state.partitions, &key, by);
    let is_correction = match answer(released).await? {
        Outcome::Released { is_correction } => is_correction,
        // Only the screens may have to be told, below.
        Outcome::ReleasedBefore => false,
        Outcome::NotConvicted => {
            return Err(Error::Conflict("Only a click that a rule has convicted can be released."));
        }
        Outcome::Settled => {
            let message = "This click is more than 8 days old: its hours and days are final.";
            return Err(Error::Conflict(message));
        }
        Outcome::Missing => return Err(Error::NotFound),
    };
    let after = answer(read(&mut transaction, &key)).await?.ok_or(Error::NotFound)?;
    answer(transaction.commit()).await?;
    if is_correction {
        // As the aggregators count theirs: buckets of final minutes that changed.
        metrics::counter!("clickwire_corrections_total").increment(1);
    }
    tracing::info!(%click_id, "click released");
    renew_screens(&state, &after.click.advertiser_id).await?;
    Ok(Json(after))
}

/// A feed without a high-water mark begins a new epoch: gateways read the database again.
pub(super) async fn renew_screens(state: &AdminState, advertiser_id: &AdvertiserId) -> Result<(), Error> {
    let mark = Keys::new(&state.redis_prefix, advertiser_id).high_water_mark;
    let renewed: redis::RedisResult<()> = state.redis.clone().unlink(mark).await;
    Ok(renewed.map_err(|error| RedirectError::RedisAway(error.to_string()))?)
}

async fn read(connection: &mut PgConnection, key: &ClickKey) -> Result<Option<Answer>, sqlx::Error> {
    const OF_ROW: &str = "click_id = $1 AND clicked_at = $2 AND advertiser_id = $3";
    let sql = format!(
        "SELECT click_id, {clicked_at} AS clicked_at, {received_at} AS received_at, advertiser_id, campaign_id, ad_id, \
                country, device_type, disposition::text, rule, rule_version, evidence, robot, coalesce(released, false) AS released, \
                params::text, referrer \
           FROM clicks WHERE {OF_ROW}",
        clicked_at = rfc3339("clicked_at"),
        received_at = rfc3339("received_at"),
    );
    let click = sqlx::query_as(AssertSqlSafe(sql)).bind(key.click_id).bind(key.clicked_at);
    let click: Option<Judged> = click.bind(&key.advertiser_id).fetch_optional(&mut *connection).await?;
    let Some(click) = click else { return Ok(None) };
    let sql = format!(
        "SELECT {adjusted_at} AS adjusted_at, from_disposition::text, to_disposition::text, rule, rule_version, actor, reason \
           FROM adjustments WHERE {OF_ROW} ORDER BY adjustment_id LIMIT 1000",
        adjusted_at = rfc3339("adjusted_at"),
    );
    let adjustments = sqlx::query_as(AssertSqlSafe(sql)).bind(key.click_id).bind(key.clicked_at);
    let adjustments = adjustments.bind(&key.advertiser_id).fetch_all(connection).await?;
    Ok(Some(Answer { click, adjustments }))
}
