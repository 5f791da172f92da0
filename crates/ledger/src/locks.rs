//! Advisory locks of the counting transactions, which no frozen process keeps for longer than a few seconds.
//!
//! A process can stop without a word: SIGSTOP, a paused machine, a host that swaps. Its connections stay
//! open, so the database alone can tell. Three things may be left behind, each with a limit of its own:
//! - **A lock it holds.** The database ends a session that pauses inside a transaction
//!   ([`crate::schema::FROZEN_AFTER`]).
//! - **A place in the line before a lock,** which it would be given in its turn: one place for each of its
//!   partitions, each worth the limit above. So a place is good for [`PLACE_FOR`]; a process that is alive
//!   queues again.
//! - **A lock it holds in the middle of a statement,** whose rest it has not sent (`COPY`) or whose answer it
//!   does not read. The database has no limit for that; the process that waits for the lock ends the session.

use clickwire_protocol::stream::AdvisoryLock;
use sqlx::PgConnection;

/// The time that a transaction stands in the line before a lock, as PostgreSQL reads it.
const PLACE_FOR: &str = "1s";

/// The time for which batches that are to share a transaction wait for one lock, as PostgreSQL reads it: longer than
/// small batches of another process take.
const SHARED_WITHIN: &str = "200ms";

/// A statement that has waited for its client this long, in seconds, waits in vain.
const CLIENT_SILENT_SECONDS: f64 = 3.0;

/// Takes a lock until the transaction ends; `connection` must be in one. What the transaction has done so far
/// stays done however often it queues.
pub(crate) async fn lock(connection: &mut PgConnection, lock: AdvisoryLock) -> Result<(), sqlx::Error> {
    let is_free =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1, $2)").bind(lock.deployment).bind(lock.work);
    if is_free.fetch_one(&mut *connection).await? {
        return Ok(());
    }
    loop {
        let queue = format!("SAVEPOINT queue; SET LOCAL lock_timeout = '{PLACE_FOR}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(queue)).execute(&mut *connection).await?;
        let turn = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(lock.deployment).bind(lock.work);
        match turn.execute(&mut *connection).await {
            Ok(_) => {
                let leave = "RELEASE SAVEPOINT queue; SET LOCAL lock_timeout TO DEFAULT";
                sqlx::raw_sql(leave).execute(connection).await?;
                return Ok(());
            }
            // 55P03: lock_not_available
            Err(error) if has_code(&error, "55P03") => {
                let leave = "ROLLBACK TO SAVEPOINT queue; RELEASE SAVEPOINT queue";
                sqlx::raw_sql(leave).execute(&mut *connection).await?;
                end_silent(connection, lock).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Takes the locks of partitions, in their order, until the transaction ends; false, and the transaction has failed,
/// if one of them is not free within [`SHARED_WITHIN`]. A holder that may be frozen is not waited for.
pub(crate) async fn lock_soon(
    connection: &mut PgConnection,
    locks: impl IntoIterator<Item = AdvisoryLock>,
) -> Result<bool, sqlx::Error> {
    let locks: Vec<String> = locks
        .into_iter()
        .map(|AdvisoryLock { deployment, work }| {
            format!("SELECT pg_advisory_xact_lock({deployment}, {work})")
        })
        .collect();
    let locks = locks.join("; ");
    let all =
        format!("SET LOCAL lock_timeout = '{SHARED_WITHIN}'; {locks}; SET LOCAL lock_timeout TO DEFAULT");
    match sqlx::raw_sql(sqlx::AssertSqlSafe(all)).execute(connection).await {
        Ok(_) => Ok(true),
        // 55P03: lock_not_available
        Err(error) if has_code(&error, "55P03") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends the session that holds a lock and waits for its client in the middle of a statement.
async fn end_silent(connection: &mut PgConnection, lock: AdvisoryLock) -> Result<(), sqlx::Error> {
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_locks JOIN pg_stat_activity USING (pid) \
          WHERE locktype = 'advisory' AND granted AND datname = current_database() AND datid = database \
            AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2 \
            AND state = 'active' AND wait_event_type = 'Client' \
            AND query_start < clock_timestamp() - $3 * INTERVAL '1 s' AND pg_has_role(usesysid, 'USAGE')",
    )
    // As the database shows them: without a sign.
    .bind(i64::from(lock.deployment.cast_unsigned()))
    .bind(i64::from(lock.work.cast_unsigned()))
    .bind(CLIENT_SILENT_SECONDS)
    .fetch_one(connection)
    .await?;
    if ended > 0 {
        tracing::warn!("ended a session whose client had stopped in the middle of a statement");
    }
    Ok(())
}

/// Returns whether the database has ended the session because its client paused inside a transaction:
/// `idle_in_transaction_session_timeout`.
pub(crate) fn is_pause(error: &sqlx::Error) -> bool {
    has_code(error, "25P03")
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|found| found == code)
}
