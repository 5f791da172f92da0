//! The state of the page. It changes in place; a version tells the components when to look.

use std::rc::Rc;

use clickwire_protocol::{ids::AdvertiserId, settings::Settings};

use crate::{
    account::Credential,
    directory::Names,
    freshness::{Delay, POLLED_SILENT_MS, SILENT_MS},
    overview::Overview,
    session::{Phase, Session},
};

/// The window of a new tab, in minutes.
pub const DEFAULT_WINDOW_MINUTES: u32 = 60;

/// The state behind the page.
#[derive(Clone, Debug)]
pub struct Model {
    /// The protocol's side.
    pub session: Session,
    /// Names of advertisers.
    pub advertisers: Rc<Names<AdvertiserId>>,
    /// The list of advertisers could not be had.
    pub advertisers_missing: bool,
    /// Names of the watched advertiser's campaigns.
    pub campaigns: Rc<Names>,
    /// Rules by which the deployment judges numbers; `None`: not known yet.
    pub settings: Option<Settings>,
    /// The browser reports that there is a network.
    pub online: bool,
}

impl Model {
    /// Returns a model in which nothing is known yet.
    pub fn new(credential: Credential) -> Self {
        Self {
            session: Session::new(credential, DEFAULT_WINDOW_MINUTES),
            advertisers: Rc::default(),
            advertisers_missing: false,
            campaigns: Rc::default(),
            settings: None,
            online: true,
        }
    }

    /// Takes the names of an advertiser's campaigns; `None`: they could not be had. Returns whether they are to be asked
    /// for again.
    pub fn learn_campaigns(&mut self, advertiser_id: &AdvertiserId, names: Option<Names>) -> bool {
        if self.session.advertiser_id.as_ref() != Some(advertiser_id) {
            return false;
        }
        let is_missing = names.is_none();
        if let Some(names) = names {
            self.campaigns = Rc::new(names);
        }
        is_missing
    }

    /// Returns the overview at `now_ms`, by this machine's clock. While numbers are not up to date it stays at the time
    /// up to which they are known.
    pub fn overview(&self, now_ms: i64) -> Overview {
        let session = &self.session;
        let is_live = self.status(now_ms).is_live();
        let now_ms = session.freshness.server_now_ms(now_ms);
        let edge_ms = match session.freshness.as_of_ms().filter(|_| !is_live) {
            Some(as_of_ms) => as_of_ms.min(now_ms),
            None => now_ms,
        };
        let mut overview = Overview::new(&session.board, edge_ms, session.window_minutes);
        if is_live && let Some(from) = session.rates_from {
            overview.measure(&session.state.rates, from);
        }
        overview
    }

    /// Returns the status of the numbers for people, at `now_ms` by this machine's clock.
    pub fn status(&self, now_ms: i64) -> Status {
        let session = &self.session;
        let silence_ms = session.freshness.silence_ms(now_ms);
        let heard = |limit_ms: i64, status: Status| {
            if silence_ms >= limit_ms {
                return Status::Offline(Cause::Silence);
            }
            session.freshness.delay(now_ms).map_or(status, Status::Delayed)
        };
        match session.phase {
            Phase::Refused(code) => Status::Refused(code),
            Phase::Live(_) if session.settled && session.current => heard(SILENT_MS, Status::Live),
            Phase::Connecting | Phase::Waiting(_) if session.streamed => heard(SILENT_MS, Status::Streaming),
            Phase::Connecting | Phase::Waiting(_) if session.polled => {
                heard(POLLED_SILENT_MS, Status::Polling)
            }
            Phase::Connecting | Phase::Waiting(_) if !self.online => Status::Offline(Cause::NoNetwork),
            Phase::Waiting(until_ms) => {
                let seconds = (until_ms - now_ms).max(0).div_euclid(1000) + 1;
                Status::Offline(Cause::Lost { seconds })
            }
            Phase::Live(_) | Phase::Connecting if session.settled => {
                Status::Offline(Cause::Lost { seconds: 0 })
            }
            Phase::Idle | Phase::Connecting | Phase::Live(_) => Status::Connecting,
        }
    }

    /// The watched advertiser's name, or its id.
    pub fn advertiser_name(&self) -> Option<&str> {
        let id = self.session.advertiser_id.as_ref()?;
        Some(self.advertisers.get(id).map_or(id.as_str(), String::as_str))
    }
}

/// The status of the numbers on the screen, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The numbers are as the gateway has them, and it has all.
    Live,
    /// The numbers are live, over HTTP, for want of a socket.
    Streaming,
    /// The numbers are live, asked for every few seconds, for want of a stream.
    Polling,
    /// The numbers come from a gateway that does not have all: a stage on the way of a click stands still, or is slow.
    Delayed(Delay),
    /// The connection is not there yet.
    Connecting,
    /// No numbers come.
    Offline(Cause),
    /// Closed for good, with this code.
    Refused(u16),
}

/// The reason why no numbers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The browser has no network.
    NoNetwork,
    /// The gateway does not answer.
    Silence,
    /// The connection is lost; it is tried again after `seconds`.
    Lost {
        /// Whole seconds; 0: right now.
        seconds: i64,
    },
}

impl Status {
    /// Returns whether the numbers on the screen are up to date.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::Streaming | Self::Polling)
    }

    /// Returns whether the numbers on the screen are those of an earlier time.
    pub fn is_stale(self) -> bool {
        matches!(self, Self::Delayed(_) | Self::Offline(_) | Self::Refused(_))
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{
        finality::Progress,
        live::close,
        times::{Minute, UnixMs},
    };

    use super::*;
    use crate::board::tests::cells;

    /// A model that is live at 0, with numbers that are so far behind.
    fn live(lag_ms: i64) -> Model {
        let mut model = Model::new(Credential::Token("secret".into()));
        let session = &mut model.session;
        (session.phase, session.settled, session.current) = (Phase::Live(0), true, true);
        session.freshness.heard(0);
        session.freshness.told(Some(Progress::new(UnixMs(0), Some(UnixMs(-lag_ms)))), 0);
        model
    }

    #[test]
    fn the_status_says_what_the_numbers_are_worth() {
        assert_eq!(Model::new(Credential::Cookie).status(0), Status::Connecting);
        let lost = |seconds| Status::Offline(Cause::Lost { seconds });
        type Change = fn(&mut Model);
        let table: [(&str, i64, i64, Change, Status); 17] = [
            ("all is well", 1_000, 1_000, |_| {}, Status::Live),
            ("the gateway has said nothing for long", 0, SILENT_MS, |_| {}, Status::Offline(Cause::Silence)),
            (
                "it has, but not how far it is",
                0,
                SILENT_MS,
                |model| model.session.freshness.heard(SILENT_MS),
                Status::Live,
            ),
            ("the aggregator is frozen", 700, 3_400, |_| {}, Status::Delayed(Delay::Ms(4_100))),
            ("a backlog", 60_000, 0, |_| {}, Status::Delayed(Delay::Ms(60_000))),
            (
                "nothing was ever counted",
                0,
                0,
                |model| model.session.freshness.told(Some(Progress::new(UnixMs(0), None)), 0),
                Status::Delayed(Delay::Unknown),
            ),
            (
                "no numbers yet",
                0,
                0,
                |model| (model.session.settled, model.session.current) = (false, false),
                Status::Connecting,
            ),
            ("back, and not yet up to date", 0, 0, |model| model.session.current = false, lost(0)),
            ("lost", 0, 1_000, |model| model.session.phase = Phase::Waiting(3_500), lost(3)),
            ("tried again", 0, 1_000, |model| model.session.phase = Phase::Connecting, lost(0)),
            (
                "by asking",
                0,
                SILENT_MS,
                |model| (model.session.phase, model.session.polled) = (Phase::Connecting, true),
                Status::Polling,
            ),
            (
                "by asking, without an answer",
                0,
                POLLED_SILENT_MS,
                |model| (model.session.phase, model.session.polled) = (Phase::Connecting, true),
                Status::Offline(Cause::Silence),
            ),
            (
                "by events over HTTP",
                0,
                1_500,
                |model| (model.session.phase, model.session.streamed) = (Phase::Connecting, true),
                Status::Streaming,
            ),
            (
                "by events, and none comes",
                0,
                SILENT_MS,
                |model| (model.session.phase, model.session.streamed) = (Phase::Waiting(9), true),
                Status::Offline(Cause::Silence),
            ),
            (
                "without a network",
                0,
                0,
                |model| (model.session.phase, model.online) = (Phase::Waiting(9), false),
                Status::Offline(Cause::NoNetwork),
            ),
            ("a gateway on this machine needs none", 0, 0, |model| model.online = false, Status::Live),
            (
                "for good",
                0,
                0,
                |model| model.session.phase = Phase::Refused(close::UNAUTHORIZED),
                Status::Refused(close::UNAUTHORIZED),
            ),
        ];
        for (what, lag_ms, now_ms, change, expected) in table {
            let mut model = live(lag_ms);
            change(&mut model);
            assert_eq!(model.status(now_ms), expected, "{what}");
            assert_eq!(expected.is_stale(), !expected.is_live() && expected != Status::Connecting);
        }
    }

    #[test]
    fn a_screen_that_is_not_up_to_date_stands_still_and_measures_nothing() {
        const AT: i64 = 100 * 60_000 + 20_000;
        let mut model = live(0);
        model.session.board.replace(Minute(41), cells(&[(40, "a", 1, 0), (100, "a", 60, 0)]));
        model.session.freshness.told(Some(Progress::new(UnixMs(AT), Some(UnixMs(AT - 500)))), 0);
        (model.session.rates_from, model.session.window_minutes) = (Some(AT / 1_000 - 2), 60);
        let overview = model.overview(0);
        assert_eq!((overview.edge_ms, overview.total.clicks()), (AT, 60));
        assert_eq!(overview.per_second(), Some(0.0));
        for now_ms in [SILENT_MS, 60_000, 3 * 3_600_000] {
            let overview = model.overview(now_ms);
            assert_eq!((overview.edge_ms, overview.total.clicks()), (AT - 500, 60), "{now_ms}");
            assert_eq!(overview.per_second(), None);
        }
    }

    #[test]
    fn names_of_campaigns_are_asked_for_until_they_are_there_or_nobody_watches() {
        let mut model = Model::new(Credential::Token("secret".into()));
        let [watched, other] = ["adv_001", "adv_002"].map(AdvertiserId::unchecked);
        model.session.advertiser_id = Some(watched.clone());
        let names = Names::from([("camp_001".into(), "Spring sale".into())]);
        assert!(model.learn_campaigns(&watched, None));
        assert!(!model.learn_campaigns(&other, None) && !model.learn_campaigns(&other, Some(names.clone())));
        assert!(model.campaigns.is_empty(), "they are another advertiser's");
        assert!(!model.learn_campaigns(&watched, Some(names.clone())));
        assert_eq!(*model.campaigns, names);
        assert!(model.learn_campaigns(&watched, None) && *model.campaigns == names, "names stay");
    }

    #[test]
    fn ids_stand_in_for_names() {
        let mut model = Model::new(Credential::Token("secret".into()));
        assert_eq!(model.advertiser_name(), None);
        let id = AdvertiserId::unchecked("adv_001");
        model.session.advertiser_id = Some(id.clone());
        assert_eq!(model.advertiser_name(), Some("adv_001"));
        model.advertisers = Rc::new(Names::from([(id, "Northwind".into())]));
        assert_eq!(model.advertiser_name(), Some("Northwind"));
    }
}
