//! The table `adjustments`: verdicts that the ledger has changed, copied each once.
//!
//! The ledger gives numbers to adjustments under the lock that it holds until they are committed. So numbers
//! become visible in their order, and what comes later than a number that was seen has a higher one. The highest
//! that is copied is stored in the transaction that moves the table's pointer.

use std::collections::{BTreeMap, HashSet};

use arrow_array::RecordBatch;
use clickwire_process::failpoint;
use iceberg::spec::{Operation, Schema};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    catalog::{self, Catalog},
    columns::{self, Columns, Values},
    counted::micros,
    error::{Unavailable, answered},
    objects::Objects,
    table::{Change, Table, day_of},
};

/// Rows of one commit, at most.
const AT_ONCE: usize = 50_000;

/// A verdict that has changed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Adjustment {
    pub(crate) adjustment_id: i64,
    pub(crate) adjusted_at: OffsetDateTime,
    click_id: Uuid,
    clicked_at: OffsetDateTime,
    advertiser_id: String,
    from_disposition: String,
    to_disposition: String,
    rule: Option<String>,
    rule_version: Option<i32>,
    actor: String,
    reason: String,
}

/// Copies what the table does not have yet.
pub(crate) async fn copy(catalog: &Catalog, objects: &Objects, table: &mut Table) -> Result<(), Unavailable> {
    loop {
        let last = answered(mark(catalog.database())).await?;
        let rows = answered(after(catalog.database(), last)).await?;
        let Some(newest) = rows.last().map(|row| row.adjustment_id) else { return Ok(()) };
        let (copied, is_last) = (rows.len(), rows.len() < AT_ONCE);
        let mut days: BTreeMap<i32, Vec<Adjustment>> = BTreeMap::new();
        for row in rows {
            days.entry(day_of(micros(row.adjusted_at))).or_default().push(row);
        }
        let mut added = Vec::new();
        for (day, rows) in days {
            let batch = batch(table.metadata.current_schema(), rows)?;
            added.push(table.write(objects, day, &batch).await?);
        }
        failpoint::reached("lake_adjustments_written");
        let change =
            Change { operation: Operation::Append, added, removed: HashSet::new(), summary: Vec::new() };
        let prepared = table.prepare(objects, change).await?;
        answered(async {
            let mut transaction = catalog.begin().await?;
            move_mark(&mut transaction, last, newest).await?;
            catalog::move_pointer(&mut transaction, table.definition.name, &prepared).await?;
            transaction.commit().await.map_err(Unavailable::from)
        })
        .await?;
        failpoint::reached("lake_adjustments_committed");
        table.advance(prepared);
        metrics::counter!("clickwire_lake_adjustments_total").increment(copied as u64);
        if is_last {
            return Ok(());
        }
    }
}

async fn mark(database: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT last_id FROM lake_adjustments").fetch_one(database).await
}

/// Moves the mark, unless another has moved it since.
async fn move_mark(transaction: &mut PgConnection, from: i64, to: i64) -> Result<(), Unavailable> {
    let moved = sqlx::query("UPDATE lake_adjustments SET last_id = $2 WHERE last_id = $1");
    let moved = moved.bind(from).bind(to).execute(transaction).await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(Unavailable::Another) }
}

async fn after(database: &PgPool, last: i64) -> Result<Vec<Adjustment>, sqlx::Error> {
    sqlx::query_as(
        "SELECT adjustment_id, adjusted_at, click_id, clicked_at, advertiser_id, from_disposition::text, \
                to_disposition::text, rule, rule_version, actor, reason \
           FROM adjustments WHERE adjustment_id > $1 ORDER BY adjustment_id LIMIT $2",
    )
    .bind(last)
    .bind(AT_ONCE as i64)
    .fetch_all(database)
    .await
}

/// Rows in the table's order, as Parquet takes them.
pub(crate) fn batch(schema: &Schema, mut rows: Vec<Adjustment>) -> Result<RecordBatch, Unavailable> {
    rows.sort_by(|one, other| {
        let key = |row: &Adjustment| (row.clicked_at, row.adjustment_id);
        one.advertiser_id.cmp(&other.advertiser_id).then_with(|| key(one).cmp(&key(other)))
    });
    Columns::of(&rows)
        .number(|row| row.adjustment_id)
        .time(|row| micros(row.adjusted_at))
        .text(|row| row.click_id.to_string())
        .time(|row| micros(row.clicked_at))
        .text(|row| row.advertiser_id.clone())
        .text(|row| row.from_disposition.clone())
        .text(|row| row.to_disposition.clone())
        .optional(|row| row.rule.clone())
        .version(|row| row.rule_version)
        .text(|row| row.actor.clone())
        .text(|row| row.reason.clone())
        .batch(schema)
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Adjustment>, Unavailable> {
    columns::rows(batch, row)
}

fn row(values: &Values<'_>, at: usize) -> anyhow::Result<Adjustment> {
    let time = |name| {
        let time = i128::from(values.time(name, at)?) * 1_000;
        anyhow::Ok(OffsetDateTime::from_unix_timestamp_nanos(time)?)
    };
    Ok(Adjustment {
        adjustment_id: values.number("adjustment_id", at)?,
        adjusted_at: time("adjusted_at")?,
        click_id: Uuid::parse_str(&values.text("click_id", at)?)?,
        clicked_at: time("clicked_at")?,
        advertiser_id: values.text("advertiser_id", at)?,
        from_disposition: values.text("from_disposition", at)?,
        to_disposition: values.text("to_disposition", at)?,
        rule: values.optional("rule", at)?,
        rule_version: values.version("rule_version", at)?,
        actor: values.text("actor", at)?,
        reason: values.text("reason", at)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ADJUSTMENTS;

    fn adjustment(adjustment_id: i64, advertiser_id: &str, rule: Option<&str>) -> Adjustment {
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(1_764_000_000_123_456);
        Adjustment {
            adjustment_id,
            adjusted_at: at,
            click_id: Uuid::from_u128(7),
            clicked_at: at - time::Duration::HOUR,
            advertiser_id: advertiser_id.to_owned(),
            from_disposition: "valid".to_owned(),
            to_disposition: "sivt".to_owned(),
            rule: rule.map(str::to_owned),
            rule_version: rule.map(|_| 3),
            actor: "rules".to_owned(),
            reason: "other clicks of the same burst came later".to_owned(),
        }
    }

    #[test]
    fn adjustments_come_back_as_they_were_in_the_tables_order() {
        let schema = ADJUSTMENTS.metadata("file:///nowhere".to_owned()).unwrap();
        let given = [adjustment(3, "adv_b", None), adjustment(2, "adv_a", Some("user_velocity"))];
        let batch = batch(schema.current_schema(), given.to_vec()).unwrap();
        let [first, second] = given;
        assert_eq!(rows(&batch).unwrap(), [second, first]);
    }
}
