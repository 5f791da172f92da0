//! `/ads/{id}`: one ad of an advertiser: its link and target, its numbers in a range by country and device.

use clickwire_protocol::{registry::ListedAd, report::Dimension};
use yew::prelude::*;

use super::{
    Sheet,
    ads::link_of,
    campaign::to_campaign,
    explore::rows,
    export::Export,
    id, name,
    traffic::{self, Standing, Subject, Within, standing, use_traffic},
};
use crate::{
    access::use_access,
    api::{Page, Role},
    ask::use_query,
    frame::View,
    http,
    kit::{Badge, Copy, Empty, Problem},
    query::{Filter, Query},
    route::{Name, Route},
    router::{Link, Place},
    words,
};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
    /// The ad.
    pub id: Name,
}

/// Returns the API's URL for one ad; `None`: no advertiser is chosen.
fn url(view: &View, ad_id: &str) -> Option<String> {
    let scope = view.scope.as_ref().map(ToString::to_string)?;
    Some(http::url("/api/v1/ads", [("advertiser_id", Some(scope)), ("ad_id", Some(ad_id.to_owned()))]))
}

/// Returns the place where an administrator changes an ad.
fn edit(ad: &ListedAd, query: &Query) -> Place {
    let values = vec![ad.campaign_id.clone()];
    let campaign = Filter { dimension: Dimension::CampaignId, values, is_exclusion: false };
    Place::new(Route::Ads, Query { filters: vec![campaign], part: Some(ad.ad_id.clone()), ..query.carried() })
}

/// The page.
#[component]
pub fn AdPage(props: &Props) -> Html {
    let (access, view) = (use_access(), &props.view);
    let ad_id = props.id.as_str();
    let known = use_query::<Page<ListedAd>>(url(view, ad_id));
    let subject = Subject { dimension: Dimension::AdId, id: ad_id.to_owned() };
    let traffic = use_traffic(view, &subject);
    let registered = known.data.as_ref().map(|page| page.data.first().cloned());
    let standing = standing(registered, traffic.received());
    if standing == Standing::Missing {
        return html! { <Sheet title={words::AD}><Empty title={words::NO_SUCH_AD} text={words::NO_SUCH_AD_WHY} /></Sheet> };
    }
    let ad = if let Standing::Registered(ad) = &standing { Some(ad) } else { None };
    let title = ad.map_or_else(|| ad_id.to_owned(), |ad| ad.name.clone());
    let query = &view.place.query;
    let explore = Place::new(Route::Explore, subject.in_explore(query, Dimension::Country));
    let actions = html! {
        <>
            <Link class="quiet" to={explore}>{ words::IN_EXPLORE }</Link>
            if let Some(ad) = ad.filter(|_| access.role() == Role::Admin) {
                <Link class="quiet" to={edit(ad, query)}>{ words::EDIT }</Link>
            }
            <Export url={traffic::file(view, &subject, Dimension::Country, traffic.now_ms)} name={format!("clickwire-{ad_id}")} prints=true />
        </>
    };
    let table = |group: Dimension| {
        let (subject, query) = (subject.clone(), query.clone());
        let head = {
            let subject = subject.clone();
            Callback::from(move |value: AttrValue| {
                let mut to = subject.in_explore(&query, group);
                to.set_filter(Filter {
                    dimension: group,
                    values: vec![value.to_string()],
                    is_exclusion: false,
                });
                to.sort = None;
                let text = name(&rows::Names::default().of(group, &value));
                html! { <Link to={Place::new(Route::Explore, to)}>{ text }</Link> }
            })
        };
        html! { <Within view={view.clone()} {subject} {group} now_ms={traffic.now_ms} {head} /> }
    };
    let tables = html! { <>{ table(Dimension::Country) }{ table(Dimension::DeviceType) }</> };
    html! {
        <Sheet {title} {actions}>
            if let Some(failure) = known.failure.clone() {
                <Problem {failure} onretry={known.reload.clone()} />
            }
            { traffic.problem() }
            { facts(ad_id, &standing, query) }
            { traffic.show(view, tables) }
        </Sheet>
    }
}

/// The ad's id and registration: campaign, link, target of the link.
fn facts(ad_id: &str, standing: &Standing<ListedAd>, query: &Query) -> Html {
    let line = |label: &str, value: Html| html! { <><dt>{ label }</dt><dd>{ value }</dd></> };
    html! {
        <dl class="facts panel" data-testid="ad">
            { line(&words::ID, html! { <span class="with-copy">{ id(ad_id) }<Copy text={ad_id.to_owned()} what={words::THE_AD_ID} /></span> }) }
            if let Standing::Registered(ad) = standing {
                { line(&words::CAMPAIGN, to_campaign(&ad.campaign_id, name(&ad.campaign_name), query)) }
                { line(&words::LINK, link(ad_id)) }
                { line(&words::TARGET, html! { <bdi class="address">{ &ad.target_url }</bdi> }) }
            }
            if *standing == Standing::Counted {
                { line(&words::STATE, html! { <><Badge text={words::NOT_REGISTERED} />{ " " }{ words::NOT_REGISTERED_WHY }</> }) }
            }
        </dl>
    }
}

/// The link of an ad, with a button that copies it.
pub(super) fn link(ad_id: &str) -> Html {
    let text = link_of(ad_id);
    html! { <span class="with-copy"><code class="address">{ &text }</code><Copy {text} what={words::THE_LINK} /></span> }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ad() -> ListedAd {
        ListedAd {
            ad_id: "ad_001".into(),
            name: "Banner".into(),
            campaign_id: "camp_001".into(),
            campaign_name: "Spring".into(),
            target_url: "https://shop.example/?id={click_id}".into(),
        }
    }

    #[test]
    fn an_administrator_changes_the_ad_where_all_ads_of_its_campaign_are() {
        let query = Query::read("?a=adv_001&r=1h&s=-billable");
        assert_eq!(edit(&ad(), &query).href(), "/ads?a=adv_001&r=1h&f=campaign:camp_001&p=ad_001");
    }
}
