//! Sessions, whatever they are told of; knows no feed.
//!
//! - [`connection`]: what a session's task shares with those who have news for it
//! - [`subscribers`]: the sessions that are told by one of them
//! - [`source`]: what a session is told from
//! - [`sessions`]: all sessions of a server, [`permit`]: what one takes and gives back, [`end`]: why it ends

pub(in crate::live) mod connection;
pub(in crate::live) mod end;
pub(in crate::live) mod permit;
pub(crate) mod sessions;
pub(in crate::live) mod source;
pub(in crate::live) mod subscribers;

pub(in crate::live) use self::source::Source;
