//! `/api/v1/admin/report-schedules`: exports that are made again and again. What they have made is among the exports
//! of everybody who may see it all ([`crate::query::export::jobs`]).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use clickwire_protocol::ids::AdvertiserId;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::state::AdminState,
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
    },
    identity::access::{Admin, Operator},
    query::export::schedules::{Turns, check, check_webhook},
    store::database::{answer, rfc3339},
};

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// Schedules of a deployment, at most.
const MAX_SCHEDULES: i64 = 1_000;

/// An export that is to be made again and again.
#[derive(Deserialize, ToSchema)]
#[schema(as = ReportScheduleWanted)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Name for people.
    name: String,
    /// Advertiser of the data; its people may fetch the files. Not given: all data, for operators.
    #[schema(value_type = Option<String>)]
    advertiser_id: Option<AdvertiserId>,
    /// `breakdown`, `timeseries` or `clicks`.
    kind: String,
    /// Parameters of `GET /api/v1/exports/…` for that kind, by name, without times and `advertiser_id`.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// `day`: about the day before; `week`: each Monday, about the week before.
    every: String,
    /// IANA time zone of its days.
    time_zone: String,
    /// Hour of that zone's clock, 0 to 23, at which it is made. Late clicks come for a day.
    hour: i16,
    /// The address that each file is sent to, signed, beside being kept: https. Needs
    /// `CLICKWIRE_REPORT_WEBHOOK_SECRET`.
    webhook_url: Option<String>,
}

/// An export that is made again and again.
#[derive(Serialize, ToSchema, FromRow)]
#[schema(as = ReportSchedule)]
pub(super) struct Schedule {
    schedule_id: Uuid,
    name: String,
    advertiser_id: Option<String>,
    kind: String,
    #[schema(value_type = BTreeMap<String, String>)]
    parameters: sqlx::types::Json<BTreeMap<String, String>>,
    every: String,
    time_zone: String,
    hour: i16,
    created_by: String,
    webhook_url: Option<String>,
    /// Time at which it is made next.
    #[schema(format = DateTime)]
    next_at: String,
}

/// All schedules.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportSchedules)]
pub(super) struct Schedules {
    data: Vec<Schedule>,
}

/// Exports that are made again and again.
#[utoipa::path(get, path = "/report-schedules", operation_id = "list_report_schedules", tag = "operator",
    responses((status = 200, body = Schedules), Refused<(crate::identity::error::Scoped, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
) -> Result<Json<Schedules>, Error> {
    let sql = format!(
        "SELECT schedule_id, name, advertiser_id, kind, parameters, every, time_zone, hour, created_by, webhook_url, {} AS next_at \
           FROM report_schedules ORDER BY name, schedule_id LIMIT {MAX_SCHEDULES}",
        rfc3339("report_schedules.next_at"),
    );
    let data = answer(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(&state.reading)).await?;
    Ok(Json(Schedules { data }))
}

/// Creates a schedule, by which an export is made repeatedly.
#[utoipa::path(post, path = "/report-schedules", operation_id = "create_report_schedule", tag = "admin", request_body = Wanted,
    responses((status = 201, body = Schedule), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Body, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    body: Result<Object<Wanted>, Error>,
) -> Result<(StatusCode, Json<Schedule>), Error> {
    let Object(wanted) = body?;
    let is_named = !wanted.name.trim().is_empty()
        && wanted.name.len() <= MAX_NAME_BYTES
        && !wanted.name.contains(char::is_control);
    let name = (!is_named).then(|| format!("Expected a name of 1 to {MAX_NAME_BYTES} bytes."));
    Error::fields([("name", name)])?;
    check(&wanted.kind, &wanted.parameters)?;
    if let Some(url) = &wanted.webhook_url {
        check_webhook(url)?;
        let unsigned = "The server can't sign what it sends: CLICKWIRE_REPORT_WEBHOOK_SECRET is not set.";
        Error::fields([("webhook_url", (!state.sends_reports).then(|| unsigned.to_owned()))])?;
    }
    let turns = Turns::new(&wanted.every, &wanted.time_zone, wanted.hour)?;
    let next_at = turns.next(OffsetDateTime::now_utc());
    let next_at = next_at.ok_or_else(|| Error::field("time_zone", "Has no such hour."))?;
    let mut transaction = admin.begin(&state.writing).await?;
    let sql = format!(
        "INSERT INTO report_schedules (schedule_id, created_by, name, advertiser_id, kind, parameters, every, time_zone, hour, next_at, webhook_url) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 WHERE (SELECT count(*) FROM report_schedules) < {MAX_SCHEDULES} \
         RETURNING schedule_id, name, advertiser_id, kind, parameters, every, time_zone, hour, created_by, webhook_url, \
                   {} AS next_at",
        rfc3339("report_schedules.next_at"),
    );
    let created = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(Uuid::now_v7())
        .bind(admin.actor())
        .bind(&wanted.name)
        .bind(&wanted.advertiser_id)
        .bind(&wanted.kind)
        .bind(sqlx::types::Json(&wanted.parameters))
        .bind(&wanted.every)
        .bind(&wanted.time_zone)
        .bind(wanted.hour)
        .bind(next_at)
        .bind(&wanted.webhook_url)
        .fetch_optional(&mut *transaction);
    let created: Option<Schedule> = answer(created).await?;
    let created = created.ok_or(Error::Conflict("There are a thousand schedules: delete one."))?;
    answer(transaction.commit()).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Ends a schedule; what it has made stays until it expires.
#[utoipa::path(delete, path = "/report-schedules/{schedule_id}", operation_id = "delete_report_schedule", tag = "admin",
    params(("schedule_id" = Uuid, Path)),
    responses((status = 204), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Record)>))]
pub(super) async fn delete(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    schedule_id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Error> {
    let Path(schedule_id) = schedule_id.map_err(|_| Error::NotFound)?;
    let mut transaction = admin.begin(&state.writing).await?;
    let deleted = sqlx::query("DELETE FROM report_schedules WHERE schedule_id = $1").bind(schedule_id);
    let deleted = answer(deleted.execute(&mut *transaction)).await?.rows_affected();
    answer(transaction.commit()).await?;
    if deleted == 1 { Ok(StatusCode::NO_CONTENT) } else { Err(Error::NotFound) }
}
