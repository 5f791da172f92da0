//! `/iceberg/v1`: the lake's tables as a read-only Iceberg REST catalog, for engines with an operator's token.
//!
//! A server shows what the last commit has written into the database, so it needs no access to the object store;
//! the engines do. There is one namespace, and nothing can be changed here: routes that would are not there.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::state::AdminState,
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Operator,
    store::database::answer,
};

/// Endpoints of this catalog that engines may use, in the words of the specification.
const ENDPOINTS: [&str; 4] = [
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
];

/// The settings that the catalog gives to engines: none.
#[derive(Serialize, ToSchema)]
pub(crate) struct CatalogConfig {
    defaults: BTreeMap<String, String>,
    overrides: BTreeMap<String, String>,
    endpoints: Vec<String>,
}

/// Namespaces, each as the list of its levels.
#[derive(Serialize, ToSchema)]
pub(crate) struct Namespaces {
    namespaces: Vec<Vec<String>>,
}

/// A namespace and its properties, of which it has none.
#[derive(Serialize, ToSchema)]
pub(crate) struct Namespace {
    namespace: Vec<String>,
    properties: BTreeMap<String, String>,
}

/// The name of a table.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableName {
    namespace: Vec<String>,
    name: String,
}

/// The tables of a namespace.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tables {
    identifiers: Vec<TableName>,
}

/// Returns the catalog's configuration, which an engine reads first.
#[utoipa::path(get, path = "/iceberg/v1/config", operation_id = "lake_config", tag = "operator",
    params(("warehouse" = Option<String>, Query, description = "Any: there is one.")),
    responses((status = 200, body = CatalogConfig), Refused<(crate::identity::error::Scoped, openapi::Input)>))]
pub(crate) async fn config(
    _operator: Operator,
    mut parameters: Parameters,
) -> Result<Json<CatalogConfig>, Error> {
    let _any = parameters.text("warehouse");
    let endpoints = ENDPOINTS.map(str::to_owned).to_vec();
    parameters.finish(Json(CatalogConfig {
        defaults: BTreeMap::new(),
        overrides: BTreeMap::new(),
        endpoints,
    }))
}

/// The namespaces of the lake; there are none before its first table.
#[utoipa::path(get, path = "/iceberg/v1/namespaces", operation_id = "lake_namespaces", tag = "operator",
    params(("parent" = Option<String>, Query, description = "Shows what is below it: nothing."),
        ("pageToken" = Option<String>, Query, description = "Any: all are on one page."),
        ("pageSize" = Option<String>, Query, description = "Any.")),
    responses((status = 200, body = Namespaces), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Database)>))]
pub(crate) async fn namespaces(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    mut parameters: Parameters,
) -> Result<Json<Namespaces>, Error> {
    let parent = parameters.text("parent").filter(|parent| !parent.is_empty());
    finish_page(parameters)?;
    if parent.is_some() {
        return Ok(Json(Namespaces { namespaces: Vec::new() }));
    }
    let names = sqlx::query_scalar("SELECT DISTINCT table_namespace FROM lake_metadata ORDER BY 1");
    let names: Vec<String> = answer(names.fetch_all(&state.reading)).await?;
    Ok(Json(Namespaces { namespaces: names.into_iter().map(|name| vec![name]).collect() }))
}

/// Pages are as long as the lists.
fn finish_page(mut parameters: Parameters) -> Result<(), Error> {
    let _any = (parameters.text("pageToken"), parameters.text("pageSize"));
    parameters.finish(())
}

/// A namespace.
#[utoipa::path(get, path = "/iceberg/v1/namespaces/{namespace}", operation_id = "lake_namespace", tag = "operator",
    params(("namespace" = String, Path)),
    responses((status = 200, body = Namespace), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Database)>))]
pub(crate) async fn namespace(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    namespace: Result<Path<String>, PathRejection>,
) -> Result<Json<Namespace>, Error> {
    let Path(namespace) = namespace.map_err(|_| Error::NotFound)?;
    names(&state, &namespace).await?;
    Ok(Json(Namespace { namespace: vec![namespace], properties: BTreeMap::new() }))
}

/// The tables of a namespace.
#[utoipa::path(get, path = "/iceberg/v1/namespaces/{namespace}/tables", operation_id = "lake_tables", tag = "operator",
    params(("namespace" = String, Path),
        ("pageToken" = Option<String>, Query, description = "Any: all are on one page."),
        ("pageSize" = Option<String>, Query, description = "Any.")),
    responses((status = 200, body = Tables), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Database)>))]
pub(crate) async fn tables(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    namespace: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Json<Tables>, Error> {
    let Path(namespace) = namespace.map_err(|_| Error::NotFound)?;
    finish_page(parameters)?;
    let names = names(&state, &namespace).await?;
    let identifier = |name| TableName { namespace: vec![namespace.clone()], name };
    Ok(Json(Tables { identifiers: names.into_iter().map(identifier).collect() }))
}

/// The names of a namespace's tables; not found if there are none.
async fn names(state: &AdminState, namespace: &str) -> Result<Vec<String>, Error> {
    let names =
        sqlx::query_scalar("SELECT table_name FROM lake_metadata WHERE table_namespace = $1 ORDER BY 1")
            .bind(namespace)
            .fetch_all(&state.reading);
    let names: Vec<String> = answer(names).await?;
    if names.is_empty() { Err(Error::NotFound) } else { Ok(names) }
}

/// A table's metadata, as the last commit has left them.
#[utoipa::path(get, path = "/iceberg/v1/namespaces/{namespace}/tables/{table}", operation_id = "lake_table", tag = "operator",
    params(("namespace" = String, Path), ("table" = String, Path),
        ("snapshots" = Option<String>, Query, description = "Any: all snapshots are shown.")),
    responses((status = 200, body = Object, description = "`LoadTableResult` of the Iceberg REST catalog."), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Database)>))]
pub(crate) async fn table(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    path: Result<Path<(String, String)>, PathRejection>,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Error> {
    let Path((namespace, table)) = path.map_err(|_| Error::NotFound)?;
    let _any = parameters.text("snapshots");
    parameters.finish(())?;
    let found = sqlx::query_as(
        "SELECT to_json(metadata_location)::text, metadata FROM lake_metadata \
          WHERE table_namespace = $1 AND table_name = $2",
    )
    .bind(namespace)
    .bind(table)
    .fetch_optional(&state.reading);
    let found: Option<(String, String)> = answer(found).await?;
    let (location, metadata) = found.ok_or(Error::NotFound)?;
    let body = format!(r#"{{"metadata-location":{location},"metadata":{metadata},"config":{{}}}}"#);
    Ok(([(CONTENT_TYPE, "application/json")], body))
}
