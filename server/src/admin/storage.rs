//! `GET /api/v1/admin/storage`: where the deployment's bytes are, how long data is kept, and when housekeeping last
//! removed what is old. Sizes come from the catalogue of the database; no rows are counted.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{Context, context::GetStreamError};
use axum::{Json, extract::State};
use clickwire_ledger::disk::{self, GROWING, Usage};
use clickwire_process::{now_ms, redis::Connection};
use clickwire_protocol::storage::{
    Housekeeping, SpoolStorage, Storage, StreamStorage, TableStorage, housekeeping_key,
};
use redis::AsyncCommands as _;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::{
    sync::Mutex,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use crate::{
    admin::state::AdminState,
    config::Config,
    http::{error::Error, openapi::Refused},
    identity::access::Operator,
    intake::Intake,
    store::database::{answer, unix_ms},
};

/// A service or a disk that does not answer by then is not known.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer is given again as long as this: asking for the size of every chunk is work for the database.
const FRESH: Duration = Duration::from_secs(10);

/// The server's view of its disk, and its last measurement.
pub(crate) struct Measurements {
    intake: Intake,
    /// The file of the spool, and the bytes that it may have; `None`: there is no spool.
    spool: Option<(PathBuf, u64)>,
    last: Mutex<Option<(Instant, Storage)>>,
    /// The disk has been asked how full it is, and has not answered yet.
    is_asked: Arc<AtomicBool>,
}

impl Measurements {
    /// Returns the measurements of this server, still empty.
    pub(crate) fn new(config: &Config, intake: Intake) -> Self {
        let spool = config.spool().map(|path| (path.to_owned(), config.spool_max_bytes));
        Self { intake, spool, last: Mutex::default(), is_asked: Arc::default() }
    }
}

/// Returns the use of storage: tables, the stream, the answering server's spool; retention and the last housekeeping.
///
/// Measured every 10 s at most.
#[utoipa::path(get, path = "/storage", operation_id = "show_storage", tag = "operator",
    responses((status = 200, body = Storage), Refused<(crate::identity::error::Scoped, crate::store::error::Database)>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
) -> Result<Json<Storage>, Error> {
    // One measures; others wait for its answer.
    let mut last = state.storage.last.lock().await;
    if let Some((_, storage)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(Json(storage.clone()));
    }
    let storage = measure(&state).await?;
    *last = Some((Instant::now(), storage.clone()));
    Ok(Json(storage))
}

async fn measure(state: &AdminState) -> Result<Storage, Error> {
    let (tables, stream, spool, housekeeping) = tokio::join!(
        answer(tables(&state.reading)),
        timeout(PATIENCE, stream(state.storage.intake.jetstream(), state.names.stream())),
        spool(&state.storage),
        timeout(PATIENCE, housekeeping(state.redis.clone(), &state.redis_prefix)),
    );
    let (database_bytes, usage, oldest) = tables?;
    let housekeeping = housekeeping.ok().flatten();
    Ok(Storage {
        at_ms: now_ms(),
        database_bytes,
        tables: growing(&usage, &oldest, housekeeping.as_ref()),
        stream: stream.ok().and_then(Result::ok),
        spool,
        housekeeping,
    })
}

type Tables = (i64, Vec<Usage>, Vec<(String, Option<OffsetDateTime>)>);

async fn tables(pool: &PgPool) -> Result<Tables, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let bytes =
        sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut *connection).await?;
    let usage = disk::usage(&mut connection).await?;
    let oldest = disk::oldest(&mut connection).await?;
    Ok((bytes, usage, oldest))
}

/// The tables that grow, the largest first.
fn growing(
    usage: &[Usage],
    oldest: &[(String, Option<OffsetDateTime>)],
    housekeeping: Option<&Housekeeping>,
) -> Vec<TableStorage> {
    let mut tables: Vec<TableStorage> = GROWING
        .iter()
        .filter_map(|growing| {
            let used = usage.iter().find(|used| used.table == growing.table)?;
            let row = oldest.iter().find(|(table, _)| *table == used.table).and_then(|(_, at)| *at);
            Some(TableStorage {
                table: used.table.clone(),
                bytes: used.bytes,
                chunks: used.chunks,
                compressed_chunks: used.compressed,
                oldest_ms: used.oldest.or(row).map(unix_ms),
                removal: growing.removal,
                setting: growing.setting.map(str::to_owned),
                days: growing.setting.and_then(|setting| housekeeping?.days(setting)),
            })
        })
        .collect();
    tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.table.cmp(&b.table)));
    tables
}

async fn stream(nats: &Context, name: &str) -> Result<StreamStorage, GetStreamError> {
    let stream = nats.get_stream(name).await?;
    let info = stream.cached_info();
    Ok(StreamStorage {
        bytes: info.state.bytes,
        // The broker says -1 where there is no limit.
        max_bytes: u64::try_from(info.config.max_bytes).ok(),
        messages: info.state.messages,
    })
}

/// Returns an aggregator's last report; `None` as well if another version has written fields that this one can't read.
async fn housekeeping(mut redis: Connection, prefix: &str) -> Option<Housekeeping> {
    let told: redis::RedisResult<Option<String>> = redis.get(housekeeping_key(prefix)).await;
    serde_json::from_str(&told.ok()??).ok()
}

async fn spool(measurements: &Measurements) -> Option<SpoolStorage> {
    let (path, max_bytes) = measurements.spool.clone()?;
    let state = measurements.intake.spool()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new(".")).to_owned();
    let shown = directory.display().to_string();
    // A disk of another machine may not answer: that holds up one thread, and not the answer.
    let is_asked = measurements.is_asked.clone();
    let disk = if is_asked.swap(true, Ordering::Relaxed) {
        None
    } else {
        let asked = spawn_blocking(move || {
            let disk = rustix::fs::statvfs(&directory);
            is_asked.store(false, Ordering::Relaxed);
            disk
        });
        timeout(PATIENCE, asked).await.ok().and_then(Result::ok).and_then(Result::ok)
    };
    Some(SpoolStorage {
        directory: shown,
        bytes: state.bytes,
        max_bytes,
        free_bytes: disk.as_ref().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        disk_bytes: disk.as_ref().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize)),
    })
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::storage::{Removal, RetentionSetting};

    use super::*;

    fn used(table: &str, bytes: i64, chunks: Option<i64>) -> Usage {
        let oldest = chunks.map(|_| OffsetDateTime::UNIX_EPOCH);
        Usage { table: table.to_owned(), bytes, chunks, compressed: chunks.map(|_| 0), oldest }
    }

    #[test]
    fn tables_that_grow_are_listed_by_size_with_what_is_set() {
        let usage = [
            used("accounts", 900, None),
            used("adjustments", 10, None),
            used("clicks", 30, Some(3)),
            used("hour_counts", 20, None),
        ];
        let second = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(1_500);
        let oldest = [("hour_counts".to_owned(), Some(second)), ("adjustments".to_owned(), None)];
        let told = Housekeeping {
            at_ms: 0,
            every_seconds: 60,
            tasks: vec![],
            retention: vec![RetentionSetting { name: "CLICKWIRE_LEDGER_RETENTION_DAYS".into(), days: 30 }],
        };
        let tables = growing(&usage, &oldest, Some(&told));
        let shown: Vec<_> = tables
            .iter()
            .map(|table| (table.table.as_str(), table.oldest_ms, table.removal, table.days))
            .collect();
        assert_eq!(
            shown,
            [
                ("clicks", Some(0), Removal::Chunks, Some(30)),
                ("hour_counts", Some(1_500), Removal::Rows, None),
                ("adjustments", None, Removal::Never, None),
            ]
        );
        assert!(growing(&usage, &oldest, None).iter().all(|table| table.days.is_none()));
    }
}
