//! The routes of a server: those of the wings that it has, and what every server has.

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use clap::ValueEnum as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::AppState;
use crate::{
    admin,
    config::ServerRole,
    graphql, health,
    http::{self, MAX_BODY_BYTES, error::Error},
    identity, intake, live, query, redirect,
};

/// Returns the routes of the public address.
pub(super) fn public(state: &AppState, roles: &[ServerRole]) -> Router {
    let admit = middleware::from_fn_with_state(state.clone(), intake::admission::admit);
    let has = |role| roles.contains(&role);
    let router = Router::from(api(&intake::routes().route_layer(admit), roles));
    let router = if has(ServerRole::Redirect) {
        router.fallback(redirect::elsewhere)
    } else {
        router.fallback(nothing)
    };
    let router = if needs_people(roles) { router.merge(http::page::router()) } else { router };
    router
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(middleware::from_fn(http::parameters::refuse_nul_in_path))
        .layer(middleware::from_fn(intake::cors::posts))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state.clone())
}

/// Returns the routes for the operator's programs, on an address of its own.
pub(super) fn operators(state: &AppState) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::report))
        .fallback(nothing)
        .with_state(state.clone())
}

/// Returns all routes but the page's files, for a server with these roles. Each of these routes is in the OpenAPI
/// document.
pub(super) fn api(posts: &OpenApiRouter<AppState>, roles: &[ServerRole]) -> OpenApiRouter<AppState> {
    let mut api = OpenApiRouter::default();
    // Each once, however often it is named.
    for role in ServerRole::value_variants().iter().filter(|role| roles.contains(role)) {
        api = match role {
            ServerRole::Intake => api.merge(posts.clone()),
            ServerRole::Redirect => api.merge(redirect::routes()),
            ServerRole::Query => {
                api.merge(query::routes()).merge(graphql::questions()).merge(redirect::trials())
            }
            ServerRole::Live => api.merge(live::routes()).merge(graphql::subscriptions()),
            ServerRole::Admin => api.merge(admin::routes()),
        };
    }
    if needs_people(roles) {
        api = api.merge(identity::routes());
    }
    api.routes(routes!(http::openapi::show))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::report))
}

/// Returns whether people sign in to a server with these roles.
fn needs_people(roles: &[ServerRole]) -> bool {
    roles.iter().any(|role| matches!(role, ServerRole::Query | ServerRole::Live | ServerRole::Admin))
}

async fn nothing() -> Error {
    Error::NotFound
}
