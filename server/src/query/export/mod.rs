//! `GET /api/v1/exports/…`: any report, and clicks one by one, as files.
//!
//! - [`sheet`]: what is exported; [`format`]: as what ([`text`], [`columnar`], [`workbook`])
//! - [`clicks`]: clicks in any number, in the memory of a batch

mod clicks;
mod columnar;
mod format;
mod sheet;
mod text;
mod workbook;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use time::OffsetDateTime;
use utoipa::IntoParams;

use self::format::Format;
use super::{
    clicks::{Search, Wanted},
    reports::{
        Common, Grouped,
        ask::Asker,
        question::{Kind, Question},
    },
};
use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Caller,
    query::state::QueryState,
    store::{database::answer, error::of_question},
};

/// What every export takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct File {
    /// `csv`, `ndjson`, `parquet`, `arrow` (an IPC stream) or `xlsx`; by default `csv`.
    format: Option<String>,
    /// Whether a CSV file begins with a byte order mark, by which Excel knows UTF-8.
    bom: Option<bool>,
}

/// A breakdown as a file.
#[utoipa::path(get, path = "/api/v1/exports/breakdown", operation_id = "export_breakdown", tag = "viewer",
    params(File, Common, Grouped),
    responses((status = 200, description = "The rows, in the format that is asked for.", content(
            (Vec<u8> = "text/csv"), (Vec<u8> = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn breakdown(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let (format, bom) = file(&mut parameters);
    let question = question(Kind::Breakdown, parameters)?;
    let report = Asker::begin(&state, &caller, &question).await?.breakdown(&question).await?;
    let (columns, rows) = sheet::of_breakdown(&report, &question.group_by, question.unique_users);
    let body = whole(format, bom, columns, &rows)?;
    Ok(download(format, "breakdown", body))
}

/// A time series as a file.
#[utoipa::path(get, path = "/api/v1/exports/timeseries", operation_id = "export_timeseries", tag = "viewer",
    params(("granularity" = Option<String>, Query, description = "As of the report."), File, Common, Grouped),
    responses((status = 200, description = "The rows, in the format that is asked for.", content(
            (Vec<u8> = "text/csv"), (Vec<u8> = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn timeseries(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let (format, bom) = file(&mut parameters);
    let question = question(Kind::Timeseries, parameters)?;
    let report = Asker::begin(&state, &caller, &question).await?.timeseries(&question).await?;
    let (columns, rows) = sheet::of_timeseries(&report, &question.group_by, question.unique_users);
    let body = whole(format, bom, columns, &rows)?;
    Ok(download(format, "timeseries", body))
}

/// Clicks of a range as a file, the earliest first.
///
/// Of any number, but for workbooks. With `as_of` those that were received until then, with the verdicts of then.
#[utoipa::path(get, path = "/api/v1/exports/clicks", operation_id = "export_clicks", tag = "viewer",
    params(File, Search),
    responses((status = 200, description = "The clicks, in the format that is asked for.", content(
            (Vec<u8> = "text/csv"), (Vec<u8> = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn clicks(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let (format, bom) = file(&mut parameters);
    let wanted = Wanted::read(parameters, OffsetDateTime::now_utc())?;
    let advertiser_id = caller.scope.advertiser_or_all(wanted.advertiser_id.as_ref())?;
    let encoder = format.encoder(clicks::COLUMNS.to_vec(), bom).map_err(|error| failed(&error))?;
    let mut tenants = state.exports.begin(&caller.scope, caller.holders(advertiser_id)).await?;
    if format == Format::Xlsx {
        let mut count = wanted.count(advertiser_id, workbook::MAX_ROWS + 1);
        let count: i64 =
            answer(count.build_query_scalar().fetch_one(&mut *tenants)).await.map_err(of_question)?;
        if count > workbook::MAX_ROWS {
            let message = format!(
                "A workbook has at most {} clicks: ask for another format or for fewer.",
                workbook::MAX_ROWS
            );
            return Err(Error::field("format", &message));
        }
    }
    let body = answer(clicks::body(tenants, &wanted, advertiser_id, encoder)).await.map_err(of_question)?;
    Ok(download(format, "clicks", body))
}

fn file(parameters: &mut Parameters) -> (Format, bool) {
    let format = parameters.take("format", Format::named).unwrap_or(Format::Csv);
    let bom = parameters.take("bom", |text| text.parse::<bool>().map_err(|_| "Expected true or false."));
    (format, bom.unwrap_or(false))
}

fn question(kind: Kind, mut parameters: Parameters) -> Result<Question, Error> {
    if parameters.text("compare").is_some() {
        parameters.reject("compare", "Is not exported: export the other period by itself.");
    }
    Question::read(kind, parameters, OffsetDateTime::now_utc())
}

/// Rows that are in memory anyway.
fn whole(format: Format, bom: bool, columns: Vec<sheet::Column>, rows: &[sheet::Row]) -> Result<Body, Error> {
    let encoded = format.encoder(columns, bom).and_then(|mut encoder| {
        let mut bytes = encoder.encode(rows)?;
        bytes.extend(encoder.finish()?);
        Ok(bytes)
    });
    encoded.map(Body::from).map_err(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> Error {
    tracing::error!(error = format!("{error:#}"), "an export could not be encoded");
    Error::Panicked
}

fn download(format: Format, name: &str, body: Body) -> Response {
    let now = OffsetDateTime::now_utc();
    let name = format!("attachment; filename=\"clickwire-{name}-{}.{}\"", now.date(), format.extension());
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}
