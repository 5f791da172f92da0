//! A question: the parameters of a report, checked.

use clickwire_protocol::{
    ids::AdvertiserId,
    report::{Compare, Dimension, Granularity, Metric},
};
use time::{Duration, OffsetDateTime};

use super::{
    MAX_BUCKETS,
    calendar::{Calendar, DAY, HOUR, MINUTE, Range},
};
use crate::http::{
    error::Error,
    parameters::{Parameters, boolean, instant},
};

/// Dimensions that a report is grouped by, at most.
const MAX_GROUPS: usize = 3;

/// Values of a filter, at most.
const MAX_VALUES: usize = 100;

/// Groups that are told apart by a limit, at most.
const MAX_LIMIT: usize = 1_000;

/// A report as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) advertiser_id: Option<AdvertiserId>,
    /// Range of whole minutes.
    pub(super) range: Range,
    pub(super) calendar: Calendar,
    /// Granularity of a time series; `None` for other reports.
    pub(super) granularity: Option<Granularity>,
    pub(super) filters: Vec<Filter>,
    pub(crate) group_by: Vec<Dimension>,
    pub(super) order: Order,
    /// Groups that are told apart; the others are one.
    pub(super) limit: Option<usize>,
    pub(in crate::query) compare: Option<Compare>,
    /// Moment whose knowledge is asked for, in Unix milliseconds.
    pub(super) as_of_ms: Option<i64>,
    pub(crate) unique_users: bool,
}

/// The values that a dimension may have, or may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) dimension: Dimension,
    pub(super) values: Vec<String>,
    pub(super) is_exclusion: bool,
}

/// The order of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) by: OrderBy,
    pub(super) descends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderBy {
    Metric(Metric),
    Dimension(Dimension),
}

/// The kinds of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One row.
    Summary,
    /// A row a group.
    Breakdown,
    /// A row a bucket and group.
    Timeseries,
}

impl Question {
    /// Reads the parameters of a kind of report.
    pub(crate) fn read(kind: Kind, mut given: Parameters, now: OffsetDateTime) -> Result<Self, Error> {
        let calendar = given.take("time_zone", Calendar::named).unwrap_or_else(Calendar::utc);
        let asked = match kind {
            Kind::Timeseries => given.take("granularity", granularity).flatten(),
            Kind::Summary | Kind::Breakdown => None,
        };
        let end = given.take("end_time", instant).unwrap_or(now);
        let start = given.take("start_time", instant);
        let is_backwards = start.is_some_and(|start| start >= end);
        let range = match start {
            Some(start) => Range { start: start.unix_timestamp(), end: ceiling(end) }.widened(MINUTE),
            None => default_range(&calendar, asked, end),
        };
        if is_backwards {
            given.reject("start_time", "Must be before end_time.");
        }
        let granularity = (kind == Kind::Timeseries).then(|| asked.unwrap_or_else(|| automatic(range)));
        if let Some(granularity) = granularity
            && !is_backwards
            && calendar.bounds(range, granularity, MAX_BUCKETS).is_none()
        {
            given.reject(
                "start_time",
                &format!("The range holds more than {MAX_BUCKETS} buckets: ask for a coarser granularity."),
            );
        }
        let filters = filters(&mut given);
        let group_by = match kind {
            Kind::Breakdown | Kind::Timeseries => given.take("group_by", group_by).unwrap_or_default(),
            Kind::Summary => Vec::new(),
        };
        if kind == Kind::Breakdown && group_by.is_empty() {
            given.reject("group_by", "Is required: up to three dimensions, separated by commas.");
        }
        let (order, limit) = match kind {
            Kind::Breakdown | Kind::Timeseries => {
                (given.take("order_by", order_by), given.number("limit", 1..=MAX_LIMIT))
            }
            Kind::Summary => (None, None),
        };
        let order = order.unwrap_or(Order { by: OrderBy::Metric(Metric::Clicks), descends: true });
        if let OrderBy::Dimension(dimension) = order.by
            && !group_by.contains(&dimension)
        {
            given.reject("order_by", "Is not grouped by this dimension.");
        }
        if kind == Kind::Timeseries {
            if matches!(order.by, OrderBy::Dimension(dimension) if dimension.is_time()) {
                given.reject("order_by", "Rows of a time series are in the order of time already.");
            }
            if limit.is_some() && group_by.iter().all(|dimension| dimension.is_time()) {
                given.reject("limit", "Needs a dimension in group_by that is no part of the time.");
            }
        }
        let unique_users = given.take("unique_users", boolean).unwrap_or(false);
        if order.by == OrderBy::Metric(Metric::UniqueUsers) && !unique_users {
            given.reject("order_by", "Ask for unique_users=true, too.");
        }
        let as_of_ms = given.take("as_of", instant).map(|at| unix_ms(at).min(unix_ms(now)));
        let advertiser_id = given.take("advertiser_id", AdvertiserId::new);
        let compare = given.take("compare", compare);
        given.finish(Self {
            advertiser_id,
            range,
            calendar,
            granularity,
            filters,
            group_by,
            order,
            limit,
            compare,
            as_of_ms,
            unique_users,
        })
    }

    /// The dimensions of the question: groups and filters.
    pub(super) fn dimensions(&self) -> impl Iterator<Item = Dimension> {
        self.group_by.iter().copied().chain(self.filters.iter().map(|filter| filter.dimension))
    }

    /// Returns whether clicks themselves must answer: buckets don't have what the question asks for.
    pub(super) fn is_of_the_ledger(&self) -> bool {
        self.as_of_ms.is_some() || self.dimensions().any(Dimension::is_of_the_ledger)
    }

    /// The same question about the whole range and all groups together.
    pub(super) fn summary(&self) -> Self {
        Self { granularity: None, group_by: Vec::new(), limit: None, ..self.clone() }
    }

    /// The same question about the whole range by the columns alone.
    pub(super) fn by_columns(&self) -> Self {
        let unique_users = self.is_ordered_by_users();
        Self { granularity: None, group_by: self.columns().collect(), unique_users, ..self.clone() }
    }

    /// The summary of what buckets know of the question: all that a question to the ledger reads, and more.
    pub(super) fn estimate(&self) -> Self {
        let filters = self.filters.iter().filter(|filter| !filter.dimension.is_of_the_ledger()).cloned();
        Self { filters: filters.collect(), as_of_ms: None, ..self.summary() }
    }

    pub(super) fn is_ordered_by_users(&self) -> bool {
        self.order.by == OrderBy::Metric(Metric::UniqueUsers)
    }

    /// The dimensions in `group_by` that are columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = Dimension> {
        self.group_by.iter().copied().filter(|dimension| !dimension.is_time())
    }
}

fn filters(given: &mut Parameters) -> Vec<Filter> {
    let mut filters = Vec::new();
    for dimension in Dimension::FILTERS {
        for (name, is_exclusion) in
            [(dimension.as_str().to_owned(), false), (format!("exclude_{dimension}"), true)]
        {
            let values = given.take(&name, |text| values(dimension, text));
            filters.extend(values.map(|values| Filter { dimension, values, is_exclusion }));
        }
    }
    filters
}

fn values(dimension: Dimension, text: &str) -> Result<Vec<String>, String> {
    if text.split(',').count() > MAX_VALUES {
        return Err(format!("At most {MAX_VALUES} values."));
    }
    text.split(',').map(|value| dimension.value(value.trim())).collect()
}

fn group_by(text: &str) -> Result<Vec<Dimension>, String> {
    let names = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    let listed = names.map(dimension).collect::<Result<Vec<_>, _>>()?;
    if listed.len() > MAX_GROUPS {
        Err(format!("At most {MAX_GROUPS} dimensions."))
    } else if (1..listed.len()).any(|n| listed[..n].contains(&listed[n])) {
        Err("Names a dimension twice.".to_owned())
    } else {
        Ok(listed)
    }
}

fn dimension(name: &str) -> Result<Dimension, String> {
    Dimension::ALL
        .into_iter()
        .find(|dimension| dimension.as_str() == name)
        .ok_or_else(|| format!("Expected one of {}.", listed(Dimension::ALL.map(Dimension::as_str))))
}

fn order_by(text: &str) -> Result<Order, String> {
    let (name, descends) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let metric = Metric::ALL.into_iter().find(|metric| metric.as_str() == name).map(OrderBy::Metric);
    let by = metric.map_or_else(|| dimension(name).map(OrderBy::Dimension), Ok).map_err(|_| {
        let names = Metric::ALL.map(Metric::as_str);
        format!("Expected a dimension of group_by or one of {}, with - in front to descend.", listed(names))
    })?;
    Ok(Order { by, descends })
}

fn listed<const N: usize>(names: [&str; N]) -> String {
    names.join(", ")
}

/// Reads a granularity; `None`: the server chooses.
fn granularity(text: &str) -> Result<Option<Granularity>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let known = Granularity::ALL.into_iter().find(|granularity| granularity.as_str() == text);
    known.map(Some).ok_or_else(|| "Expected minute, hour, day, week, month or auto.".to_owned())
}

fn compare(text: &str) -> Result<Compare, String> {
    match text {
        "previous" => Ok(Compare::Previous),
        "year" => Ok(Compare::Year),
        _ => Err("Expected previous or year.".to_owned()),
    }
}

/// The granularity that makes a readable chart of a range.
fn automatic(range: Range) -> Granularity {
    let widths = [
        (8 * HOUR, Granularity::Minute),
        (10 * DAY, Granularity::Hour),
        (180 * DAY, Granularity::Day),
        (1_095 * DAY, Granularity::Week),
    ];
    let seconds = range.seconds();
    widths.iter().find(|(longest, _)| seconds <= *longest).map_or(Granularity::Month, |(_, width)| *width)
}

/// The range of whole buckets up to the present one, where no start is named.
fn default_range(calendar: &Calendar, granularity: Option<Granularity>, end: OffsetDateTime) -> Range {
    let end = ceiling(end);
    let (granularity, before) = match granularity {
        Some(Granularity::Minute) => (Granularity::Minute, HOUR),
        None | Some(Granularity::Hour) => (Granularity::Hour, DAY),
        Some(Granularity::Day) => (Granularity::Day, 30 * DAY),
        Some(Granularity::Week) => (Granularity::Week, 12 * 7 * DAY),
        Some(Granularity::Month) => (Granularity::Month, 365 * DAY),
    };
    let start = calendar.floor(end - before, granularity);
    // Not one bucket more than the usual number because the end is inside of one.
    let start = if start < end - before { calendar.next(start, granularity) } else { start };
    Range { start, end }.widened(MINUTE)
}

/// Unix seconds, rounded up.
fn ceiling(at: OffsetDateTime) -> i64 {
    at.saturating_add(Duration::nanoseconds(999_999_999)).unix_timestamp()
}

fn unix_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::click::Rejection;
    use proptest::prelude::*;

    use super::*;

    /// 15 January 2027, 08:00 UTC.
    const NOW: i64 = 1_800_000_000;

    fn read(kind: Kind, query: &[(&str, &str)]) -> Result<Question, Rejection> {
        let given = query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        Question::read(kind, Parameters::new(given), now).map_err(|error| match error {
            Error::Invalid(rejection) => rejection,
            error => panic!("{error}"),
        })
    }

    fn range(kind: Kind, query: &[(&str, &str)]) -> (Option<Granularity>, String, String) {
        let question = read(kind, query).unwrap();
        let shown = |at| question.calendar.rfc3339(at);
        (question.granularity, shown(question.range.start), shown(question.range.end))
    }

    #[test]
    fn without_a_start_the_range_begins_with_a_whole_bucket() {
        let of =
            |granularity, zone| range(Kind::Timeseries, &[("granularity", granularity), ("time_zone", zone)]);
        let end = "2027-01-15T08:00:00Z".to_owned();
        assert_eq!(of("minute", "UTC").1, "2027-01-15T07:00:00Z");
        assert_eq!(
            of("auto", "UTC"),
            (Some(Granularity::Hour), "2027-01-14T08:00:00Z".to_owned(), end.clone())
        );
        assert_eq!(of("day", "Europe/Berlin").1, "2026-12-17T00:00:00+01:00");
        assert_eq!(of("week", "UTC").1, "2026-10-26T00:00:00Z");
        assert_eq!(of("month", "Asia/Kolkata").1, "2026-02-01T00:00:00+05:30");
        assert_eq!(range(Kind::Summary, &[]), (None, "2027-01-14T08:00:00Z".to_owned(), end));
    }

    #[test]
    fn ranges_are_widened_to_whole_minutes_whatever_the_granularity() {
        for granularity in ["minute", "hour", "day"] {
            let (_, start, end) = range(
                Kind::Timeseries,
                &[
                    ("granularity", granularity),
                    ("start_time", "2027-01-14T08:00:59.999Z"),
                    ("end_time", "2027-01-14T09:00:00.001Z"),
                ],
            );
            assert_eq!([start, end], ["2027-01-14T08:00:00Z", "2027-01-14T09:01:00Z"], "{granularity}");
        }
    }

    #[test]
    fn filters_take_several_values_and_exclusions() {
        let question = read(
            Kind::Breakdown,
            &[
                ("group_by", "campaign_id, weekday"),
                ("country", "de,FRA"),
                ("exclude_os", "unknown"),
                ("order_by", "-billable"),
                ("limit", "10"),
            ],
        )
        .unwrap();
        let filter = |dimension, values: &[&str], is_exclusion| {
            let values = values.iter().map(|&value| value.to_owned()).collect();
            Filter { dimension, values, is_exclusion }
        };
        assert_eq!(
            question.filters,
            [filter(Dimension::Country, &["DE", "FR"], false), filter(Dimension::Os, &["unknown"], true)]
        );
        assert_eq!(question.group_by, [Dimension::CampaignId, Dimension::Weekday]);
        assert_eq!(question.order, Order { by: OrderBy::Metric(Metric::Billable), descends: true });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let many = vec!["DE"; 101].join(",");
        for (kind, query, field) in [
            (Kind::Breakdown, vec![], "group_by"),
            (Kind::Breakdown, vec![("group_by", "campaign_id,ad_id,country,os")], "group_by"),
            (Kind::Breakdown, vec![("group_by", "os,os")], "group_by"),
            (Kind::Breakdown, vec![("group_by", "user_id")], "group_by"),
            (Kind::Breakdown, vec![("group_by", "os"), ("granularity", "day")], "granularity"),
            (Kind::Breakdown, vec![("group_by", "os"), ("order_by", "country")], "order_by"),
            (Kind::Breakdown, vec![("group_by", "os"), ("order_by", "unique_users")], "order_by"),
            (Kind::Breakdown, vec![("group_by", "os"), ("limit", "0")], "limit"),
            (Kind::Summary, vec![("group_by", "os")], "group_by"),
            (Kind::Summary, vec![("limit", "1")], "limit"),
            (Kind::Summary, vec![("weekday", "1")], "weekday"),
            (Kind::Summary, vec![("country", "DE,Atlantis")], "country"),
            (Kind::Summary, vec![("exclude_country", &many)], "exclude_country"),
            (Kind::Summary, vec![("os", "")], "os"),
            (Kind::Summary, vec![("compare", "week")], "compare"),
            (Kind::Summary, vec![("unique_users", "yes")], "unique_users"),
            (Kind::Summary, vec![("as_of", "yesterday")], "as_of"),
            (Kind::Summary, vec![("time_zone", "Berlin")], "time_zone"),
            (Kind::Summary, vec![("start_time", "2030-01-01T00:00:00Z")], "start_time"),
            (Kind::Timeseries, vec![("limit", "5"), ("group_by", "weekday")], "limit"),
            (Kind::Timeseries, vec![("order_by", "weekday"), ("group_by", "weekday")], "order_by"),
            (Kind::Timeseries, vec![("granularity", "second")], "granularity"),
            (
                Kind::Timeseries,
                vec![("granularity", "minute"), ("start_time", "2026-01-01T00:00:00Z")],
                "start_time",
            ),
        ] {
            let rejection = read(kind, &query).map(|_| ()).unwrap_err();
            assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), [field], "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_answered(
            granularity in prop_oneof![Just("minute"), Just("hour"), Just("day"), Just("month"), Just("auto")],
            zone in prop_oneof![Just("UTC"), Just("Asia/Kolkata"), Just("America/New_York")],
            start in proptest::option::of(super::super::tests::time()),
            end in proptest::option::of(super::super::tests::time()),
        ) {
            let times = [("start_time", &start), ("end_time", &end)];
            let times = times.iter().filter_map(|(name, time)| Some((*name, time.as_deref()?)));
            let query: Vec<_> = times.chain([("granularity", granularity), ("time_zone", zone)]).collect();
            if let Ok(question) = read(Kind::Timeseries, &query) {
                prop_assert!(question.range.start < question.range.end, "{question:?}");
            }
        }
    }
}
