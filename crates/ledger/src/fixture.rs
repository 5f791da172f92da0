//! A click to test with.

use clickwire_protocol::{
    click::{Click, UNKNOWN_COUNTRY},
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use uuid::Uuid;

/// A person's click of an advertiser's ad; times in Unix milliseconds.
pub(crate) fn click(id: u128, clicked_at_ms: i64, received_at_ms: i64) -> Click {
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked("ad_001"),
            country: UNKNOWN_COUNTRY.into(),
            device_type: DeviceType::Other,
        },
        clicked_at_ms: UnixMs(clicked_at_ms),
        received_at_ms: UnixMs(received_at_ms),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into(),
        ..Click::bare(Uuid::from_u128(id))
    }
}
