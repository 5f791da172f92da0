//! All that the page knows. It changes in place; a version tells the components when to look.

use clickwire_protocol::{ids::AdvertiserId, settings::Settings};

use crate::{
    account::Credential,
    directory::Names,
    overview::Overview,
    palette::Palette,
    session::{Phase, Session},
};

/// What a tab opens with, in minutes.
pub const DEFAULT_WINDOW_MINUTES: u32 = 60;

/// The state behind the page.
#[derive(Clone, Debug)]
pub struct Model {
    /// The protocol's side.
    pub session: Session,
    /// Names of advertisers.
    pub advertisers: Names<AdvertiserId>,
    /// The list of advertisers could not be had.
    pub advertisers_missing: bool,
    /// Names of the watched advertiser's campaigns.
    pub campaigns: Names,
    /// How the deployment judges numbers, since it is known.
    pub settings: Option<Settings>,
    /// Colours.
    pub palette: Palette,
    /// Whether the browser believes that there is a network.
    pub online: bool,
    /// The server's clock minus this machine's, in milliseconds.
    pub ahead_ms: i64,
}

impl Model {
    /// Before anything is known.
    pub fn new(credential: Credential) -> Self {
        Self {
            session: Session::new(credential, DEFAULT_WINDOW_MINUTES),
            advertisers: Names::new(),
            advertisers_missing: false,
            campaigns: Names::new(),
            settings: None,
            palette: Palette::default(),
            online: true,
            ahead_ms: 0,
        }
    }

    /// The overview at `now_ms`; colours follow it.
    pub fn overview(&mut self, now_ms: i64) -> Overview {
        let overview = Overview::new(&self.session.state, now_ms, self.session.window_minutes);
        self.palette.show(overview.campaigns.iter().map(|campaign| campaign.id.as_str()));
        overview
    }

    /// The connection, for people, at `now_ms`.
    pub fn status(&self, now_ms: i64) -> Status {
        match self.session.phase {
            Phase::Live(_) if self.session.settled => Status::Live,
            Phase::Live(_) | Phase::Idle => Status::Connecting,
            Phase::Refused(code) => Status::Refused(code),
            Phase::Connecting | Phase::Waiting(_) if self.session.polled => Status::Polling,
            Phase::Connecting | Phase::Waiting(_) if !self.online => Status::Offline,
            Phase::Connecting if self.session.heard_ms.is_some() => Status::Reconnecting { seconds: 0 },
            Phase::Connecting => Status::Connecting,
            Phase::Waiting(until_ms) => {
                Status::Reconnecting { seconds: (until_ms - now_ms).max(0).div_euclid(1000) + 1 }
            }
        }
    }

    /// The watched advertiser's name, or its id.
    pub fn advertiser_name(&self) -> Option<&str> {
        let id = self.session.advertiser_id.as_ref()?;
        Some(self.advertisers.get(id).map_or(id.as_str(), String::as_str))
    }
}

/// The connection, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Numbers are as the gateway has them.
    Live,
    /// Numbers are asked for every few seconds, for want of a socket.
    Polling,
    /// Not yet.
    Connecting,
    /// Lost; tries again in so many seconds.
    Reconnecting {
        /// Whole seconds; 0: right now.
        seconds: i64,
    },
    /// No network.
    Offline,
    /// Closed for good, with this code.
    Refused(u16),
}

impl Status {
    /// Whether the numbers on the screen are being kept up.
    pub fn is_current(self) -> bool {
        matches!(self, Self::Live | Self::Polling)
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::live::close;

    use super::*;

    #[test]
    fn the_status_says_what_a_person_can_expect() {
        let mut model = Model::new(Credential::Token("secret".into()));
        assert_eq!(model.status(0), Status::Connecting);
        model.session.phase = Phase::Live(0);
        assert_eq!(model.status(0), Status::Connecting, "no numbers yet");
        model.session.settled = true;
        assert_eq!(model.status(0), Status::Live);
        model.session.phase = Phase::Waiting(3_500);
        assert_eq!(model.status(1_000), Status::Reconnecting { seconds: 3 });
        model.session.heard_ms = Some(0);
        model.session.phase = Phase::Connecting;
        assert_eq!(model.status(1_000), Status::Reconnecting { seconds: 0 });
        model.session.polled = true;
        assert_eq!(model.status(1_000), Status::Polling);
        model.session.polled = false;
        model.online = false;
        assert_eq!(model.status(1_000), Status::Offline);
        model.session.phase = Phase::Refused(close::UNAUTHORIZED);
        assert_eq!(model.status(1_000), Status::Refused(close::UNAUTHORIZED));
    }

    #[test]
    fn ids_stand_in_for_names() {
        let mut model = Model::new(Credential::Token("secret".into()));
        assert_eq!(model.advertiser_name(), None);
        let id = AdvertiserId::unchecked("adv_001");
        model.session.advertiser_id = Some(id.clone());
        assert_eq!(model.advertiser_name(), Some("adv_001"));
        model.advertisers.insert(id, "Northwind".into());
        assert_eq!(model.advertiser_name(), Some("Northwind"));
    }
}
