//! The ends of a session, and what its client is told then.

use std::borrow::Cow;

use clickwire_protocol::{
    live::{Unreadable, close},
    object::Fault,
};
use tokio_tungstenite::tungstenite;

/// The reason why a session ends.
pub(in crate::live) enum End {
    /// The server closes the session, with this code and reason.
    Close(u16, Cow<'static, str>),
    /// The server goes away.
    Reconnect,
    /// The client has said farewell.
    Left,
    /// The other side is gone.
    Gone,
}

impl End {
    /// The client takes so little that what it has not taken is no longer kept.
    pub(in crate::live) const TOO_SLOW: Self =
        Self::Close(close::TOO_SLOW, Cow::Borrowed("too slow; connect again"));

    /// Bytes of a reason, at most: a control frame has 125 (RFC 6455, section 5.5), two of them the code.
    const REASON_MAX_BYTES: usize = 123;

    pub(in crate::live) fn close(code: u16, reason: &'static str) -> Self {
        Self::Close(code, reason.into())
    }

    /// The end for a message that the protocol does not have.
    pub(in crate::live) fn unreadable(
        Unreadable { fault: Fault { field, message }, .. }: Unreadable,
    ) -> Self {
        let mut reason = "not a message of clickwire.v1: ".to_owned();
        if let Some(field) = field {
            reason += &format!("{field}: ");
        }
        reason += &message;
        reason.truncate(reason.floor_char_boundary(Self::REASON_MAX_BYTES));
        Self::Close(close::PROTOCOL_ERROR, reason.into())
    }
}

impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Capacity(_) => Self::close(close::TOO_LONG, "the message is too long"),
            tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => {
                Self::close(close::PROTOCOL_ERROR, "not as RFC 6455 has it")
            }
            // A connection that ended, one way or another.
            _ => Self::Gone,
        }
    }
}
