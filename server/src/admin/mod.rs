//! `/api/v1/admin` and `/api/v1/alerts`: what only operators and administrators may see and do. Every handler
//! below asks for [`Operator`](crate::identity::access::Operator) or [`Admin`](crate::identity::access::Admin);
//! changes go through `AppState::admin_database`.
//!
//! - [`accounts`], [`keys`]: people and programs; [`catalog`]: advertisers, campaigns, ads
//! - [`rules`]: thresholds of the fraud rules; [`verdicts`]: releases; [`dead_letters`]: what could not be read
//! - [`incidents`]: alerts; [`connections`]: live sessions; [`stats`]: the whole in numbers
//! - [`audit`]: who has changed what

pub(crate) mod accounts;
mod audit;
mod catalog;
pub(crate) mod connections;
mod dead_letters;
pub(crate) mod incidents;
pub(crate) mod keys;
mod rules;
mod stats;
mod verdicts;

use clickwire_protocol::reason::Reason;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{AppState, http::error::Error};

/// Everything below `/api/v1/admin`.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .nest("/dead-letters", dead_letters::routes())
        .nest("/accounts", accounts::routes())
        .nest("/keys", keys::routes())
        .nest("/rules", rules::routes())
        .nest("/clicks", verdicts::routes())
        .merge(catalog::routes())
        .routes(routes!(audit::list))
        .routes(routes!(stats::stats))
        .routes(routes!(connections::show))
}

/// Why an administrator does something; who gives no good reason is told so.
pub(crate) fn reason(text: &str) -> Result<Reason, Error> {
    text.parse().map_err(|message: String| Error::field("reason", &message))
}
