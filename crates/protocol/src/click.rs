//! Clicks: the body that a client posts, and the message that travels on the stream.
//!
//! [`PostedClick::parse`] is the only way in: a click that passes it can be stored. Texts are bounded and
//! free of control characters, ids are of a plain alphabet, so nothing that a client sends can
//! become a message that no aggregator can write.
//!
//! What identifies and bills a click is strict: a click whose ids, time or address can't be read is
//! refused. What only describes it is cleaned and cut, or counts as left out, and the click is kept.

mod body;
mod mend;
mod posted;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    mend::mended,
    posted::{NotRead, PostedClick, UnknownFields},
};
pub use crate::country::UNKNOWN as UNKNOWN_COUNTRY;
use crate::{
    attribution::{self, MAX_REFERRER_BYTES, Params},
    counts::{DeviceType, Dimensions},
    ids::{self, AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};

/// Longest `user_id`, in bytes.
pub const MAX_USER_ID_BYTES: usize = 128;
/// Longest signature in a `click_id`, in bytes; a redirect's has 22.
pub const MAX_SIGNATURE_BYTES: usize = 64;
/// Longest `user_agent` that is kept, in bytes.
pub const MAX_USER_AGENT_BYTES: usize = 1024;

/// Longest name of an operating system or a browser, in bytes.
pub const MAX_BROWSER_BYTES: usize = 64;
/// A click as it travels on the stream: JSON, one click a message, its `Nats-Msg-Id` from
/// [`message_id`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatClick")]
pub struct Click {
    /// Names the click among its advertiser's; an exact resend has the same.
    pub click_id: Uuid,
    /// The advertiser, who pays.
    pub advertiser_id: AdvertiserId,
    /// The dimensions that it is counted under.
    #[serde(flatten)]
    pub dimensions: Dimensions,
    /// The user, if the client told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Time at which the user clicked, as the client says.
    pub clicked_at_ms: UnixMs,
    /// Time at which the server took the click in.
    pub received_at_ms: UnixMs,
    /// The user agent of the user's browser, or of the posting program (`own_agent`); empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// The user agent is the posting program's own: of the user's browser it has said nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_agent: bool,
    /// The user's operating system, if the user agent tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The user's browser by name, if the user agent tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    /// Keyed hash of the user's address, hexadecimal; the address itself goes no further than the
    /// server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_hash: Option<String>,
    /// The address belongs to a network on the operator's list of data centres.
    #[serde(default, skip_serializing_if = "is_false")]
    pub data_center: bool,
    /// The click is a test: posted with a test key, or by somebody who tries a link out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test: bool,
    /// The click was posted with a key that is bound to advertisers: its poster alone vouches for the address, so
    /// the click says nothing about other advertisers' clicks. A message of a server from before this
    /// mark has none and counts as vouched for, as all were then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bound: bool,
    /// A redirect that nobody was there to see: a prefetch, a `HEAD` request or a link preview.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefetch: bool,
    /// The fault of the signed click id that it was posted with, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_fault: Option<IdFault>,
    /// The parameters of its link: networks' click ids and the like.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    /// The page that it came from, without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
}

impl Click {
    /// A click of which nothing is known but its id, to be completed with what is known; its times are the epoch.
    pub fn bare(click_id: Uuid) -> Self {
        Self {
            click_id,
            advertiser_id: AdvertiserId::default(),
            dimensions: Dimensions {
                campaign_id: CampaignId::default(),
                ad_id: AdId::default(),
                country: UNKNOWN_COUNTRY.to_owned(),
                device_type: DeviceType::Other,
            },
            user_id: None,
            clicked_at_ms: UnixMs::default(),
            received_at_ms: UnixMs::default(),
            user_agent: String::new(),
            own_agent: false,
            os: None,
            browser: None,
            ip_hash: None,
            data_center: false,
            test: false,
            bound: false,
            prefetch: false,
            id_fault: None,
            params: Params::default(),
            referrer: None,
        }
    }
}

/// A fault of a signed click id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdFault {
    /// No redirect has signed it for this ad.
    Forged,
    /// A redirect has signed it, and too long ago.
    Expired,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Click {
    /// Checks what [`PostedClick::parse`] promises of every click, for one that came another way.
    pub fn check(&self) -> Result<(), Rejection> {
        let is_hash =
            |hash: &String| hash.len().is_multiple_of(2) && hash.bytes().all(|c| c.is_ascii_hexdigit());
        // Any two letters: what was counted by an earlier version stays readable.
        let is_country =
            |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let wrong = [
            ("click_id", self.click_id.is_nil().then(|| "Expected a UUID.".to_owned())),
            ("advertiser_id", ids::check(self.advertiser_id.as_str()).err()),
            ("campaign_id", ids::check(self.dimensions.campaign_id.as_str()).err()),
            ("ad_id", ids::check(self.dimensions.ad_id.as_str()).err()),
            (
                "country",
                (!is_country(&self.dimensions.country)).then(|| "Expected two capital letters.".to_owned()),
            ),
            ("user_id", self.user_id.as_ref().and_then(|text| plain(text, MAX_USER_ID_BYTES).err())),
            ("user_agent", bounded(&self.user_agent, MAX_USER_AGENT_BYTES).err()),
            ("os", self.os.as_ref().and_then(|text| plain(text, MAX_BROWSER_BYTES).err())),
            ("browser", self.browser.as_ref().and_then(|text| plain(text, MAX_BROWSER_BYTES).err())),
            (
                "ip_hash",
                self.ip_hash
                    .as_ref()
                    .filter(|hash| !is_hash(hash))
                    .map(|_| "Expected hexadecimal.".to_owned()),
            ),
            ("params", attribution::fault(&self.params)),
            ("referrer", self.referrer.as_ref().and_then(|text| plain(text, MAX_REFERRER_BYTES).err())),
        ];
        let mut rejection = Rejection::default();
        for (name, message) in wrong {
            if let Some(message) = message {
                rejection.field(name, message);
            }
        }
        if rejection.is_empty() { Ok(()) } else { Err(rejection) }
    }
}

/// A [`Click`] as it is read: what serde flattens it first collects, which takes most of the time
/// that reading takes.
#[derive(Deserialize)]
struct FlatClick {
    click_id: Uuid,
    advertiser_id: AdvertiserId,
    campaign_id: CampaignId,
    ad_id: AdId,
    country: String,
    device_type: DeviceType,
    #[serde(default)]
    user_id: Option<String>,
    clicked_at_ms: UnixMs,
    received_at_ms: UnixMs,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    own_agent: bool,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    browser: Option<String>,
    #[serde(default)]
    ip_hash: Option<String>,
    #[serde(default)]
    data_center: bool,
    #[serde(default)]
    test: bool,
    #[serde(default)]
    bound: bool,
    #[serde(default)]
    prefetch: bool,
    #[serde(default)]
    id_fault: Option<IdFault>,
    #[serde(default)]
    params: Params,
    #[serde(default)]
    referrer: Option<String>,
}

impl From<FlatClick> for Click {
    fn from(flat: FlatClick) -> Self {
        let FlatClick { click_id, advertiser_id, campaign_id, ad_id, country, device_type, .. } = flat;
        Self {
            click_id,
            advertiser_id,
            dimensions: Dimensions { campaign_id, ad_id, country, device_type },
            user_id: flat.user_id,
            clicked_at_ms: flat.clicked_at_ms,
            received_at_ms: flat.received_at_ms,
            user_agent: flat.user_agent,
            own_agent: flat.own_agent,
            os: flat.os,
            browser: flat.browser,
            ip_hash: flat.ip_hash,
            data_center: flat.data_center,
            test: flat.test,
            bound: flat.bound,
            prefetch: flat.prefetch,
            id_fault: flat.id_fault,
            params: flat.params,
            referrer: flat.referrer,
        }
    }
}

/// The `Nats-Msg-Id` of a click, by which the broker drops a resend. Ids are names within an advertiser, so
/// nobody can make another's click vanish by using its id first.
pub fn message_id(click_id: Uuid, advertiser_id: &AdvertiserId) -> String {
    format!("{}.{advertiser_id}", click_id.hyphenated())
}

/// The rejection of a body: everything that is wrong with it, by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Faults of the body as a whole.
    pub form_errors: Vec<String>,
    /// Faults of single fields.
    pub field_errors: BTreeMap<String, Vec<String>>,
}

impl Rejection {
    /// A rejection of the body as a whole.
    pub fn form(message: impl Into<String>) -> Self {
        Self { form_errors: vec![message.into()], field_errors: BTreeMap::new() }
    }

    fn field(&mut self, name: &str, message: impl Into<String>) {
        self.field_errors.entry(name.to_owned()).or_default().push(message.into());
    }

    fn is_empty(&self) -> bool {
        self.form_errors.is_empty() && self.field_errors.is_empty()
    }
}

pub(crate) fn plain(text: &str, max_bytes: usize) -> Result<String, String> {
    if text.is_empty() { Err("Must not be empty.".to_owned()) } else { bounded(text, max_bytes) }
}

fn bounded(text: &str, max_bytes: usize) -> Result<String, String> {
    if text.len() > max_bytes {
        Err(format!("At most {max_bytes} bytes."))
    } else if text.chars().any(char::is_control) {
        Err("Control characters are not allowed.".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// A text without control characters, cut where it becomes too long.
pub fn cleaned(text: &str, max_bytes: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + character.len_utf8() > max_bytes {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod instructions;
#[cfg(test)]
mod tests;
