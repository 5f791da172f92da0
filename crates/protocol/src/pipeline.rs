//! The way of a click from intake to screens as a server measures it: the answer of `GET /api/v1/admin/pipeline`.
//! What is not known is `None`, never zero.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The pipeline as a server has measured it last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pipeline {
    /// Time of the measurement; Unix time in milliseconds. `null`: none yet, since the server has just started.
    pub at_ms: Option<i64>,
    /// Time between two measurements, in seconds.
    pub every_seconds: u32,
    /// The numbers of the rules.
    pub limits: PipelineLimits,
    /// `null` as long as it was not measured.
    pub stages: Option<PipelineStages>,
    /// Servers that have said something of themselves within half a minute; the one that answers comes first.
    pub servers: Vec<PipelineServer>,
    /// The last hour, as far as this server runs for so long; the oldest first.
    pub history: Vec<PipelinePoint>,
}

/// Limits from which on a stage is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineLimits {
    /// Ledger and screens are a warning from here on.
    pub behind_warning_ms: i64,
    /// Ledger and screens are critical from here on.
    pub behind_critical_ms: i64,
    /// A stream that is as full as this is a warning.
    pub full_warning_percent: u64,
    /// A stream that is as full as this is critical.
    pub full_critical_percent: u64,
}

/// State of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// The stage is not in use.
    Off,
    /// The stage works as it should.
    Good,
    /// The stage is to be watched.
    Warning,
    /// An operator must act.
    Critical,
    /// The state can't be told now, or is one of a later version.
    #[serde(other)]
    Unknown,
}

/// The stages, in a click's order, and what is beside its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineStages {
    /// Servers take clicks.
    pub intake: PipelineIntake,
    /// The broker keeps them.
    pub stream: PipelineStream,
    /// Aggregators count them.
    pub ledger: PipelineLedger,
    /// Screens show them.
    pub screens: PipelineScreens,
    /// Messages that can't be counted.
    pub dead_letters: PipelineDeadLetters,
    /// The last comparison of buckets with the ledger.
    pub reconciliation: PipelineReconciliation,
    /// The database.
    pub database: PipelineDatabase,
    /// The archive.
    pub lake: PipelineLake,
}

/// Servers take clicks. Critical: one can't; a warning: clicks wait in spools, some were lost, or a
/// server has no broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineIntake {
    /// State of the stage.
    pub state: StageState,
    /// Clicks that all servers accept.
    pub accepted_per_second: Option<f64>,
    /// Clicks in the spools of the servers that are known.
    pub spooled: u64,
    /// Clicks that the servers that are known have lost since their start.
    pub lost: u64,
}

/// The broker keeps them. Critical: it does not answer, or its stream is nearly full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineStream {
    /// State of the stage.
    pub state: StageState,
    /// Messages that the stream stores.
    pub stored_per_second: Option<f64>,
    /// Bytes of the stream.
    pub bytes: Option<u64>,
    /// The part of the stream's limit that its bytes are, in percent.
    pub full_percent: Option<u64>,
}

/// Aggregators count them. The state says how far it is behind the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineLedger {
    /// State of the stage.
    pub state: StageState,
    /// Messages that aggregators count or set aside.
    pub counted_per_second: Option<f64>,
    /// Messages that are not counted.
    pub waiting: Option<u64>,
    /// Lag behind the clock, in milliseconds.
    pub behind_ms: Option<i64>,
    /// Time at which an aggregator last acknowledged messages, after its commit; RFC 3339.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub last_commit_at: Option<String>,
}

/// Screens show them. The state says how far they are behind the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineScreens {
    /// State of the stage.
    pub state: StageState,
    /// Lag behind the clock, in milliseconds.
    pub behind_ms: Option<i64>,
    /// Live sessions of all servers.
    pub sessions: Option<u64>,
}

/// Messages that can't be counted. A warning: some wait for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineDeadLetters {
    /// State of the stage.
    pub state: StageState,
    /// Messages that wait for a person.
    pub waiting: Option<u64>,
}

/// The last comparison of buckets with the ledger. A warning: it has found differences; critical: and not repaired all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineReconciliation {
    /// State of the stage.
    pub state: StageState,
    /// Time at which the comparison ended; RFC 3339.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub finished_at: Option<String>,
    /// Differences that it found.
    pub differences: Option<i64>,
    /// Those of them that it repaired.
    pub repaired: Option<i64>,
}

/// The database. A warning: a background job does not do its work, or hours and days are not rolled up; critical: it
/// does not answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineDatabase {
    /// State of the stage.
    pub state: StageState,
    /// Bytes of the database.
    pub bytes: Option<i64>,
    /// Background jobs that don't do their work.
    pub idle_jobs: Vec<PipelineIdleJob>,
    /// Hours and days are stored in time.
    pub is_rolled_up: Option<bool>,
}

/// A background job of the database that does not do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineIdleJob {
    /// Name of the job, such as `policy_compression of clicks`.
    pub job: String,
    /// `stuck`, `overdue`, `failing` or `without effect`.
    pub state: String,
}

/// The archive. A warning: it says that it waits for a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineLake {
    /// State of the stage.
    pub state: StageState,
    /// Messages that it has still to read.
    pub waiting: Option<u64>,
    /// The service that it waits for.
    pub waiting_for: Option<String>,
}

/// A server as it says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineServer {
    /// One for each start of the program.
    pub id: Uuid,
    /// The machine, and the address that it listens on.
    pub name: String,
    /// Its parts of the API.
    pub roles: Vec<String>,
    /// Time of the report; Unix time in milliseconds.
    pub at_ms: i64,
    /// Time of its start; Unix time in milliseconds.
    pub started_at_ms: i64,
    /// A connection to the broker is open.
    pub is_connected: bool,
    /// Clicks that it has accepted since its start.
    pub accepted: u64,
    /// Clicks that it has lost since its start.
    pub lost: u64,
    /// Its spool, in which clicks wait while the broker is away; `null`: it has none.
    pub spool: Option<PipelineSpool>,
    /// Its live sessions.
    pub sessions: u64,
    /// Live sessions that are allowed at most.
    pub sessions_max: u64,
}

/// The spool of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineSpool {
    /// The spool takes clicks.
    pub takes: bool,
    /// Clicks in it.
    pub clicks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A measurement of one moment, with the rates since the one before. Unknown values are `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelinePoint {
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// Clicks that servers have accepted.
    pub accepted_per_second: Option<f64>,
    /// Messages that the stream has stored.
    pub stored_per_second: Option<f64>,
    /// Messages that aggregators have counted or set aside.
    pub counted_per_second: Option<f64>,
    /// Messages that are not counted.
    pub waiting: Option<u64>,
    /// Lag of the ledger behind the clock, in milliseconds.
    pub ledger_behind_ms: Option<i64>,
    /// Lag of screens behind the clock, in milliseconds.
    pub screens_behind_ms: Option<i64>,
    /// Clicks in the servers' spools.
    pub spooled: Option<u64>,
    /// Dead letters that wait.
    pub dead_letters: Option<u64>,
    /// Bytes of the stream.
    pub stream_bytes: Option<u64>,
    /// Bytes of the database.
    pub database_bytes: Option<i64>,
    /// Messages that the lake has still to read.
    pub lake_waiting: Option<u64>,
    /// Live sessions of all servers.
    pub sessions: Option<u64>,
}
