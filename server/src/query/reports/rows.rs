//! The rows of a report, by bucket and group.

use clickwire_protocol::{
    counts::{Counts, Disposition},
    report::{Dimension, Group, Numbers},
};
use foldhash::{HashMap, HashMapExt as _};
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::{MAX_ROWS, statements::Statement, uniques::Users};

/// The name of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The start of the bucket, of a time series.
    pub(super) bucket: Option<i64>,
    pub(super) group: Group,
}

/// The numbers of a report, in no order.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) numbers: HashMap<Key, Numbers>,
    pub(super) totals: Numbers,
}

/// More rows than an answer may have.
#[derive(Debug)]
pub(super) struct TooMany;

impl Rows {
    /// Reads the counts that a statement is about.
    pub(super) async fn read(
        statement: &Statement<'_>,
        database: &mut PgConnection,
    ) -> Result<Result<Self, TooMany>, sqlx::Error> {
        let rows = statement.counts().build().fetch_all(database).await?;
        if rows.len() > MAX_ROWS {
            return Ok(Err(TooMany));
        }
        let (mut by_key, mut all) = (HashMap::<Key, Counts>::with_capacity(rows.len()), Counts::default());
        for row in &rows {
            let (key, rest) = key_of(statement, row)?;
            let mut counts = Counts::default();
            for (column, disposition) in (rest..).zip(Disposition::ALL) {
                *counts.get_mut(disposition) = row.try_get(column)?;
            }
            *by_key.entry(key).or_default() += counts;
            all += counts;
        }
        let numbers = by_key.into_iter().map(|(key, counts)| (key, Numbers::new(&counts))).collect();
        Ok(Ok(Self { numbers, totals: Numbers::new(&all) }))
    }

    /// Fills in the users of rows, and of all if each row's are known.
    pub(super) fn fill(&mut self, users: &Users) {
        for (key, numbers) in &mut self.numbers {
            // Where nothing but test and defective clicks was received, there is nobody to know.
            let nobody = || (numbers.clicks + numbers.duplicates == 0).then_some(0);
            numbers.unique_users = users.by_row.get(key).copied().or_else(nobody);
        }
        let is_complete = self.numbers.values().all(|numbers| numbers.unique_users.is_some());
        self.totals.unique_users = is_complete.then_some(users.all);
    }
}

/// The key of a row, and the position of the first column behind it. Columns are read by their positions in
/// [`Statement::counts`]: to look for names takes longer than all else that is done with a row.
pub(super) fn key_of(statement: &Statement<'_>, row: &PgRow) -> Result<(Key, usize), sqlx::Error> {
    let label = row.try_get(0)?;
    let mut columns = Group::default();
    let mut next = 1;
    if let Some(top) = statement.top.filter(|_| statement.is_cut_by_database()) {
        let place: Option<i64> = row.try_get(next)?;
        next += 1;
        let place = place.and_then(|place| usize::try_from(place - 1).ok());
        columns = place.and_then(|place| top.groups.get(place)).cloned().unwrap_or_else(Group::others);
    } else {
        for dimension in statement.question.columns() {
            if let Some(value) = columns.column_mut(dimension) {
                *value = Some(row.try_get(next)?);
            }
            next += 1;
        }
    }
    Ok((key(statement, label, &columns), next))
}

/// The key of a label and the values of columns: that of the others if the group is not one of the top.
pub(super) fn key(statement: &Statement<'_>, label: i32, columns: &Group) -> Key {
    let labels = &statement.plan.labels;
    let label = usize::try_from(label).ok().and_then(|label| labels.get(label)).copied().unwrap_or_default();
    let group = Group { hour_of_day: label.hour_of_day, weekday: label.weekday, ..columns.clone() };
    let is_told_apart = |top: &super::statements::Top| {
        // A time series tells columns apart, and has all of their times.
        let named = if statement.question.granularity.is_some() { columns } else { &group };
        top.places.contains_key(named)
    };
    let group = match statement.top {
        Some(top) if !is_told_apart(top) && statement.question.granularity.is_some() => {
            Group { hour_of_day: group.hour_of_day, weekday: group.weekday, ..Group::others() }
        }
        Some(top) if !is_told_apart(top) => Group::others(),
        Some(_) | None => group,
    };
    Key { bucket: label.bucket, group }
}

/// The order of values of a dimension: numbers by number.
pub(super) fn value(group: &Group, dimension: Dimension) -> (Option<i32>, Option<&str>) {
    match dimension {
        Dimension::HourOfDay => (group.hour_of_day, None),
        Dimension::Weekday => (group.weekday, None),
        Dimension::AdvertiserId => (None, group.advertiser_id.as_deref()),
        Dimension::CampaignId => (None, group.campaign_id.as_deref()),
        Dimension::AdId => (None, group.ad_id.as_deref()),
        Dimension::Country => (None, group.country.as_deref()),
        Dimension::DeviceType => (None, group.device_type.as_deref()),
        Dimension::Os => (None, group.os.as_deref()),
        Dimension::Browser => (None, group.browser.as_deref()),
    }
}
