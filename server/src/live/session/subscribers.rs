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

use crate::live::session::connection::Connection;

/// Sessions that are told in a row, before others on this thread have their turn.
const AT_A_TIME: usize = 64;

/// Sessions that one core tells. Of more, every core takes a part: a millisecond's work is worth waking another one.
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
    pub(in crate::live) async fn tell(&self) -> bool {
        let mut connections: Vec<_> =
            self.lock().values().filter_map(|subscriber| subscriber.connection.upgrade()).collect();
        let now_ms = now_ms();
        let cores = connections.len().div_ceil(OF_A_CORE).clamp(1, Handle::current().metrics().num_workers());
        let share = connections.len().div_ceil(cores);
        let mut others = JoinSet::new();
        while connections.len() > share {
            others.spawn(tell(connections.split_off(connections.len() - share), now_ms));
        }
        let later = tell(connections, now_ms).await;
        others.join_all().await.into_iter().fold(later, |later, one| later | one)
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
        thread::{self, ThreadId},
        time::Duration,
    };

    use super::*;
    use crate::live::{
        session::{Source, end::End},
        wire::{frame::Frame, socket::tests::pair},
    };

    /// Threads that have told something, and how often anybody was told.
    type Told = Arc<Mutex<(HashSet<ThreadId>, usize)>>;

    /// News that takes as long as a write.
    struct News(Subscribers, Told);

    impl Source for News {
        fn subscribers(&self) -> &Subscribers {
            &self.0
        }

        fn waits(&self, _: i64) -> bool {
            false
        }

        fn is_exceeded(&self) -> bool {
            false
        }

        fn frames(&mut self, _: u32, _: i64, _: &mut Vec<Frame>) -> Result<(), End> {
            thread::sleep(Duration::from_micros(100));
            let mut told = self.1.lock().unwrap();
            told.0.insert(thread::current().id());
            told.1 += 1;
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn many_are_told_by_every_core_and_each_once() {
        let (subscribers, told) = (Subscribers::default(), Told::default());
        let mut open = Vec::new();
        for (sessions, cores) in [(0, 0), (1, 1), (OF_A_CORE, 1), (OF_A_CORE + 1, 2)] {
            while open.len() < sessions {
                let (socket, client) = pair().await;
                let connection = Arc::new(Connection::new(socket, metrics::Counter::noop()));
                assert!(
                    connection.subscribe(1, Box::new(News(subscribers.clone(), Arc::clone(&told)))).is_ok()
                );
                open.push((connection, client));
            }
            *told.lock().unwrap() = Default::default();
            assert!(!subscribers.tell().await);
            let (threads, times) = std::mem::take(&mut *told.lock().unwrap());
            assert_eq!(times, sessions, "each is told once");
            // A part may go on on another thread after a pause.
            assert!(
                threads.len() >= cores && (cores > 1 || threads.len() == cores),
                "{sessions}: {threads:?}"
            );
        }
    }
}
