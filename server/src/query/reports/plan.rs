//! The plan of a report: the range is cut at the bounds of the report's rows, and each piece is taken from the widest
//! buckets that lie in it whole: days of UTC, else hours, else minutes. So a local day is built from hours, or from
//! minutes where its zone is half an hour off, and totals are the same for every granularity.

use std::collections::HashMap;

use clickwire_protocol::report::{Dimension, Granularity, Source};

use super::{
    MAX_BUCKETS,
    calendar::{Calendar, DAY, HOUR, MINUTE, Range, floor},
    question::Question,
};

/// Hours of a range that is grouped by the hour of the day, at most: some 400 days.
const MAX_SEGMENTS: usize = 10_080;

/// Minutes that are read one by one, at most: a week. That many rows of minutes take about a second.
const MAX_MINUTES: i64 = 7 * DAY / MINUTE;

/// Hours that are read one by one, at most: some three years.
const MAX_HOURS: i64 = 26_280;

/// The parts of a row that its time decides: bucket, hour of the day, day of the week; each if it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Label {
    /// The start of the bucket.
    pub(super) bucket: Option<i64>,
    pub(super) hour_of_day: Option<i32>,
    pub(super) weekday: Option<i32>,
}

/// The times from which on minutes are kept and before which hours and days are stored, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) minutes_from: i64,
    pub(super) stored: Option<Stored>,
}

/// The times before which hours and days are stored, in Unix seconds, where none of those that are asked about is
/// stale: the tables themselves are read then. The views, which are right everywhere, look into every chunk of the
/// minutes for what is not stored, and to plan that takes longer than to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) hours_before: i64,
    pub(super) days_before: i64,
    /// The time from which on nothing has happened yet, and nothing is read.
    pub(super) empty_from: i64,
}

impl Stored {
    /// The end of what is stored of a width.
    fn end(self, source: Source) -> i64 {
        match source {
            Source::Days => self.days_before,
            Source::Hours => self.hours_before,
            Source::Minutes | Source::Ledger => self.empty_from,
        }
    }
}

/// The times of a report, and the tables that they are read from.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) range: Range,
    /// The times before which the tables themselves are read; `None`: the views are read.
    pub(super) stored: Option<Stored>,
    /// The starts of the segments, in order.
    pub(super) bounds: Vec<i64>,
    /// The label of each segment: a place in `labels`.
    pub(super) label_of: Vec<i32>,
    pub(super) labels: Vec<Label>,
    pub(super) pieces: Vec<Piece>,
}

/// Buckets of one width.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) source: Source,
    /// Ranges in order, none touching the next.
    pub(super) ranges: Vec<Range>,
}

impl Piece {
    /// The range that contains all of its ranges.
    pub(super) fn hull(&self) -> Range {
        let start = self.ranges.first().map_or(0, |range| range.start);
        let end = self.ranges.last().map_or(0, |range| range.end);
        Range { start, end }
    }

    /// Starts of its buckets, if there are gaps between them.
    pub(super) fn starts(&self) -> Option<Vec<i64>> {
        let width = width(self.source);
        (self.ranges.len() > 1).then(|| {
            let starts =
                |range: &Range| (range.start..range.end).step_by(usize::try_from(width).unwrap_or(1));
            self.ranges.iter().flat_map(starts).collect()
        })
    }
}

/// The parameter because of which a question has no plan, and the reason.
#[derive(Debug, PartialEq)]
pub(super) struct TooLarge(pub(super) &'static str, pub(super) String);

impl Plan {
    /// The plan of a question about a range, which is its own or the one to compare with. Before the first minute
    /// that is kept the range is widened to whole hours.
    pub(super) fn new(question: &Question, range: Range, kept: Kept) -> Result<Self, TooLarge> {
        let range = widened(range, kept.minutes_from);
        let calendar = &question.calendar;
        let cut = finest(question);
        let too_many = || {
            let message = format!("The range holds more than {MAX_SEGMENTS} {}.", plural(cut));
            TooLarge("start_time", message)
        };
        let mut bounds = match cut {
            Some(cut) => calendar.bounds(range, cut, MAX_SEGMENTS).ok_or_else(too_many)?,
            None => vec![range.start, range.end],
        };
        bounds.pop();
        let buckets = match question.granularity {
            Some(granularity) => {
                let mut starts = calendar.bounds(range, granularity, MAX_BUCKETS).ok_or_else(too_many)?;
                starts.pop();
                starts
            }
            None => Vec::new(),
        };
        // Cut to the range: the first bucket may begin before it.
        if let Some(first) = bounds.first_mut() {
            *first = range.start;
        }
        let mut labels = Vec::new();
        let mut places = HashMap::new();
        let mut place = |at: &i64| {
            let label = label(question, calendar, &buckets, *at);
            *places.entry(label).or_insert_with(|| {
                labels.push(label);
                i32::try_from(labels.len() - 1).unwrap_or(i32::MAX)
            })
        };
        let label_of = bounds.iter().map(&mut place).collect();
        let pieces = if question.is_of_the_ledger() {
            Self::ledger(range).pieces
        } else {
            pieces(&bounds, range.end, kept)?
        };
        Ok(Self { range, stored: kept.stored, bounds, label_of, labels, pieces })
    }

    /// The plan of one row from the ledger.
    pub(super) fn ledger(range: Range) -> Self {
        Self {
            range,
            stored: None,
            bounds: vec![range.start],
            label_of: vec![0],
            labels: vec![Label::default()],
            pieces: vec![Piece { source: Source::Ledger, ranges: vec![range] }],
        }
    }

    /// The tables that are read.
    pub(super) fn sources(&self) -> Vec<Source> {
        let mut sources: Vec<_> = self.pieces.iter().map(|piece| piece.source).collect();
        sources.sort_unstable();
        sources
    }

    /// Returns whether a bucket reaches beyond the range.
    pub(super) fn is_partial(&self, calendar: &Calendar, bucket: i64, granularity: Granularity) -> bool {
        bucket < self.range.start || calendar.next(bucket, granularity) > self.range.end
    }
}

/// The range as it is kept: minutes before `minutes_from` are in hours alone.
fn widened(range: Range, minutes_from: i64) -> Range {
    let hours = range.widened(HOUR);
    Range {
        start: if range.start < minutes_from { hours.start } else { range.start },
        end: if range.end < minutes_from { hours.end } else { range.end },
    }
}

/// The finest unit of time by which rows differ.
fn finest(question: &Question) -> Option<Granularity> {
    let parts = question.group_by.iter().filter_map(|dimension| match dimension {
        Dimension::HourOfDay => Some(Granularity::Hour),
        Dimension::Weekday => Some(Granularity::Day),
        _ => None,
    });
    parts.chain(question.granularity).min()
}

fn plural(granularity: Option<Granularity>) -> &'static str {
    match granularity {
        Some(Granularity::Minute) => "minutes",
        Some(Granularity::Hour) => "hours",
        Some(Granularity::Day) => "days",
        Some(Granularity::Week) => "weeks",
        Some(Granularity::Month) | None => "months",
    }
}

fn label(question: &Question, calendar: &Calendar, buckets: &[i64], at: i64) -> Label {
    let is_grouped = |dimension| question.group_by.contains(&dimension);
    Label {
        bucket: buckets.partition_point(|&start| start <= at).checked_sub(1).map(|place| buckets[place]),
        hour_of_day: is_grouped(Dimension::HourOfDay).then(|| calendar.hour_of_day(at)),
        weekday: is_grouped(Dimension::Weekday).then(|| calendar.weekday(at)),
    }
}

/// The widest whole buckets in each segment, of those that are stored.
fn pieces(bounds: &[i64], end: i64, Kept { minutes_from, stored }: Kept) -> Result<Vec<Piece>, TooLarge> {
    let mut pieces =
        [Source::Days, Source::Hours, Source::Minutes].map(|source| Piece { source, ranges: Vec::new() });
    let ends = bounds.iter().skip(1).copied().chain([end]);
    for (&start, end) in bounds.iter().zip(ends) {
        let mut rest = vec![Range { start, end }];
        for piece in &mut pieces {
            let before = stored.map_or(i64::MAX, |stored| stored.end(piece.source));
            let width = width(piece.source);
            rest = rest.into_iter().flat_map(|range| take(range, width, before, &mut piece.ranges)).collect();
        }
    }
    for piece in &mut pieces {
        piece.ranges.sort_unstable_by_key(|range| range.start);
        piece.ranges.dedup_by(|next, range| {
            let touches = range.end == next.start;
            if touches {
                range.end = next.end;
            }
            touches
        });
    }
    let [_, hours, minutes] = &pieces;
    if minutes.ranges.first().is_some_and(|range| range.start < minutes_from) {
        let message = "Minutes of this time are no longer kept, and whole hours don't make its buckets: ask for a \
                       later time, or for a time zone with an offset of whole hours.";
        return Err(TooLarge("time_zone", message.to_owned()));
    }
    for (piece, max, of) in [(minutes, MAX_MINUTES, "minutes"), (hours, MAX_HOURS, "hours")] {
        let count = piece.ranges.iter().map(|range| range.seconds()).sum::<i64>() / width(piece.source);
        if count > max {
            let message = format!(
                "{count} {of} would have to be read one by one; at most {max} are. Ask for a shorter range or a \
                 coarser granularity."
            );
            return Err(TooLarge("start_time", message));
        }
    }
    let mut read: Vec<_> = pieces.into_iter().filter(|piece| !piece.ranges.is_empty()).collect();
    if read.is_empty() {
        // Nothing of it has happened yet: a statement needs a table all the same.
        let nothing = Range { start: bounds[0], end: bounds[0] };
        read.push(Piece { source: Source::Minutes, ranges: vec![nothing] });
    }
    Ok(read)
}

/// Takes the whole buckets before `before` out of a range; returns what is left before and behind them.
fn take(range: Range, width: i64, before: i64, taken: &mut Vec<Range>) -> Vec<Range> {
    let (start, end) = (floor(range.start + width - 1, width), floor(range.end.min(before), width));
    if start >= end {
        return vec![range];
    }
    taken.push(Range { start, end });
    let parts = [Range { start: range.start, end: start }, Range { start: end, end: range.end }];
    parts.into_iter().filter(|part| part.start < part.end).collect()
}

fn width(source: Source) -> i64 {
    match source {
        Source::Days => DAY,
        Source::Hours => HOUR,
        Source::Minutes | Source::Ledger => MINUTE,
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::report::Metric;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{
        super::question::{Order, OrderBy},
        *,
    };

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn question(
        zone: &str,
        granularity: Option<Granularity>,
        group_by: &[Dimension],
        range: Range,
    ) -> Question {
        Question {
            advertiser_id: None,
            range,
            calendar: Calendar::named(zone).unwrap(),
            granularity,
            filters: Vec::new(),
            group_by: group_by.to_vec(),
            order: Order { by: OrderBy::Metric(Metric::Clicks), descends: true },
            limit: None,
            compare: None,
            as_of_ms: None,
            unique_users: false,
        }
    }

    fn range(start: &str, end: &str) -> Range {
        Range { start: at(start), end: at(end) }
    }

    fn plan(zone: &str, granularity: Option<Granularity>, group_by: &[Dimension], range: Range) -> Plan {
        Plan::new(&question(zone, granularity, group_by, range), range, kept(0)).unwrap()
    }

    /// The state in which all is kept from a time on, and views show it.
    fn kept(minutes_from: i64) -> Kept {
        Kept { minutes_from, stored: None }
    }

    fn read(plan: &Plan) -> Vec<(Source, i64)> {
        let buckets = |piece: &Piece| {
            let seconds: i64 = piece.ranges.iter().map(|range| range.seconds()).sum();
            (piece.source, seconds / width(piece.source))
        };
        plan.pieces.iter().map(buckets).collect()
    }

    #[test]
    fn each_piece_is_read_from_the_widest_table_that_has_it_whole() {
        let month = range("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        let local = |offset| Range { start: month.start - offset, end: month.end - offset };
        let day = Some(Granularity::Day);
        for (zone, granularity, group_by, range, expected) in [
            ("UTC", day, vec![], month, vec![(Source::Days, 30)]),
            ("UTC", None, vec![], month, vec![(Source::Days, 30)]),
            ("UTC", Some(Granularity::Hour), vec![], month, vec![(Source::Hours, 720)]),
            // Of the time zone's days nothing is in days of UTC; of its month nearly everything.
            ("Europe/Berlin", day, vec![], local(HOUR), vec![(Source::Hours, 720)]),
            ("Europe/Berlin", None, vec![], local(HOUR), vec![(Source::Days, 29), (Source::Hours, 24)]),
            // The hours that midnight is in the middle of.
            (
                "Asia/Kolkata",
                day,
                vec![],
                local(11 * HOUR / 2),
                vec![(Source::Hours, 30 * 23), (Source::Minutes, 30 * 60)],
            ),
            ("UTC", day, vec![Dimension::HourOfDay], month, vec![(Source::Hours, 720)]),
            ("UTC", None, vec![Dimension::Weekday], month, vec![(Source::Days, 30)]),
            (
                "UTC",
                Some(Granularity::Hour),
                vec![],
                self::range("2026-11-01T10:59:00Z", "2026-11-01T13:01:00Z"),
                vec![(Source::Hours, 2), (Source::Minutes, 2)],
            ),
        ] {
            assert_eq!(read(&plan(zone, granularity, &group_by, range)), expected, "{zone} {granularity:?}");
        }
    }

    #[test]
    fn what_is_too_large_says_so() {
        let year = range("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        let ages = range("1000-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        for (zone, granularity, group_by, range) in [
            ("Asia/Kolkata", Granularity::Hour, vec![], year),
            ("UTC", Granularity::Month, vec![Dimension::HourOfDay], ages),
            ("UTC", Granularity::Day, vec![], ages),
        ] {
            let question = question(zone, Some(granularity), &group_by, range);
            assert_eq!(Plan::new(&question, range, kept(i64::MIN)).unwrap_err().0, "start_time", "{zone}");
        }
    }

    #[test]
    fn before_the_first_minute_whole_hours_answer() {
        let asked = range("2026-11-01T10:59:00Z", "2026-11-01T13:01:00Z");
        let of = |zone, minutes_from| {
            let question = question(zone, Some(Granularity::Hour), &[], asked);
            Plan::new(&question, asked, kept(at(minutes_from))).map(|plan| (plan.range, read(&plan)))
        };
        let widened = range("2026-11-01T10:00:00Z", "2026-11-01T14:00:00Z");
        assert_eq!(of("UTC", "2026-12-01T00:00:00Z"), Ok((widened, vec![(Source::Hours, 4)])));
        let (range, _) = of("UTC", "2026-11-01T12:00:00Z").unwrap();
        assert_eq!(range, Range { start: widened.start, end: asked.end });
        assert_eq!(of("Asia/Kolkata", "2026-12-01T00:00:00Z").unwrap_err().0, "time_zone");
    }

    proptest! {
        /// Every minute of the range is read once, under the label of its own time, but for those that are to come.
        #[test]
        fn pieces_cover_the_range_once(
            zone in prop_oneof![
                Just("UTC"), Just("Europe/Berlin"), Just("Asia/Kolkata"), Just("Australia/Lord_Howe"),
                Just("Asia/Kathmandu"), Just("America/Santiago"), Just("America/Havana"),
            ],
            granularity in prop::option::of(prop::sample::select(Granularity::ALL.to_vec())),
            group_by in prop_oneof![Just(vec![]), Just(vec![Dimension::HourOfDay]), Just(vec![Dimension::Weekday])],
            start in prop_oneof![29_500_000_i64..29_700_000, 29_366_000_i64..29_372_000],
            minutes in 1_i64..9_000,
            // Behind the range's start, in minutes; and how many hours of that day are stored.
            stored in prop::option::of((0_i64..12_000, 0_i64..24)),
            // From there to where nothing has happened yet, in minutes.
            ahead in 0_i64..3_000,
        ) {
            let range = Range { start: start * MINUTE, end: (start + minutes) * MINUTE };
            let question = question(zone, granularity, &group_by, range);
            let stored = stored.map(|(behind, hours)| {
                let days_before = floor(range.start + behind * MINUTE, DAY);
                let hours_before = days_before + hours * HOUR;
                Stored { days_before, hours_before, empty_from: hours_before + ahead * MINUTE }
            });
            let plan = Plan::new(&question, range, Kept { minutes_from: 0, stored }).unwrap();
            let mut read = vec![0_u8; usize::try_from(minutes).unwrap()];
            for piece in &plan.pieces {
                let width = width(piece.source);
                for part in &piece.ranges {
                    prop_assert_eq!((part.start % width, part.end % width), (0, 0));
                    let before = stored.map_or(i64::MAX, |stored| stored.end(piece.source));
                    let is_stored = part.end <= before || part.start == part.end;
                    prop_assert!(is_stored, "{:?} of {part:?} are not stored", piece.source);
                    for minute in (part.start / MINUTE)..(part.end / MINUTE) {
                        read[usize::try_from(minute - start).unwrap()] += 1;
                    }
                    // A bucket is of one label alone.
                    for bucket in (part.start..part.end).step_by(usize::try_from(width).unwrap()) {
                        let of = |at| plan.bounds.partition_point(|&bound| bound <= at);
                        let labels = [of(bucket), of(bucket + width - MINUTE)].map(|place| plan.label_of[place - 1]);
                        prop_assert_eq!(labels[0], labels[1]);
                    }
                }
            }
            let empty_from = stored.map_or(range.end, |stored| stored.empty_from);
            for (minute, times) in (0..).map(|minute| range.start + minute * MINUTE).zip(read) {
                prop_assert_eq!(times, u8::from(minute < empty_from));
            }
            for (&at, &label) in plan.bounds.iter().zip(&plan.label_of) {
                let label = plan.labels[usize::try_from(label).unwrap()];
                if let (Some(bucket), Some(granularity)) = (label.bucket, granularity) {
                    prop_assert_eq!(question.calendar.floor(at, granularity), bucket);
                }
                if let Some(hour) = label.hour_of_day {
                    prop_assert_eq!(hour, question.calendar.hour_of_day(at));
                }
            }
        }
    }
}
