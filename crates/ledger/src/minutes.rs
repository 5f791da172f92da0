//! The minute buckets: counts per disposition, changed by what changed in the ledger.

use std::{collections::BTreeMap, sync::LazyLock};

use clickwire_protocol::{
    counts::{Counts, DeviceType, Dimensions, Disposition, MinuteCell},
    ids::AdvertiserId,
    times::{Minute, UnixMs},
};
use sqlx::{AssertSqlSafe, FromRow as _, PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    ROWS, at,
    counts::{COLUMNS, CountsRow, each},
};

/// Names one bucket: advertiser, minute, dimensions.
pub type CellKey = (AdvertiserId, Minute, Dimensions);

/// `$1` to `$6` are the keys of [`bind_keys`]; then comes what is added to each column.
static ADD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO click_minutes AS m (advertiser_id, bucket, campaign_id, ad_id, country, device_type, {COLUMNS}) \
         SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], \
           $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) \
         ON CONFLICT (advertiser_id, bucket, campaign_id, ad_id, country, device_type) DO UPDATE SET \
           {additions}, version = m.version + 1 \
         RETURNING m.*",
        additions = each(|column| format!("{column} = m.{column} + excluded.{column}")),
    )
});

/// Adds to the buckets, in the order of their keys, and returns them as they are then.
pub(crate) async fn add(
    connection: &mut PgConnection,
    increments: &BTreeMap<CellKey, Counts>,
) -> Result<Vec<(AdvertiserId, MinuteCell)>, sqlx::Error> {
    let increments: Vec<(&CellKey, &Counts)> = increments.iter().collect();
    let mut cells = Vec::with_capacity(increments.len());
    for rows in increments.chunks(ROWS) {
        let keys: Vec<&CellKey> = rows.iter().map(|(key, _)| *key).collect();
        let mut query = bind_keys(sqlx::query(AssertSqlSafe(ADD.as_str())), &keys);
        for disposition in Disposition::ALL {
            query = query.bind(rows.iter().map(|(_, counts)| counts.get(disposition)).collect::<Vec<_>>());
        }
        let returned = query.fetch_all(&mut *connection).await?;
        for row in returned {
            cells.push(cell(&row)?);
        }
    }
    Ok(cells)
}

/// Raises versions above whatever anybody has seen, and makes buckets of zeroes where there are none.
/// Of a bucket that vanished nobody knows the version any more, but the time in milliseconds is higher.
pub(crate) async fn raise(connection: &mut PgConnection, keys: &[CellKey]) -> Result<(), sqlx::Error> {
    for keys in keys.chunks(ROWS) {
        let keys: Vec<&CellKey> = keys.iter().collect();
        let query = sqlx::query(
            "INSERT INTO click_minutes AS m (advertiser_id, bucket, campaign_id, ad_id, country, device_type, version) \
             SELECT *, (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
               FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[]) \
             ON CONFLICT (advertiser_id, bucket, campaign_id, ad_id, country, device_type) \
               DO UPDATE SET version = greatest(m.version, excluded.version)",
        );
        bind_keys(query, &keys).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads the buckets as they are.
pub(crate) async fn read(
    connection: &mut PgConnection,
    keys: &[CellKey],
) -> Result<Vec<(AdvertiserId, MinuteCell)>, sqlx::Error> {
    let mut cells = Vec::with_capacity(keys.len());
    for keys in keys.chunks(ROWS) {
        let keys: Vec<&CellKey> = keys.iter().collect();
        let query = sqlx::query(
            "SELECT m.* FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[]) \
               AS k (advertiser_id, bucket, campaign_id, ad_id, country, device_type) \
             JOIN click_minutes m USING (advertiser_id, bucket, campaign_id, ad_id, country, device_type)",
        );
        for row in bind_keys(query, &keys).fetch_all(&mut *connection).await? {
            cells.push(cell(&row)?);
        }
    }
    Ok(cells)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_keys<'q>(query: Query<'q>, keys: &[&CellKey]) -> Query<'q> {
    fn column<'k, T>(keys: &[&'k CellKey], value: impl Fn(&'k CellKey) -> T) -> Vec<T> {
        keys.iter().map(|key| value(key)).collect()
    }
    query
        .bind(column(keys, |(advertiser, _, _)| advertiser.as_str()))
        .bind(column(keys, |(_, minute, _)| at(minute.start())))
        .bind(column(keys, |(_, _, dimensions)| dimensions.campaign_id.as_str()))
        .bind(column(keys, |(_, _, dimensions)| dimensions.ad_id.as_str()))
        .bind(column(keys, |(_, _, dimensions)| dimensions.country.as_str()))
        .bind(column(keys, |(_, _, dimensions)| dimensions.device_type.as_str()))
}

fn cell(row: &PgRow) -> Result<(AdvertiserId, MinuteCell), sqlx::Error> {
    let bucket: OffsetDateTime = row.try_get("bucket")?;
    let (advertiser_id, minute, dimensions) = cell_key(row, UnixMs(bucket.unix_timestamp() * 1_000))?;
    let cell = MinuteCell {
        minute,
        dimensions,
        version: row.try_get("version")?,
        counts: CountsRow::from_row(row)?.0,
    };
    Ok((advertiser_id, cell))
}

/// The bucket of a row that has the dimensions' columns, at a time.
pub(crate) fn cell_key(row: &PgRow, at: UnixMs) -> Result<CellKey, sqlx::Error> {
    let device_type: DeviceType = row.try_get::<&str, _>("device_type")?.parse().map_err(|error| {
        sqlx::Error::ColumnDecode { index: "device_type".into(), source: Box::new(error) }
    })?;
    let dimensions = Dimensions {
        campaign_id: row.try_get("campaign_id")?,
        ad_id: row.try_get("ad_id")?,
        country: row.try_get("country")?,
        device_type,
    };
    Ok((row.try_get("advertiser_id")?, at.minute(), dimensions))
}

/// A time of the database.
pub(crate) fn unix_ms(row: &PgRow, column: &str) -> Result<UnixMs, sqlx::Error> {
    let time: OffsetDateTime = row.try_get(column)?;
    Ok(UnixMs((time.unix_timestamp_nanos() / 1_000_000) as i64))
}
