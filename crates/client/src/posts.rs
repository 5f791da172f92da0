//! Posting clicks.
//!
//! A click has an id, so posting it again is safe: it is counted once. Without an id of its own an
//! `Idempotency-Key` does the same for one post.

use std::{net::IpAddr, time::Duration};

use clickwire_protocol::{
    answer::{Accepted, BatchAnswer},
    attribution::Params,
    counts::DeviceType,
    idempotency,
    ids::{AdId, AdvertiserId, CampaignId},
};
use hyper::{Method, header::HeaderName};
use rand::RngExt as _;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{Connection, Error, connection::JSON};

/// The first pause before a click is posted again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A click to post. What is left out the server completes: the time is now, address and browser are the poster's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewClick {
    /// Names the click among its advertiser's; posted again it is the same click.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click_id: Option<Uuid>,
    /// The advertiser, who pays.
    pub advertiser_id: AdvertiserId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The ad that was clicked.
    pub ad_id: AdId,
    /// The user who clicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Time at which the user clicked.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    pub clicked_at: Option<OffsetDateTime>,
    /// The user's address; only a key that speaks for users may name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
    /// The user's browser; only a key that speaks for users may name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// ISO 3166-1 alpha-2, or a name that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The type of the user's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceType>,
    /// The page that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
    /// `gclid`, `utm_…`, `sub1` and the like; another name refuses the click.
    #[serde(flatten)]
    pub params: Params,
}

impl NewClick {
    /// A click of now with a new id.
    pub fn new(advertiser_id: AdvertiserId, campaign_id: CampaignId, ad_id: AdId) -> Self {
        Self {
            click_id: Some(Uuid::now_v7()),
            advertiser_id,
            campaign_id,
            ad_id,
            user_id: None,
            clicked_at: None,
            ip_address: None,
            user_agent: None,
            country: None,
            device_type: None,
            referrer: None,
            params: Params::new(),
        }
    }
}

impl Connection {
    /// Posts a click: a [`NewClick`], or what is written as one. The answer says that it can't be lost any more.
    ///
    /// # Errors
    /// See [`Error`]. After one that [`is_passing`](Error::is_passing) a click with an id may be posted again.
    pub async fn post_click(&mut self, click: &impl Serialize) -> Result<Accepted, Error> {
        self.ask(Method::POST, CLICKS, &[JSON], json(click)?).await
    }

    /// Posts a click under an `Idempotency-Key`: the same post again gets the first answer, for a day.
    ///
    /// # Errors
    /// See [`Error`]; 422 for a key that another click was posted under, 409 while the first post is not answered.
    pub async fn post_click_under(&mut self, key: &str, click: &impl Serialize) -> Result<Accepted, Error> {
        let key =
            idempotency::Key::parse(key.as_bytes()).map_err(|error| Error::Unsendable(error.to_string()))?;
        let quoted = format!("\"{}\"", key.as_str().replace('\\', "\\\\").replace('"', "\\\""));
        let header = (HeaderName::from_static(idempotency::HEADER), quoted.as_str());
        self.ask(Method::POST, CLICKS, &[JSON, header], json(click)?).await
    }

    /// Posts a click again after every error that is passing, with pauses that grow or that the server asks for,
    /// until it is taken or `deadline` has come. The click must have an id.
    ///
    /// # Errors
    /// One that is not passing, or the last one.
    pub async fn post_click_until(
        &mut self,
        deadline: Instant,
        click: &impl Serialize,
    ) -> Result<Accepted, Error> {
        let mut longest = FIRST_PAUSE;
        loop {
            let error = match self.post_click(click).await {
                Err(error) if error.is_passing() => error,
                answer => return answer,
            };
            // With jitter, so that not everybody comes back at once.
            let pause =
                longest.mul_f64(rand::rng().random_range(0.5..1.0)).max(error.wait().unwrap_or_default());
            if pause >= deadline.saturating_duration_since(Instant::now()) {
                return Err(error);
            }
            sleep(pause).await;
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
    }

    /// Posts up to 5,000 clicks in one request. The answer says of each what became of it: the ones that `failed`
    /// are to be posted again, each under the id of its result.
    ///
    /// # Errors
    /// See [`Error`]: nothing of the batch was looked at, or nothing is known of it.
    pub async fn post_batch(&mut self, clicks: &[impl Serialize]) -> Result<BatchAnswer, Error> {
        self.ask(Method::POST, "/api/v1/clicks/batch", &[JSON], json(&clicks)?).await
    }
}

const CLICKS: &str = "/api/v1/clicks";

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Unsendable(error.to_string()))
}

// As serde asks for it.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn rfc3339<S: serde::Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at.map(|at| at.format(&Rfc3339)).transpose().map_err(serde::ser::Error::custom)?;
    text.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::click::{PostedClick, UnknownFields};
    use time::macros::datetime;

    use super::*;

    fn read(click: &NewClick) -> PostedClick {
        PostedClick::parse(&json(click).unwrap(), UnknownFields::Refused).unwrap()
    }

    #[test]
    fn a_click_is_written_as_the_server_reads_it() {
        let mut click = NewClick::new(
            AdvertiserId::new("adv_001").unwrap(),
            CampaignId::new("camp_001").unwrap(),
            AdId::new("ad_001").unwrap(),
        );
        let posted = read(&click);
        assert_eq!((posted.click_id, posted.clicked_at_ms, posted.user_id), (click.click_id, None, None));

        click.user_id = Some("user \"7\"".to_owned());
        click.clicked_at = Some(datetime!(2026-11-28 12:00:00.25 +1));
        click.ip_address = Some("2001:db8::1".parse().unwrap());
        click.user_agent = Some("a browser".to_owned());
        click.country = Some("DE".to_owned());
        click.device_type = Some(DeviceType::Tablet);
        click.referrer = Some("https://example.org/page".to_owned());
        click.params.insert("gclid".to_owned(), "abc".to_owned());
        let posted = read(&click);
        assert_eq!(posted.clicked_at_ms.unwrap().0, 1_795_863_600_250);
        assert_eq!((posted.user_id, posted.ip_address), (click.user_id, click.ip_address));
        assert_eq!((posted.device_type, posted.country), (click.device_type, click.country));
        assert_eq!((posted.params, posted.referrer), (click.params, click.referrer));
    }
}
