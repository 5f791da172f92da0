//! Incidents of the database itself: jobs of TimescaleDB that don't do their work, and roll-ups that stand
//! still. None of them makes a number wrong; each makes something slower and larger for as long as it lasts.

use std::time::{Duration, Instant};

use clickwire_ledger::{incidents::Observation, rollups::Progress, timescaledb};
use clickwire_protocol::alerts::{Kind, Severity};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// The interval between queries: their answers change slowly, and asking takes longer than a round should.
const ASKED_EVERY: Duration = Duration::from_secs(15);

/// The observations of the last query of the database.
#[derive(Default)]
pub(super) struct Database {
    asked: Option<Instant>,
    observations: Vec<Observation>,
    /// Up to where hours were stored when it was seen before that they are behind.
    stood_at: Option<OffsetDateTime>,
}

impl Database {
    /// Returns the observations, at most [`ASKED_EVERY`] old.
    pub(super) async fn observe(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Observation>, sqlx::Error> {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASKED_EVERY) {
            self.observations = self.ask(connection).await?;
            self.asked = Some(Instant::now());
        }
        Ok(self.observations.clone())
    }

    async fn ask(&mut self, connection: &mut PgConnection) -> Result<Vec<Observation>, sqlx::Error> {
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
        // Roll-ups that catch up, after a start say, are behind for a while and need nobody: it is an incident when
        // they have come no further since they were seen behind. Without marks it is one at once.
        let is_behind = progress.is_behind();
        let stood_at = std::mem::replace(&mut self.stood_at, is_behind.then_some(progress.hours_before));
        if is_behind && (!progress.is_marked || stood_at == Some(progress.hours_before)) {
            // Without marks a late click is missed until somebody compares.
            let severity = if progress.is_marked { Severity::Warning } else { Severity::Critical };
            let subject = "hours and days".to_owned();
            observations.push(observation(Kind::Rollups, subject, severity, progress.report()));
        }
        Ok(observations)
    }
}
