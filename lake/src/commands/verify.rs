//! `clickwire-lake verify`: whether lake and ledger hold the same clicks, by hour of receipt.
//!
//! Each side says how many clicks an hour has and which: the exclusive or of their ids.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::ensure;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::clicks;
use crate::{
    catalog::Catalog,
    config::Config,
    counted::{AFTER, BEFORE, micros},
    objects::Objects,
    rows,
    table::Table,
};

const HOUR_US: i64 = 3_600_000_000;

/// Clicks of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hour {
    clicks: i64,
    ids: i64,
}

/// Hours by their start, in microseconds.
type Hours = BTreeMap<i64, Hour>;

pub(super) async fn command(config: &Config, from: OffsetDateTime, to: OffsetDateTime) -> ExitCode {
    match compare(config, from, to).await {
        Ok(differences) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(differences) => {
            print(&differences);
            ExitCode::from(1)
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "could not compare");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
fn print(differences: &[(i64, Hour, Hour)]) {
    for (start, ledger, lake) in differences {
        let hour = OffsetDateTime::from_unix_timestamp(start / 1_000_000).map(|hour| hour.to_string());
        println!(
            "{} ledger {} lake {}{}",
            hour.unwrap_or_default(),
            ledger.clicks,
            lake.clicks,
            if ledger.clicks == lake.clicks { " (other clicks)" } else { "" }
        );
    }
}

/// Hours that differ: ledger, lake.
async fn compare(
    config: &Config,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> anyhow::Result<Vec<(i64, Hour, Hour)>> {
    ensure!(from < to, "--from must be before --to");
    let catalog = Catalog::connect(config)?;
    let (table, objects) = clicks(config, &catalog).await?;
    let ledger = of_ledger(catalog.database(), from, to).await?;
    let lake = of_lake(&table, &objects, micros(from), micros(to)).await?;
    let mut hours: Vec<i64> = ledger.keys().chain(lake.keys()).copied().collect();
    hours.sort_unstable();
    hours.dedup();
    let both = hours.into_iter().map(|hour| {
        let of = |hours: &Hours| hours.get(&hour).copied().unwrap_or_default();
        (hour, of(&ledger), of(&lake))
    });
    Ok(both.filter(|(_, ledger, lake)| ledger != lake).collect())
}

async fn of_ledger(
    database: &PgPool,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Hours, sqlx::Error> {
    let rows: Vec<(OffsetDateTime, i64, i64)> = sqlx::query_as(
        "SELECT date_trunc('hour', received_at, 'UTC'), count(*), \
                bit_xor(('x' || right(replace(click_id::text, '-', ''), 16))::bit(64)::bigint) \
           FROM clicks WHERE received_at >= $1 AND received_at < $2 AND clicked_at BETWEEN $3 AND $4 GROUP BY 1",
    )
    .bind(from)
    .bind(to)
    .bind(from - BEFORE)
    .bind(to + AFTER)
    .fetch_all(database)
    .await?;
    Ok(rows.into_iter().map(|(hour, clicks, ids)| (micros(hour), Hour { clicks, ids })).collect())
}

async fn of_lake(table: &Table, objects: &Objects, from_us: i64, to_us: i64) -> anyhow::Result<Hours> {
    let mut hours = Hours::new();
    for file in table.files_between(objects, from_us, to_us).await? {
        for batch in rows::batches(objects.get(file.file_path()).await?)? {
            for row in rows::rows(&batch?)? {
                let received_us = row.click.received_at_ms.0 * 1_000;
                if (from_us..to_us).contains(&received_us) {
                    let hour = hours.entry(received_us - received_us.rem_euclid(HOUR_US)).or_default();
                    hour.clicks += 1;
                    hour.ids ^= half(row.click.click_id);
                }
            }
        }
    }
    Ok(hours)
}

/// The lower half of an id.
fn half(id: Uuid) -> i64 {
    id.as_u64_pair().1 as i64
}
