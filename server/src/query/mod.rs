//! Questions to the database, scoped by the caller's access.
//!
//! - [`reports`]: any question about any range
//! - [`analytics`]: counts over time, unique users among them
//! - [`annotations`]: events that explain a chart
//! - [`clicks`]: clicks one by one; [`adjustments`]: changes of their verdicts; [`export`]: both as files;
//!   [`past`]: the knowledge of a moment
//! - [`incidents`] (alerts)
//! - [`entities`]: advertisers, campaigns and ads; [`settings`]: thresholds; [`watermark`]: the end of final counts

mod adjustments;
pub(crate) mod analytics;
pub(crate) mod annotations;
pub(crate) mod clicks;
pub(crate) mod entities;
pub(crate) mod error;
pub(crate) mod export;
pub(crate) mod incidents;
mod past;
pub(crate) mod reports;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod watermark;

use axum::extract::FromRef;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Answers questions.
pub(crate) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<state::QueryState>: FromRef<S>,
    Arc<crate::identity::state::IdentityState>: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(analytics::aggregate))
        .routes(routes!(annotations::annotations))
        .routes(routes!(reports::summary))
        .routes(routes!(reports::breakdown))
        .routes(routes!(reports::timeseries))
        .routes(routes!(clicks::find))
        .routes(routes!(adjustments::list))
        .routes(routes!(export::breakdown))
        .routes(routes!(export::timeseries))
        .routes(routes!(export::clicks))
        .routes(routes!(export::jobs::list, export::jobs::begin))
        .routes(routes!(export::jobs::show, export::jobs::delete))
        .routes(routes!(export::jobs::file))
        .routes(routes!(entities::advertisers))
        .routes(routes!(entities::campaigns))
        .routes(routes!(entities::ads))
        .routes(routes!(settings::show))
}
