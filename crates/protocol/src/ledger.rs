//! Clicks as the ledger has them, and what was changed of their verdicts: the answers of `GET /api/v1/clicks` and
//! `GET /api/v1/adjustments`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{attribution::Params, ids::AdvertiserId};

/// One page of clicks, the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClickPage {
    /// The clicks.
    pub data: Vec<FoundClick>,
    /// Cursor for the next page, its `after`; `None` behind the last.
    pub next: Option<String>,
}

/// A click of the ledger. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundClick {
    /// Its id, a name within its advertiser.
    pub click_id: Uuid,
    /// The time that it is counted under.
    pub clicked_at: String,
    /// Time at which the server took it in.
    pub received_at: String,
    /// The advertiser.
    pub advertiser_id: AdvertiserId,
    /// The campaign.
    pub campaign_id: String,
    /// The ad.
    pub ad_id: String,
    /// ISO 3166-1 alpha-2; `ZZ` is unknown.
    pub country: String,
    /// The device type.
    pub device_type: String,
    /// The operating system, if the user agent tells.
    pub os: Option<String>,
    /// The browser, if the user agent tells.
    pub browser: Option<String>,
    /// The user, if the poster told; a random name in its place where the user is erased.
    pub user_id: Option<String>,
    /// `valid`, `duplicate`, `givt`, `sivt`, `test` or `defective`.
    pub disposition: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Its version.
    pub rule_version: Option<i32>,
    /// Every rule that applies.
    pub evidence: Option<Vec<String>>,
    /// The kind of robot that the user agent declares.
    pub robot: Option<String>,
    /// A person has decided that it is valid.
    pub released: bool,
    /// The parameters of its link.
    pub params: Params,
    /// The page that it came from, without query.
    pub referrer: Option<String>,
    /// Changes of its verdict, the first one first.
    pub adjustments: Vec<Change>,
}

/// A change of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Time of the change; RFC 3339.
    pub adjusted_at: String,
    /// The disposition that it was counted as before.
    pub from_disposition: String,
    /// The disposition that it is counted as since.
    pub to_disposition: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Its version.
    pub rule_version: Option<i32>,
    /// `rules`, or the person who released it; for tenants, `operator`.
    pub actor: String,
    /// The reason for the change.
    pub reason: String,
}

/// A change of a click's verdict with what it is a change of: a row of `GET /api/v1/adjustments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// Time of the change; RFC 3339.
    pub adjusted_at: String,
    /// The click.
    pub click_id: Uuid,
    /// The time that the click is counted under.
    pub clicked_at: String,
    /// The campaign; `None` where the ledger does not keep the click any more.
    pub campaign_id: Option<String>,
    /// The ad, as far as the campaign is known.
    pub ad_id: Option<String>,
    /// The disposition that it was counted as before.
    pub from_disposition: String,
    /// The disposition that it is counted as since.
    pub to_disposition: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Its version.
    pub rule_version: Option<i32>,
    /// `rules`, or the person who released it; for tenants, `operator`.
    pub actor: String,
    /// The reason for the change.
    pub reason: String,
}
