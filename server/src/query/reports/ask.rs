//! Reports, made of the rows that the database holds.

use std::{cmp::Ordering, sync::Arc, time::Instant};

use clickwire_protocol::{
    click::Rejection,
    ids::AdvertiserId,
    report::{
        Basis, Breakdown, BreakdownRow, Comparison, Granularity, Group, Numbers, Summary, Timeseries,
        TimeseriesComparison, TimeseriesRow,
    },
};
use foldhash::HashMap;
use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    MAX_CLICKS, MAX_COUNTED_USERS, MAX_ROWS,
    calendar::{Calendar, HOUR, Range, floor, rfc3339_ms},
    plan::{Kept, Plan, Stored, TooLarge},
    question::{OrderBy, Question},
    rows::{Key, Rows, TooMany, value},
    statements::{Statement, Top, instant},
    uniques,
};
use crate::{
    http::error::Error,
    identity::access::Caller,
    query::{state::QueryState, watermark::Watermark},
    store::{
        database::{TenantTransaction, answer},
        error::of_question,
    },
};

/// The first day of which clicks are kept; `NULL` before there are any.
const LEDGER_FROM: &str = "SELECT min(range_start) FROM timescaledb_information.chunks \
     WHERE hypertable_schema = 'public' AND hypertable_name = 'clicks'";

/// The source of answers to a question: one snapshot of what the caller may see.
pub(crate) struct Asker {
    tenants: TenantTransaction,
    advertiser_id: Option<AdvertiserId>,
    progress: Progress,
    final_before: Option<String>,
    started: Instant,
}

/// The times of [`Progress`], and whether an hour that is asked about has changed since it was stored: `$1` and `$2`
/// are the range, `$3` the advertiser.
const KEPT: &str = "SELECT hours_before, days_before, minutes_from, \
            EXISTS (SELECT FROM stale_hours WHERE bucket >= $1 AND bucket < $2 \
                       AND ($3::text IS NULL OR advertiser_id = $3)) AS is_stale FROM kept";

/// The lag of stored hours from which on the views are read: that many minutes are too many for one statement.
const LONGEST_LAG: time::Duration = time::Duration::DAY;

/// Margin for clicks ahead of time: none is counted an hour ahead, whatever clocks say.
const AHEAD: time::Duration = time::Duration::hours(2);

/// The times from which on, or before which, counts are kept and stored.
#[derive(Debug, FromRow)]
struct Progress {
    /// Hours and days before it are stored.
    hours_before: OffsetDateTime,
    days_before: OffsetDateTime,
    minutes_from: OffsetDateTime,
    is_stale: bool,
}

impl Progress {
    async fn read(
        tenants: &mut TenantTransaction,
        question: &Question,
        advertiser_id: Option<&AdvertiserId>,
    ) -> Result<Self, sqlx::Error> {
        let before = compared(question).unwrap_or(question.range);
        let asked =
            Range { start: question.range.start.min(before.start), end: question.range.end.max(before.end) };
        // A bucket may reach beyond the range by an hour.
        let asked = asked.widened(HOUR);
        let kept =
            sqlx::query_as(KEPT).bind(instant(asked.start)).bind(instant(asked.end)).bind(advertiser_id);
        kept.fetch_one(&mut **tenants).await
    }

    /// The times that the views show.
    fn shown(&self) -> Kept {
        Kept { minutes_from: self.minutes_from.unix_timestamp(), stored: None }
    }

    /// The times that the tables hold, if these are right; else those of the views.
    fn kept(&self) -> Kept {
        let now = OffsetDateTime::now_utc();
        let is_right = !self.is_stale && now - self.hours_before < LONGEST_LAG;
        let stored = is_right.then(|| Stored {
            hours_before: self.hours_before.unix_timestamp(),
            days_before: self.days_before.unix_timestamp(),
            empty_from: floor((now + AHEAD).unix_timestamp(), HOUR),
        });
        Kept { stored, ..self.shown() }
    }
}

/// The rows of a plan.
struct Answered {
    plan: Plan,
    rows: Rows,
}

impl Asker {
    /// Begins to answer a question, if the caller may ask it and its share is not used up.
    pub(crate) async fn begin(
        state: &Arc<QueryState>,
        caller: &Caller,
        question: &Question,
    ) -> Result<Self, Error> {
        let advertiser_id = caller.scope.advertiser_or_all(question.advertiser_id.as_ref())?;
        let started = Instant::now();
        let mut tenants = state.tenants.begin(&caller.scope, caller.holders(advertiser_id)).await?;
        // Before the rows: what is called final is in them.
        let watermark = answer(Watermark::read(&mut *tenants, state.partitions)).await?;
        let progress = answer(Progress::read(&mut tenants, question, advertiser_id)).await?;
        let advertiser_id = advertiser_id.cloned();
        Ok(Self { tenants, advertiser_id, progress, final_before: watermark.final_before(), started })
    }

    pub(crate) async fn summary(mut self, question: &Question) -> Result<Summary, Error> {
        let answered = self.answer(question, question.range, None).await?;
        let mut comparison = None;
        if let Some(range) = compared(question) {
            let before = self.answer(question, range, None).await?;
            comparison = Some(compared_totals(question, &before));
        }
        Ok(Summary {
            totals: answered.rows.totals,
            comparison,
            basis: self.basis("summary", question, &answered.plan),
        })
    }

    pub(crate) async fn breakdown(mut self, question: &Question) -> Result<Breakdown, Error> {
        let mut answered = self.answer(question, question.range, None).await?;
        let mut order: Vec<_> =
            answered.rows.numbers.drain().map(|(key, numbers)| (key.group, numbers)).collect();
        order.sort_by(|a, b| compare((&a.0, &a.1), (&b.0, &b.1), question));
        let groups = order.len();
        let others = question.limit.map(|limit| order.split_off(limit.min(groups))).unwrap_or_default();
        let top = Top::new(order.iter().map(|(group, _)| group.clone()).collect());
        if !others.is_empty() {
            let mut rest = added(others.iter().map(|(_, numbers)| numbers));
            if question.unique_users {
                rest.unique_users = self.users_of_others(question, &top).await?;
            }
            order.push((Group::others(), rest));
        }
        let mut rows: Vec<_> = order
            .into_iter()
            .map(|(group, numbers)| BreakdownRow { group, numbers, previous: None })
            .collect();
        let mut comparison = None;
        if let Some(range) = compared(question) {
            let before = self.answer(question, range, None).await?;
            let numbers = &before.rows.numbers;
            let of = |group: &Group| numbers.get(&Key { bucket: None, group: group.clone() });
            let told_apart = rows.iter().filter(|row| !row.group.other).filter_map(|row| of(&row.group));
            let told_apart = added(told_apart);
            for row in &mut rows {
                row.previous = Some(if row.group.other {
                    less(&before.rows.totals, &told_apart)
                } else {
                    of(&row.group).copied().unwrap_or_default()
                });
            }
            comparison = Some(compared_totals(question, &before));
        }
        let basis = self.basis("breakdown", question, &answered.plan);
        Ok(Breakdown { rows, groups, totals: answered.rows.totals, comparison, basis })
    }

    pub(crate) async fn timeseries(mut self, question: &Question) -> Result<Timeseries, Error> {
        let granularity = question.granularity.unwrap_or(Granularity::Hour);
        let top = self.top(question).await?;
        let answered = self.answer(question, question.range, top.as_ref()).await?;
        let groups = match &top {
            Some(top) => top.groups.clone(),
            None => self.groups(question, &answered),
        };
        let rows = filled(question, &answered, &groups, granularity)?;
        let mut comparison = None;
        if let Some(range) = compared(question) {
            let top = Top::new(groups.clone());
            let before = self
                .answer(question, range, Some(&top).filter(|_| question.columns().next().is_some()))
                .await?;
            let Comparison { start_time, end_time, totals } = compared_totals(question, &before);
            let rows = filled(question, &before, &groups, granularity)?;
            comparison = Some(TimeseriesComparison { start_time, end_time, rows, totals });
        }
        let basis = self.basis("timeseries", question, &answered.plan);
        Ok(Timeseries { granularity, rows, totals: answered.rows.totals, comparison, basis })
    }

    /// The groups that a time series tells apart, if there is a limit, or an order that its rows don't tell.
    async fn top(&mut self, question: &Question) -> Result<Option<Top>, Error> {
        let is_by_users = question.is_ordered_by_users() && question.columns().next().is_some();
        let Some(limit) = question.limit.or(is_by_users.then_some(MAX_ROWS)) else { return Ok(None) };
        let by_columns = question.by_columns();
        let mut answered = self.answer(&by_columns, question.range, None).await?;
        let mut groups: Vec<_> =
            answered.rows.numbers.drain().map(|(key, numbers)| (key.group, numbers)).collect();
        groups.sort_by(|a, b| compare((&a.0, &a.1), (&b.0, &b.1), question));
        groups.truncate(limit);
        Ok(Some(Top::new(groups.into_iter().map(|(group, _)| group).collect())))
    }

    /// The groups of a time series in their order, without parts of the time.
    fn groups(&self, question: &Question, answered: &Answered) -> Vec<Group> {
        let mut by_group: HashMap<Group, Numbers> = HashMap::default();
        for (key, numbers) in &answered.rows.numbers {
            let group = Group { hour_of_day: None, weekday: None, ..key.group.clone() };
            let sum = by_group.entry(group).or_default();
            *sum = added([&*sum, numbers].into_iter());
        }
        if question.columns().next().is_none() {
            return vec![Group::default()];
        }
        let mut groups: Vec<_> = by_group.into_iter().collect();
        groups.sort_by(|a, b| compare((&a.0, &a.1), (&b.0, &b.1), question));
        groups.into_iter().map(|(group, _)| group).collect()
    }

    /// The rows of a range.
    async fn answer(
        &mut self,
        question: &Question,
        range: Range,
        top: Option<&Top>,
    ) -> Result<Answered, Error> {
        if question.is_of_the_ledger() {
            if let Some(from) = self.missing_before(question, range).await? {
                return Err(Error::field(
                    "start_time",
                    &format!("The ledger, which answers os, browser and as_of, begins at {from}."),
                ));
            }
            let clicks = self.estimate(question, range).await?;
            if clicks > MAX_CLICKS {
                return Err(Error::field(
                    "start_time",
                    &format!(
                        "This is a question about {clicks} clicks one by one; at most {MAX_CLICKS} are read. Ask for a \
                     shorter range or with more filters, or without os, browser and as_of."
                    ),
                ));
            }
        }
        let plan = plan(question, range, self.progress.kept())?;
        let statement = Statement { question, plan: &plan, advertiser_id: self.advertiser_id.as_ref(), top };
        let rows = answer(Rows::read(&statement, &mut self.tenants)).await.map_err(of_question)?;
        let mut rows = rows.map_err(|TooMany| too_many_rows())?;
        if question.unique_users
            && let Some(users) = self.users(question, range, top).await?
        {
            rows.fill(&users);
        }
        Ok(Answered { plan, rows })
    }

    /// Users by row: from sketches, or from the ledger where there are few clicks.
    async fn users(
        &mut self,
        question: &Question,
        range: Range,
        top: Option<&Top>,
    ) -> Result<Option<uniques::Users>, Error> {
        let advertiser_id = self.advertiser_id.clone();
        // Sketches are folded whether counts are stored or not.
        let plan = plan(question, range, self.progress.shown())?;
        let statement = Statement { question, plan: &plan, advertiser_id: advertiser_id.as_ref(), top };
        let sketched = answer(uniques::sketched(&statement, &mut self.tenants)).await.map_err(of_question)?;
        if sketched.is_some() {
            return Ok(sketched);
        }
        if self.estimate(question, plan.range).await? > MAX_COUNTED_USERS
            || self.missing_before(question, plan.range).await?.is_some()
        {
            return Ok(None);
        }
        let counted = answer(uniques::counted(&statement, &mut self.tenants)).await.map_err(of_question)?;
        Ok(Some(counted))
    }

    async fn users_of_others(&mut self, question: &Question, top: &Top) -> Result<Option<i64>, Error> {
        let users = self.users(question, question.range, Some(top)).await?;
        Ok(users.and_then(|users| users.by_row.get(&Key { bucket: None, group: Group::others() }).copied()))
    }

    /// The number of clicks of the range, as far as buckets can filter them.
    async fn estimate(&mut self, question: &Question, range: Range) -> Result<i64, Error> {
        let question = question.estimate();
        let plan = plan(&question, range, self.progress.kept())?;
        let advertiser_id = self.advertiser_id.clone();
        let statement =
            Statement { question: &question, plan: &plan, advertiser_id: advertiser_id.as_ref(), top: None };
        let rows = answer(Rows::read(&statement, &mut self.tenants)).await.map_err(of_question)?;
        Ok(rows.map_or(i64::MAX, |rows| rows.totals.received))
    }

    /// The start of the ledger, if retention has dropped clicks of the range.
    async fn missing_before(&mut self, question: &Question, range: Range) -> Result<Option<String>, Error> {
        let from = sqlx::query_scalar::<_, Option<OffsetDateTime>>(LEDGER_FROM);
        let from = answer(from.fetch_one(&mut *self.tenants)).await?;
        let from = from.map_or(range.end, OffsetDateTime::unix_timestamp);
        if range.start >= from {
            return Ok(None);
        }
        let before = Range { start: range.start, end: from.min(range.end) };
        let is_missing = self.estimate(question, before).await? > 0;
        Ok(is_missing.then(|| Calendar::utc().rfc3339(from)))
    }

    fn basis(self, name: &'static str, question: &Question, plan: &Plan) -> Basis {
        let elapsed = self.started.elapsed();
        metrics::histogram!("clickwire_query_seconds", "query" => name).record(elapsed);
        let utc = Calendar::utc();
        Basis {
            start_time: question.calendar.rfc3339(plan.range.start),
            end_time: question.calendar.rfc3339(plan.range.end),
            time_zone: question.calendar.name().to_owned(),
            sources: plan.sources(),
            stored_before: (!question.is_of_the_ledger())
                .then(|| utc.rfc3339(self.progress.hours_before.unix_timestamp())),
            final_before: self.final_before,
            as_of: question.as_of_ms.map(rfc3339_ms),
            query_time_ms: elapsed.as_secs_f64() * 1e3,
        }
    }
}

fn plan(question: &Question, range: Range, kept: Kept) -> Result<Plan, Error> {
    Plan::new(question, range, kept).map_err(|TooLarge(parameter, message)| Error::field(parameter, &message))
}

fn compared(question: &Question) -> Option<Range> {
    question.compare.map(|compare| question.calendar.compared(question.range, compare))
}

fn compared_totals(question: &Question, before: &Answered) -> Comparison {
    Comparison {
        start_time: question.calendar.rfc3339(before.plan.range.start),
        end_time: question.calendar.rfc3339(before.plan.range.end),
        totals: before.rows.totals,
    }
}

/// Rows of all buckets and groups; where nothing was received, zeros.
fn filled(
    question: &Question,
    answered: &Answered,
    groups: &[Group],
    granularity: Granularity,
) -> Result<Vec<TimeseriesRow>, Error> {
    let plan = &answered.plan;
    let has_others = answered.rows.numbers.keys().any(|key| key.group.other);
    let others = has_others.then(Group::others);
    if plan.labels.len().saturating_mul(groups.len() + usize::from(has_others)) > MAX_ROWS {
        return Err(too_many_rows());
    }
    let calendar = &question.calendar;
    let zero = Numbers { unique_users: question.unique_users.then_some(0), ..Numbers::default() };
    let groups: Vec<_> = groups.iter().chain(&others).collect();
    let mut rows = Vec::with_capacity(plan.labels.len() * groups.len());
    for label in &plan.labels {
        let bucket = label.bucket.unwrap_or(plan.range.start);
        // Once for all groups of a bucket: calendars take their time.
        let (time_bucket, partial) =
            (calendar.rfc3339(bucket), plan.is_partial(calendar, bucket, granularity));
        rows.extend(groups.iter().map(|&group| {
            let group = Group { hour_of_day: label.hour_of_day, weekday: label.weekday, ..group.clone() };
            let key = Key { bucket: label.bucket, group };
            let numbers = answered.rows.numbers.get(&key).copied().unwrap_or(zero);
            TimeseriesRow { time_bucket: time_bucket.clone(), partial, group: key.group, numbers }
        }));
    }
    Ok(rows)
}

/// The order that is asked for; groups that are equal in it are in the order of their values.
fn compare(a: (&Group, &Numbers), b: (&Group, &Numbers), question: &Question) -> Ordering {
    let ordering = match question.order.by {
        OrderBy::Metric(metric) => metric.of(a.1).cmp(&metric.of(b.1)),
        OrderBy::Dimension(dimension) => value(a.0, dimension).cmp(&value(b.0, dimension)),
    };
    let ordering = if question.order.descends { ordering.reverse() } else { ordering };
    ordering.then_with(|| a.0.cmp(b.0))
}

/// The sum of rows, without users, which can't be added up.
fn added<'a>(rows: impl Iterator<Item = &'a Numbers>) -> Numbers {
    rows.fold(Numbers::default(), |sum, row| Numbers {
        clicks: sum.clicks + row.clicks,
        billable: sum.billable + row.billable,
        fraud_count: sum.fraud_count + row.fraud_count,
        duplicates: sum.duplicates + row.duplicates,
        received: sum.received + row.received,
        unique_users: None,
    })
}

fn less(all: &Numbers, part: &Numbers) -> Numbers {
    Numbers {
        clicks: all.clicks - part.clicks,
        billable: all.billable - part.billable,
        fraud_count: all.fraud_count - part.fraud_count,
        duplicates: all.duplicates - part.duplicates,
        received: all.received - part.received,
        unique_users: None,
    }
}

fn too_many_rows() -> Error {
    Error::Invalid(Rejection::form(format!(
        "More than {MAX_ROWS} rows: ask for a shorter time, a coarser granularity, fewer groups or a limit."
    )))
}
