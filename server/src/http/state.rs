//! The state that every request may need.

use bytes::Bytes;

use super::visitor::Proxies;

/// The state of everything that is read from a request, whatever it is for.
pub(crate) struct HttpState {
    pub(crate) proxies: Proxies,
    /// The OpenAPI document, as JSON.
    pub(crate) document: Bytes,
}
