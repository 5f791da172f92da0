//! `clickwire-lake verify`: whether lake and ledger hold the same: clicks by hour of receipt, adjustments by the hour
//! in which they were made, counts by day.
//!
//! Of clicks and adjustments each side says how many an hour has and which: the exclusive or of what identifies them.
//! Counts of a day are compared row by row.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    process::ExitCode,
};

use anyhow::ensure;
use arrow_array::RecordBatch;
use clickwire_protocol::counts::Counts;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    adjustments,
    catalog::Catalog,
    columns,
    config::{self, Config},
    counted::{AFTER, BEFORE, micros},
    days::{self, Count},
    error::Unavailable,
    objects::Objects,
    rows,
    schema::{ADJUSTMENTS, CLICKS, DAILY_COUNTS, Definition},
    table::{Table, date, day_of},
};

const HOUR_US: i64 = 3_600_000_000;

/// Rows of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hour {
    rows: i64,
    ids: i64,
}

/// Hours by their start, in microseconds.
type Hours = BTreeMap<i64, Hour>;

/// Differences, one line each.
type Differences = Vec<String>;

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
fn print(differences: &[String]) {
    for difference in differences {
        println!("{difference}");
    }
}

async fn compare(config: &Config, from: OffsetDateTime, to: OffsetDateTime) -> anyhow::Result<Differences> {
    ensure!(from < to, "--from must be before --to");
    let catalog = Catalog::connect(config).await?;
    let objects = Objects::open(&config.url, config::object_store_options())?;
    let lake = Lake { catalog: &catalog, objects: &objects, from_us: micros(from), to_us: micros(to) };
    // The ledger's counts first: days that are written meanwhile are not in them.
    let (days_before, counts) = counts(catalog.database(), from, to).await?;
    let mut differences =
        hours("clicks", &clicks(catalog.database(), from, to).await?, &lake.clicks().await?);
    let of_ledger = adjusted(catalog.database(), from, to).await?;
    differences.extend(hours("adjustments", &of_ledger, &lake.adjustments().await?));
    differences.extend(by_day(counts, lake.counts(day_of(micros(days_before))).await?));
    Ok(differences)
}

/// The hours that differ.
fn hours(table: &str, ledger: &Hours, lake: &Hours) -> Differences {
    let all: BTreeSet<i64> = ledger.keys().chain(lake.keys()).copied().collect();
    let of = |hours: &Hours, hour: i64| hours.get(&hour).copied().unwrap_or_default();
    let both = all.into_iter().map(|hour| (hour, of(ledger, hour), of(lake, hour)));
    both.filter(|(_, ledger, lake)| ledger != lake)
        .map(|(hour, ledger, lake)| {
            let hour = OffsetDateTime::from_unix_timestamp(hour / 1_000_000).map(|hour| hour.to_string());
            line(table, &hour.unwrap_or_default(), ledger.rows, lake.rows)
        })
        .collect()
}

fn line(table: &str, when: &str, ledger: i64, lake: i64) -> String {
    let others = if ledger == lake { " (others)" } else { "" };
    format!("{table} {when} ledger {ledger} lake {lake}{others}")
}

/// Counts of days, by day and key.
type ByDay = BTreeMap<i32, HashMap<[String; 5], Counts>>;

/// The days that differ, with the numbers of their rows.
fn by_day(mut ledger: ByDay, mut lake: ByDay) -> Differences {
    let days: BTreeSet<i32> = ledger.keys().chain(lake.keys()).copied().collect();
    let mut of = |day| (ledger.remove(&day).unwrap_or_default(), lake.remove(&day).unwrap_or_default());
    let both = days.into_iter().map(|day| (day, of(day)));
    both.filter(|(_, (ledger, lake))| ledger != lake)
        .map(|(day, (ledger, lake))| {
            line(DAILY_COUNTS.name, &date(day), ledger.len() as i64, lake.len() as i64)
        })
        .collect()
}

/// Rows without a click are as good as none.
fn collected(counts: impl IntoIterator<Item = Count>) -> ByDay {
    let mut days = ByDay::new();
    for count in counts.into_iter().filter(|count| count.counts != Counts::default()) {
        days.entry(count.day).or_default().insert(count.key, count.counts);
    }
    days
}

async fn clicks(database: &PgPool, from: OffsetDateTime, to: OffsetDateTime) -> Result<Hours, sqlx::Error> {
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
    Ok(rows.into_iter().map(|(hour, rows, ids)| (micros(hour), Hour { rows, ids })).collect())
}

async fn adjusted(database: &PgPool, from: OffsetDateTime, to: OffsetDateTime) -> Result<Hours, sqlx::Error> {
    let rows: Vec<(OffsetDateTime, i64, i64)> = sqlx::query_as(
        "SELECT date_trunc('hour', adjusted_at, 'UTC'), count(*), bit_xor(adjustment_id) \
           FROM adjustments WHERE adjusted_at >= $1 AND adjusted_at < $2 GROUP BY 1",
    )
    .bind(from)
    .bind(to)
    .fetch_all(database)
    .await?;
    Ok(rows.into_iter().map(|(hour, rows, ids)| (micros(hour), Hour { rows, ids })).collect())
}

/// Counts of the days that begin before the end of a range and end after its start, and the time before which days
/// are final.
async fn counts(
    database: &PgPool,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<(OffsetDateTime, ByDay), sqlx::Error> {
    let mut transaction = database.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let days_before = "SELECT days_before FROM rollup_progress";
    let days_before: OffsetDateTime = sqlx::query_scalar(days_before).fetch_one(&mut *transaction).await?;
    let counts: Vec<Count> = sqlx::query_as(
        "SELECT bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid, duplicate, givt, sivt, test, \
                defective FROM click_days WHERE bucket > $1 AND bucket < least($2, $3)",
    )
    .bind(from - time::Duration::DAY)
    .bind(to)
    .bind(days_before)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((days_before, collected(counts)))
}

/// The lake's part of a range.
struct Lake<'a> {
    catalog: &'a Catalog,
    objects: &'a Objects,
    from_us: i64,
    to_us: i64,
}

impl Lake<'_> {
    /// The rows of a table in the files that have days of the range.
    async fn rows<T>(
        &self,
        definition: &'static Definition,
        rows: impl Fn(&RecordBatch) -> Result<Vec<T>, Unavailable>,
        mut each: impl FnMut(T),
    ) -> anyhow::Result<()> {
        let Some(table) = Table::load(self.catalog, self.objects, definition).await? else { return Ok(()) };
        for file in table.files_between(self.objects, self.from_us, self.to_us).await? {
            for batch in columns::batches(self.objects.get(file.file_path()).await?)? {
                rows(&batch?)?.into_iter().for_each(&mut each);
            }
        }
        Ok(())
    }

    fn add(&self, hours: &mut Hours, time_us: i64, id: i64) {
        if (self.from_us..self.to_us).contains(&time_us) {
            let hour = hours.entry(time_us - time_us.rem_euclid(HOUR_US)).or_default();
            hour.rows += 1;
            hour.ids ^= id;
        }
    }

    async fn clicks(&self) -> anyhow::Result<Hours> {
        let mut hours = Hours::new();
        let each = |row: rows::Row| {
            self.add(&mut hours, row.click.received_at_ms.0 * 1_000, half(row.click.click_id));
        };
        self.rows(&CLICKS, rows::rows, each).await?;
        Ok(hours)
    }

    async fn adjustments(&self) -> anyhow::Result<Hours> {
        let mut hours = Hours::new();
        let each = |row: adjustments::Adjustment| {
            self.add(&mut hours, micros(row.adjusted_at), row.adjustment_id);
        };
        self.rows(&ADJUSTMENTS, adjustments::rows, each).await?;
        Ok(hours)
    }

    /// Counts of days of the range before one that is counted from 1970.
    async fn counts(&self, days_before: i32) -> anyhow::Result<ByDay> {
        let mut counts = Vec::new();
        self.rows(&DAILY_COUNTS, days::rows, |count| counts.push(count)).await?;
        let days = day_of(self.from_us)..=day_of(self.to_us - 1);
        counts.retain(|count| days.contains(&count.day) && count.day < days_before);
        Ok(collected(counts))
    }
}

/// The lower half of an id.
fn half(id: Uuid) -> i64 {
    id.as_u64_pair().1 as i64
}
