//! `GET /api/v1/openapi.json`: what the API takes and answers, for programs.
//!
//! The document is made from the code: routes are registered with what describes them, schemas are
//! derived from the types that are read and written, refusals come from [`Error`](crate::http::error::Error).
//! An operation's tag says who may do it, one of [`ROLES`]; what that role must send is added here.
//!
//! - [`refused`]: what an operation may be refused for

mod refused;

use std::sync::Arc;

use crate::http::state::HttpState;
use axum::{
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use bytes::Bytes;
use utoipa::{
    OpenApi as _,
    openapi::{
        OpenApi, RefOr,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

pub(crate) use self::refused::*;

/// Tags, which say who may do an operation, and the security schemes of which each takes one.
pub(crate) const ROLES: [(&str, &[&str]); 8] = [
    ("poster", &["key", "key_as_token"]),
    ("viewer", &["token", "session", "secure_session"]),
    ("clicks", &["token", "session", "secure_session"]),
    ("staff", &["token", "session", "secure_session"]),
    ("operator", &["token", "session", "secure_session"]),
    ("admin", &["token", "session", "secure_session"]),
    ("account", &["session", "secure_session"]),
    ("anybody", &[]),
];

/// The OpenAPI document without its operations.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Clickwire",
        description = "Every click counted once, on the wire within a second.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(clickwire_protocol::answer::ProblemBody, clickwire_protocol::answer::InvalidBody)),
    tags(
        (name = "poster", description = "Takes a key that clicks are posted with."),
        (name = "viewer", description = "For everybody who may see some advertiser's data."),
        (name = "clicks", description = "For everybody who may see single clicks: all roles but `finance`."),
        (name = "staff", description = "For the roles `finance`, `ops` and `admin`."),
        (name = "operator", description = "For the roles `ops` and `admin`."),
        (name = "admin", description = "For the role `admin`."),
        (name = "account", description = "For people who have signed in."),
        (name = "anybody", description = "Takes no token."),
    )
)]
struct Frame;

/// The document of all routes, as it is served.
pub(crate) fn document(routes: OpenApi) -> serde_json::Result<Bytes> {
    complete(routes).to_json().map(Bytes::from)
}

/// Returns the document of the routes, with the parts that many operations share.
fn complete(routes: OpenApi) -> OpenApi {
    let mut document = Frame::openapi();
    document.merge(routes);
    let bearer = |description| {
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(description));
        SecurityScheme::Http(scheme.build())
    };
    let key = ApiKeyValue::with_description("X-Api-Key", "A key that clicks are posted with.");
    if let Some(components) = &mut document.components {
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        components.add_security_scheme("key_as_token", bearer("A key that clicks are posted with."));
        components.add_security_scheme(
            "token",
            bearer("A token of the configuration, or of an account's program."),
        );
        for (scheme, name) in [("session", "clickwire"), ("secure_session", "__Host-clickwire")] {
            let cookie = ApiKeyValue::with_description(
                name,
                "The cookie of who has signed in; a page of the server's own origin must send it.",
            );
            components.add_security_scheme(scheme, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        }
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let tags = operation.tags.iter().flatten();
        let schemes = tags.filter_map(|tag| ROLES.iter().find(|(role, _)| role == tag));
        let required = schemes.flat_map(|(_, schemes)| schemes.iter());
        operation.security =
            Some(required.map(|scheme| SecurityRequirement::new::<_, [&str; 0], _>(*scheme, [])).collect());
        for (status, response) in &mut operation.responses.responses {
            let reason = status.parse().ok().and_then(|status: StatusCode| status.canonical_reason());
            if let (RefOr::T(response), Some(reason)) = (response, reason)
                && response.description.is_empty()
            {
                response.description = reason.to_owned();
            }
        }
    }
    document
}

/// The operations of a path, by whatever method.
fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = path;
    [get, put, post, delete, options, head, patch, trace].into_iter().filter_map(Option::as_mut)
}

/// Returns this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "show_document", tag = "anybody",
    responses((status = 200, body = Object, description = "An OpenAPI 3.1 document."), Refused<()>))]
pub(crate) async fn show(State(state): State<Arc<HttpState>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], state.document.clone())
}
