//! The command that posts a click with a new key.

use clickwire_protocol::registry::ListedAd;
use yew::prelude::*;

use crate::{
    access::{Access, use_access},
    api::{Issued, Page},
    ask::use_query,
    http,
    kit::Secret,
    words,
};

/// Returns the page's own host, as addresses begin.
pub(super) fn origin() -> String {
    let location = web_sys::window().map(|window| window.location());
    location.and_then(|location| location.origin().ok()).unwrap_or_default()
}

/// A command that posts a click.
pub(super) fn command(origin: &str, key: &str, advertiser: &str, campaign: &str, ad: &str) -> String {
    format!(
        "curl {origin}/api/v1/clicks \\\n  -H 'X-Api-Key: {key}' -H 'Content-Type: application/json' \\\n  \
         -d '{{\"advertiser_id\": \"{advertiser}\", \"campaign_id\": \"{campaign}\", \"ad_id\": \"{ad}\"}}'"
    )
}

/// Properties of the command.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The key.
    pub(super) issued: Issued,
}

/// Returns an advertiser that a key posts for: its first, or, of a key for all, the first that is registered.
fn advertiser_of(issued: &Issued, access: &Access) -> Option<String> {
    match &issued.advertisers {
        Some(some) => some.first().cloned(),
        None => access.advertisers.iter().flatten().next().map(|known| known.advertiser_id.clone()),
    }
}

/// The command with the key, for an ad that there is.
#[component]
pub(super) fn KeyCommand(props: &Props) -> Html {
    let access = use_access();
    let advertiser_id = advertiser_of(&props.issued, &access);
    let ads =
        use_query::<Page<ListedAd>>(advertiser_id.clone().map(|id| {
            http::url("/api/v1/ads", [("advertiser_id", Some(id)), ("limit", Some("1".to_owned()))])
        }));
    if ads.is_loading {
        return html! {};
    }
    let ad = ads.data.as_ref().and_then(|page| page.data.first());
    let text = of_ad(&origin(), &props.issued.key, advertiser_id.as_deref(), ad);
    html! {
        <>
            <p>{ words::POST_A_CLICK }</p>
            <Secret {text} what={words::THE_COMMAND} testid="command" />
        </>
    }
}

/// The command for an ad; where there is none yet, with names in place of its ids.
fn of_ad(origin: &str, key: &str, advertiser_id: Option<&str>, ad: Option<&ListedAd>) -> String {
    let [campaign, ad] =
        ad.map_or(["CAMPAIGN_ID", "AD_ID"], |ad| [ad.campaign_id.as_str(), ad.ad_id.as_str()]);
    command(origin, key, advertiser_id.unwrap_or("ADVERTISER_ID"), campaign, ad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{account::Credential, api::Advertiser};

    #[test]
    fn the_command_is_one_that_a_shell_takes() {
        let command = command("http://localhost", "ck_secret", "adv", "camp", "ad");
        assert!(command.contains("-H 'X-Api-Key: ck_secret'"), "{command}");
        assert!(command.ends_with(r#"-d '{"advertiser_id": "adv", "campaign_id": "camp", "ad_id": "ad"}'"#));
    }

    #[test]
    fn a_new_key_is_used_for_an_ad_that_there_is() {
        let issued = |advertisers: Option<&[&str]>| Issued {
            key_id: "ck_1".into(),
            name: "shop".into(),
            key: "secret".into(),
            advertisers: advertisers.map(|some| some.iter().map(|&id| id.to_owned()).collect()),
        };
        let first = Advertiser { advertiser_id: "adv_001".into(), name: "Northwind".into() };
        let access = Access { advertisers: Some(vec![first]), ..Access::new(Credential::Cookie) };
        assert_eq!(advertiser_of(&issued(None), &access).as_deref(), Some("adv_001"));
        assert_eq!(advertiser_of(&issued(Some(&["adv_002"])), &access).as_deref(), Some("adv_002"));
        assert_eq!(advertiser_of(&issued(None), &Access::new(Credential::Cookie)), None);
        let ad = ListedAd {
            ad_id: "ad_9".into(),
            name: "Banner".into(),
            campaign_id: "camp_9".into(),
            campaign_name: "Spring".into(),
            target_url: "https://shop.example/".into(),
        };
        let command = of_ad("", "secret", Some("adv_001"), Some(&ad));
        assert!(command.contains(r#""adv_001", "campaign_id": "camp_9", "ad_id": "ad_9""#), "{command}");
        assert!(of_ad("", "secret", None, None).contains(r#""ADVERTISER_ID", "campaign_id": "CAMPAIGN_ID""#));
    }
}
