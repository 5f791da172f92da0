//! The terms of a report's question: buckets, dimensions, metrics, and the period that it is compared with.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Numbers;
use crate::{analytics, click};

/// Width of a bucket; all but `minute` follow the report's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReportGranularity))]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One minute.
    Minute,
    /// One hour of the clock; where summer time ends, the repeated hour is a bucket of its own.
    Hour,
    /// One day, of 23 to 25 hours.
    Day,
    /// One week, from Monday on (ISO 8601).
    Week,
    /// One calendar month.
    Month,
}

impl Granularity {
    /// Every granularity, the finest first.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// A dimension that a report can be grouped by; [`Self::FILTERS`] are filters, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReportDimension))]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Advertiser: for callers that ask about all.
    AdvertiserId,
    /// Campaign.
    CampaignId,
    /// Ad.
    AdId,
    /// Country, as ISO 3166-1 alpha-2; `ZZ` is unknown.
    Country,
    /// Device type.
    DeviceType,
    /// Operating system, such as `Windows 10`; or `unknown`.
    Os,
    /// Browser, such as `Firefox`; or `unknown`.
    Browser,
    /// Hour of the day in the report's time zone, 0 to 23.
    HourOfDay,
    /// Day of the week in the report's time zone, 1 (Monday) to 7 (ISO 8601).
    Weekday,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 9] = [
        Self::AdvertiserId,
        Self::CampaignId,
        Self::AdId,
        Self::Country,
        Self::DeviceType,
        Self::Os,
        Self::Browser,
        Self::HourOfDay,
        Self::Weekday,
    ];

    /// The dimensions that are filters, in the order of [`Self::ALL`]. An advertiser is none: a question names it
    /// by itself, for access depends on it.
    pub const FILTERS: [Self; 6] =
        [Self::CampaignId, Self::AdId, Self::Country, Self::DeviceType, Self::Os, Self::Browser];

    /// The name in the API, and the column where there is one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdvertiserId => "advertiser_id",
            Self::CampaignId => "campaign_id",
            Self::AdId => "ad_id",
            Self::Country => "country",
            Self::DeviceType => "device_type",
            Self::Os => "os",
            Self::Browser => "browser",
            Self::HourOfDay => "hour_of_day",
            Self::Weekday => "weekday",
        }
    }

    /// Returns whether the dimension is a part of the time, and no column.
    pub fn is_time(self) -> bool {
        matches!(self, Self::HourOfDay | Self::Weekday)
    }

    /// Returns whether only the ledger knows the dimension: buckets are not kept by it.
    pub fn is_of_the_ledger(self) -> bool {
        matches!(self, Self::Os | Self::Browser)
    }

    /// A value of this dimension as it is stored, out of a filter; or what is wrong with it.
    pub fn value(self, text: &str) -> Result<String, String> {
        match self {
            Self::CampaignId => analytics::Dimension::CampaignId.value(text),
            Self::AdId => analytics::Dimension::AdId.value(text),
            Self::Country => analytics::Dimension::Country.value(text),
            Self::DeviceType => analytics::Dimension::DeviceType.value(text),
            Self::Os | Self::Browser => click::plain(text, click::MAX_BROWSER_BYTES),
            Self::AdvertiserId | Self::HourOfDay | Self::Weekday => Err("Is no filter.".to_owned()),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A number of a row that rows can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Valid clicks and invalid traffic.
    Clicks,
    /// Valid clicks.
    Billable,
    /// Invalid traffic.
    FraudCount,
    /// Repeats by the same user on the same ad.
    Duplicates,
    /// All clicks received.
    Received,
    /// Distinct users.
    UniqueUsers,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 6] =
        [Self::Clicks, Self::Billable, Self::FraudCount, Self::Duplicates, Self::Received, Self::UniqueUsers];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::Billable => "billable",
            Self::FraudCount => "fraud_count",
            Self::Duplicates => "duplicates",
            Self::Received => "received",
            Self::UniqueUsers => "unique_users",
        }
    }

    /// The number itself; `None` where nothing can tell it.
    pub fn of(self, numbers: &Numbers) -> Option<i64> {
        match self {
            Self::Clicks => Some(numbers.clicks),
            Self::Billable => Some(numbers.billable),
            Self::FraudCount => Some(numbers.fraud_count),
            Self::Duplicates => Some(numbers.duplicates),
            Self::Received => Some(numbers.received),
            Self::UniqueUsers => numbers.unique_users,
        }
    }
}

/// The period that a report is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The period of the same length that ends where this one begins: as many whole months or days of the
    /// time zone, if the range has such bounds.
    Previous,
    /// The same dates a year before.
    Year,
}

impl Compare {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Year => "year",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_filters_are_read_as_they_are_stored_or_refused() {
        for (dimension, text, expected) in [
            (Dimension::Country, "usa", Some("US")),
            (Dimension::Os, "Windows 10", Some("Windows 10")),
            (Dimension::Browser, "", None),
            (Dimension::Browser, "a\u{7}", None),
            (Dimension::Weekday, "1", None),
            (Dimension::AdvertiserId, "adv_001", None),
        ] {
            assert_eq!(dimension.value(text).ok().as_deref(), expected, "{text}");
        }
    }
}
