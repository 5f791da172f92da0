//! The mix of a run's clicks: ads, countries, devices, robots.

use serde_json::{Value, json};
use uuid::Builder;

use crate::words;

/// Kinds of devices, with their names; the first is all of them.
pub(super) const DEVICES: [(&str, words::Text); 4] = [
    ("", words::ALL_DEVICES),
    ("mobile", words::MOBILE),
    ("desktop", words::DESKTOP),
    ("tablet", words::TABLET),
];

/// A browser of each kind of device.
const AGENTS: [(&str, &str); 4] = [
    (
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    ),
    (
        "mobile",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    ),
    (
        "desktop",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "tablet",
        "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/604.1",
    ),
];

/// The user agent of a program that declares itself a robot.
const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// The mix of clicks, spread evenly over ads, countries and browsers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mix {
    pub(super) advertiser_id: String,
    pub(super) campaign_id: String,
    /// Ids of the ads; at least one.
    pub(super) ads: Vec<String>,
    /// Codes of the countries; at least one.
    pub(super) countries: Vec<String>,
    /// A kind of device; empty: all.
    pub(super) device: String,
    /// The share of robots, in percent.
    pub(super) robots: u32,
}

/// Codes of countries out of a field.
pub(super) fn countries(text: &str) -> Result<Vec<String>, String> {
    let codes: Vec<String> =
        super::super::listed(text).iter().map(|code| code.to_ascii_uppercase()).collect();
    let is_code = |code: &String| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if codes.is_empty() || !codes.iter().all(is_code) {
        return Err(words::EXPECTED_COUNTRIES.to_string());
    }
    Ok(codes)
}

impl Mix {
    /// A batch of clicks of one user; `random` gives numbers of [0, 1).
    pub(super) fn batch(&self, user_id: &str, clicks: u32, random: &mut impl FnMut() -> f64) -> Vec<Value> {
        (0..clicks).map(|_| self.click(user_id, random)).collect()
    }

    fn click(&self, user_id: &str, random: &mut impl FnMut() -> f64) -> Value {
        let agents: Vec<_> =
            AGENTS.iter().filter(|(device, _)| self.device.is_empty() || *device == self.device).collect();
        let (device, person) = agents[below(agents.len(), random)];
        let agent = if random() * 100.0 < f64::from(self.robots) { ROBOT } else { person };
        let mut bytes = [0; 16];
        bytes.fill_with(|| below(256, random) as u8);
        json!({
            "click_id": Builder::from_random_bytes(bytes).into_uuid(),
            "advertiser_id": self.advertiser_id,
            "campaign_id": self.campaign_id,
            "ad_id": self.ads[below(self.ads.len(), random)],
            "country": self.countries[below(self.countries.len(), random)],
            "device_type": device,
            "user_agent": agent,
            "user_id": user_id,
        })
    }
}

/// Returns a whole number below another.
fn below(number: usize, random: &mut impl FnMut() -> f64) -> usize {
    ((random() * number as f64) as usize).min(number - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Weyl's sequence: even, and the same every time.
    fn even() -> impl FnMut() -> f64 {
        let mut at = 0.0_f64;
        move || {
            at = (at + 0.618_033_988_749_895).fract();
            at
        }
    }

    fn mix() -> Mix {
        Mix {
            advertiser_id: "adv_001".to_owned(),
            campaign_id: "camp_001".to_owned(),
            ads: vec!["ad_001".to_owned(), "ad_002".to_owned()],
            countries: vec!["DE".to_owned(), "FR".to_owned()],
            device: String::new(),
            robots: 25,
        }
    }

    #[test]
    fn clicks_have_what_was_chosen_and_ids_of_their_own() {
        let clicks = mix().batch("test-1", 400, &mut even());
        let values = |name: &str| clicks.iter().map(|click| click[name].to_string()).collect::<BTreeSet<_>>();
        assert_eq!(values("click_id").len(), 400);
        assert_eq!(values("ad_id").len(), 2);
        assert_eq!(values("country").len(), 2);
        assert_eq!(values("device_type").len(), 3);
        assert_eq!(values("user_id").len(), 1);
        let robots = clicks.iter().filter(|click| click["user_agent"] == ROBOT).count();
        assert!((60..=140).contains(&robots), "{robots}");

        let tablets = Mix { device: "tablet".to_owned(), robots: 0, ..mix() }.batch("t", 50, &mut even());
        assert!(tablets.iter().all(|click| click["device_type"] == "tablet" && click["user_agent"] != ROBOT));
        let robots = Mix { robots: 100, ..mix() }.batch("t", 50, &mut even());
        assert!(robots.iter().all(|click| click["user_agent"] == ROBOT));
    }

    #[test]
    fn countries_are_codes() {
        assert_eq!(countries(" de,FR ,"), Ok(vec!["DE".to_owned(), "FR".to_owned()]));
        for wrong in ["", " , ", "DEU", "D1", "DE FR"] {
            assert!(countries(wrong).is_err(), "{wrong}");
        }
    }
}
