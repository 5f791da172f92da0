//! Registered ads as viewers see them: the answers of `GET /api/v1/ads` and of
//! `POST /api/v1/ads/{ad_id}/test-click`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An ad in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedAd {
    /// Its id, which its link ends in.
    pub ad_id: String,
    /// The name, for people.
    pub name: String,
    /// The campaign that it belongs to.
    pub campaign_id: String,
    /// The campaign's name.
    pub campaign_name: String,
    /// The address that its links lead to; may have macros.
    pub target_url: String,
}

/// A test click that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestClick {
    /// The id that the click is counted under.
    pub click_id: Uuid,
    /// The advertiser of the ad.
    pub advertiser_id: String,
    /// The campaign of the ad.
    pub campaign_id: String,
    /// The ad.
    pub ad_id: String,
    /// The address that the link leads to for this click, with all macros filled in.
    pub location: String,
}
