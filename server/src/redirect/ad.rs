//! An ad as redirects need it, and as the database and Redis have it.

use clickwire_protocol::ids::{AdId, AdvertiserId, CampaignId};
use serde::{Deserialize, Serialize};

use super::{
    landing::{self, LandingHost},
    macros::ClickMacros,
    query::Forwarded,
    target::Target,
    template::Template,
};

/// An ad: its target and its owner.
#[derive(Clone, Debug)]
pub(crate) struct Ad {
    pub(crate) advertiser_id: AdvertiserId,
    pub(crate) campaign_id: CampaignId,
    pub(crate) target: Target,
    pub(crate) template: Template,
    /// Other hosts that a link may lead to.
    pub(super) landing_hosts: Vec<LandingHost>,
    /// The parameters of a link's query that go on.
    pub(super) forwarded: Forwarded,
}

impl Ad {
    /// The URL that a click goes on to: the ad's target, or the page that the link names, if the ad may lead there.
    pub(super) fn leads_to(&self, click: &ClickMacros<'_>, has_id: bool) -> String {
        let page =
            click.query.landing().and_then(|text| landing::page(text, &self.target, &self.landing_hosts));
        let target = page.as_ref().unwrap_or(&self.target);
        let template = has_id.then_some(&self.template);
        let is_ours = |name: &str| target.has(name) || self.template.has(name);
        let handed_on = click.query.forwarded(&self.forwarded, page.is_some(), is_ours);
        target.with(template, click, &handed_on)
    }
}

/// An ad before it is read.
#[derive(Serialize, Deserialize, sqlx::FromRow)]
pub(super) struct Row {
    advertiser_id: AdvertiserId,
    campaign_id: CampaignId,
    target_url: String,
    click_id_template: String,
    /// Hosts; left out by servers of an earlier version, as are the parameters.
    #[serde(default)]
    landing_hosts: Vec<String>,
    #[serde(default = "everything")]
    forwarded_params: Vec<String>,
}

/// The parameters of advertisers that have not set any: all names.
fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Row {
    /// The ad; `None` if what is registered can't be redirected to, because it has not come through the API.
    pub(super) fn read(self, ad_id: &AdId) -> Option<Ad> {
        let target = Target::stored(&self.target_url).inspect_err(
            |error| tracing::error!(ad_id = ad_id.as_str(), %error, "the ad's target can't be used"),
        );
        let template = self
            .click_id_template
            .parse()
            .inspect_err(|error| tracing::error!(ad_id = ad_id.as_str(), %error, "the advertiser's template can't be used"));
        Some(Ad {
            advertiser_id: self.advertiser_id,
            campaign_id: self.campaign_id,
            target: target.ok()?,
            template: template.ok()?,
            landing_hosts: LandingHost::stored(&self.landing_hosts),
            forwarded: Forwarded::stored(&self.forwarded_params),
        })
    }
}
