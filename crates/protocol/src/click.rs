//! What a client posts and what travels on the stream.
//!
//! [`PostedClick::parse`] is the only door: whatever passes it can be stored. Texts are bounded and
//! free of control characters, ids are of a plain alphabet, so nothing that a stranger sends can
//! become a message that no aggregator can write.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::counts::{DeviceType, Dimensions};

/// Longest `advertiser_id`, `campaign_id`, `ad_id`, in bytes.
pub const MAX_ID_BYTES: usize = 64;
/// Longest `user_id`, in bytes.
pub const MAX_USER_ID_BYTES: usize = 128;
/// Longest signature in a `click_id`, in bytes; a redirect's has 22.
pub const MAX_SIGNATURE_BYTES: usize = 64;
/// Longest `user_agent`, in bytes.
pub const MAX_USER_AGENT_BYTES: usize = 1024;

/// Longest name of an operating system or a browser, in bytes.
pub const MAX_BROWSER_BYTES: usize = 64;
/// Unknown fields that a rejection names, at most: it must not become many times the body that it is
/// about.
const MAX_UNKNOWN_NAMED: usize = 20;

/// The country of a click whose country is not known (CLDR's `ZZ`).
pub const UNKNOWN_COUNTRY: &str = "ZZ";

/// A click as it travels on the stream: JSON, one click a message, `Nats-Msg-Id` = `click_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatClick")]
pub struct Click {
    /// Names the click; an exact resend has the same.
    pub click_id: Uuid,
    /// Who pays.
    pub advertiser_id: String,
    /// What it is counted under.
    #[serde(flatten)]
    pub dimensions: Dimensions,
    /// The user, if the client told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When the user clicked, as the client says; Unix time in milliseconds.
    pub clicked_at_ms: i64,
    /// When the server took the click in; Unix time in milliseconds.
    pub received_at_ms: i64,
    /// What the user's browser says of itself; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
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
    /// Posted with a test key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test: bool,
    /// A redirect that nobody was there to see: a prefetch, a `HEAD` request or a link preview.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefetch: bool,
    /// What is wrong with the signed click id that it was posted with, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_fault: Option<IdFault>,
}

/// What can be wrong with a signed click id.
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
        let is_country = |text: &String| country(text).as_ref() == Ok(text);
        let wrong = [
            ("click_id", self.click_id.is_nil().then(|| "Expected a UUID.".to_owned())),
            ("advertiser_id", id(&self.advertiser_id).err()),
            ("campaign_id", id(&self.dimensions.campaign_id).err()),
            ("ad_id", id(&self.dimensions.ad_id).err()),
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
    advertiser_id: String,
    campaign_id: String,
    ad_id: String,
    country: String,
    device_type: DeviceType,
    #[serde(default)]
    user_id: Option<String>,
    clicked_at_ms: i64,
    received_at_ms: i64,
    #[serde(default)]
    user_agent: String,
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
    prefetch: bool,
    #[serde(default)]
    id_fault: Option<IdFault>,
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
            os: flat.os,
            browser: flat.browser,
            ip_hash: flat.ip_hash,
            data_center: flat.data_center,
            test: flat.test,
            prefetch: flat.prefetch,
            id_fault: flat.id_fault,
        }
    }
}

/// The body of `POST /api/v1/clicks`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedClick {
    /// The client's id for this click, for safe resends.
    pub click_id: Option<Uuid>,
    /// What follows a dot in `click_id`: the signature of a redirect, `{uuid}.{signature}`. Whoever has
    /// the key must say whether it is good.
    pub signature: Option<String>,
    /// Who pays.
    pub advertiser_id: String,
    /// What the advertiser pays for.
    pub campaign_id: String,
    /// What was clicked.
    pub ad_id: String,
    /// Who clicked.
    pub user_id: Option<String>,
    /// When; Unix time in milliseconds.
    pub clicked_at_ms: Option<i64>,
    /// Where from.
    pub ip_address: Option<IpAddr>,
    /// With which browser.
    pub user_agent: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    /// On what.
    pub device_type: Option<DeviceType>,
}

/// The answer to an accepted click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Accepted {
    /// Always true: the broker has the click on its disk, or the server has until the broker is back.
    pub success: bool,
    /// The click's id: the client's, or the one the server made.
    pub click_id: Uuid,
    /// The broker has seen this id within its duplicate window; it is counted once.
    pub is_duplicate: bool,
    /// Only a hint, and only for trusted keys; the ledger decides later.
    pub is_fraudulent: bool,
}

/// The answer to a batch of clicks: each is in one of the three numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchAnswer {
    /// These can't be lost any more.
    pub accepted: usize,
    /// These are wrong in themselves; sending them again changes nothing.
    pub rejected: usize,
    /// These may have been lost, through no fault of theirs: to be sent again, each with the `click_id`
    /// of its result.
    pub failed: usize,
    /// One for each click, in the order of the batch.
    pub results: Vec<BatchResult>,
}

/// What became of one click of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum BatchResult {
    /// As [`Accepted`] says of a single one.
    Accepted {
        /// The click's id.
        click_id: Uuid,
        /// The broker has seen it; an earlier click of the same batch counts.
        is_duplicate: bool,
        /// Only a hint.
        is_fraudulent: bool,
    },
    /// It was not taken.
    Refused {
        /// Why.
        error: Refusal,
    },
}

/// Why one click of a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Refusal {
    /// Its fields are wrong.
    Invalid(Rejection),
    /// Something else.
    Other {
        /// For programs.
        code: Cow<'static, str>,
        /// For people.
        message: Cow<'static, str>,
        /// To send it again under: it may have been taken all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        click_id: Option<Uuid>,
    },
}

/// Why a body was refused: everything that is wrong with it, by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Wrong with the body as a whole.
    pub form_errors: Vec<String>,
    /// Wrong with single fields.
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

impl PostedClick {
    /// Reads and checks a JSON body. The rejection names everything that is wrong, not only the
    /// first thing.
    pub fn parse(body: &[u8]) -> Result<Self, Rejection> {
        let body = serde_json::from_slice(body)
            .map_err(|error| Rejection::form(format!("The body is not JSON: {error}")))?;
        Self::from_json(body, "The body")
    }

    /// Checks what was read as JSON already; errors call it `what`.
    pub fn from_json(value: Value, what: &str) -> Result<Self, Rejection> {
        match value {
            Value::Object(fields) => Self::from_fields(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Rejection::form(format!("{what} must be a JSON object.")))
            }
        }
    }

    fn from_fields(fields: Map<String, Value>) -> Result<Self, Rejection> {
        let mut fields = Fields { values: fields, rejection: Rejection::default() };
        let (click_id, signature) = fields.optional("click_id", click_id).unzip();
        let posted = Self {
            click_id,
            signature: signature.flatten(),
            advertiser_id: fields.required("advertiser_id", id),
            campaign_id: fields.required("campaign_id", id),
            ad_id: fields.required("ad_id", id),
            user_id: fields.optional("user_id", |text| plain(text, MAX_USER_ID_BYTES)),
            clicked_at_ms: fields.optional("clicked_at", unix_ms),
            ip_address: fields.optional("ip_address", |text| {
                text.parse().map_err(|_| "Expected an IPv4 or IPv6 address.".to_owned())
            }),
            user_agent: fields.optional("user_agent", |text| bounded(text, MAX_USER_AGENT_BYTES)),
            country: fields.optional("country", country),
            device_type: fields.optional("device_type", |text| {
                text.parse::<DeviceType>().map_err(|error| format!("{error}."))
            }),
        };
        fields.finish(posted)
    }
}

/// Takes fields out of the body one by one; what is left at the end is unknown.
struct Fields {
    values: Map<String, Value>,
    rejection: Rejection,
}

impl Fields {
    fn required<T: Default>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> T {
        if matches!(self.values.get(name), None | Some(Value::Null)) {
            self.values.remove(name);
            self.rejection.field(name, "Required.");
            return T::default();
        }
        self.optional(name, read).unwrap_or_default()
    }

    fn optional<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match self.values.remove(name)? {
            Value::Null => None,
            Value::String(text) => read(&text).map_err(|message| self.rejection.field(name, message)).ok(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.rejection.field(name, "Expected a string.");
                None
            }
        }
    }

    fn finish<T>(mut self, value: T) -> Result<T, Rejection> {
        for name in self.values.keys().take(MAX_UNKNOWN_NAMED) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_ID_BYTES).collect();
            self.rejection.field(&shown, "Unknown field.");
        }
        if self.rejection.is_empty() { Ok(value) } else { Err(self.rejection) }
    }
}

/// An id of advertiser, campaign or ad: 1 to [`MAX_ID_BYTES`] of `A–Z a–z 0–9 _ - . :`.
pub fn id(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if text.is_empty() {
        Err("Must not be empty.".to_owned())
    } else if text.len() > MAX_ID_BYTES {
        Err(format!("At most {MAX_ID_BYTES} characters."))
    } else if !text.bytes().all(allowed) {
        Err("Only letters, digits and _ - . : are allowed.".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn plain(text: &str, max_bytes: usize) -> Result<String, String> {
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

fn unix_ms(text: &str) -> Result<i64, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "Expected an RFC 3339 time, such as 2026-01-31T12:00:00Z.".to_owned())?;
    Ok((at.unix_timestamp_nanos() / 1_000_000) as i64)
}

/// A country: ISO 3166-1 alpha-2, in either case; upper case afterwards.
pub fn country(text: &str) -> Result<String, String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(text.to_ascii_uppercase())
    } else {
        Err("Expected two letters (ISO 3166-1 alpha-2).".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<PostedClick, Rejection> {
        PostedClick::parse(body.to_string().as_bytes())
    }

    fn smallest() -> Value {
        json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = smallest();
        body[name] = value;
        body
    }

    #[test]
    fn the_smallest_click_needs_three_ids() {
        let posted = parse(&smallest()).unwrap();
        assert_eq!((posted.ad_id.as_str(), posted.click_id), ("ad_001", None));
        let rejection = parse(&json!({})).unwrap_err();
        assert_eq!(
            serde_json::to_value(rejection).unwrap(),
            json!({"formErrors": [], "fieldErrors": {
                "ad_id": ["Required."], "advertiser_id": ["Required."], "campaign_id": ["Required."],
            }})
        );
    }

    #[test]
    fn every_field_is_read() {
        let posted = parse(&json!({
            "click_id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001",
            "user_id": "user 1 ü", "clicked_at": "2026-01-31T13:00:00.250+01:00",
            "ip_address": "2001:db8::1", "user_agent": "Mozilla/5.0", "country": "de",
            "device_type": "mobile",
        }))
        .unwrap();
        assert_eq!(posted.clicked_at_ms, Some(1_769_860_800_250));
        assert_eq!(posted.country.as_deref(), Some("DE"));
        assert_eq!(posted.device_type, Some(DeviceType::Mobile));
        assert!(posted.ip_address.is_some_and(|address| address.is_ipv6()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("click_id", json!("not-a-uuid")),
            ("click_id", json!("00000000-0000-0000-0000-000000000000")),
            ("click_id", json!("00000000-0000-0000-0000-000000000000.c2lnbmF0dXJl")),
            ("click_id", json!("01890a5d-ac96-774b-bcce-b302099a8057.")),
            ("click_id", json!("01890a5d-ac96-774b-bcce-b302099a8057.a=")),
            ("click_id", json!("01890a5d-ac96-774b-bcce-b302099a8057.a.b")),
            ("click_id", json!(format!("01890a5d-ac96-774b-bcce-b302099a8057.{}", "a".repeat(65)))),
            ("ad_id", json!("")),
            ("ad_id", json!("ad 1")),
            ("ad_id", json!(7)),
            ("ad_id", json!("a".repeat(MAX_ID_BYTES + 1))),
            ("user_id", json!("a\u{0}b")),
            ("user_id", json!("u".repeat(MAX_USER_ID_BYTES + 1))),
            ("user_agent", json!("u".repeat(MAX_USER_AGENT_BYTES + 1))),
            ("clicked_at", json!("yesterday")),
            ("clicked_at", json!(1_769_860_800)),
            ("ip_address", json!("300.1.1.1")),
            ("country", json!("DEU")),
            ("device_type", json!("fridge")),
            ("nonsense", json!(1)),
        ] {
            let rejection = parse(&with(name, value.clone())).expect_err(name);
            assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), [name], "{value}");
            assert!(rejection.form_errors.is_empty());
        }
        for body in ["", "{", "[]", "\"text\"", "{\"ad_id\":\"a\"} x", "\u{feff}{}"] {
            let rejection = PostedClick::parse(body.as_bytes()).expect_err(body);
            assert_eq!(rejection.form_errors.len(), 1, "{body}");
        }
    }

    #[test]
    fn a_click_id_may_be_signed() {
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        for (text, signature) in [(uuid.to_owned(), None), (format!("{uuid}.a-Z_0"), Some("a-Z_0"))] {
            let posted = parse(&with("click_id", json!(text))).unwrap();
            assert_eq!(posted.click_id, Some(uuid.parse().unwrap()));
            assert_eq!(posted.signature.as_deref(), signature);
        }
    }

    #[test]
    fn a_click_survives_the_stream() {
        let click = Click {
            click_id: Uuid::from_u128(7),
            advertiser_id: "adv_001".into(),
            dimensions: Dimensions {
                campaign_id: "camp_001".into(),
                ad_id: "ad_001".into(),
                country: UNKNOWN_COUNTRY.into(),
                device_type: DeviceType::Other,
            },
            user_id: None,
            clicked_at_ms: -5,
            received_at_ms: 6,
            user_agent: String::new(),
            os: Some("Android".into()),
            browser: None,
            ip_hash: None,
            data_center: false,
            test: false,
            prefetch: true,
            id_fault: Some(IdFault::Expired),
        };
        let wire = serde_json::to_vec(&click).unwrap();
        assert_eq!(serde_json::from_slice::<Click>(&wire).unwrap(), click);
        click.check().unwrap();
        let mut wrong = Click {
            user_id: Some(String::new()),
            ip_hash: Some("abc".into()),
            os: Some("o\u{0}".into()),
            ..click
        };
        wrong.dimensions.ad_id = "a\u{0}b".into();
        wrong.dimensions.country = "de".into();
        let named: Vec<_> = wrong.check().unwrap_err().field_errors.into_keys().collect();
        assert_eq!(named, ["ad_id", "country", "ip_hash", "os", "user_id"]);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _answer = PostedClick::parse(&body);
        }

        #[test]
        fn what_is_accepted_can_be_stored(user in ".{0,200}", agent in ".{0,40}", ad in "\\PC{0,70}") {
            let body = json!({
                "advertiser_id": "a", "campaign_id": "c", "ad_id": ad, "user_id": user, "user_agent": agent,
            });
            if let Ok(posted) = parse(&body) {
                let texts = [posted.user_id.as_deref(), posted.user_agent.as_deref(), Some(&posted.ad_id)];
                for text in texts.into_iter().flatten() {
                    prop_assert!(!text.chars().any(char::is_control));
                    prop_assert!(text.len() <= MAX_USER_AGENT_BYTES);
                }
            }
        }
    }
}
