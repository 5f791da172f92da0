//! Erasures that were ordered from the ledger, carried out by the lake that runs.
//!
//! An order names its user by a salted hash. It is carried out in three steps, each noted in the database, so that
//! a lake that dies in between goes on:
//! 1. the stream's last message is noted when the order is first seen, and everything up to there is archived: the
//!    user may be in it;
//! 2. every file is looked through, and those with the user are written again, some at a time between two commits;
//!    then the hash is forgotten;
//! 3. when no snapshot from before is kept any more and its files are removed, the order is done.

use std::{collections::HashSet, time::Duration};

use clickwire_process::failpoint;
use iceberg::spec::Operation;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    catalog::{self, Catalog},
    erase,
    error::{Unavailable, answered},
    objects::Objects,
    stream::Source,
    table::{Change, Table, day},
};

/// The longest wait of clicks for files to be looked through, plus the time of one more file.
const TURN: Duration = Duration::from_secs(20);

/// An order to erase a user.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Order {
    erasure_id: Uuid,
    advertiser_id: String,
    salt: Vec<u8>,
    user_hash: Vec<u8>,
    stream_created_us: Option<i64>,
    last_seq: Option<i64>,
}

impl Order {
    fn is_about(&self, advertiser: &str, user: &str) -> bool {
        self.advertiser_id == advertiser
            && Sha256::new().chain_update(&self.salt).chain_update(user).finalize()[..] == self.user_hash[..]
    }

    /// Returns whether everything is archived that was on the stream when the order was seen. What was on a stream that
    /// is gone never will be.
    fn is_ready(&self, source: &Source, next: u64) -> bool {
        self.stream_created_us.is_some_and(|created| created != source.created_us)
            || self.last_seq.is_some_and(|last| (last as u64) < next.max(source.first))
    }
}

/// Orders that are being carried out.
#[derive(Default)]
pub(crate) struct Sweep {
    orders: Vec<Order>,
    /// The files that were looked through, or made so.
    looked_at: HashSet<String>,
}

impl Sweep {
    /// Goes on with what is ordered, for a while; `next` is the first message that is not archived.
    pub(crate) async fn go_on(
        &mut self,
        (catalog, objects): (&Catalog, &Objects),
        table: &mut Table,
        source: &Source,
        next: u64,
    ) -> Result<(), Unavailable> {
        if self.orders.is_empty() {
            self.orders = ready(catalog.database(), source, next).await?;
            self.looked_at.clear();
        }
        if self.orders.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let (mut added, mut removed) = (Vec::new(), HashSet::new());
        let (mut erased, mut is_through) = (vec![0; self.orders.len()], true);
        let whose = |advertiser: &str, user: &str| {
            self.orders.iter().position(|order| order.is_about(advertiser, user))
        };
        for file in table.files(objects).await? {
            if self.looked_at.contains(file.file_path()) {
                continue;
            }
            if started.elapsed() >= TURN {
                is_through = false;
                break;
            }
            if let Some(without) = erase::without(table, objects, &file, (erased.len(), &whose)).await? {
                let day = day(&file).ok_or_else(|| Unavailable::Rows("a file without a day".to_owned()))?;
                added.push(table.write(objects, day, &without.rows).await?);
                failpoint::reached("lake_erasure_file_written");
                removed.insert(file.file_path().to_owned());
                erased.iter_mut().zip(without.erased).for_each(|(sum, rows)| *sum += rows);
            }
            self.looked_at.insert(file.file_path().to_owned());
        }
        self.looked_at.extend(added.iter().map(|file| file.file_path().to_owned()));
        let prepared = if removed.is_empty() {
            None
        } else {
            let change = Change { operation: Operation::Overwrite, added, removed, summary: Vec::new() };
            Some(table.prepare(objects, change).await?)
        };
        let metadata = prepared.as_ref().map_or(&table.metadata, |prepared| &prepared.metadata);
        let sequence_number = is_through.then(|| metadata.last_sequence_number());
        answered(async {
            let mut transaction = catalog.begin().await?;
            for (order, rows) in self.orders.iter().zip(&erased) {
                note(&mut transaction, order.erasure_id, *rows, sequence_number).await?;
            }
            if let Some(prepared) = &prepared {
                catalog::move_pointer(&mut transaction, table.definition.name, prepared).await?;
            }
            transaction.commit().await.map_err(Unavailable::from)
        })
        .await?;
        failpoint::reached("lake_erasure_committed");
        if let Some(prepared) = prepared {
            table.advance(prepared);
        }
        metrics::counter!("clickwire_lake_erased_rows_total").increment(erased.iter().sum());
        if is_through {
            *self = Self::default();
        }
        Ok(())
    }
}

/// The orders that can be carried out now. Of new ones the stream's last message is noted.
async fn ready(database: &PgPool, source: &Source, next: u64) -> Result<Vec<Order>, Unavailable> {
    let mut orders: Vec<Order> = answered(
        sqlx::query_as(
            "SELECT erasure_id, advertiser_id, salt, user_hash, stream_created_us, last_seq FROM lake_erasures \
              WHERE rewritten_at IS NULL AND finished_at IS NULL ORDER BY requested_at",
        )
        .fetch_all(database),
    )
    .await?;
    if orders.iter().any(|order| order.last_seq.is_none()) {
        let last = source.last().await? as i64;
        for order in orders.iter_mut().filter(|order| order.last_seq.is_none()) {
            let noted = sqlx::query(
                "UPDATE lake_erasures SET stream_created_us = $2, last_seq = $3 \
                  WHERE erasure_id = $1 AND last_seq IS NULL",
            );
            let noted = noted.bind(order.erasure_id).bind(source.created_us).bind(last).execute(database);
            answered(noted).await?;
            (order.stream_created_us, order.last_seq) = (Some(source.created_us), Some(last));
        }
    }
    orders.retain(|order| order.is_ready(source, next));
    Ok(orders)
}

/// Notes rows that have lost their user, and, with the table's sequence number, that no row has it any more.
async fn note(
    transaction: &mut PgConnection,
    erasure_id: Uuid,
    rows: u64,
    sequence_number: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE lake_erasures SET rows = rows + $2, sequence_number = $3, \
           rewritten_at = CASE WHEN $3 IS NOT NULL THEN clock_timestamp() END, \
           salt = CASE WHEN $3 IS NULL THEN salt END, user_hash = CASE WHEN $3 IS NULL THEN user_hash END \
          WHERE erasure_id = $1 AND rewritten_at IS NULL",
    )
    .bind(erasure_id)
    .bind(rows as i64)
    .bind(sequence_number)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Notes orders as done whose users are in no object any more: all snapshots that are kept are from after the
/// user's rows were written again, and files that nothing names are removed if they were put before `swept_before`.
pub(crate) async fn finish(
    catalog: &Catalog,
    table: &Table,
    swept_before: OffsetDateTime,
) -> Result<(), Unavailable> {
    let finished = sqlx::query(
        "UPDATE lake_erasures SET finished_at = clock_timestamp() \
          WHERE finished_at IS NULL AND rewritten_at < $1 AND sequence_number <= $2",
    );
    let oldest = table.oldest_kept().unwrap_or(i64::MAX);
    answered(finished.bind(swept_before).bind(oldest).execute(catalog.database())).await?;
    Ok(())
}
