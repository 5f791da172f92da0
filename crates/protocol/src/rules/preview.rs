//! A preview of a rule's change: the answer of `POST /api/v1/admin/rules/{rule}/preview`.

use serde::{Deserialize, Serialize};

use crate::{
    counts::Disposition,
    ids::{AdvertiserId, CampaignId},
};

/// A preview by the kind of rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = RulePreviewAnswer))]
#[serde(untagged)]
pub enum Preview {
    /// Of a rule that judges clicks.
    Verdicts(RulePreview),
    /// Of a rule that opens incidents.
    Incidents(IncidentPreview),
}

/// Incidents of the last hours: those that the rule as it is opens in these minutes, and those that the changed one
/// would. Both are asked at the end of each minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentPreview {
    /// Start of the range of minutes; Unix time in milliseconds.
    pub start_ms: i64,
    /// End of the range; Unix time in milliseconds.
    pub end_ms: i64,
    /// Not all campaigns are looked at: those with the most clicks are.
    pub is_cut: bool,
    /// Number of campaigns that are looked at.
    pub campaign_count: i64,
    /// Incidents by the rule as it is.
    pub current: OpenedIncidents,
    /// Incidents by the changed rule.
    pub previewed: OpenedIncidents,
    /// Campaigns with other incidents: those with the greatest difference first, ten at most.
    pub campaigns: Vec<PreviewedCampaign>,
}

/// Numbers of incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenedIncidents {
    /// All.
    pub opened: i64,
    /// Those that are critical, at once or later.
    pub critical: i64,
}

impl OpenedIncidents {
    /// Adds others.
    pub fn add(&mut self, others: Self) {
        self.opened += others.opened;
        self.critical += others.critical;
    }
}

/// A campaign with other incidents than it has by the rule as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewedCampaign {
    /// The campaign's advertiser.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub advertiser_id: AdvertiserId,
    /// The campaign.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub campaign_id: CampaignId,
    /// Incidents by the rule as it is.
    pub current: OpenedIncidents,
    /// Incidents by the changed rule.
    pub previewed: OpenedIncidents,
}

/// Verdicts on the last clicks: as they are counted, and as they would be if the changed rule had judged them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulePreview {
    /// Start of the range of clicks; Unix time in milliseconds.
    pub start_ms: i64,
    /// End of the range; Unix time in milliseconds.
    pub end_ms: i64,
    /// The range is shorter than was asked for: more clicks are not looked at.
    pub is_cut: bool,
    /// Verdicts as they are counted.
    pub counted: Verdicts,
    /// Verdicts as they would be.
    pub previewed: Verdicts,
    /// Clicks that are valid and would not be.
    pub to_invalid: i64,
    /// Clicks that are not valid and would be.
    pub to_valid: i64,
    /// Advertisers with such clicks: those with the most first, ten at most.
    pub advertisers: Vec<PreviewedAdvertiser>,
}

/// Numbers of clicks by verdict, without test and defective clicks: no rule judges these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verdicts {
    /// Valid clicks.
    pub valid: i64,
    /// Duplicates.
    pub duplicate: i64,
    /// General invalid traffic.
    pub givt: i64,
    /// Sophisticated invalid traffic.
    pub sivt: i64,
}

impl Verdicts {
    /// Adds a click; one that no rule judges is left out.
    pub fn add(&mut self, disposition: Disposition) {
        match disposition {
            Disposition::Valid => self.valid += 1,
            Disposition::Duplicate => self.duplicate += 1,
            Disposition::Givt => self.givt += 1,
            Disposition::Sivt => self.sivt += 1,
            Disposition::Test | Disposition::Defective => {}
        }
    }

    /// The number of clicks.
    pub fn clicks(&self) -> i64 {
        self.valid + self.duplicate + self.givt + self.sivt
    }
}

/// An advertiser whose clicks would be judged otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewedAdvertiser {
    /// The advertiser.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub advertiser_id: AdvertiserId,
    /// Its clicks in the range.
    pub clicks: i64,
    /// Those that are valid and would not be.
    pub to_invalid: i64,
    /// Those that are not valid and would be.
    pub to_valid: i64,
}
