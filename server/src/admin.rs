//! `/api/v1/admin`: what only operators and administrators may see and do. Every handler below asks for
//! [`Operator`](crate::access::Operator) or [`Admin`](crate::access::Admin); what they change goes through
//! `AppState::admin_database`.

use clickwire_protocol::reason::Reason;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState, accounts, audit, catalog, dead_letters, error::Error, keys, live, rules, stats, verdicts,
};

/// Everything below `/api/v1/admin`.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .nest("/dead-letters", dead_letters::routes())
        .nest("/accounts", accounts::routes::routes())
        .nest("/keys", keys::routes::routes())
        .nest("/rules", rules::routes())
        .nest("/clicks", verdicts::routes())
        .merge(catalog::routes())
        .routes(routes!(audit::list))
        .routes(routes!(stats::stats))
        .routes(routes!(live::watchers::show))
}

/// Why an administrator does something; who gives no good reason is told so.
pub(crate) fn reason(text: &str) -> Result<Reason, Error> {
    text.parse().map_err(|message: String| Error::field("reason", &message))
}
