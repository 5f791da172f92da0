//! Reports as GraphQL answers them.

use async_graphql::{Enum, SimpleObject};
use clickwire_protocol::report;

use super::scalar::{DateTime, Long};

/// Numbers of a row.
#[derive(SimpleObject)]
pub(super) struct Numbers {
    /// Valid clicks and invalid traffic.
    clicks: Long,
    /// Valid clicks, which are billed.
    billable: Long,
    /// Invalid traffic.
    fraud_count: Long,
    /// Repeats by the same user on the same ad; not in `clicks`.
    duplicates: Long,
    /// Received clicks of every disposition.
    received: Long,
    /// Distinct users, if they are asked for and anything can tell them.
    unique_users: Option<Long>,
}

/// The group of a row: a dimension is null where the report isn't grouped by it.
#[derive(SimpleObject)]
pub(super) struct Group {
    advertiser_id: Option<String>,
    campaign_id: Option<String>,
    ad_id: Option<String>,
    country: Option<String>,
    device_type: Option<String>,
    /// `unknown` where the user agent doesn't tell.
    os: Option<String>,
    /// `unknown` where the user agent doesn't tell.
    browser: Option<String>,
    /// 0 to 23 in the report's time zone.
    hour_of_day: Option<i32>,
    /// 1 (Monday) to 7 in the report's time zone.
    weekday: Option<i32>,
    /// The groups beyond `limit`, together.
    other: bool,
}

/// Range and origin of a report's numbers.
#[derive(SimpleObject)]
pub(super) struct Basis {
    /// Start of the range that was asked for, widened to whole minutes.
    start_time: DateTime,
    /// Exclusive.
    end_time: DateTime,
    /// IANA time zone.
    time_zone: String,
    /// The tables that the numbers are from.
    sources: Vec<Source>,
    /// Hours before it are stored; later ones are added up from their minutes.
    stored_before: Option<DateTime>,
    /// Minutes that end at or before it are final, later ones provisional.
    final_before: Option<DateTime>,
    /// The moment whose knowledge the numbers show, if one is asked for.
    as_of: Option<DateTime>,
    /// Time that the database took.
    query_time_ms: f64,
}

/// A table that numbers are from.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "report::Source")]
pub(super) enum Source {
    Days,
    Hours,
    Minutes,
    /// Clicks themselves.
    Ledger,
}

/// The period that a report is compared with.
#[derive(SimpleObject)]
pub(super) struct Comparison {
    start_time: DateTime,
    /// Exclusive.
    end_time: DateTime,
    totals: Numbers,
}

/// Numbers of a range.
#[derive(SimpleObject)]
pub(super) struct Summary {
    totals: Numbers,
    /// The comparison, if one is asked for.
    comparison: Option<Comparison>,
    basis: Basis,
}

/// A group of a breakdown.
#[derive(SimpleObject)]
pub(super) struct BreakdownRow {
    group: Group,
    numbers: Numbers,
    /// Numbers of the period that the report is compared with.
    previous: Option<Numbers>,
}

/// Numbers of a range by group.
#[derive(SimpleObject)]
pub(super) struct Breakdown {
    /// Rows in the order that was asked for; the rest, if there is one, comes last.
    rows: Vec<BreakdownRow>,
    /// Number of groups, those in the rest included.
    groups: Long,
    totals: Numbers,
    /// The comparison, if one is asked for.
    comparison: Option<Comparison>,
    basis: Basis,
}

/// A bucket of a group.
#[derive(SimpleObject)]
pub(super) struct TimeseriesRow {
    /// Start of the bucket.
    time_bucket: DateTime,
    /// The bucket reaches beyond the report's range, of which it holds a part.
    partial: bool,
    group: Group,
    numbers: Numbers,
}

/// The period that a time series is compared with.
#[derive(SimpleObject)]
pub(super) struct TimeseriesComparison {
    start_time: DateTime,
    /// Exclusive.
    end_time: DateTime,
    /// The n-th bucket is the one to compare the report's n-th with.
    rows: Vec<TimeseriesRow>,
    totals: Numbers,
}

/// Numbers of a range by bucket of time, and by group.
#[derive(SimpleObject)]
pub(super) struct Timeseries {
    granularity: Granularity,
    /// Buckets without clicks are there, with zeros.
    rows: Vec<TimeseriesRow>,
    totals: Numbers,
    /// The comparison, if one is asked for.
    comparison: Option<TimeseriesComparison>,
    basis: Basis,
}

/// Width of buckets.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "report::Granularity")]
pub(super) enum Granularity {
    Minute,
    Hour,
    Day,
    /// Week from Monday.
    Week,
    Month,
}

impl From<report::Numbers> for Numbers {
    fn from(numbers: report::Numbers) -> Self {
        let report::Numbers { clicks, billable, fraud_count, duplicates, received, unique_users } = numbers;
        Self {
            clicks: Long(clicks),
            billable: Long(billable),
            fraud_count: Long(fraud_count),
            duplicates: Long(duplicates),
            received: Long(received),
            unique_users: unique_users.map(Long),
        }
    }
}

impl From<report::Group> for Group {
    fn from(group: report::Group) -> Self {
        let report::Group {
            advertiser_id,
            campaign_id,
            ad_id,
            country,
            device_type,
            os,
            browser,
            hour_of_day,
            weekday,
            other,
        } = group;
        Self {
            advertiser_id,
            campaign_id,
            ad_id,
            country,
            device_type,
            os,
            browser,
            hour_of_day,
            weekday,
            other,
        }
    }
}

impl From<report::Basis> for Basis {
    fn from(basis: report::Basis) -> Self {
        Self {
            start_time: DateTime(basis.start_time),
            end_time: DateTime(basis.end_time),
            time_zone: basis.time_zone,
            sources: basis.sources.into_iter().map(Source::from).collect(),
            stored_before: basis.stored_before.map(DateTime),
            final_before: basis.final_before.map(DateTime),
            as_of: basis.as_of.map(DateTime),
            query_time_ms: basis.query_time_ms,
        }
    }
}

impl From<report::Comparison> for Comparison {
    fn from(comparison: report::Comparison) -> Self {
        Self {
            start_time: DateTime(comparison.start_time),
            end_time: DateTime(comparison.end_time),
            totals: comparison.totals.into(),
        }
    }
}

impl From<report::Summary> for Summary {
    fn from(summary: report::Summary) -> Self {
        Self {
            totals: summary.totals.into(),
            comparison: summary.comparison.map(Comparison::from),
            basis: summary.basis.into(),
        }
    }
}

impl From<report::Breakdown> for Breakdown {
    fn from(breakdown: report::Breakdown) -> Self {
        let row = |row: report::BreakdownRow| BreakdownRow {
            group: row.group.into(),
            numbers: row.numbers.into(),
            previous: row.previous.map(Numbers::from),
        };
        Self {
            rows: breakdown.rows.into_iter().map(row).collect(),
            groups: Long(breakdown.groups as i64),
            totals: breakdown.totals.into(),
            comparison: breakdown.comparison.map(Comparison::from),
            basis: breakdown.basis.into(),
        }
    }
}

impl From<report::TimeseriesRow> for TimeseriesRow {
    fn from(row: report::TimeseriesRow) -> Self {
        Self {
            time_bucket: DateTime(row.time_bucket),
            partial: row.partial,
            group: row.group.into(),
            numbers: row.numbers.into(),
        }
    }
}

impl From<report::Timeseries> for Timeseries {
    fn from(timeseries: report::Timeseries) -> Self {
        let comparison = |comparison: report::TimeseriesComparison| TimeseriesComparison {
            start_time: DateTime(comparison.start_time),
            end_time: DateTime(comparison.end_time),
            rows: comparison.rows.into_iter().map(TimeseriesRow::from).collect(),
            totals: comparison.totals.into(),
        };
        Self {
            granularity: timeseries.granularity.into(),
            rows: timeseries.rows.into_iter().map(TimeseriesRow::from).collect(),
            totals: timeseries.totals.into(),
            comparison: timeseries.comparison.map(comparison),
            basis: timeseries.basis.into(),
        }
    }
}
