//! Clicks of a range, one by one, in any number: read by a cursor, encoded and sent batch by batch, no quicker than
//! the client takes them.

use anyhow::Context as _;
use axum::body::Body;
use bytes::Bytes;
use clickwire_protocol::ids::AdvertiserId;
use futures_util::{StreamExt as _, stream};
use sqlx::{Executor as _, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::{
    format::Encoder,
    sheet::{Cell, Column, Row, integer, text, time},
};
use crate::{query::clicks::Wanted, store::database::TenantTransaction};

/// Rows read, encoded and sent at once: about a MiB.
const BATCH: usize = 2_000;

/// The columns of a click.
pub(super) const COLUMNS: [Column; 18] = [
    text("click_id"),
    time("clicked_at"),
    time("received_at"),
    text("advertiser_id"),
    text("campaign_id"),
    text("ad_id"),
    text("country"),
    text("device_type"),
    text("os"),
    text("browser"),
    text("user_id"),
    text("disposition"),
    text("rule"),
    integer("rule_version"),
    text("evidence"),
    text("robot"),
    text("params"),
    text("referrer"),
];

/// The body of an export. A client that goes away ends it, and with it the transaction.
pub(super) async fn body(
    mut tenants: TenantTransaction,
    wanted: &Wanted,
    advertiser_id: Option<&AdvertiserId>,
    encoder: Box<dyn Encoder>,
) -> Result<Body, sqlx::Error> {
    tenants.execute("SET LOCAL statement_timeout = '60s'").await?;
    wanted.cursor(advertiser_id).build().execute(&mut *tenants).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let failed = send(tenants, encoder, &sender).await.err();
        if let Some(error) = failed {
            tracing::warn!(error = format!("{error:#}"), "an export ended early");
            // The client sees an answer that is cut off, not a file that looks whole.
            let _ = sender.send(Err(std::io::Error::other("the export ended early"))).await;
        }
    });
    let chunks = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Ok(Body::from_stream(chunks.boxed()))
}

/// Sends all rows of the cursor.
async fn send(
    mut tenants: TenantTransaction,
    mut encoder: Box<dyn Encoder>,
    sender: &mpsc::Sender<std::io::Result<Bytes>>,
) -> anyhow::Result<()> {
    let fetch = format!("FETCH {BATCH} FROM exported");
    loop {
        let rows = sqlx::query(sqlx::AssertSqlSafe(fetch.clone())).fetch_all(&mut *tenants).await?;
        let cells = rows.iter().map(cells).collect::<Result<Vec<_>, _>>().context("a row can't be read")?;
        let is_last = rows.len() < BATCH;
        drop(rows);
        let mut bytes = encoder.encode(&cells)?;
        if is_last {
            bytes.extend(encoder.finish()?);
            if !bytes.is_empty() {
                let _ = sender.send(Ok(bytes.into())).await;
            }
            return Ok(());
        }
        // The client has gone: the cursor goes, too.
        if sender.is_closed() || (!bytes.is_empty() && sender.send(Ok(bytes.into())).await.is_err()) {
            tracing::debug!("a client has left its export");
            return Ok(());
        }
    }
}

fn cells(row: &PgRow) -> Result<Row, sqlx::Error> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name).map(Cell::from);
    let time = |name: &str| {
        let at: OffsetDateTime = row.try_get(name)?;
        Ok::<_, sqlx::Error>(Cell::Time(at.unix_timestamp_nanos().div_euclid(1_000_000) as i64))
    };
    COLUMNS
        .iter()
        .map(|column| match column.name {
            "clicked_at" | "received_at" => time(column.name),
            "rule_version" => Ok(Cell::from(row.try_get::<Option<i32>, _>("rule_version")?.map(i64::from))),
            "evidence" => {
                let evidence: Option<Vec<String>> = row.try_get("evidence")?;
                Ok(Cell::from(evidence.map(|rules| rules.join(";"))))
            }
            name => text(name),
        })
        .collect()
}
