//! An ad as redirects need it, and as the database and Redis have it.

use serde::{Deserialize, Serialize};

use super::target::{Target, Template};

/// Where an ad leads and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Ad {
    pub(crate) advertiser_id: String,
    pub(crate) campaign_id: String,
    pub(crate) target: Target,
    pub(crate) template: Template,
}

/// The same before it is read.
#[derive(Serialize, Deserialize, sqlx::FromRow)]
pub(super) struct Row {
    advertiser_id: String,
    campaign_id: String,
    target_url: String,
    click_id_template: String,
}

impl Row {
    /// The ad; `None` if somebody has registered round the API what can't be redirected to.
    pub(super) fn read(self, ad_id: &str) -> Option<Ad> {
        let target = self
            .target_url
            .parse()
            .inspect_err(|error| tracing::error!(ad_id, %error, "the ad's target can't be used"));
        let template = self
            .click_id_template
            .parse()
            .inspect_err(|error| tracing::error!(ad_id, %error, "the advertiser's template can't be used"));
        Some(Ad {
            advertiser_id: self.advertiser_id,
            campaign_id: self.campaign_id,
            target: target.ok()?,
            template: template.ok()?,
        })
    }
}
