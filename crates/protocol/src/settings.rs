//! Settings of a deployment that a page must know to say what its numbers mean: the answer of
//! `GET /api/v1/settings`.

use serde::{Deserialize, Serialize};

use crate::alerts::FraudRate;

/// The settings by which a deployment judges numbers, at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// The shortest time that a minute is provisional after its end, in milliseconds.
    pub provisional_ms: i64,
    /// The rule that says how much fraud is too much; `None`: it is off.
    pub fraud_rate: Option<FraudRate>,
}
