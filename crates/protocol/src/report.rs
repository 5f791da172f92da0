//! Reports: the answers of `GET /api/v1/analytics/timeseries`, `breakdown` and `summary`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{analytics, click, counts::Counts};

/// Label of an operating system or a browser that the user agent doesn't tell.
pub const UNKNOWN: &str = "unknown";

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

/// The numbers of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Numbers {
    /// Valid clicks and invalid traffic.
    pub clicks: i64,
    /// Valid clicks, which are billed.
    pub billable: i64,
    /// Invalid traffic.
    pub fraud_count: i64,
    /// Repeats by the same user on the same ad; not in `clicks`.
    pub duplicates: i64,
    /// All clicks received, of any disposition.
    pub received: i64,
    /// Distinct users, if they are asked for: within 2 % where sketches tell, exact from the ledger;
    /// `null` where neither can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_users: Option<i64>,
}

impl Numbers {
    /// The numbers of counts, without users.
    pub fn new(counts: &Counts) -> Self {
        Self {
            clicks: counts.clicks(),
            billable: counts.valid,
            fraud_count: counts.fraud(),
            duplicates: counts.duplicate,
            received: counts.received(),
            unique_users: None,
        }
    }

    /// The share of invalid traffic in clicks, from 0 to 1; `None`: there are no clicks.
    pub fn invalid_share(&self) -> Option<f64> {
        (self.clicks > 0).then(|| self.fraud_count as f64 / self.clicks as f64)
    }
}

/// The group that a row is about: a field is `None` where the report isn't grouped by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Group {
    /// The advertiser; present when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertiser_id: Option<String>,
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
    /// The operating system; present when grouped by it. `unknown` where the user agent doesn't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The browser; present when grouped by it. `unknown` where the user agent doesn't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    /// The hour of the day; present when grouped by it. 0 to 23 in the report's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour_of_day: Option<i32>,
    /// The weekday; present when grouped by it. 1 (Monday) to 7 in the report's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<i32>,
    /// The groups beyond `limit`, together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
}

impl Group {
    /// The groups beyond `limit`, together.
    pub fn others() -> Self {
        Self { other: true, ..Self::default() }
    }

    /// The value of a dimension as a text.
    pub fn value(&self, dimension: Dimension) -> Option<String> {
        match dimension {
            Dimension::AdvertiserId => self.advertiser_id.clone(),
            Dimension::CampaignId => self.campaign_id.clone(),
            Dimension::AdId => self.ad_id.clone(),
            Dimension::Country => self.country.clone(),
            Dimension::DeviceType => self.device_type.clone(),
            Dimension::Os => self.os.clone(),
            Dimension::Browser => self.browser.clone(),
            Dimension::HourOfDay => self.hour_of_day.map(|hour| hour.to_string()),
            Dimension::Weekday => self.weekday.map(|day| day.to_string()),
        }
    }

    /// The place of a column's value; `None` for parts of the time.
    pub fn column_mut(&mut self, dimension: Dimension) -> Option<&mut Option<String>> {
        match dimension {
            Dimension::AdvertiserId => Some(&mut self.advertiser_id),
            Dimension::CampaignId => Some(&mut self.campaign_id),
            Dimension::AdId => Some(&mut self.ad_id),
            Dimension::Country => Some(&mut self.country),
            Dimension::DeviceType => Some(&mut self.device_type),
            Dimension::Os => Some(&mut self.os),
            Dimension::Browser => Some(&mut self.browser),
            Dimension::HourOfDay | Dimension::Weekday => None,
        }
    }
}

/// The range and the origin of a report's numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Basis {
    /// Begin of the range that the report is about, RFC 3339 in its time zone: what was asked for, widened
    /// to whole minutes, or to whole hours where retention has dropped the minutes.
    pub start_time: String,
    /// End of that range, exclusive.
    pub end_time: String,
    /// IANA time zone.
    pub time_zone: String,
    /// The tables that the numbers are from: `days`, `hours`, `minutes`, or `ledger`.
    pub sources: Vec<Source>,
    /// Hours before it are stored; later ones are added up from their minutes in the same snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_before: Option<String>,
    /// Minutes that end at or before it are final, later ones provisional; `null` until every partition has
    /// counted something.
    pub final_before: Option<String>,
    /// The moment whose knowledge the numbers show, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Time that the database took, in milliseconds.
    pub query_time_ms: f64,
}

/// A table that numbers are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReportSource))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Stored days.
    Days,
    /// Stored hours.
    Hours,
    /// Minutes.
    Minutes,
    /// Clicks themselves.
    Ledger,
}

/// Totals of the period that a report is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// Begin of that period.
    pub start_time: String,
    /// End of it, exclusive.
    pub end_time: String,
    /// Its totals.
    pub totals: Numbers,
}

/// The answer of `GET /api/v1/analytics/summary`: one row about a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// Numbers of the whole range.
    pub totals: Numbers,
    /// The period that it is compared with, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Range and origin.
    #[serde(flatten)]
    pub basis: Basis,
}

/// The answer of `GET /api/v1/analytics/breakdown`: a row a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Breakdown {
    /// Groups in the order that was asked for; the rest, if there is one, comes last as `other`.
    pub rows: Vec<BreakdownRow>,
    /// Number of groups, those in `other` included.
    pub groups: usize,
    /// Numbers of the whole range.
    pub totals: Numbers,
    /// The period that it is compared with, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Range and origin.
    #[serde(flatten)]
    pub basis: Basis,
}

/// A group of a breakdown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakdownRow {
    /// The group.
    #[serde(flatten)]
    pub group: Group,
    /// Its numbers.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// The same group's numbers in the period that the report is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Numbers>,
}

/// The answer of `GET /api/v1/analytics/timeseries`: a row a bucket and group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timeseries {
    /// Width of the buckets.
    pub granularity: Granularity,
    /// Rows by bucket and, within it, by group in the order that was asked for. Buckets without clicks have
    /// rows of zeros.
    pub rows: Vec<TimeseriesRow>,
    /// Numbers of the whole range, the same for every granularity.
    pub totals: Numbers,
    /// The period that it is compared with, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<TimeseriesComparison>,
    /// Range and origin.
    #[serde(flatten)]
    pub basis: Basis,
}

/// A bucket of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeseriesRow {
    /// Start of the bucket, RFC 3339 with the time zone's offset.
    pub time_bucket: String,
    /// The bucket reaches beyond the report's range, of which it holds a part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The group.
    #[serde(flatten)]
    pub group: Group,
    /// Its numbers.
    #[serde(flatten)]
    pub numbers: Numbers,
}

/// The period that a time series is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeseriesComparison {
    /// Begin of that period.
    pub start_time: String,
    /// End of it, exclusive.
    pub end_time: String,
    /// Rows as of the report itself, of the same groups. The n-th bucket is the one to compare the report's
    /// n-th with.
    pub rows: Vec<TimeseriesRow>,
    /// Its totals.
    pub totals: Numbers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_flat() {
        let row = TimeseriesRow {
            time_bucket: "2026-03-29T00:00:00+01:00".to_owned(),
            group: Group { country: Some("DE".to_owned()), weekday: Some(7), ..Group::default() },
            numbers: Numbers { clicks: 3, billable: 2, fraud_count: 1, received: 3, ..Numbers::default() },
            partial: false,
        };
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(
            text,
            r#"{"time_bucket":"2026-03-29T00:00:00+01:00","country":"DE","weekday":7,"clicks":3,"billable":2,"fraud_count":1,"duplicates":0,"received":3}"#
        );
        assert_eq!(serde_json::from_str::<TimeseriesRow>(&text).unwrap(), row);
    }

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
