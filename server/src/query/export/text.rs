//! CSV and NDJSON.

use anyhow::{Result, anyhow};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    format::Encoder,
    sheet::{Cell, Column, Row},
};

/// First characters of a text that a spreadsheet takes for a formula, which may call on programs and addresses
/// (OWASP, "CSV Injection").
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Encodes CSV.
pub(super) struct Csv {
    /// The bytes before the first row.
    head: Vec<u8>,
}

impl Csv {
    pub(super) fn new(columns: &[Column], bom: bool) -> Result<Self> {
        let mut writer =
            csv::Writer::from_writer(if bom { "\u{feff}".as_bytes().to_vec() } else { Vec::new() });
        writer.write_record(columns.iter().map(|column| column.name))?;
        Ok(Self { head: into_bytes(writer)? })
    }
}

impl Encoder for Csv {
    fn encode(&mut self, rows: &[Row]) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(std::mem::take(&mut self.head));
        for row in rows {
            writer.write_record(row.iter().map(field))?;
        }
        into_bytes(writer)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.head)
    }
}

fn into_bytes(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>> {
    writer.into_inner().map_err(|error| anyhow!("{}", error.error()))
}

/// A field; texts that look like formulas have an apostrophe in front.
fn field(cell: &Cell) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Text(text) if text.starts_with(FORMULAS) => format!("'{text}"),
        Cell::Text(text) => text.clone(),
        Cell::Integer(number) => number.to_string(),
        Cell::Time(ms) => rfc3339(*ms),
    }
}

/// Formats Unix milliseconds as RFC 3339 in UTC.
pub(super) fn rfc3339(ms: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Encodes an object a line.
pub(super) struct Ndjson {
    columns: Vec<Column>,
}

impl Ndjson {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }
}

impl Encoder for Ndjson {
    fn encode(&mut self, rows: &[Row]) -> Result<Vec<u8>> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, &Object { columns: &self.columns, row })?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

struct Object<'a> {
    columns: &'a [Column],
    row: &'a Row,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.row) {
            match cell {
                Cell::Missing => object.serialize_entry(column.name, &())?,
                Cell::Text(text) => object.serialize_entry(column.name, text)?,
                Cell::Integer(number) => object.serialize_entry(column.name, number)?,
                Cell::Time(ms) => object.serialize_entry(column.name, &rfc3339(*ms))?,
            }
        }
        object.end()
    }
}
