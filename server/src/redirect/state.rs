//! The state that links need.

use std::sync::Arc;

use super::ads::Ads;
use crate::{
    http::rate_limit::{Addresses, Callers},
    intake::{Intake, click_id::Signer, enrich::Enricher},
};

/// The state of the handlers that follow links.
pub(crate) struct RedirectState {
    pub(crate) ads: Ads,
    pub(crate) addresses: Arc<Addresses>,
    /// Allowances of callers that make test clicks.
    pub(crate) testers: Callers,
    pub(crate) enricher: Enricher,
    pub(crate) click_ids: Arc<Signer>,
    pub(crate) intake: Intake,
}
