//! Errors of the database, as callers are told.

use std::borrow::Cow;

use axum::http::StatusCode;
use clickwire_protocol::{click::Rejection, object::NUL};
use thiserror::Error as ThisError;

use crate::http::{
    error::{Error, Kind, Problem},
    openapi::groups,
};

/// SQLSTATE of a query that the server's time limit ended.
const QUERY_CANCELED: &str = "57014";

/// SQLSTATE of a statement that waited longer than `lock_timeout` for a lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// SQLSTATEs of a text with NUL in it, in a text column and in JSON: doors refuse it before, under the
/// field's name.
const NUL_IN_TEXT: [&str; 2] = ["22021", "22P05"];

/// The reason why the database did not do what was asked.
#[derive(Debug, ThisError)]
pub(crate) enum StoreError {
    /// A question about counts is more than the database answers in time.
    #[error("the query took too long")]
    TooSlow,
    /// Another transaction is changing, for longer than a write waits, what is to be changed.
    #[error("database: {0}")]
    Locked(sqlx::Error),
    #[error("database: {0}")]
    Database(sqlx::Error),
}

impl Problem for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooSlow => Kind(
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_slow",
                "This takes too long: ask for a shorter time, a coarser granularity or fewer groups.",
            ),
            Self::Locked(_) => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "locked",
                "Something else is being done with it. Nothing was changed. Try again.",
            ),
            Self::Database(_) => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "The database can't answer now. Try again.",
            ),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match state(&error).as_deref() {
            Some(LOCK_NOT_AVAILABLE) => StoreError::Locked(error).into(),
            Some(code) if NUL_IN_TEXT.contains(&code) => Self::Invalid(Rejection::form(NUL)),
            Some(_) | None => StoreError::Database(error).into(),
        }
    }
}

/// The error of a question about counts: one that takes too long can be asked for less.
pub(crate) fn of_question(error: sqlx::Error) -> Error {
    if state(&error).as_deref() == Some(QUERY_CANCELED) { StoreError::TooSlow.into() } else { error.into() }
}

/// The SQLSTATE of an error that the database has reported.
fn state(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

groups! {
    /// The database is asked.
    Database: StoreError::Database(sqlx::Error::PoolTimedOut);
    /// The database is asked for what belongs to tenants, each of which has a share of it.
    Shared: Error::TooManyAtOnce, StoreError::TooSlow, StoreError::Database(sqlx::Error::PoolTimedOut);
    /// The database searches the ledger for a caller that has no share to keep to.
    Searched: StoreError::TooSlow, StoreError::Database(sqlx::Error::PoolTimedOut);
    /// The database is written to.
    Record: StoreError::Database(sqlx::Error::PoolTimedOut), StoreError::Locked(sqlx::Error::PoolTimedOut);
}
