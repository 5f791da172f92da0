//! A place among the live sessions: taken, counted, and given back however the session ends.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OwnedSemaphorePermit;

use crate::{AppState, Sessions, error::Error, limits::customer};

/// When somebody with too many sessions may try again.
const AGAIN: Duration = Duration::from_secs(5);

/// One of the places that a server has.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _address: Held<IpAddr>,
}

impl Place {
    /// A place for a client, unless all are taken, it has too many, comes too often, or the server goes away.
    pub(crate) fn take(state: &AppState, client: IpAddr) -> Result<Self, Error> {
        let Sessions { stop, permits, by_address, .. } = &state.sessions;
        if stop.is_cancelled() {
            return Err(Error::Full);
        }
        let left = state.addresses.spend(client)?;
        let address = by_address.take(customer(client)).ok_or_else(|| {
            metrics::counter!("clickwire_limited_total", "by" => "sessions").increment(1);
            Error::TooMany { left, retry_after: AGAIN }
        })?;
        let permit = Arc::clone(permits).try_acquire_owned().map_err(|_| Error::Full)?;
        metrics::gauge!("clickwire_live_sessions").increment(1);
        Ok(Self { _permit: permit, _address: address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("clickwire_live_sessions").decrement(1);
    }
}

/// How many sessions each client or account has; only those that have some are in it.
#[derive(Clone)]
pub(crate) struct Shares<K> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    max: usize,
}

impl<K: Eq + Hash + Copy> Shares<K> {
    /// Each may have so many.
    pub(crate) fn new(max: usize) -> Self {
        Self { held: Arc::default(), max }
    }

    /// One more, if it may have it.
    pub(super) fn take(&self, whose: K) -> Option<Held<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(whose).or_default();
        // Somebody who is new here has none, and may have one.
        (*count < self.max).then(|| {
            *count += 1;
            Held { all: self.clone(), whose }
        })
    }
}

/// One session of a client or account.
pub(super) struct Held<K: Eq + Hash> {
    all: Shares<K>,
    whose: K,
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut held = self.all.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_and_what_it_gives_back_is_forgotten() {
        let all = Shares::new(2);
        let (first, second) = (all.take("one"), all.take("one"));
        assert!(first.is_some() && second.is_some() && all.take("one").is_none());
        assert!(all.take("other").is_some());
        drop(first);
        assert!(all.take("one").is_some());
        drop(second);
        assert!(all.held.lock().unwrap().is_empty());
    }
}
