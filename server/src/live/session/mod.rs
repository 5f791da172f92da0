//! Sessions, independent of what they are told; knows no feed.
//!
//! - [`connection`]: what a session's task shares with the sources of its news
//! - [`subscribers`]: the sessions that are told by one of them
//! - [`source`]: a source of news for a session
//! - [`sessions`]: all sessions of a server, [`permit`]: what one takes and gives back, [`end`]: why it ends

pub(in crate::live) mod connection;
pub(in crate::live) mod end;
pub(in crate::live) mod permit;
pub(crate) mod sessions;
pub(in crate::live) mod source;
pub(in crate::live) mod subscribers;

pub(in crate::live) use self::source::Source;
