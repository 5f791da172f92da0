//! Upkeep of a table: small files are put together, snapshots expire, days beyond the retention are
//! deleted, and files that nothing names are removed.
//!
//! Each is a commit of its own by the one who archives, between two batches; a crash anywhere leaves files that
//! nothing names. A file is removed when it is in no snapshot that is kept and was put longer ago than snapshots
//! are kept, so who reads a snapshot, or writes one, is not disturbed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_ord::sort::{SortColumn, lexsort_to_indices};
use arrow_select::{concat::concat_batches, take::take_record_batch};
use clickwire_process::{failpoint, now_ms};
use iceberg::{
    arrow::schema_to_arrow_schema,
    spec::{DataFile, Operation},
};

use crate::{
    catalog::Catalog,
    columns,
    config::Config,
    error::Unavailable,
    objects::Objects,
    table::{Change, Table, day},
};

/// A file of this size is left as it is.
const LARGE_BYTES: u64 = 64 << 20;

/// Limits of one compaction, which is held in memory: bytes as they are stored, and rows.
const TOGETHER_BYTES: u64 = 96 << 20;
const TOGETHER_ROWS: u64 = 1_000_000;

const DAY_MS: i64 = 86_400_000;

/// Runs every kind of upkeep once; rows are kept for `retention_days`, or for ever. Returns the time: files put before
/// it are removed if no kept snapshot names them.
pub(crate) async fn round(
    catalog: &Catalog,
    objects: &Objects,
    table: &mut Table,
    (config, retention_days): (&Config, Option<u32>),
) -> Result<i64, Unavailable> {
    if let Some(days) = retention_days {
        forget_days(catalog, objects, table, first_day(days)).await?;
    }
    compact(catalog, objects, table, config).await?;
    let before_ms = now_ms() - config.keep_snapshots_ms();
    table.expire(catalog, objects, before_ms).await?;
    sweep(objects, table, before_ms).await?;
    Ok(before_ms)
}

/// The first day that a retention keeps, counted from 1970.
pub(crate) fn first_day(retention_days: u32) -> i64 {
    now_ms() / DAY_MS - i64::from(retention_days)
}

/// Deletes the rows of days before the first.
async fn forget_days(
    catalog: &Catalog,
    objects: &Objects,
    table: &mut Table,
    first: i64,
) -> Result<(), Unavailable> {
    let files = table.files(objects).await?;
    let old = files.iter().filter(|file| day(file).is_some_and(|day| i64::from(day) < first));
    let removed: HashSet<String> = old.map(|file| file.file_path().to_owned()).collect();
    if removed.is_empty() {
        return Ok(());
    }
    let change = Change { operation: Operation::Delete, added: Vec::new(), removed, summary: Vec::new() };
    let prepared = table.prepare(objects, change).await?;
    failpoint::reached("lake_retention_written");
    table.publish(catalog, prepared).await?;
    failpoint::reached("lake_retention_committed");
    Ok(())
}

/// Puts small files of a day together, when there are many, or when the day has ended.
async fn compact(
    catalog: &Catalog,
    objects: &Objects,
    table: &mut Table,
    config: &Config,
) -> Result<(), Unavailable> {
    let today = now_ms() / DAY_MS;
    let mut days: BTreeMap<i32, Vec<DataFile>> = BTreeMap::new();
    for file in table.files(objects).await? {
        if let Some(day) = day(&file).filter(|_| file.file_size_in_bytes() < LARGE_BYTES) {
            days.entry(day).or_default().push(file);
        }
    }
    for (day, files) in days {
        let enough = if i64::from(day) < today - 1 { 2 } else { config.compact_files };
        let chosen = together(files);
        if chosen.len() >= enough {
            put_together(catalog, objects, table, day, &chosen).await?;
        }
    }
    Ok(())
}

/// Returns as many of a day's small files as may be held in memory, the smallest first.
fn together(mut files: Vec<DataFile>) -> Vec<DataFile> {
    files.sort_by_key(DataFile::file_size_in_bytes);
    let (mut bytes, mut rows) = (0, 0);
    files.retain(|file| {
        bytes += file.file_size_in_bytes();
        rows += file.record_count();
        bytes <= TOGETHER_BYTES && rows <= TOGETHER_ROWS
    });
    files
}

async fn put_together(
    catalog: &Catalog,
    objects: &Objects,
    table: &mut Table,
    day: i32,
    files: &[DataFile],
) -> Result<(), Unavailable> {
    let mut batches = Vec::new();
    for file in files {
        let content = objects.get(file.file_path()).await?;
        batches.extend(columns::batches(content)?.collect::<Result<Vec<_>, _>>()?);
    }
    let added = vec![table.write(objects, day, &sorted(table, &batches)?).await?];
    failpoint::reached("lake_compaction_file_written");
    let removed = files.iter().map(|file| file.file_path().to_owned()).collect();
    let change = Change { operation: Operation::Replace, added, removed, summary: Vec::new() };
    let prepared = table.prepare(objects, change).await?;
    failpoint::reached("lake_compaction_written");
    table.publish(catalog, prepared).await?;
    failpoint::reached("lake_compaction_committed");
    metrics::counter!("clickwire_lake_compacted_files_total").increment(files.len() as u64);
    Ok(())
}

/// Rows of several files, in the table's order.
fn sorted(table: &Table, batches: &[RecordBatch]) -> Result<RecordBatch, Unavailable> {
    let wrong = |error: arrow_schema::ArrowError| Unavailable::Rows(error.to_string());
    let schema = Arc::new(schema_to_arrow_schema(table.metadata.current_schema())?);
    let all = batches.first().map(RecordBatch::schema).unwrap_or_else(|| Arc::clone(&schema));
    let all = concat_batches(&all, batches).map_err(wrong)?;
    let keys: Vec<SortColumn> = table
        .definition
        .order
        .iter()
        .filter_map(|name| all.column_by_name(name))
        .map(|column| SortColumn { values: Arc::clone(column), options: None })
        .collect();
    let order = lexsort_to_indices(&keys, None).map_err(wrong)?;
    let all = take_record_batch(&all, &order).map_err(wrong)?;
    RecordBatch::try_new(schema, all.columns().to_vec()).map_err(wrong)
}

/// Removes files that no kept snapshot names and that were put before a time.
async fn sweep(objects: &Objects, table: &Table, before_ms: i64) -> Result<(), Unavailable> {
    // The list first: what is named later was put later.
    let files = objects.list(&table.definition.folder()).await?;
    let named = table.named(objects).await?;
    let mut removed = 0_u64;
    for (name, put_at_us) in files {
        let location = objects.location(&name);
        if put_at_us < before_ms * 1_000 && !named.contains(&location) {
            objects.delete(&location).await?;
            failpoint::reached("lake_file_removed");
            removed += 1;
        }
    }
    metrics::counter!("clickwire_lake_removed_files_total").increment(removed);
    Ok(())
}
