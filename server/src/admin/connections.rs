//! `GET /api/v1/admin/connections`: how many live sessions this server has, what is watched over them, and by
//! whom.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::state::AdminState,
    http::openapi::Refused,
    identity::access::Operator,
    live::presence::{Advertiser, LISTED},
};

/// The live sessions of one server.
#[derive(Serialize, ToSchema)]
pub(crate) struct Connections {
    /// Sessions of every kind.
    sessions: usize,
    /// Sessions that are allowed at most.
    sessions_max: usize,
    /// The advertisers that are watched, the most watched first.
    advertisers: Vec<Advertiser>,
}

/// Returns the number of live sessions of this server, and the advertisers that they watch.
#[utoipa::path(get, path = "/connections", operation_id = "show_connections", tag = "operator",
    responses((status = 200, body = Connections), Refused<(crate::identity::error::Scoped,)>))]
pub(super) async fn show(State(state): State<Arc<AdminState>>, _: Operator) -> Json<Connections> {
    let mut advertisers = state.hub.watchers();
    advertisers.retain(|advertiser| advertiser.watchers() > 0);
    advertisers.sort_by_key(|advertiser| std::cmp::Reverse(advertiser.watchers()));
    advertisers.truncate(LISTED);
    let sessions_max = state.sessions.max;
    let sessions = sessions_max - state.sessions.permits.available_permits();
    Json(Connections { sessions, sessions_max, advertisers })
}
