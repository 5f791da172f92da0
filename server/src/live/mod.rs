//! The gateway: pushes what changes to dashboards over WebSockets.
//!
//! - [`hub`]: one connection to Redis, a feed for each advertiser that is watched
//! - [`feed`]: follows one advertiser: loads once, keeps up to date
//! - [`cells`]: the advertiser's recent cells, and the views computed from them
//! - [`view`]: what one kind of dashboard shows, computed once for all that show it
//! - [`alerts`]: news about incidents, for administrators
//! - [`session`]: one dashboard's connection

mod alerts;
mod cells;
mod feed;
mod hub;
mod session;
mod view;

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, Uri, header},
    response::Response,
};
use clickwire_protocol::live::{MAX_CLIENT_MESSAGE_BYTES, SUBPROTOCOL};

pub(crate) use feed::Event;
pub(crate) use hub::Hub;

use crate::{
    AppState,
    error::Error,
    live::session::Session,
    openapi::{self, Refused},
};

/// Bytes read from a socket at once; the library's default of 128 KiB would be kept for each
/// connection.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Opens a WebSocket for live data.
///
/// With the subprotocol `clickwire.v1`; the token comes in its first message.
#[utoipa::path(get, path = "/api/v1/live", operation_id = "connect_live", tag = "anybody",
    responses((status = 101, description = "The connection is a WebSocket."), Refused<(openapi::Live,)>))]
pub(crate) async fn upgrade(
    State(state): State<AppState>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade.map_err(|rejection| Error::Upgrade(rejection.to_string()))?;
    if !same_origin(&headers) {
        return Err(Error::Forbidden);
    }
    if state.sessions.stop.is_cancelled() {
        return Err(Error::Full);
    }
    let permit = state.sessions.permits.clone().try_acquire_owned().map_err(|_| Error::Full)?;
    let tracker = state.sessions.tracker.clone();
    let response = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MAX_CLIENT_MESSAGE_BYTES)
        .max_frame_size(MAX_CLIENT_MESSAGE_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(move |socket| {
            tracker.track_future(async move {
                let _permit = permit;
                Session::new(socket, state).run().await;
            })
        });
    Ok(response)
}

/// A browser names the page's origin (RFC 6455, section 10.2): it must be ours. Programs name none.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let host = origin.as_ref().and_then(Uri::authority).map(axum::http::uri::Authority::as_str);
    host.is_some() && host == text(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_origin_may_not_connect() {
        for (origin, host, expected) in [
            (None, "127.0.0.1:8080", true),
            (Some("http://127.0.0.1:8080"), "127.0.0.1:8080", true),
            (Some("https://clicks.example"), "clicks.example", true),
            (Some("https://evil.example"), "clicks.example", false),
            (Some("http://127.0.0.1:9999"), "127.0.0.1:8080", false),
            (Some("null"), "clicks.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(same_origin(&headers), expected, "{origin:?}");
        }
    }
}
