//! A source of news for a session: a view of clicks, news about incidents.

use super::{end::End, subscribers::Subscribers};
use crate::live::wire::frame::Frame;

/// A source of news for one session. It knows what the session was told; nothing queues.
pub(in crate::live) trait Source: Send {
    /// The sessions that are told as soon as there is something to tell.
    fn subscribers(&self) -> &Subscribers;

    /// Returns whether there is something to tell whose time has not come.
    fn waits(&self, now_ms: i64) -> bool;

    /// Returns whether too many bytes of its feed are in flight.
    fn is_exceeded(&self) -> bool;

    /// Adds the frames that are due of subscription `id`; an error if the session can't be told any more.
    fn frames(&mut self, id: u32, now_ms: i64, frames: &mut Vec<Frame>) -> Result<(), End>;
}
