//! The transaction that counts: ledger and buckets together, or not at all.
//!
//! For the batches of one or more partitions, in one transaction:
//! 1. a lock on each partition, so that commits for it are serialised whoever makes them ([`locks`]);
//! 2. which ids does the ledger know already, under whatever time ([`clicks`]);
//! 3. insert the others, with the verdict that each has by itself, and ask which of them may be seen
//!    beside others by a rule ([`candidates`]);
//! 4. a lock on the deployment: from here on commits of all partitions follow each other, so of
//!    two clicks that convict each other the later commit sees both;
//! 5. ask the rules that see clicks beside each other, about candidates and what these change of
//!    older ones ([`duplicates`], [`velocity`]); rewrite verdicts, record adjustments, and open or
//!    update the incidents of those who click too fast ([`bursts`]);
//! 6. add exactly what was inserted and moved to the minute buckets ([`minutes`]), and the users of
//!    what was inserted to the sketches of unique users ([`uniques`]);
//! 7. advance the partitions' watermarks ([`watermark`]).
//!
//! A verdict is thus a function of the ledger's set of clicks, never of the order or the batches in
//! which they came. Keys are sorted wherever rows are written, because two writers on the same keys
//! in different order deadlock.

mod bursts;
mod candidates;
mod clicks;
mod copy;
mod duplicates;
mod entry;
mod stored;
pub(crate) mod velocity;

use std::{
    collections::{BTreeMap, HashSet},
    slice,
    time::Duration,
};

use clickwire_process::failpoint;
use clickwire_protocol::{
    counts::{Counts, MinuteCell},
    finality,
    ids::AdvertiserId,
    rules::Rule,
    stream::Names,
    times::UnixMs,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub(crate) use self::entry::Entry;
use self::{
    bursts::Bursts,
    candidates::Candidates,
    entry::{Name, RowKey},
    stored::StoredClick,
};
use crate::{
    Received, at, incidents,
    judge::{Judge, Verdict},
    locks::{self, lock, lock_soon},
    minutes::{self, CellKey},
    rules::Rules,
    schema::FROZEN_AFTER,
    stages::{Stage, Stopwatch},
    uniques, watermark,
};

/// A transaction that takes longer is given up and tried again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause inside a transaction that a slow host is granted.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Settings of a deployment that the ledger must know; the same for every program of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Locks are named after the stream.
    pub names: Names,
    /// The number of partitions; from 1 to 256.
    pub partitions: u16,
    /// The longest delay with which a click may come and still be counted.
    pub horizon: Duration,
}

/// Clicks of one partition that are counted together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The partition's number, counted from 0.
    pub partition: u16,
    /// What was received on it.
    pub clicks: Vec<Received>,
}

/// The writer of batches.
pub struct Ledger {
    database: PgPool,
    judge: Judge,
    settings: Settings,
    /// The longest pause inside a transaction before the database takes the process for frozen. A host that is
    /// merely slow gets more time with each transaction that it loses, or it would never come to an end.
    pause: Duration,
}

/// The way in which a transaction takes the locks of its partitions.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// It waits for them.
    Waits,
    /// It is given up if they are not free soon.
    Soon,
}

/// The end of a transaction.
enum Attempt {
    Committed(Committed),
    /// Nothing is counted, for the ledger has changed meanwhile: to be tried again.
    Overtaken,
    /// Nothing is counted, for another process has a partition's lock.
    NotFree,
}

/// The result of a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Clicks that were new.
    pub counted: usize,
    /// The others: clicks that the ledger knew, or that stand in the batches more than once.
    pub known: usize,
    /// Earlier clicks whose disposition changed.
    pub adjusted: usize,
    /// Buckets of final minutes that changed.
    pub corrections: usize,
    /// The buckets that the batches touched, as they are now, by advertiser.
    pub cells: BTreeMap<AdvertiserId, Vec<MinuteCell>>,
}

impl Ledger {
    /// A writer. Nothing is asked of the database yet.
    pub fn new(database: PgPool, settings: Settings) -> Self {
        Self { database, judge: Judge::new(settings.horizon), settings, pause: FROZEN_AFTER }
    }

    /// Counts a batch, when it is its partition's turn. After an error nothing of it is counted; a commit whose answer
    /// was lost may have happened, which the next attempt finds out from the ledger.
    ///
    /// # Errors
    /// What the database says. SQLSTATE classes 22, 23 and 54 are about the content of a click; anything else
    /// may be tried again with the same batch.
    pub async fn commit(&mut self, batch: &Batch) -> Result<Committed, sqlx::Error> {
        loop {
            if let Some(committed) = self.run(slice::from_ref(batch), Turn::Waits).await? {
                return Ok(committed);
            }
        }
    }

    /// Counts batches of different partitions, which stand in the partitions' order, in one transaction; `None`, and
    /// nothing is counted, if another process has one of the partitions' locks for longer than a moment.
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub async fn commit_together(&mut self, batches: &[Batch]) -> Result<Option<Committed>, sqlx::Error> {
        debug_assert!(batches.is_sorted_by_key(|batch| batch.partition), "or two transactions deadlock");
        self.run(batches, Turn::Soon).await
    }

    /// `None` if the partitions' turn does not come soon, where that is asked for.
    async fn run(&mut self, batches: &[Batch], turn: Turn) -> Result<Option<Committed>, sqlx::Error> {
        let committed = async {
            loop {
                match self.transaction(batches, turn).await? {
                    Attempt::Committed(committed) => return Ok(Some(committed)),
                    Attempt::Overtaken => {}
                    Attempt::NotFree => return Ok(None),
                }
            }
        };
        let outcome = tokio::time::timeout(COMMIT_TIMEOUT, committed)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        match &outcome {
            Ok(_) => self.pause = (self.pause / 2).max(FROZEN_AFTER),
            Err(error) if locks::is_pause(error) => self.pause = (self.pause * 2).min(LONGEST_PAUSE),
            Err(_) => {}
        }
        outcome
    }

    async fn transaction(&mut self, batches: &[Batch], turn: Turn) -> Result<Attempt, sqlx::Error> {
        failpoint::reached("before_transaction");
        let mut stopwatch = Stopwatch::start();
        let mut transaction = self.database.begin().await?;
        if self.pause > FROZEN_AFTER {
            let pause = format!("{}ms", self.pause.as_millis());
            sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
                .bind(pause)
                .execute(&mut *transaction)
                .await?;
        }
        let locks = batches.iter().map(|batch| self.settings.names.partition_lock(batch.partition));
        match turn {
            Turn::Waits => {
                for partition in locks {
                    lock(&mut transaction, partition).await?;
                }
            }
            Turn::Soon if !lock_soon(&mut transaction, locks).await? => return Ok(Attempt::NotFree),
            Turn::Soon => {}
        }
        stopwatch.ended(Stage::Lock);
        let rules = Rules::load(&mut transaction).await?;
        let entries = self.examine(batches, &rules);
        stopwatch.ended(Stage::Examine);
        let known = clicks::known(&mut transaction, &entries, self.settings.horizon).await?;
        stopwatch.ended(Stage::LookUp);
        let unknown: Vec<&Entry<'_>> =
            entries.iter().filter(|(name, _)| !known.contains(*name)).map(|(_, entry)| entry).collect();
        let Some(fresh) = clicks::insert(&mut transaction, unknown).await? else {
            return Ok(Attempt::Overtaken);
        };
        failpoint::reached("clicks_inserted");
        stopwatch.ended(Stage::Insert);
        let mut changes: BTreeMap<CellKey, Counts> = BTreeMap::new();
        for entry in &fresh {
            changes.entry(entry.cell()).or_default().record(entry.verdict.disposition);
        }
        let mut candidates = candidates::find(&mut transaction, &fresh, &rules).await?;
        stopwatch.ended(Stage::Candidates);
        lock(&mut transaction, self.settings.names.deployment_lock()).await?;
        stopwatch.ended(Stage::Queue);
        candidates.add_from_others(&mut transaction, &fresh, &rules).await?;
        let adjusted = reconsider(&mut transaction, &fresh, &candidates, &rules, &mut changes).await?;
        stopwatch.ended(Stage::Judge);

        // Before the watermark advances: what was final when this batch came.
        let watermark = watermark::of_deployment(&mut *transaction, self.settings.partitions).await?;
        let final_before = watermark.map_or(UnixMs(i64::MIN), finality::final_before);
        let corrections =
            changes.keys().filter(|&&(_, minute, _)| finality::is_final(minute, final_before)).count();
        let mut cells = minutes::add(&mut transaction, &changes).await?;
        stopwatch.ended(Stage::Minutes);
        uniques::add(&mut transaction, &fresh).await?;
        // What was known may not have been published: the crash that redelivered it may have come
        // between commit and publish.
        let untouched: HashSet<CellKey> = entries
            .values()
            .filter(|entry| known.contains(&entry.name()))
            .map(Entry::cell)
            .filter(|key| !changes.contains_key(key))
            .collect();
        cells.extend(minutes::read(&mut transaction, &untouched.into_iter().collect::<Vec<_>>()).await?);
        failpoint::reached("minutes_added");
        stopwatch.ended(Stage::Uniques);
        // Last, for the row stays locked until the commit.
        let newest = batches.iter().filter_map(|batch| {
            let newest = batch.clicks.iter().map(|received| received.click.received_at_ms).max()?;
            Some((batch.partition, at(newest)))
        });
        watermark::advance(&mut transaction, &newest.collect::<Vec<_>>()).await?;
        failpoint::reached("before_commit");
        transaction.commit().await?;
        failpoint::reached("committed");
        if failpoint::is_hit("unanswered") {
            return Err(sqlx::Error::WorkerCrashed);
        }
        stopwatch.ended(Stage::Commit);

        let counted = fresh.len();
        let known = batches.iter().map(|batch| batch.clicks.len()).sum::<usize>() - counted;
        let mut committed = Committed { counted, known, adjusted, corrections, cells: BTreeMap::new() };
        for (advertiser_id, cell) in cells {
            committed.cells.entry(advertiser_id).or_default().push(cell);
        }
        Ok(Attempt::Committed(committed))
    }

    /// The batches' clicks by name; of two with one name the first counts.
    fn examine<'a>(&mut self, batches: &'a [Batch], rules: &Rules) -> BTreeMap<Name<'a>, Entry<'a>> {
        let mut entries = BTreeMap::new();
        for received in batches.iter().flat_map(|batch| &batch.clicks) {
            let name: Name<'a> = (received.click.click_id, &received.click.advertiser_id);
            entries.entry(name).or_insert_with(|| {
                let examined = self.judge.examine(&received.click, rules);
                let verdict = Verdict::alone(&examined, received.click.received_at_ms, rules);
                Entry { received, examined, verdict }
            });
        }
        entries
    }
}

/// Asks the rules that see clicks beside each other; rewrites what changes, and moves it between the
/// columns of its bucket. Returns how many earlier clicks have another disposition now.
async fn reconsider(
    connection: &mut PgConnection,
    fresh: &[&Entry<'_>],
    candidates: &Candidates,
    rules: &Rules,
    changes: &mut BTreeMap<CellKey, Counts>,
) -> Result<usize, sqlx::Error> {
    let repeated = candidates.of(Rule::Duplicate, fresh);
    let mut convictions = duplicates::find(connection, &repeated, rules).await?;
    for rule in [Rule::IpVelocity, Rule::UserVelocity] {
        convictions.extend(velocity::find(connection, rule, &candidates.of(rule, fresh), rules).await?);
    }
    let mut evidence: BTreeMap<RowKey, Vec<Rule>> = BTreeMap::new();
    for conviction in convictions {
        evidence.entry(conviction.click).or_default().push(conviction.rule);
    }
    let convicted: Vec<RowKey> = evidence.keys().cloned().collect();

    let mut standing = stored::read(connection, &convicted).await?;
    standing.sort_unstable_by(|one, other| one.key().cmp(&other.key()));
    let mut bursts = Bursts::default();
    standing.retain_mut(|click| {
        let before = click.evidence;
        evidence.remove(&click.row_key()).into_iter().flatten().for_each(|rule| click.evidence.add(rule));
        bursts.note(click, before);
        click.evidence != before
    });
    let rewritten: Vec<(&StoredClick, Verdict)> =
        standing.iter().map(|click| (click, click.verdict(rules))).collect();
    stored::rewrite(connection, &rewritten).await?;
    incidents::observe(connection, &bursts.observations()).await?;

    let is_fresh: HashSet<(Uuid, UnixMs, &AdvertiserId)> = fresh
        .iter()
        .map(|entry| (entry.click().click_id, entry.examined.counted_at_ms, &entry.click().advertiser_id))
        .collect();
    let mut adjusted = Vec::new();
    for &(click, verdict) in
        rewritten.iter().filter(|(click, verdict)| click.disposition != verdict.disposition)
    {
        let counts = changes.entry(click.cell.clone()).or_default();
        counts.withdraw(click.disposition);
        counts.record(verdict.disposition);
        // Nobody has seen what this very batch was counted as.
        if !is_fresh.contains(&click.key()) {
            adjusted.push((click, verdict));
        }
    }
    stored::adjust(connection, &adjusted).await?;
    Ok(adjusted.len())
}
