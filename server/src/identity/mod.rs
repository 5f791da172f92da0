//! Callers: people who sign in with a password, and the tokens of their programs.
//!
//! - [`store`]: the tables
//! - [`password`]: how a password is kept and compared
//! - [`session`]: the signed token in a browser's cookie
//! - [`directory`]: the accounts in a server's memory, up to date within two seconds
//! - [`sign_in`]: `/api/v1/session`: in, renewed, out
//! - [`own`]: `/api/v1/account`: what people change of their own account
//! - [`actor`]: in whose name something is changed
//! - [`address`]: keyed hashes of addresses
//! - [`access`]: what a caller may see and do; [`secret`]: what tokens and keys look like; [`signing`]: signatures

pub(crate) mod access;
pub(crate) mod actor;
pub(crate) mod address;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod own;
pub(crate) mod password;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod signing;
pub(crate) mod state;
pub(crate) mod store;

use axum::extract::FromRef;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Role of a person, by which rights are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees its own advertisers' data.
    Advertiser,
    /// Sees every advertiser's numbers, statements and corrections; no single clicks and nothing of operations.
    Finance,
    /// Sees every advertiser's data, and looks after incidents and dead letters.
    Ops,
    /// Sees and changes everything.
    Admin,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Advertiser => "advertiser",
            Self::Finance => "finance",
            Self::Ops => "ops",
            Self::Admin => "admin",
        }
    }

    /// Returns the role of this name in the database.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|role| role.as_str() == name)
    }

    /// Returns whether it is of people who work for the operator of the deployment.
    pub(crate) fn is_staff(self) -> bool {
        matches!(self, Self::Finance | Self::Ops | Self::Admin)
    }

    /// Returns whether it looks after the whole: incidents, dead letters, what people do.
    pub(crate) fn is_operators(self) -> bool {
        matches!(self, Self::Ops | Self::Admin)
    }
}

/// `/api/v1/session` and `/api/v1/account`.
pub(crate) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<state::IdentityState>: FromRef<S>,
    Arc<crate::http::state::HttpState>: FromRef<S>,
{
    let session =
        OpenApiRouter::default().routes(routes!(sign_in::show, sign_in::sign_in, sign_in::sign_out));
    let account = OpenApiRouter::default()
        .routes(routes!(own::change_password))
        .routes(routes!(own::tokens, own::create_token))
        .routes(routes!(own::revoke_token));
    OpenApiRouter::default().nest("/api/v1/session", session).nest("/api/v1/account", account)
}
