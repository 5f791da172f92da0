//! A click as it is posted: read, checked, everything that is wrong with it named.

use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use serde::de::IgnoredAny;
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    MAX_SIGNATURE_BYTES, MAX_USER_AGENT_BYTES, MAX_USER_ID_BYTES, Rejection,
    body::{Body, Field},
    cleaned,
    mend::{REPLACED, mended},
    plain,
};
use crate::{
    attribution::{self, Params},
    country,
    counts::DeviceType,
    elements::BYTE_ORDER_MARK,
    ids::{AdId, AdvertiserId, CampaignId, MAX_ID_BYTES},
    times::UnixMs,
};

/// Unknown fields that a rejection names, at most: it must not become many times the body that it is
/// about.
const MAX_UNKNOWN_NAMED: usize = 20;

/// The message about a field that must be as it was sent.
pub(super) const BROKEN_TEXT: &str = "Not Unicode: half of a surrogate pair, or bytes that are not UTF-8.";

/// The body of `POST /api/v1/clicks`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedClick {
    /// The client's id for this click, for safe resends.
    pub click_id: Option<Uuid>,
    /// The part of `click_id` behind a dot: the signature of a redirect, `{uuid}.{signature}`. The holder of
    /// the key must say whether it is good.
    pub signature: Option<String>,
    /// The advertiser, who pays.
    pub advertiser_id: AdvertiserId,
    /// The campaign, which the advertiser pays for.
    pub campaign_id: CampaignId,
    /// The ad that was clicked.
    pub ad_id: AdId,
    /// The user who clicked.
    pub user_id: Option<String>,
    /// Time at which the user clicked.
    pub clicked_at_ms: Option<UnixMs>,
    /// The user's address.
    pub ip_address: Option<IpAddr>,
    /// The user agent of the user's browser.
    pub user_agent: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    /// The type of the user's device.
    pub device_type: Option<DeviceType>,
    /// The parameters of its link.
    pub params: Params,
    /// The page that it came from.
    pub referrer: Option<String>,
}

/// The treatment of fields that no click has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// Unknown fields refuse the click: one of them may be misspelt.
    Refused,
    /// Unknown fields are passed over.
    Ignored,
}

/// The reason why something posted is no click.
#[derive(Debug, Error)]
pub enum NotRead {
    /// The text can't be taken apart.
    #[error("{0}")]
    NotJson(serde_json::Error),
    /// The text can be taken apart, and is no click.
    #[error("it is refused")]
    Refused(Rejection),
}

impl PostedClick {
    /// Reads and checks a JSON body. The rejection names everything that is wrong, not only the
    /// first thing.
    pub fn parse(body: &[u8], unknown: UnknownFields) -> Result<Self, Rejection> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        Self::read(body, "The body", unknown).map_err(|not_read| match not_read {
            NotRead::NotJson(error) => Rejection::form(format!("The body is not JSON: {error}")),
            NotRead::Refused(rejection) => rejection,
        })
    }

    /// The same of an element of a batch, and whether it is JSON at all; errors call it `what`. A text that
    /// is broken is [`mended`] and taken, unless it identifies the click.
    pub fn read(json: &[u8], what: &str, unknown: UnknownFields) -> Result<Self, NotRead> {
        let error = match serde_json::from_slice(json) {
            Ok(body) => return Self::from_body(body, what, unknown, false),
            Err(error) => error,
        };
        let mended = mended(json);
        let readable = mended.as_deref().unwrap_or(json);
        match serde_json::from_slice(readable) {
            Ok(body) => Self::from_body(body, what, unknown, true),
            // A number that is beyond all limits, say.
            Err(error) if serde_json::from_slice::<IgnoredAny>(readable).is_ok() => {
                Err(NotRead::Refused(Rejection::form(format!("{what} can't be read: {error}"))))
            }
            Err(_) => Err(NotRead::NotJson(error)),
        }
    }

    fn from_body(
        body: Body<'_>,
        what: &str,
        unknown: UnknownFields,
        is_mended: bool,
    ) -> Result<Self, NotRead> {
        let posted = match body {
            Body::Object(values) => {
                Self::from_fields(Fields { values, is_mended, rejection: Rejection::default() }, unknown)
            }
            Body::Other => Err(Rejection::form(format!("{what} must be a JSON object."))),
        };
        posted.map_err(NotRead::Refused)
    }

    fn from_fields(mut fields: Fields<'_>, unknown: UnknownFields) -> Result<Self, Rejection> {
        let (click_id, signature) = fields.optional("click_id", click_id).unzip();
        let posted = Self {
            click_id,
            signature: signature.flatten(),
            advertiser_id: fields.required("advertiser_id", AdvertiserId::new),
            campaign_id: fields.required("campaign_id", CampaignId::new),
            ad_id: fields.required("ad_id", AdId::new),
            user_id: fields.optional("user_id", |text| plain(text, MAX_USER_ID_BYTES)),
            clicked_at_ms: fields.optional("clicked_at", unix_ms),
            ip_address: fields.optional("ip_address", |text| {
                text.parse().map_err(|_| "Expected an IPv4 or IPv6 address.".to_owned())
            }),
            user_agent: fields.described("user_agent", |text| Some(cleaned(text, MAX_USER_AGENT_BYTES))),
            country: fields.described("country", |text| country::find(text).map(str::to_owned)),
            device_type: fields.described("device_type", DeviceType::find),
            params: fields.params(),
            referrer: fields.described("referrer", attribution::referrer),
        };
        fields.finish(posted, unknown)
    }
}

/// Takes fields out of the body one by one; what is left at the end is unknown.
struct Fields<'a> {
    values: Vec<(Cow<'a, str>, Field<'a>)>,
    /// Some of the texts were broken.
    is_mended: bool,
    rejection: Rejection,
}

impl<'a> Fields<'a> {
    /// Takes a field out; one that comes more than once has its last value.
    fn take(&mut self, name: &str) -> Field<'a> {
        let Some(place) = self.values.iter().rposition(|(other, _)| other == name) else {
            return Field::Null;
        };
        let field = std::mem::replace(&mut self.values[place].1, Field::Null);
        self.values.retain(|(other, _)| other != name);
        field
    }

    fn required<T: Default>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> T {
        let field = self.take(name);
        if matches!(field, Field::Null) {
            self.rejection.field(name, "Required.");
        }
        self.read(name, &field, read).unwrap_or_default()
    }

    fn optional<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let field = self.take(name);
        self.read(name, &field, read)
    }

    /// Takes the parameters that [`attribution`] keeps.
    fn params(&mut self) -> Params {
        let mut params = Params::new();
        self.values.retain(|(name, field)| {
            let is_kept = attribution::is_kept(name);
            if is_kept && let Field::Text(value) = field {
                attribution::keep(&mut params, name, value);
            }
            !is_kept
        });
        params
    }

    /// Reads a field that only describes the click: a value that can't be understood counts as left out.
    fn described<T>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        match self.take(name) {
            Field::Text(text) => read(&text),
            Field::Null | Field::Other => None,
        }
    }

    fn read<T>(
        &mut self,
        name: &str,
        field: &Field<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match field {
            Field::Null => None,
            Field::Text(text) if self.is_mended && text.contains(REPLACED) => {
                self.rejection.field(name, BROKEN_TEXT);
                None
            }
            Field::Text(text) => read(text).map_err(|message| self.rejection.field(name, message)).ok(),
            Field::Other => {
                self.rejection.field(name, "Expected a string or a whole number.");
                None
            }
        }
    }

    fn finish<T>(mut self, value: T, unknown: UnknownFields) -> Result<T, Rejection> {
        let names: BTreeSet<&str> = match unknown {
            UnknownFields::Refused => self.values.iter().map(|(name, _)| &**name).collect(),
            UnknownFields::Ignored => BTreeSet::new(),
        };
        for name in names.into_iter().take(MAX_UNKNOWN_NAMED) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_ID_BYTES).collect();
            self.rejection.field(&shown, "Unknown field.");
        }
        if self.rejection.is_empty() { Ok(value) } else { Err(self.rejection) }
    }
}

fn click_id(text: &str) -> Result<(Uuid, Option<String>), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let (uuid, signature) = match text.split_once('.') {
        Some((uuid, signature)) => (uuid, Some(signature.to_owned())),
        None => (text, None),
    };
    let is_sound = |signature: &String| {
        (1..=MAX_SIGNATURE_BYTES).contains(&signature.len()) && signature.bytes().all(allowed)
    };
    match Uuid::try_parse(uuid) {
        Ok(uuid) if !uuid.is_nil() && signature.iter().all(is_sound) => Ok((uuid, signature)),
        Ok(_) | Err(_) => Err("Expected a UUID, or a click id from a redirect.".to_owned()),
    }
}

fn unix_ms(text: &str) -> Result<UnixMs, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "Expected an RFC 3339 time, such as 2026-01-31T12:00:00Z.".to_owned())?;
    Ok(UnixMs((at.unix_timestamp_nanos() / 1_000_000) as i64))
}
