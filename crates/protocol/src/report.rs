//! Reports: the answers of `GET /api/v1/analytics/timeseries`, `breakdown` and `summary`.

use serde::{Deserialize, Serialize};

use crate::counts::Counts;

mod question;

pub use question::{Compare, Dimension, Granularity, Metric};

/// Label of an operating system or a browser that the user agent doesn't tell.
pub const UNKNOWN: &str = "unknown";

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
}
