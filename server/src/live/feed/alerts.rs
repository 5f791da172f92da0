//! News about incidents, for every session that watches them.
//!
//! The database's log of news is the truth. One task of the gateway reads it when news is announced
//! over Redis, and now and then in case an announcement was lost, and keeps the latest of it. Sessions
//! are told each piece once and in order; none has a queue of its own. One that is so slow that what it
//! has not been told is no longer kept must come back: a snapshot of the open incidents makes up for
//! everything missed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_ledger::primary::TIMELINE;
use clickwire_process::Backoff;
use clickwire_protocol::{
    alerts::{Alert, Change},
    live::ServerMessage,
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    live::{
        feed::Event,
        session::{Source, end::End, subscribers::Subscribers},
        wire::frame::{Body, Frame, InFlight},
    },
    query::incidents::read,
    store::database::answer,
};

/// Pieces of news kept, at most.
const KEPT: usize = 1_000;

/// Open incidents in a snapshot, at most: the latest.
const MAX_OPEN: i64 = 500;

/// Time between two readings of the log without an announcement.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The longest wait after a failed reading.
const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// The news that sessions are told; lives as long as one session watches.
pub(crate) struct Alerts {
    news: Mutex<News>,
    subscribers: Subscribers,
    /// Number of readings that had something to tell, for those who wait for the next.
    told: watch::Sender<u64>,
    in_flight: InFlight,
    _stop: DropGuard,
}

#[derive(Default)]
struct News {
    /// The database's timeline, on which the news has its numbers.
    timeline: i64,
    /// The number up to which all news is contained; `None` before the first reading.
    seq: Option<i64>,
    open: Vec<Alert>,
    open_total: i64,
    /// `open` and `open_total`, encoded for new watchers; `None` until there is one.
    snapshot: Option<Body>,
    /// The news that is kept, by number.
    recent: VecDeque<(i64, Body)>,
    /// News up to this number is not kept.
    forgotten: i64,
}

/// How far a session has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    timeline: i64,
    seq: i64,
}

/// The result of one reading of the database, all of one moment.
#[derive(sqlx::FromRow)]
struct Reading {
    timeline: i64,
    seq: i64,
    open_total: i64,
    open: Vec<String>,
    changes: Vec<String>,
}

impl Alerts {
    /// Starts to follow the news. `needs_resync` is set when events were dropped.
    pub(crate) fn start(
        database: PgPool,
        in_flight: InFlight,
        events: mpsc::Receiver<Event>,
        needs_resync: Arc<AtomicBool>,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let alerts = Arc::new(Self {
            news: Mutex::default(),
            subscribers: Subscribers::default(),
            told: watch::Sender::default(),
            in_flight,
            _stop: stop.clone().drop_guard(),
        });
        let follower = Follower { alerts: Arc::downgrade(&alerts), database, needs_resync };
        let ended = tokio::spawn(async move {
            tokio::select! { () = follower.run(events) => {}, () = stop.cancelled() => {} }
        });
        (alerts, ended)
    }

    /// Subscribes to the number of readings that had something to tell.
    pub(in crate::live) fn subscribe(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// Returns the frames for a session that was told everything up to `told`, and how far it has been told then.
    /// `None` if that is no longer kept.
    fn next(&self, id: u32, told: Option<Told>) -> Option<(Vec<Frame>, Option<Told>)> {
        let mut news = self.news();
        let timeline = news.timeline;
        let is_present = |told: &Told| told.timeline == timeline;
        let (Some(seq), Some(Told { seq: told, .. })) = (news.seq, told.filter(is_present)) else {
            let snapshot = news.seq.map(|seq| news.snapshot(seq, &self.in_flight).frame(id));
            return Some((snapshot.into_iter().collect(), news.seq.map(|seq| Told { timeline, seq })));
        };
        if told < news.forgotten {
            return None;
        }
        let untold = news.recent.iter().filter(|(number, _)| *number > told);
        Some((untold.map(|(_, body)| body.frame(id)).collect(), Some(Told { timeline, seq })))
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was read; returns whether there is something to tell.
    fn take(&self, reading: &Reading) -> Result<bool, sqlx::Error> {
        let mut changes =
            reading.changes.iter().map(|text| read(text)).collect::<Result<Vec<Change>, _>>()?;
        changes.sort_unstable_by_key(|change| change.seq);
        let open = reading.open.iter().map(|text| read(text)).collect::<Result<Vec<Alert>, _>>()?;
        let mut news = self.news();
        if news.timeline != reading.timeline {
            // What was told may never have been: everybody begins with what is open.
            *news = News { timeline: reading.timeline, ..News::default() };
            changes.clear();
        }
        let is_news = news.seq.is_none() || !changes.is_empty();
        news.take(reading.seq, changes, &self.in_flight);
        (news.open, news.open_total, news.snapshot) = (open, reading.open_total, None);
        Ok(is_news)
    }
}

impl News {
    fn snapshot(&mut self, seq: i64, in_flight: &InFlight) -> &Body {
        let Self { open, open_total, snapshot, .. } = self;
        snapshot.get_or_insert_with(|| {
            let open = open.clone();
            Body::new(&ServerMessage::Alerts { id: 0, seq, total: *open_total, open }, in_flight)
        })
    }

    /// Appends new changes, which are in order; at most the latest [`KEPT`] of them were read.
    fn take(&mut self, seq: i64, changes: Vec<Change>, in_flight: &InFlight) {
        if self.seq.is_none() {
            self.forgotten = seq;
        }
        if changes.len() >= KEPT {
            // There may be more between what is kept and these.
            self.recent.clear();
            self.forgotten = changes.first().map_or(seq, |change| change.seq - 1);
        }
        self.recent.extend(changes.into_iter().map(|change| {
            let seq = change.seq;
            (seq, Body::new(&ServerMessage::Alert { id: 0, change: Box::new(change) }, in_flight))
        }));
        while self.recent.len() > KEPT {
            self.forgotten = self.recent.pop_front().map_or(self.forgotten, |(number, _)| number);
        }
        // The log forgets what is old; how far we have come we know.
        self.seq = self.seq.max(Some(seq));
    }
}

/// The task that reads the log.
struct Follower {
    alerts: Weak<Alerts>,
    database: PgPool,
    needs_resync: Arc<AtomicBool>,
}

impl Follower {
    async fn run(self, mut events: mpsc::Receiver<Event>) {
        let mut every = interval(READ_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::up_to(RETRY_WITHIN);
        self.needs_resync.store(true, Ordering::Relaxed);
        loop {
            if self.needs_resync.swap(false, Ordering::Relaxed) {
                match self.read().await {
                    Ok(()) => backoff.reset(),
                    Err(error) => {
                        tracing::warn!(%error, "news about incidents could not be read");
                        self.needs_resync.store(true, Ordering::Relaxed);
                        backoff.wait().await;
                        continue;
                    }
                }
            }
            let is_behind = tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Message(announced)) => self.is_behind(&announced),
                    Some(Event::Subscribed) => true,
                    None => return,
                },
                _ = every.tick() => true,
            };
            self.needs_resync.fetch_or(is_behind, Ordering::Relaxed);
        }
    }

    /// Returns whether something is announced that was not read yet.
    fn is_behind(&self, announced: &[u8]) -> bool {
        let Some(alerts) = self.alerts.upgrade() else { return false };
        let announced: Option<i64> = std::str::from_utf8(announced).ok().and_then(|text| text.parse().ok());
        announced.is_none() || announced > alerts.news().seq
    }

    async fn read(&self) -> Result<(), sqlx::Error> {
        let Some(seq) = self.alerts.upgrade().map(|alerts| alerts.news().seq) else { return Ok(()) };
        // One statement: open incidents and news must be of the same moment.
        let reading = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {TIMELINE} AS timeline, (SELECT coalesce(max(seq), 0) FROM alert_changes) AS seq, \
                    (SELECT count(*) FROM alerts WHERE resolved_at IS NULL) AS open_total, \
                    ARRAY(SELECT alert_document(a)::text FROM alerts a WHERE resolved_at IS NULL \
                           ORDER BY opened_at DESC, alert_id DESC LIMIT $2) AS open, \
                    ARRAY(SELECT change_document(c)::text FROM alert_changes c WHERE seq > $1 \
                           ORDER BY seq DESC LIMIT $3) AS changes"
        )))
        .bind(seq)
        .bind(MAX_OPEN)
        .bind(KEPT as i64)
        .fetch_one(&self.database);
        let reading: Reading = answer(reading).await?;
        let Some(alerts) = self.alerts.upgrade() else { return Ok(()) };
        if alerts.take(&reading)? {
            alerts.told.send_modify(|readings| *readings += 1);
            alerts.subscribers.tell().await;
        }
        Ok(())
    }
}

/// One session that is told the news.
pub(in crate::live) struct Watcher {
    alerts: Arc<Alerts>,
    /// The last news that it was told; `None` before the first message.
    told: Option<Told>,
}

impl Watcher {
    pub(in crate::live) fn new(alerts: Arc<Alerts>) -> Self {
        Self { alerts, told: None }
    }
}

impl Source for Watcher {
    fn subscribers(&self) -> &Subscribers {
        &self.alerts.subscribers
    }

    fn waits(&self, _now_ms: i64) -> bool {
        false
    }

    fn is_exceeded(&self) -> bool {
        self.alerts.in_flight.is_exceeded()
    }

    fn frames(&mut self, id: u32, _now_ms: i64, frames: &mut Vec<Frame>) -> Result<(), End> {
        let (news, told) = self.alerts.next(id, self.told).ok_or(End::TOO_SLOW)?;
        frames.extend(news);
        self.told = told;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::alerts::News as What;

    use super::*;
    use crate::live::wire::frame::tests::incident;

    fn change(seq: i64) -> Change {
        let alert = Alert { version: seq, ..incident() };
        Change { seq, change: What::Opened, changed_at: String::new(), alert }
    }

    fn alerts() -> Alerts {
        Alerts {
            news: Mutex::default(),
            subscribers: Subscribers::default(),
            told: watch::Sender::default(),
            in_flight: InFlight::default(),
            _stop: CancellationToken::new().drop_guard(),
        }
    }

    fn text(frame: &Frame) -> String {
        serde_json::to_string(&frame.message()).unwrap()
    }

    fn told(seq: i64) -> Option<Told> {
        Some(Told { timeline: 0, seq })
    }

    /// The number of frames, and the number up to which the session is told then.
    fn news_after(alerts: &Alerts, seq: Option<i64>) -> Option<(usize, Option<i64>)> {
        alerts.next(1, seq.and_then(told)).map(|(frames, told)| (frames.len(), told.map(|told| told.seq)))
    }

    fn read_up_to(alerts: &Alerts, seqs: std::ops::RangeInclusive<i64>) {
        let seq = *seqs.end();
        alerts.news().take(seq, seqs.map(change).collect(), &alerts.in_flight);
    }

    #[test]
    fn each_piece_is_told_once_and_in_order_after_a_snapshot() {
        let alerts = alerts();
        assert_eq!(news_after(&alerts, None), Some((0, None)), "nothing before the database was read");
        alerts.news().take(7, vec![], &alerts.in_flight);
        let (frames, told) = alerts.next(1, None).unwrap();
        assert!(text(&frames[0]).contains(r#""type":"alerts""#));
        assert_eq!((frames.len(), told), (1, Some(Told { timeline: 0, seq: 7 })));
        read_up_to(&alerts, 8..=10);
        let (frames, told) = alerts.next(1, told).unwrap();
        assert_eq!((frames.len(), told), (3, Some(Told { timeline: 0, seq: 10 })));
        for (frame, seq) in frames.iter().zip(8..) {
            assert!(text(frame).contains(&format!(r#""seq":{seq}"#)), "{}", text(frame));
        }
        assert_eq!(news_after(&alerts, Some(10)), Some((0, Some(10))));
        alerts.news().take(0, vec![], &alerts.in_flight);
        assert_eq!(news_after(&alerts, Some(10)), Some((0, Some(10))), "the log has forgotten, we have not");
    }

    #[test]
    fn on_another_timeline_everybody_begins_with_what_is_open() {
        let alerts = alerts();
        let reading = |timeline, seq| Reading { timeline, seq, open_total: 0, open: vec![], changes: vec![] };
        alerts.take(&reading(1, 20)).unwrap();
        let (_, told) = alerts.next(1, None).unwrap();
        assert!(alerts.take(&reading(2, 15)).unwrap(), "whoever watches is told");
        let (frames, told) = alerts.next(1, told).unwrap();
        assert!(frames.len() == 1 && text(&frames[0]).contains(r#""type":"alerts""#));
        assert_eq!(told, Some(Told { timeline: 2, seq: 15 }), "numbers begin anew");
        read_up_to(&alerts, 16..=17);
        assert_eq!(alerts.next(1, told).map(|(frames, _)| frames.len()), Some(2));
    }

    #[test]
    fn who_is_too_slow_must_come_back() {
        let alerts = alerts();
        alerts.news().take(0, vec![], &alerts.in_flight);
        for seq in 1..=KEPT as i64 {
            read_up_to(&alerts, seq..=seq);
        }
        assert_eq!(alerts.next(1, told(0)).unwrap().0.len(), KEPT);
        read_up_to(&alerts, KEPT as i64 + 1..=KEPT as i64 + 1);
        assert!(alerts.next(1, told(0)).is_none());
        assert_eq!(alerts.next(1, told(1)).unwrap().0.len(), KEPT);
        // More at once than are kept: the oldest were not even read.
        read_up_to(&alerts, 5_001..=5_000 + KEPT as i64);
        assert!(alerts.next(1, told(4_999)).is_none());
        assert_eq!(alerts.next(1, told(5_000)).unwrap().0.len(), KEPT);
    }
}
