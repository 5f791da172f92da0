//! One reading of an advertiser's recent minutes, in a task of its own: what is published meanwhile is applied
//! by the feed, whose screens go on, and what was read is laid beneath it.
//!
//! The order makes it right: note where the feed is, read the high-water mark, read the database. What is published
//! later comes with a higher version than what was read.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use clickwire_ledger::{
    at,
    counts::{COLUMNS, CountsRow},
};
use clickwire_process::{Backoff, redis::Connection};
use clickwire_protocol::{
    counts::{Dimensions, MinuteCell},
    feed::{BEGIN, HIGH_WATER_MARK_LIFETIME_SECONDS, Keys, Position, generation_key},
    ids::{AdId, AdvertiserId, CampaignId},
    live::MAX_WINDOW_MINUTES,
    times::Minute,
};
use redis::{AsyncCommands as _, RedisError};
use sqlx::{AssertSqlSafe, FromRow as _};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    http::quota::Holder,
    live::feed::{Feed, RETRY_WITHIN, Source, now_minute},
    store::database,
};

/// The result of a reading: cells, and the feed's high-water mark before them.
pub(in crate::live) struct Loaded {
    pub(in crate::live) position: Position,
    pub(in crate::live) cells: Vec<MinuteCell>,
}

/// A reading under way, which ends with its result; `None` when the feed has ended.
pub(in crate::live) type Loading = AbortOnDropHandle<Option<Loaded>>;

/// Reads one advertiser's minutes; cheap to clone.
#[derive(Clone)]
pub(in crate::live) struct Loader {
    pub(in crate::live) advertiser_id: AdvertiserId,
    pub(in crate::live) feed: Weak<Feed>,
    pub(in crate::live) source: Source,
    /// The mark that the present reading is not enough.
    pub(in crate::live) needs_resync: Arc<AtomicBool>,
    /// Holders whose shares of the connections the reading uses up: those of the first watcher.
    pub(in crate::live) watcher: Arc<[Holder]>,
}

#[derive(Debug, Error)]
enum LoadError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
}

impl Loader {
    /// Begins to read, until it has worked.
    pub(in crate::live) fn begin(&self) -> Loading {
        let loader = self.clone();
        let reading = async move {
            let mut backoff = Backoff::up_to(RETRY_WITHIN);
            loop {
                // What comes after this is not contained.
                loader.needs_resync.store(false, Ordering::Relaxed);
                let ours = loader.feed.upgrade()?.begin_load();
                match loader.load(ours).await {
                    Ok(loaded) => return Some(loaded),
                    Err(error) => {
                        tracing::warn!(%error, "live state could not be loaded");
                        backoff.wait().await;
                    }
                }
            }
        };
        AbortOnDropHandle::new(tokio::spawn(reading.in_current_span()))
    }

    /// The feed's high-water mark, which is begun if there is none: else a feed that an aggregator begins anew, by
    /// deleting the mark, would look like one that has not begun yet. A mark of an older feed generation is begun
    /// anew: a client that comes from there must not resume as if nothing had been lost since.
    async fn begin_high_water_mark(&self) -> Result<Position, RedisError> {
        let mut redis: Connection = self.source.redis.clone();
        // A cluster may have it on a shard that is away while the feed's own is not.
        let generation: Option<String> =
            redis.get(generation_key(&self.source.prefix)).await.unwrap_or_default();
        let mut begin = redis::cmd("EVAL");
        begin.arg(BEGIN).arg(1).arg(Keys::new(&self.source.prefix, &self.advertiser_id).high_water_mark);
        begin
            .arg(generation.unwrap_or_default())
            .arg(Uuid::now_v7().to_string())
            .arg(HIGH_WATER_MARK_LIFETIME_SECONDS);
        let (epoch, seq): (String, u64) = begin.query_async(&mut redis).await?;
        Ok(Position { epoch, seq })
    }

    /// Like [`Self::begin_high_water_mark`], but never behind our own position: a Redis that lost its last messages
    /// gives their numbers to others, and a client that saw the first must not resume as if they were the second.
    async fn begin_where_we_are(&self, ours: &Position) -> Result<Position, RedisError> {
        let mark = self.begin_high_water_mark().await?;
        if mark.epoch != ours.epoch || mark.seq >= ours.seq {
            return Ok(mark);
        }
        let key = Keys::new(&self.source.prefix, &self.advertiser_id).high_water_mark;
        let _: () = self.source.redis.clone().unlink(key).await?;
        self.begin_high_water_mark().await
    }

    /// Reads everything that a window can hold. Without Redis the state has no position: it can't be
    /// resumed from, and is read again when Redis is back.
    async fn load(&self, ours: Position) -> Result<Loaded, LoadError> {
        let position = match self.begin_where_we_are(&ours).await {
            Ok(position) => position,
            Err(error) => {
                if self.feed.upgrade().is_some_and(|feed| feed.is_loaded()) {
                    return Err(error.into());
                }
                Position::default()
            }
        };
        metrics::counter!("clickwire_live_loads_total").increment(1);
        let first_minute = now_minute() - i64::from(MAX_WINDOW_MINUTES) + 1;
        let since = at(first_minute.start());
        let sql = format!(
            "SELECT bucket, campaign_id, ad_id, country, device_type, version, {COLUMNS} \
               FROM click_minutes WHERE advertiser_id = $1 AND bucket >= $2 ORDER BY bucket DESC LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(&self.advertiser_id)
            .bind(since)
            .bind(self.source.cells_max as i64);
        let mut tenants = self.source.tenants.begin_load(&self.advertiser_id, &self.watcher).await?;
        let rows = database::answer(rows.fetch_all(&mut *tenants)).await?;
        drop(tenants);
        let cells = rows.iter().map(CellRow::from_row).collect::<Result<Vec<_>, _>>()?;
        let mut cells = cells.into_iter().map(MinuteCell::try_from).collect::<Result<Vec<_>, _>>()?;
        if cells.len() >= self.source.cells_max {
            // The limit may have cut the oldest minute in two.
            let oldest = cells.last().map(|cell| cell.minute);
            cells.retain(|cell| Some(cell.minute) != oldest);
        }
        Ok(Loaded { position, cells })
    }
}

/// A row of `click_minutes`.
#[derive(sqlx::FromRow)]
struct CellRow {
    bucket: OffsetDateTime,
    campaign_id: CampaignId,
    ad_id: AdId,
    country: String,
    device_type: String,
    version: i64,
    #[sqlx(flatten)]
    counts: CountsRow,
}

impl TryFrom<CellRow> for MinuteCell {
    type Error = sqlx::Error;

    fn try_from(row: CellRow) -> Result<Self, sqlx::Error> {
        let device_type = row.device_type.parse().map_err(|error| sqlx::Error::ColumnDecode {
            index: "device_type".to_owned(),
            source: Box::<clickwire_protocol::counts::UnknownDeviceType>::new(error),
        })?;
        Ok(Self {
            minute: Minute(row.bucket.unix_timestamp().div_euclid(60)),
            dimensions: Dimensions {
                campaign_id: row.campaign_id,
                ad_id: row.ad_id,
                country: row.country,
                device_type,
            },
            version: row.version,
            counts: row.counts.0,
        })
    }
}
