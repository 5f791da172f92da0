//! `clickwire-lake erase-user`: takes a user out of the lake.
//!
//! The user's rows stay, so that counts do, and lose what says who it was: user, address hash, user agent, referrer,
//! parameters. Files with such rows are written again; the old ones are in no snapshot once those of now have
//! expired, and are removed then.

use std::{collections::HashSet, process::ExitCode};

use anyhow::{Context as _, ensure};
use iceberg::spec::Operation;

use super::clicks;
use crate::{
    catalog::Catalog,
    config::Config,
    erase,
    error::Unavailable,
    objects::Objects,
    table::{Change, Table, day},
};

/// The largest number of attempts; one fails when the lake has committed meanwhile.
const ATTEMPTS: u32 = 20;

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
pub(super) async fn command(config: &Config, advertiser: &str, user: &str) -> anyhow::Result<ExitCode> {
    ensure!(!advertiser.is_empty() && !user.is_empty(), "--advertiser and --user: not empty");
    let catalog = Catalog::connect(config).await?;
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

/// Returns the number of the user's rows and the change that takes the user out of the table.
async fn change(
    table: &Table,
    objects: &Objects,
    advertiser: &str,
    user: &str,
) -> anyhow::Result<(u64, Change)> {
    let mut change = Change {
        operation: Operation::Overwrite,
        added: Vec::new(),
        removed: HashSet::new(),
        summary: Vec::new(),
    };
    let mut erased = 0;
    let whose = |of: &str, name: &str| (of == advertiser && name == user).then_some(0);
    for file in table.files(objects).await? {
        if let Some(without) = erase::without(table, objects, &file, (1, &whose)).await? {
            erased += without.erased.iter().sum::<u64>();
            let day = day(&file).context("a file without a day")?;
            change.added.push(table.write(objects, day, &without.rows).await?);
            change.removed.insert(file.file_path().to_owned());
        }
    }
    Ok((erased, change))
}
