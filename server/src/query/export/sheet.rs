//! The content of an export: rows of columns, each of one kind.

use clickwire_protocol::report::{
    Breakdown, BreakdownRow, Dimension, Group, Metric, Numbers, Timeseries, TimeseriesRow,
};

use crate::query::reports::question::Question;

/// Label of the groups beyond a report's limit.
const OTHER: &str = "(other)";

/// A column of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The kind of a column's values, each of which may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    /// Unix milliseconds.
    Time,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Missing,
    Text(String),
    Integer(i64),
    /// Unix milliseconds.
    Time(i64),
}

/// Values in the order of the columns.
pub(crate) type Row = Vec<Cell>;

pub(crate) const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

pub(crate) const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer }
}

pub(crate) const fn time(name: &'static str) -> Column {
    Column { name, kind: Kind::Time }
}

impl From<Option<String>> for Cell {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Missing, Self::Text)
    }
}

impl From<Option<i64>> for Cell {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Missing, Self::Integer)
    }
}

/// The columns of a report in groups.
fn columns(first: Option<Column>, group_by: &[Dimension], with_users: bool) -> Vec<Column> {
    let groups = group_by.iter().map(|dimension| Column {
        name: dimension.as_str(),
        kind: if dimension.is_time() { Kind::Integer } else { Kind::Text },
    });
    let metrics = metrics(with_users).map(|metric| integer(metric.as_str()));
    first.into_iter().chain(groups).chain(metrics).collect()
}

fn metrics(with_users: bool) -> impl Iterator<Item = Metric> {
    Metric::ALL.into_iter().filter(move |metric| with_users || *metric != Metric::UniqueUsers)
}

fn cells(group: &Group, numbers: &Numbers, group_by: &[Dimension], with_users: bool) -> Row {
    let groups = group_by.iter().map(|dimension| match dimension {
        Dimension::HourOfDay => Cell::from(group.hour_of_day.map(i64::from)),
        Dimension::Weekday => Cell::from(group.weekday.map(i64::from)),
        _ if group.other => Cell::Text(OTHER.to_owned()),
        dimension => Cell::from(group.value(*dimension)),
    });
    groups.chain(metrics(with_users).map(|metric| Cell::from(metric.of(numbers)))).collect()
}

/// The sheet of a breakdown; with a comparison the group's numbers of the other period stand beside its own.
pub(super) fn of_breakdown(report: &Breakdown, question: &Question) -> (Vec<Column>, Vec<Row>) {
    let (group_by, with_users) = (&*question.group_by, question.unique_users);
    let mut columns = columns(None, group_by, with_users);
    if question.compare.is_some() {
        columns.extend(metrics(with_users).map(|metric| integer(previous(metric))));
    }
    let row = |row: &BreakdownRow| {
        let mut cells = cells(&row.group, &row.numbers, group_by, with_users);
        if question.compare.is_some() {
            let of_previous = |metric: Metric| Cell::from(row.previous.and_then(|before| metric.of(&before)));
            cells.extend(metrics(with_users).map(of_previous));
        }
        cells
    };
    (columns, report.rows.iter().map(row).collect())
}

/// The sheet of a time series; with a comparison the rows of the other period follow, and a column tells them apart.
pub(super) fn of_timeseries(report: &Timeseries, question: &Question) -> (Vec<Column>, Vec<Row>) {
    let (group_by, with_users) = (&*question.group_by, question.unique_users);
    let mut columns = columns(Some(text("time_bucket")), group_by, with_users);
    if question.compare.is_some() {
        columns.insert(0, text("period"));
    }
    let row = |period: &str, row: &TimeseriesRow| {
        let mut cells = cells(&row.group, &row.numbers, group_by, with_users);
        cells.insert(0, Cell::Text(row.time_bucket.clone()));
        if question.compare.is_some() {
            cells.insert(0, Cell::Text(period.to_owned()));
        }
        cells
    };
    let before = report.comparison.iter().flat_map(|comparison| &comparison.rows);
    let rows = report.rows.iter().map(|it| row("current", it)).chain(before.map(|it| row("previous", it)));
    (columns, rows.collect())
}

/// The column of a metric in the period that is compared with.
fn previous(metric: Metric) -> &'static str {
    match metric {
        Metric::Clicks => "previous_clicks",
        Metric::Billable => "previous_billable",
        Metric::FraudCount => "previous_fraud_count",
        Metric::Duplicates => "previous_duplicates",
        Metric::Received => "previous_received",
        Metric::UniqueUsers => "previous_unique_users",
    }
}
