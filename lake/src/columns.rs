//! Columns of rows, as Parquet takes and gives them.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use bytes::Bytes;
use iceberg::{arrow::schema_to_arrow_schema, spec::Schema};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::error::Unavailable;

/// Rows that are read at once.
const ROWS: usize = 8_192;

/// Rows that become columns, in the order of a table's columns.
pub(crate) struct Columns<'a, T> {
    rows: &'a [T],
    columns: Vec<ArrayRef>,
}

impl<'a, T> Columns<'a, T> {
    /// No columns yet, of these rows.
    pub(crate) fn of(rows: &'a [T]) -> Self {
        Self { rows, columns: Vec::new() }
    }

    fn push(mut self, column: impl Array + 'static) -> Self {
        self.columns.push(Arc::new(column));
        self
    }

    /// A text of each row.
    pub(crate) fn text(self, of: impl Fn(&T) -> String) -> Self {
        self.optional(|row| Some(of(row)))
    }

    /// A text, if a row has it.
    pub(crate) fn optional(self, of: impl Fn(&T) -> Option<String>) -> Self {
        let column: StringArray = self.rows.iter().map(of).collect();
        self.push(column)
    }

    /// A yes or no.
    pub(crate) fn mark(self, of: impl Fn(&T) -> bool) -> Self {
        let column: BooleanArray = self.rows.iter().map(|row| Some(of(row))).collect();
        self.push(column)
    }

    /// A time, in microseconds.
    pub(crate) fn time(self, of: impl Fn(&T) -> i64) -> Self {
        let times: Vec<i64> = self.rows.iter().map(of).collect();
        self.push(TimestampMicrosecondArray::from(times).with_timezone("+00:00"))
    }

    /// A day, counted from 1970.
    pub(crate) fn day(self, of: impl Fn(&T) -> i32) -> Self {
        let days: Vec<i32> = self.rows.iter().map(of).collect();
        self.push(Date32Array::from(days))
    }

    /// A number.
    pub(crate) fn number(self, of: impl Fn(&T) -> i64) -> Self {
        let numbers: Vec<i64> = self.rows.iter().map(of).collect();
        self.push(Int64Array::from(numbers))
    }

    /// A small number, if a row has it.
    pub(crate) fn version(self, of: impl Fn(&T) -> Option<i32>) -> Self {
        let column: Int32Array = self.rows.iter().map(of).collect();
        self.push(column)
    }

    /// The columns of a table.
    pub(crate) fn batch(self, schema: &Schema) -> Result<RecordBatch, Unavailable> {
        let schema = Arc::new(schema_to_arrow_schema(schema)?);
        RecordBatch::try_new(schema, self.columns).map_err(|error| wrong(&error))
    }
}

/// The rows of a data file, some at a time.
pub(crate) fn batches(content: Bytes) -> Result<impl Iterator<Item = Batch>, Unavailable> {
    read(content, None)
}

/// A few columns of them.
pub(crate) fn batches_of(
    content: Bytes,
    columns: &[&str],
) -> Result<impl Iterator<Item = Batch>, Unavailable> {
    read(content, Some(columns))
}

/// Some rows of a data file.
pub(crate) type Batch = Result<RecordBatch, Unavailable>;

fn read(content: Bytes, columns: Option<&[&str]>) -> Result<impl Iterator<Item = Batch>, Unavailable> {
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(content).map_err(|error| wrong(&error))?;
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
        reader = reader.with_projection(mask);
    }
    let reader = reader.with_batch_size(ROWS).build().map_err(|error| wrong(&error))?;
    Ok(reader.map(|batch| batch.map_err(|error| wrong(&error))))
}

/// The error of a file with wrong rows.
pub(crate) fn wrong(error: &dyn std::fmt::Display) -> Unavailable {
    Unavailable::Rows(error.to_string())
}

/// The rows of a batch, each made of its values.
pub(crate) fn rows<T>(
    batch: &RecordBatch,
    row: impl Fn(&Values<'_>, usize) -> anyhow::Result<T>,
) -> Result<Vec<T>, Unavailable> {
    let values = Values(batch);
    (0..batch.num_rows()).map(|at| row(&values, at).map_err(|error| wrong(&error))).collect()
}

/// A batch's values, by row and column.
pub(crate) struct Values<'a>(pub(crate) &'a RecordBatch);

impl Values<'_> {
    fn column<T: Array + 'static>(&self, name: &str) -> anyhow::Result<&T> {
        let column = self.0.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
        column.ok_or_else(|| anyhow::anyhow!("no column {name} of the right type"))
    }

    pub(crate) fn optional(&self, name: &str, at: usize) -> anyhow::Result<Option<String>> {
        let column: &StringArray = self.column(name)?;
        Ok(column.is_valid(at).then(|| column.value(at).to_owned()))
    }

    pub(crate) fn text(&self, name: &str, at: usize) -> anyhow::Result<String> {
        self.optional(name, at).map(Option::unwrap_or_default)
    }

    pub(crate) fn mark(&self, name: &str, at: usize) -> anyhow::Result<bool> {
        Ok(self.column::<BooleanArray>(name)?.value(at))
    }

    pub(crate) fn time(&self, name: &str, at: usize) -> anyhow::Result<i64> {
        Ok(self.column::<TimestampMicrosecondArray>(name)?.value(at))
    }

    pub(crate) fn day(&self, name: &str, at: usize) -> anyhow::Result<i32> {
        Ok(self.column::<Date32Array>(name)?.value(at))
    }

    pub(crate) fn number(&self, name: &str, at: usize) -> anyhow::Result<i64> {
        Ok(self.column::<Int64Array>(name)?.value(at))
    }

    pub(crate) fn version(&self, name: &str, at: usize) -> anyhow::Result<Option<i32>> {
        let column: &Int32Array = self.column(name)?;
        Ok(column.is_valid(at).then(|| column.value(at)))
    }
}
