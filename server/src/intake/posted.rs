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
    /// The advertiser, who pays.
    #[schema(pattern = "^[A-Za-z0-9_.:-]+$", max_length = 64)]
    advertiser_id: String,
    /// The campaign, which the advertiser pays for.
    #[schema(pattern = "^[A-Za-z0-9_.:-]+$", max_length = 64)]
    campaign_id: String,
    /// The ad that was clicked.
    #[schema(pattern = "^[A-Za-z0-9_.:-]+$", max_length = 64)]
    ad_id: String,
    /// The user who clicked.
    #[schema(max_length = 128)]
    user_id: Option<String>,
    /// Time of the click; else the time inside a UUIDv7 `click_id`, else now.
    clicked_at: Option<OffsetDateTime>,
    /// The user's address, if the key speaks for users.
    ip_address: Option<String>,
    /// The user's browser, if the key speaks for users. Control characters are taken out, and what is beyond
    /// 1,024 bytes.
    user_agent: Option<String>,
    /// ISO 3166-1, two or three letters, or the English name; what is no country counts as left out.
    country: Option<String>,
    /// Type of the device: `desktop`, `mobile`, `tablet`, `tv`, `other`, other names of these or a number of OpenRTB;
    /// what is none of them counts as left out.
    #[schema(examples("desktop", "Smartphone"))]
    device_type: Option<String>,
    /// The page that the click came from; kept without credentials, query and fragment.
    referrer: Option<String>,
    /// A click id of Google. What is longer than 512 bytes is not kept; so of all below.
    gclid: Option<String>,
    wbraid: Option<String>,
    gbraid: Option<String>,
    /// A click id of Microsoft.
    msclkid: Option<String>,
    /// A click id of Meta.
    fbclid: Option<String>,
    /// A click id of TikTok.
    ttclid: Option<String>,
    /// Any other `utm_…` is kept, too.
    utm_source: Option<String>,
    utm_medium: Option<String>,
    utm_campaign: Option<String>,
    utm_term: Option<String>,
    utm_content: Option<String>,
    utm_id: Option<String>,
    /// A label by which the poster tells clicks apart.
    sub1: Option<String>,
    sub2: Option<String>,
    sub3: Option<String>,
    sub4: Option<String>,
    sub5: Option<String>,
    sub6: Option<String>,
    sub7: Option<String>,
    sub8: Option<String>,
    sub9: Option<String>,
    sub10: Option<String>,
}
