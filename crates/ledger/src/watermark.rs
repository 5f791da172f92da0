//! The watermarks: the times up to which partitions are counted. See [`clickwire_protocol::finality`].
//!
//! A watermark never goes back, whoever writes it, and is never ahead of the database's clock,
//! whatever a message says about when it was received.

use clickwire_protocol::{finality, times::UnixMs};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

/// Advances the watermarks of partitions, in their order: everything that they received before the time of each is
/// counted.
///
/// # Errors
/// What the database says; the watermarks are where they were.
pub async fn advance(
    connection: &mut PgConnection,
    counted_until: &[(u16, OffsetDateTime)],
) -> Result<(), sqlx::Error> {
    let (partitions, times): (Vec<i32>, Vec<OffsetDateTime>) =
        counted_until.iter().map(|&(partition, time)| (i32::from(partition), time)).unzip();
    sqlx::query(
        "INSERT INTO watermarks AS w (partition, counted_until) \
         SELECT partition, least(time, clock_timestamp()) FROM unnest($1::int[], $2::timestamptz[]) AS t (partition, time) \
         ON CONFLICT (partition) DO UPDATE SET counted_until = greatest(w.counted_until, excluded.counted_until)",
    )
    .bind(partitions)
    .bind(times)
    .execute(connection)
    .await?;
    Ok(())
}

/// The deployment's watermark: the least of all `partitions`; `None` as long as one of
/// them has none.
///
/// # Errors
/// What the database says.
pub async fn of_deployment(
    database: impl PgExecutor<'_>,
    partitions: u16,
) -> Result<Option<UnixMs>, sqlx::Error> {
    let by_partition: Vec<(i32, UnixMs)> = sqlx::query_as(
        "SELECT partition, floor(extract(epoch FROM counted_until) * 1000)::bigint FROM watermarks",
    )
    .fetch_all(database)
    .await?;
    Ok(finality::watermark(&by_partition, partitions))
}

/// The database's time, and the partitions whose watermarks are more than 400 ms behind it.
///
/// # Errors
/// What the database says.
pub async fn behind(
    connection: &mut PgConnection,
    partitions: u16,
) -> Result<(OffsetDateTime, Vec<u16>), sqlx::Error> {
    let rows: Vec<(OffsetDateTime, i32)> = sqlx::query_as(
        "SELECT now(), n FROM generate_series(0, $1 - 1) AS n \
          WHERE NOT EXISTS (SELECT FROM watermarks WHERE partition = n AND counted_until > now() - INTERVAL '0.4 s') \
          ORDER BY n",
    )
    .bind(i32::from(partitions))
    .fetch_all(connection)
    .await?;
    let now = rows.first().map_or(OffsetDateTime::UNIX_EPOCH, |&(now, _)| now);
    Ok((now, rows.into_iter().filter_map(|(_, partition)| u16::try_from(partition).ok()).collect()))
}
