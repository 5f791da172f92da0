//! Answers that a screen on a wall has, and the state of its numbers: a function of the answers and of the time.
//! Numbers stay as they were answered last; missing ones are not made up.

use std::rc::Rc;

use clickwire_protocol::pipeline::{Pipeline, StageState};

use super::super::explore::answers::Listed;
use crate::{
    query::LocalTime,
    zone::{self, Zone},
};

/// Time without an answer after which the server counts as away, in milliseconds: a round of the longest duration,
/// and the pause after it.
const AWAY_AFTER_MS: i64 = 8_000;

/// Time without a new report after which numbers count as late, in milliseconds: three requests.
const LATE_AFTER_MS: i64 = 60_000;

/// Measurements that may be missed before numbers count as late.
const MISSED: i64 = 3;

/// Groups per table.
pub(super) const ROWS: usize = 5;

/// A request of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The pipeline.
    Pipeline,
    /// Numbers of clicks.
    Report(Report),
}

/// Numbers of clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The day so far.
    Today,
    /// The last hour by advertiser.
    Advertisers,
    /// The last hour by campaign.
    Campaigns,
}

impl Report {
    /// Every report, in the order of their places.
    pub(super) const ALL: [Self; 3] = [Self::Today, Self::Advertisers, Self::Campaigns];

    fn place(self) -> usize {
        match self {
            Self::Today => 0,
            Self::Advertisers => 1,
            Self::Campaigns => 2,
        }
    }
}

impl Part {
    /// Returns the URL of the request at a moment; a day is one of the zone.
    pub(super) fn url(self, now_ms: i64, zone: &Zone) -> String {
        let report = |range: &str, group: &str, limit: usize| {
            format!("/api/v1/analytics/breakdown?{range}&group_by={group}&order_by=-clicks&limit={limit}")
        };
        let hour = format!("start_time={}", zone::rfc3339(now_ms - 3_600_000));
        match self {
            Self::Pipeline => "/api/v1/admin/pipeline".to_owned(),
            // Its totals alone are shown.
            Self::Report(Report::Today) => report(&day(now_ms, zone), "advertiser_id", 1),
            Self::Report(Report::Advertisers) => report(&hour, "advertiser_id", ROWS),
            Self::Report(Report::Campaigns) => report(&hour, "advertiser_id,campaign_id", ROWS),
        }
    }
}

/// The range of the day that a moment is in. It has an end, though that is to come: what has none is about the last
/// minutes (`sw.js`).
fn day(now_ms: i64, zone: &Zone) -> String {
    let today = (now_ms.div_euclid(60_000) + zone.ahead_minutes(now_ms)).div_euclid(1_440);
    let [start, end] = [today, today + 1].map(|day| {
        let midnight = LocalTime(day * 1_440);
        zone::rfc3339(midnight.to_utc_ms(|at_ms| zone.ahead_minutes(at_ms)))
    });
    format!("start_time={start}&end_time={end}")
}

/// An answer.
pub(super) enum Told {
    /// The pipeline.
    Pipeline(Pipeline),
    /// A report.
    Report(Report, Listed),
}

/// The answers so far, and their times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// The pipeline.
    pub(super) pipeline: Option<Rc<Pipeline>>,
    /// Reports by their places.
    reports: [Option<Rc<Listed>>; 3],
    /// Time of the last answer of any kind, in Unix milliseconds by this machine's clock; at first, time of the start.
    heard_ms: i64,
    /// Time at which the latest measurement was first heard, by this machine's clock. Clocks of two machines differ:
    /// the measurement's own time is only compared with that of others.
    measured_ms: i64,
    /// Times of the last answer of each report; at first, time of the start.
    reported_ms: [i64; 3],
    is_heard: bool,
}

/// The state of the shown numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// No answer has come yet.
    Waiting,
    /// The numbers are of this moment.
    Live,
    /// The numbers come late by this many milliseconds.
    Behind(i64),
    /// The server answers, and nothing new has come since this time, in Unix milliseconds.
    Stands(i64),
    /// The server answers, and can't tell how late the numbers are.
    NotMeasured,
    /// The server has not answered since this time, in Unix milliseconds.
    Away(i64),
}

impl Known {
    /// Returns the state before any answer.
    pub(super) fn nothing(now_ms: i64) -> Self {
        Self {
            pipeline: None,
            reports: [None, None, None],
            heard_ms: now_ms,
            measured_ms: now_ms,
            reported_ms: [now_ms; 3],
            is_heard: false,
        }
    }

    /// Takes an answer.
    pub(super) fn take(&mut self, told: Told, now_ms: i64) {
        self.heard_ms = now_ms;
        self.is_heard = true;
        match told {
            Told::Pipeline(pipeline) => {
                let is_new = self.pipeline.as_ref().is_none_or(|known| known.at_ms != pipeline.at_ms);
                if is_new {
                    self.measured_ms = now_ms;
                }
                self.pipeline = Some(Rc::new(pipeline));
            }
            Told::Report(which, report) => {
                self.reports[which.place()] = Some(Rc::new(report));
                self.reported_ms[which.place()] = now_ms;
            }
        }
    }

    /// A report as it was answered last.
    pub(super) fn report(&self, which: Report) -> Option<&Rc<Listed>> {
        self.reports[which.place()].as_ref()
    }

    /// Returns the state of the numbers at a moment.
    pub(super) fn worth(&self, now_ms: i64) -> Worth {
        if now_ms - self.heard_ms > AWAY_AFTER_MS {
            return Worth::Away(self.heard_ms);
        }
        if !self.is_heard {
            return Worth::Waiting;
        }
        let Some(pipeline) = &self.pipeline else { return Worth::NotMeasured };
        if now_ms - self.measured_ms > MISSED * 1_000 * i64::from(pipeline.every_seconds) {
            return Worth::Stands(self.measured_ms);
        }
        let oldest_ms = self.reported_ms.iter().copied().min().unwrap_or(now_ms);
        if now_ms - oldest_ms > LATE_AFTER_MS {
            return Worth::Stands(oldest_ms);
        }
        let Some(stages) = &pipeline.stages else { return Worth::NotMeasured };
        if stages.ledger.state == StageState::Unknown {
            return Worth::NotMeasured;
        }
        let behind = [stages.ledger.behind_ms, stages.screens.behind_ms].into_iter().flatten().max();
        match behind {
            Some(ms) if ms >= pipeline.limits.behind_warning_ms => Worth::Behind(ms),
            Some(_) | None => Worth::Live,
        }
    }

    /// Returns the time of the oldest number shown, by this machine's clock; `None`: none are shown.
    pub(super) fn as_of_ms(&self) -> Option<i64> {
        let reported = self.reports.iter().zip(self.reported_ms).filter(|(report, _)| report.is_some());
        let measured = self.pipeline.is_some().then_some(self.measured_ms);
        reported.map(|(_, at_ms)| at_ms).chain(measured).min()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clickwire_protocol::report::{Basis, Breakdown, Numbers};
    use serde_json::{Value, json};

    use super::*;

    /// A pipeline in which all is well.
    pub(in super::super) fn pipeline(change: impl FnOnce(&mut Value)) -> Pipeline {
        let mut all = json!({
            "at_ms": 1_000_000, "every_seconds": 10,
            "limits": {"behind_warning_ms": 5_000, "behind_critical_ms": 30_000, "full_warning_percent": 70, "full_critical_percent": 90},
            "stages": {
                "intake": {"state": "good", "accepted_per_second": 12.5, "spooled": 0, "lost": 0},
                "stream": {"state": "good", "stored_per_second": 12.5, "bytes": 1, "full_percent": 1},
                "ledger": {"state": "good", "counted_per_second": 12.5, "waiting": 0, "behind_ms": 300, "last_commit_at": null},
                "screens": {"state": "good", "behind_ms": 400, "sessions": 1},
                "dead_letters": {"state": "good", "waiting": 0},
                "reconciliation": {"state": "good", "finished_at": null, "differences": 0, "repaired": 0},
                "database": {"state": "good", "bytes": 1, "idle_jobs": [], "is_rolled_up": true},
                "lake": {"state": "off", "waiting": null, "waiting_for": null}
            },
            "servers": [],
            "history": [{"at_ms": 1_000_000, "accepted_per_second": 12.5}]
        });
        change(&mut all);
        serde_json::from_value(all).unwrap()
    }

    pub(in super::super) fn report(clicks: i64) -> Listed {
        Listed(Breakdown {
            rows: Vec::new(),
            groups: 0,
            totals: Numbers { clicks, billable: clicks, ..Numbers::default() },
            comparison: None,
            basis: Basis::default(),
        })
    }

    /// Returns a state with every answer, received at a moment.
    pub(in super::super) fn known(pipeline: Pipeline, at_ms: i64) -> Known {
        let mut known = Known::nothing(at_ms);
        known.take(Told::Pipeline(pipeline), at_ms);
        Report::ALL.into_iter().for_each(|which| known.take(Told::Report(which, report(1)), at_ms));
        known
    }

    #[test]
    fn numbers_are_live_until_they_are_not() {
        let at = |change: fn(&mut Value), after_ms: i64| known(pipeline(change), 0).worth(after_ms);
        for (change, after_ms, expected) in [
            ((|_| ()) as fn(&mut Value), 0, Worth::Live),
            (|_| (), 8_000, Worth::Live),
            (|_| (), 8_001, Worth::Away(0)),
            (|_| (), 9_000_000, Worth::Away(0)),
            (|all| all["stages"]["screens"]["behind_ms"] = json!(5_000), 0, Worth::Behind(5_000)),
            (|all| all["stages"]["ledger"]["behind_ms"] = json!(90_000), 0, Worth::Behind(90_000)),
            (|all| all["stages"]["screens"]["behind_ms"] = Value::Null, 0, Worth::Live),
            (|all| all["stages"]["ledger"]["state"] = json!("unknown"), 0, Worth::NotMeasured),
            (|all| all["stages"] = Value::Null, 0, Worth::NotMeasured),
        ] {
            assert_eq!(at(change, after_ms), expected, "{after_ms}");
        }
    }

    #[test]
    fn what_stands_still_is_said_though_the_server_answers() {
        let mut known = known(pipeline(|_| ()), 0);
        // The same measurement again and again.
        for at_ms in [10_000, 20_000, 30_000] {
            known.take(Told::Pipeline(pipeline(|_| ())), at_ms);
            assert_eq!(known.worth(at_ms), Worth::Live, "{at_ms}");
        }
        known.take(Told::Pipeline(pipeline(|_| ())), 31_000);
        assert_eq!(known.worth(31_000), Worth::Stands(0));
        // New ones, and reports that fail.
        for at_ms in [40_000, 55_000, 60_000] {
            known.take(Told::Pipeline(pipeline(|all| all["at_ms"] = json!(at_ms))), at_ms);
            assert_eq!(known.worth(at_ms), Worth::Live, "{at_ms}");
        }
        known.take(Told::Pipeline(pipeline(|all| all["at_ms"] = json!(1))), 61_000);
        assert_eq!(known.worth(61_000), Worth::Stands(0));
        Report::ALL[..2].iter().for_each(|which| known.take(Told::Report(*which, report(2)), 62_000));
        assert_eq!(known.worth(62_000), Worth::Stands(0), "the third is as old as before");
        known.take(Told::Report(Report::Campaigns, report(2)), 62_000);
        assert_eq!(known.worth(62_000), Worth::Live);
    }

    #[test]
    fn numbers_are_as_old_as_the_oldest_that_is_shown() {
        let mut known = known(pipeline(|_| ()), 0);
        known.take(Told::Pipeline(pipeline(|all| all["at_ms"] = json!(2))), 50_000);
        assert_eq!((known.worth(60_000), known.as_of_ms()), (Worth::Away(50_000), Some(0)));
        Report::ALL.into_iter().for_each(|which| known.take(Told::Report(which, report(2)), 55_000));
        assert_eq!((known.worth(64_000), known.as_of_ms()), (Worth::Away(55_000), Some(50_000)));
    }

    #[test]
    fn before_the_first_answer_nothing_is_known() {
        let mut known = Known::nothing(5);
        assert_eq!((known.worth(5), known.as_of_ms()), (Worth::Waiting, None));
        assert_eq!(known.worth(30_000), Worth::Away(5));
        known.take(Told::Report(Report::Today, report(3)), 30_000);
        assert_eq!((known.worth(30_000), known.as_of_ms()), (Worth::NotMeasured, Some(30_000)));
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_zone() {
        let day = |now: &str| {
            let now_ms = zone::at_ms(now).unwrap();
            Part::Report(Report::Today).url(now_ms, &Zone::utc())
        };
        for (now, start, end) in [
            ("2026-11-28T19:30:05Z", "2026-11-28", "2026-11-29"),
            ("2026-11-28T23:59:59Z", "2026-11-28", "2026-11-29"),
            ("2026-11-29T00:00:10Z", "2026-11-29", "2026-11-30"),
        ] {
            let range =
                format!("start_time={start}T00:00:00Z&end_time={end}T00:00:00Z&group_by=advertiser_id&");
            assert!(day(now).contains(&range), "{now}");
        }
        let hour =
            Part::Report(Report::Campaigns).url(zone::at_ms("2026-11-28T19:30:05Z").unwrap(), &Zone::utc());
        assert_eq!(
            hour,
            "/api/v1/analytics/breakdown?start_time=2026-11-28T18:30:00Z&group_by=advertiser_id,campaign_id&order_by=-clicks&limit=5"
        );
    }
}
