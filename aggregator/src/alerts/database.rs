//! Incidents of the database itself: jobs of TimescaleDB that don't do their work, and roll-ups that stand
//! still. None of them makes a number wrong; each makes something slower and larger for as long as it lasts.

use std::time::{Duration, Instant};

use clickwire_protocol::alerts::{Kind, Severity};
use serde_json::json;
use sqlx::PgConnection;

use crate::{incidents::Observation, ledger::rollups::Progress, timescaledb};

/// These change slowly, and asking takes longer than a round should.
const ASKED_EVERY: Duration = Duration::from_secs(15);

/// What was seen when the database was asked last.
#[derive(Default)]
pub(super) struct Database {
    asked: Option<Instant>,
    observations: Vec<Observation>,
}

impl Database {
    /// What is the matter now.
    pub(super) async fn observe(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Observation>, sqlx::Error> {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASKED_EVERY) {
            self.observations = ask(connection).await?;
            self.asked = Some(Instant::now());
        }
        Ok(self.observations.clone())
    }
}

async fn ask(connection: &mut PgConnection) -> Result<Vec<Observation>, sqlx::Error> {
    let observation = |kind, subject: String, severity, details| Observation {
        kind,
        subject,
        advertiser: None,
        campaign: None,
        severity,
        details,
    };
    let idle = timescaledb::idle_jobs(&mut *connection).await?;
    let mut observations: Vec<Observation> = idle
        .into_iter()
        .map(|idle| {
            observation(Kind::BackgroundJob, idle.job, Severity::Warning, json!({ "state": idle.state }))
        })
        .collect();
    let progress = Progress::read(connection).await?;
    if progress.is_behind() {
        // Without marks a late click is missed until somebody compares.
        let severity = if progress.is_marked { Severity::Warning } else { Severity::Critical };
        let subject = "hours and days".to_owned();
        observations.push(observation(Kind::Rollups, subject, severity, progress.report()));
    }
    Ok(observations)
}
