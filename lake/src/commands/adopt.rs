//! `clickwire-lake adopt`: points to the newest metadata in the object store, after the database was restored from
//! an older backup and points to older ones.
//!
//! Snapshots of clicks name the ranges of the stream that they hold, so the ranges are restored with the pointer.
//! Metadata that were made and never committed may be the newest: what they hold was counted, and nothing follows
//! them. The other tables follow the ledger, which is the older one now: adjustments that it does not have go, and
//! every day is written again.

use std::{collections::HashSet, process::ExitCode};

use anyhow::{Context as _, ensure};
use iceberg::spec::{Operation, Snapshot, TableMetadata};
use sqlx::PgConnection;

use crate::{
    adjustments,
    catalog::{self, Catalog, Range},
    columns,
    config::{self, Config},
    objects::Objects,
    schema::{ADJUSTMENTS, CLICKS, DAILY_COUNTS, Definition},
    table::{Change, FIRST_SEQ, LAST_SEQ, Prepared, STREAM_CREATED, Table, day},
};

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
pub(super) async fn command(config: &Config) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::connect(config).await?;
    // Whoever archives must have ended.
    let _lock = catalog.lock(config.names().lake_lock()).await?;
    let objects = Objects::open(&config.url, config::object_store_options())?;
    let clicks = Newest::find(&catalog, &objects, &CLICKS).await?;
    match clicks.context("there are no metadata in the object store")? {
        Newest::Known => println!("the database points to the newest metadata of clicks"),
        Newest::Unknown(newest) => {
            let ranges: Vec<_> = newest.metadata.snapshots().filter_map(|snapshot| range(snapshot)).collect();
            let mut transaction = catalog.begin().await?;
            for (range, rows, id) in ranges {
                catalog::restore(&mut transaction, config.names().stream(), range, rows, id).await?;
            }
            newest.point(&mut transaction).await?;
            transaction.commit().await?;
            println!("the database points to {}", newest.location);
        }
    }
    for definition in [&ADJUSTMENTS, &DAILY_COUNTS] {
        if let Some(Newest::Unknown(newest)) = Newest::find(&catalog, &objects, definition).await? {
            let mut transaction = catalog.begin().await?;
            newest.point(&mut transaction).await?;
            sqlx::query("DELETE FROM lake_days").execute(&mut *transaction).await?;
            transaction.commit().await?;
            println!("the database points to {}", newest.location);
        }
    }
    follow(&catalog, &objects).await?;
    Ok(ExitCode::SUCCESS)
}

/// Makes adjustments, and the mark that goes with them, what the ledger has.
async fn follow(catalog: &Catalog, objects: &Objects) -> anyhow::Result<()> {
    let Some(table) = Table::load(catalog, objects, &ADJUSTMENTS).await? else { return Ok(()) };
    let of_ledger = "SELECT coalesce(max(adjustment_id), 0) FROM adjustments";
    let of_ledger: i64 = sqlx::query_scalar(of_ledger).fetch_one(catalog.database()).await?;
    let (mut added, mut removed, mut newest) = (Vec::new(), HashSet::new(), 0);
    for file in table.files(objects).await? {
        let mut rows = Vec::new();
        for batch in columns::batches(objects.get(file.file_path()).await?)? {
            rows.extend(adjustments::rows(&batch?)?);
        }
        let all = rows.len();
        rows.retain(|row| row.adjustment_id <= of_ledger);
        newest = rows.iter().map(|row| row.adjustment_id).fold(newest, i64::max);
        if rows.len() < all {
            removed.insert(file.file_path().to_owned());
            if !rows.is_empty() {
                let batch = adjustments::batch(table.metadata.current_schema(), rows)?;
                added.push(table.write(objects, day(&file).context("a file without a day")?, &batch).await?);
            }
        }
    }
    let prepared = if removed.is_empty() {
        None
    } else {
        let change = Change { operation: Operation::Overwrite, added, removed, summary: Vec::new() };
        Some(table.prepare(objects, change).await?)
    };
    let mut transaction = catalog.begin().await?;
    let mark = "UPDATE lake_adjustments SET last_id = $1";
    sqlx::query(mark).bind(newest).execute(&mut *transaction).await?;
    if let Some(prepared) = prepared {
        catalog::move_pointer(&mut transaction, ADJUSTMENTS.name, &prepared).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The newest metadata of a table.
enum Newest {
    /// The database points to them.
    Known,
    Unknown(Box<Adopted>),
}

/// Metadata that the database is to point to.
struct Adopted {
    definition: &'static Definition,
    /// The location that the database points to now.
    before: Option<String>,
    location: String,
    text: String,
    metadata: TableMetadata,
}

impl Newest {
    /// Those with the highest version, the latest of several; `None` if there are none.
    async fn find(
        catalog: &Catalog,
        objects: &Objects,
        definition: &'static Definition,
    ) -> anyhow::Result<Option<Self>> {
        let files = objects.list(&format!("{}/metadata", definition.folder())).await?;
        let versions = files.into_iter().filter_map(|(name, modified)| {
            let file = name.rsplit('/').next()?.strip_suffix(".metadata.json")?;
            let version: u64 = file.split('-').next()?.parse().ok()?;
            Some(((version, modified), name))
        });
        let Some((_, name)) = versions.max() else { return Ok(None) };
        let location = objects.location(&name);
        let before = catalog.pointer(definition.name).await?;
        if before.as_ref() == Some(&location) {
            return Ok(Some(Self::Known));
        }
        let text = String::from_utf8(objects.get(&location).await?.to_vec())?;
        let metadata: TableMetadata = serde_json::from_str(&text).context("the newest metadata")?;
        // The older metadata may be of another table, made when the database was empty.
        if let Some(table) = Table::load(catalog, objects, definition).await? {
            ensure!(
                table.metadata.uuid() == metadata.uuid(),
                "the database has another table of {}",
                definition.name
            );
        }
        Ok(Some(Self::Unknown(Box::new(Adopted { definition, before, location, text, metadata }))))
    }
}

impl Adopted {
    async fn point(&self, transaction: &mut PgConnection) -> anyhow::Result<()> {
        let Self { definition, before, location, text, metadata } = self;
        match before.clone() {
            Some(previous) => {
                let (location, text, metadata) = (location.clone(), text.clone(), metadata.clone());
                let prepared = Prepared { previous, location, text, metadata, snapshot_id: 0 };
                catalog::move_pointer(transaction, definition.name, &prepared).await?;
            }
            None => catalog::create(transaction, definition.name, location, text).await?,
        }
        Ok(())
    }
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
