//! What a click is given that its sender left out.

use std::sync::Arc;

use clickwire_process::now_ms;
use clickwire_protocol::{
    click::{Click, PostedClick, UNKNOWN_COUNTRY},
    counts::Dimensions,
};
use uuid::Uuid;

use super::browsers::Browsers;
use crate::{address::Hasher, countries::Countries, keys::Poster, networks::Networks, visitor::Visitor};

/// What is known here about addresses and browsers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Enricher {
    addresses: Arc<Hasher>,
    data_centers: Arc<Networks>,
    countries: Arc<Countries>,
    browsers: Arc<Browsers>,
}

impl Enricher {
    pub(crate) fn new(addresses: Hasher, data_centers: Networks, countries: Countries) -> Self {
        Self {
            addresses: Arc::new(addresses),
            data_centers: Arc::new(data_centers),
            countries: Arc::new(countries),
            browsers: Arc::new(Browsers::new()),
        }
    }

    /// A posted click with everything that a click has. Who posts for somebody names the user's address
    /// and browser; else they are those of the connection. The time of a click that names itself by a
    /// UUIDv7 is the one inside it, so that a resend has the same.
    pub(crate) fn posted(&self, posted: PostedClick, visitor: Visitor, poster: &Poster) -> Click {
        let received_at_ms = now_ms();
        let address = posted.ip_address.unwrap_or(visitor.address);
        let user_agent = posted.user_agent.unwrap_or(visitor.user_agent);
        let browser = self.browsers.read(&user_agent);
        let country = posted.country.or_else(|| self.countries.of(address));
        Click {
            clicked_at_ms: posted
                .clicked_at_ms
                .or_else(|| posted.click_id.as_ref().and_then(time_inside))
                .unwrap_or(received_at_ms),
            click_id: posted.click_id.unwrap_or_else(Uuid::now_v7),
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
            os: browser.os.clone(),
            browser: browser.name.clone(),
            ip_hash: Some(self.addresses.hash(address, received_at_ms)),
            data_center: self.data_centers.contain(address),
            test: poster.is_test,
            prefetch: false,
            id_fault: None,
        }
    }
}

/// The Unix milliseconds in a UUIDv7 (RFC 9562, section 5.7).
pub(super) fn time_inside(id: &Uuid) -> Option<i64> {
    (id.get_version_num() == 7).then(|| (id.as_u128() >> 80) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuidv7_carries_its_time() {
        let id = Uuid::parse_str("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").unwrap();
        assert_eq!(time_inside(&id), Some(1_645_557_742_000));
        assert_eq!(time_inside(&Uuid::from_u128(0x4000 << 64)), None);
    }
}
