//! `clickwire-lake adopt`: points to the newest metadata in the object store, after the database was restored from
//! an older backup and points to older ones.
//!
//! Snapshots name the ranges of the stream that they hold, so the ranges are restored with the pointer. Metadata
//! that were made and never committed may be the newest: what they hold was counted, and nothing follows them.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use iceberg::spec::{Snapshot, TableMetadata};

use crate::{
    catalog::{self, Catalog, Range},
    config::{self, Config},
    objects::Objects,
    schema::{self, NAMESPACE},
    table::{FIRST_SEQ, LAST_SEQ, Prepared, STREAM_CREATED, Table},
};

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
pub(super) async fn command(config: &Config) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::connect(config)?;
    // Whoever archives must have ended.
    let _lock = catalog.lock(config.names().lake_lock()).await?;
    let objects = Objects::open(&config.url, config::object_store_options())?;
    let location = newest(&objects).await?.context("there are no metadata in the object store")?;
    let text = String::from_utf8(objects.get(&location).await?.to_vec())?;
    let metadata: TableMetadata = serde_json::from_str(&text).context("the newest metadata")?;
    let before = catalog.pointer(schema::CLICKS).await?;
    if before.as_ref() == Some(&location) {
        println!("the database points to the newest metadata");
        return Ok(ExitCode::SUCCESS);
    }
    // The older metadata may be of another table, made when the database was empty.
    if let Some(table) = Table::load(&catalog, &objects, schema::CLICKS).await? {
        ensure!(table.metadata.uuid() == metadata.uuid(), "the database has another table of clicks");
    }
    let ranges: Vec<_> = metadata.snapshots().filter_map(|snapshot| range(snapshot)).collect();
    let mut transaction = catalog.begin().await?;
    for (range, rows, snapshot_id) in ranges {
        catalog::restore(&mut transaction, config.names().stream(), range, rows, snapshot_id).await?;
    }
    match before {
        Some(previous) => {
            let prepared = Prepared { previous, location: location.clone(), text, metadata, snapshot_id: 0 };
            catalog::move_pointer(&mut transaction, schema::CLICKS, &prepared).await?;
        }
        None => catalog::create(&mut transaction, schema::CLICKS, &location, &text).await?,
    }
    transaction.commit().await?;
    println!("the database points to {location}");
    Ok(ExitCode::SUCCESS)
}

/// The location of the metadata with the highest version, the latest of several.
async fn newest(objects: &Objects) -> anyhow::Result<Option<String>> {
    let files = objects.list(&format!("{NAMESPACE}/{}/metadata", schema::CLICKS)).await?;
    let versions = files.into_iter().filter_map(|(name, modified)| {
        let file = name.rsplit('/').next()?.strip_suffix(".metadata.json")?;
        let version: u64 = file.split('-').next()?.parse().ok()?;
        Some(((version, modified), name))
    });
    Ok(versions.max().map(|(_, name)| objects.location(&name)))
}

/// The range that a snapshot has brought, with its rows and its id.
fn range(snapshot: &Snapshot) -> Option<(Range, usize, i64)> {
    let summary = &snapshot.summary().additional_properties;
    let number = |name: &str| summary.get(name)?.parse::<i64>().ok();
    let range = Range {
        stream_created_us: number(STREAM_CREATED)?,
        first: number(FIRST_SEQ)? as u64,
        last: number(LAST_SEQ)? as u64,
    };
    Some((range, number("added-records")? as usize, snapshot.snapshot_id()))
}
