//! The queue on the disk: clicks in the order in which they came, each under a number of its own.
//!
//! - What [`Store::commit`] has taken is on the disk, whatever becomes of process and machine; what it
//!   was in the middle of is there whole or not at all.
//! - It holds so many bytes of clicks and no more.
//! - One process uses it at a time.
//! - A file that is damaged is set aside, never written over; a file of another kind is left alone.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clickwire_process::now_ms;
use clickwire_protocol::times::UnixMs;
use redb::{Database, ReadableDatabase as _, StorageBackend, TableDefinition, backends::FileBackend};
use thiserror::Error as ThisError;
use uuid::Uuid;

use super::Waiting;
use crate::intake::own_file;

/// Click id, time of receipt, the click as it travels on the stream.
type Row = (u128, i64, &'static [u8]);

/// Clicks, each with its number.
pub(super) type Numbered = Vec<(u64, Waiting)>;

/// Clicks by number: the oldest has the lowest.
const CLICKS: TableDefinition<'_, u64, Row> = TableDefinition::new("clicks");

/// Bytes that a click takes beside itself, about.
const OVERHEAD_BYTES: u64 = 64;

/// A file is always a whole number of these.
const PAGE_BYTES: u64 = 4096;

/// The first bytes of a spool's file.
const MAGIC: [u8; 4] = *b"redb";

/// Pages that redb keeps in memory, at most; its own default is a gibibyte.
const CACHE_BYTES: usize = 16 << 20;

/// The reason why a spool can't be opened.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("another server uses it; each needs one of its own")]
    InUse,
    #[error("there is something else in this file")]
    Foreign,
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Database(Box<redb::Error>),
}

/// The queue, open.
pub(super) struct Store {
    database: Database,
    max_bytes: u64,
    /// The number of the next click.
    next: u64,
    clicks: u64,
    bytes: u64,
}

impl Store {
    /// Opens the queue in this file, or begins one.
    pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Self, Error> {
        match Self::on(FileBackend::new(locked(path)?).map_err(database_error)?, max_bytes) {
            Err(damage) if is_damage(&damage) => {
                let aside = PathBuf::from(format!("{}.damaged-{}", path.display(), now_ms()));
                fs::rename(path, &aside)?;
                tracing::error!(%damage, set_aside = %aside.display(), "the spool is damaged; beginning a new one");
                Self::on(FileBackend::new(locked(path)?).map_err(database_error)?, max_bytes)
                    .map_err(database_error)
            }
            opened => opened.map_err(database_error),
        }
    }

    /// Opens the queue on any storage; every page is verified.
    pub(super) fn on(storage: impl StorageBackend, max_bytes: u64) -> Result<Self, redb::Error> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(storage)?;
        let creation = database.begin_write()?;
        creation.open_table(CLICKS)?;
        creation.commit()?;
        let mut store = Self { database, max_bytes, next: 0, clicks: 0, bytes: 0 };
        for row in store.database.begin_read()?.open_table(CLICKS)?.range::<u64>(..)? {
            let (number, row) = row?;
            store.next = number.value() + 1;
            store.clicks += 1;
            store.bytes += size_bytes(row.value().2);
        }
        Ok(store)
    }

    /// Removes clicks by number and adds others, in one transaction and with one fsync; says how many
    /// of the added ones, from the first on, there was room for. The others are not there.
    pub(super) fn commit(&mut self, removed: &[u64], added: &[Waiting]) -> Result<usize, redb::Error> {
        let Self { mut next, mut clicks, mut bytes, .. } = *self;
        let transaction = self.database.begin_write()?;
        let mut table = transaction.open_table(CLICKS)?;
        for number in removed {
            if let Some(row) = table.remove(number)? {
                clicks -= 1;
                bytes -= size_bytes(row.value().2);
            }
        }
        let first = next;
        for click in added {
            let size_bytes = size_bytes(&click.payload);
            if bytes + size_bytes > self.max_bytes {
                break;
            }
            table.insert(next, (click.click_id.as_u128(), click.received_at_ms.0, &*click.payload))?;
            next += 1;
            clicks += 1;
            bytes += size_bytes;
        }
        drop(table);
        if (clicks, next) == (self.clicks, self.next) {
            transaction.abort()?;
            return Ok(0);
        }
        transaction.commit()?;
        (self.next, self.clicks, self.bytes) = (next, clicks, bytes);
        Ok((next - first) as usize)
    }

    /// The oldest clicks with their numbers, the oldest first.
    pub(super) fn oldest(&self, limit: usize) -> Result<Numbered, redb::Error> {
        let table = self.database.begin_read()?.open_table(CLICKS)?;
        let mut oldest = Vec::with_capacity(limit.min(self.clicks as usize));
        for row in table.range::<u64>(..)?.take(limit) {
            let (number, row) = row?;
            let (click_id, received_at_ms, payload) = row.value();
            let (click_id, received_at_ms) = (Uuid::from_u128(click_id), UnixMs(received_at_ms));
            oldest.push((
                number.value(),
                Waiting { click_id, received_at_ms, payload: Bytes::copy_from_slice(payload) },
            ));
        }
        Ok(oldest)
    }

    /// The number of the next click.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Gives no click a number below this one. Whoever was told of clicks before the queue was opened again
    /// still names them by their numbers, and must not mean others.
    pub(super) fn number_from(&mut self, least: u64) {
        self.next = self.next.max(least);
    }

    pub(super) fn clicks(&self) -> u64 {
        self.clicks
    }

    /// Size of all clicks, as it is bounded.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns whether there may be no room for another click.
    pub(super) fn is_full(&self) -> bool {
        self.bytes + size_bytes(&[0; LARGEST_CLICK_BYTES]) > self.max_bytes
    }
}

/// No click is larger: see `protocol::click`, and JSON that escapes every second character.
const LARGEST_CLICK_BYTES: usize = 4096;

fn size_bytes(payload: &[u8]) -> u64 {
    payload.len() as u64 + OVERHEAD_BYTES
}

/// Returns whether the file does not hold what was written to it.
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn database_error(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => Error::InUse,
        error => Error::Database(Box::new(error)),
    }
}

/// A file that is ours alone, and fit to be opened as a queue: without the ragged end that a power cut may have left.
fn locked(path: &Path) -> Result<File, Error> {
    let mut file = own_file::open(path)?;
    let length = file.metadata()?.len();
    let mut beginning = Vec::new();
    (&mut file).take(PAGE_BYTES).read_to_end(&mut beginning)?;
    if beginning.iter().all(|byte| *byte == 0) {
        // Whoever began it died before anything was written.
        file.set_len(0)?;
    } else if !beginning.starts_with(&MAGIC) {
        return Err(Error::Foreign);
    } else if !length.is_multiple_of(PAGE_BYTES) {
        file.set_len(length - length % PAGE_BYTES)?;
    }
    Ok(file)
}

impl From<own_file::Error> for Error {
    fn from(error: own_file::Error) -> Self {
        match error {
            own_file::Error::InUse => Self::InUse,
            own_file::Error::File(error) => Self::File(error),
        }
    }
}

#[cfg(test)]
mod crash;
#[cfg(test)]
mod tests;
