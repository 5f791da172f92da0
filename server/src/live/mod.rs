//! The gateway: pushes what changes to dashboards over WebSockets.
//!
//! - [`hub`]: a feed for each advertiser that is watched; [`subscriber`]: what is heard from Redis, for all
//! - [`feed`]: follows one advertiser: keeps up to date; [`load`]: reads it from the database
//! - [`cells`]: the advertiser's recent cells, and the views computed from them
//! - [`view`]: what one kind of dashboard shows, computed once for all that show it
//! - [`rates`]: how fast its clicks come
//! - [`alerts`]: news about incidents, for operators
//! - [`clicks`]: one watcher of a view, whatever carries its messages
//! - [`http`]: the same as server-sent events, and for asking now and then
//! - [`place`]: what a session takes and gives back
//! - [`presence`]: what is watched, and by whom
//! - [`session`]: one dashboard's connection; [`outlet`]: what it is told; [`listeners`]: those who are told by
//!   one feed
//! - [`frame`]: messages that many sessions share; [`socket`]: frames on their way to the kernel, over a [`transport`] with TLS or without

mod alerts;
mod cells;
mod clicks;
pub(crate) mod error;
mod feed;
mod frame;
pub(crate) mod http;
mod hub;
mod listeners;
mod load;
mod outlet;
mod place;
pub(crate) mod presence;
mod rates;
mod session;
mod socket;
pub(crate) mod state;
mod subscriber;
mod transport;
mod view;

use axum::extract::FromRef;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

use axum::{
    extract::{Request, State},
    response::Response,
};

use clickwire_protocol::{live::View, object::Fault};

pub(crate) use feed::Event;
pub(crate) use hub::Hub;
#[cfg(any(test, fuzzing))]
pub(crate) use session::heard;

use crate::{
    http::{error::Error, openapi::Refused, visitor::Visitor},
    identity::access::Scope,
    live::{place::Place, session::Session, socket::Upgrade, state::LiveState},
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
    let (answer, upgrade) = Upgrade::answer(&mut request)?;
    if !state.access.is_allowed_origin(request.headers()) {
        return Err(Error::CrossSite);
    }
    // Whether it is needed the first message says.
    let by_cookie = state.access.by_cookie(request.headers()).map(Box::new);
    let place = Place::take(&state, visitor.address)?;
    let tracker = state.sessions.tracker.clone();
    tracker.clone().spawn(async move {
        let Some(socket) = upgrade.socket().await else { return };
        // In a task of its own, or what this one needs would be kept for as long.
        tracker.spawn(Session::new(socket, by_cookie, place, &state).run());
    });
    Ok(answer)
}

/// Why a view is not to be watched.
enum Refusal {
    /// The caller may not see that advertiser.
    Forbidden,
    /// There is no such view.
    Invalid(Fault),
}

/// The view that a caller is to watch, the same through every door; or why not.
fn watched(view: View, scope: &Scope) -> Result<View, Refusal> {
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
        .routes(routes!(http::poll))
}
