//! `/api/v1/exports/jobs`: exports that are made in the background, and kept for a day.
//!
//! - [`store`]: jobs and their files in the database; [`mod@work`]: their maker; [`deliver`]: the sender of files

mod deliver;
mod store;
mod work;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;
use uuid::Uuid;

use self::store::Job;
pub(crate) use self::{deliver::Webhooks, store::forget, work::work};
use super::{
    download,
    format::Format,
    make::{Export, Subject},
};
use crate::{
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
        quota::Holder,
    },
    identity::access::Caller,
    query::{error::QueryError, state::QueryState},
    store::database::answer,
};

/// Jobs that are kept for one owner, at most.
const MAX_JOBS: i64 = 5;

/// The owner of all jobs of those who bill.
const FINANCE: &str = "finance";

/// Bytes of a file, at most.
const MAX_BYTES: i64 = 1 << 30;

/// A request for an export in the background.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportWanted {
    /// `breakdown`, `timeseries` or `clicks`.
    kind: String,
    /// Parameters of `GET /api/v1/exports/…` of that kind, by name.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

/// An export that is made, or kept.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportJob {
    job_id: Uuid,
    /// `queued`, `running`, `done` or `failed`.
    status: String,
    kind: String,
    parameters: BTreeMap<String, String>,
    /// Bytes of the file that are there.
    bytes: i64,
    /// Path of the file, when the export is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The code of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// State of delivery to the schedule's receiver: `waiting`, `delivered` or `given_up`; left out without a receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Time at which the job and its file are deleted.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// The jobs of a caller, the latest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportJobs {
    data: Vec<ExportJob>,
}

/// Begins an export that is made in the background.
///
/// Large ones are made this way: the file is kept for a day and can be fetched again and again.
#[utoipa::path(post, path = "/api/v1/exports/jobs", operation_id = "begin_export", tag = "viewer", request_body = ExportWanted,
    responses((status = 202, body = ExportJob),
        Refused<(crate::identity::error::Scoped, openapi::Input, openapi::Body, crate::query::error::TooMany, crate::store::error::Record)>))]
pub(crate) async fn begin(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    Object(ExportWanted { kind, mut parameters }): Object<ExportWanted>,
) -> Result<(StatusCode, Json<ExportJob>), Error> {
    let subject = Subject::named(&kind)
        .ok_or_else(|| Error::field("kind", "Expected breakdown, timeseries or clicks."))?;
    // What is meant is the time up to now, not up to when its turn comes.
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    parameters.entry("end_time".to_owned()).or_insert(now);
    let export = Export::read(subject, given(&parameters))?;
    export.check(&caller)?;
    let job = Job::new(&caller, subject, parameters, export.format);
    let is_queued = answer(job.queue(&state.jobs, MAX_JOBS)).await?;
    if is_queued { Ok((StatusCode::ACCEPTED, Json(job.into()))) } else { Err(QueryError::TooManyJobs.into()) }
}

/// Exports of the caller, and those that schedules have made of what it may see.
#[utoipa::path(get, path = "/api/v1/exports/jobs", operation_id = "list_exports", tag = "viewer",
    responses((status = 200, body = ExportJobs), Refused<(crate::identity::error::Viewer, crate::store::error::Database)>))]
pub(crate) async fn list(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
) -> Result<Json<ExportJobs>, Error> {
    let jobs = answer(Job::all(&state.jobs, &caller)).await?;
    Ok(Json(ExportJobs { data: jobs.into_iter().map(ExportJob::from).collect() }))
}

/// One export, with its status.
#[utoipa::path(get, path = "/api/v1/exports/jobs/{job_id}", operation_id = "show_export", tag = "viewer",
    params(("job_id" = Uuid, Path)),
    responses((status = 200, body = ExportJob),
        Refused<(crate::identity::error::Viewer, openapi::Missing, crate::store::error::Database)>))]
pub(crate) async fn show(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    job_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<ExportJob>, Error> {
    Ok(Json(find(&state, &caller, job_id).await?.into()))
}

/// The file of an export that is done.
#[utoipa::path(get, path = "/api/v1/exports/jobs/{job_id}/file", operation_id = "fetch_export", tag = "viewer",
    params(("job_id" = Uuid, Path)),
    responses((status = 200, description = "The file, in the format that was asked for.", content(
            (Vec<u8> = "text/csv"), (Vec<u8> = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        Refused<(crate::identity::error::Scoped, openapi::Missing, crate::query::error::NotReady, crate::store::error::Database)>))]
pub(crate) async fn file(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    job_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Response, Error> {
    let job = find(&state, &caller, job_id).await?;
    // Rights may have been taken away since.
    let may_see = match job.advertisers() {
        Some(ids) => ids.iter().all(|id| caller.scope.includes(id)),
        None => caller.scope.advertisers().is_none(),
    };
    if !may_see {
        return Err(Error::Forbidden);
    }
    if job.status != "done" {
        return Err(QueryError::NotReady.into());
    }
    let format = Format::named(&job.extension).map_err(|_| Error::NotFound)?;
    let file = store::file(state.jobs.clone(), job.job_id, job.bytes);
    let mut response = download(format, &job.kind, file);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(job.bytes));
    Ok(response)
}

/// Deletes an export and its file; one that is being made is given up.
#[utoipa::path(delete, path = "/api/v1/exports/jobs/{job_id}", operation_id = "delete_export", tag = "viewer",
    params(("job_id" = Uuid, Path)),
    responses((status = 204),
        Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Record)>))]
pub(crate) async fn delete(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    job_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Response, Error> {
    let job = find(&state, &caller, job_id).await?;
    // What a schedule has made is there for all who may see it, and another's job is its owner's and operators'.
    if !caller.role.is_operators() && !job.is_of(&caller) {
        return Err(Error::Forbidden);
    }
    answer(job.delete(&state.jobs)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A job of the caller's, or of a schedule about what it may see; operators see all.
async fn find(
    state: &QueryState,
    caller: &Caller,
    job_id: Result<Path<Uuid>, PathRejection>,
) -> Result<Job, Error> {
    let Path(job_id) = job_id.map_err(|_| Error::NotFound)?;
    answer(Job::find(&state.jobs, job_id, caller)).await?.ok_or(Error::NotFound)
}

/// The owner whose share a job uses up, as it is stored.
fn owner(caller: &Caller) -> String {
    match caller.holder() {
        Holder::Operators => "operators".to_owned(),
        Holder::Finance => FINANCE.to_owned(),
        Holder::Account(account_id) => format!("account:{account_id}"),
        Holder::Token(advertisers) => format!("token:{advertisers}"),
        Holder::Advertiser(advertiser_id) => format!("advertiser:{advertiser_id}"),
    }
}

fn given(parameters: &BTreeMap<String, String>) -> Parameters {
    Parameters::new(parameters.clone().into_iter().collect())
}

impl From<Job> for ExportJob {
    fn from(job: Job) -> Self {
        let at = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        Self {
            job_id: job.job_id,
            file: (job.status == "done").then(|| format!("/api/v1/exports/jobs/{}/file", job.job_id)),
            status: job.status,
            kind: job.kind,
            parameters: job.parameters.0,
            bytes: job.bytes,
            error: job.error,
            delivery: job.delivery,
            created_at: at(job.created_at),
            expires_at: at(job.expires_at),
        }
    }
}
