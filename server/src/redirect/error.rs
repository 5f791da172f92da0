//! Reasons why an ad is not known, or its change not announced.

use axum::http::StatusCode;
use thiserror::Error as ThisError;

use std::time::Duration;

use crate::http::{
    error::{Error, Kind, Problem},
    openapi::{ONE, groups},
    rate_limit::Left,
};

/// A source of ads, or the channel of their changes, is away.
#[derive(Debug, ThisError)]
pub(crate) enum RedirectError {
    /// Neither Redis nor the database says where an ad leads.
    #[error("ads: {0}")]
    AdsAway(String),
    /// The change is made, but screens or other servers may not know.
    #[error("redis: {0}")]
    RedisAway(String),
}

impl Problem for RedirectError {
    fn kind(&self) -> Kind {
        match self {
            Self::AdsAway(_) => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "ads_unavailable",
                "This link can't be looked up now. Try again.",
            ),
            Self::RedisAway(_) => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "redis_unavailable",
                "It is done, but dashboards and other servers may not know yet. Send it again to tell them.",
            ),
        }
    }
}

groups! {
    /// Others are told over Redis.
    Announced: RedirectError::RedisAway(String::new());
    /// Looking up an ad, by callers with a limited number of requests.
    LookUp: RedirectError::AdsAway(String::new()),
        Error::TooMany { left: Left::nothing("account", ONE), retry_after: Duration::ZERO };
}
