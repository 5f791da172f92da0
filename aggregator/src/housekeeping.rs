//! Periodic upkeep, under both licences of TimescaleDB: chunks made ahead of time,
//! old chunks dropped, minutes of unique users folded into hours, counted clicks removed from the
//! stream, dead letters and copies of the streams counted, the database's own jobs looked after.
//!
//! Every aggregator does it; doing it twice does no harm.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::jetstream::{
    Context,
    stream::{LastRawMessageErrorKind, Stream},
};
use clickwire_dead_letters::DeadLetters;
use clickwire_ledger::{disk, primary, retention, timescaledb};
use clickwire_process::now_ms;
use clickwire_protocol::{
    storage::{Housekeeping, HousekeepingTask, RetentionSetting},
    stream::Names,
};
use futures_util::TryStreamExt as _;
use sqlx::PgPool;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, feed::Feed, health::Health, replicas, stream};

/// Dropping chunks waits for whoever reads them; what takes longer is given up until the next round.
const TASK_TIMEOUT: Duration = Duration::from_secs(60);

/// Every chunk's size is asked for.
const MEASURED_EVERY: Duration = Duration::from_secs(60);

/// Housekeeping, with what it looks after.
pub(crate) struct Rounds {
    pub(crate) database: PgPool,
    pub(crate) nats: Context,
    pub(crate) feed: Feed,
    /// Hears how many dead letters wait.
    pub(crate) dead_letters_waiting: watch::Sender<Option<u64>>,
    pub(crate) health: Arc<Health>,
    pub(crate) config: Config,
    /// The database's timeline.
    pub(crate) timeline: i64,
}

impl Rounds {
    /// Runs at once and then again and again until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        // Each task can be left in the middle, and one that waits for a dead connection must be.
        Box::pin(stop.run_until_cancelled(rounds(&self))).await;
        Ok(())
    }
}

async fn rounds(with: &Rounds) {
    let Rounds { database, nats, feed, dead_letters_waiting, health, config, .. } = with;
    let dead_letters = DeadLetters::new(nats.clone(), config.names());
    let mut disk = Disk::default();
    let mut counted = Counted::default();
    let mut every = tokio::time::interval(Duration::from_secs(config.housekeeping_seconds));
    loop {
        every.tick().await;
        let mut tasks = Vec::new();
        for (task, outcome) in [
            ("chunks ahead", within(retention::create_chunks(database)).await),
            ("retention", within(retention::drop_chunks(database, config.kept())).await),
            ("unique users", within(retention::fold_uniques(database, &config.names(), config.kept())).await),
            ("stream", within(counted.forget(with)).await),
            ("disk", within(disk.measure(database)).await),
            ("background jobs", within(watch_jobs(database, health)).await),
            ("replicas", within(watch_replicas(nats, config, health)).await),
            ("dead letters", within(count_waiting(&dead_letters, dead_letters_waiting)).await),
        ] {
            tasks.push(HousekeepingTask { task: task.to_owned(), is_done: outcome.is_ok() });
            if let Err(error) = outcome {
                tracing::warn!(task, %error, "housekeeping: will try again");
            }
        }
        feed.tell_housekeeping(&round(tasks, config)).await;
        metrics::counter!("clickwire_housekeeping_rounds_total").increment(1);
    }
}

/// A round that has ended, and the retention that is set.
fn round(tasks: Vec<HousekeepingTask>, config: &Config) -> Housekeeping {
    let settings = disk::settings(config.kept(), config.incidents_kept());
    let retention = settings.map(|(name, days)| RetentionSetting { name: name.to_owned(), days });
    Housekeeping {
        at_ms: now_ms(),
        every_seconds: config.housekeeping_seconds,
        tasks,
        retention: retention.to_vec(),
    }
}

/// A service that is gone without a word must not end housekeeping for ever.
async fn within<E: Into<anyhow::Error>>(task: impl Future<Output = Result<(), E>>) -> anyhow::Result<()> {
    tokio::time::timeout(TASK_TIMEOUT, task).await?.map_err(Into::into)
}

/// Leaves the partitions' consumers of older timelines. Whoever is the first to do so begins another feed generation
/// when every server must have left the primary before: one that read it until then takes what is lost for counted.
async fn leave_older(Rounds { nats, feed, config, timeline, .. }: &Rounds) -> anyhow::Result<()> {
    if stream::delete_older(nats, config, *timeline).await? {
        tokio::time::sleep(primary::LEFT_WITHIN).await;
        feed.renew_soon();
    }
    Ok(())
}

/// How far the stream was counted, and when that was so.
#[derive(Default)]
struct Counted(VecDeque<(Instant, u64)>);

impl Counted {
    /// Removes from the stream what has been counted for as long as it is kept, so that a stream which refuses when full
    /// holds little but what is still to be counted.
    async fn forget(&mut self, with: &Rounds) -> anyhow::Result<()> {
        let Rounds { database, nats, config, .. } = with;
        // It would wait for whoever has read it on an older timeline.
        leave_older(with).await?;
        let mut stream = nats.get_stream(config.names().stream()).await?;
        let present = last_counted(database, &mut stream).await?;
        let forgotten = self.kept_long_enough(present, Duration::from_secs(config.stream_kept_seconds));
        if forgotten > 0 {
            // The given sequence number is the first that is kept.
            stream.purge().sequence(forgotten + 1).await?;
        }
        Ok(())
    }

    /// The last message that has been counted for so long, now that `present` is the last one that is counted.
    fn kept_long_enough(&mut self, present: u64, kept: Duration) -> u64 {
        self.0.push_back((Instant::now(), present));
        let mut last = 0;
        while let Some(&(_, counted)) = self.0.front().filter(|(at, _)| at.elapsed() >= kept) {
            last = counted;
            self.0.pop_front();
        }
        // There may be somebody else now, who has not read it.
        last.min(present)
    }
}

/// The last message before which all are counted; 0 if nobody knows: unless each of the stream's subjects has its
/// consumer. Consumers of others are waited for; where a lake is in use its consumer must
/// be there, which it is not at once when the stream was made anew.
async fn last_counted(database: &PgPool, stream: &mut Stream) -> anyhow::Result<u64> {
    // The order matters: whatever arrives after this has a higher number.
    let info = stream.info().await?.clone();
    let last = info.state.last_sequence;
    let consumers: Vec<_> = stream.consumers().try_collect().await?;
    let is_read =
        |subject: &String| consumers.iter().any(|consumer| consumer.config.filter_subject == *subject);
    let has_lake: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM lake_attachment)").fetch_one(database).await?;
    let is_archived = consumers.iter().any(|consumer| consumer.name.starts_with(Names::LAKE_CONSUMER));
    if !info.config.subjects.iter().all(is_read) || (has_lake && !is_archived) {
        return Ok(0);
    }
    let mut counted = last;
    for consumer in &consumers {
        let floor = consumer.ack_floor.stream_sequence;
        if floor < last_on(stream, &consumer.config.filter_subject, last).await? {
            counted = counted.min(floor);
        }
    }
    Ok(counted)
}

/// The disk that tables take, measured now and then.
#[derive(Default)]
struct Disk {
    measured: Option<Instant>,
}

impl Disk {
    async fn measure(&mut self, database: &PgPool) -> anyhow::Result<()> {
        if self.measured.is_some_and(|at| at.elapsed() < MEASURED_EVERY) {
            return Ok(());
        }
        for table in disk::usage(&mut *database.acquire().await?).await? {
            if let Some(chunks) = table.chunks {
                metrics::gauge!("clickwire_table_chunks", "table" => table.table.clone()).set(chunks as f64);
            }
            metrics::gauge!("clickwire_table_bytes", "table" => table.table).set(table.bytes as f64);
        }
        self.measured = Some(Instant::now());
        Ok(())
    }
}

async fn watch_jobs(database: &PgPool, health: &Health) -> anyhow::Result<()> {
    let mut connection = database.acquire().await?;
    let idle = timescaledb::idle_jobs(&mut connection).await?;
    metrics::gauge!("clickwire_database_jobs_idle").set(idle.len() as f64);
    health.idle_jobs(idle);
    Ok(timescaledb::restart_stuck_jobs(&mut connection).await?)
}

async fn watch_replicas(nats: &Context, config: &Config, health: &Health) -> anyhow::Result<()> {
    health.replicas(replicas::observe(nats, config).await?);
    Ok(())
}

async fn count_waiting(
    dead_letters: &DeadLetters,
    waiting: &watch::Sender<Option<u64>>,
) -> anyhow::Result<()> {
    let letters = dead_letters.waiting().await?;
    metrics::gauge!("clickwire_dead_letters_waiting").set(letters as f64);
    waiting.send_replace(Some(letters));
    Ok(())
}

/// The last message on a subject; on a stream's every subject, if none is named.
pub(crate) async fn last_on(stream: &Stream, subject: &str, last: u64) -> anyhow::Result<u64> {
    if subject.is_empty() {
        return Ok(last);
    }
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(message.sequence),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_counted_is_kept_for_as_long_as_is_set_and_until_everybody_has_it() {
        let (mut counted, kept) = (Counted::default(), Duration::from_secs(600));
        let mut forgotten = Vec::new();
        for present in [100, 200, 300, 300, 50, 400] {
            forgotten.push(counted.kept_long_enough(present, kept));
            tokio::time::advance(Duration::from_secs(300)).await;
        }
        // At 20 min a lake is new, which has read up to 50.
        assert_eq!(forgotten, [0, 0, 100, 200, 50, 300]);
        let mut counted = Counted::default();
        assert_eq!(counted.kept_long_enough(100, Duration::ZERO), 100);
    }
}
