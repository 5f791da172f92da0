//! The loop of the archive: read, write, commit, acknowledge. An error of any kind ends the session; the next
//! one begins behind the last range that the database has.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::Context;
use clickwire_dead_letters::message;
use clickwire_ledger::primary::{is_replaced, timeline};
use clickwire_process::{Backoff, failpoint, nats::on_timeline, now_ms};
use clickwire_protocol::times::UnixMs;
use iceberg::spec::Operation;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    adjustments,
    catalog::{self, Catalog, Range},
    config::Config,
    counted::{self, Outcome, Read},
    days,
    erasures::{self, Sweep},
    error::{Unavailable, answered},
    health::{Health, Service},
    objects::Objects,
    rows::{self, Row},
    stream::{Delivered, Reader, Source},
    table::{self, Change, Prepared, Table},
    tables::Tables,
    upkeep,
};

/// Bytes of messages in one commit, at most; a batch is held in memory some four times.
const BATCH_BYTES: usize = 32 << 20;

/// The interval at which the ledger is asked again for clicks that it has not counted.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Waiting longer for the aggregators is reported.
const NOTICEABLE: Duration = Duration::from_secs(10);

/// The interval at which lock and consumer are checked when nothing comes.
const LOOK_EVERY: Duration = Duration::from_secs(3);

const DAY_MS: i64 = 86_400_000;

/// The archive with the services and settings that it uses.
pub(crate) struct Archive {
    pub(crate) nats: Context,
    pub(crate) catalog: Catalog,
    pub(crate) objects: Objects,
    pub(crate) health: Arc<Health>,
    pub(crate) config: Config,
}

/// The state of one session.
struct Session<'a> {
    archive: &'a Archive,
    lock: sqlx::pool::PoolConnection<sqlx::Postgres>,
    /// The database's timeline.
    timeline: i64,
    source: Source,
    reader: Reader,
    tables: Tables,
    /// Time at which lock and consumer were last checked.
    looked_at: Instant,
    /// The first message that is in no range.
    next: u64,
    /// Time of the next look for adjustments and erasures.
    follow_at: Instant,
    /// Time of the tables' next upkeep.
    upkeep_at: Instant,
    /// Erasures that are being carried out.
    sweep: Sweep,
}

/// Messages from the next one on, without a gap.
#[derive(Default)]
struct Batch {
    clicks: Vec<Read>,
    last: Option<u64>,
    messages: usize,
    bytes: usize,
}

impl Archive {
    /// Archives until `stop` is cancelled; outages are waited out.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let mut primary = self.catalog.primary();
            let session = Box::pin(self.session(&mut backoff));
            tokio::select! {
                ended = session => match ended {
                    Ok(never) => match never {},
                    Err(error) => self.wait(&error).await,
                },
                () = is_replaced(&mut primary, None) => {}
                () = stop.cancelled() => return Ok(()),
            }
            tokio::select! { () = backoff.wait() => {}, () = stop.cancelled() => return Ok(()) }
        }
    }

    /// Says what is waited for, here and, if that is possible, in the database.
    async fn wait(&self, error: &Unavailable) {
        let service = error.service();
        self.health.waiting_for(service, error);
        if service != Service::Database {
            // A lake that stands still is seen from outside, whether or not it could say why.
            drop(answered(self.catalog.waits(Some(service.name()))).await);
        }
    }

    async fn session(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Unavailable> {
        let mut session = self.begin().await?;
        self.health.reading();
        backoff.reset();
        loop {
            let (batch, error) = session.gather().await;
            if batch.last.is_some() {
                failpoint::reached("lake_read");
                session.archive(batch).await?;
            }
            match error {
                Some(error) => return Err(error),
                None => self.health.reading(),
            }
            session.look_after_tables().await?;
        }
    }

    /// Does what is due now, and says when it is due again.
    async fn look_after(
        &self,
        tables: &mut Tables,
        (source, next): (&Source, u64),
        (follow_at, upkeep_at): (&mut Instant, &mut Instant),
        sweep: &mut Sweep,
    ) -> Result<(), Unavailable> {
        let Self { catalog, objects, config, .. } = self;
        if Instant::now() >= *follow_at {
            adjustments::copy(catalog, objects, &mut tables.adjustments).await?;
            sweep.go_on((catalog, objects), &mut tables.clicks, source, next).await?;
            *follow_at = Instant::now() + Duration::from_secs(config.flush_seconds);
        }
        if Instant::now() >= *upkeep_at {
            let clicks = (config, config.retention_days());
            let counts = (config, config.counts_retention_days());
            let first = counts.1.map(|days| counted::at(upkeep::first_day(days) * DAY_MS));
            days::write(catalog, objects, &mut tables.daily_counts, first).await?;
            upkeep::round(catalog, objects, &mut tables.daily_counts, counts).await?;
            upkeep::round(catalog, objects, &mut tables.adjustments, clicks).await?;
            let swept_before_ms = upkeep::round(catalog, objects, &mut tables.clicks, clicks).await?;
            erasures::finish(catalog, &tables.clicks, counted::at(swept_before_ms)).await?;
            *upkeep_at = Instant::now() + Duration::from_secs(config.upkeep_seconds);
        }
        Ok(())
    }

    async fn begin(&self) -> Result<Session<'_>, Unavailable> {
        let names = self.config.names();
        let mut lock = answered(self.catalog.lock(names.lake_lock())).await?;
        let timeline = answered(timeline(&mut lock)).await?;
        answered(self.catalog.attach()).await?;
        let source = Source::open(&self.nats, &names).await?;
        let after = answered(self.catalog.next(names.stream(), source.created_us)).await?;
        let next = after.unwrap_or(source.first);
        if source.first > next {
            let messages = source.first - next;
            metrics::counter!("clickwire_lake_missed_total").increment(messages);
            tracing::error!(messages, "the stream has forgotten messages that were not archived");
        }
        let reader = source.read_from(next).await?;
        let tables = Tables::open(&self.catalog, &self.objects).await?;
        self.health.works(Service::Objects);
        let now = Instant::now();
        let upkeep_at = now + Duration::from_secs(self.config.upkeep_seconds);
        Ok(Session {
            archive: self,
            lock,
            timeline,
            source,
            reader,
            tables,
            looked_at: now,
            next,
            follow_at: now,
            upkeep_at,
            sweep: Sweep::default(),
        })
    }
}

impl Session<'_> {
    /// Reads until a batch is full or old enough. With an error there may be a batch, too: what was read of a
    /// stream that is gone can't be read again.
    async fn gather(&mut self) -> (Batch, Option<Unavailable>) {
        let config = &self.archive.config;
        let mut batch = Batch::default();
        let mut until = None;
        while batch.messages < config.batch_max && batch.bytes < BATCH_BYTES {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            if self.looked_at.elapsed() >= LOOK_EVERY {
                self.looked_at = Instant::now();
                if let Err(error) = self.look().await {
                    return (batch, Some(error));
                }
            }
            let (messages, error) = self.reader.next(config.batch_max - batch.messages).await;
            messages.into_iter().for_each(|message| batch.add(message, config));
            if error.is_some() {
                return (batch, error);
            }
            if batch.last.is_some() && until.is_none() {
                until = Some(Instant::now() + Duration::from_secs(config.flush_seconds));
            }
            // Not before messages had their turn: what else is due may take longer than it is apart.
            if batch.last.is_none() && Instant::now() >= self.follow_at.min(self.upkeep_at) {
                break;
            }
        }
        (batch, None)
    }

    /// Does what is due beside clicks.
    async fn look_after_tables(&mut self) -> Result<(), Unavailable> {
        let Self { archive, lock, source, tables, next, follow_at, upkeep_at, sweep, .. } = self;
        let work = archive.look_after(tables, (source, *next), (follow_at, upkeep_at), sweep);
        holding(lock, Box::pin(work)).await
    }

    /// Checks that lock and consumer are still this process's; an error if not.
    async fn look(&mut self) -> Result<(), Unavailable> {
        answered(sqlx::query("SELECT 1").execute(&mut *self.lock)).await?;
        self.archive.health.pending(self.reader.pending().await?);
        Ok(())
    }

    async fn archive(&mut self, batch: Batch) -> Result<(), Unavailable> {
        let Some(last) = batch.last.filter(|&last| last >= self.next) else { return Ok(()) };
        let range = Range { stream_created_us: self.source.created_us, first: self.next, last };
        let started = Instant::now();
        let rows = self.settle(batch.clicks).await?;
        failpoint::reached("lake_settled");
        let prepared = if rows.is_empty() {
            None
        } else {
            let Self { archive, lock, tables, .. } = self;
            Some(holding(lock, write(&archive.objects, &tables.clicks, range, &rows)).await?)
        };
        failpoint::reached("lake_written");
        answered(self.commit(range, rows.len(), prepared.as_ref())).await?;
        failpoint::reached("lake_committed");
        if let Some(prepared) = prepared {
            self.tables.clicks.advance(prepared);
        }
        self.next = last + 1;
        self.archive.health.works(Service::Objects);
        answered(self.archive.catalog.waits(None)).await?;
        metrics::counter!("clickwire_lake_clicks_total").increment(rows.len() as u64);
        metrics::counter!("clickwire_lake_commits_total").increment(1);
        metrics::histogram!("clickwire_lake_commit_seconds").record(started.elapsed().as_secs_f64());
        let newest = rows.iter().map(|row| row.click.received_at_ms.0).max().unwrap_or_else(now_ms);
        metrics::gauge!("clickwire_lake_archived_unix_seconds").set(newest as f64 / 1_000.0);
        self.reader.acknowledge().await?;
        failpoint::reached("lake_acknowledged");
        Ok(())
    }

    /// The rows that the ledger has counted by these messages, when it has dealt with all of them.
    async fn settle(&mut self, mut waiting: Vec<Read>) -> Result<Vec<Row>, Unavailable> {
        let (mut rows, began) = (Vec::with_capacity(waiting.len()), Instant::now());
        let database = self.archive.catalog.database();
        while !waiting.is_empty() {
            let floors = self.floors(&waiting).await;
            let outcomes = answered(counted::outcomes(database, self.source.created_us, &waiting)).await?;
            let mut unknown = Vec::new();
            for (read, outcome) in waiting.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Counted(row) => rows.push(*row),
                    Outcome::Resend => skipped("resend"),
                    Outcome::Unknown => unknown.push(read),
                }
            }
            if !unknown.is_empty() {
                let floors = match floors {
                    // What an aggregator has in hand of a stream that is gone, it counts.
                    Err(_) if began.elapsed() < NOTICEABLE => HashMap::new(),
                    floors => floors?,
                };
                unknown.retain(|read| floors.get(&read.partition).is_none_or(|&to| read.stream_seq > to));
            }
            waiting = unknown;
            if !waiting.is_empty() {
                if began.elapsed() >= NOTICEABLE {
                    let clicks = format!("{} clicks are not counted yet", waiting.len());
                    self.archive.health.waiting_for(Service::Aggregator, &clicks);
                }
                sleep(ASK_AGAIN).await;
                answered(sqlx::query("SELECT 1").execute(&mut *self.lock)).await?;
            }
        }
        self.archive.health.works(Service::Aggregator);
        Ok(rows)
    }

    /// Returns the sequence numbers up to which aggregators have dealt with these messages' partitions.
    async fn floors(&self, waiting: &[Read]) -> Result<HashMap<u16, u64>, Unavailable> {
        let names = self.archive.config.names();
        let partitions: HashSet<u16> = waiting.iter().map(|read| read.partition).collect();
        let mut floors = HashMap::new();
        for partition in partitions {
            if let Some(floor) =
                self.source.counted_to(&on_timeline(&names.consumer(partition), self.timeline)).await?
            {
                floors.insert(partition, floor);
            }
        }
        Ok(floors)
    }

    async fn commit(
        &self,
        range: Range,
        rows: usize,
        prepared: Option<&Prepared>,
    ) -> Result<(), Unavailable> {
        let names = self.archive.config.names();
        let mut transaction = self.archive.catalog.begin().await?;
        // What the ledger did not have on another timeline it may still get on this one.
        if timeline(&mut transaction).await? != self.timeline {
            return Err(Unavailable::Timeline);
        }
        let snapshot_id = prepared.map(|prepared| prepared.snapshot_id);
        catalog::record(&mut transaction, names.stream(), range, rows, snapshot_id).await?;
        if let Some(prepared) = prepared {
            catalog::move_pointer(&mut transaction, self.tables.clicks.definition.name, prepared).await?;
        }
        failpoint::reached("lake_before_commit");
        transaction.commit().await?;
        if failpoint::is_hit("lake_unanswered") {
            return Err(sqlx::Error::WorkerCrashed.into());
        }
        Ok(())
    }
}

/// Does something that may take long, and uses the lock meanwhile: it is lost when it is not used.
async fn holding<T>(
    lock: &mut PgConnection,
    work: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, Unavailable> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = sleep(LOOK_EVERY) => answered(sqlx::query("SELECT 1").execute(&mut *lock)).await?,
        };
    }
}

/// Puts rows into files, one for each day of receipt.
async fn write(
    objects: &Objects,
    table: &Table,
    range: Range,
    rows: &[Row],
) -> Result<Prepared, Unavailable> {
    let mut days: BTreeMap<i32, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        days.entry(row.day()).or_default().push(row);
    }
    let mut added = Vec::new();
    for (day, rows) in days {
        let batch = rows::batch(table.metadata.current_schema(), rows)?;
        added.push(table.write(objects, day, &batch).await?);
        failpoint::reached("lake_file_written");
    }
    let summary = vec![
        (table::STREAM_CREATED, range.stream_created_us.to_string()),
        (table::FIRST_SEQ, range.first.to_string()),
        (table::LAST_SEQ, range.last.to_string()),
    ];
    let change = Change { operation: Operation::Append, added, removed: HashSet::new(), summary };
    table.prepare(objects, change).await
}

fn skipped(reason: &'static str) {
    metrics::counter!("clickwire_lake_skipped_total", "reason" => reason).increment(1);
}

impl Batch {
    fn add(&mut self, delivered: Delivered, config: &Config) {
        let Delivered { message, stream_seq, stored_at_ms } = delivered;
        self.last = Some(stream_seq);
        self.messages += 1;
        self.bytes += message.payload.len();
        let is_restored = message.headers.as_ref().is_some_and(|headers| headers.get(RESTORED).is_some());
        if is_restored {
            return skipped("restored");
        }
        let partition = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let oldest = message::oldest(UnixMs(stored_at_ms), config.stream_max_age());
        match (message::read(&message.payload, UnixMs(stored_at_ms), oldest), partition) {
            (Ok(click), Some(partition)) => self.clicks.push(Read { click, stream_seq, partition }),
            // The aggregator sets it aside, too.
            _ => skipped("unreadable"),
        }
    }
}

/// The header of a message that was made from a row of the lake: it is no new one.
pub(crate) const RESTORED: &str = "Clickwire-Restored";
