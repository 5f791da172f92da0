//! A place among the live sessions: taken, counted, and given back however the session ends.

use std::{
    collections::HashMap,
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
    _address: Held,
}

impl Place {
    /// A place for a client, unless all are taken, it has too many, comes too often, or the server goes away.
    pub(crate) fn take(state: &AppState, client: IpAddr) -> Result<Self, Error> {
        let Sessions { stop, permits, by_address, .. } = &state.sessions;
        if stop.is_cancelled() {
            return Err(Error::Full);
        }
        let left = state.addresses.spend(client)?;
        let address = by_address.take(client).ok_or_else(|| {
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

/// How many sessions each client has; only those that have some are in it.
#[derive(Clone)]
pub(crate) struct ByAddress {
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

impl ByAddress {
    /// Each client may have so many.
    pub(crate) fn new(max: usize) -> Self {
        Self { held: Arc::default(), max }
    }

    fn take(&self, client: IpAddr) -> Option<Held> {
        let client = customer(client);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(client).or_default();
        // Somebody who is new here has none, and may have one.
        (*count < self.max).then(|| {
            *count += 1;
            Held { all: self.clone(), client }
        })
    }
}

/// One session of a client.
struct Held {
    all: ByAddress,
    client: IpAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.all.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_and_what_it_gives_back_is_forgotten() {
        let all = ByAddress::new(2);
        let take = |address: &str| all.take(address.parse().unwrap());
        let (first, second) = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        let networks = [take("2001:db8::1"), take("2001:db8::2"), take("2001:db8::3")];
        assert_eq!(networks.map(|held| held.is_some()), [true, true, false]);
        drop(first);
        assert!(take("192.0.2.1").is_some());
        drop(second);
        assert!(all.held.lock().unwrap().is_empty());
    }
}
