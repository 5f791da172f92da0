//! An Iceberg table: its files, and the next metadata with some added and some removed.
//!
//! Files are made in memory and put into the object store under names with a new UUID. Nothing is part of the
//! table before the catalog's pointer has moved to the metadata that name it.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;
use bytes::Bytes;
use clickwire_process::{failpoint, now_ms};
use iceberg::{
    io::FileIO,
    spec::{
        DataFile, Literal, MAIN_BRANCH, ManifestFile, ManifestListWriter, Operation, PrimitiveLiteral,
        Snapshot, Struct, Summary, TableMetadata,
    },
    writer::file_writer::{FileWriter as _, FileWriterBuilder as _, ParquetWriterBuilder},
};
use parquet::{
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use rand::RngExt as _;
use uuid::Uuid;

use crate::{
    catalog::{self, Catalog},
    error::{Unavailable, answered},
    manifests::{self, Manifests},
    objects::Objects,
    schema::Definition,
};

/// Rows that a reader can skip together.
const ROW_GROUP_ROWS: usize = 128 * 1024;

const DAY_US: i64 = 86_400_000_000;

/// Properties of a snapshot that describe the messages which it has brought.
pub(crate) const STREAM_CREATED: &str = "clickwire.stream-created-us";
pub(crate) const FIRST_SEQ: &str = "clickwire.first-seq";
pub(crate) const LAST_SEQ: &str = "clickwire.last-seq";

/// More manifests than these are put together by the next change.
const MANIFESTS: usize = 100;

/// A table as one metadata file describes it.
pub(crate) struct Table {
    pub(crate) definition: &'static Definition,
    pub(crate) metadata: TableMetadata,
    /// Location of the metadata.
    location: String,
}

/// The effect of a commit on a table.
pub(crate) struct Change {
    pub(crate) operation: Operation,
    pub(crate) added: Vec<DataFile>,
    /// Locations of data files.
    pub(crate) removed: HashSet<String>,
    /// Properties of the snapshot beside its counts.
    pub(crate) summary: Vec<(&'static str, String)>,
}

/// Metadata that are in the object store and that no pointer names yet.
pub(crate) struct Prepared {
    /// The metadata that they were made from.
    pub(crate) previous: String,
    pub(crate) location: String,
    pub(crate) text: String,
    pub(crate) metadata: TableMetadata,
    pub(crate) snapshot_id: i64,
}

impl Table {
    /// A table, made if it is missing.
    pub(crate) async fn open(
        catalog: &Catalog,
        objects: &Objects,
        definition: &'static Definition,
    ) -> Result<Self, Unavailable> {
        if let Some(table) = Self::load(catalog, objects, definition).await? {
            return Ok(table);
        }
        let metadata = definition.metadata(objects.location(&definition.folder()))?;
        let (location, text) = put_metadata(objects, &metadata, 0).await?;
        answered(async {
            let mut transaction = catalog.begin().await?;
            catalog::create(&mut transaction, definition.name, &location, &text).await?;
            transaction.commit().await.map_err(Unavailable::from)
        })
        .await?;
        Ok(Self { definition, metadata, location })
    }

    /// A table, if there is one.
    pub(crate) async fn load(
        catalog: &Catalog,
        objects: &Objects,
        definition: &'static Definition,
    ) -> Result<Option<Self>, Unavailable> {
        let Some(location) = answered(catalog.pointer(definition.name)).await? else { return Ok(None) };
        let metadata = serde_json::from_slice(&objects.get(&location).await?)
            .map_err(|error| Unavailable::Rows(format!("{location}: {error}")))?;
        Ok(Some(Self { definition, metadata, location }))
    }

    /// The table as it is after a commit.
    pub(crate) fn advance(&mut self, prepared: Prepared) {
        self.metadata = prepared.metadata;
        self.location = prepared.location;
    }

    /// Puts rows of one day into a new data file. The day is counted from 1970.
    pub(crate) async fn write(
        &self,
        objects: &Objects,
        day: i32,
        rows: &RecordBatch,
    ) -> Result<DataFile, Unavailable> {
        let name = format!("data/{}={}/{}.parquet", self.definition.partition(), date(day), Uuid::now_v7());
        let location = format!("{}/{name}", self.metadata.location());
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(&location)?;
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let builder = ParquetWriterBuilder::new(properties, self.metadata.current_schema().clone());
        let mut writer = builder.build(output).await?;
        writer.write(rows).await?;
        let files = writer.close().await?;
        let mut file = files.into_iter().next().ok_or_else(|| Unavailable::Rows("no rows".to_owned()))?;
        let file = file
            .partition(Struct::from_iter([Some(Literal::date(day))]))
            .partition_spec_id(self.metadata.default_partition_spec_id())
            .sort_order_id(self.metadata.default_sort_order_id() as i32)
            .build()
            .map_err(|error| Unavailable::Rows(error.to_string()))?;
        objects.put(&location, memory.new_input(&location)?.read().await?).await?;
        Ok(file)
    }

    /// The data files of the current snapshot.
    pub(crate) async fn files(&self, objects: &Objects) -> Result<Vec<DataFile>, Unavailable> {
        let mut files = Vec::new();
        for manifest in self.manifests(objects).await? {
            let entries = manifests::read(objects, &manifest).await?;
            let alive = entries.entries().iter().filter(|entry| entry.is_alive());
            files.extend(alive.map(|entry| entry.data_file().clone()));
        }
        Ok(files)
    }

    /// The data files of the current snapshot with days in a range of times.
    pub(crate) async fn files_between(
        &self,
        objects: &Objects,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<DataFile>, Unavailable> {
        let days = from_us.div_euclid(DAY_US)..=to_us.div_euclid(DAY_US);
        let mut files = self.files(objects).await?;
        files.retain(|file| day(file).is_none_or(|day| days.contains(&i64::from(day))));
        Ok(files)
    }

    /// The manifests of the current snapshot that have a living file.
    async fn manifests(&self, objects: &Objects) -> Result<Vec<ManifestFile>, Unavailable> {
        let Some(snapshot) = self.metadata.current_snapshot() else { return Ok(Vec::new()) };
        let mut manifests = manifests::read_list(objects, snapshot).await?;
        manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        Ok(manifests)
    }

    /// The locations of all files that the metadata name.
    pub(crate) async fn named(&self, objects: &Objects) -> Result<HashSet<String>, Unavailable> {
        let mut named = HashSet::from([self.location.clone()]);
        named.extend(self.metadata.metadata_log().iter().map(|log| log.metadata_file.clone()));
        for snapshot in self.metadata.snapshots() {
            named.insert(snapshot.manifest_list().to_owned());
            for manifest in manifests::read_list(objects, snapshot).await? {
                if named.insert(manifest.manifest_path.clone()) {
                    let entries = manifests::read(objects, &manifest).await?;
                    let alive = entries.entries().iter().filter(|entry| entry.is_alive());
                    named.extend(alive.map(|entry| entry.file_path().to_owned()));
                }
            }
        }
        Ok(named)
    }

    /// Makes prepared metadata the table's, unless another has changed it since.
    pub(crate) async fn publish(&mut self, catalog: &Catalog, prepared: Prepared) -> Result<(), Unavailable> {
        answered(async {
            let mut transaction = catalog.begin().await?;
            catalog::move_pointer(&mut transaction, self.definition.name, &prepared).await?;
            transaction.commit().await.map_err(Unavailable::from)
        })
        .await?;
        self.advance(prepared);
        Ok(())
    }

    /// Forgets snapshots that were not the newest any more at a time.
    pub(crate) async fn expire(
        &mut self,
        catalog: &Catalog,
        objects: &Objects,
        before_ms: i64,
    ) -> Result<(), Unavailable> {
        let mut snapshots: Vec<_> = self.metadata.snapshots().collect();
        snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
        let successors = snapshots.windows(2).filter(|pair| pair[1].timestamp_ms() < before_ms);
        let expired: Vec<i64> = successors.map(|pair| pair[0].snapshot_id()).collect();
        if expired.is_empty() {
            return Ok(());
        }
        let builder = self.metadata.clone().into_builder(Some(self.location.clone()));
        let metadata = builder.remove_snapshots(&expired).build()?.metadata;
        let (location, text) = put_metadata(objects, &metadata, metadata.last_sequence_number()).await?;
        let snapshot_id = metadata.current_snapshot_id().unwrap_or_default();
        let prepared = Prepared { previous: self.location.clone(), location, text, metadata, snapshot_id };
        failpoint::reached("lake_expiry_written");
        self.publish(catalog, prepared).await?;
        failpoint::reached("lake_expired");
        Ok(())
    }

    /// The sequence number of the oldest snapshot that is kept; none without a snapshot.
    pub(crate) fn oldest_kept(&self) -> Option<i64> {
        self.metadata.snapshots().map(|snapshot| snapshot.sequence_number()).min()
    }

    /// Puts everything that a change needs but the pointer into the object store.
    pub(crate) async fn prepare(&self, objects: &Objects, change: Change) -> Result<Prepared, Unavailable> {
        let snapshot_id = rand::rng().random_range(1..i64::MAX);
        let mut manifests = self.manifests(objects).await?;
        let mut removed_rows = 0;
        if !change.removed.is_empty() || manifests.len() > MANIFESTS {
            (manifests, removed_rows) =
                self.without(objects, manifests, &change.removed, snapshot_id).await?;
        }
        let added_rows: u64 = change.added.iter().map(DataFile::record_count).sum();
        let counts = self.counts(&change, added_rows, removed_rows);
        if !change.added.is_empty() {
            let mut writer = Manifests::begin(&self.metadata, snapshot_id)?;
            for file in change.added {
                writer.writer.add_file(file, -1)?;
            }
            manifests.push(writer.finish(objects).await?);
        }
        let list = self.put_list(objects, manifests, snapshot_id).await?;
        let mut summary: HashMap<String, String> = counts;
        summary.extend(change.summary.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(self.metadata.current_snapshot_id())
            .with_sequence_number(self.metadata.next_sequence_number())
            .with_timestamp_ms(now_ms().max(self.metadata.last_updated_ms()))
            .with_manifest_list(list)
            .with_summary(Summary { operation: change.operation, additional_properties: summary })
            .with_schema_id(self.metadata.current_schema_id())
            .build();
        let builder = self.metadata.clone().into_builder(Some(self.location.clone()));
        let metadata = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.build()?.metadata;
        let (location, text) = put_metadata(objects, &metadata, metadata.last_sequence_number()).await?;
        Ok(Prepared { previous: self.location.clone(), location, text, metadata, snapshot_id })
    }

    /// The manifests without some files: those that have one of them are put into a new one, without it. Of many
    /// manifests all are.
    async fn without(
        &self,
        objects: &Objects,
        manifests: Vec<ManifestFile>,
        removed: &HashSet<String>,
        snapshot_id: i64,
    ) -> Result<(Vec<ManifestFile>, u64), Unavailable> {
        let mut kept = Vec::new();
        let mut rewritten = Manifests::begin(&self.metadata, snapshot_id)?;
        let are_many = manifests.len() > MANIFESTS;
        let (mut found, mut removed_rows) = (0, 0);
        for manifest in manifests {
            let entries = manifests::read(objects, &manifest).await?;
            let alive: Vec<_> = entries.entries().iter().filter(|entry| entry.is_alive()).collect();
            if !are_many && !alive.iter().any(|entry| removed.contains(entry.file_path())) {
                kept.push(manifest);
                continue;
            }
            for entry in alive {
                let file = entry.data_file().clone();
                let sequence = entry.sequence_number().unwrap_or(manifest.sequence_number);
                let file_sequence = entry.file_sequence_number.unwrap_or(manifest.sequence_number);
                if removed.contains(entry.file_path()) {
                    found += 1;
                    removed_rows += file.record_count();
                    rewritten.writer.add_delete_file(
                        manifests::bare(&file)?,
                        sequence,
                        Some(file_sequence),
                    )?;
                } else {
                    let added_by = entry.snapshot_id().unwrap_or(manifest.added_snapshot_id);
                    rewritten.writer.add_existing_file(file, added_by, sequence, Some(file_sequence))?;
                }
            }
        }
        if found != removed.len() {
            return Err(Unavailable::Another);
        }
        kept.push(rewritten.finish(objects).await?);
        Ok((kept, removed_rows))
    }

    async fn put_list(
        &self,
        objects: &Objects,
        manifests: Vec<ManifestFile>,
        snapshot_id: i64,
    ) -> Result<String, Unavailable> {
        let location =
            format!("{}/metadata/snap-{snapshot_id}-{}.avro", self.metadata.location(), Uuid::now_v7());
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(&location)?.writer().await?;
        let parent = self.metadata.current_snapshot_id();
        let mut list =
            ManifestListWriter::v2(output, snapshot_id, parent, self.metadata.next_sequence_number());
        list.add_manifests(manifests.into_iter())?;
        list.close().await?;
        objects.put(&location, memory.new_input(&location)?.read().await?).await?;
        Ok(location)
    }

    /// Counts of a snapshot, under their names in the specification.
    fn counts(&self, change: &Change, added_rows: u64, removed_rows: u64) -> HashMap<String, String> {
        let before = |name: &str| -> u64 {
            let snapshot = self.metadata.current_snapshot();
            let value = snapshot.and_then(|snapshot| snapshot.summary().additional_properties.get(name));
            value.and_then(|value| value.parse().ok()).unwrap_or_default()
        };
        let files = |files: usize| files as u64;
        let total_files = before("total-data-files") + files(change.added.len());
        let counts = [
            ("added-data-files", files(change.added.len())),
            ("deleted-data-files", files(change.removed.len())),
            ("added-records", added_rows),
            ("deleted-records", removed_rows),
            ("total-data-files", total_files.saturating_sub(files(change.removed.len()))),
            ("total-records", (before("total-records") + added_rows).saturating_sub(removed_rows)),
            ("total-delete-files", 0),
        ];
        counts.into_iter().map(|(name, count)| (name.to_owned(), count.to_string())).collect()
    }
}

async fn put_metadata(
    objects: &Objects,
    metadata: &TableMetadata,
    version: i64,
) -> Result<(String, String), Unavailable> {
    let location = format!("{}/metadata/{version:05}-{}.metadata.json", metadata.location(), Uuid::now_v7());
    let text = serde_json::to_string(metadata).map_err(|error| Unavailable::Rows(error.to_string()))?;
    objects.put(&location, Bytes::from(text.clone())).await?;
    Ok((location, text))
}

/// The day of a data file's rows, counted from 1970.
pub(crate) fn day(file: &DataFile) -> Option<i32> {
    match file.partition().iter().next()?? {
        Literal::Primitive(PrimitiveLiteral::Int(day)) => Some(*day),
        _ => None,
    }
}

/// The day of a time in microseconds, counted from 1970.
pub(crate) fn day_of(time_us: i64) -> i32 {
    i32::try_from(time_us.div_euclid(DAY_US)).unwrap_or_default()
}

/// A day counted from 1970, as `2026-11-28`.
pub(crate) fn date(day: i32) -> String {
    let date = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(i64::from(day));
    date.date().to_string()
}
