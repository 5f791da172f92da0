//! Tests of clicks: what is read, what is refused, and what travels.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{posted::BROKEN_TEXT, *};
use crate::ids::MAX_ID_BYTES;

fn parse(body: &Value) -> Result<PostedClick, Rejection> {
    PostedClick::parse(body.to_string().as_bytes(), UnknownFields::Refused)
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
        "device_type": "mobile", "gclid": "Cj0", "utm_source": "news", "sub10": 7,
        "referrer": "https://user@news.example/a?b#c",
    }))
    .unwrap();
    assert_eq!(posted.clicked_at_ms, Some(UnixMs(1_769_860_800_250)));
    assert_eq!(posted.country.as_deref(), Some("DE"));
    assert_eq!(posted.device_type, Some(DeviceType::Mobile));
    assert!(posted.ip_address.is_some_and(|address| address.is_ipv6()));
    let params: Vec<_> = posted.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(params, [("gclid", "Cj0"), ("sub10", "7"), ("utm_source", "news")]);
    assert_eq!(posted.referrer.as_deref(), Some("https://news.example/a"));
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
        ("ad_id", json!(7.5)),
        ("ad_id", json!(true)),
        ("ad_id", json!(["ad_001"])),
        ("user_id", json!({"id": 7})),
        ("ad_id", json!("a".repeat(MAX_ID_BYTES + 1))),
        ("user_id", json!("a\u{0}b")),
        ("user_id", json!("u".repeat(MAX_USER_ID_BYTES + 1))),
        ("clicked_at", json!("yesterday")),
        ("clicked_at", json!(1_769_860_800)),
        ("ip_address", json!("300.1.1.1")),
        ("ip_address", json!(7)),
        ("nonsense", json!(1)),
    ] {
        let rejection = parse(&with(name, value.clone())).expect_err(name);
        assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), [name], "{value}");
        assert!(rejection.form_errors.is_empty());
    }
    for body in ["", "{", "[]", "\"text\"", "{\"ad_id\":\"a\"} x", " \u{feff}{}", "{\"ad_id\": 1e999}"] {
        let rejection = PostedClick::parse(body.as_bytes(), UnknownFields::Refused).expect_err(body);
        assert_eq!(rejection.form_errors.len(), 1, "{body}");
    }
}

#[test]
fn what_only_describes_a_click_never_refuses_it() {
    let long = "\u{e9}".repeat(MAX_USER_AGENT_BYTES);
    for (value, kept) in [
        (json!(&long), Some(&long[..MAX_USER_AGENT_BYTES])),
        (json!(format!("a{long}")), Some(&*format!("a{}", &long[..MAX_USER_AGENT_BYTES - 2]))),
        (json!("eZee\u{92} Tab\t804\u{0}\r\n"), Some("eZee Tab804")),
        (json!(""), Some("")),
        (json!(["a"]), None),
        (json!(false), None),
        (json!(null), None),
    ] {
        let posted = parse(&with("user_agent", value.clone())).unwrap();
        assert_eq!(posted.user_agent.as_deref(), kept, "{value}");
    }
    for (value, kept) in [
        (json!("USA"), Some("US")),
        (json!("UK"), Some("GB")),
        (json!("T1"), None),
        (json!("(not set)"), None),
        (json!("ZZ"), None),
        (json!(276), None),
        (json!({}), None),
    ] {
        let posted = parse(&with("country", value.clone())).unwrap();
        assert_eq!(posted.country.as_deref(), kept, "{value}");
    }
    for (value, kept) in [
        (json!("Desktop"), Some(DeviceType::Desktop)),
        (json!(4), Some(DeviceType::Mobile)),
        (json!("fridge"), None),
        (json!(4.5), None),
        (json!(true), None),
    ] {
        let posted = parse(&with("device_type", value.clone())).unwrap();
        assert_eq!(posted.device_type, kept, "{value}");
    }
}

#[test]
fn unknown_fields_are_refused_or_passed_over() {
    let body = with("price", json!({"amount": 1})).to_string();
    let rejection = PostedClick::parse(body.as_bytes(), UnknownFields::Refused).unwrap_err();
    assert_eq!(rejection.field_errors["price"], ["Unknown field."]);
    let ignored = PostedClick::parse(body.as_bytes(), UnknownFields::Ignored).unwrap();
    assert_eq!(ignored, parse(&smallest()).unwrap());
    let wrong = PostedClick::parse(br#"{"price": 1}"#, UnknownFields::Ignored).unwrap_err();
    assert!(wrong.field_errors.keys().eq(["ad_id", "advertiser_id", "campaign_id"]), "{wrong:?}");
}

#[test]
fn broken_texts_refuse_what_they_identify_and_nothing_else() {
    let ids = r#""advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001""#;
    let read = |more: &[u8]| {
        let body = [b"\xef\xbb\xbf{", ids.as_bytes(), b", ", more, b"}"].concat();
        PostedClick::parse(&body, UnknownFields::Refused)
    };
    for (agent, kept) in [
        (&br"Mozilla \ud83d"[..], "Mozilla \u{fffd}"),
        (br"\ude00Mozilla", "\u{fffd}Mozilla"),
        (b"Telef\xf3nica", "Telef\u{fffd}nica"),
        (b"a\0b\tc", "abc"),
    ] {
        let posted = read(&[b"\"user_agent\": \"", agent, b"\""].concat()).unwrap();
        assert_eq!(posted.user_agent.as_deref(), Some(kept));
    }
    for (user, reason) in [
        (&br"Anna \ud83d"[..], BROKEN_TEXT),
        (b"Telef\xf3nica", BROKEN_TEXT),
        (b"a\0b", "Control characters are not allowed."),
    ] {
        let rejection = read(&[b"\"user_id\": \"", user, b"\""].concat()).unwrap_err();
        assert_eq!(rejection.field_errors, [("user_id".to_owned(), vec![reason.to_owned()])].into());
    }
    let sound = read(r#""user_id": "\ud83d\ude00 \ufffd""#.as_bytes()).unwrap();
    assert_eq!(sound.user_id.as_deref(), Some("\u{1f600} \u{fffd}"), "as it was sent");
    let not_json = PostedClick::read(br#"{"ad_id": "\ud83d", }"#, "A click", UnknownFields::Ignored);
    assert!(matches!(not_json, Err(NotRead::NotJson(_))));
    let out_of_range = PostedClick::read(br#"{"price": 1e999}"#, "A click", UnknownFields::Ignored);
    assert!(matches!(out_of_range, Err(NotRead::Refused(_))), "it is JSON");
}

#[test]
fn whole_numbers_are_ids() {
    let body = r#"{"advertiser_id": 0, "campaign_id": -7, "ad_id": 18446744073709551615, "user_id": 42}"#;
    let posted = PostedClick::parse(body.as_bytes(), UnknownFields::Refused).unwrap();
    assert_eq!((posted.advertiser_id.as_str(), posted.campaign_id.as_str()), ("0", "-7"));
    assert_eq!((posted.ad_id.as_str(), posted.user_id.as_deref()), ("18446744073709551615", Some("42")));
    // What a reader of numbers would round names something else.
    for number in ["18446744073709551616", "-9223372036854775809", "1e3", "7.0", "-0", "1e999"] {
        let body = format!(r#"{{"advertiser_id": "a", "campaign_id": "c", "ad_id": {number}}}"#);
        assert!(PostedClick::parse(body.as_bytes(), UnknownFields::Refused).is_err(), "{number}");
    }
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts_and_escapes_are_read() {
    let body = r#"{"ad_id": 7.5, "campaign_id": "c", "\u0061d_id": "a-\u0031", "advertiser_id": "b", "user_id": null}"#;
    let posted = PostedClick::parse(body.as_bytes(), UnknownFields::Refused).unwrap();
    assert_eq!((posted.ad_id.as_str(), posted.user_id), ("a-1", None));
    let body = r#"{"b": [1, {"c": 2}], "a": 1, "b": null, "ad_id": {"x": []}}"#;
    let rejection = PostedClick::parse(body.as_bytes(), UnknownFields::Refused).unwrap_err();
    let wrong = ["a", "ad_id", "advertiser_id", "b", "campaign_id"];
    assert!(rejection.field_errors.keys().eq(wrong), "{rejection:?}");
    assert_eq!(rejection.field_errors["ad_id"], ["Expected a string or a whole number."]);
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
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked("ad_001"),
            country: UNKNOWN_COUNTRY.into(),
            device_type: DeviceType::Other,
        },
        user_id: None,
        clicked_at_ms: UnixMs(-5),
        received_at_ms: UnixMs(6),
        user_agent: String::new(),
        os: Some("Android".into()),
        browser: None,
        ip_hash: None,
        own_agent: false,
        data_center: false,
        test: false,
        bound: false,
        prefetch: true,
        id_fault: Some(IdFault::Expired),
        params: [("gclid".to_owned(), "Cj0".to_owned())].into(),
        referrer: Some("https://news.example/".into()),
    };
    let wire = serde_json::to_vec(&click).unwrap();
    assert_eq!(serde_json::from_slice::<Click>(&wire).unwrap(), click);
    click.check().unwrap();
    let mut wrong = Click {
        user_id: Some(String::new()),
        ip_hash: Some("abc".into()),
        os: Some("o\u{0}".into()),
        params: [("email".to_owned(), "a@b".to_owned())].into(),
        referrer: Some(String::new()),
        ..click
    };
    wrong.dimensions.ad_id = AdId::unchecked("a\u{0}b");
    wrong.dimensions.country = "de".into();
    let named: Vec<_> = wrong.check().unwrap_err().field_errors.into_keys().collect();
    assert_eq!(named, ["ad_id", "country", "ip_hash", "os", "params", "referrer", "user_id"]);
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _answer = PostedClick::parse(&body, UnknownFields::Refused);
    }

    #[test]
    fn what_is_accepted_can_be_stored(user in ".{0,200}", agent in ".{0,40}", ad in "\\PC{0,70}") {
        let body = json!({
            "advertiser_id": "a", "campaign_id": "c", "ad_id": ad, "user_id": user, "user_agent": agent,
        });
        if let Ok(posted) = parse(&body) {
            let texts = [posted.user_id.as_deref(), posted.user_agent.as_deref(), Some(posted.ad_id.as_str())];
            for text in texts.into_iter().flatten() {
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert!(text.len() <= MAX_USER_AGENT_BYTES);
            }
        }
    }
}
