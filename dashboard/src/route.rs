//! Pages by address, and who may see them.

mod name;

use clickwire_protocol::{
    pages::{ADDRESSES, Bundle},
    rules::parameters,
};
use uuid::Uuid;

pub use self::name::Name;
use crate::{api::Role, query, words};

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// An advertiser's clicks as they happen.
    Overview,
    /// Any question about any range.
    Explore,
    /// Single clicks.
    Clicks,
    /// The statement of an advertiser's billed clicks, by month.
    Statement,
    /// Exports that are made again and again, and files.
    Reports,
    /// Links of an advertiser's ads, to copy and to try out.
    Links,
    /// One campaign of an advertiser.
    Campaign(Name),
    /// One ad of an advertiser.
    Ad(Name),
    /// All advertisers together.
    Deployment,
    /// All advertisers, on a screen that is read from afar.
    Wall,
    /// The API, for programs.
    Developers,
    /// Incidents, and the one that is looked at.
    Incidents(Option<Uuid>),
    /// The way of a click, stage by stage.
    Pipeline,
    /// Messages that could not be counted, and the one that is looked at.
    DeadLetters(Option<u64>),
    /// Fraud rules, and the one that is looked at.
    Rules(Option<&'static str>),
    /// Disk, and how long data is kept.
    Storage,
    /// The first steps of an empty deployment.
    Setup,
    /// Registered advertisers.
    Advertisers,
    /// Registered campaigns.
    Campaigns,
    /// Registered ads.
    Ads,
    /// Keys of programs that post.
    Keys,
    /// Clicks for trying things out.
    TestClicks,
    /// People.
    Accounts,
    /// The audit log: changes, and who made them.
    Audit,
    /// The viewer's own account.
    Account,
}

/// Pages of the rail that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The section of clicks.
    Clicks,
    /// The section of an operator's work.
    Operations,
    /// The section of an administrator's settings.
    Administration,
}

impl Section {
    /// Every section, in the rail's order.
    pub const ALL: [Self; 3] = [Self::Clicks, Self::Operations, Self::Administration];

    /// Returns the title for people.
    pub fn title(self) -> words::Text {
        match self {
            Self::Clicks => words::SECTION_CLICKS,
            Self::Operations => words::SECTION_OPERATIONS,
            Self::Administration => words::SECTION_ADMINISTRATION,
        }
    }
}

impl Route {
    /// Pages that are reached from elsewhere than the rail.
    pub const BESIDE: [Self; 3] = [Self::Wall, Self::Setup, Self::Account];

    /// The pages of the rail, in its order.
    pub const RAIL: [Self; 20] = [
        Self::Overview,
        Self::Explore,
        Self::Clicks,
        Self::Statement,
        Self::Links,
        Self::Reports,
        Self::Developers,
        Self::Deployment,
        Self::Incidents(None),
        Self::Pipeline,
        Self::DeadLetters(None),
        Self::Rules(None),
        Self::Storage,
        Self::Advertisers,
        Self::Campaigns,
        Self::Ads,
        Self::Keys,
        Self::TestClicks,
        Self::Accounts,
        Self::Audit,
    ];

    /// The page at a path.
    pub fn read(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        match (first, second, third) {
            (Some("incidents"), Some(id), None) => {
                return Uuid::try_parse(id).ok().map(|id| Self::Incidents(Some(id)));
            }
            (Some("dead-letters"), Some(sequence), None) => {
                return sequence.parse().ok().map(|sequence| Self::DeadLetters(Some(sequence)));
            }
            (Some("campaigns"), Some(id), None) => return Name::new(&query::decode(id)).map(Self::Campaign),
            (Some("ads"), Some(id), None) => return Name::new(&query::decode(id)).map(Self::Ad),
            (Some("rules"), Some(rule), None) => {
                return parameters::named(rule).map(|rule| Self::Rules(Some(rule)));
            }
            _ => {}
        }
        if second.is_some() {
            return None;
        }
        let base = format!("/{}", first.unwrap_or_default());
        Self::RAIL.into_iter().chain(Self::BESIDE).find(|route| route.base() == base)
    }

    /// Its path.
    pub fn path(self) -> String {
        match self {
            Self::Incidents(Some(id)) => format!("/incidents/{id}"),
            Self::DeadLetters(Some(sequence)) => format!("/dead-letters/{sequence}"),
            Self::Campaign(id) => format!("/campaigns/{}", id.as_str()),
            Self::Ad(id) => format!("/ads/{}", id.as_str()),
            Self::Rules(Some(rule)) => format!("/rules/{rule}"),
            other => other.base().to_owned(),
        }
    }

    /// Returns its path without the entry that is open in it: one for each entry of the rail.
    pub fn base(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Explore => "/explore",
            Self::Clicks => "/clicks",
            Self::Statement => "/statement",
            Self::Reports => "/reports",
            Self::Links => "/links",
            Self::Deployment => "/deployment",
            Self::Wall => "/wall",
            Self::Developers => "/developers",
            Self::Incidents(_) => "/incidents",
            Self::Pipeline => "/pipeline",
            Self::DeadLetters(_) => "/dead-letters",
            Self::Rules(_) => "/rules",
            Self::Storage => "/storage",
            Self::Setup => "/setup",
            Self::Advertisers => "/advertisers",
            Self::Campaigns | Self::Campaign(_) => "/campaigns",
            Self::Ads | Self::Ad(_) => "/ads",
            Self::Keys => "/keys",
            Self::TestClicks => "/test-clicks",
            Self::Accounts => "/accounts",
            Self::Audit => "/audit",
            Self::Account => "/account",
        }
    }

    /// Returns the title for people.
    pub fn title(self) -> words::Text {
        match self {
            Self::Overview => words::OVERVIEW,
            Self::Explore => words::EXPLORE,
            Self::Clicks => words::FIND_CLICKS,
            Self::Statement => words::STATEMENT,
            Self::Reports => words::REPORTS,
            Self::Links => words::LINKS,
            Self::Campaign(_) => words::CAMPAIGN,
            Self::Ad(_) => words::AD,
            Self::Deployment => words::ALL_ADVERTISERS,
            Self::Wall => words::WALL,
            Self::Developers => words::DEVELOPERS,
            Self::Incidents(_) => words::INCIDENTS,
            Self::Pipeline => words::PIPELINE,
            Self::DeadLetters(_) => words::DEAD_LETTERS,
            Self::Rules(_) => words::RULES,
            Self::Storage => words::STORAGE,
            Self::Setup => words::SETUP,
            Self::Advertisers => words::ADVERTISERS,
            Self::Campaigns => words::CAMPAIGNS,
            Self::Ads => words::ADS,
            Self::Keys => words::KEYS,
            Self::TestClicks => words::TEST_CLICKS,
            Self::Accounts => words::ACCOUNTS,
            Self::Audit => words::AUDIT,
            Self::Account => words::ACCOUNT,
        }
    }

    /// Returns its section in the rail.
    pub fn section(self) -> Section {
        match self {
            Self::Overview
            | Self::Explore
            | Self::Clicks
            | Self::Statement
            | Self::Reports
            | Self::Links
            | Self::Campaign(_)
            | Self::Ad(_)
            | Self::Developers => Section::Clicks,
            Self::Deployment
            | Self::Wall
            | Self::Incidents(_)
            | Self::Pipeline
            | Self::DeadLetters(_)
            | Self::Rules(_)
            | Self::Storage => Section::Operations,
            Self::Setup
            | Self::Advertisers
            | Self::Campaigns
            | Self::Ads
            | Self::Keys
            | Self::TestClicks
            | Self::Accounts
            | Self::Audit
            | Self::Account => Section::Administration,
        }
    }

    /// Returns whether the API behind it answers this role.
    pub fn is_open_to(self, role: Role) -> bool {
        match self {
            Self::Overview
            | Self::Explore
            | Self::Statement
            | Self::Reports
            | Self::Campaign(_)
            | Self::Ad(_)
            | Self::Developers
            | Self::Account => true,
            Self::Clicks | Self::Links => !matches!(role, Role::Finance | Role::Other),
            Self::Deployment
            | Self::Wall
            | Self::Incidents(_)
            | Self::Pipeline
            | Self::DeadLetters(_)
            | Self::Rules(_)
            | Self::Storage
            | Self::Advertisers
            | Self::Campaigns
            | Self::Ads => role.is_operators(),
            Self::Setup | Self::Keys | Self::TestClicks | Self::Accounts | Self::Audit => role == Role::Admin,
        }
    }

    /// Returns the program that has it, as addresses say it.
    pub fn bundle(self) -> Bundle {
        let own = ADDRESSES.into_iter().find(|(address, _)| *address == self.base());
        own.map_or(Bundle::Staff, |(_, bundle)| bundle)
    }

    /// Returns whether it has no place of its own at the bottom of a phone: a menu leads there.
    pub fn is_seldom(self) -> bool {
        match self.section() {
            Section::Clicks => matches!(self, Self::Links | Self::Developers),
            Section::Operations => !matches!(self, Self::Incidents(_)),
            Section::Administration => true,
        }
    }

    /// Returns whether it has the whole screen, without rail and bar.
    pub fn is_alone(self) -> bool {
        self == Self::Wall
    }

    /// Returns whether it is about any range of time.
    pub fn has_range(self) -> bool {
        matches!(self, Self::Clicks | Self::Deployment) || self.compares()
    }

    /// Returns whether its numbers can be compared with those of another period.
    pub fn compares(self) -> bool {
        matches!(self, Self::Explore | Self::Campaign(_) | Self::Ad(_))
    }

    /// Returns whether it is about one advertiser: without a choice, the first.
    pub fn is_of_one_advertiser(self) -> bool {
        matches!(
            self,
            Self::Overview
                | Self::Statement
                | Self::Links
                | Self::Campaign(_)
                | Self::Ad(_)
                | Self::Campaigns
                | Self::Ads
                | Self::TestClicks
        )
    }

    /// Returns whether it can be about one advertiser at all.
    pub fn has_scope(self) -> bool {
        self.is_of_one_advertiser() || matches!(self, Self::Explore | Self::Clicks)
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::pages::ADDRESSES;

    use super::*;

    const ID: &str = "018f6f0e-7c1a-7e2b-9d3c-4b5a69788796";

    #[test]
    fn every_address_of_the_server_is_a_page_and_every_page_has_one() {
        for (address, bundle) in ADDRESSES {
            let path = address.replace("{id}", ID).replace("{sequence}", "7").replace("{rule}", "fraud_rate");
            let route = Route::read(&path);
            assert_eq!(route.map(Route::bundle), Some(bundle), "{address}");
            assert_eq!(route.map(Route::path).as_deref(), Some(path.as_str()), "{address}");
        }
        let rail = Route::RAIL.iter().chain(&Route::BESIDE).map(|route| route.base());
        for base in rail {
            assert!(ADDRESSES.iter().any(|(address, _)| *address == base), "{base}");
        }
    }

    #[test]
    fn other_paths_are_no_page() {
        for path in [
            "/nothing",
            "/explore/more",
            "/incidents/7",
            "/incidents/x/y",
            "/dead-letters/x",
            "/rules/nonsense",
            "/Explore",
            "/ads/a/b",
            "/campaigns/a%20b",
        ] {
            assert_eq!(Route::read(path), None, "{path}");
        }
        assert_eq!(Route::read("/explore/"), Some(Route::Explore));
    }

    #[test]
    fn one_campaign_or_ad_is_named_by_its_path_and_open_to_all() {
        for (path, base) in [("/campaigns/camp_001", "/campaigns"), ("/ads/A-1.b:2", "/ads")] {
            let route = Route::read(path).unwrap();
            assert_eq!((route.path().as_str(), route.base()), (path, base));
            assert!(route.is_open_to(Role::Advertiser) && route.is_of_one_advertiser() && route.has_range());
            assert!(!Route::read(base).unwrap().is_open_to(Role::Advertiser), "the list is another page");
        }
        assert_eq!(Route::read("/ads/A%3Ab"), Route::read("/ads/A:b"));
    }

    #[test]
    fn a_role_has_the_pages_that_the_api_answers_it() {
        let open = |role| Route::RAIL.iter().filter(|route| route.is_open_to(role)).count();
        assert_eq!(
            [Role::Advertiser, Role::Finance, Role::Ops, Role::Admin, Role::Other].map(open),
            [7, 5, 16, 20, 5]
        );
    }
}
