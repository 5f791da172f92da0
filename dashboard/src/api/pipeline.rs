//! The pipeline as a server has measured it.

use serde::Deserialize;
use uuid::Uuid;

/// The pipeline.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Pipeline {
    /// Time of the measurement, in milliseconds since the Unix epoch; `None`: not measured yet.
    pub at_ms: Option<i64>,
    /// Interval between measurements, in seconds.
    pub every_seconds: u32,
    /// The numbers of the rules.
    pub limits: PipelineLimits,
    /// Its stages.
    pub stages: Option<PipelineStages>,
    /// The servers that are known; the one that answers comes first.
    pub servers: Vec<PipelineServer>,
    /// The last hour; the oldest first.
    pub history: Vec<PipelinePoint>,
}

/// Limits from which a stage is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PipelineLimits {
    /// Milliseconds behind the clock.
    pub behind_warning_ms: i64,
    /// Milliseconds behind the clock.
    pub behind_critical_ms: i64,
    /// Percent of the stream.
    pub full_warning_percent: u64,
    /// Percent of the stream.
    pub full_critical_percent: u64,
}

/// The state of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// The stage is not in use.
    Off,
    /// The stage is as it should be.
    Good,
    /// The stage is to be watched.
    Warning,
    /// An operator must act.
    Critical,
    /// Unknown state: nobody can tell now, or it is a state of a later server.
    #[serde(other)]
    Unknown,
}

/// The stages.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PipelineStages {
    /// Servers take clicks.
    pub intake: IntakeStage,
    /// The broker keeps them.
    pub stream: StreamStage,
    /// Aggregators count them.
    pub ledger: LedgerStage,
    /// Screens show them.
    pub screens: ScreensStage,
    /// Messages that can't be counted.
    pub dead_letters: LettersStage,
    /// The last comparison of buckets with the ledger.
    pub reconciliation: ReconciliationStage,
    /// The database.
    pub database: DatabaseStage,
    /// The archive.
    pub lake: LakeStage,
}

/// Servers take clicks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IntakeStage {
    /// State of the stage.
    pub state: StageState,
    /// Clicks a second.
    pub accepted_per_second: Option<f64>,
    /// Clicks in spools.
    pub spooled: i64,
    /// Clicks that were lost.
    pub lost: i64,
}

/// The broker keeps them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StreamStage {
    /// State of the stage.
    pub state: StageState,
    /// Messages a second.
    pub stored_per_second: Option<f64>,
    /// Its bytes.
    pub bytes: Option<i64>,
    /// Fill level of the stream, in percent.
    pub full_percent: Option<i64>,
}

/// Aggregators count them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LedgerStage {
    /// State of the stage.
    pub state: StageState,
    /// Messages a second.
    pub counted_per_second: Option<f64>,
    /// Messages that are not counted.
    pub waiting: Option<i64>,
    /// Lag behind the clock, in milliseconds.
    pub behind_ms: Option<i64>,
    /// The last acknowledgement after a commit.
    pub last_commit_at: Option<String>,
}

/// Screens show them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ScreensStage {
    /// State of the stage.
    pub state: StageState,
    /// Lag behind the clock, in milliseconds.
    pub behind_ms: Option<i64>,
    /// Live sessions.
    pub sessions: Option<i64>,
}

/// The dead letters: messages that can't be counted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LettersStage {
    /// State of the stage.
    pub state: StageState,
    /// Letters.
    pub waiting: Option<i64>,
}

/// The last comparison.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReconciliationStage {
    /// State of the stage.
    pub state: StageState,
    /// Time at which the comparison ended.
    pub finished_at: Option<String>,
    /// Number of differences found.
    pub differences: Option<i64>,
    /// Number of differences repaired.
    pub repaired: Option<i64>,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DatabaseStage {
    /// State of the stage.
    pub state: StageState,
    /// Its bytes.
    pub bytes: Option<i64>,
    /// Background jobs that don't do their work.
    pub idle_jobs: Vec<IdleJob>,
    /// Hours and days are stored in time.
    pub is_rolled_up: Option<bool>,
}

/// A background job that does not do its work.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IdleJob {
    /// Name of the job.
    pub job: String,
    /// State of the job, which is not the working one.
    pub state: String,
}

/// The archive.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LakeStage {
    /// State of the stage.
    pub state: StageState,
    /// Messages that it has still to read.
    pub waiting: Option<i64>,
    /// The service that it waits for.
    pub waiting_for: Option<String>,
}

/// A server as it says it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PipelineServer {
    /// Id of the server, a new one for each start.
    pub id: Uuid,
    /// Machine and address.
    pub name: String,
    /// Its parts of the API.
    pub roles: Vec<String>,
    /// Time of the server's start, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// The server has a connection to the broker.
    pub is_connected: bool,
    /// Clicks since its start.
    pub accepted: i64,
    /// Clicks that it has lost.
    pub lost: i64,
    /// Spool in which clicks wait; `None`: the server has none.
    pub spool: Option<PipelineSpool>,
    /// Its live sessions.
    pub sessions: i64,
    /// Limit of live sessions.
    pub sessions_max: i64,
}

/// The spool of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PipelineSpool {
    /// The spool takes clicks.
    pub takes: bool,
    /// Clicks in it.
    pub clicks: i64,
}

/// The measurements of one moment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PipelinePoint {
    /// Time of the measurements, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Clicks that servers accepted, a second.
    pub accepted_per_second: Option<f64>,
    /// Messages that the stream stored, a second.
    pub stored_per_second: Option<f64>,
    /// Messages that were counted, a second.
    pub counted_per_second: Option<f64>,
    /// Lag of the ledger, in milliseconds.
    pub ledger_behind_ms: Option<i64>,
    /// Lag of the screens, in milliseconds.
    pub screens_behind_ms: Option<i64>,
    /// Clicks in spools.
    pub spooled: Option<i64>,
    /// Dead letters.
    pub dead_letters: Option<i64>,
    /// Bytes of the stream.
    pub stream_bytes: Option<i64>,
    /// Bytes of the database.
    pub database_bytes: Option<i64>,
    /// Messages that the lake had still to read.
    pub lake_waiting: Option<i64>,
    /// Live sessions.
    pub sessions: Option<i64>,
}
