//! Shares of what is limited: each holder may have a number of permits, and no holder more.
//!
//! A limit that everybody shares is a limit that one can use up. So wherever there is one (connections to the
//! database, batches in hand, live sessions), each holder has a share of it. Only holders that have something,
//! or wait for it, are kept in memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clickwire_protocol::ids::AdvertiserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// The caller, or the advertiser, whose share a request uses up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// All that look after the whole; their share is theirs together.
    Operators,
    /// All that bill; their share is theirs together, too.
    Finance,
    /// All callers of this advertiser's own that ask about it.
    Advertiser(AdvertiserId),
    /// An account, with its browsers and its programs.
    Account(Uuid),
    /// A token of the configuration; the advertisers that it opens.
    Token(Arc<str>),
}

/// Permits of which each holder may have a number; cheap to clone.
#[derive(Clone)]
pub(crate) struct Quota<K>(Arc<Inner<K>>);

struct Inner<K> {
    each: usize,
    lines: Mutex<HashMap<K, Line>>,
}

struct Line {
    permits: Arc<Semaphore>,
    /// Those that have a permit and those that wait for one.
    length: usize,
}

/// One of a holder's permits, or a place in the line for one.
pub(crate) struct QuotaGuard<K: Eq + Hash> {
    quota: Quota<K>,
    holder: K,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> Quota<K> {
    /// The number of permits that each holder may have.
    pub(crate) fn new(each: usize) -> Self {
        Self(Arc::new(Inner { each, lines: Mutex::default() }))
    }

    /// A permit, if the holder may have one now.
    pub(crate) fn try_take(&self, holder: K) -> Option<QuotaGuard<K>> {
        let (mut guard, permits) = self.enter(holder, 0)?;
        guard.permit = Some(permits.try_acquire_owned().ok()?);
        Some(guard)
    }

    /// A permit, as soon as the holder may have one; `None` if as many as `waiting_max` wait already.
    pub(crate) async fn take(&self, holder: K, waiting_max: usize) -> Option<QuotaGuard<K>> {
        let (mut guard, permits) = self.enter(holder, waiting_max)?;
        guard.permit = Some(permits.acquire_owned().await.ok()?);
        Some(guard)
    }

    /// A place in the holder's line.
    fn enter(&self, holder: K, waiting_max: usize) -> Option<(QuotaGuard<K>, Arc<Semaphore>)> {
        let each = self.0.each;
        let mut lines = self.0.lines();
        let line = match lines.get_mut(&holder) {
            Some(line) if line.length >= each.saturating_add(waiting_max) => return None,
            Some(line) => line,
            // A holder that is new here has nothing, and may have one.
            None => lines
                .entry(holder.clone())
                .or_insert_with(|| Line { permits: Arc::new(Semaphore::new(each)), length: 0 }),
        };
        line.length += 1;
        let permits = Arc::clone(&line.permits);
        drop(lines);
        Some((QuotaGuard { quota: self.clone(), holder, permit: None }, permits))
    }
}

impl<K> Inner<K> {
    fn lines(&self) -> MutexGuard<'_, HashMap<K, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for QuotaGuard<K> {
    fn drop(&mut self) {
        // Before the place in the line: who comes next finds it there.
        drop(self.permit.take());
        let mut lines = self.quota.0.lines();
        if let Some(line) = lines.get_mut(&self.holder) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn each_has_a_number_and_what_it_gives_back_is_forgotten() {
        let quota = Quota::new(2);
        let (first, second) = (quota.try_take("one"), quota.try_take("one"));
        assert!(first.is_some() && second.is_some() && quota.try_take("one").is_none());
        assert!(quota.try_take("other").is_some());
        drop(first);
        assert!(quota.try_take("one").is_some());
        drop(second);
        assert!(quota.0.lines().is_empty());
    }

    #[tokio::test]
    async fn a_line_has_an_end_and_who_leaves_it_is_forgotten() {
        let quota = Quota::new(1);
        let held = quota.take("one", 1).await;
        let waiting = tokio::spawn({
            let quota = quota.clone();
            async move { quota.take("one", 1).await.is_some() }
        });
        while quota.0.lines().get("one").is_some_and(|line| line.length < 2) {
            tokio::task::yield_now().await;
        }
        assert!(quota.take("one", 1).await.is_none(), "one waits already");
        assert!(quota.take("other", 1).await.is_some());
        drop(held);
        assert!(waiting.await.unwrap());
        let held = quota.take("one", 1).await;
        assert!(timeout(Duration::from_millis(10), quota.take("one", 1)).await.is_err());
        drop(held);
        assert!(quota.0.lines().is_empty());
    }
}
