//! Admission of posts, by key and allowance, before a body is read.
//!
//! A key is known or not, and what it may send is limited by the key. A key that does not speak for
//! users is used by many clients, so each client's address is limited, too. So is whoever tries keys
//! that nobody has.

use std::sync::Arc;

use std::num::NonZeroU32;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::Next,
    response::Response,
};

use crate::{
    http::{error::Error, visitor::Visitor},
    identity::access,
    intake::{keys::Poster, state::IntakeState},
};

/// Lets posts of known keys through, within their allowances, and tells how much is left of these.
pub(crate) async fn admit(
    State(state): State<Arc<IntakeState>>,
    visitor: Visitor,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let key = access::api_key(request.headers()).ok_or(Error::Unauthorized);
    let poster = match key.and_then(|key| state.keys.poster(key)) {
        Ok(poster) => poster,
        Err(error) => {
            state.addresses.spend(visitor.address)?;
            return Err(error);
        }
    };
    let mut left = Vec::new();
    if !poster.speaks_for_users {
        left.push(state.addresses.spend(visitor.address)?);
    }
    left.extend(poster.spend(NonZeroU32::MIN)?);
    request.extensions_mut().insert(poster);
    let mut response = next.run(request).await;
    for left in left {
        left.write(response.headers_mut());
    }
    Ok(response)
}

impl<S: Sync> FromRequestParts<S> for Poster {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Unauthorized)
    }
}
