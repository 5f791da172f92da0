//! The body of a posted click, for the document. It is read by hand
//! ([`PostedClick`](clickwire_protocol::click::PostedClick)), which names everything that is wrong at
//! once; a test compares the two.

use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A click as it is posted.
#[derive(Deserialize, ToSchema)]
#[schema(as = PostedClick)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct Posted {
    /// A UUID, or what a redirect has appended to the target. The same one when the click is sent again.
    click_id: Option<String>,
    /// Who pays.
    #[schema(pattern = "^[A-Za-z0-9_.:-]+$", max_length = 64)]
    advertiser_id: String,
    /// What the advertiser pays for.
    #[schema(pattern = "^[A-Za-z0-9_.:-]+$", max_length = 64)]
    campaign_id: String,
    /// What was clicked.
    #[schema(pattern = "^[A-Za-z0-9_.:-]+$", max_length = 64)]
    ad_id: String,
    /// Who clicked.
    #[schema(max_length = 128)]
    user_id: Option<String>,
    /// When; else the time inside a UUIDv7 `click_id`, else now.
    clicked_at: Option<OffsetDateTime>,
    /// The user's address, if the key speaks for users.
    ip_address: Option<String>,
    /// The user's browser, if the key speaks for users. Control characters are taken out, and what is beyond
    /// 1,024 bytes.
    user_agent: Option<String>,
    /// ISO 3166-1, two or three letters, or the English name; what is no country counts as left out.
    country: Option<String>,
    /// On what: `desktop`, `mobile`, `tablet`, `tv`, `other`, other names of these or a number of OpenRTB;
    /// what is none of them counts as left out.
    #[schema(examples("desktop", "Smartphone"))]
    device_type: Option<String>,
}
