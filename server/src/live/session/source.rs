//! What a session is told from: a view of clicks, news about incidents.

use super::{end::End, subscribers::Subscribers};
use crate::live::wire::frame::Frame;

/// Something that has news for sessions. It knows what its one session was told; nothing queues.
pub(in crate::live) trait Source: Send {
    /// The sessions that are told as soon as there is something to tell.
    fn subscribers(&self) -> &Subscribers;

    /// Whether there is something to tell whose time has not come.
    fn waits(&self, now_ms: i64) -> bool;

    /// Whether too much of what is told of is in flight.
    fn is_exceeded(&self) -> bool;

    /// Adds what there is to tell now of subscription `id`; an error if it can't be told any more.
    fn frames(&mut self, id: u32, now_ms: i64, frames: &mut Vec<Frame>) -> Result<(), End>;
}
