//! Clicks in hand, as the stream delivers them.

use clickwire_protocol::click::Click;

/// A click with its place in the stream.
#[derive(Clone, Debug)]
pub struct Received {
    /// The click as it was accepted.
    pub click: Click,
    /// The message's number in the stream, from 1.
    pub stream_seq: u64,
}
