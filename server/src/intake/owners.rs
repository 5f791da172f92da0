//! Owners of ads and campaigns: a click of a key that is bound to advertisers may name those of its own advertiser, and
//! those that nobody has registered. Other keys are the operator's, who answers for them.
//!
//! - What is known is answered from memory, that nobody has registered an id, too. What is not is looked up,
//!   all of a batch at once: a post costs one question at most.
//! - Nobody is refused for what was true a while ago: an answer that would refuse a click is asked for again
//!   when it is older than a second.
//! - What can't be looked up soon is let through. Ids are names within an advertiser, so that it does
//!   nobody else any harm.
//! - Bounded: what is kept, how many ask at the same time, and how long a post waits.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clickwire_protocol::{
    click::{Click, PostedClick},
    ids::{AdId, AdvertiserId, CampaignId},
};
use quick_cache::sync::Cache;
use sqlx::PgPool;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::http::error::Error;

/// Ids kept, about, of each kind; one takes some 200 bytes.
const CAPACITY: usize = 20_000;

/// Time for which an answer in memory lets a click through.
const LETS_THROUGH: Duration = Duration::from_secs(30);

/// Time for which an answer in memory refuses a click.
const REFUSES: Duration = Duration::from_secs(1);

/// Questions at the same time, at most: others need the database's connections, too.
const QUESTIONS: usize = 2;

/// Time that a post waits for an answer.
const PATIENCE: Duration = Duration::from_millis(100);

/// Time without questions after one that got no answer.
const RETRY: Duration = Duration::from_secs(1);

const QUERY: &str = "SELECT a.ad_id, NULL AS campaign_id, c.advertiser_id FROM ads a JOIN campaigns c USING (campaign_id) \
      WHERE a.ad_id = ANY($1) \
     UNION ALL SELECT NULL, campaign_id, advertiser_id FROM campaigns WHERE campaign_id = ANY($2)";

/// The ids that a click names.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    advertiser_id: &'a AdvertiserId,
    campaign_id: &'a CampaignId,
    ad_id: &'a AdId,
}

/// The advertisers that have registered ads and campaigns.
pub(crate) struct Owners {
    ads: Cache<AdId, Known>,
    campaigns: Cache<CampaignId, Known>,
    database: PgPool,
    questions: Semaphore,
    /// Time since which the database has not answered.
    silent_since: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    /// `None`: nobody has registered it.
    owner: Option<Arc<AdvertiserId>>,
    read_at: Instant,
}

/// The answer from memory about an id that an advertiser's click names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    LetThrough,
    Refused,
    /// The database must be asked.
    Nothing,
}

impl<'a> From<&'a PostedClick> for Named<'a> {
    fn from(click: &'a PostedClick) -> Self {
        Self { advertiser_id: &click.advertiser_id, campaign_id: &click.campaign_id, ad_id: &click.ad_id }
    }
}

impl<'a> From<&'a Click> for Named<'a> {
    fn from(click: &'a Click) -> Self {
        let dimensions = &click.dimensions;
        Self {
            advertiser_id: &click.advertiser_id,
            campaign_id: &dimensions.campaign_id,
            ad_id: &dimensions.ad_id,
        }
    }
}

impl Owners {
    pub(crate) fn new(database: PgPool) -> Self {
        Self {
            ads: Cache::new(CAPACITY),
            campaigns: Cache::new(CAPACITY),
            database,
            questions: Semaphore::new(QUESTIONS),
            silent_since: Mutex::default(),
        }
    }

    /// Refuses a click that names what another advertiser has registered.
    pub(crate) async fn check(&self, posted: &PostedClick) -> Result<(), Error> {
        match *self.are_foreign(&[posted.into()]).await {
            [true] => Err(Error::Forbidden),
            _ => Ok(()),
        }
    }

    /// Returns for each whether it names what another advertiser has registered.
    pub(crate) async fn are_foreign(&self, named: &[Named<'_>]) -> Vec<bool> {
        if !self.unknown(named).is_empty() && !self.is_silent() {
            let answered = timeout(PATIENCE, self.ask(named)).await;
            let is_answered = matches!(answered, Ok(Ok(())));
            *self.silence() = (!is_answered).then(Instant::now);
            if !is_answered {
                metrics::counter!("clickwire_owners_unchecked_total").increment(1);
            }
        }
        let now = Instant::now();
        let is_foreign = |&Named { advertiser_id, campaign_id, ad_id }: &Named<'_>| {
            said(&self.ads, ad_id, advertiser_id, now) == Said::Refused
                || said(&self.campaigns, campaign_id, advertiser_id, now) == Said::Refused
        };
        named.iter().map(is_foreign).collect()
    }

    /// Looks up what is not known by the time that it is our turn.
    async fn ask(&self, named: &[Named<'_>]) -> Result<(), sqlx::Error> {
        let _permit = self.questions.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let unknown = self.unknown(named);
        if unknown.is_empty() {
            return Ok(());
        }
        let ads: Vec<&AdId> = unknown.ads.into_iter().collect();
        let campaigns: Vec<&CampaignId> = unknown.campaigns.into_iter().collect();
        let rows: Vec<(Option<AdId>, Option<CampaignId>, AdvertiserId)> =
            sqlx::query_as(QUERY).bind(&ads).bind(&campaigns).fetch_all(&self.database).await?;
        let (mut of_ads, mut of_campaigns) = (HashMap::new(), HashMap::new());
        for (ad_id, campaign_id, owner) in rows {
            let owner = Arc::new(owner);
            of_ads.extend(ad_id.map(|id| (id, Arc::clone(&owner))));
            of_campaigns.extend(campaign_id.map(|id| (id, owner)));
        }
        let read_at = Instant::now();
        for id in ads {
            self.ads.insert(id.clone(), Known { owner: of_ads.remove(id), read_at });
        }
        for id in campaigns {
            self.campaigns.insert(id.clone(), Known { owner: of_campaigns.remove(id), read_at });
        }
        Ok(())
    }

    fn unknown<'a>(&self, named: &[Named<'a>]) -> Unknown<'a> {
        let (mut unknown, now) = (Unknown::default(), Instant::now());
        for &Named { advertiser_id, campaign_id, ad_id } in named {
            if said(&self.ads, ad_id, advertiser_id, now) == Said::Nothing {
                unknown.ads.insert(ad_id);
            }
            if said(&self.campaigns, campaign_id, advertiser_id, now) == Said::Nothing {
                unknown.campaigns.insert(campaign_id);
            }
        }
        unknown
    }

    fn is_silent(&self) -> bool {
        self.silence().is_some_and(|since| since.elapsed() < RETRY)
    }

    fn silence(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.silent_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Unknown<'a> {
    ads: BTreeSet<&'a AdId>,
    campaigns: BTreeSet<&'a CampaignId>,
}

impl Unknown<'_> {
    fn is_empty(&self) -> bool {
        self.ads.is_empty() && self.campaigns.is_empty()
    }
}

fn said<Id: Eq + Hash>(
    cache: &Cache<Id, Known>,
    id: &Id,
    advertiser_id: &AdvertiserId,
    now: Instant,
) -> Said {
    let Some(Known { owner, read_at }) = cache.get(id) else { return Said::Nothing };
    let (said, lasts) = match owner {
        Some(owner) if *owner != *advertiser_id => (Said::Refused, REFUSES),
        Some(_) | None => (Said::LetThrough, LETS_THROUGH),
    };
    if now < read_at + lasts { said } else { Said::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_refuses_for_a_second_and_lets_through_for_longer() {
        let (cache, read_at) = (Cache::new(8), Instant::now());
        let known = |owner: Option<&str>| Known {
            owner: owner.map(|owner| Arc::new(AdvertiserId::unchecked(owner))),
            read_at,
        };
        cache.insert(AdId::unchecked("ad_001"), known(Some("adv_001")));
        cache.insert(AdId::unchecked("ad_999"), known(None));
        let said = |id, advertiser_id, after| {
            said(&cache, &AdId::unchecked(id), &AdvertiserId::unchecked(advertiser_id), read_at + after)
        };
        assert_eq!(said("ad_001", "adv_001", Duration::ZERO), Said::LetThrough);
        assert_eq!(said("ad_001", "adv_002", Duration::ZERO), Said::Refused);
        assert_eq!(said("ad_999", "adv_002", Duration::ZERO), Said::LetThrough);
        assert_eq!(said("ad_002", "adv_002", Duration::ZERO), Said::Nothing);
        assert_eq!(said("ad_001", "adv_001", REFUSES), Said::LetThrough);
        assert_eq!(said("ad_001", "adv_002", REFUSES), Said::Nothing, "it may have changed hands");
        assert_eq!(said("ad_001", "adv_001", LETS_THROUGH), Said::Nothing);
    }

    #[tokio::test]
    async fn without_the_registry_every_click_is_let_through_and_waits_once() {
        let database = sqlx::postgres::PgPoolOptions::new()
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy("postgres://nobody@127.0.0.1:1/nothing")
            .unwrap();
        let owners = Owners::new(database);
        let named = Named {
            advertiser_id: &AdvertiserId::unchecked("adv_002"),
            campaign_id: &CampaignId::unchecked("camp_001"),
            ad_id: &AdId::unchecked("ad_001"),
        };
        assert_eq!(owners.are_foreign(&[named, named]).await, [false, false]);
        assert!(owners.is_silent());
        let began = Instant::now();
        assert_eq!(owners.are_foreign(&[named]).await, [false]);
        assert!(began.elapsed() < PATIENCE, "nobody asks again so soon");
    }
}
