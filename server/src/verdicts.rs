//! `/api/v1/admin/clicks`: what a click was judged as and why, and the release of one that was
//! convicted wrongly.
//!
//! A release is an adjustment like those that the rules make: it moves the click in its bucket, is
//! recorded for ever, and no rule convicts the click again.

use axum::{
    Json,
    extract::{
        Path, State,
        rejection::{JsonRejection, PathRejection},
    },
};
use clickwire_protocol::feed::Keys;
use redis::AsyncCommands as _;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    AppState,
    access::{Admin, Operator},
    admin::reason,
    database::{answer, rfc3339},
    error::Error,
    openapi::{self, Refused},
};

/// A click in the ledger.
#[derive(Serialize, ToSchema, FromRow)]
struct Judged {
    click_id: Uuid,
    #[schema(format = DateTime)]
    clicked_at: String,
    #[schema(format = DateTime)]
    received_at: String,
    advertiser_id: String,
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
    released: bool,
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
struct Answer {
    #[serde(flatten)]
    click: Judged,
    adjustments: Vec<Adjustment>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = Release)]
#[serde(deny_unknown_fields)]
struct Order {
    reason: String,
}

/// Everything below `/api/v1/admin/clicks`.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(show)).routes(routes!(release))
}

/// What a click was judged as, and why.
#[utoipa::path(get, path = "/{click_id}", operation_id = "show_click", tag = "operator",
    params(("click_id" = Uuid, Path)),
    responses((status = 200, body = Answer), Refused<(openapi::Scoped, openapi::Missing, openapi::Database)>))]
async fn show(
    State(state): State<AppState>,
    _operator: Operator,
    click_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Answer>, Error> {
    let Path(click_id) = click_id.map_err(|_| Error::NotFound)?;
    let mut connection = state.database.acquire().await?;
    Ok(Json(answer(read(&mut connection, click_id)).await?.ok_or(Error::NotFound)?))
}

/// Makes a click valid that a rule has convicted wrongly.
#[utoipa::path(post, path = "/{click_id}/release", operation_id = "release_click", tag = "admin",
    params(("click_id" = Uuid, Path)), request_body = Order,
    responses((status = 200, body = Answer), Refused<(
        openapi::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, openapi::Database, openapi::Announced
    )>))]
async fn release(
    State(state): State<AppState>,
    admin: Admin,
    click_id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<Order>, JsonRejection>,
) -> Result<Json<Answer>, Error> {
    let Path(click_id) = click_id.map_err(|_| Error::NotFound)?;
    let Json(order) = body?;
    let reason = reason(&order.reason)?;
    let mut transaction = state.admin_database.begin().await?;
    let (stream, installation) = state.names.installation_lock();
    let locked = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(stream).bind(installation);
    answer(locked.execute(&mut *transaction)).await?;
    let before = answer(read(&mut transaction, click_id)).await?.ok_or(Error::NotFound)?.click;
    match before.disposition.as_str() {
        "duplicate" | "givt" | "sivt" => {
            let is_final = sqlx::query_scalar(IS_FINAL).bind(click_id).bind(RELEASED_FOR_DAYS);
            if answer(is_final.fetch_one(&mut *transaction)).await? {
                let message = "This click is more than 8 days old: its hours and days are final.";
                return Err(Error::Conflict(message));
            }
            let record = sqlx::query(RECORD).bind(click_id).bind(admin.actor()).bind(reason.as_str());
            for change in [record, sqlx::query(MOVE).bind(click_id), sqlx::query(RELEASE).bind(click_id)] {
                answer(change.execute(&mut *transaction)).await?;
            }
        }
        // Released already: only the screens may have to be told, below.
        _ if before.released => {}
        _ => return Err(Error::Conflict("Only a click that a rule has convicted can be released.")),
    }
    let after = answer(read(&mut transaction, click_id)).await?.ok_or(Error::NotFound)?;
    answer(transaction.commit()).await?;
    tracing::info!(%click_id, "click released");
    // A feed without a head begins a new epoch: gateways read the database again.
    let head = Keys::new(&state.redis_prefix, &after.click.advertiser_id).head;
    let renewed: redis::RedisResult<()> = state.redis.clone().unlink(head).await;
    renewed.map_err(|error| Error::RedisAway(error.to_string()))?;
    Ok(Json(after))
}

/// Younger clicks are within what the refresh of hours and days looks back to (10 days, `0003_buckets.sql`),
/// and so is the beginning of their day when it runs next.
const RELEASED_FOR_DAYS: i32 = 8;

// The statements of a release, in this order; `$1` is the click.

/// `$2` in days.
const IS_FINAL: &str =
    "SELECT clicked_at < now() - make_interval(days => $2) FROM clicks WHERE click_id = $1";

/// `$2` is the person, `$3` the reason.
const RECORD: &str = "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
     SELECT click_id, clicked_at, advertiser_id, disposition, 'valid', $2, $3 FROM clicks WHERE click_id = $1";
const MOVE: &str = "UPDATE click_minutes m SET valid = m.valid + 1, version = m.version + 1, \
       duplicate = m.duplicate - (c.disposition = 'duplicate')::int, \
       givt = m.givt - (c.disposition = 'givt')::int, sivt = m.sivt - (c.disposition = 'sivt')::int \
       FROM clicks c WHERE c.click_id = $1 \
        AND m.advertiser_id = c.advertiser_id AND m.bucket = date_trunc('minute', c.clicked_at) \
        AND m.campaign_id = c.campaign_id AND m.ad_id = c.ad_id AND m.country = c.country \
        AND m.device_type = c.device_type";
const RELEASE: &str = "UPDATE clicks SET disposition = 'valid', rule = NULL, rule_version = NULL, released = true \
      WHERE click_id = $1";

async fn read(connection: &mut PgConnection, click_id: Uuid) -> Result<Option<Answer>, sqlx::Error> {
    let sql = format!(
        "SELECT click_id, {clicked_at} AS clicked_at, {received_at} AS received_at, advertiser_id, campaign_id, ad_id, \
                country, device_type, disposition::text, rule, rule_version, evidence, coalesce(released, false) AS released \
           FROM clicks WHERE click_id = $1",
        clicked_at = rfc3339("clicked_at"),
        received_at = rfc3339("received_at"),
    );
    let click: Option<Judged> =
        sqlx::query_as(AssertSqlSafe(sql)).bind(click_id).fetch_optional(&mut *connection).await?;
    let Some(click) = click else { return Ok(None) };
    let sql = format!(
        "SELECT {adjusted_at} AS adjusted_at, from_disposition::text, to_disposition::text, rule, rule_version, actor, reason \
           FROM adjustments WHERE click_id = $1 ORDER BY adjustment_id LIMIT 1000",
        adjusted_at = rfc3339("adjusted_at"),
    );
    let adjustments = sqlx::query_as(AssertSqlSafe(sql)).bind(click_id).fetch_all(connection).await?;
    Ok(Some(Answer { click, adjustments }))
}
