//! Rows as `COPY … FROM STDIN (FORMAT binary)` reads them: [the format][1].
//!
//! [1]: https://www.postgresql.org/docs/17/sql-copy.html#SQL-COPY-FILE-FORMATS

use clickwire_protocol::times::UnixMs;
use uuid::Uuid;

/// Midnight of 2000-01-01, from which PostgreSQL counts, in Unix milliseconds.
const EPOCH_MS: i64 = 946_684_800_000;

/// The type `text` in arrays.
const TEXT_OID: u32 = 25;

/// Rows of one table, one after the other.
pub(super) struct Rows {
    bytes: Vec<u8>,
    columns: i16,
}

impl Rows {
    /// No rows yet; each is to have this number of columns.
    pub(super) fn new(columns: i16) -> Self {
        // The signature, no flags, no extension.
        Self { bytes: b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec(), columns }
    }

    /// Begins a row. Its columns follow, each by one of the other methods.
    pub(super) fn begin(&mut self) {
        self.bytes.extend(self.columns.to_be_bytes());
    }

    pub(super) fn null(&mut self) {
        self.bytes.extend((-1_i32).to_be_bytes());
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        // Whatever comes here is a part of a message of at most 64 KiB.
        self.bytes.extend((value.len() as i32).to_be_bytes());
        self.bytes.extend(value);
    }

    /// Writes a value of a `text` column or of an enumeration.
    pub(super) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Writes a value of a `jsonb` column: the version of its form, then the text.
    pub(super) fn json(&mut self, text: &str) {
        self.bytes.extend((text.len() as i32 + 1).to_be_bytes());
        self.bytes.push(1);
        self.bytes.extend(text.as_bytes());
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.bytes(value.as_bytes());
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    pub(super) fn integer(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn bigint(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes a `timestamptz`.
    pub(super) fn time(&mut self, time: UnixMs) {
        self.bigint(time.0.saturating_sub(EPOCH_MS).saturating_mul(1_000));
    }

    /// Writes a `text[]` with at least one element.
    pub(super) fn texts<'a>(&mut self, values: impl Iterator<Item = &'a str> + Clone) {
        let (count, size) = values.clone().fold((0, 20), |(n, size), value| (n + 1, size + 4 + value.len()));
        self.bytes.extend((size as i32).to_be_bytes());
        // One dimension, no NULL; as many elements, the first of which is number 1.
        for number in [1, 0, TEXT_OID, count, 1] {
            self.bytes.extend(number.to_be_bytes());
        }
        values.for_each(|value| self.text(value));
    }

    /// A column that may be NULL.
    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// All of it, to be sent.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend((-1_i16).to_be_bytes());
        self.bytes
    }
}
