//! A report over time as lines to draw.

use std::rc::Rc;

use clickwire_protocol::report::{Dimension, Granularity, Group, Metric, Numbers, Timeseries, TimeseriesRow};

use super::{question::Question, rows::Names};
use crate::{
    palette::{OTHER, Palette},
    query::{LocalTime, Range},
    words, zone,
};

/// Labels of the axis of time, at most.
const LABELS: usize = 8;

/// A bucket of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pages) struct Bucket {
    /// The bucket's start, as the report has it.
    pub(in crate::pages) at: String,
    /// The bucket reaches beyond the range.
    pub(in crate::pages) is_partial: bool,
    /// The bucket's values may still change.
    pub(in crate::pages) is_provisional: bool,
}

impl Bucket {
    /// Its start, for people.
    pub(super) fn time(&self) -> String {
        self.at.get(..16).unwrap_or_default().replace('T', " ")
    }
}

/// The key of the line of all groups that have none of their own.
const OTHERS_KEY: &str = "*";

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pages) struct Line {
    /// Its group, as an address names it.
    pub(in crate::pages) key: String,
    /// Its name, for people.
    pub(in crate::pages) name: String,
    /// Its colour.
    pub(in crate::pages) slot: usize,
    /// One value per bucket; `None`: not known.
    pub(in crate::pages) values: Vec<Option<i64>>,
}

/// The data of a chart: buckets, lines, the period before.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pages) struct Chart {
    /// Buckets in their order.
    pub(in crate::pages) buckets: Vec<Bucket>,
    /// Lines; the first one is the lowest of a stack.
    pub(in crate::pages) lines: Vec<Line>,
    /// Totals by bucket of the period that it is compared with, if there are any.
    pub(in crate::pages) before: Option<Vec<i64>>,
    /// The width of buckets.
    pub(in crate::pages) granularity: Granularity,
    end: String,
}

impl Chart {
    /// The lines of a report.
    pub(in crate::pages) fn new(report: &Timeseries, question: &Question, names: &Names) -> Self {
        let (metric, by) = (question.metric, question.drawn_by());
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut groups: Vec<&Group> = Vec::new();
        for row in &report.rows {
            if buckets.last().is_none_or(|last| last.at != row.time_bucket) {
                let at = row.time_bucket.clone();
                buckets.push(Bucket { at, is_partial: row.partial, is_provisional: true });
            }
            if !groups.contains(&&row.group) {
                groups.push(&row.group);
            }
        }
        mark_final(&mut buckets, report);
        let mut values = vec![vec![None; buckets.len()]; groups.len()];
        let mut at = 0;
        for row in &report.rows {
            while buckets[at].at != row.time_bucket {
                at += 1;
            }
            if let Some(group) = groups.iter().position(|group| **group == row.group) {
                values[group][at] = metric.of(&row.numbers);
            }
        }
        let keys: Vec<Option<String>> = groups.iter().map(|group| key(group, by)).collect();
        let slots = slots(&keys);
        let lines = groups.iter().zip(keys).zip(values).zip(slots);
        let lines = lines.map(|(((group, key), values), slot)| {
            let name = match (&key, by) {
                (Some(key), Some(by)) => names.of(by, key),
                _ if group.other => words::OTHERS.to_string(),
                _ => words::metric(metric).to_owned(),
            };
            Line { key: key.unwrap_or_else(|| OTHERS_KEY.to_owned()), name, slot, values }
        });
        let mut lines: Vec<Line> = lines.collect();
        if report.granularity == Granularity::Minute {
            // A minute that is not over holds a part of its clicks: drawn, it looks like a fall.
            let is_over = |bucket: &Bucket| {
                zone::at_ms(&bucket.at).is_some_and(|at_ms| at_ms + 60_000 <= question.now_ms)
            };
            let over = buckets.iter().take_while(|bucket| is_over(bucket)).count();
            buckets.truncate(over);
            lines.iter_mut().for_each(|line| line.values.truncate(over));
        }
        let before = report.comparison.as_ref().and_then(|comparison| sums(&comparison.rows, metric));
        Self { buckets, lines, before, granularity: report.granularity, end: report.basis.end_time.clone() }
    }

    /// Returns the chart of one of several lines alone, or the same chart if there is no such line.
    pub(in crate::pages) fn only(self: &Rc<Self>, key: Option<&str>) -> Rc<Self> {
        let mut lines = self.lines.iter();
        match lines.find(|line| self.lines.len() > 1 && Some(line.key.as_str()) == key) {
            // The period before is known of all lines together.
            Some(line) => Rc::new(Self { lines: vec![line.clone()], before: None, ..(**self).clone() }),
            None => Rc::clone(self),
        }
    }

    /// Returns the sum of all lines at a bucket; `None`: not known.
    pub(in crate::pages) fn total(&self, bucket: usize) -> Option<i64> {
        let known = self.lines.iter().filter_map(|line| line.values.get(bucket).copied().flatten());
        known.reduce(|sum, value| sum + value)
    }

    /// Returns the totals of the period before, if they are drawn: beside a stack, or beside a single line.
    pub(in crate::pages) fn drawn_before(&self, is_stacked: bool) -> Option<&Vec<i64>> {
        self.before.as_ref().filter(|_| is_stacked || self.lines.len() == 1)
    }

    /// Returns the start of each bucket, in milliseconds since the Unix epoch.
    pub(super) fn begins(&self) -> Vec<i64> {
        self.buckets.iter().map(|bucket| zone::at_ms(&bucket.at).unwrap_or_default()).collect()
    }

    /// The largest number that is drawn.
    pub(in crate::pages) fn max(&self, is_stacked: bool) -> i64 {
        let stacked = (0..self.buckets.len()).filter_map(|bucket| self.total(bucket)).max();
        let single = self.lines.iter().flat_map(|line| &line.values).copied().flatten().max();
        let before = self.drawn_before(is_stacked).into_iter().flatten().copied().max();
        let own = if is_stacked { stacked } else { single };
        own.into_iter().chain(before).max().unwrap_or_default()
    }

    /// The range from one bucket to the end of another.
    pub(in crate::pages) fn range(&self, from: usize, to: usize) -> Option<Range> {
        let local = |text: &str| LocalTime::read(text.get(..16)?);
        let start = local(&self.buckets.get(from.min(to))?.at)?;
        let end = self.buckets.get(from.max(to) + 1).map_or(self.end.as_str(), |next| next.at.as_str());
        let end = local(end)?;
        (start < end).then_some(Range::Between(start, end))
    }

    /// Returns the buckets that have a label, with its text.
    pub(in crate::pages) fn labels(&self) -> Vec<(usize, String)> {
        let count = self.buckets.len();
        let is_midnight = |bucket: &Bucket| bucket.at.get(11..16) == Some("00:00");
        // Of hours over days the midnights, if they are enough to tell one from another.
        let midnights: Vec<usize> = (0..count)
            .filter(|index| self.granularity == Granularity::Hour && is_midnight(&self.buckets[*index]))
            .collect();
        let candidates: Vec<usize> = if midnights.len() > 2 { midnights } else { (0..count).collect() };
        let step = candidates.len().div_ceil(LABELS).max(1);
        let chosen = candidates.into_iter().step_by(step);
        chosen.map(|index| (index, self.label(index))).collect()
    }

    /// A bucket in a few letters.
    pub(in crate::pages) fn label(&self, bucket: usize) -> String {
        let at = self.buckets.get(bucket).map(|bucket| bucket.at.as_str()).unwrap_or_default();
        let (date, time) = (at.get(5..10).unwrap_or_default(), at.get(11..16).unwrap_or_default());
        match self.granularity {
            Granularity::Minute => time.to_owned(),
            Granularity::Hour if time == "00:00" => date.to_owned(),
            Granularity::Hour => time.to_owned(),
            Granularity::Day | Granularity::Week => date.to_owned(),
            Granularity::Month => at.get(..7).unwrap_or_default().to_owned(),
        }
    }
}

/// Marks which buckets may still change: those that end after the time before which the report is final.
fn mark_final(buckets: &mut [Bucket], report: &Timeseries) {
    let Some(final_ms) = report.basis.final_before.as_deref().and_then(zone::at_ms) else { return };
    let begins: Vec<Option<i64>> = buckets.iter().map(|bucket| zone::at_ms(&bucket.at)).collect();
    let end = zone::at_ms(&report.basis.end_time);
    for (index, bucket) in buckets.iter_mut().enumerate() {
        let ends = begins.get(index + 1).copied().flatten().or(end);
        bucket.is_provisional = ends.is_none_or(|ends| ends > final_ms);
    }
}

/// Returns the sum over all groups, bucket by bucket; `None`: users of several groups, who may be the same ones.
fn sums(rows: &[TimeseriesRow], metric: Metric) -> Option<Vec<i64>> {
    if metric == Metric::UniqueUsers && rows.iter().any(|row| row.group != rows[0].group) {
        return None;
    }
    let mut sums: Vec<i64> = Vec::new();
    let mut last = None;
    for row in rows {
        if last != Some(&row.time_bucket) {
            last = Some(&row.time_bucket);
            sums.push(0);
        }
        if let Some(sum) = sums.last_mut() {
            *sum += number(metric, &row.numbers);
        }
    }
    Some(sums)
}

fn number(metric: Metric, numbers: &Numbers) -> i64 {
    metric.of(numbers).unwrap_or_default()
}

fn key(group: &Group, by: Option<Dimension>) -> Option<String> {
    by.and_then(|by| group.value(by))
}

/// Returns colours by a hash of each line's key, the same for every viewer; where two would have one, the later in
/// the alphabet takes the next.
fn slots(keys: &[Option<String>]) -> Vec<usize> {
    let palette = Palette::new(keys.iter().flatten().map(String::as_str));
    let is_alone = keys.len() == 1;
    let slot = |key: &Option<String>| match key {
        Some(key) => palette.slot_of(key).unwrap_or(OTHER),
        None if is_alone => 0,
        None => OTHER,
    };
    keys.iter().map(slot).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use clickwire_protocol::report::{Basis, TimeseriesComparison};

    use super::{super::question::tests::view, *};

    fn row(at: &str, country: Option<&str>, clicks: i64) -> TimeseriesRow {
        let group = match country {
            Some("") => Group::others(),
            country => Group { country: country.map(str::to_owned), ..Group::default() },
        };
        let numbers = Numbers { clicks, ..Numbers::default() };
        TimeseriesRow { time_bucket: at.to_owned(), group, numbers, partial: false }
    }

    pub(in super::super) fn report() -> Timeseries {
        let at = |hour: u32| format!("2026-11-28T{hour:02}:00:00+01:00");
        let rows = (10..13).flat_map(|hour| {
            [
                row(&at(hour), Some("DE"), 10),
                row(&at(hour), Some("FR"), i64::from(hour)),
                row(&at(hour), Some(""), 1),
            ]
        });
        let before = (7..10).map(|hour| row(&at(hour), Some("DE"), 5));
        Timeseries {
            granularity: Granularity::Hour,
            rows: rows.collect(),
            totals: Numbers::default(),
            comparison: Some(TimeseriesComparison {
                start_time: at(7),
                end_time: at(10),
                rows: before.collect(),
                totals: Numbers::default(),
            }),
            basis: Basis {
                start_time: at(10),
                end_time: "2026-11-28T12:30:00+01:00".to_owned(),
                time_zone: "Europe/Berlin".to_owned(),
                final_before: Some("2026-11-28T11:00:00Z".to_owned()),
                ..Basis::default()
            },
        }
    }

    pub(in super::super) fn chart() -> Chart {
        Chart::new(&report(), &Question::new(&view("by=country"), 0), &Names::default())
    }

    #[test]
    fn a_report_is_a_line_a_group() {
        let chart = chart();
        let lines: Vec<_> =
            chart.lines.iter().map(|line| (line.name.as_str(), line.values.clone())).collect();
        assert_eq!(
            lines,
            [
                ("DE", vec![Some(10); 3]),
                ("FR", vec![Some(10), Some(11), Some(12)]),
                (words::OTHERS.get(), vec![Some(1); 3])
            ]
        );
        assert_eq!(chart.lines[2].slot, OTHER);
        assert_ne!(chart.lines[0].slot, chart.lines[1].slot);
        assert_eq!(chart.before, Some(vec![5, 5, 5]));
        assert_eq!((chart.total(2), chart.max(true), chart.max(false)), (Some(23), 23, 12));
    }

    #[test]
    fn users_of_several_groups_are_not_summed_up() {
        let users = |country, users| {
            let mut row = row("2026-11-28T07:00:00+01:00", Some(country), 0);
            row.numbers.unique_users = Some(users);
            row
        };
        let mut report = report();
        for (rows, metric, expected) in [
            (vec![users("DE", 7), users("FR", 5)], Metric::UniqueUsers, None),
            (vec![users("DE", 7)], Metric::UniqueUsers, Some(vec![7])),
            (vec![users("DE", 7), users("FR", 5)], Metric::Clicks, Some(vec![0])),
            (Vec::new(), Metric::UniqueUsers, Some(Vec::new())),
        ] {
            report.comparison.as_mut().unwrap().rows = rows;
            let question = Question::new(&view(&format!("by=country&m={}", metric.as_str())), 0);
            assert_eq!(Chart::new(&report, &question, &Names::default()).before, expected, "{metric:?}");
        }
    }

    #[test]
    fn a_line_alone_has_its_own_height() {
        let whole = Rc::new(chart());
        let alone = whole.only(Some("FR"));
        assert_eq!((alone.lines.len(), alone.max(true), alone.total(2)), (1, 12, Some(12)));
        assert_eq!(alone.before, None, "it is of all lines");
        assert_eq!(alone.buckets, whole.buckets);
        assert_eq!(whole.only(Some(OTHERS_KEY)).lines[0].name, words::OTHERS.get());
        for key in [None, Some("SE")] {
            assert!(Rc::ptr_eq(&whole.only(key), &whole), "{key:?}");
        }
        assert!(Rc::ptr_eq(&alone.only(Some("FR")), &alone), "a single line is not told apart");
    }

    #[test]
    fn buckets_behind_the_watermark_may_still_change() {
        let provisional: Vec<bool> = chart().buckets.iter().map(|bucket| bucket.is_provisional).collect();
        assert_eq!(provisional, [false, false, true], "12:00 in Berlin is 11:00 UTC");
        let mut unknown = report();
        unknown.basis.final_before = None;
        let chart = Chart::new(&unknown, &Question::new(&view("by=country"), 0), &Names::default());
        assert!(chart.buckets.iter().all(|bucket| bucket.is_provisional));
    }

    #[test]
    fn a_minute_that_is_not_over_is_not_drawn() {
        let mut minutes = report();
        minutes.granularity = Granularity::Minute;
        for row in &mut minutes.rows {
            // 10:00, 11:00, 12:00 become minutes of one hour.
            row.time_bucket = format!("2026-11-28T10:{}:00+01:00", &row.time_bucket[11..13]);
        }
        let drawn = |now: &str| {
            let question = Question::new(&view("by=country"), zone::at_ms(now).unwrap());
            let chart = Chart::new(&minutes, &question, &Names::default());
            (chart.buckets.len(), chart.lines[0].values.len())
        };
        assert_eq!(drawn("2026-11-28T10:12:59+01:00"), (2, 2));
        assert_eq!(drawn("2026-11-28T10:13:00+01:00"), (3, 3));
    }

    #[test]
    fn a_part_of_the_chart_is_a_range_in_its_zone() {
        let chart = chart();
        for (from, to, range) in
            [(0, 1, "2026-11-28T10:00..2026-11-28T12:00"), (2, 1, "2026-11-28T11:00..2026-11-28T12:30")]
        {
            assert_eq!(chart.range(from, to).map(|range| range.write()).as_deref(), Some(range));
        }
        assert_eq!(chart.range(7, 8), None);
        assert_eq!(chart.labels()[0], (0, "10:00".to_owned()));
    }

    #[test]
    fn colours_are_the_same_for_everybody() {
        let some = |keys: &[&str]| {
            let keys: Vec<Option<String>> = keys.iter().map(|key| Some((*key).to_owned())).collect();
            slots(&keys)
        };
        let five = some(&["a", "b", "c", "d", "e"]);
        let other_way = some(&["e", "d", "c", "b", "a"]);
        assert!(five.iter().eq(other_way.iter().rev()), "whatever their rank");
        assert_eq!(slots(&[None]), [0], "one line alone has the first colour");
        assert_eq!(slots(&[Some("a".into()), None])[1], OTHER);
    }
}
