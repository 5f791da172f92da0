//! The table `daily_counts`: clicks of whole days, as the ledger's roll-ups have them.
//!
//! A day is written when it is final, that is, when the roll-ups store it, and replaced as a whole when it has
//! changed since: an adjustment, a late click, a repair. The database counts the changes of each day
//! (`day_changes`); the lake notes the number that it has read, in the same snapshot as the day, in the
//! transaction that moves the table's pointer (`lake_days`).

use std::collections::{BTreeMap, HashSet};

use arrow_array::RecordBatch;
use clickwire_ledger::counts::{COLUMNS, CountsRow};
use clickwire_process::failpoint;
use clickwire_protocol::counts::{Counts, Disposition};
use iceberg::spec::{Operation, Schema};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    catalog::{self, Catalog},
    columns::{self, Columns, Values},
    counted::micros,
    error::{Unavailable, answered},
    objects::Objects,
    table::{Change, Prepared, Table, day, day_of},
};

/// Days of one commit, at most: they are held in memory.
const AT_ONCE: i64 = 7;

/// Clicks of one day by what they are counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// Counted from 1970.
    pub(crate) day: i32,
    /// Advertiser, campaign, ad, country, device type.
    pub(crate) key: [String; 5],
    pub(crate) counts: Counts,
}

/// The columns of a key.
pub(crate) const KEY: [&str; 5] = ["advertiser_id", "campaign_id", "ad_id", "country", "device_type"];

impl FromRow<'_, PgRow> for Count {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let CountsRow(counts) = CountsRow::from_row(row)?;
        let mut key: [String; 5] = Default::default();
        for (value, name) in key.iter_mut().zip(KEY) {
            *value = row.try_get(name)?;
        }
        Ok(Self { day: day_of(micros(row.try_get("bucket")?)), key, counts })
    }
}

/// A day that has changed since it was written.
#[derive(sqlx::FromRow)]
struct Due {
    day: OffsetDateTime,
    changes: i64,
    /// Its clicks can't be counted again: retention has dropped their minutes.
    is_settled: bool,
}

/// Writes days that are final and that the table does not have as they are now; none before `first`.
pub(crate) async fn write(
    catalog: &Catalog,
    objects: &Objects,
    table: &mut Table,
    first: Option<OffsetDateTime>,
) -> Result<(), Unavailable> {
    loop {
        let (due, counts) = answered(due(catalog.database(), first)).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut days: BTreeMap<i32, Vec<Count>> = BTreeMap::new();
        for day in &due {
            days.insert(day_of(micros(day.day)), Vec::new());
        }
        for count in counts {
            days.entry(count.day).or_default().push(count);
        }
        // Of a day that has no rows any more because retention has taken them the table keeps what it has.
        for day in due.iter().filter(|day| day.is_settled) {
            let number = day_of(micros(day.day));
            if days.get(&number).is_some_and(Vec::is_empty) {
                days.remove(&number);
            }
        }
        let written = days.len();
        let prepared = replace(objects, table, days).await?;
        failpoint::reached("lake_days_written");
        answered(async {
            let mut transaction = catalog.begin().await?;
            note(&mut transaction, &due).await?;
            if let Some(prepared) = &prepared {
                catalog::move_pointer(&mut transaction, table.definition.name, prepared).await?;
            }
            transaction.commit().await.map_err(Unavailable::from)
        })
        .await?;
        failpoint::reached("lake_days_committed");
        if let Some(prepared) = prepared {
            table.advance(prepared);
        }
        metrics::counter!("clickwire_lake_days_total").increment(written as u64);
    }
}

/// The next days to write and their counts, in one snapshot.
async fn due(
    database: &PgPool,
    first: Option<OffsetDateTime>,
) -> Result<(Vec<Due>, Vec<Count>), sqlx::Error> {
    let mut transaction = database.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let due: Vec<Due> = sqlx::query_as(
        "SELECT c.day, c.changes, c.day < p.minutes_from AS is_settled \
           FROM rollup_progress p, day_changes c LEFT JOIN lake_days l USING (day) \
          WHERE c.changes > coalesce(l.changes, 0) AND c.day < p.days_before AND c.day >= coalesce($1, '-infinity') \
          ORDER BY c.day LIMIT $2",
    )
    .bind(first)
    .bind(AT_ONCE)
    .fetch_all(&mut *transaction)
    .await?;
    let order = KEY.map(|column| format!("{column} COLLATE \"C\"")).join(", ");
    let counts = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT bucket, {}, {COLUMNS} FROM day_counts WHERE bucket = ANY($1) ORDER BY {order}",
        KEY.join(", "),
    )))
    .bind(due.iter().map(|day| day.day).collect::<Vec<_>>())
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((due, counts))
}

/// The table with these days as they are now; `None` if that changes nothing.
async fn replace(
    objects: &Objects,
    table: &Table,
    days: BTreeMap<i32, Vec<Count>>,
) -> Result<Option<Prepared>, Unavailable> {
    let mut removed = HashSet::new();
    for file in table.files(objects).await? {
        if day(&file).is_some_and(|day| days.contains_key(&day)) {
            removed.insert(file.file_path().to_owned());
        }
    }
    let mut added = Vec::new();
    for (day, counts) in days.into_iter().filter(|(_, counts)| !counts.is_empty()) {
        let batch = batch(table.metadata.current_schema(), &counts)?;
        added.push(table.write(objects, day, &batch).await?);
    }
    if added.is_empty() && removed.is_empty() {
        return Ok(None);
    }
    let operation = if removed.is_empty() { Operation::Append } else { Operation::Overwrite };
    let change = Change { operation, added, removed, summary: Vec::new() };
    table.prepare(objects, change).await.map(Some)
}

async fn note(transaction: &mut PgConnection, due: &[Due]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO lake_days (day, changes) SELECT * FROM unnest($1::timestamptz[], $2::bigint[]) \
         ON CONFLICT (day) DO UPDATE SET changes = excluded.changes",
    )
    .bind(due.iter().map(|day| day.day).collect::<Vec<_>>())
    .bind(due.iter().map(|day| day.changes).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}

/// Counts in the table's order, as Parquet takes them.
fn batch(schema: &Schema, counts: &[Count]) -> Result<RecordBatch, Unavailable> {
    let keys = (0..KEY.len()).fold(Columns::of(counts).day(|count| count.day), |columns, at| {
        columns.text(|count| count.key.get(at).cloned().unwrap_or_default())
    });
    let columns = Disposition::ALL
        .into_iter()
        .fold(keys, |columns, disposition| columns.number(|count| count.counts.get(disposition)));
    columns.batch(schema)
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Count>, Unavailable> {
    columns::rows(batch, row)
}

fn row(values: &Values<'_>, at: usize) -> anyhow::Result<Count> {
    let mut counts = Counts::default();
    for disposition in Disposition::ALL {
        *counts.get_mut(disposition) = values.number(disposition.as_str(), at)?;
    }
    let mut key: [String; 5] = Default::default();
    for (value, name) in key.iter_mut().zip(KEY) {
        *value = values.text(name, at)?;
    }
    Ok(Count { day: values.day("day", at)?, key, counts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DAILY_COUNTS;

    #[test]
    fn counts_come_back_as_they_were() {
        let schema = DAILY_COUNTS.metadata("file:///nowhere".to_owned()).unwrap();
        let count = |ad: &str, day| Count {
            day,
            key: ["adv_001", "camp_001", ad, "DE", "mobile"].map(str::to_owned),
            counts: Counts { valid: 1, duplicate: 2, givt: 3, sivt: 4, test: 5, defective: 6 },
        };
        let given = vec![count("ad_001", 20_000), count("ad_002", -1)];
        assert_eq!(rows(&batch(schema.current_schema(), &given).unwrap()).unwrap(), given);
    }
}
