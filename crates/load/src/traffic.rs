//! A believable mix of clicks: popular and unpopular campaigns, countries and devices, people who
//! come back, and some robots.

use std::net::Ipv4Addr;

use rand::{Rng, RngExt as _, seq::IndexedRandom as _};
use serde_json::{Value, json};

/// Campaigns of the demonstration data with their advertiser and share of the clicks.
const CAMPAIGNS: [(&str, &str, u32); 8] = [
    ("camp_001", "adv_001", 34),
    ("camp_002", "adv_001", 22),
    ("camp_003", "adv_001", 13),
    ("camp_004", "adv_001", 6),
    ("camp_005", "adv_002", 9),
    ("camp_006", "adv_002", 5),
    ("camp_007", "adv_003", 7),
    ("camp_008", "adv_003", 4),
];

const COUNTRIES: [(&str, u32); 10] = [
    ("US", 30),
    ("DE", 18),
    ("GB", 13),
    ("FR", 10),
    ("IN", 9),
    ("BR", 6),
    ("NL", 5),
    ("SE", 4),
    ("JP", 3),
    ("ZZ", 2),
];

const BROWSERS: [(&str, &str, u32); 5] = [
    (
        "mobile",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
        38,
    ),
    (
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        22,
    ),
    (
        "desktop",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        25,
    ),
    ("desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", 10),
    (
        "tablet",
        "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/604.1",
        5,
    ),
];

const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// People that the clicks come from.
const USERS: u32 = 50_000;

/// The body of one click; `robots` is the share of clicks by robots, 0 to 1.
pub fn click(random: &mut impl Rng, robots: f64) -> Value {
    let (campaign, advertiser) = weighted(random, &CAMPAIGNS, |c| c.2, |c| (c.0, c.1));
    let number: u32 = campaign[5..].parse().unwrap_or(1);
    let ad = format!("ad_{:03}", 2 * number - 1 + u32::from(random.random_bool(0.4)));
    let (device, browser) = device(random, robots);
    let user: u32 = random.random_range(0..USERS);
    json!({
        "advertiser_id": advertiser,
        "campaign_id": campaign,
        "ad_id": ad,
        "user_id": format!("user_{user}"),
        "country": country(random),
        "device_type": device,
        "user_agent": browser,
        // Addresses for benchmarks (RFC 2544), one for each user: 198.18.0.0/15.
        "ip_address": Ipv4Addr::from_bits(0xc612_0000 | user).to_string(),
    })
}

/// A country.
pub fn country(random: &mut impl Rng) -> &'static str {
    weighted(random, &COUNTRIES, |country| country.1, |country| country.0)
}

/// A device type and a user agent that belongs to it; `robots` is the share of robots, 0 to 1.
pub fn device(random: &mut impl Rng, robots: f64) -> (&'static str, &'static str) {
    let person = weighted(random, &BROWSERS, |browser| browser.2, |browser| (browser.0, browser.1));
    if random.random_bool(robots) { ("other", ROBOT) } else { person }
}

fn weighted<T, R>(
    random: &mut impl Rng,
    from: &[T],
    weight: impl Fn(&T) -> u32,
    pick: impl Fn(&T) -> R,
) -> R {
    match from.choose_weighted(random, &weight) {
        Ok(chosen) => pick(chosen),
        // Every table above has a positive weight.
        Err(_) => pick(&from[0]),
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::click::{PostedClick, UnknownFields};
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn every_click_is_acceptable_and_ads_belong_to_their_campaign() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let body = click(&mut random, 0.1);
            let posted = PostedClick::parse(body.to_string().as_bytes(), UnknownFields::Refused).unwrap();
            let number = |id: &str| id.rsplit('_').next().unwrap().parse::<u32>().unwrap();
            assert_eq!(number(posted.ad_id.as_str()).div_ceil(2), number(posted.campaign_id.as_str()));
        }
    }
}
