//! TimescaleDB: which version it is, and whether its background jobs do their work.
//!
//! Counts depend on neither: hours and days are the ledger's own roll-ups. Versions that are too old
//! for these are refused; jobs compress old chunks, and drop some where an operator has added a policy for it.

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::schema;

/// The oldest one that these programs were tried with; triggers that see all rows which a statement has changed
/// in a hypertable came shortly before.
const OLDEST: Version = Version(2, 19, 0);

/// The oldest one without known security holes.
const SECURE: Version = Version(2, 29, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// Reads a version such as `2.19.3` or `2.23.0-dev`.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-']).map(str::parse);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        Some(Self(major, minor, numbers.next().and_then(Result::ok).unwrap_or(0)))
    }

    /// The fault of continuous aggregates of this version, if there is one.
    fn miscounts(self) -> Option<&'static str> {
        match self {
            Self(2, 21..=26, _) => Some("they count twice where two refreshes overlap"),
            Self(2, 28, 0..=3) => Some("a bucket may be left out by their refresh"),
            _ => None,
        }
    }
}

/// A TimescaleDB that these programs can't work with.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// The extension is not there.
    #[error("the database server has no TimescaleDB")]
    Missing,
    /// The version that is there.
    #[error("TimescaleDB {0} is too old: {major}.{minor} or newer is needed", major = OLDEST.0, minor = OLDEST.1)]
    TooOld(String),
}

/// The TimescaleDB that runs.
#[derive(Clone, Debug)]
pub struct Installed {
    version: String,
    license: String,
    warnings: Vec<String>,
}

impl Installed {
    /// The report for `/health`.
    pub fn report(&self) -> Value {
        let Self { version, license, warnings } = self;
        json!({ "version": version, "license": license, "warnings": warnings })
    }
}

/// Refuses a version that is too old, before anything is migrated. The extension may not have been created yet.
pub(crate) async fn require(connection: &mut PgConnection) -> Result<(), schema::Error> {
    let version: Option<String> = sqlx::query_scalar(
        "SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), \
                         (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'))",
    )
    .fetch_one(connection)
    .await?;
    let version = version.ok_or(Unsupported::Missing)?;
    if Version::parse(&version).is_some_and(|version| version < OLDEST) {
        return Err(Unsupported::TooOld(version).into());
    }
    Ok(())
}

/// Says what runs, and warns of what is wrong with it.
pub(crate) async fn look(connection: &mut PgConnection) -> Result<Installed, sqlx::Error> {
    let (version, license, aggregates): (String, String, Vec<String>) = sqlx::query_as(
        "SELECT extversion, current_setting('timescaledb.license'), \
                ARRAY(SELECT view_name::text FROM timescaledb_information.continuous_aggregates ORDER BY 1) \
           FROM pg_extension WHERE extname = 'timescaledb'",
    )
    .fetch_one(connection)
    .await?;
    let warnings = warnings(&version, &aggregates);
    for warning in &warnings {
        tracing::warn!(version, license, "TimescaleDB: {warning}");
    }
    Ok(Installed { version, license, warnings })
}

fn warnings(version: &str, aggregates: &[String]) -> Vec<String> {
    let Some(known) = Version::parse(version) else { return vec!["its version is unknown".to_owned()] };
    let mut warnings = Vec::new();
    if known < SECURE {
        let Version(major, minor, patch) = SECURE;
        warnings.push(format!("versions before {major}.{minor}.{patch} have known security holes"));
    }
    if let Some(fault) = known.miscounts().filter(|_| !aggregates.is_empty()) {
        let names = aggregates.join(", ");
        warnings.push(format!("continuous aggregates ({names}) can't be trusted: {fault}"));
    }
    warnings
}

/// A background job that does not do its work.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Idle {
    /// The job, such as `policy_compression of clicks`.
    pub job: String,
    /// `stuck`, `overdue`, `failing` or `without effect`.
    pub state: String,
}

/// Asks which jobs don't do their work.
///
/// On PostgreSQL 17.12 every run ends in `cannot drop portal`, after its work is done. So such a failure is none
/// as long as no chunk is left that should have been compressed or dropped a day ago.
///
/// # Errors
/// What the database says.
pub async fn idle_jobs(connection: &mut PgConnection) -> Result<Vec<Idle>, sqlx::Error> {
    sqlx::query_as(
        "SELECT job, state FROM ( \
           SELECT format('%s of %s', j.proc_name, j.hypertable_name) AS job, \
                  CASE WHEN s.job_status = 'Running' THEN NULL \
                       WHEN s.next_start = '-infinity' THEN 'stuck' \
                       WHEN coalesce(s.next_start, j.next_start) < now() - INTERVAL '1 hour' THEN 'overdue' \
                       WHEN s.last_run_status = 'Failed' AND coalesce((SELECT e.err_message NOT LIKE 'cannot drop portal%' \
                              FROM timescaledb_information.job_errors AS e WHERE e.job_id = j.job_id \
                             ORDER BY e.finish_time DESC LIMIT 1), true) THEN 'failing' \
                       WHEN EXISTS (SELECT FROM timescaledb_information.chunks AS c \
                              WHERE c.hypertable_schema = j.hypertable_schema AND c.hypertable_name = j.hypertable_name \
                                AND c.range_end < now() - INTERVAL '1 day' - 2 * j.schedule_interval \
                                                  - coalesce(j.config->>'compress_after', j.config->>'drop_after')::interval \
                                AND NOT (j.config ? 'compress_after' AND c.is_compressed)) THEN 'without effect' END AS state \
             FROM timescaledb_information.jobs AS j LEFT JOIN timescaledb_information.job_stats AS s USING (job_id) \
            WHERE j.scheduled AND j.proc_name IN ('policy_compression', 'policy_retention')) AS jobs \
          WHERE state IS NOT NULL ORDER BY job",
    )
    .fetch_all(connection)
    .await
}

/// Schedules jobs that are never scheduled again by themselves: those that ran on a primary when it died (TimescaleDB
/// issue 9360).
///
/// # Errors
/// What the database says.
pub async fn restart_stuck_jobs(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let restarted: Vec<i32> = sqlx::query_scalar(
        "SELECT (alter_job(j.job_id, next_start => now())).job_id \
           FROM timescaledb_information.jobs AS j JOIN timescaledb_information.job_stats AS s USING (job_id) \
          WHERE j.scheduled AND j.proc_name IN ('policy_compression', 'policy_retention') \
            AND j.owner = quote_ident(current_user)::regrole AND s.job_status <> 'Running' \
            AND s.next_start = '-infinity' AND s.last_run_started_at < now() - INTERVAL '1 minute'",
    )
    .fetch_all(connection)
    .await?;
    if !restarted.is_empty() {
        tracing::warn!(jobs = ?restarted, "background jobs of the database were stuck, and are scheduled again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged_by_what_is_known_of_them() {
        let own = ["hours_of_mine".to_owned()];
        for (version, aggregates, expected) in [
            ("2.19.3", &own[..], 1),
            ("2.23.1", &own[..], 2),
            ("2.23.1", &[], 1),
            ("2.28.2", &own[..], 2),
            ("2.28.4", &own[..], 1),
            ("2.29.1", &own[..], 0),
            ("2.29.2-dev", &[], 0),
            ("3.0.0", &own[..], 0),
            ("new", &[], 1),
        ] {
            let warnings = warnings(version, aggregates);
            assert_eq!(warnings.len(), expected, "{version}: {warnings:?}");
        }
        assert!(Version::parse("2.9.3").unwrap() < OLDEST);
        assert!(Version::parse("2.19").unwrap() >= OLDEST);
    }
}
