//! Jobs and their files in the database: any server can make a file, and any can send it.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use clickwire_protocol::ids::AdvertiserId;
use futures_util::{StreamExt as _, stream};
use sqlx::{FromRow, PgConnection, PgPool, types::Json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{super::format::Format, FINANCE, owner};
use crate::{
    identity::{
        Role,
        access::{Caller, Credential, Scope},
    },
    query::export::make::Subject,
    store::database::answer,
};

/// Time for which a job and its file are kept.
const KEPT: Duration = Duration::DAY;

/// Bytes of a piece of a file.
pub(super) const PIECE: usize = 1 << 20;

/// Silence of a job's server after which the job is another's.
const DEAD_AFTER: &str = "30 seconds";

/// Attempts at a job, at most: an export that makes servers fail must not make them all fail, again and again.
const MAX_ATTEMPTS: i32 = 3;

/// A job.
#[derive(Clone, FromRow)]
pub(super) struct Job {
    pub(super) job_id: Uuid,
    pub(super) created_at: OffsetDateTime,
    pub(super) expires_at: OffsetDateTime,
    pub(super) owner: String,
    owner_name: String,
    account_id: Option<Uuid>,
    advertisers: Option<Vec<String>>,
    pub(super) kind: String,
    pub(super) parameters: Json<BTreeMap<String, String>>,
    pub(super) extension: String,
    pub(super) status: String,
    pub(super) bytes: i64,
    pub(super) error: Option<String>,
    /// State of the delivery to its receiver; `None` without a receiver.
    pub(super) delivery: Option<String>,
}

const COLUMNS: &str = "job_id, created_at, expires_at, owner, owner_name, account_id, advertisers, kind, parameters, \
     extension, status, bytes, error, delivery";

/// Condition: made by a schedule, of what a caller may see (`$2`, `NULL` for all).
const SCHEDULED: &str = "owner LIKE 'schedule:%' AND ($2::text[] IS NULL OR advertisers <@ $2)";

/// Condition: not of single clicks, of which a caller that may not see them is not told either (`$3`: it may).
const TOLD: &str = "($3 OR kind <> 'clicks')";

/// The advertisers that a caller may see; `None`: all.
fn seen(caller: &Caller) -> Option<Vec<String>> {
    Some(caller.scope.advertisers()?.iter().map(ToString::to_string).collect())
}

impl Job {
    /// A job that a caller has asked for.
    pub(super) fn new(
        caller: &Caller,
        subject: Subject,
        parameters: BTreeMap<String, String>,
        format: Format,
    ) -> Self {
        let created_at = OffsetDateTime::now_utc();
        let advertisers = caller.scope.advertisers();
        Self {
            job_id: Uuid::now_v7(),
            created_at,
            expires_at: created_at + KEPT,
            owner: owner(caller),
            owner_name: caller.name.to_string(),
            account_id: caller.account_id,
            advertisers: advertisers.map(|ids| ids.iter().map(ToString::to_string).collect()),
            kind: subject.as_str().to_owned(),
            parameters: Json(parameters),
            extension: format.extension().to_owned(),
            status: "queued".to_owned(),
            bytes: 0,
            error: None,
            delivery: None,
        }
    }

    /// Queues the job, unless its owner has `max` already; returns whether it did.
    pub(super) async fn queue(&self, jobs: &PgPool, max: i64) -> Result<bool, sqlx::Error> {
        let mut transaction = jobs.begin().await?;
        // Before the statement that counts: it sees what was queued until then.
        lock(&mut transaction, &format!("exports of {}", self.owner)).await?;
        let queued = sqlx::query(
            "INSERT INTO export_jobs (job_id, created_at, expires_at, owner, owner_name, account_id, advertisers, kind, parameters, extension) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
              WHERE (SELECT count(*) FROM export_jobs WHERE owner = $4 AND expires_at > $2) < $11",
        )
        .bind(self.job_id)
        .bind(self.created_at)
        .bind(self.expires_at)
        .bind(&self.owner)
        .bind(&self.owner_name)
        .bind(self.account_id)
        .bind(&self.advertisers)
        .bind(&self.kind)
        .bind(&self.parameters)
        .bind(&self.extension)
        .bind(max)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(queued.rows_affected() == 1)
    }

    /// Jobs of a caller, and those of schedules about what it may see, the latest first.
    pub(super) async fn all(jobs: &PgPool, caller: &Caller) -> Result<Vec<Self>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM export_jobs WHERE (owner = $1 OR {SCHEDULED}) AND {TOLD} AND expires_at > now() \
              ORDER BY created_at DESC LIMIT 100"
        );
        let all = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(owner(caller)).bind(seen(caller));
        all.bind(caller.sees_clicks().is_ok()).fetch_all(jobs).await
    }

    /// One of those jobs; operators may see any.
    pub(super) async fn find(
        jobs: &PgPool,
        job_id: Uuid,
        caller: &Caller,
    ) -> Result<Option<Self>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM export_jobs WHERE job_id = $4 AND expires_at > now() \
                AND (owner = $1 OR $5 OR {SCHEDULED}) AND {TOLD}"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(owner(caller))
            .bind(seen(caller))
            .bind(caller.sees_clicks().is_ok())
            .bind(job_id)
            .bind(caller.role.is_operators())
            .fetch_optional(jobs)
            .await
    }

    /// Returns whether the caller has asked for it.
    pub(super) fn is_of(&self, caller: &Caller) -> bool {
        self.owner == owner(caller)
    }

    pub(super) async fn delete(&self, jobs: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM export_jobs WHERE job_id = $1").bind(self.job_id).execute(jobs).await?;
        Ok(())
    }

    /// The caller that asked for the job, with what an export needs to know of it.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            name: self.owner_name.as_str().into(),
            role: match self.advertisers {
                Some(_) => Role::Advertiser,
                None if self.owner == FINANCE => Role::Finance,
                None => Role::Ops,
            },
            scope: self.advertisers().map_or(Scope::All, Scope::Advertisers),
            account_id: self.account_id,
            credential: Credential::Configured,
        }
    }

    /// The advertisers that its owner could see; `None`: all.
    pub(super) fn advertisers(&self) -> Option<Vec<AdvertiserId>> {
        let ids = self.advertisers.as_ref()?;
        Some(ids.iter().map(|id| AdvertiserId::unchecked(id.as_str())).collect())
    }

    /// Claims the next job for this attempt: owners take turns but for those that are `busy`, and none has two made at
    /// once. Pieces of an earlier attempt are deleted.
    pub(super) async fn claim(
        jobs: &PgPool,
        claim: Uuid,
        busy: &[&str],
    ) -> Result<Option<Self>, sqlx::Error> {
        let mut transaction = jobs.begin().await?;
        // Two servers would not see each other's claim.
        lock(&mut transaction, "claims of exports").await?;
        let sql = format!(
            "UPDATE export_jobs SET status = 'running', claim = $1, beat_at = now(), attempts = attempts + 1, bytes = 0 \
              WHERE job_id = (SELECT job_id FROM export_jobs AS j \
                    WHERE expires_at > now() AND attempts < {MAX_ATTEMPTS} AND owner <> ALL($2) \
                      AND (status = 'queued' OR status = 'running' AND beat_at < now() - INTERVAL '{DEAD_AFTER}') \
                      AND NOT EXISTS (SELECT FROM export_jobs AS o WHERE o.owner = j.owner AND o.job_id <> j.job_id \
                                         AND o.status = 'running' AND o.beat_at >= now() - INTERVAL '{DEAD_AFTER}') \
                    ORDER BY (SELECT count(*) FROM export_jobs AS o WHERE o.owner = j.owner \
                                 AND o.created_at < j.created_at AND o.status = 'queued'), created_at \
                    FOR UPDATE SKIP LOCKED LIMIT 1) \
             RETURNING {COLUMNS}"
        );
        let claimed = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(claim).bind(busy);
        let job: Option<Self> = claimed.fetch_optional(&mut *transaction).await?;
        if let Some(job) = &job {
            let pieces = sqlx::query("DELETE FROM export_pieces WHERE job_id = $1").bind(job.job_id);
            pieces.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(job)
    }

    /// Adds a piece to the file; returns whether this attempt may go on.
    pub(super) async fn add(
        &self,
        jobs: &PgPool,
        claim: Uuid,
        number: i32,
        piece: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let added = sqlx::query(
            "WITH mine AS (UPDATE export_jobs SET beat_at = now(), bytes = bytes + octet_length($4) \
                            WHERE job_id = $1 AND claim = $2 AND status = 'running' RETURNING job_id) \
             INSERT INTO export_pieces (job_id, number, piece) SELECT job_id, $3, $4 FROM mine",
        )
        .bind(self.job_id)
        .bind(claim)
        .bind(number)
        .bind(piece)
        .execute(jobs)
        .await?;
        Ok(added.rows_affected() == 1)
    }

    /// Ends this attempt: with an error's code, or well without one.
    pub(super) async fn end(
        &self,
        jobs: &PgPool,
        claim: Uuid,
        error: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE export_jobs SET status = CASE WHEN $3::text IS NULL THEN 'done' ELSE 'failed' END, error = $3, \
                    delivery = CASE WHEN $3 IS NOT NULL AND delivery = 'waiting' THEN 'given_up' ELSE delivery END \
              WHERE job_id = $1 AND claim = $2 AND status = 'running'",
        )
        .bind(self.job_id)
        .bind(claim)
        .bind(error)
        .execute(jobs)
        .await?;
        Ok(())
    }

    /// Returns the job to the queue, as if it had not been begun.
    pub(super) async fn release(&self, jobs: &PgPool, claim: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE export_jobs SET status = 'queued', attempts = attempts - 1 \
              WHERE job_id = $1 AND claim = $2 AND status = 'running'",
        )
        .bind(self.job_id)
        .bind(claim)
        .execute(jobs)
        .await?;
        Ok(())
    }
}

/// Waits for its turn under a name, and keeps it until the transaction ends.
async fn lock(transaction: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let turn = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(name);
    turn.execute(transaction).await.map(drop)
}

/// Number of pieces of a file with this number of bytes; the last one may be empty.
pub(super) fn pieces_of(bytes: i64) -> i32 {
    i32::try_from(bytes.div_euclid(PIECE as i64) + 1).unwrap_or(i32::MAX)
}

/// The body of a file, read piece by piece as the client takes it; no connection is held meanwhile.
pub(super) fn file(jobs: PgPool, job_id: Uuid, bytes: i64) -> Body {
    let pieces = stream::unfold((0, jobs, pieces_of(bytes)), move |(number, jobs, pieces)| async move {
        if number >= pieces {
            return None;
        }
        let piece = answer(piece(&jobs, job_id, number)).await;
        let piece = piece.ok().flatten().ok_or_else(|| std::io::Error::other("the file is gone"));
        // After an error nothing follows.
        let next = if piece.is_ok() { number + 1 } else { pieces };
        Some((piece, (next, jobs, pieces)))
    });
    Body::from_stream(pieces.boxed())
}

/// A piece of a file.
pub(super) async fn piece(jobs: &PgPool, job_id: Uuid, number: i32) -> Result<Option<Bytes>, sqlx::Error> {
    let piece: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT piece FROM export_pieces WHERE job_id = $1 AND number = $2")
            .bind(job_id)
            .bind(number)
            .fetch_optional(jobs)
            .await?;
    Ok(piece.map(Bytes::from))
}

/// Deletes the exports that may contain a user of an advertiser, those that are being made among them.
pub(crate) async fn forget(
    database: &mut PgConnection,
    advertiser_id: &AdvertiserId,
    user_id: &str,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM export_jobs WHERE (advertisers IS NULL OR $1 = ANY(advertisers)) \
            AND (kind = 'clicks' OR parameters ->> 'user_id' = $2)",
    );
    Ok(deleted.bind(advertiser_id).bind(user_id).execute(database).await?.rows_affected())
}

/// Deletes jobs that have expired, and fails those that were begun too often.
pub(super) async fn sweep(jobs: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM export_jobs WHERE expires_at <= now()").execute(jobs).await?;
    let sql = format!(
        "UPDATE export_jobs SET status = 'failed', error = 'internal', \
                delivery = CASE WHEN delivery = 'waiting' THEN 'given_up' ELSE delivery END \
          WHERE status = 'running' AND attempts >= {MAX_ATTEMPTS} AND beat_at < now() - INTERVAL '{DEAD_AFTER}'"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(jobs).await?;
    Ok(())
}
