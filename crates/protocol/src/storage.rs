//! Storage of a deployment: where its bytes are, how long data is kept, and when old data was last removed.

use serde::{Deserialize, Serialize};

/// The key in Redis of what the aggregator tells of its last round of housekeeping.
pub fn housekeeping_key(prefix: &str) -> String {
    format!("{prefix}:housekeeping")
}

/// A round of housekeeping of an aggregator, and the retention that is set there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Housekeeping {
    /// Time at which the round ended; Unix time in milliseconds.
    pub at_ms: i64,
    /// Time from one round to the next, in seconds.
    pub every_seconds: u64,
    /// Its tasks, in their order.
    pub tasks: Vec<HousekeepingTask>,
    /// Settings of the aggregator that say how long something is kept.
    pub retention: Vec<RetentionSetting>,
}

/// A task of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HousekeepingTask {
    /// The name, such as `retention`.
    pub task: String,
    /// The task was done; if not, the aggregator's log says why, and the next round tries again.
    pub is_done: bool,
}

/// A setting of the aggregator that says how long something is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetentionSetting {
    /// Its name in the environment.
    pub name: String,
    /// Its days; 0: for ever.
    pub days: u32,
}

impl Housekeeping {
    /// The days of a setting.
    pub fn days(&self, name: &str) -> Option<u32> {
        self.retention.iter().find(|setting| setting.name == name).map(|setting| setting.days)
    }

    /// Returns whether a task was done; `None`: the round had no such task.
    pub fn is_done(&self, task: &str) -> Option<bool> {
        self.tasks.iter().find(|known| known.task == task).map(|known| known.is_done)
    }
}

/// The way in which old data leaves a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// Housekeeping drops whole chunks.
    Chunks,
    /// Rows are deleted.
    Rows,
    /// No data is removed.
    Never,
}

/// A table that grows with use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableStorage {
    /// The table.
    pub table: String,
    /// Its bytes, with indexes and all chunks.
    pub bytes: i64,
    /// Its chunks; `null` of a table that has none.
    pub chunks: Option<i64>,
    /// Its compressed chunks.
    pub compressed_chunks: Option<i64>,
    /// The time of its oldest row, or the start of its oldest chunk; Unix time in milliseconds.
    pub oldest_ms: Option<i64>,
    /// The way in which old data leaves it.
    pub removal: Removal,
    /// The setting that says how long it is kept; `null`: no setting does.
    pub setting: Option<String>,
    /// The setting's days, 0: for ever; `null`: not known, or there is none.
    pub days: Option<u32>,
}

/// The broker's stream of clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamStorage {
    /// Bytes of its messages.
    pub bytes: u64,
    /// Its limit; `null`: it has none.
    pub max_bytes: Option<u64>,
    /// Its messages.
    pub messages: u64,
}

/// The spool of the server that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpoolStorage {
    /// The directory of its file.
    pub directory: String,
    /// Bytes of the clicks in it.
    pub bytes: u64,
    /// The bytes that it may have.
    pub max_bytes: u64,
    /// Free bytes of the directory's disk; `null`: not known.
    pub free_bytes: Option<u64>,
    /// All bytes of the directory's disk; `null`: not known.
    pub disk_bytes: Option<u64>,
}

/// The answer of `GET /api/v1/admin/storage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Storage {
    /// Time at which it was measured; Unix time in milliseconds.
    pub at_ms: i64,
    /// Bytes of the whole database.
    pub database_bytes: i64,
    /// Tables that grow with use, the largest first.
    pub tables: Vec<TableStorage>,
    /// The stream; `null`: the broker does not answer.
    pub stream: Option<StreamStorage>,
    /// The spool of the server that answers; `null`: it has none.
    pub spool: Option<SpoolStorage>,
    /// The last round of housekeeping; `null`: there was none since Redis was started, or Redis does not answer.
    pub housekeeping: Option<Housekeeping>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_says_what_was_done_and_how_long_what_is_kept() {
        let round = Housekeeping {
            at_ms: 0,
            every_seconds: 60,
            tasks: vec![HousekeepingTask { task: "retention".into(), is_done: false }],
            retention: vec![RetentionSetting { name: "CLICKWIRE_ROLLUPS_RETENTION_DAYS".into(), days: 0 }],
        };
        assert_eq!([round.is_done("retention"), round.is_done("nothing")], [Some(false), None]);
        assert_eq!([round.days("CLICKWIRE_ROLLUPS_RETENTION_DAYS"), round.days("x")], [Some(0), None]);
        assert_eq!(housekeeping_key("clickwire"), "clickwire:housekeeping");
    }
}
