//! The answer of `GET /api/v1/analytics/aggregate`, and the dimensions that clicks are filtered and grouped by: one
//! reader for every caller and every interface.

use serde::{Deserialize, Serialize};

use crate::{
    country,
    counts::{Counts, DeviceType},
    ids,
};

/// The width of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One minute.
    #[default]
    Minute,
    /// One hour.
    Hour,
    /// One day in UTC.
    Day,
}

/// A dimension that clicks can be filtered and grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Campaign.
    CampaignId,
    /// Ad.
    AdId,
    /// Country.
    Country,
    /// Device type.
    DeviceType,
}

impl Dimension {
    /// Every dimension, in the order of the columns.
    pub const ALL: [Self; 4] = [Self::CampaignId, Self::AdId, Self::Country, Self::DeviceType];

    /// The name in the API and the column in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CampaignId => "campaign_id",
            Self::AdId => "ad_id",
            Self::Country => "country",
            Self::DeviceType => "device_type",
        }
    }

    /// A value of this dimension as it is stored, out of a question; or what is wrong with it.
    pub fn value(self, text: &str) -> Result<String, String> {
        match self {
            Self::CampaignId | Self::AdId => ids::check(text).map(|()| text.to_owned()),
            Self::Country => country::asked(text),
            Self::DeviceType => text
                .parse::<DeviceType>()
                .map(|device| device.as_str().to_owned())
                .map_err(|error| format!("{error}.")),
        }
    }

    /// The dimensions of a list separated by commas; none of an empty one.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let names = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
        let listed: Vec<Self> = names
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|error: UnknownDimension| format!("{error}."))?;
        Self::each_once(&listed).map(|()| listed)
    }

    /// Checks that each dimension stands in a list once.
    pub fn each_once(listed: &[Self]) -> Result<(), String> {
        let is_once = (1..listed.len()).all(|n| !listed[..n].contains(&listed[n]));
        if is_once { Ok(()) } else { Err("Names a dimension twice.".to_owned()) }
    }
}

impl std::str::FromStr for Dimension {
    type Err = UnknownDimension;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|dimension| dimension.as_str() == name).ok_or(UnknownDimension)
    }
}

/// The name is none of [`Dimension::ALL`].
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownDimension;

impl std::fmt::Display for UnknownDimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected campaign_id, ad_id, country or device_type")
    }
}

impl std::error::Error for UnknownDimension {}

/// The answer of `GET /api/v1/analytics/aggregate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Aggregate {
    /// One row a bucket and group, ordered by bucket.
    pub data: Vec<AggregateRow>,
    /// Sum of `clicks` over all rows.
    pub total_clicks: i64,
    /// Distinct users of the whole range and all groups, each once; `null` if one row's are.
    pub total_unique_users: Option<i64>,
    /// Start of the first bucket; RFC 3339. Whole buckets are counted, so it may lie before what was
    /// asked for.
    pub start_time: String,
    /// End of the last bucket; RFC 3339. It may lie behind what was asked for.
    pub end_time: String,
    /// Time that the database took, in milliseconds.
    pub query_time_ms: f64,
    /// Minutes that end at or before this RFC 3339 time are final, later ones provisional. A change of a
    /// final minute is a correction. `null` until every partition has counted something.
    pub final_before: Option<String>,
}

/// One bucket of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AggregateRow {
    /// Start of the bucket, RFC 3339 in UTC.
    pub time_bucket: String,
    /// The campaign; present when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<String>,
    /// The ad; present when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ad_id: Option<String>,
    /// The country; present when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The device type; present when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Genuine clicks plus fraud.
    pub clicks: i64,
    /// Distinct users, within 2 %; `null` where sketches can't tell.
    pub unique_users: Option<i64>,
    /// Invalid traffic.
    pub fraud_count: i64,
    /// Clicks that are billed.
    pub billable: i64,
    /// Repeats by the same user on the same ad; not in `clicks`.
    pub duplicates: i64,
    /// All clicks received, of any disposition.
    pub received: i64,
}

impl AggregateRow {
    /// A row for the bucket that starts at `time_bucket`, without groups.
    pub fn new(time_bucket: String, counts: &Counts) -> Self {
        Self {
            time_bucket,
            clicks: counts.clicks(),
            fraud_count: counts.fraud(),
            billable: counts.valid,
            duplicates: counts.duplicate,
            received: counts.received(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_stored_or_refused() {
        for (dimension, text, expected) in [
            (Dimension::Country, "us", Some("US")),
            (Dimension::Country, "USA", Some("US")),
            (Dimension::Country, "Atlantis", None),
            (Dimension::Country, "", None),
            (Dimension::DeviceType, "tv", Some("tv")),
            (Dimension::DeviceType, "fridge", None),
            (Dimension::CampaignId, "camp_001", Some("camp_001")),
            (Dimension::AdId, "ad\u{0}1", None),
        ] {
            assert_eq!(dimension.value(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn lists_name_each_dimension_once() {
        assert_eq!(Dimension::list("ad_id, country"), Ok(vec![Dimension::AdId, Dimension::Country]));
        assert_eq!(Dimension::list(""), Ok(vec![]));
        for wrong in ["os", "ad_id,", "ad_id,country,ad_id"] {
            assert!(Dimension::list(wrong).is_err(), "{wrong}");
        }
    }
}
