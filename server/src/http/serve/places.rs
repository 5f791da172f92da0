//! Places for connections: how many there are, how many an address may have, and which connection is given
//! up when a newcomer finds none.
//!
//! An address (of IPv6, a customer's network) has its share, so one client can't take all places. A
//! connection on which nothing is under way costs a client little to open again; so the one that has been
//! idle longest, of some that are looked at, is closed for a newcomer. Proxies that are trusted speak for
//! many and have no share.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{ADDRESS_PART, Limits, activity::Activity, unsent::Account};
use crate::http::{networks::Networks, rate_limit::rate_limit_key};

/// A connection that was given up may take a moment to end; then another one is asked for.
const AGAIN: Duration = Duration::from_millis(100);

/// Connections that are looked at for one to give up.
const LOOKED_AT: usize = 64;

/// All places of a server.
pub(crate) struct Places {
    is_public: bool,
    max: usize,
    per_address: usize,
    proxies: Networks,
    spared: Duration,
    /// Bytes that an address may leave unread.
    unsent_per_address: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    count: usize,
    next_id: u64,
    /// Id at which the next search begins, behind the end of the last one.
    hand: u64,
    /// Those that may be given up.
    connections: BTreeMap<u64, Arc<Activity>>,
    by_address: HashMap<IpAddr, Share>,
}

struct Share {
    ids: BTreeSet<u64>,
    unsent: Arc<Account>,
}

/// One connection's place; given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    address: Option<IpAddr>,
    pub(crate) activity: Arc<Activity>,
    /// Unread bytes of the address, on all its connections.
    pub(crate) unsent: Option<Arc<Account>>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            is_public: limits.is_public,
            max: limits.connections,
            per_address: limits.per_address,
            proxies: limits.proxies.clone(),
            spared: limits.spared,
            unsent_per_address: limits.unsent_bytes / ADDRESS_PART,
            taken: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// A place for a connection from this address, when there is one; `None` if the address has its share,
    /// and all of it is in use.
    pub(crate) async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let address = (!self.proxies.contain(peer)).then(|| rate_limit_key(peer));
        loop {
            {
                let mut taken = self.lock();
                if let Some(address) = address
                    && taken.by_address.get(&address).is_some_and(|share| share.ids.len() >= self.per_address)
                    && !taken.give_up_one_of(address, self.spared)
                {
                    return None;
                }
                if taken.count < self.max {
                    return Some(self.give(&mut taken, address));
                }
                taken.give_up_any(self.spared);
            }
            tokio::select! { () = self.freed.notified() => {}, () = sleep(AGAIN) => {} }
        }
    }

    fn give(self: &Arc<Self>, taken: &mut Taken, address: Option<IpAddr>) -> Place {
        let (id, activity) = (taken.next_id, Arc::new(Activity::new()));
        taken.next_id += 1;
        taken.count += 1;
        self.tell(taken);
        taken.connections.insert(id, Arc::clone(&activity));
        let unsent = address.map(|address| {
            let share = taken.by_address.entry(address).or_insert_with(|| Share {
                ids: BTreeSet::new(),
                unsent: Arc::new(Account::new(self.unsent_per_address)),
            });
            share.ids.insert(id);
            Arc::clone(&share.unsent)
        });
        Place { places: Arc::clone(self), id, address, activity, unsent }
    }

    fn tell(&self, taken: &Taken) {
        if self.is_public {
            metrics::gauge!("clickwire_connections").set(taken.count as f64);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Gives up an idle connection, and returns whether there was one.
    fn give_up_any(&mut self, spared: Duration) -> bool {
        let from_hand = self.connections.range(self.hand..).chain(self.connections.range(..self.hand));
        let looked_at = from_hand.take(LOOKED_AT);
        let mut last = None;
        let idle = looked_at.inspect(|(id, _)| last = Some(**id)).filter_map(|entry| longest(entry, spared));
        let found = idle.min_by_key(|(idle, _)| *idle).map(|(_, id)| id);
        self.hand = last.map_or(0, |last| last + 1);
        found.is_some_and(|id| self.give_up(id, None))
    }

    /// Gives up an idle connection of this address, and returns whether there was one.
    fn give_up_one_of(&mut self, address: IpAddr, spared: Duration) -> bool {
        let ids = self.by_address.get(&address).into_iter().flat_map(|share| &share.ids);
        let connections = ids.filter_map(|id| self.connections.get_key_value(id));
        let found = connections
            .filter_map(|entry| longest(entry, spared))
            .min_by_key(|(idle, _)| *idle)
            .map(|(_, id)| id);
        found.is_some_and(|id| self.give_up(id, Some(address)))
    }

    /// Gives up a connection: its address can have another one at once; its place is free when it has ended.
    fn give_up(&mut self, id: u64, address: Option<IpAddr>) -> bool {
        let Some(activity) = self.connections.remove(&id) else { return false };
        activity.give_up();
        if let Some(share) = address.and_then(|address| self.by_address.get_mut(&address)) {
            share.ids.remove(&id);
        }
        true
    }
}

/// Sorts first what has never had a request, then what has been idle longest.
fn longest((id, activity): (&u64, &Arc<Activity>), spared: Duration) -> Option<((bool, Instant), u64)> {
    Some((activity.idle(spared)?, *id))
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.count -= 1;
        self.places.tell(&taken);
        taken.connections.remove(&self.id);
        if let Some(address) = self.address
            && let Some(share) = taken.by_address.get_mut(&address)
        {
            share.ids.remove(&self.id);
            if share.ids.is_empty() {
                taken.by_address.remove(&address);
            }
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}
