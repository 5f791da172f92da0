//! The parts of a click's way whose instructions `cargo xtask bench instructions` counts. Each `counted_…` does its
//! part for [`CLICKS`] clicks, as mixed as those of a bad evening.

use std::hint::black_box;

use serde_json::{Value, json};

use super::*;

/// The clicks of a count; `xtask` divides by it.
const CLICKS: usize = 100;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
];

/// A posted body: of ten, one is refused, one has a text that must be mended, two have no more than they need.
fn posted(number: usize) -> String {
    let mut body = json!({
        "click_id": Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8000 + number as u128),
        "advertiser_id": format!("adv_{:03}", number % 7),
        "campaign_id": format!("camp_{:03}", number % 13),
        "ad_id": format!("ad_{:04}", number % 31),
    });
    match number % 10 {
        0 => body["ad_id"] = json!("an ad"),
        1 | 2 => {}
        kind => {
            body["user_id"] = json!(format!("user_{}", number * 977));
            body["clicked_at"] = json!("2026-01-31T13:00:00.250+01:00");
            body["ip_address"] = json!(format!("198.18.{}.{}", number % 256, (number * 7) % 256));
            body["user_agent"] = json!(AGENTS[number % AGENTS.len()]);
            body["country"] = json!(["de", "USA", "Brazil", "nowhere"][number % 4]);
            body["device_type"] = json!("Smartphone");
            body["gclid"] = json!("Cj0KCQiA5NSsBhDnARIsAH1jLqQ".repeat(2));
            body["utm_source"] = json!("a newsletter ü");
            body["referrer"] = json!("https://news.example/a/long/way?with=a&query=of&its=own#part");
            if kind == 3 {
                body["utm_campaign"] = json!("REPLACED");
                return body.to_string().replace("REPLACED", "half of a pair: \\ud800");
            }
        }
    }
    body.to_string()
}

fn bodies() -> Vec<String> {
    (0..CLICKS).map(posted).collect()
}

/// Clicks as they travel on the stream.
fn clicks() -> Vec<Click> {
    let click = |number: usize| {
        // In place of those that are refused or mended, others.
        let valid = if matches!(number % 10, 0 | 3) { number + 1 } else { number };
        let mut body: Value = serde_json::from_str(&posted(valid)).unwrap();
        let mut text = |name: &str| body[name].take().as_str().map(str::to_owned);
        Click {
            advertiser_id: AdvertiserId::unchecked(text("advertiser_id").unwrap()),
            dimensions: Dimensions {
                campaign_id: CampaignId::unchecked(text("campaign_id").unwrap()),
                ad_id: AdId::unchecked(text("ad_id").unwrap()),
                country: "DE".to_owned(),
                device_type: DeviceType::Mobile,
            },
            user_id: text("user_id"),
            clicked_at_ms: UnixMs(1_769_860_800_250),
            received_at_ms: UnixMs(1_769_860_800_300),
            user_agent: text("user_agent").unwrap_or_default(),
            ip_hash: Some("0123456789abcdef0123456789abcdef".to_owned()),
            referrer: text("referrer"),
            ..Click::bare(Uuid::from_u128(number as u128 + 1))
        }
    };
    (0..CLICKS).map(click).collect()
}

#[inline(never)]
fn counted_parse(bodies: &[String]) -> usize {
    let read = |body: &String| black_box(PostedClick::parse(body.as_bytes(), UnknownFields::Refused)).is_ok();
    bodies.iter().filter(|body| read(body)).count()
}

#[inline(never)]
fn counted_write(clicks: &[Click]) -> usize {
    clicks.iter().map(|click| black_box(serde_json::to_vec(click)).map_or(0, |json| json.len())).sum()
}

#[inline(never)]
fn counted_read(messages: &[Vec<u8>]) -> usize {
    messages.iter().filter(|message| black_box(serde_json::from_slice::<Click>(message)).is_ok()).count()
}

#[test]
fn clicks_are_parsed() {
    assert_eq!(counted_parse(&bodies()), CLICKS - CLICKS / 10);
}

#[test]
fn clicks_are_written() {
    assert!(counted_write(&clicks()) > CLICKS * 200);
}

#[test]
fn clicks_are_read() {
    let messages: Vec<Vec<u8>> = clicks().iter().map(|click| serde_json::to_vec(click).unwrap()).collect();
    assert_eq!(counted_read(&messages), CLICKS);
}
