//! The body of a post: whatever is in it, what passes can be stored.

#![no_main]

use clickwire_protocol::{
    click::{MAX_USER_AGENT_BYTES, MAX_USER_ID_BYTES, PostedClick, UnknownFields},
    country, ids,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(posted) = PostedClick::parse(body, UnknownFields::Ignored) else { return };
    for id in [posted.advertiser_id.as_str(), posted.campaign_id.as_str(), posted.ad_id.as_str()] {
        assert_eq!(ids::check(id), Ok(()));
    }
    for (text, max_bytes) in
        [(&posted.user_id, MAX_USER_ID_BYTES), (&posted.user_agent, MAX_USER_AGENT_BYTES)]
    {
        assert!(text.iter().all(|text| text.len() <= max_bytes && !text.chars().any(char::is_control)));
    }
    assert!(posted.country.iter().all(|text| country::find(text) == Some(text)));
    assert!(posted.click_id.iter().all(|id| !id.is_nil()));
});
