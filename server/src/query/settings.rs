//! `GET /api/v1/settings`: settings by which this deployment judges numbers, for pages that show them.

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_protocol::{alerts::FraudRate, finality, rules::Mode, settings::Settings};
use serde::de::DeserializeOwned;

use crate::{
    http::{error::Error, openapi::Refused},
    identity::access::Scope,
    query::state::QueryState,
    store::database::answer,
};

/// Settings by which this deployment judges numbers: the fraud rate's thresholds, and how long a minute is provisional.
///
/// A change of the rule is included as soon as it is in force.
#[utoipa::path(get, path = "/api/v1/settings", operation_id = "show_settings", tag = "viewer",
    responses((status = 200, body = Settings), Refused<(crate::identity::error::Viewer, crate::store::error::Database)>))]
pub(crate) async fn show(
    State(state): State<Arc<QueryState>>,
    _viewer: Scope,
) -> Result<Json<Settings>, Error> {
    let rule = sqlx::query_as(
        "SELECT to_json(mode)::text, parameters::text FROM fraud_rules \
          WHERE rule = 'fraud_rate' AND effective_at <= now() ORDER BY version DESC LIMIT 1",
    );
    let rule: Option<(String, String)> = answer(rule.fetch_optional(&state.database)).await?;
    let fraud_rate = match rule {
        Some((mode, parameters)) if read::<Mode>(&mode)? != Mode::Off => {
            Some(read::<FraudRate>(&parameters)?)
        }
        Some(_) | None => None,
    };
    Ok(Json(Settings { provisional_ms: finality::ALLOWANCE_MS, fraud_rate }))
}

fn read<T: DeserializeOwned>(column: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(column).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
