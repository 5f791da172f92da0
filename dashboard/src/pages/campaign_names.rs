//! Names of the campaigns of several advertisers, which the API lists one advertiser at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use clickwire_protocol::report::BreakdownRow;
use yew::prelude::*;

use crate::{
    access::use_access,
    api::{Campaign, Page},
    http::{self, Failure, Request},
};

/// Limit of campaigns per advertiser; campaigns beyond it are shown by their ids.
const CAMPAIGNS: usize = 1_000;

/// Names by advertiser and campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CampaignNames(Rc<BTreeMap<String, BTreeMap<String, String>>>);

impl CampaignNames {
    /// A campaign's name, or its id.
    pub(super) fn of<'a>(&'a self, advertiser_id: &str, campaign_id: &'a str) -> &'a str {
        let known = self.0.get(advertiser_id).and_then(|campaigns| campaigns.get(campaign_id));
        known.map_or(campaign_id, String::as_str)
    }
}

/// The advertisers of rows.
pub(super) fn advertisers_of(rows: &[BreakdownRow]) -> BTreeSet<String> {
    rows.iter().filter_map(|row| row.group.advertiser_id.clone()).collect()
}

/// A change of the known names.
pub(super) enum Step {
    /// The advertisers whose names are kept; all others are dropped.
    Wanted(BTreeSet<String>),
    /// An advertiser's campaigns.
    Told(String, Vec<Campaign>),
}

impl Reducible for CampaignNames {
    type Action = Step;

    fn reduce(self: Rc<Self>, step: Step) -> Rc<Self> {
        let mut names = (*self.0).clone();
        match step {
            Step::Wanted(advertisers) => names.retain(|known, _| advertisers.contains(known)),
            Step::Told(advertiser_id, campaigns) => {
                let named = campaigns.into_iter().map(|campaign| (campaign.campaign_id, campaign.name));
                names.insert(advertiser_id, named.collect());
            }
        }
        if names == *self.0 { self } else { Rc::new(Self(Rc::new(names))) }
    }
}

/// Returns the names of these advertisers' campaigns, requested again when the advertisers or the round change. Until
/// they are known, and where the request fails, campaigns have their ids.
#[hook]
pub(super) fn use_campaign_names(advertisers: BTreeSet<String>, round: i64) -> CampaignNames {
    let access = use_access();
    let names = use_reducer(CampaignNames::default);
    {
        let dispatcher = names.dispatcher();
        use_effect_with((advertisers, round), move |(advertisers, _)| {
            dispatcher.dispatch(Step::Wanted(advertisers.clone()));
            let asking: Vec<http::Asking> = advertisers
                .iter()
                .map(|advertiser_id| {
                    let (dispatcher, owner) = (dispatcher.clone(), advertiser_id.clone());
                    let then = Callback::from(move |answer: Result<String, Failure>| {
                        if let Ok(page) = answer.and_then(|text| http::read::<Page<Campaign>>(&text)) {
                            dispatcher.dispatch(Step::Told(owner.clone(), page.data));
                        }
                    });
                    http::ask(Request::get(&url(advertiser_id)), &access.credential, then)
                })
                .collect();
            move || drop(asking)
        });
    }
    (*names).clone()
}

fn url(advertiser_id: &str) -> String {
    let limit = Some(CAMPAIGNS.to_string());
    http::url("/api/v1/campaigns", [("advertiser_id", Some(advertiser_id.to_owned())), ("limit", limit)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(advertiser_id: &str, campaign_id: &str, name: &str) -> Step {
        let campaign = Campaign { campaign_id: campaign_id.to_owned(), name: name.to_owned() };
        Step::Told(advertiser_id.to_owned(), vec![campaign])
    }

    #[test]
    fn a_campaign_is_named_within_its_advertiser_and_others_are_forgotten() {
        let names = Rc::new(CampaignNames::default()).reduce(told("a", "c1", "Spring"));
        let names = names.reduce(told("b", "c1", "Autumn"));
        assert_eq!(
            [names.of("a", "c1"), names.of("b", "c1"), names.of("c", "c1")],
            ["Spring", "Autumn", "c1"]
        );
        let names = names.reduce(told("a", "c1", "Summer"));
        let names = names.reduce(Step::Wanted(BTreeSet::from(["a".to_owned()])));
        assert_eq!([names.of("a", "c1"), names.of("b", "c1"), names.of("a", "c2")], ["Summer", "c1", "c2"]);
        assert_eq!(url("adv_001"), "/api/v1/campaigns?advertiser_id=adv_001&limit=1000");
    }
}
