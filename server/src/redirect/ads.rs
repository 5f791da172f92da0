//! The ads and their targets: from this process's memory, else from Redis, else from the database.
//!
//! - Many requests for an ad that is not known make one look-up; the others wait for it.
//! - A known ad is served at once. When it is due, the first request that notices has it looked up again in the
//!   background.
//! - A change is announced on a channel. A server that hears of it looks the ad up in the database before the next
//!   answer; a server that may have missed a message does so with every ad.
//! - When nothing can be looked up, what was known before is served, however old; an ad that was never known has no
//!   answer.
//! - Bounded: the cache keeps ads that are asked for often, so strangers who try ids one after the other
//!   push out each other's, and no more than a few of them reach the database at the same time.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use clickwire_process::redis::Connection;
use clickwire_protocol::ids::AdId;
use quick_cache::sync::Cache;
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};

use super::{
    ad::{Ad, Row},
    shared::Shared,
};
use crate::{
    http::error::Error,
    live::{Event, Hub},
    redirect::error::RedirectError,
};

/// Ads kept, about; one takes 3 KiB, and with many hosts and names 15 KiB at most.
const CAPACITY: usize = 10_000;

/// The age from which on an ad is looked up again.
const FRESH: Duration = Duration::from_secs(30);

/// Time for which the absence of an ad is believed.
const ABSENT: Duration = Duration::from_secs(5);

/// The wait after a look-up that failed: of an ad that is known, and of one that is not.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_UNKNOWN: Duration = Duration::from_secs(1);

/// The longest time that the database may take. Less than [`shared::HELD_SECONDS`](super::shared).
const PATIENCE: Duration = Duration::from_secs(2);

/// Look-ups in the database at the same time, at most: half of the connections; with the others the intake asks who owns
/// what a click names.
const QUERIES: usize = 2;

const QUERY: &str = "SELECT a.campaign_id, c.advertiser_id, a.target_url, a.landing_hosts, v.click_id_template, \
     v.forwarded_params FROM ads a JOIN campaigns c USING (campaign_id) JOIN advertisers v USING (advertiser_id) WHERE a.ad_id = $1";

/// The ads; cheap to clone.
#[derive(Clone)]
pub(crate) struct Ads(Arc<Inner>);

struct Inner {
    slots: Cache<AdId, Arc<Slot>>,
    shared: Shared,
    database: PgPool,
    queries: Semaphore,
    /// Grows when any ad may have changed.
    generation: AtomicU64,
}

/// The knowledge of one ad.
#[derive(Default)]
struct Slot {
    known: Mutex<Option<Known>>,
    /// Grows when this ad has changed.
    changes: AtomicU64,
    /// The turn of the request that looks the ad up.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Known {
    found: Found,
    /// The time after which the next request has the ad looked up again.
    due: Instant,
    /// The [`Inner::stamp`] up to which changes are contained.
    stamp: u64,
}

#[derive(Clone)]
enum Found {
    Ad(Arc<Ad>),
    Nothing,
    /// The reason why nothing could be looked up.
    Unreachable(Arc<str>),
}

impl Ads {
    /// Follows changes from now on, until the hub stops.
    pub(crate) fn start(hub: &Hub, redis: Connection, database: PgPool, prefix: &str) -> Self {
        let shared = Shared::new(redis, prefix);
        let channel = shared.channel();
        let inner = Inner {
            slots: Cache::new(CAPACITY),
            shared,
            database,
            queries: Semaphore::new(QUERIES),
            generation: AtomicU64::new(0),
        };
        let ads = Self(Arc::new(inner));
        let inner = Arc::clone(&ads.0);
        hub.follow(channel, |events, needs_resync| (ads, tokio::spawn(follow(inner, events, needs_resync))))
    }

    /// The ad of this id, if there is one.
    pub(crate) async fn find(&self, ad_id: &AdId) -> Result<Option<Arc<Ad>>, Error> {
        let slot = self.0.slot(ad_id);
        let found = match slot.serve(self.0.stamp(&slot)) {
            Served::Fresh(found) => counted("cache", found),
            Served::Due(found) => {
                let (inner, ad_id) = (Arc::clone(&self.0), ad_id.clone());
                // Ends within the look-up's own limits, and nothing waits for it.
                tokio::spawn(async move { inner.refresh(&ad_id, &slot).await });
                counted("cache", found)
            }
            Served::Unknown => self.0.load(ad_id, &slot).await,
        };
        match found {
            Found::Ad(ad) => Ok(Some(ad)),
            Found::Nothing => Ok(None),
            Found::Unreachable(cause) => Err(RedirectError::AdsAway(cause.to_string()).into()),
        }
    }

    /// The ad, if it is in this server's memory; it may be due.
    pub(crate) fn remembered(&self, ad_id: &AdId) -> Option<Arc<Ad>> {
        match &self.0.slots.get(ad_id)?.known().as_ref()?.found {
            Found::Ad(ad) => Some(Arc::clone(ad)),
            Found::Nothing | Found::Unreachable(_) => None,
        }
    }

    /// Tells every server that these ads have changed; to be called after the commit.
    pub(crate) async fn announce(&self, ad_ids: &[AdId]) -> Result<(), Error> {
        ad_ids.iter().for_each(|ad_id| self.0.note_change(ad_id));
        self.0
            .shared
            .announce(ad_ids)
            .await
            .map_err(|error| RedirectError::RedisAway(error.to_string()).into())
    }
}

/// Notes what other servers have changed, or may have.
async fn follow(inner: Arc<Inner>, mut events: mpsc::Receiver<Event>, needs_resync: Arc<AtomicBool>) {
    while let Some(event) = events.recv().await {
        match event {
            _ if needs_resync.swap(false, Ordering::Relaxed) => inner.note_any_change(),
            Event::Subscribed => inner.note_any_change(),
            Event::Message(ad_id) => {
                inner.note_change(&AdId::unchecked(String::from_utf8_lossy(&ad_id)));
            }
        }
    }
}

impl Inner {
    fn slot(&self, ad_id: &AdId) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(ad_id) {
            return slot;
        }
        let made = self.slots.get_or_insert_with(ad_id, || Ok::<_, std::convert::Infallible>(Arc::default()));
        made.unwrap_or_default()
    }

    /// Returns a number that grows with every change that the ad may have seen.
    fn stamp(&self, slot: &Slot) -> u64 {
        self.generation.load(Ordering::Acquire) + slot.changes.load(Ordering::Acquire)
    }

    fn note_change(&self, ad_id: &AdId) {
        if let Some(slot) = self.slots.peek(ad_id) {
            slot.changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn note_any_change(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Looks an ad up, unless another request has just done that.
    async fn load(&self, ad_id: &AdId, slot: &Slot) -> Found {
        let _turn = slot.turn.lock().await;
        match slot.serve(self.stamp(slot)) {
            Served::Fresh(found) | Served::Due(found) => counted("cache", found),
            Served::Unknown => self.look_up(ad_id, slot).await,
        }
    }

    /// Looks an ad up again.
    async fn refresh(&self, ad_id: &AdId, slot: &Slot) {
        let _turn = slot.turn.lock().await;
        self.look_up(ad_id, slot).await;
    }

    async fn look_up(&self, ad_id: &AdId, slot: &Slot) -> Found {
        // Before anything is read: what changes meanwhile is not contained.
        let stamp = self.stamp(slot);
        let before = slot.known().clone();
        let has_changed = before.as_ref().is_some_and(|known| known.stamp != stamp);
        let (found, lasts) = match (self.read(ad_id, has_changed).await, before.map(|known| known.found)) {
            (Ok(Some(ad)), _) => (Found::Ad(Arc::new(ad)), FRESH),
            (Ok(None), _) => (Found::Nothing, ABSENT),
            (Err(error), Some(Found::Ad(ad))) => {
                tracing::debug!(ad_id = ad_id.as_str(), %error, "an old answer is served");
                (Found::Ad(ad), RETRY)
            }
            (Err(error), _) => (Found::Unreachable(error.to_string().into()), RETRY_UNKNOWN),
        };
        *slot.known() = Some(Known { found: found.clone(), due: Instant::now() + lasts, stamp });
        found
    }

    async fn read(&self, ad_id: &AdId, has_changed: bool) -> Result<Option<Ad>, sqlx::Error> {
        if has_changed {
            self.shared.hold_empty(ad_id).await;
        } else if let Some(row) = self.shared.get(ad_id).await
            && let Some(ad) = row.read(ad_id)
        {
            return Ok(counted("redis", Some(ad)));
        }
        let row: Option<Row> = counted("database", timeout(PATIENCE, self.query(ad_id)).await)
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let Some(row) = row else { return Ok(None) };
        if !has_changed {
            self.shared.put(ad_id, &row).await;
        }
        Ok(row.read(ad_id))
    }

    async fn query(&self, ad_id: &AdId) -> Result<Option<Row>, sqlx::Error> {
        let _permit = self.queries.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        sqlx::query_as(QUERY).bind(ad_id).fetch_optional(&self.database).await
    }
}

/// The answer without a look-up.
enum Served {
    Fresh(Found),
    /// The ad can be served, but this request must have it looked up again.
    Due(Found),
    Unknown,
}

impl Slot {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stamp: u64) -> Served {
        let now = Instant::now();
        match self.known().as_mut() {
            Some(known) if known.stamp == stamp && now < known.due => Served::Fresh(known.found.clone()),
            Some(known) if known.stamp == stamp && matches!(known.found, Found::Ad(_)) => {
                // Whoever comes next need not do the same.
                known.due = now + RETRY;
                Served::Due(known.found.clone())
            }
            Some(_) | None => Served::Unknown,
        }
    }
}

/// Counts a look-up by the origin of its answer.
fn counted<T>(from: &'static str, answer: T) -> T {
    metrics::counter!("clickwire_ad_lookups_total", "from" => from).increment(1);
    answer
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::ids::{AdvertiserId, CampaignId};

    use super::*;
    use crate::redirect::query::Forwarded;

    fn slot(found: Found, due: Instant) -> Slot {
        Slot { known: Mutex::new(Some(Known { found, due, stamp: 3 })), ..Slot::default() }
    }

    #[test]
    fn what_is_due_is_served_and_looked_up_by_the_first_who_asks() {
        let ad = Ad {
            advertiser_id: AdvertiserId::unchecked("adv_001"),
            campaign_id: CampaignId::unchecked("camp_001"),
            target: "https://example.com/".parse().unwrap(),
            template: "".parse().unwrap(),
            landing_hosts: Vec::new(),
            forwarded: Forwarded::stored(&[]),
        };
        let (past, future) = (Instant::now(), Instant::now() + FRESH);
        let ad = Found::Ad(Arc::new(ad));
        assert!(matches!(Slot::default().serve(3), Served::Unknown));
        assert!(matches!(slot(ad.clone(), future).serve(3), Served::Fresh(Found::Ad(_))));
        assert!(matches!(slot(ad.clone(), future).serve(4), Served::Unknown), "it has changed");
        let due = slot(ad, past);
        assert!(matches!(due.serve(4), Served::Unknown), "it has changed");
        assert!(matches!(due.serve(3), Served::Due(Found::Ad(_))));
        assert!(matches!(due.serve(3), Served::Fresh(Found::Ad(_))), "somebody is at it");
        for found in [Found::Nothing, Found::Unreachable("away".into())] {
            assert!(matches!(slot(found.clone(), future).serve(3), Served::Fresh(_)));
            assert!(matches!(slot(found, past).serve(3), Served::Unknown), "not believed for long");
        }
    }
}
