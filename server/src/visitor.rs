//! Who is at the other end of a request: address and browser.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, rejection::ExtensionRejection},
    http::{header::USER_AGENT, request::Parts},
};
use clickwire_protocol::click::MAX_USER_AGENT_BYTES;

use crate::AppState;

/// The client that a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// Empty if it named none.
    pub(crate) user_agent: String,
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ExtensionRejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, state).await?;
        let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = user_agent.unwrap_or_default().chars().take(MAX_USER_AGENT_BYTES).collect();
        Ok(Self { address: peer.ip(), user_agent })
    }
}
