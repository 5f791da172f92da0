//! Sessions, whatever they are told of; knows no feed.
//!
//! - [`outlet`]: what a session's task shares with those who have news for it
//! - [`listeners`]: the sessions that are told by one of them
//! - [`source`]: what a session is told from
//! - [`sessions`]: all sessions of a server, [`place`]: what one takes and gives back, [`end`]: why it ends

pub(in crate::live) mod end;
pub(in crate::live) mod listeners;
pub(in crate::live) mod outlet;
pub(in crate::live) mod place;
pub(crate) mod sessions;
pub(in crate::live) mod source;

pub(in crate::live) use self::source::Source;
