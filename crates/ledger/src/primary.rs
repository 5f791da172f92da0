//! The hosts of a database, and the one of them that can write: the primary.
//!
//! An address names one host or several, as libpq's do (PostgreSQL, 32.1.1.3):
//! `postgres://user:password@a:5432,b:5432/name`. A task asks each of them every second whether it is in recovery. The
//! primary is the one that is not; of two, the one of the higher timeline, for a promotion begins a new one. A pool
//! has connections to that host on that timeline alone; those from before end when they come back to it.
//!
//! Of several hosts none on a lower timeline is gone back to: one that was the primary, and is started again beside the
//! one that was promoted, says that it can write. One address may move, or get another database: it is believed.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// The longest time for a connection of its own.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Time between two questions to the hosts.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Rounds after which one address is asked over a new connection: it may have moved from a host that lives on.
const ROUNDS_OF_AN_ADDRESS: u32 = 5;

/// The longest time that a host may take to answer, a connection made first.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The wait before a pool that has met another host tries again: it would try, and say so, a hundred times a second.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The longest time for which a program goes on with a host that is the primary no longer, if it reaches the new one.
pub const LEFT_WITHIN: Duration = Duration::from_secs(9);

/// The longest time that a connection that comes back to the pool may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// SQL for the timeline of the host that answers; 0 if it stands by. Just after a promotion the control file, which
/// `pg_control_checkpoint()` reads, still tells the one before.
pub const TIMELINE: &str = "CASE WHEN pg_is_in_recovery() THEN 0 \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END";

/// SQL for whether a commit is acknowledged only when a standby has it.
const WAITS: &str = "current_setting('synchronous_standby_names') <> '' \
     AND current_setting('synchronous_commit') NOT IN ('off', 'local')";

/// The host that can write.
#[derive(Clone, Copy, Debug)]
pub struct Primary {
    /// Its timeline (PostgreSQL, 25.3.6): one more with each promotion.
    pub timeline: i64,
    /// Others stand by, and a commit is acknowledged without one of them having it.
    pub is_alone: bool,
    host: usize,
    /// The time at which this one was found; connections from before lead elsewhere. `None`: there was no other.
    since: Option<Instant>,
}

impl Primary {
    fn is_same(&self, other: &Self) -> bool {
        (self.host, self.timeline) == (other.host, other.timeline)
    }

    /// Refuses a connection to another host, or to this one on another timeline.
    async fn require(
        known: watch::Receiver<Option<Self>>,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let timeline = timeout(ANSWER_WITHIN, timeline(connection)).await;
        let timeline = timeline.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        // What is known by now, not before it was asked.
        let why = match *known.borrow() {
            _ if timeline == 0 => "it stands by",
            Some(known) if known.timeline != timeline => "it is on another timeline than the primary",
            Some(_) | None => return Ok(()),
        };
        sleep(TRY_AGAIN).await;
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, why)))
    }
}

/// Sends a pool to another host.
type Move = Box<dyn Fn(&PgConnectOptions) + Send>;

/// A database of one host or several. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    hosts: Vec<PgConnectOptions>,
    primary: watch::Sender<Option<Primary>>,
    moves: Mutex<Vec<Move>>,
    follower: OnceLock<()>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The addresses hold passwords.
        f.debug_tuple("Database").field(&self.0.hosts.len()).finish()
    }
}

impl Database {
    /// Reads an address, and asks once which of several hosts is the primary. There may be none, yet.
    ///
    /// # Errors
    /// `url` can't be read.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        let database = Self::at(url)?;
        if database.0.hosts.len() > 1 {
            let mut connections: Vec<_> = database.0.hosts.iter().map(|_| None).collect();
            database.0.learn(&database.0.ask_all(&mut connections).await);
        }
        Ok(database)
    }

    /// Reads an address; nothing is connected to yet.
    fn at(url: &str) -> Result<Self, sqlx::Error> {
        let quiet = |options: PgConnectOptions| {
            options.application_name("clickwire").log_slow_statements(log::LevelFilter::Off, Duration::ZERO)
        };
        let hosts = addresses(url).iter().map(|url| url.parse().map(quiet)).collect::<Result<_, _>>()?;
        let primary = watch::Sender::new(None);
        let (moves, follower) = (Mutex::default(), OnceLock::new());
        Ok(Self(Arc::new(Inner { hosts, primary, moves, follower })))
    }

    /// A pool that connects to the primary when first used, with `configure`'s options.
    pub fn pool(
        &self,
        options: PgPoolOptions,
        configure: impl Fn(PgConnectOptions) -> PgConnectOptions + Send + 'static,
    ) -> PgPool {
        let (known, used) = (self.0.primary.subscribe(), self.0.primary.subscribe());
        // Whoever moves pools waits for this one.
        let mut moves = self.0.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let host = self.0.primary.borrow().map_or(0, |primary| primary.host);
        let pool = options
            .after_connect(move |connection, _| Box::pin(Primary::require(known.clone(), connection)))
            // The pool's own test comes first, and has no limit.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let since = used.borrow().and_then(|primary| primary.since);
                let is_present = since.is_none_or(|since| meta.age < since.elapsed());
                Box::pin(async move { Ok(is_present && is_alive(connection).await.is_ok()) })
            })
            .after_release(|connection, _| Box::pin(is_alive(connection)))
            .connect_lazy_with(configure(self.0.hosts[host].clone()));
        let moved = pool.clone();
        moves.push(Box::new(move |host| moved.set_connect_options(configure(host.clone()))));
        drop(moves);
        self.0.follower.get_or_init(|| drop(tokio::spawn(Arc::clone(&self.0).follow())));
        pool
    }

    /// A pool that connects to the host when first used, whether it can write or not; of several hosts to the primary.
    pub fn pool_to_read(
        &self,
        options: PgPoolOptions,
        configure: impl Fn(PgConnectOptions) -> PgConnectOptions + Send + 'static,
    ) -> PgPool {
        match self.0.hosts.as_slice() {
            [host] => options
                .after_release(|connection, _| Box::pin(is_alive(connection)))
                .connect_lazy_with(configure(host.clone())),
            _ => self.pool(options, configure),
        }
    }

    /// A connection of its own to the primary.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let host = self.0.primary.borrow().map_or(0, |primary| primary.host);
        let connected = timeout(CONNECT_WITHIN, async {
            let mut connection = PgConnection::connect_with(&self.0.hosts[host]).await?;
            Primary::require(self.primary(), &mut connection).await?;
            Ok(connection)
        });
        connected.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// The primary as last seen, and what becomes of it.
    pub fn primary(&self) -> watch::Receiver<Option<Primary>> {
        self.0.primary.subscribe()
    }
}

/// Waits until the primary is another one: than the one on `timeline`, if that is known, or else than the first that
/// is seen.
///
/// Where a connection in use leads to a host that is frozen, nothing else ends what waits for its answer.
pub async fn is_replaced(primary: &mut watch::Receiver<Option<Primary>>, timeline: Option<i64>) {
    let (mut timeline, mut host) = (timeline, None);
    loop {
        if let Some(now) = *primary.borrow_and_update() {
            if timeline.is_some_and(|known| known != now.timeline)
                || host.is_some_and(|known| known != now.host)
            {
                return;
            }
            (timeline, host) = (Some(now.timeline), Some(now.host));
        }
        if primary.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

impl Inner {
    /// Asks the hosts again and again.
    async fn follow(self: Arc<Self>) {
        let mut connections: Vec<Option<PgConnection>> = self.hosts.iter().map(|_| None).collect();
        let mut every = tokio::time::interval(ASK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut answered = vec![true; self.hosts.len()];
        for round in 0_u32.. {
            every.tick().await;
            if let [of_an_address] = connections.as_mut_slice()
                && round.is_multiple_of(ROUNDS_OF_AN_ADDRESS)
            {
                *of_an_address = None;
            }
            let said = self.ask_all(&mut connections).await;
            for (host, (said, answered)) in said.iter().zip(&mut answered).enumerate() {
                // What becomes of an only host is told by whoever needs it.
                if said.is_some() != std::mem::replace(answered, said.is_some()) && self.hosts.len() > 1 {
                    let (host, answers) = (self.name(host), said.is_some());
                    tracing::warn!(host, answers, "whether a host of the database answers has changed");
                }
            }
            self.learn(&said);
        }
    }

    fn name(&self, host: usize) -> String {
        format!("{}:{}", self.hosts[host].get_host(), self.hosts[host].get_port())
    }

    /// Asks each host for its timeline, and whether commits wait for a standby; `None`: it does not answer.
    async fn ask_all(&self, connections: &mut [Option<PgConnection>]) -> Vec<Option<(i64, bool)>> {
        let asked = connections.iter_mut().zip(&self.hosts).map(async |(connection, host)| {
            // What does not answer in time is left with its question.
            let mut used = connection.take();
            let state = timeout(ANSWER_WITHIN, ask(&mut used, host)).await.ok()?.ok()?;
            *connection = used;
            Some(state)
        });
        join_all(asked).await
    }

    /// Takes what the hosts said: their timelines, and whether commits wait for a standby.
    fn learn(&self, said: &[Option<(i64, bool)>]) {
        let known = *self.primary.borrow();
        let Some((host, timeline, waits)) = choose(said, known.as_ref()) else { return };
        let is_alone = said.len() > 1 && !waits;
        let since = (said.len() > 1 || known.is_some()).then(Instant::now);
        let found = Primary { timeline, is_alone, host, since };
        let is_same = known.is_some_and(|known| known.is_same(&found));
        if !is_same {
            let moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
            moves.iter().for_each(|to| to(&self.hosts[host]));
            if let Some(known) = known {
                let (before, now) = (self.name(known.host), self.name(host));
                tracing::warn!(before, now, timeline, "the database has another primary");
            }
            self.primary.send_replace(Some(found));
        } else if known.is_some_and(|known| known.is_alone != is_alone) {
            self.primary.send_modify(|primary| {
                if let Some(primary) = primary {
                    primary.is_alone = is_alone;
                }
            });
        }
    }
}

/// Chooses the primary: of those that can write the one of the highest timeline, the one that is known before others.
/// Of several, none on a timeline lower than what is known.
fn choose(said: &[Option<(i64, bool)>], known: Option<&Primary>) -> Option<(usize, i64, bool)> {
    let at_least = known.filter(|_| said.len() > 1).map_or(1, |known| known.timeline);
    let is_known = |host: usize| known.is_some_and(|known| known.host == host);
    said.iter()
        .enumerate()
        .filter_map(|(host, said)| said.map(|(timeline, waits)| (host, timeline, waits)))
        .filter(|(_, timeline, _)| *timeline >= at_least)
        .max_by_key(|(host, timeline, _)| (*timeline, is_known(*host), std::cmp::Reverse(*host)))
}

/// The timeline of the host that a connection leads to; 0 if it stands by.
///
/// # Errors
/// What the database says.
pub async fn timeline(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    // What is prepared would be each connection's for ever.
    let sql = AssertSqlSafe(format!("SELECT {TIMELINE}"));
    sqlx::query_scalar(sql).persistent(false).fetch_one(connection).await
}

/// Asks a host for its state.
async fn ask(
    connection: &mut Option<PgConnection>,
    host: &PgConnectOptions,
) -> Result<(i64, bool), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(PgConnection::connect_with(host).await?),
    };
    sqlx::query_as(AssertSqlSafe(format!("SELECT {TIMELINE}, {WAITS}"))).fetch_one(connection).await
}

/// Returns whether a connection of a pool still answers. The pool's own test has no limit: it would hold the place of a
/// connection for ever whose other end is gone without a word.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    timeout(PING_TIMEOUT, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(true)
}

/// The address of each host that an address names.
fn addresses(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let at = if login.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| format!("{scheme}://{login}{at}{host}{path}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_host_or_several() {
        for (url, expected) in [
            ("postgres://a", &["postgres://a"][..]),
            (
                "postgres://u:p,w@a:1,b/n?sslmode=require",
                &["postgres://u:p,w@a:1/n?sslmode=require", "postgres://u:p,w@b/n?sslmode=require"],
            ),
            (
                "postgres://u@[::1]:1,[::2]:2?host=x,y",
                &["postgres://u@[::1]:1?host=x,y", "postgres://u@[::2]:2?host=x,y"],
            ),
            ("nothing", &["nothing"]),
        ] {
            assert_eq!(addresses(url), expected, "{url}");
        }
        assert!(
            Database::at("postgres://u:secret@a,b/n").is_ok_and(|read| format!("{read:?}") == "Database(2)")
        );
        assert!(Database::at("nothing").is_err() && Database::at("postgres://a,b:x/n").is_err());
    }

    #[test]
    fn the_primary_is_the_host_that_can_write_of_the_highest_timeline() {
        let known = |host, timeline| Primary { timeline, is_alone: false, host, since: None };
        for (said, before, expected) in [
            ([Some(1), Some(0)], None, Some(0)),
            ([Some(0), Some(1)], None, Some(1)),
            ([Some(0), Some(0)], None, None),
            ([None, None], Some(known(0, 1)), None),
            ([Some(1), Some(2)], Some(known(0, 1)), Some(1)),
            // The one before is there again, and the new one is not: neither is it.
            ([Some(1), None], Some(known(1, 2)), None),
            ([Some(1), Some(2)], Some(known(1, 2)), Some(1)),
            ([Some(3), Some(3)], Some(known(1, 3)), Some(1)),
            ([Some(3), Some(3)], None, Some(0)),
        ] {
            let states: Vec<_> = said.iter().map(|said| said.map(|timeline| (timeline, true))).collect();
            assert_eq!(choose(&states, before.as_ref()).map(|(host, ..)| host), expected, "{said:?}");
        }
        // Behind one address there may be another database: restored, or of another version of PostgreSQL.
        assert_eq!(choose(&[Some((1, true))], Some(&known(0, 5))), Some((0, 1, true)));
        assert_eq!(choose(&[Some((0, true))], Some(&known(0, 5))), None);
    }
}
