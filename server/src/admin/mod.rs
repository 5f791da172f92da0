//! `/api/v1/admin`, `/api/v1/alerts` and `/iceberg/v1`: what only operators and administrators may see and do, and finance of
//! [`stats`]. Every handler below asks for [`Operator`](crate::identity::access::Operator),
//! [`Admin`](crate::identity::access::Admin) or [`Staff`](crate::identity::access::Staff);
//! changes go through [`AdminState::writing`].
//!
//! - [`accounts`], [`keys`]: people and programs; [`catalog`]: advertisers, campaigns, ads
//! - [`rules`]: thresholds of the fraud rules; [`preview`]: what a change would have made of the last clicks;
//!   [`verdicts`]: releases; [`dead_letters`]: what could not be read
//! - [`schedules`]: exports that are made again and again; [`deliveries`]: what is sent to webhooks
//! - [`incidents`]: alerts, and what is done with them; [`connections`]: live sessions; [`stats`]: the whole in numbers; [`pipeline`]: a click's way, stage by stage;
//!   [`storage`]: where bytes are, and how long data is kept
//! - [`lake`]: the catalog of the archive's tables, for engines
//! - [`erasures`]: users who are forgotten; [`audit`]: who has changed what

pub(crate) mod accounts;
mod audit;
mod catalog;
pub(crate) mod connections;
mod dead_letters;
mod deliveries;
pub(crate) mod erasures;
pub(crate) mod error;
pub(crate) mod incidents;
pub(crate) mod keys;
mod lake;
pub(crate) mod pipeline;
mod preview;
mod releases;
mod rules;
mod schedules;
pub(crate) mod state;
mod stats;
pub(crate) mod storage;
mod verdicts;

use std::sync::Arc;

use axum::extract::FromRef;
use clickwire_protocol::reason::Reason;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::state::AdminState;
use crate::{
    http::{error::Error, state::HttpState},
    identity::state::IdentityState,
};

/// The routes below `/api/v1/admin`, `/api/v1/alerts` and `/iceberg/v1`.
pub(crate) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<AdminState>: FromRef<S>,
    Arc<IdentityState>: FromRef<S>,
    Arc<HttpState>: FromRef<S>,
{
    let dead_letters = OpenApiRouter::default()
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::outcome))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::dismiss));
    let accounts = OpenApiRouter::default()
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::show, accounts::change))
        .routes(routes!(accounts::reset_password))
        .routes(routes!(accounts::sign_out));
    let keys = OpenApiRouter::default()
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke));
    let catalog = OpenApiRouter::default()
        .routes(routes!(catalog::show_ad, catalog::put_ad, catalog::delete_ad))
        .routes(routes!(catalog::show_advertiser, catalog::put_advertiser, catalog::delete_advertiser))
        .routes(routes!(catalog::show_campaign, catalog::put_campaign, catalog::delete_campaign))
        .routes(routes!(catalog::list_ads));
    let rules = OpenApiRouter::default()
        .routes(routes!(rules::list))
        .routes(routes!(rules::history, rules::change))
        .routes(routes!(preview::show));
    let clicks = OpenApiRouter::default()
        .routes(routes!(releases::count, releases::release))
        .routes(routes!(verdicts::show))
        .routes(routes!(verdicts::release));
    let admin = OpenApiRouter::default()
        .nest("/dead-letters", dead_letters)
        .nest("/accounts", accounts)
        .nest("/keys", keys)
        .nest("/rules", rules)
        .nest("/clicks", clicks)
        .merge(catalog)
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::delete))
        .routes(routes!(erasures::list, erasures::create))
        .routes(routes!(audit::list))
        .routes(routes!(stats::stats))
        .routes(routes!(pipeline::show))
        .routes(routes!(storage::show))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::resend))
        .routes(routes!(connections::show));
    let alerts = OpenApiRouter::default()
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::assignees))
        .routes(routes!(incidents::show))
        .routes(routes!(incidents::orders::acknowledge))
        .routes(routes!(incidents::orders::assign))
        .routes(routes!(incidents::orders::note))
        .routes(routes!(incidents::orders::silence, incidents::orders::unsilence))
        .routes(routes!(incidents::orders::resolve));
    let lake = OpenApiRouter::default()
        .routes(routes!(lake::config))
        .routes(routes!(lake::namespaces))
        .routes(routes!(lake::namespace))
        .routes(routes!(lake::tables))
        .routes(routes!(lake::table));
    OpenApiRouter::default().nest("/api/v1/admin", admin).nest("/api/v1/alerts", alerts).merge(lake)
}

/// An administrator's reason for what it does; a bad one is refused.
pub(crate) fn reason(text: &str) -> Result<Reason, Error> {
    text.parse().map_err(|message: String| Error::field("reason", &message))
}
