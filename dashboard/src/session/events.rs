//! The events, effects and phases of a session.

use clickwire_protocol::{
    feed::Position,
    ids::AdvertiserId,
    live::{ClientMessage, ServerMessage, View},
    times::Minute,
};

/// An event of a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// Connect, for the first time or because a person asks.
    Start,
    /// The socket is open.
    Opened,
    /// A message came.
    Received(ServerMessage),
    /// The socket closed, or could not be opened.
    Closed {
        /// Its close code.
        code: u16,
        /// Reason that came with it.
        reason: String,
    },
    /// Answer to a question over HTTP, with the number of the question.
    Polled(u32, Polled),
    /// Event on a stream, with the stream's number.
    Streamed(u32, Streamed),
    /// A timer is due.
    Fired(Timer),
    /// The network is back, or somebody looks at the page again.
    Woken,
    /// Watch this advertiser.
    ChooseAdvertiser(AdvertiserId),
    /// Watch a window of this many minutes.
    ChooseWindow(u32),
}

/// The answer to a question over HTTP.
#[derive(Clone, Debug)]
pub enum Polled {
    /// A snapshot or a delta.
    Told(ServerMessage),
    /// The snapshot that the browser has kept, for the server can't be reached.
    Kept(ServerMessage),
    /// The viewer is not signed in any more.
    Refused,
    /// No answer, or none that can be used.
    Failed,
}

/// The event on a stream.
#[derive(Clone, Debug)]
pub enum Streamed {
    /// A message: a snapshot, a delta, or news about incidents.
    Told(ServerMessage),
    /// The stream ended, or none came about.
    Ended,
}

/// An action that a session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a socket; one that is open is dropped without an event.
    Open,
    /// Drop the socket without an event.
    Close,
    /// Send a message.
    Send(ClientMessage),
    /// Ask over HTTP what has changed in a view.
    Poll {
        /// Number of the question.
        number: u32,
        /// View that is watched.
        view: View,
        /// Position at which the state ends.
        since: Option<Position>,
    },
    /// Ask for a view's changes over HTTP, as a stream of events. It replaces the stream that there is.
    Stream {
        /// Number of the stream.
        number: u32,
        /// View that is watched.
        view: View,
        /// The shortest time between two events about changes, in milliseconds.
        min_interval_ms: Option<u32>,
    },
    /// Drop the stream without an event.
    EndStream,
    /// Fire a timer, once; it replaces the one of its name that runs.
    Set(Timer, u32),
    /// Stop a timer.
    Stop(Timer),
    /// Ask for the advertisers: their names, and those that a viewer of all advertisers can watch.
    ListAdvertisers,
    /// Ask for the names of an advertiser's campaigns.
    ListCampaigns(AdvertiserId),
    /// Ask for the counts of an advertiser's minutes before the window, to compare the window with.
    AskPast {
        /// The advertiser of the minutes.
        advertiser_id: AdvertiserId,
        /// The first minute.
        from: Minute,
        /// The first minute after them.
        to: Minute,
    },
}

/// A session's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The handshake takes too long.
    Handshake,
    /// Time to connect again.
    Retry,
    /// Time to look whether the server is still there.
    Heartbeat,
    /// Time to ask over HTTP.
    Poll,
    /// The stream of events has been silent for too long.
    Stream,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Handshake, Self::Retry, Self::Heartbeat, Self::Poll, Self::Stream];
}

/// The phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The session is not yet started.
    Idle,
    /// The socket opens, or the gateway has not welcomed yet.
    Connecting,
    /// The gateway welcomed it at this time, in milliseconds since the Unix epoch.
    Live(i64),
    /// The connection is lost; the session connects again at this time, in milliseconds since the Unix epoch.
    Waiting(i64),
    /// Closed for good, with this code.
    Refused(u16),
}
