//! Manifests: a table's lists of data files.

use iceberg::{
    io::FileIO,
    spec::{
        DataFile, DataFileBuilder, FormatVersion, Manifest, ManifestFile, ManifestList, ManifestWriter,
        ManifestWriterBuilder, Snapshot, TableMetadata,
    },
};
use uuid::Uuid;

use crate::{error::Unavailable, objects::Objects};

/// A manifest that is being written.
pub(crate) struct Manifests {
    memory: FileIO,
    location: String,
    pub(crate) writer: ManifestWriter,
}

impl Manifests {
    /// Begins one of a table.
    pub(crate) fn begin(table: &TableMetadata, snapshot_id: i64) -> Result<Self, Unavailable> {
        let memory = FileIO::new_with_memory();
        let location = format!("{}/metadata/{}-m0.avro", table.location(), Uuid::now_v7());
        let builder = ManifestWriterBuilder::new(
            memory.new_output(&location)?,
            Some(snapshot_id),
            table.current_schema().clone(),
            table.default_partition_spec().as_ref().clone(),
        );
        Ok(Self { memory, location, writer: builder.build_v2_data() })
    }

    /// Puts it into the object store.
    pub(crate) async fn finish(self, objects: &Objects) -> Result<ManifestFile, Unavailable> {
        let manifest = self.writer.write_manifest_file().await?;
        objects.put(&self.location, self.memory.new_input(&self.location)?.read().await?).await?;
        Ok(manifest)
    }
}

/// A data file without what is said of its content: the bounds of a column may be a user's name.
pub(crate) fn bare(file: &DataFile) -> Result<DataFile, Unavailable> {
    DataFileBuilder::default()
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .build()
        .map_err(|error| Unavailable::Rows(error.to_string()))
}

/// The manifests of a snapshot.
pub(crate) async fn read_list(
    objects: &Objects,
    snapshot: &Snapshot,
) -> Result<Vec<ManifestFile>, Unavailable> {
    let list = objects.get(snapshot.manifest_list()).await?;
    let list = ManifestList::parse_with_version(&list, FormatVersion::V2)?;
    Ok(list.consume_entries().into_iter().collect())
}

/// A manifest's entries.
pub(crate) async fn read(objects: &Objects, manifest: &ManifestFile) -> Result<Manifest, Unavailable> {
    Ok(Manifest::parse_avro(&objects.get(&manifest.manifest_path).await?)?)
}
