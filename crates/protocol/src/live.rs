//! The WebSocket protocol between gateway and dashboards: subprotocol `clickwire.v1`, JSON text
//! frames, `type` first.
//!
//! A session authenticates in its first frame (by a token, or by the handshake's cookie), subscribes to views,
//! and receives a snapshot of each followed by deltas. Both carry absolute values: a client keeps
//! the last value of each cell and is right, whatever it missed in between.
//!
//! News about incidents is the exception: each piece is sent once and in order, after a snapshot of the
//! incidents that are open. A session too slow for that is closed with [`close::TOO_SLOW`] and begins
//! with a snapshot when it comes back.

mod reading;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    alerts::{Alert, Change},
    analytics::Dimension,
    counts::{Counts, DeviceType, Dimensions},
    feed::Position,
    finality::Progress,
    ids::{self, AdId, AdvertiserId, CampaignId},
    object::{self, Fault},
    times::Minute,
};

pub use reading::Unreadable;

/// The WebSocket subprotocol (RFC 6455, section 1.9).
pub const SUBPROTOCOL: &str = "clickwire.v1";

/// Longest message a client may send, in bytes.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 16 * 1024;

/// Seconds up to now of which a gateway tells how many clicks were counted in each.
pub const RATE_SECONDS: i64 = 60;

/// A view that nothing else is told of is told of at least this often, in milliseconds, unless its client wants
/// messages less often: so that silence means that something is broken.
pub const PROGRESS_MS: i64 = 1_500;

/// The longest window of a view, in minutes.
pub const MAX_WINDOW_MINUTES: u32 = 240;

/// WebSocket close codes. 3000 to 3499: reconnect, with jitter; 3500 to 3999: don't.
pub mod close {
    /// No answer to heartbeats.
    pub const HEARTBEAT_TIMEOUT: u16 = 3000;
    /// The server can't serve the session now.
    pub const TRY_AGAIN_LATER: u16 = 3001;
    /// The session took news about incidents more slowly than it came, or nothing at all while too much was waiting for
    /// sessions of its feed.
    pub const TOO_SLOW: u16 = 3002;
    /// The server goes away. The reason is a number: how many milliseconds to wait before connecting again,
    /// so that not everybody comes at once.
    pub const RECONNECT: u16 = 3003;
    /// The account has as many sessions as it may have.
    pub const TOO_MANY_SESSIONS: u16 = 3005;
    /// The token's time is up, or who showed it may see something else now: connect again, with a token that
    /// is good.
    pub const AUTHENTICATE_AGAIN: u16 = 3004;
    /// The session did not authenticate in time.
    pub const AUTH_TIMEOUT: u16 = 3500;
    /// The token is not known, or is not good any more: sign in again.
    pub const UNAUTHORIZED: u16 = 3501;
    /// A message that the protocol does not have.
    pub const PROTOCOL_ERROR: u16 = 3502;
    /// A message of more than [`MAX_CLIENT_MESSAGE_BYTES`](super::MAX_CLIENT_MESSAGE_BYTES).
    pub const TOO_LONG: u16 = 3503;
    /// More messages than anybody needs.
    pub const TOO_MANY_MESSAGES: u16 = 3504;

    /// Returns the wait before connecting again that a server asks for when it goes away, in milliseconds: half a
    /// minute at most, whatever it says.
    pub fn wait_ms(code: u16, reason: &str) -> Option<u32> {
        let asked: u32 = reason.parse().ok().filter(|_| code == RECONNECT)?;
        Some(asked.min(30_000))
    }

    /// Returns whether a client that was closed with `code` should come back by itself.
    pub fn may_reconnect(code: u16) -> bool {
        !(3500..4000).contains(&code)
    }
}

/// The longest `min_interval_ms` that a client may ask for.
pub const MAX_INTERVAL_MS: u32 = 60_000;

/// A message from the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// The token of the client; must be the first message, within 10 s.
    Auth {
        /// A token; without one the cookie counts that came with the handshake.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// Start watching a view.
    Subscribe {
        /// Names the subscription in this session, chosen by the client.
        id: u32,
        /// The topic to watch.
        #[serde(deserialize_with = "object::object")]
        view: Topic,
        /// The end of the client's state of this same view, to be sent only what changed since. Of
        /// incidents a snapshot is sent anyway.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
        since: Option<Position>,
        /// The time between two messages about changes, in milliseconds, at least; up to [`MAX_INTERVAL_MS`].
        /// Without it changes come as often as the gateway tells anybody. `every_ms` is its old name.
        #[serde(default, skip_serializing_if = "Option::is_none", alias = "every_ms")]
        min_interval_ms: Option<u32>,
    },
    /// Stop watching.
    Unsubscribe {
        /// The subscription.
        id: u32,
    },
    /// A request for a [`ServerMessage::Pong`].
    Ping {},
}

/// A message from the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The session is authenticated.
    Welcome {
        /// Names the session in logs.
        session: String,
        /// The gateway pings this often, in milliseconds, and closes when two stay unanswered.
        heartbeat_ms: u64,
        /// The advertisers whose data the session may watch; `None`: all.
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
        advertisers: Option<Vec<AdvertiserId>>,
    },
    /// The whole state of a view; replaces what the client has.
    Snapshot {
        /// The subscription.
        id: u32,
        /// The feed's life.
        epoch: String,
        /// The last feed message contained.
        seq: u64,
        /// All cells of the view.
        cells: Vec<ViewCell>,
        /// Clicks that were counted in each of the last seconds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rates: Vec<Rate>,
        /// The progress of the view's counting.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<Progress>,
    },
    /// Cells that changed, as they are now. Without cells it tells how far the view is counted: it comes within
    /// [`PROGRESS_MS`] when nothing else is to be told.
    Delta {
        /// The subscription.
        id: u32,
        /// The feed's life.
        epoch: String,
        /// The `seq` that the client must have; if it has another it subscribes again.
        from: u64,
        /// The last feed message contained.
        seq: u64,
        /// The cells.
        cells: Vec<ViewCell>,
        /// Seconds of which more is known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rates: Vec<Rate>,
        /// The progress of the view's counting, if that was not told in the last second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<Progress>,
    },
    /// The feed began a new life: a snapshot follows.
    Reset {
        /// The subscription.
        id: u32,
    },
    /// The incidents that are open; replaces what the client has.
    Alerts {
        /// The subscription.
        id: u32,
        /// The last news contained.
        seq: i64,
        /// The number of open incidents.
        total: i64,
        /// The latest of them.
        open: Vec<Alert>,
    },
    /// One piece of news about an incident.
    Alert {
        /// The subscription.
        id: u32,
        /// The news.
        #[serde(flatten)]
        change: Box<Change>,
    },
    /// A request that was refused; the session goes on.
    Error {
        /// The subscription, if it was about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// A stable code, for programs.
        code: String,
        /// The field of the request that is wrong, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// The message, for people.
        message: String,
    },
    /// Answer to [`ClientMessage::Ping`].
    Pong,
}

/// A topic that can be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Topic {
    /// Clicks by minute.
    Clicks(View),
    /// Incidents, for operators.
    Alerts {},
}

/// Clicks to watch: filters, grouping and window. Equal views share one state on the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The advertiser of the clicks.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub advertiser_id: AdvertiserId,
    /// Only clicks that match all of these.
    #[serde(default, deserialize_with = "object::object")]
    pub filters: Filters,
    /// One cell a minute and combination of these; empty: one cell a minute.
    #[serde(default)]
    pub group_by: Vec<Dimension>,
    /// Minutes up to now, 1 to [`MAX_WINDOW_MINUTES`].
    pub window_minutes: u32,
}

/// Conditions on dimensions; a condition that is absent holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// The campaign of the clicks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub campaign_id: Option<CampaignId>,
    /// The ad of the clicks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ad_id: Option<AdId>,
    /// The country of the clicks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The type of device of the clicks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceType>,
}

impl Filters {
    /// Returns whether all conditions hold for `dimensions`.
    pub fn admit(&self, dimensions: &Dimensions) -> bool {
        self.campaign_id.as_ref().is_none_or(|wanted| *wanted == dimensions.campaign_id)
            && self.ad_id.as_ref().is_none_or(|wanted| *wanted == dimensions.ad_id)
            && self.country.as_ref().is_none_or(|wanted| *wanted == dimensions.country)
            && self.device_type.is_none_or(|wanted| wanted == dimensions.device_type)
    }
}

impl View {
    /// The same view as it is watched, whichever door it came through: its values as they are stored; or
    /// the field that is wrong.
    pub fn checked(mut self) -> Result<Self, Fault> {
        let wrong = |field: &str, message: String| Fault { field: Some(field.to_owned()), message };
        let Filters { campaign_id, ad_id, country, device_type: _ } = &mut self.filters;
        for (field, id) in [
            ("advertiser_id", Some(self.advertiser_id.as_str())),
            ("campaign_id", campaign_id.as_ref().map(CampaignId::as_str)),
            ("ad_id", ad_id.as_ref().map(AdId::as_str)),
        ] {
            id.map_or(Ok(()), ids::check).map_err(|message| wrong(field, message))?;
        }
        if let Some(text) = country {
            *text = Dimension::Country.value(text).map_err(|message| wrong("country", message))?;
        }
        Dimension::each_once(&self.group_by).map_err(|message| wrong("group_by", message))?;
        if !(1..=MAX_WINDOW_MINUTES).contains(&self.window_minutes) {
            return Err(wrong("window_minutes", format!("From 1 to {MAX_WINDOW_MINUTES}.")));
        }
        Ok(self)
    }

    /// The group that clicks with `dimensions` belong to: one value for each of `group_by`.
    pub fn group_of(&self, dimensions: &Dimensions) -> Vec<String> {
        self.group_by
            .iter()
            .map(|dimension| match dimension {
                Dimension::CampaignId => dimensions.campaign_id.as_str().to_owned(),
                Dimension::AdId => dimensions.ad_id.as_str().to_owned(),
                Dimension::Country => dimensions.country.clone(),
                Dimension::DeviceType => dimensions.device_type.as_str().to_owned(),
            })
            .collect()
    }

    /// The first minute of the window when the present minute is `now_minute`.
    pub fn first_minute(&self, now_minute: Minute) -> Minute {
        now_minute - i64::from(self.window_minutes) + 1
    }
}

/// One minute of one group of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewCell {
    /// Minutes since the Unix epoch.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub minute: Minute,
    /// The values of the view's `group_by`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
    /// Absolute counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Number of clicks of a view that were counted in one second: for a curve that moves. A gateway knows of those that it
/// has seen since somebody began to watch; the exact counts are in the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rate {
    /// Seconds since the Unix epoch, by the gateway's clock.
    pub second: i64,
    /// Clicks that were counted in it so far, whenever they were made.
    pub clicks: i64,
}

/// A client's state of one view: what dashboards and test clients keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewState {
    /// The position up to which the state is complete; `None` before the first snapshot.
    pub position: Option<Position>,
    /// Counts by minute and group.
    pub cells: BTreeMap<(Minute, Vec<String>), Counts>,
    /// Clicks by the second in which they were counted, of the last [`RATE_SECONDS`] in which any were.
    pub rates: BTreeMap<i64, i64>,
    /// The progress of the view's counting, as was told last.
    pub progress: Option<Progress>,
}

/// The effect of a message on a client's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The state is up to date with the message.
    Yes,
    /// The message does not follow the state: subscribe again.
    Gap,
}

impl ViewState {
    /// Replaces everything by a snapshot.
    pub fn replace(&mut self, epoch: String, seq: u64, cells: Vec<ViewCell>) {
        self.cells = cells.into_iter().map(|cell| ((cell.minute, cell.group), cell.counts)).collect();
        self.position = Some(Position { epoch, seq });
    }

    /// Takes a delta's cells if it follows this state.
    pub fn apply(&mut self, epoch: &str, from: u64, seq: u64, cells: Vec<ViewCell>) -> Applied {
        match &mut self.position {
            Some(position) if position.epoch == epoch && position.seq == from => {
                position.seq = seq;
                self.cells.extend(cells.into_iter().map(|cell| ((cell.minute, cell.group), cell.counts)));
                Applied::Yes
            }
            Some(_) | None => Applied::Gap,
        }
    }

    /// Takes a message's rates, and the progress of the view's counting.
    pub fn note(&mut self, rates: &[Rate], progress: Option<Progress>) {
        self.progress = progress.or(self.progress);
        self.rates.extend(rates.iter().map(|rate| (rate.second, rate.clicks)));
        if let Some((&last, _)) = self.rates.last_key_value() {
            self.rates = self.rates.split_off(&(last - RATE_SECONDS + 1));
        }
    }

    /// Forgets minutes before `first_minute`, which have left the window.
    pub fn forget_before(&mut self, first_minute: Minute) {
        self.cells = self.cells.split_off(&(first_minute, Vec::new()));
    }

    /// Sum over all cells.
    pub fn total(&self) -> Counts {
        self.cells.values().copied().sum()
    }
}
