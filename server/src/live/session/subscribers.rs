//! Sessions that are told by a source of news.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use clickwire_process::now_ms;
use tokio::task::yield_now;

use crate::live::session::connection::Connection;

/// Sessions that are told in a row, before others on this thread have their turn.
const AT_A_TIME: usize = 64;

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
        let connections: Vec<_> =
            self.lock().values().filter_map(|subscriber| subscriber.connection.upgrade()).collect();
        let (mut later, now_ms) = (false, now_ms());
        for (number, connection) in (1..).zip(connections) {
            later |= connection.tell(now_ms);
            if number % AT_A_TIME == 0 {
                yield_now().await;
            }
        }
        later
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Subscriber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
