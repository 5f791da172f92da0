//! The stages of a click's way, each with its state by a rule: what was measured in, a word out.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{
    IdleJob,
    history::{Point, spooled},
    measure::Measured,
};

/// Limits from which on a stage is not as it should be.
pub(super) const LIMITS: Limits = Limits {
    behind_warning_ms: 10_000,
    behind_critical_ms: 30_000,
    full_warning_percent: 50,
    full_critical_percent: 80,
};

/// The numbers of the rules.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PipelineLimits)]
pub(crate) struct Limits {
    /// Ledger and screens are a warning from here on.
    behind_warning_ms: i64,
    /// Ledger and screens are critical from here on.
    behind_critical_ms: i64,
    /// A stream that is as full as this is a warning.
    full_warning_percent: u64,
    /// A stream that is as full as this is critical.
    full_critical_percent: u64,
}

/// State of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = StageState)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageState {
    /// The stage is not in use.
    Off,
    /// The stage works as it should.
    Good,
    /// The state can't be told now.
    Unknown,
    /// The stage is to be watched.
    Warning,
    /// An operator must act.
    Critical,
}

use StageState::{Critical, Good, Off, Unknown, Warning};

/// The stages, in a click's order, and what is beside its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineStages)]
pub(crate) struct Stages {
    intake: Intake,
    stream: Stream,
    ledger: Ledger,
    screens: Screens,
    dead_letters: DeadLetters,
    reconciliation: Reconciliation,
    database: Database,
    lake: Lake,
}

/// Servers take clicks. Critical: one can't; a warning: clicks wait in spools, some were lost, or a
/// server has no broker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineIntake)]
struct Intake {
    state: StageState,
    accepted_per_second: Option<f64>,
    /// Clicks in the spools of the servers that are known.
    spooled: u64,
    /// Clicks that the servers that are known have lost since their start.
    lost: u64,
}

/// The broker keeps them. Critical: it does not answer, or its stream is nearly full.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineStream)]
struct Stream {
    state: StageState,
    stored_per_second: Option<f64>,
    bytes: Option<u64>,
    full_percent: Option<u64>,
}

/// Aggregators count them. The state says how far it is behind the clock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineLedger)]
struct Ledger {
    state: StageState,
    counted_per_second: Option<f64>,
    /// Messages that are not counted.
    waiting: Option<u64>,
    behind_ms: Option<i64>,
    /// Time at which an aggregator last acknowledged messages, after its commit; RFC 3339.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_commit_at: Option<OffsetDateTime>,
}

/// Screens show them. The state says how far they are behind the clock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineScreens)]
struct Screens {
    state: StageState,
    behind_ms: Option<i64>,
    /// Live sessions of all servers.
    sessions: Option<usize>,
}

/// Messages that can't be counted. A warning: some wait for a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineDeadLetters)]
struct DeadLetters {
    state: StageState,
    waiting: Option<u64>,
}

/// The last comparison of buckets with the ledger. A warning: it has found differences; critical: and not repaired all.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineReconciliation)]
struct Reconciliation {
    state: StageState,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<OffsetDateTime>,
    differences: Option<i64>,
    repaired: Option<i64>,
}

/// The database. A warning: a background job does not do its work, or hours and days are not rolled up; critical: it
/// does not answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineDatabase)]
struct Database {
    state: StageState,
    bytes: Option<i64>,
    idle_jobs: Vec<IdleJob>,
    is_rolled_up: Option<bool>,
}

/// The archive. A warning: it says that it waits for a service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PipelineLake)]
struct Lake {
    state: StageState,
    /// Messages that it has still to read.
    waiting: Option<u64>,
    waiting_for: Option<String>,
}

/// Returns the state of a stage from its lag behind the clock.
fn behind(ms: Option<i64>) -> StageState {
    match ms {
        None => Unknown,
        Some(ms) if ms >= LIMITS.behind_critical_ms => Critical,
        Some(ms) if ms >= LIMITS.behind_warning_ms => Warning,
        Some(_) => Good,
    }
}

impl Stages {
    /// The stages at a moment; `point` is of the same.
    pub(super) fn of(now: &Measured, point: &Point) -> Self {
        Self {
            intake: Intake::of(now, point),
            stream: Stream::of(now, point),
            ledger: Ledger {
                state: behind(point.ledger_behind_ms),
                counted_per_second: point.counted_per_second,
                waiting: point.waiting,
                behind_ms: point.ledger_behind_ms,
                last_commit_at: now.stream.as_ref().and_then(|stream| stream.last_commit),
            },
            screens: Screens {
                state: behind(point.screens_behind_ms),
                behind_ms: point.screens_behind_ms,
                sessions: point.sessions,
            },
            dead_letters: DeadLetters {
                state: match point.dead_letters {
                    None => Unknown,
                    Some(0) => Good,
                    Some(_) => Warning,
                },
                waiting: point.dead_letters,
            },
            reconciliation: Reconciliation::of(now),
            database: Database::of(now),
            lake: Lake::of(now),
        }
    }
}

impl Intake {
    fn of(now: &Measured, point: &Point) -> Self {
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
        Self { state, accepted_per_second: point.accepted_per_second, spooled, lost }
    }
}

impl Stream {
    fn of(now: &Measured, point: &Point) -> Self {
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
        Self { state, stored_per_second: point.stored_per_second, bytes: point.stream_bytes, full_percent }
    }
}

impl Reconciliation {
    fn of(now: &Measured) -> Self {
        let last = now.database.as_ref().and_then(|database| database.reconciliation.as_ref());
        let state = match last {
            // Not compared yet, or not known.
            None => Unknown,
            Some(last) if last.differences > last.repaired => Critical,
            Some(last) if last.differences > 0 => Warning,
            Some(_) => Good,
        };
        Self {
            state,
            finished_at: last.map(|last| last.finished_at),
            differences: last.map(|last| last.differences),
            repaired: last.map(|last| last.repaired),
        }
    }
}

impl Database {
    fn of(now: &Measured) -> Self {
        let Some(database) = &now.database else {
            return Self { state: Critical, bytes: None, idle_jobs: Vec::new(), is_rolled_up: None };
        };
        let is_well = database.idle_jobs.is_empty() && database.is_rolled_up;
        Self {
            state: if is_well { Good } else { Warning },
            bytes: Some(database.bytes),
            idle_jobs: database.idle_jobs.clone(),
            is_rolled_up: Some(database.is_rolled_up),
        }
    }
}

impl Lake {
    fn of(now: &Measured) -> Self {
        let waiting = now.stream.as_ref().and_then(|stream| stream.lake_waiting);
        let (state, waiting_for) = match now.database.as_ref().map(|database| &database.lake) {
            None => (Unknown, None),
            Some(None) => (Off, None),
            Some(Some(lake)) => {
                let state = if lake.waiting_for.is_some() { Warning } else { Good };
                (state, lake.waiting_for.clone())
            }
        };
        Self { state, waiting, waiting_for }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            history::{History, tests::measured},
            measure,
            servers::{Spool, tests::report},
        },
        *,
    };

    fn stages(now: Measured) -> Stages {
        let mut history = History::default();
        history.add(now);
        let point = history.points().pop().unwrap();
        Stages::of(history.latest().unwrap(), &point)
    }

    #[test]
    fn what_does_not_answer_is_critical_where_it_stands_and_unknown_elsewhere() {
        let away = stages(Measured { stream: None, database: None, screens: None, ..measured(10_000, 0) });
        assert_eq!((away.stream.state, away.database.state), (Critical, Critical));
        assert_eq!(
            (away.ledger.state, away.screens.state, away.dead_letters.state, away.lake.state),
            (Unknown, Unknown, Unknown, Unknown)
        );
        assert_eq!(stages(measured(10_000, 0)).intake.state, Good);
    }

    #[test]
    fn intake_is_as_well_as_its_servers() {
        let with = |spool: Option<Spool>, is_connected, lost| {
            let mut now = measured(10_000, 0);
            now.servers.push(super::super::servers::Report { spool, is_connected, lost, ..report(2, 0) });
            stages(now).intake.state
        };
        let spool = |takes, clicks| Some(Spool { takes, clicks, bytes: 0 });
        assert_eq!(with(spool(true, 0), true, 0), Good);
        assert_eq!(with(spool(true, 3), true, 0), Warning, "clicks wait");
        assert_eq!(with(spool(true, 0), false, 0), Warning, "no broker");
        assert_eq!(with(None, true, 1), Warning, "one is lost");
        assert_eq!(with(None, false, 0), Critical);
        assert_eq!(with(spool(false, 9), false, 0), Critical);
        assert_eq!(stages(Measured { are_all: false, ..measured(10_000, 0) }).intake.state, Unknown);
    }

    #[test]
    fn limits_are_where_they_are_said_to_be() {
        let states = [None, Some(9_999), Some(10_000), Some(29_999), Some(30_000)].map(behind);
        assert_eq!(states, [Unknown, Good, Warning, Warning, Critical]);
        let full = |bytes| {
            let mut now = measured(10_000, 0);
            now.stream =
                Some(measure::Stream { bytes, max_bytes: Some(1_000), ..measure::Stream::default() });
            stages(now).stream.state
        };
        assert_eq!([0, 499, 500, 799, 800].map(full), [Good, Good, Warning, Warning, Critical]);
    }
}
