//! What happens to a session, what it wants done, and where it stands.

use clickwire_protocol::{
    feed::Position,
    ids::AdvertiserId,
    live::{ClientMessage, ServerMessage, View},
    times::Minute,
};

/// What happens to a session.
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
        /// What was said with it.
        reason: String,
    },
    /// What came of asking over HTTP, with the number of the question.
    Polled(u32, Polled),
    /// What came on a stream of events, with the stream's number.
    Streamed(u32, Streamed),
    /// A timer is due.
    Fired(Timer),
    /// The network is back, or somebody looks at the page again.
    Woken,
    /// Watch this advertiser.
    ChooseAdvertiser(AdvertiserId),
    /// Watch so many minutes.
    ChooseWindow(u32),
}

/// What came of asking over HTTP.
#[derive(Clone, Debug)]
pub enum Polled {
    /// A snapshot or a delta.
    Told(ServerMessage),
    /// The snapshot that the browser has kept, for the server can't be reached.
    Kept(ServerMessage),
    /// The viewer is not known any more.
    Refused,
    /// No answer, or none that can be used.
    Failed,
}

/// What came on a stream of events.
#[derive(Clone, Debug)]
pub enum Streamed {
    /// A snapshot or a delta.
    Told(ServerMessage),
    /// It ended, or none came about.
    Ended,
}

/// What a session wants done.
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
        /// Names the question.
        number: u32,
        /// What is watched.
        view: View,
        /// Where the state ends.
        since: Option<Position>,
    },
    /// Have what changes in a view sent over HTTP, as a stream of events. It replaces the one that there is.
    Stream {
        /// Names the stream.
        number: u32,
        /// What is watched.
        view: View,
    },
    /// Drop the stream without an event.
    EndStream,
    /// Fire a timer, once; it replaces the one of its name that runs.
    Set(Timer, u32),
    /// Stop a timer.
    Stop(Timer),
    /// Ask for the advertisers: names, and for the administrator whom there is to watch.
    ListAdvertisers,
    /// Ask for the names of an advertiser's campaigns.
    ListCampaigns(AdvertiserId),
    /// Ask what an advertiser's minutes before the window were, to compare the window with.
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

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet started.
    Idle,
    /// The socket opens, or the gateway has not welcomed yet.
    Connecting,
    /// Welcomed at this time, in milliseconds since the Unix epoch.
    Live(i64),
    /// Lost; connects again at this time.
    Waiting(i64),
    /// Closed for good, with this code.
    Refused(u16),
}
