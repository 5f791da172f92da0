//! Sessions that are told by whoever has news for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use clickwire_process::now_ms;
use tokio::task::yield_now;

use crate::live::session::outlet::Outlet;

/// Sessions that are told in a row, before others on this thread have their turn.
const AT_A_TIME: usize = 64;

/// Those that listen to one feed, or to the news about incidents.
#[derive(Clone, Default)]
pub(in crate::live) struct Listeners(Arc<Mutex<HashMap<usize, Listener>>>);

struct Listener {
    outlet: Weak<Outlet>,
    subscriptions: usize,
}

/// Held for as long as a subscription listens.
pub(in crate::live) struct Listening {
    listeners: Listeners,
    key: usize,
}

impl Listeners {
    /// One more subscription of a session.
    pub(in crate::live) fn add(&self, outlet: &Arc<Outlet>) -> Listening {
        // No other has this address for as long as there is a weak reference to it.
        let key = Arc::as_ptr(outlet).addr();
        let new = || Listener { outlet: Arc::downgrade(outlet), subscriptions: 0 };
        self.lock().entry(key).or_insert_with(new).subscriptions += 1;
        Listening { listeners: self.clone(), key }
    }

    /// Has every session told what it has not been told; whether one wants to be told later.
    pub(in crate::live) async fn tell(&self) -> bool {
        let outlets: Vec<_> = self.lock().values().filter_map(|listener| listener.outlet.upgrade()).collect();
        let (mut later, now_ms) = (false, now_ms());
        for (number, outlet) in (1..).zip(outlets) {
            later |= outlet.tell(now_ms);
            if number % AT_A_TIME == 0 {
                yield_now().await;
            }
        }
        later
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.listeners.lock();
        if let Some(listener) = listeners.get_mut(&self.key) {
            listener.subscriptions -= 1;
            if listener.subscriptions == 0 {
                listeners.remove(&self.key);
            }
        }
    }
}
