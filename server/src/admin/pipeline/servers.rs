//! Reports that the servers exchange over Redis, so that each can answer for all. A server whose report is older than
//! [`FRESH`] is gone.

use std::{collections::HashMap, time::Duration};

use clap::ValueEnum as _;
use clickwire_process::{now_ms, redis::Connection};
use clickwire_protocol::pipeline::{PipelineServer, PipelineSpool};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    config::Config,
    intake::{Intake, spool::Condition},
    live::state::Sessions,
};

/// A server that has said nothing for so long is gone.
const FRESH: Duration = Duration::from_secs(30);

/// Time after which a report is deleted.
const KEPT: Duration = Duration::from_secs(3_600);

/// A Redis that does not answer by then is away.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file of Linux that holds the machine's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The source of this server's reports.
pub(crate) struct Reporter {
    id: Uuid,
    name: String,
    roles: Vec<String>,
    started_at_ms: i64,
    intake: Intake,
    sessions: Sessions,
    redis: Connection,
    key: String,
}

impl Reporter {
    /// Returns the reporter of this server, which starts now.
    pub(crate) fn new(config: &Config, intake: Intake, sessions: Sessions, redis: Connection) -> Self {
        // A machine that does not say what it is called is known by the address alone.
        let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
        let prefix = &config.redis_prefix;
        Self {
            id: Uuid::now_v7(),
            name: format!("{} {}", host.trim(), config.listen).trim().to_owned(),
            roles: config
                .roles
                .iter()
                .filter_map(|role| Some(role.to_possible_value()?.get_name().to_owned()))
                .collect(),
            started_at_ms: now_ms(),
            intake,
            sessions,
            redis,
            key: format!("{prefix}:servers"),
        }
    }

    /// Returns the current report of this server.
    pub(super) fn own(&self) -> PipelineServer {
        let spool = self.intake.spool().map(|state| PipelineSpool {
            takes: state.condition == Condition::Up,
            clicks: state.clicks,
            bytes: state.bytes,
        });
        let sessions_max = self.sessions.max;
        PipelineServer {
            id: self.id,
            name: self.name.clone(),
            roles: self.roles.clone(),
            at_ms: now_ms(),
            started_at_ms: self.started_at_ms,
            is_connected: self.intake.is_connected(),
            accepted: self.intake.accepted(),
            lost: self.intake.lost(),
            spool,
            sessions: (sessions_max - self.sessions.permits.available_permits()) as u64,
            sessions_max: sessions_max as u64,
        }
    }

    /// Tells the others of this server, and returns all that have said something lately, this one first. `None`: Redis
    /// is away.
    pub(super) async fn exchange(&self, own: &PipelineServer) -> Option<Vec<PipelineServer>> {
        let exchanged = timeout(PATIENCE, self.tell_and_ask(own)).await;
        let told = match exchanged {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => {
                tracing::debug!(%error, "pipeline: Redis can't be asked");
                return None;
            }
            Err(_) => return None,
        };
        Some(fresh(own, told.values().map(String::as_str)))
    }

    async fn tell_and_ask(&self, own: &PipelineServer) -> redis::RedisResult<HashMap<String, String>> {
        let mut redis = self.redis.clone();
        let report = serde_json::to_string(own).unwrap_or_default();
        let mut tell = redis::cmd("HSET");
        tell.arg(&self.key).arg(own.id.to_string()).arg(report).exec_async(&mut redis).await?;
        let mut keep = redis::cmd("EXPIRE");
        keep.arg(&self.key).arg(KEPT.as_secs()).exec_async(&mut redis).await?;
        let mut ask = redis::cmd("HGETALL");
        let told: HashMap<String, String> = ask.arg(&self.key).query_async(&mut redis).await?;
        let forgotten: Vec<&String> =
            told.iter().filter(|(_, text)| is_older(text, own.at_ms, KEPT)).map(|(id, _)| id).collect();
        if !forgotten.is_empty() {
            redis::cmd("HDEL").arg(&self.key).arg(forgotten).exec_async(&mut redis).await?;
        }
        Ok(told)
    }
}

/// Returns whether a report is older than `than`; only its time is read, since another version may write other fields.
fn is_older(text: &str, now_ms: i64, than: Duration) -> bool {
    let report: Value = serde_json::from_str(text).unwrap_or_default();
    let at_ms = report["at_ms"].as_i64().unwrap_or_default();
    now_ms - at_ms > than.as_millis() as i64
}

/// Returns this server, then the others with a recent report by name.
fn fresh<'a>(own: &PipelineServer, told: impl Iterator<Item = &'a str>) -> Vec<PipelineServer> {
    let others = told.filter_map(|text| serde_json::from_str::<PipelineServer>(text).ok());
    let mut others: Vec<PipelineServer> = others
        .filter(|report| report.id != own.id && own.at_ms - report.at_ms <= FRESH.as_millis() as i64)
        .collect();
    others.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    others.insert(0, own.clone());
    others
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn report(id: u128, accepted: u64) -> PipelineServer {
        PipelineServer {
            id: Uuid::from_u128(id),
            name: format!("web-{id} 0.0.0.0:8080"),
            roles: vec!["intake".into()],
            at_ms: 100_000,
            started_at_ms: 0,
            is_connected: true,
            accepted,
            lost: 0,
            spool: Some(PipelineSpool { takes: true, clicks: 0, bytes: 0 }),
            sessions: 3,
            sessions_max: 100,
        }
    }

    #[test]
    fn a_server_that_is_silent_is_gone() {
        let own = report(1, 5);
        let told = [
            report(3, 1),
            PipelineServer { at_ms: 69_999, ..report(4, 1) },
            PipelineServer { at_ms: 70_000, ..report(2, 1) },
            PipelineServer { accepted: 4, ..own.clone() },
        ];
        let told = told.iter().map(|report| serde_json::to_string(report).unwrap());
        let told: Vec<String> = told.chain(["of tomorrow".to_owned()]).collect();
        let fresh = fresh(&own, told.iter().map(String::as_str));
        let ids: Vec<u128> = fresh.iter().map(|report| report.id.as_u128()).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert!(is_older(&told[1], 100_000, FRESH) && !is_older(&told[2], 100_000, FRESH));
        assert!(is_older("of yesterday", 100_000, FRESH), "what can't be read is forgotten");
    }
}
