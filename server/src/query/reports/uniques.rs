//! Unique users of a report: sketches of minutes, hours or days, merged into its rows; else an exact count from the
//! ledger, where there are few clicks.
//!
//! Sketches are kept by advertiser and campaign. They come in the order of the rows, so that few are in memory at a
//! time: the group's, that of its bucket's others, and the whole report's.

use clickwire_protocol::report::{Dimension, Group, Source};
use clickwire_uniques::{MINUTES_KEPT, Union};
use foldhash::HashMap;
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};
use time::OffsetDateTime;

use super::{
    plan::{Piece, Plan},
    rows::{self, Key},
    statements::{Statement, instant, push_range},
};

/// Sketches read for one report, at most; each has up to 8 KiB.
const MAX_SKETCHES: usize = 20_000;

/// Distinct users.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Users of each row. A row that has clicks and no number can't be told.
    pub(super) by_row: HashMap<Key, i64>,
    /// Users of the whole range and all groups, each once.
    pub(super) all: i64,
}

/// Users from sketches; `None` where these can't tell.
pub(super) async fn sketched(
    statement: &Statement<'_>,
    database: &mut PgConnection,
) -> Result<Option<Users>, sqlx::Error> {
    let question = statement.question;
    let is_kept = |dimension: Dimension| {
        dimension.is_time() || matches!(dimension, Dimension::AdvertiserId | Dimension::CampaignId)
    };
    if question.is_of_the_ledger() || !question.dimensions().all(is_kept) {
        return Ok(None);
    }
    let Some(mut sql) = sketches(statement, OffsetDateTime::now_utc()) else { return Ok(None) };
    let mut rows = sql.build().fetch(database);
    let (mut users, mut all) = (Users::default(), Union::default());
    let mut open: HashMap<Key, Union> = HashMap::default();
    let mut close = |users: &mut Users, (key, union): (Key, Union)| {
        all.merge(&union);
        users.by_row.insert(key, union.users());
    };
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        count += 1;
        if count > MAX_SKETCHES {
            return Ok(None);
        }
        let label: i32 = row.try_get("label")?;
        let mut columns = Group::default();
        for dimension in question.columns() {
            if let Some(value) = columns.column_mut(dimension) {
                *value = Some(row.try_get(dimension.as_str())?);
            }
        }
        let key = rows::key(statement, label, &columns);
        // Of a label that is past nothing more comes; of a group neither, but of the others.
        let is_past = |known: &Key| known.bucket != key.bucket || (*known != key && !known.group.other);
        open.extract_if(|known, _| is_past(known)).for_each(|past| close(&mut users, past));
        let added = open.entry(key).or_default().add(row.try_get("sketch")?);
        added
            .map_err(|error| sqlx::Error::ColumnDecode { index: "sketch".into(), source: Box::new(error) })?;
    }
    open.into_iter().for_each(|last| close(&mut users, last));
    users.all = all.users();
    Ok(Some(users))
}

/// Exact numbers from the ledger.
pub(super) async fn counted(
    statement: &Statement<'_>,
    database: &mut PgConnection,
) -> Result<Users, sqlx::Error> {
    let mut users = Users::default();
    let rows = statement.users().build().fetch_all(&mut *database).await?;
    for row in &rows {
        let (key, _) = rows::key_of(statement, row)?;
        // Users of several groups are no sum.
        if !key.group.other || statement.is_cut_by_database() {
            users.by_row.insert(key, row.try_get("users")?);
        }
    }
    let question = statement.question.summary();
    let plan = Plan::ledger(statement.plan.range);
    let all = Statement { question: &question, plan: &plan, top: None, ..*statement };
    let row = all.users().build().fetch_optional(database).await?;
    users.all = row.map(|row| row.try_get("users")).transpose()?.unwrap_or_default();
    Ok(users)
}

/// The sketches of the range in the order of the report's rows; `None` where a part of them is no longer kept.
fn sketches(statement: &Statement<'_>, now: OffsetDateTime) -> Option<QueryBuilder<Postgres>> {
    let kept_from = (now - MINUTES_KEPT).unix_timestamp();
    let mut sql = QueryBuilder::new("SELECT ");
    statement.push_label(&mut sql);
    let columns: String = statement.question.columns().map(|column| format!(", {column}")).collect();
    sql.push(format!(" AS label{columns}, sketch FROM ("));
    for (n, piece) in statement.plan.pieces.iter().enumerate() {
        sql.push(if n == 0 { "" } else { " UNION ALL " });
        match piece.source {
            Source::Days => {
                // A day has one more sketch, of all campaigns.
                let is_by_campaign = statement.question.dimensions().any(|it| it == Dimension::CampaignId);
                push(statement, &mut sql, "unique_days", piece);
                sql.push(if is_by_campaign { " AND campaign_id <> ''" } else { " AND campaign_id = ''" });
                for table in ["unique_hours", "unique_minutes"] {
                    sql.push(" UNION ALL ");
                    push(statement, &mut sql, table, piece);
                    sql.push(" AND NOT folded");
                }
            }
            Source::Hours => {
                push(statement, &mut sql, "unique_hours", piece);
                sql.push(" UNION ALL ");
                push(statement, &mut sql, "unique_minutes", piece);
                sql.push(" AND NOT folded");
            }
            Source::Minutes if piece.hull().start < kept_from => return None,
            Source::Minutes => push(statement, &mut sql, "unique_minutes", piece),
            Source::Ledger => return None,
        }
    }
    sql.push(format!(") AS sketches ORDER BY 1{columns} LIMIT {}", MAX_SKETCHES + 1));
    Some(sql)
}

/// The sketches of a table that lie in a piece's buckets.
fn push(statement: &Statement<'_>, sql: &mut QueryBuilder<Postgres>, table: &str, piece: &Piece) {
    let columns: String = statement.question.columns().map(|column| format!(", {column}")).collect();
    sql.push(format!("SELECT bucket{columns}, sketch FROM {table} WHERE "));
    push_range(sql, "bucket", piece.hull());
    if let Some(starts) = piece.starts() {
        let unit = match piece.source {
            Source::Days => "day",
            Source::Hours => "hour",
            Source::Minutes | Source::Ledger => "minute",
        };
        sql.push(format!(" AND date_trunc('{unit}', bucket, 'UTC') = ANY("));
        sql.push_bind(starts.into_iter().map(instant).collect::<Vec<_>>()).push(")");
    }
    statement.push_filters(sql);
}
