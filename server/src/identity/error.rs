//! Errors of identity: the caller is not known.

use axum::http::StatusCode;
use thiserror::Error as ThisError;

use crate::http::{
    error::{Error, Kind, Problem},
    openapi::{ONE, groups},
    rate_limit::Left,
};
use std::time::Duration;

/// The reason why somebody was not signed in, or a key not looked up.
#[derive(Debug, ThisError)]
pub(crate) enum IdentityError {
    /// There is no such login, or the password is another.
    #[error("login or password is wrong")]
    SignInRefused,
    /// Too many passwords are being compared.
    #[error("too many sign-ins at once")]
    SignInBusy,
    /// The keys were not read yet, so a key's validity can't be told.
    #[error("keys were not read yet")]
    KeysUnread,
}

impl Problem for IdentityError {
    fn kind(&self) -> Kind {
        match self {
            Self::SignInRefused => {
                Kind(StatusCode::UNAUTHORIZED, "sign_in_refused", "The login or the password is wrong.")
            }
            Self::SignInBusy => {
                Kind(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many people sign in just now. Try again.")
            }
            Self::KeysUnread => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "keys_unavailable",
                "Keys and accounts can't be looked up now. Try again.",
            ),
        }
    }
}

groups! {
    /// The caller has no token.
    Viewer: Error::Unauthorized, IdentityError::KeysUnread;
    /// The caller has no token, or it is not good for that.
    Scoped: Error::Unauthorized, Error::Forbidden, Error::CrossSite, IdentityError::KeysUnread;
    /// The caller has not signed in.
    Account: Error::Unauthorized, Error::Forbidden, Error::CrossSite, IdentityError::KeysUnread;
    /// An account asks for too much at once.
    OneAtATime: Error::TooManyAtOnce;
    /// A password is wrong, one of too many, or another site's page has sent it.
    SignIn: IdentityError::SignInRefused, IdentityError::SignInBusy, Error::CrossSite,
        Error::TooMany { left: Left::nothing("address", ONE), retry_after: Duration::ZERO };
    /// A password is to be made.
    Busy: IdentityError::SignInBusy;
}
