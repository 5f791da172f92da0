//! The state that posts of clicks need.

use std::sync::Arc;

use super::{
    Intake, enrich::Enricher, hints::Hints, idempotency::Idempotency, in_hand::Batches, keys::ring::Ring,
    owners::Owners,
};
use crate::http::rate_limit::Addresses;

/// The state of the handlers that take posted clicks in.
pub(crate) struct IntakeState {
    pub(crate) intake: Intake,
    pub(crate) keys: Ring,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) enricher: Enricher,
    pub(crate) idempotency: Idempotency,
    pub(crate) hints: Hints,
    pub(crate) batches: Batches,
    pub(crate) owners: Owners,
}
