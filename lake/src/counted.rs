//! Outcomes of messages: the ledger's rows for the clicks that it has counted by them.
//!
//! A message is settled when the ledger has its click, or when the aggregator's consumer has acknowledged the
//! message and the ledger has not: then it was set aside, or was a resend. The consumer is asked first, for a
//! click is in the ledger before its message is acknowledged.

use std::collections::HashMap;

use clickwire_protocol::{click::Click, ids::AdvertiserId};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::rows::Row;

/// Clicks in one statement.
const CLICKS: usize = 10_000;

/// The longest time by which a click's counted time can lie before and after its receipt: the longest horizon
/// that the aggregator takes, and the clocks of clients that are fast.
pub(crate) const BEFORE: time::Duration = time::Duration::hours(72 + 1);
pub(crate) const AFTER: time::Duration = time::Duration::hours(1);

/// A message of the stream that is a click.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) click: Click,
    pub(crate) stream_seq: u64,
    pub(crate) partition: u16,
}

/// The outcome of a message in the ledger.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The ledger has counted its click by it.
    Counted(Box<Row>),
    /// The ledger has counted its click by another message.
    Resend,
    /// The ledger does not have its click.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct Stored {
    click_id: Uuid,
    advertiser_id: String,
    clicked_at: OffsetDateTime,
    received_at: OffsetDateTime,
    stream_seq: i64,
    disposition: String,
    rule: Option<String>,
    rule_version: Option<i32>,
}

/// Returns the outcomes of messages in the ledger, in their order.
pub(crate) async fn outcomes(
    database: &PgPool,
    stream_created_us: i64,
    messages: &[Read],
) -> Result<Vec<Outcome>, sqlx::Error> {
    let mut found = Vec::with_capacity(messages.len());
    for messages in messages.chunks(CLICKS) {
        let stored = stored(database, messages).await?;
        found.extend(messages.iter().map(|read| outcome(read, &stored, stream_created_us)));
    }
    Ok(found)
}

type Names = HashMap<(Uuid, AdvertiserId), Stored>;

fn outcome(read: &Read, stored: &Names, stream_created_us: i64) -> Outcome {
    let click = &read.click;
    let Some(stored) = stored.get(&(click.click_id, click.advertiser_id.clone())) else {
        return Outcome::Unknown;
    };
    let is_by_it = stored.stream_seq == read.stream_seq as i64
        && micros(stored.received_at) == click.received_at_ms.0.saturating_mul(1_000);
    if !is_by_it {
        return Outcome::Resend;
    }
    Outcome::Counted(Box::new(Row {
        click: click.clone(),
        clicked_at_us: micros(stored.clicked_at),
        disposition: stored.disposition.clone(),
        rule: stored.rule.clone(),
        rule_version: stored.rule_version,
        stream_created_us,
        stream_seq: stored.stream_seq,
    }))
}

async fn stored(database: &PgPool, messages: &[Read]) -> Result<Names, sqlx::Error> {
    let received = || messages.iter().map(|read| at(read.click.received_at_ms.0));
    let (Some(first), Some(last)) = (received().min(), received().max()) else {
        return Ok(HashMap::new());
    };
    let ids: Vec<Uuid> = messages.iter().map(|read| read.click.click_id).collect();
    let rows: Vec<Stored> = sqlx::query_as(
        "SELECT click_id, advertiser_id, clicked_at, received_at, stream_seq, disposition::text, rule, rule_version \
           FROM clicks WHERE click_id = ANY ((SELECT $1)::uuid[]) AND clicked_at BETWEEN $2 AND $3",
    )
    .bind(&ids)
    .bind(first - BEFORE)
    .bind(last + AFTER)
    .fetch_all(database)
    .await?;
    let name = |row: &Stored| (row.click_id, AdvertiserId::unchecked(row.advertiser_id.clone()));
    Ok(rows.into_iter().map(|row| (name(&row), row)).collect())
}

/// A time in milliseconds since 1970; reading a message has bounded it.
pub(crate) fn at(unix_ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time in microseconds since 1970.
pub(crate) fn micros(time: OffsetDateTime) -> i64 {
    (time.unix_timestamp_nanos() / 1_000) as i64
}
