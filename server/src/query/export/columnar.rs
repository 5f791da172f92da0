//! Parquet and the streaming format of Arrow.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties},
};

use super::{
    format::Encoder,
    sheet::{Cell, Column, Kind, Row},
};

/// Rows of a Parquet file that are held until they are written, as one row group.
const ROW_GROUP: usize = 32_768;

/// Bytes of a column's dictionary, at most: ids are all different, and a dictionary of them is memory for nothing.
const DICTIONARY: usize = 128 * 1_024;

/// Bytes that were written and not taken yet.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes Parquet.
pub(super) struct Parquet {
    schema: Arc<Schema>,
    buffer: Buffer,
    writer: ArrowWriter<Buffer>,
}

impl Parquet {
    pub(super) fn new(columns: &[Column]) -> Result<Self> {
        let (schema, buffer) = (schema(columns), Buffer::default());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_dictionary_page_size_limit(DICTIONARY)
            // Those of pages are held until the file ends.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let writer = ArrowWriter::try_new(buffer.clone(), Arc::clone(&schema), Some(properties))?;
        Ok(Self { schema, buffer, writer })
    }
}

impl Encoder for Parquet {
    fn encode(&mut self, rows: &[Row]) -> Result<Vec<u8>> {
        self.writer.write(&batch(&self.schema, rows)?)?;
        Ok(self.buffer.take())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        self.writer.close()?;
        Ok(self.buffer.take())
    }
}

/// Encodes a stream of Arrow's record batches.
pub(super) struct ArrowStream {
    schema: Arc<Schema>,
    buffer: Buffer,
    writer: StreamWriter<Buffer>,
}

impl ArrowStream {
    pub(super) fn new(columns: &[Column]) -> Result<Self> {
        let (schema, buffer) = (schema(columns), Buffer::default());
        let writer = StreamWriter::try_new(buffer.clone(), &schema)?;
        Ok(Self { schema, buffer, writer })
    }
}

impl Encoder for ArrowStream {
    fn encode(&mut self, rows: &[Row]) -> Result<Vec<u8>> {
        self.writer.write(&batch(&self.schema, rows)?)?;
        Ok(self.buffer.take())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        self.writer.finish()?;
        Ok(self.buffer.take())
    }
}

fn schema(columns: &[Column]) -> Arc<Schema> {
    let field = |column: &Column| {
        let kind = match column.kind {
            Kind::Text => DataType::Utf8,
            Kind::Integer => DataType::Int64,
            Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        };
        Field::new(column.name, kind, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch(schema: &Arc<Schema>, rows: &[Row]) -> Result<RecordBatch> {
    let array = |n: usize| -> ArrayRef {
        let cells = rows.iter().map(|row| row.get(n));
        let integers = cells.clone().map(|cell| match cell {
            Some(Cell::Integer(number) | Cell::Time(number)) => Some(*number),
            _ => None,
        });
        match schema.field(n).data_type() {
            DataType::Int64 => Arc::new(integers.collect::<Int64Array>()),
            DataType::Timestamp(..) => {
                Arc::new(integers.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
            }
            _ => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
                Some(Cell::Text(text)) => Some(text.as_str()),
                _ => None,
            }))),
        }
    };
    Ok(RecordBatch::try_new(Arc::clone(schema), (0..schema.fields().len()).map(array).collect())?)
}
