//! Enrichment of clicks: the values that their senders left out.

use std::sync::Arc;

use clickwire_process::now_ms;
use clickwire_protocol::{
    attribution::Params,
    click::{Click, IdFault, PostedClick, UNKNOWN_COUNTRY},
    counts::Dimensions,
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use uuid::Uuid;

use super::browsers::Browsers;
use crate::{
    http::{networks::Networks, uuid_time::time_inside, visitor::Visitor},
    identity::address::Hasher,
    intake::{
        click_id::{self, Signer},
        countries::Countries,
        keys::Poster,
    },
};

/// The ad of a link, and what a click on it comes with.
pub(crate) struct Arrival {
    pub(crate) advertiser_id: AdvertiserId,
    pub(crate) campaign_id: CampaignId,
    pub(crate) ad_id: AdId,
    /// No person has clicked.
    pub(crate) is_ahead: bool,
    pub(crate) params: Params,
    pub(crate) referrer: Option<String>,
}

/// The source of these values, from addresses and browsers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Enricher {
    addresses: Arc<Hasher>,
    data_centers: Arc<Networks>,
    countries: Arc<Countries>,
    browsers: Arc<Browsers>,
    click_ids: Arc<Signer>,
}

impl Enricher {
    pub(crate) fn new(
        addresses: Arc<Hasher>,
        data_centers: Networks,
        countries: Countries,
        click_ids: Arc<Signer>,
    ) -> Self {
        Self {
            addresses,
            data_centers: Arc::new(data_centers),
            countries: Arc::new(countries),
            browsers: Arc::new(Browsers::new()),
            click_ids,
        }
    }

    /// A posted click with everything that a click has. Who posts for somebody names the user's address
    /// and browser; else they are those of the connection, and where that is a program's, they tell nothing
    /// about the user: no robot is seen in them, nor a data centre. The time of a click that names itself by a
    /// UUIDv7 is the one inside it, so that a resend has the same; for an id of a redirect, whatever the
    /// poster says: under that time it has been counted. A forged id names nothing.
    pub(crate) fn posted(&self, posted: PostedClick, visitor: Visitor, poster: &Poster) -> Click {
        let received_at_ms = UnixMs(now_ms());
        let is_data_center = (posted.ip_address.is_some() || !poster.speaks_for_users)
            && self.data_centers.contain(posted.ip_address.unwrap_or(visitor.address));
        let own_agent =
            poster.speaks_for_users && posted.user_agent.is_none() && !visitor.user_agent.is_empty();
        let address = posted.ip_address.unwrap_or(visitor.address);
        let user_agent = posted.user_agent.unwrap_or(visitor.user_agent);
        let browser = self.browsers.read(&user_agent);
        let country = posted.country.or_else(|| self.countries.of(address));
        let signed = posted.click_id.zip(posted.signature.as_deref());
        let id_fault = signed
            .and_then(|(id, signature)| self.click_ids.fault(id, signature, &posted.ad_id, received_at_ms));
        let is_of_redirect = signed.is_some() && id_fault != Some(IdFault::Forged);
        let click_id = match (signed, id_fault) {
            (Some((id, signature)), Some(IdFault::Forged)) => {
                Some(click_id::of_forgery(id, signature, &posted.ad_id))
            }
            _ => posted.click_id,
        };
        Click {
            clicked_at_ms: posted
                .clicked_at_ms
                .filter(|_| !is_of_redirect)
                .or_else(|| click_id.as_ref().and_then(time_inside))
                .unwrap_or(received_at_ms),
            click_id: click_id.unwrap_or_else(Uuid::now_v7),
            advertiser_id: posted.advertiser_id,
            dimensions: Dimensions {
                campaign_id: posted.campaign_id,
                ad_id: posted.ad_id,
                country: country.unwrap_or_else(|| UNKNOWN_COUNTRY.to_owned()),
                device_type: posted.device_type.unwrap_or(browser.device_type),
            },
            user_id: posted.user_id,
            received_at_ms,
            user_agent,
            own_agent,
            os: browser.os.clone(),
            browser: browser.name.clone(),
            ip_hash: Some(self.addresses.hash(address, received_at_ms)),
            data_center: is_data_center,
            test: poster.is_test,
            bound: poster.is_bound(),
            prefetch: false,
            id_fault,
            params: posted.params,
            referrer: posted.referrer,
        }
    }

    /// A click on a redirect link. Its time is the one inside its id, so that the landing page, which
    /// may post the same click, has the same.
    pub(crate) fn redirected(&self, visitor: Visitor, arrival: Arrival) -> Click {
        let received_at_ms = UnixMs(now_ms());
        let click_id = Uuid::now_v7();
        let browser = self.browsers.read(&visitor.user_agent);
        let country = self.countries.of(visitor.address);
        Click {
            clicked_at_ms: time_inside(&click_id).unwrap_or(received_at_ms),
            click_id,
            advertiser_id: arrival.advertiser_id,
            dimensions: Dimensions {
                campaign_id: arrival.campaign_id,
                ad_id: arrival.ad_id,
                country: country.unwrap_or_else(|| UNKNOWN_COUNTRY.to_owned()),
                device_type: browser.device_type,
            },
            user_id: None,
            received_at_ms,
            user_agent: visitor.user_agent,
            own_agent: false,
            os: browser.os.clone(),
            browser: browser.name.clone(),
            ip_hash: Some(self.addresses.hash(visitor.address, received_at_ms)),
            data_center: self.data_centers.contain(visitor.address),
            test: false,
            bound: false,
            prefetch: arrival.is_ahead,
            id_fault: None,
            params: arrival.params,
            referrer: arrival.referrer,
        }
    }
}
