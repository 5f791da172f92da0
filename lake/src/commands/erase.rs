//! `clickwire-lake erase-user`: takes a user out of the lake.
//!
//! The user's rows stay, so that counts do, and lose what says who it was: user, address hash, user agent, referrer,
//! parameters. Files with such rows are written again; the old ones are in no snapshot once those of now have
//! expired, and are removed then.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use arrow_array::RecordBatch;
use iceberg::spec::{DataFile, Operation};

use super::clicks;
use crate::{
    catalog::Catalog,
    config::Config,
    error::Unavailable,
    objects::Objects,
    rows::{self, Row},
    table::{Change, Table, day},
};

/// How often it begins again when the lake has committed meanwhile.
const ATTEMPTS: u32 = 20;

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
pub(super) async fn command(config: &Config, advertiser: &str, user: &str) -> anyhow::Result<ExitCode> {
    ensure!(!advertiser.is_empty() && !user.is_empty(), "--advertiser and --user: not empty");
    let catalog = Catalog::connect(config)?;
    for _ in 0..ATTEMPTS {
        let (mut table, objects) = clicks(config, &catalog).await?;
        let (rows, change) = change(&table, &objects, advertiser, user).await?;
        if rows > 0 {
            let prepared = table.prepare(&objects, change).await?;
            match table.publish(&catalog, prepared).await {
                Err(Unavailable::Another) => continue,
                published => published.context("the change was not committed")?,
            }
        }
        println!("{rows} rows erased; old files are removed in {} s", config.keep_snapshots_seconds);
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!("the lake has committed each time before this could: try again")
}

/// What makes the table one without the user, and in how many rows it is.
async fn change(
    table: &Table,
    objects: &Objects,
    advertiser: &str,
    user: &str,
) -> anyhow::Result<(usize, Change)> {
    let mut change = Change {
        operation: Operation::Overwrite,
        added: Vec::new(),
        removed: std::collections::HashSet::new(),
        summary: Vec::new(),
    };
    let mut erased = 0;
    for file in table.files(objects).await? {
        if let Some((rows, without)) = without(table, objects, &file, advertiser, user).await? {
            erased += rows;
            let day = day(&file).context("a file without a day")?;
            change.added.push(table.write(objects, day, &without).await?);
            change.removed.insert(file.file_path().to_owned());
        }
    }
    Ok((erased, change))
}

/// A file's rows without the user, and how many were the user's; `None` if none were.
async fn without(
    table: &Table,
    objects: &Objects,
    file: &DataFile,
    advertiser: &str,
    user: &str,
) -> anyhow::Result<Option<(usize, RecordBatch)>> {
    let (mut erased, mut kept) = (0, Vec::new());
    for batch in rows::batches(objects.get(file.file_path()).await?)? {
        let mut rows = rows::rows(&batch?)?;
        for row in &mut rows {
            let click = &row.click;
            if click.advertiser_id.as_str() == advertiser && click.user_id.as_deref() == Some(user) {
                erase(row);
                erased += 1;
            }
        }
        kept.push(rows::batch(table.metadata.current_schema(), rows.iter().collect())?);
    }
    let Some(first) = kept.first().filter(|_| erased > 0) else { return Ok(None) };
    Ok(Some((erased, arrow_select::concat::concat_batches(&first.schema(), &kept)?)))
}

fn erase(row: &mut Row) {
    row.click.user_id = None;
    row.click.ip_hash = None;
    row.click.user_agent.clear();
    row.click.referrer = None;
    row.click.params.clear();
}
