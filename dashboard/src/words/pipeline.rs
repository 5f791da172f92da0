//! Texts for operators about the pipeline.

use clickwire_protocol::pipeline::{PipelineLimits, StageState};

use crate::{format, locale};

texts! {
    PIPELINE = "Pipeline";
    STAGE_INTAKE = "Intake";
    STAGE_STREAM = "Stream";
    STAGE_LEDGER = "Ledger";
    STAGE_SCREENS = "Screens";
    STAGE_RECONCILIATION = "Reconciliation";
    STAGE_DATABASE = "Database";
    STAGE_LAKE = "Lake";
    GOOD = "Good";
    NOT_IN_USE = "Not in use";
    ACCEPTED_PER_SECOND = "Accepted per second";
    STORED_PER_SECOND = "Stored per second";
    COUNTED_PER_SECOND = "Counted per second";
    BEHIND = "Behind the clock";
    SPOOLED = "In spools";
    LOST = "Lost";
    UNCOUNTED = "Not counted yet";
    LAST_COMMIT = "Last commit";
    SOCKETS = "Sockets";
    WAIT_FOR_A_PERSON = "Wait for a person";
    FULL = "Full";
    DIFFERENCES = "Differences";
    REPAIRED = "Repaired";
    FINISHED = "Finished";
    IDLE_JOBS = "Idle jobs";
    NONE_IDLE = "None";
    ROLLED_UP = "Hours and days";
    IN_TIME = "In time";
    LATE = "Behind";
    UNREAD = "Not archived yet";
    WAITS_FOR = "Waits for";
    SERVERS = "Servers";
    SERVER = "Server";
    PARTS = "Parts";
    BROKER = "Broker";
    CONNECTED = "Connected";
    NOT_CONNECTED = "Not connected";
    SPOOL = "Spool";
    SPOOL_NONE = "No spool";
    RUNS_SINCE = "Runs since";
    ACCEPTED = "Accepted";
    MEASURING = "The server has just started: it measures.";
    RULE_INTAKE = "Warning: clicks wait in spools, some were lost since a server’s start, or a server has no broker. Critical: a server can’t take clicks.";
    RULE_DEAD_LETTERS = "Warning: one or more wait.";
    RULE_RECONCILIATION = "Warning: it found differences. Critical: it did not repair all.";
    RULE_DATABASE = "Warning: a job is idle, or hours and days are behind. Critical: it does not answer.";
    RULE_LAKE = "Warning: it waits for a service.";
}

/// Name of a stage's state.
pub fn stage_state(state: StageState) -> &'static str {
    match state {
        StageState::Off => NOT_IN_USE.get(),
        StageState::Good => GOOD.get(),
        StageState::Warning => super::WARNING.get(),
        StageState::Critical => super::CRITICAL.get(),
        StageState::Unknown => super::UNKNOWN.get(),
    }
}

/// Limits of a stage's lag behind the clock.
pub fn rule_behind(limits: &PipelineLimits) -> String {
    say!(
        "Warning from {warning} on, critical from {critical} on.",
        warning = super::age(limits.behind_warning_ms),
        critical = super::age(limits.behind_critical_ms)
    )
}

/// Limits of the stream's fill level.
pub fn rule_full(limits: &PipelineLimits) -> String {
    say!(
        "Warning: {warning} % full. Critical: {critical} % full, or the broker does not answer.",
        warning = limits.full_warning_percent,
        critical = limits.full_critical_percent
    )
}

/// A time behind the clock: tenths of a second as long as it is short.
pub fn behind(ms: i64) -> String {
    if ms < 10_000 {
        say!("{seconds} s", seconds = locale::number(ms as f64 / 1_000.0, 1))
    } else {
        super::age(ms)
    }
}

/// A percentage.
pub fn full(percent: u64) -> String {
    format!("{percent} %")
}

/// Time of the measurement, and its interval.
pub fn measured_at(at: &str, every_seconds: u32) -> String {
    say!("{at}, every {every_seconds} s", at, every_seconds)
}

/// Time of a measurement that is too old.
pub fn measured_then(at: &str) -> String {
    say!("Not up to date: as of {at}", at)
}

/// The highest value of the last hour.
pub fn at_most(value: &str) -> String {
    say!("at most {value} in the last hour", value)
}

/// Number of sessions, and its limit.
pub fn of_at_most(sessions: u64, max: u64) -> String {
    say!("{sessions} of {max}", sessions = format::count(sessions), max = format::count(max))
}

/// Background jobs that don't do their work.
pub fn idle_job(job: &str, state: &str) -> String {
    format!("{job}: {state}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_behind_the_clock_are_read_at_a_glance() {
        assert_eq!([400, 9_949, 10_000, 90_000].map(behind), ["0.4 s", "9.9 s", "10 s", "1 min"]);
    }
}
