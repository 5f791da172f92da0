//! GraphQL at `/api/v1/graphql`: the questions of [`query`](crate::query) and the live data of [`live`](crate::live),
//! for clients that would rather choose their fields. The same checks, rights and shares: a question becomes the
//! parameters that REST takes ([`input`]), and is answered by the same functions.
//!
//! - [`question`]: what can be asked; [`subscription`]: what can be watched
//! - [`input`]: arguments as parameters; [`report`], [`click`], [`incident`]: answers; [`scalar`]: numbers and times
//! - [`refused`]: errors; [`socket`]: subscriptions over a WebSocket

mod click;
mod incident;
mod input;
mod question;
mod refused;
mod report;
mod scalar;
mod socket;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_graphql::{EmptyMutation, Request as GraphqlRequest, Schema};
use axum::{
    Json,
    extract::{FromRef, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{question::Query, socket::Session, subscription::Subscription};
use crate::{
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
        visitor::Visitor,
    },
    identity::access::{Access, Caller, bearer},
    live::{SessionPermit, Upgrade, state::LiveState},
    query::state::QueryState,
};

/// The media type of answers whose status tells whether anything was done (GraphQL over HTTP, section 6.4).
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// The subprotocol of subscriptions.
const SUBPROTOCOL: &str = "graphql-transport-ws";

/// The deepest nesting of fields: as deep as introspection needs.
const MAX_DEPTH: usize = 16;

/// Fields of one document, at most; a question counts as [`question::COST`] more.
const MAX_COMPLEXITY: usize = 400;

type Questions = Schema<Query, EmptyMutation, Subscription>;

/// The state of the handlers of GraphQL.
pub(crate) struct GraphqlState {
    schema: Questions,
    access: Arc<Access>,
    live: Arc<LiveState>,
    /// The schema in GraphQL's own language.
    sdl: Bytes,
}

impl GraphqlState {
    /// Answers from the states of the wings below.
    pub(crate) fn new(access: Arc<Access>, query: Arc<QueryState>, live: Arc<LiveState>) -> Self {
        let schema = Schema::build(Query, EmptyMutation, Subscription)
            .limit_depth(MAX_DEPTH)
            .limit_complexity(MAX_COMPLEXITY)
            .data(query)
            .data(Arc::clone(&live))
            .finish();
        let sdl = schema.sdl().into();
        Self { schema, access, live, sdl }
    }
}

/// The schema in GraphQL's own language.
#[cfg(test)]
fn schema() -> String {
    Schema::new(Query, EmptyMutation, Subscription).sdl()
}

/// A question in GraphQL.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document alone: read as the library's request")]
#[schema(rename_all = "camelCase")]
struct GraphqlQuestion {
    /// A document of one operation or several.
    query: String,
    /// The operation that is meant, if there are several.
    operation_name: Option<String>,
    /// Values of the document's variables.
    #[schema(value_type = Option<Object>)]
    variables: Option<Value>,
}

/// An answer in GraphQL.
#[derive(Serialize, ToSchema)]
#[schema(as = GraphqlAnswer)]
struct Answer {
    /// Data by field; `null` if nothing was done.
    data: Option<Value>,
    /// Errors, each with its place, and with a `code` in its `extensions`.
    #[serde(default)]
    #[schema(required = false)]
    errors: Vec<Value>,
}

/// Answers a question in GraphQL.
///
/// The schema is what introspection tells whoever is signed in. With `Accept: application/graphql-response+json` the
/// status is 400 if nothing was done, else 200.
#[utoipa::path(post, path = "/api/v1/graphql", operation_id = "ask_graphql", tag = "viewer",
    request_body = GraphqlQuestion,
    responses((status = 200, body = Answer), Refused<(crate::identity::error::Scoped, openapi::Input, openapi::Body)>))]
pub(crate) async fn ask(
    State(state): State<Arc<GraphqlState>>,
    caller: Caller,
    headers: HeaderMap,
    Object(request): Object<GraphqlRequest>,
) -> Response {
    let answer = state.schema.execute(request.data(caller)).await;
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains(GRAPHQL_RESPONSE));
    if !headers.get_all(header::ACCEPT).iter().any(accepts) {
        return Json(answer).into_response();
    }
    let is_done = answer.is_ok() || answer.data != async_graphql::Value::Null;
    let status = if is_done { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    (status, [(header::CONTENT_TYPE, GRAPHQL_RESPONSE)], Json(answer)).into_response()
}

/// The schema of GraphQL, in its own language.
#[utoipa::path(get, path = "/api/v1/graphql/schema", operation_id = "show_graphql_schema", tag = "viewer",
    responses((status = 200, body = String, content_type = "text/plain"), Refused<(crate::identity::error::Scoped,)>))]
pub(crate) async fn show(State(state): State<Arc<GraphqlState>>, _caller: Caller) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], state.sdl.clone()).into_response()
}

/// Opens a WebSocket for subscriptions.
///
/// With the subprotocol `graphql-transport-ws`; the token comes with the handshake, or as `token` in the payload of
/// `connection_init`, unless the browser has signed in.
#[utoipa::path(get, path = "/api/v1/graphql", operation_id = "connect_graphql", tag = "anybody",
    responses((status = 101, description = "The connection is a WebSocket."), Refused<(crate::live::error::Live, crate::live::error::Sessions)>))]
pub(crate) async fn connect(
    State(state): State<Arc<GraphqlState>>,
    visitor: Visitor,
    mut request: Request,
) -> Result<Response, Error> {
    let (answer, upgrade) = Upgrade::answer(&mut request, SUBPROTOCOL)?;
    if !state.access.is_allowed_origin(request.headers()) {
        return Err(Error::CrossSite);
    }
    let known = match bearer(request.headers()) {
        Some(token) => state.access.by_token(token),
        None => state.access.by_cookie(request.headers()),
    };
    let permit = SessionPermit::take(&state.live.sessions, &state.live.addresses, visitor.address)?;
    let tracker = state.live.sessions.tracker.clone();
    tracker.spawn(async move {
        let Some(socket) = upgrade.socket().await else { return };
        Session::new(&state, known, permit).run(socket).await;
    });
    Ok(answer)
}

/// Questions.
pub(crate) fn questions<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<GraphqlState>: FromRef<S>,
    Arc<crate::identity::state::IdentityState>: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(ask)).routes(routes!(show))
}

/// Subscriptions.
pub(crate) fn subscriptions<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<GraphqlState>: FromRef<S>,
    Arc<crate::http::state::HttpState>: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(connect))
}
