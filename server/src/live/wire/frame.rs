//! A text frame on its way to a session: a head of the session's own, and a body that sessions share.
//!
//! A server's frame is not masked (RFC 6455, section 5.1), so sessions that are told the same share its bytes,
//! whatever ids they have given to their subscriptions: of `{"type":"delta","id":7,"epoch":…}` only what stands
//! before `"epoch"` differs. A body is encoded once; a head is a few dozen bytes, kept in place.
//!
//! Bodies are counted for as long as a session holds them ([`InFlight`]): what slow readers have not taken has a
//! limit for each feed, so one tenant's readers leave the others theirs, and a limit for all feeds.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf as _, Bytes};
use clickwire_protocol::live::ServerMessage;

/// Bytes of bodies of one feed that may be held; with more, sessions that take nothing are closed.
const FEED_BYTES: usize = 64 * 1_024 * 1_024;

/// Bytes of bodies of all feeds of a server that may be held.
const ALL_BYTES: usize = 256 * 1_024 * 1_024;

/// The longest head: ten bytes of the frame's, `{"type":"snapshot","id":`, ten digits and a comma fit.
const HEAD_BYTES: usize = 62;

/// The place of a subscription's id in a message.
const ID: &str = r#""id":0,"#;

/// Bytes of bodies that are held, of one feed and of all; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    feed: Arc<AtomicUsize>,
    feed_max: usize,
    all: Arc<AtomicUsize>,
    all_max: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self::limited(FEED_BYTES, ALL_BYTES)
    }
}

impl InFlight {
    /// A server's count, with limits in bytes for each feed and for all of them.
    pub(in crate::live) fn limited(feed_max: usize, all_max: usize) -> Self {
        Self { feed: Arc::default(), feed_max, all: Arc::default(), all_max }
    }

    /// The count for one more feed of the same server.
    pub(crate) fn of_another_feed(&self) -> Self {
        Self { feed: Arc::default(), all: Arc::clone(&self.all), ..*self }
    }

    /// Returns whether no more should be encoded before some of the bytes were taken.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.feed.load(Ordering::Relaxed) > self.feed_max || self.all.load(Ordering::Relaxed) > self.all_max
    }
}

/// A message about a subscription without the subscription's id; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// The text up to the id.
    start: Bytes,
    /// The text from behind the id.
    rest: Bytes,
}

/// A message's text; counted for as long as it is held.
struct Counted {
    text: String,
    in_flight: InFlight,
}

impl Counted {
    fn new(text: String, in_flight: &InFlight) -> Self {
        in_flight.feed.fetch_add(text.len(), Ordering::Relaxed);
        in_flight.all.fetch_add(text.len(), Ordering::Relaxed);
        Self { text, in_flight: in_flight.clone() }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.in_flight.feed.fetch_sub(self.text.len(), Ordering::Relaxed);
        self.in_flight.all.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

impl Body {
    /// A message about subscription 0, which has something behind the id.
    pub(crate) fn new(message: &ServerMessage, in_flight: &InFlight) -> Self {
        let text = text(message);
        let (start, rest) = match text.find(ID) {
            Some(place) => (place + ID.len() - "0,".len(), place + ID.len()),
            // A test holds every message to it.
            None => (0, 0),
        };
        let text = Bytes::from_owner(Counted::new(text, in_flight));
        Self { start: text.slice(..start), rest: text.slice(rest..) }
    }

    /// The frame for the subscription with an id.
    pub(crate) fn frame(&self, id: u32) -> Frame {
        let digits = id.checked_ilog10().unwrap_or_default() as usize + 1;
        let length = self.start.len() + digits + 1 + self.rest.len();
        let mut head = Head::of(length);
        head.push(format_args!("{}{id},", String::from_utf8_lossy(&self.start)));
        Frame { head, body: self.rest.clone() }
    }
}

/// The first bytes of a frame, kept in place.
#[derive(Clone, Debug)]
struct Head {
    bytes: [u8; HEAD_BYTES],
    /// Number of bytes that are written already.
    start: u8,
    end: u8,
}

impl Head {
    /// The head of an unfragmented text frame (RFC 6455, section 5.2) with a payload of a length in bytes.
    fn of(length: usize) -> Self {
        const FINAL_TEXT: u8 = 0x81;
        let mut head = Self { bytes: [0; HEAD_BYTES], start: 0, end: 0 };
        head.extend(&[FINAL_TEXT]);
        match length {
            0..126 => head.extend(&[length as u8]),
            126..65_536 => {
                head.extend(&[126]);
                head.extend(&(length as u16).to_be_bytes());
            }
            _ => {
                head.extend(&[127]);
                head.extend(&(length as u64).to_be_bytes());
            }
        }
        head
    }

    fn extend(&mut self, bytes: &[u8]) {
        let end = usize::from(self.end);
        if let Some(place) = self.bytes.get_mut(end..end + bytes.len()) {
            place.copy_from_slice(bytes);
            self.end += bytes.len() as u8;
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        let end = usize::from(self.end);
        let mut place = &mut self.bytes[end..];
        let room = place.len();
        if place.write_fmt(text).is_ok() {
            self.end += (room - place.len()) as u8;
        }
    }

    fn left(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

/// A text frame as it goes over the wire; of one that is partly written, the rest.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    head: Head,
    body: Bytes,
}

impl Frame {
    /// The frame of one session's own message.
    pub(crate) fn of(message: &ServerMessage) -> Self {
        Self::text(text(message))
    }

    /// The frame of a text.
    pub(crate) fn text(text: String) -> Self {
        Self { head: Head::of(text.len()), body: text.into() }
    }

    /// Bytes that are left to write.
    pub(crate) fn len(&self) -> usize {
        self.head.left().len() + self.body.len()
    }

    /// The bytes that are left to write.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [self.head.left(), &self.body]
    }

    /// Notes that a number of bytes, at most all, are written.
    pub(crate) fn advance(&mut self, written: usize) {
        let of_head = written.min(self.head.left().len());
        self.head.start += of_head as u8;
        self.body.advance(written - of_head);
    }

    /// The text of a frame of which nothing is written: the session's own part, and the shared part.
    pub(crate) fn payload(&self) -> (&[u8], Bytes) {
        let own = match self.head.bytes[1] {
            127 => 10,
            126 => 4,
            _ => 2,
        };
        (self.head.left().get(own..).unwrap_or_default(), self.body.clone())
    }
}

fn text(message: &ServerMessage) -> String {
    // Plain structs and strings always serialise.
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
pub(in crate::live) mod tests {
    use clickwire_protocol::{
        alerts::{Alert, Change, Kind, News, Severity},
        finality::Progress,
        live::{Rate, ViewCell},
        times::{Minute, UnixMs},
    };
    use uuid::Uuid;

    use super::*;

    impl Frame {
        /// The message in a frame of which nothing is written.
        pub(in crate::live) fn message(&self) -> ServerMessage {
            let (own, shared) = self.payload();
            serde_json::from_slice(&[own, &shared].concat()).unwrap()
        }
    }

    /// An open incident in its first version.
    pub(in crate::live) fn incident() -> Alert {
        Alert::bare(Uuid::from_u128(1), Kind::Lag, "CLICKS", Severity::Critical)
    }

    fn messages(id: u32) -> Vec<ServerMessage> {
        let epoch = r#"an "id":0, of a kind"#.to_owned();
        let alert = incident();
        let change = Change { seq: 1, change: News::Opened, changed_at: String::new(), alert: alert.clone() };
        let cells = |n: usize| {
            vec![ViewCell { minute: Minute(1), group: vec!["ä\"".repeat(n)], counts: Default::default() }]
        };
        let rates = vec![Rate { second: 1, clicks: 2 }];
        vec![
            ServerMessage::Delta {
                id,
                epoch: epoch.clone(),
                from: 1,
                seq: 2,
                cells: vec![],
                rates: vec![],
                progress: Some(Progress::new(UnixMs(5), None)),
            },
            ServerMessage::Delta {
                id,
                epoch: epoch.clone(),
                from: 1,
                seq: 2,
                cells: cells(40),
                rates,
                progress: None,
            },
            ServerMessage::Snapshot {
                id,
                epoch,
                seq: 2,
                cells: cells(30_000),
                rates: vec![],
                progress: None,
            },
            ServerMessage::Alerts { id, seq: 3, total: 1, open: vec![alert] },
            ServerMessage::Alert { id, change: Box::new(change) },
        ]
    }

    #[test]
    fn a_shared_body_behind_a_head_is_the_message_as_it_would_be_encoded_alone() {
        for (place, shared) in messages(0).iter().enumerate() {
            let body = Body::new(shared, &InFlight::default());
            for id in [0, 1, 9, 10, 99, 100, 4_294_967_295] {
                let alone = Frame::of(&messages(id)[place]);
                let frame = body.frame(id);
                assert_eq!(frame.parts().concat(), alone.parts().concat(), "{id} {shared:?}");
                assert_eq!(frame.len(), alone.len());
                assert_eq!(frame.message(), messages(id)[place]);
            }
        }
    }

    #[test]
    fn lengths_are_told_as_the_protocol_has_them() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(Frame::text("x".repeat(length)).parts()[0], head, "{length}");
        }
    }

    #[test]
    fn a_frame_may_be_written_in_any_two_pieces() {
        let message = &messages(0)[0];
        let whole = Body::new(message, &InFlight::default()).frame(77);
        let bytes = whole.parts().concat();
        for written in 0..=bytes.len() {
            let mut rest = whole.clone();
            rest.advance(written);
            assert_eq!(rest.parts().concat(), bytes[written..]);
            assert_eq!(rest.len(), bytes.len() - written);
        }
    }

    #[test]
    fn bodies_count_once_for_as_long_as_a_session_holds_them() {
        let server = InFlight::limited(1_000, 4_000);
        let (one, other) = (server.of_another_feed(), server.of_another_feed());
        let message =
            ServerMessage::Error { id: None, code: "x".repeat(1_000), field: None, message: String::new() };
        let body = Body::new(&message, &one);
        let frames: Vec<Frame> = (0..1_000).map(|id| body.frame(id)).collect();
        drop(body);
        assert!(one.is_exceeded() && !other.is_exceeded());
        let more: Vec<Body> = (0..3).map(|_| Body::new(&message, &server.of_another_feed())).collect();
        assert!(other.is_exceeded(), "what all have in flight has a limit, too");
        drop(more);
        assert!(one.is_exceeded() && !other.is_exceeded());
        drop(frames);
        assert!(!one.is_exceeded());
        assert_eq!(server.all.load(Ordering::Relaxed), 0);
    }
}
