//! The state that live sessions share.

use std::sync::Arc;

pub(crate) use super::session::sessions::Sessions;
use super::{Hub, http::Polled};
use crate::{http::rate_limit::Addresses, identity::access::Access};

/// The state of the handlers that open live sessions.
pub(crate) struct LiveState {
    pub(crate) access: Arc<Access>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) hub: Hub,
    pub(crate) sessions: Sessions,
    pub(crate) polled: Polled,
}
