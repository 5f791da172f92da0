//! Reasons why a live session was not opened.

use axum::http::StatusCode;
use thiserror::Error as ThisError;

use crate::http::{
    error::{Error, Kind, Problem},
    openapi::{ONE, groups},
    rate_limit::Left,
};
use std::time::Duration;

/// The reason why there is no session.
#[derive(Debug, ThisError)]
pub(crate) enum LiveError {
    /// The request is not a WebSocket handshake.
    #[error("upgrade: {0}")]
    Upgrade(String),
    /// No more live sessions fit.
    #[error("too many live sessions")]
    Full,
}

impl Problem for LiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Upgrade(_) => {
                Kind(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "Connect with a WebSocket client.")
            }
            Self::Full => Kind(StatusCode::SERVICE_UNAVAILABLE, "full", "Too many live sessions. Try again."),
        }
    }
}

groups! {
    /// There is no place left for a live session, or not for this client.
    Sessions: LiveError::Full, Error::TooMany { left: Left::nothing("address", ONE), retry_after: Duration::ZERO };
    /// A connection becomes a WebSocket.
    Live: Error::CrossSite, LiveError::Upgrade(String::new());
}
