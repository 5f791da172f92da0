//! Sessions that are told by a source of news.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use clickwire_process::now_ms;
use tokio::{
    runtime::Handle,
    task::{JoinSet, yield_now},
};
use tracing::Instrument as _;

use crate::live::session::connection::Connection;

/// Sessions that are told in a row, before others on this thread have their turn.
const AT_A_TIME: usize = 64;

/// Sessions that one core tells. Of more, others take parts: a millisecond's work is worth waking another core.
const OF_A_CORE: usize = 256;

/// The sessions that listen to one feed, or to the news about incidents.
#[derive(Clone, Default)]
pub(in crate::live) struct Subscribers(Arc<Mutex<HashMap<usize, Subscriber>>>);

struct Subscriber {
    connection: Weak<Connection>,
    subscriptions: usize,
}

/// A guard that is held for as long as a subscription listens.
pub(in crate::live) struct SubscriberGuard {
    subscribers: Subscribers,
    key: usize,
}

impl Subscribers {
    /// Adds one more subscription of a session.
    pub(in crate::live) fn add(&self, connection: &Arc<Connection>) -> SubscriberGuard {
        // No other has this address for as long as there is a weak reference to it.
        let key = Arc::as_ptr(connection).addr();
        let new = || Subscriber { connection: Arc::downgrade(connection), subscriptions: 0 };
        self.lock().entry(key).or_insert_with(new).subscriptions += 1;
        SubscriberGuard { subscribers: self.clone(), key }
    }

    /// Tells every session what it has not been told; returns whether one wants to be told later.
    ///
    /// Many are told by several cores. The first few are told alone, and what they are told is encoded with them: the
    /// other parts would wait for it on their threads.
    pub(in crate::live) async fn tell(&self) -> bool {
        let mut connections: Vec<_> =
            self.lock().values().filter_map(|subscriber| subscriber.connection.upgrade()).collect();
        let now_ms = now_ms();
        let cores = connections.len().div_ceil(OF_A_CORE).min(Handle::current().metrics().num_workers());
        if cores < 2 {
            return tell(connections, now_ms).await;
        }
        let later = tell(connections.split_off(connections.len() - AT_A_TIME), now_ms).await;
        let share = connections.len().div_ceil(cores);
        let mut parts = JoinSet::new();
        while !connections.is_empty() {
            let part = connections.split_off(connections.len().saturating_sub(share));
            parts.spawn(tell(part, now_ms).in_current_span());
        }
        // The thread that waits here takes the part that was spawned last; idle ones take the others.
        parts.join_all().await.into_iter().fold(later, |later, one| later | one)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Subscriber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells sessions one after the other; returns whether one wants to be told later.
async fn tell(connections: Vec<Arc<Connection>>, now_ms: i64) -> bool {
    let mut later = false;
    for (number, connection) in (1..).zip(connections) {
        later |= connection.tell(now_ms);
        if number % AT_A_TIME == 0 {
            yield_now().await;
        }
    }
    later
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        let mut subscribers = self.subscribers.lock();
        if let Some(subscriber) = subscribers.get_mut(&self.key) {
            subscriber.subscriptions -= 1;
            if subscriber.subscriptions == 0 {
                subscribers.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicUsize, Ordering},
        thread::{self, ThreadId},
        time::Duration,
    };

    use super::*;
    use crate::live::{
        session::{Source, end::End},
        wire::{frame::Frame, socket::tests::pair},
    };

    /// Threads that have told something, and how often each session was told.
    type Told = Arc<Mutex<(HashSet<ThreadId>, HashMap<usize, usize>)>>;

    /// News for a session, by its number, that takes as long as a write; the news of one session waits.
    struct News {
        subscribers: Subscribers,
        session: usize,
        waiting: Arc<AtomicUsize>,
        told: Told,
    }

    impl Source for News {
        fn subscribers(&self) -> &Subscribers {
            &self.subscribers
        }

        fn waits(&self, _: i64) -> bool {
            self.waiting.load(Ordering::Relaxed) == self.session
        }

        fn is_exceeded(&self) -> bool {
            false
        }

        fn frames(&mut self, _: u32, _: i64, _: &mut Vec<Frame>) -> Result<(), End> {
            thread::sleep(Duration::from_micros(100));
            let mut told = self.told.lock().unwrap();
            told.0.insert(thread::current().id());
            *told.1.entry(self.session).or_default() += 1;
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_are_told_by_several_cores_and_each_once() {
        const NONE: usize = usize::MAX;
        let (subscribers, told) = (Subscribers::default(), Told::default());
        let waiting = Arc::new(AtomicUsize::new(NONE));
        let mut open = Vec::new();
        for (sessions, cores) in [(0, 0), (1, 1), (OF_A_CORE, 1), (OF_A_CORE + 1, 2)] {
            while open.len() < sessions {
                let (socket, client) = pair().await;
                let connection = Arc::new(Connection::new(socket, metrics::Counter::noop()));
                let news = News {
                    subscribers: subscribers.clone(),
                    session: open.len(),
                    waiting: Arc::clone(&waiting),
                    told: Arc::clone(&told),
                };
                assert!(connection.subscribe(1, Box::new(news)).is_ok());
                open.push((connection, client));
            }
            // Whichever part the one that waits is in: nobody knows who is told first.
            let mut threads_at_once = 0;
            for waits in [NONE, 0, 1, 2, 50, 100, 150, 200, OF_A_CORE] {
                waiting.store(waits, Ordering::Relaxed);
                *told.lock().unwrap() = Default::default();
                let listeners = subscribers.clone();
                // As feeds do, on a thread of the runtime's.
                let later = tokio::spawn(async move { listeners.tell().await }).await.unwrap();
                assert_eq!(later, waits < sessions, "{waits} of {sessions} waits");
                let (threads, times) = std::mem::take(&mut *told.lock().unwrap());
                let expected = (0..sessions).filter(|&session| session != waits).map(|session| (session, 1));
                assert_eq!(times, expected.collect(), "each is told once");
                threads_at_once = threads_at_once.max(threads.len());
            }
            assert!(threads_at_once >= cores, "{sessions} were told by {threads_at_once}");
        }
    }
}
