//! What is exported: rows of columns, each of one kind.

use clickwire_protocol::report::{Breakdown, BreakdownRow, Dimension, Group, Metric, Numbers, Timeseries};

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

/// The sheet of a breakdown.
pub(super) fn of_breakdown(
    report: &Breakdown,
    group_by: &[Dimension],
    with_users: bool,
) -> (Vec<Column>, Vec<Row>) {
    let row = |row: &BreakdownRow| cells(&row.group, &row.numbers, group_by, with_users);
    (columns(None, group_by, with_users), report.rows.iter().map(row).collect())
}

/// The sheet of a time series.
pub(super) fn of_timeseries(
    report: &Timeseries,
    group_by: &[Dimension],
    with_users: bool,
) -> (Vec<Column>, Vec<Row>) {
    let rows = report.rows.iter().map(|row| {
        let mut cells = cells(&row.group, &row.numbers, group_by, with_users);
        cells.insert(0, Cell::Text(row.time_bucket.clone()));
        cells
    });
    (columns(Some(text("time_bucket")), group_by, with_users), rows.collect())
}
