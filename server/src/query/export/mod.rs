//! `GET /api/v1/exports/…`: any report, and clicks one by one, as files.
//!
//! - [`make`]: an export, checked and made; [`jobs`]: exports in the background
//! - [`schedules`]: exports that are made again and again
//! - [`sheet`]: the rows of an export; [`mod@format`]: its formats ([`text`], [`columnar`], [`workbook`])
//! - [`mod@clicks`]: clicks in any number, in the memory of a batch

mod clicks;
mod columnar;
mod format;
pub(crate) mod jobs;
mod make;
pub(crate) mod schedules;
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

use self::{
    format::Format,
    make::{Export, Subject},
};
use super::{
    clicks::Search,
    reports::{Common, Grouped},
};
use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Caller,
    query::state::QueryState,
};

/// The parameters of every export.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct File {
    /// `csv`, `ndjson`, `parquet`, `arrow` (an IPC stream) or `xlsx`; by default `csv`.
    format: Option<String>,
    /// A CSV file begins with a byte order mark, by which Excel knows UTF-8.
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
    parameters: Parameters,
) -> Result<Response, Error> {
    let export = Export::read(Subject::Breakdown, parameters)?;
    let body = export.body(&state, &caller).await?;
    Ok(download(export.format, Subject::Breakdown.as_str(), body))
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
    parameters: Parameters,
) -> Result<Response, Error> {
    let export = Export::read(Subject::Timeseries, parameters)?;
    let body = export.body(&state, &caller).await?;
    Ok(download(export.format, Subject::Timeseries.as_str(), body))
}

/// Clicks of a range as a file, the earliest first.
///
/// Any number of clicks, but for workbooks. With `as_of` those received until then, with the verdicts of then.
#[utoipa::path(get, path = "/api/v1/exports/clicks", operation_id = "export_clicks", tag = "clicks",
    params(File, Search),
    responses((status = 200, description = "The clicks, in the format that is asked for.", content(
            (Vec<u8> = "text/csv"), (Vec<u8> = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn clicks(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, Error> {
    let export = Export::read(Subject::Clicks, parameters)?;
    let body = export.body(&state, &caller).await?;
    Ok(download(export.format, Subject::Clicks.as_str(), body))
}

fn failed(error: &anyhow::Error) -> Error {
    tracing::error!(error = format!("{error:#}"), "an export could not be encoded");
    Error::Panicked
}

/// The name of a file: its subject, and the day on which it was made.
fn file_name(format: Format, subject: &str, made_at: OffsetDateTime) -> String {
    format!("clickwire-{subject}-{}.{}", made_at.date(), format.extension())
}

fn download(format: Format, subject: &str, body: Body) -> Response {
    let name = file_name(format, subject, OffsetDateTime::now_utc());
    let name = format!("attachment; filename=\"{name}\"");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}
