//! The formats of exports. Each encoder gives away what it has encoded after every batch of rows, so an export of
//! any length takes the memory of a batch; only a workbook, whose format has an index in front, is whole before
//! it is sent.

use anyhow::Result;

use super::{
    columnar::{ArrowStream, Parquet},
    sheet::{Column, Row},
    text::{Csv, Ndjson},
    workbook::Workbook,
};

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// RFC 4180, with a header line.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// The streaming format of Apache Arrow IPC.
    Arrow,
    /// Office Open XML, for Excel and its like.
    Xlsx,
}

/// Makes bytes of rows.
pub(super) trait Encoder: Send {
    /// Encodes rows and returns what can be sent of it.
    fn encode(&mut self, rows: &[Row]) -> Result<Vec<u8>>;

    /// Returns the rest.
    fn finish(self: Box<Self>) -> Result<Vec<u8>>;
}

impl Format {
    const ALL: [Self; 5] = [Self::Csv, Self::Ndjson, Self::Parquet, Self::Arrow, Self::Xlsx];

    pub(super) fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|format| format.extension() == name);
        known.ok_or_else(|| format!("Expected one of {}.", Self::ALL.map(Self::extension).join(", ")))
    }

    /// The name in the API and the extension of files.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
        }
    }

    /// The media type, as IANA has it where it does.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// An encoder of rows with these columns; `bom`: Excel takes the CSV file for UTF-8 then.
    pub(super) fn encoder(self, columns: Vec<Column>, bom: bool) -> Result<Box<dyn Encoder>> {
        Ok(match self {
            Self::Csv => Box::new(Csv::new(&columns, bom)?),
            Self::Ndjson => Box::new(Ndjson::new(columns)),
            Self::Parquet => Box::new(Parquet::new(&columns)?),
            Self::Arrow => Box::new(ArrowStream::new(&columns)?),
            Self::Xlsx => Box::new(Workbook::new(&columns)?),
        })
    }
}
