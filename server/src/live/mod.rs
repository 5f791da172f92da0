//! The gateway: pushes changes to dashboards over WebSockets.
//!
//! The gateway has three layers, of which each knows only those before it:
//! - [`wire`]: messages that many sessions share, and their way to the kernel
//! - [`session`]: what a session's task shares with the sources of its news, whatever the news is
//!   ([`session::Source`])
//! - [`feed`]: one advertiser's live state, the views computed from it, and news about incidents
//!
//! Above them are the doors: [`websocket`]; [`http`]: server-sent events, carried by [`stream`], and asking now and
//! then; [`updates`]: a view's changes, for these and for GraphQL; [`hub`]: a feed for each advertiser that is watched; [`presence`]: the
//! watched views and their viewers.

pub(crate) mod error;
mod feed;
pub(crate) mod http;
mod hub;
pub(crate) mod presence;
mod session;
pub(crate) mod state;
mod stream;
pub(crate) mod updates;
mod websocket;
mod wire;

use axum::extract::FromRef;
use std::sync::Arc;
use tracing::Instrument as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use axum::{
    extract::{Request, State},
    response::Response,
};

use clickwire_protocol::{
    live::{SUBPROTOCOL, View},
    object::Fault,
};

pub(crate) use feed::{Event, progress::told as watermark};
pub(crate) use hub::Hub;
pub(crate) use session::permit::SessionPermit;
#[cfg(any(test, fuzzing))]
pub(crate) use websocket::heard;
pub(crate) use wire::{
    frame::Frame,
    socket::{Socket, Upgrade},
};

use crate::{
    http::{error::Error, openapi::Refused, visitor::Visitor},
    identity::access::Scope,
    live::{state::LiveState, websocket::Session},
};

/// Opens a WebSocket for live data.
///
/// With the subprotocol `clickwire.v1`; the token comes in its first message, unless the browser has signed in.
#[utoipa::path(get, path = "/api/v1/live", operation_id = "connect_live", tag = "anybody",
    responses((status = 101, description = "The connection is a WebSocket."), Refused<(crate::live::error::Live, crate::live::error::Sessions)>))]
pub(crate) async fn upgrade(
    State(state): State<Arc<LiveState>>,
    visitor: Visitor,
    mut request: Request,
) -> Result<Response, Error> {
    let (answer, upgrade) = Upgrade::answer(&mut request, SUBPROTOCOL)?;
    if !state.access.is_allowed_origin(request.headers()) {
        return Err(Error::CrossSite);
    }
    // Whether it is needed the first message says.
    let by_cookie = state.access.by_cookie(request.headers()).map(Box::new);
    let permit = SessionPermit::take(&state.sessions, &state.addresses, visitor.address)?;
    let tracker = state.sessions.tracker.clone();
    tracker.clone().spawn(async move {
        let Some(socket) = upgrade.socket().await else { return };
        // In a task of its own, or what this one needs would be kept for as long.
        let session = Session::new(socket, by_cookie, permit, &state);
        let span = session.span();
        tracker.spawn(session.run().instrument(span));
    });
    Ok(answer)
}

/// Reasons why a view is not to be watched.
pub(crate) enum Refusal {
    /// The caller may not see that advertiser.
    Forbidden,
    /// There is no such view.
    Invalid(Fault),
}

/// The view that a caller is to watch, the same through every door; or the reason why not.
pub(crate) fn watched(view: View, scope: &Scope) -> Result<View, Refusal> {
    if scope.includes(&view.advertiser_id) {
        view.checked().map_err(Refusal::Invalid)
    } else {
        Err(Refusal::Forbidden)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden => Self::Forbidden,
            Refusal::Invalid(fault) => fault.into(),
        }
    }
}

/// Live data: over a WebSocket, as server-sent events, and for asking now and then.
pub(crate) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<state::LiveState>: FromRef<S>,
    Arc<crate::identity::state::IdentityState>: FromRef<S>,
    Arc<crate::http::state::HttpState>: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(upgrade))
        .routes(routes!(http::events))
        .routes(routes!(http::incidents))
        .routes(routes!(http::poll))
}
