//! The server's side of HTTP; nothing here knows a click.
//!
//! - [`serve`]: connections, their limits and their end; [`tls`]: their encryption; [`requests`]: what every
//!   request has
//! - [`host`], [`origin`], [`visitor`], [`networks`]: the other end, and the host and page that a request is for
//! - [`rate_limit`], [`quota`]: how much in a time, and how much at once
//! - [`body`], [`content_type`], [`encoding`], [`parameters`], [`cursor`], [`label`]: how input is read
//! - [`error`]: answers to what goes wrong
//! - [`openapi`]: the document of all operations; [`page`]: the dashboard's files

pub(crate) mod body;
pub(crate) mod content_type;
pub(crate) mod cursor;
pub(crate) mod encoding;
pub(crate) mod error;
pub(crate) mod host;
pub(crate) mod label;
pub(crate) mod networks;
pub(crate) mod openapi;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod parameters;
pub(crate) mod quota;
pub(crate) mod rate_limit;
pub(crate) mod requests;
pub(crate) mod serve;
pub(crate) mod state;
pub(crate) mod tls;
pub(crate) mod uuid_time;
pub(crate) mod visitor;

/// Largest body of a request, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024;
