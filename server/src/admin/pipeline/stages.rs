//! The stages of a click's way, each with its state by a rule: what was measured in, a word out.

use clickwire_protocol::pipeline::{
    PipelineDatabase, PipelineDeadLetters, PipelineIntake, PipelineLake, PipelineLedger, PipelineLimits,
    PipelinePoint, PipelineReconciliation, PipelineScreens, PipelineStages, PipelineStream,
    StageState::{self, Critical, Good, Off, Unknown, Warning},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{history::spooled, measure::Measured};

/// Limits from which on a stage is not as it should be.
pub(super) const LIMITS: PipelineLimits = PipelineLimits {
    behind_warning_ms: 10_000,
    behind_critical_ms: 30_000,
    full_warning_percent: 50,
    full_critical_percent: 80,
};

/// Returns the state of a stage from its lag behind the clock.
fn behind(ms: Option<i64>) -> StageState {
    match ms {
        None => Unknown,
        Some(ms) if ms >= LIMITS.behind_critical_ms => Critical,
        Some(ms) if ms >= LIMITS.behind_warning_ms => Warning,
        Some(_) => Good,
    }
}

/// Writes a time as RFC 3339 has it; one beyond the year 9999 has no such form.
fn written(at: OffsetDateTime) -> Option<String> {
    at.format(&Rfc3339).ok()
}

/// The stages at a moment; `point` is of the same.
pub(super) fn stages(now: &Measured, point: &PipelinePoint) -> PipelineStages {
    PipelineStages {
        intake: intake(now, point),
        stream: stream(now, point),
        ledger: PipelineLedger {
            state: behind(point.ledger_behind_ms),
            counted_per_second: point.counted_per_second,
            waiting: point.waiting,
            behind_ms: point.ledger_behind_ms,
            last_commit_at: now.stream.as_ref().and_then(|stream| written(stream.last_commit?)),
        },
        screens: PipelineScreens {
            state: behind(point.screens_behind_ms),
            behind_ms: point.screens_behind_ms,
            sessions: point.sessions,
        },
        dead_letters: PipelineDeadLetters {
            state: match point.dead_letters {
                None => Unknown,
                Some(0) => Good,
                Some(_) => Warning,
            },
            waiting: point.dead_letters,
        },
        reconciliation: reconciliation(now),
        database: database(now),
        lake: lake(now),
    }
}

fn intake(now: &Measured, point: &PipelinePoint) -> PipelineIntake {
    let lost = now.servers.iter().map(|server| server.lost).sum();
    let spooled = spooled(now);
    let can_take = now
        .servers
        .iter()
        .all(|server| server.is_connected || server.spool.as_ref().is_some_and(|spool| spool.takes));
    let state = if !can_take {
        Critical
    } else if lost > 0 || spooled > 0 || now.servers.iter().any(|server| !server.is_connected) {
        Warning
    } else if !now.are_all {
        Unknown
    } else {
        Good
    };
    PipelineIntake { state, accepted_per_second: point.accepted_per_second, spooled, lost }
}

fn stream(now: &Measured, point: &PipelinePoint) -> PipelineStream {
    let full_percent = now
        .stream
        .as_ref()
        .and_then(|stream| stream.bytes.saturating_mul(100).checked_div(stream.max_bytes?));
    let state = match (&now.stream, full_percent) {
        (None, _) => Critical,
        (Some(_), Some(full)) if full >= LIMITS.full_critical_percent => Critical,
        (Some(_), Some(full)) if full >= LIMITS.full_warning_percent => Warning,
        (Some(_), _) => Good,
    };
    PipelineStream {
        state,
        stored_per_second: point.stored_per_second,
        bytes: point.stream_bytes,
        full_percent,
    }
}

fn reconciliation(now: &Measured) -> PipelineReconciliation {
    let last = now.database.as_ref().and_then(|database| database.reconciliation.as_ref());
    let state = match last {
        // Not compared yet, or not known.
        None => Unknown,
        Some(last) if last.differences > last.repaired => Critical,
        Some(last) if last.differences > 0 => Warning,
        Some(_) => Good,
    };
    PipelineReconciliation {
        state,
        finished_at: last.and_then(|last| written(last.finished_at)),
        differences: last.map(|last| last.differences),
        repaired: last.map(|last| last.repaired),
    }
}

fn database(now: &Measured) -> PipelineDatabase {
    let Some(database) = &now.database else {
        return PipelineDatabase { state: Critical, bytes: None, idle_jobs: Vec::new(), is_rolled_up: None };
    };
    let is_well = database.idle_jobs.is_empty() && database.is_rolled_up;
    PipelineDatabase {
        state: if is_well { Good } else { Warning },
        bytes: Some(database.bytes),
        idle_jobs: database.idle_jobs.clone(),
        is_rolled_up: Some(database.is_rolled_up),
    }
}

fn lake(now: &Measured) -> PipelineLake {
    let waiting = now.stream.as_ref().and_then(|stream| stream.lake_waiting);
    let (state, waiting_for) = match now.database.as_ref().map(|database| &database.lake) {
        None => (Unknown, None),
        Some(None) => (Off, None),
        Some(Some(lake)) => {
            let state = if lake.waiting_for.is_some() { Warning } else { Good };
            (state, lake.waiting_for.clone())
        }
    };
    PipelineLake { state, waiting, waiting_for }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::pipeline::{PipelineServer, PipelineSpool};

    use super::{
        super::{
            history::{History, tests::measured},
            measure,
            servers::tests::report,
        },
        *,
    };

    fn shown(now: Measured) -> PipelineStages {
        let mut history = History::default();
        history.add(now);
        let point = history.points().pop().unwrap();
        stages(history.latest().unwrap(), &point)
    }

    #[test]
    fn what_does_not_answer_is_critical_where_it_stands_and_unknown_elsewhere() {
        let away = shown(Measured { stream: None, database: None, screens: None, ..measured(10_000, 0) });
        assert_eq!((away.stream.state, away.database.state), (Critical, Critical));
        assert_eq!(
            (away.ledger.state, away.screens.state, away.dead_letters.state, away.lake.state),
            (Unknown, Unknown, Unknown, Unknown)
        );
        assert_eq!(shown(measured(10_000, 0)).intake.state, Good);
    }

    #[test]
    fn intake_is_as_well_as_its_servers() {
        let with = |spool: Option<PipelineSpool>, is_connected, lost| {
            let mut now = measured(10_000, 0);
            now.servers.push(PipelineServer { spool, is_connected, lost, ..report(2, 0) });
            shown(now).intake.state
        };
        let spool = |takes, clicks| Some(PipelineSpool { takes, clicks, bytes: 0 });
        assert_eq!(with(spool(true, 0), true, 0), Good);
        assert_eq!(with(spool(true, 3), true, 0), Warning, "clicks wait");
        assert_eq!(with(spool(true, 0), false, 0), Warning, "no broker");
        assert_eq!(with(None, true, 1), Warning, "one is lost");
        assert_eq!(with(None, false, 0), Critical);
        assert_eq!(with(spool(false, 9), false, 0), Critical);
        assert_eq!(shown(Measured { are_all: false, ..measured(10_000, 0) }).intake.state, Unknown);
    }

    #[test]
    fn limits_are_where_they_are_said_to_be() {
        let states = [None, Some(9_999), Some(10_000), Some(29_999), Some(30_000)].map(behind);
        assert_eq!(states, [Unknown, Good, Warning, Warning, Critical]);
        let full = |bytes| {
            let mut now = measured(10_000, 0);
            now.stream =
                Some(measure::Stream { bytes, max_bytes: Some(1_000), ..measure::Stream::default() });
            shown(now).stream.state
        };
        assert_eq!([0, 499, 500, 799, 800].map(full), [Good, Good, Warning, Warning, Critical]);
    }
}
