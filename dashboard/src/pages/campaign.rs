//! `/campaigns/{id}`: one campaign of an advertiser: its numbers in a range, its ads.

use std::{collections::BTreeMap, rc::Rc};

use clickwire_protocol::{registry::ListedAd, report::Dimension};
use yew::prelude::*;

use super::{
    Sheet,
    export::Export,
    id, name,
    traffic::{self, Standing, Subject, Within, standing, use_traffic},
};
use crate::{
    access::use_access,
    api::{Campaign, Page, Role},
    ask::use_query,
    frame::View,
    http,
    kit::{Badge, Copy, Empty, Problem},
    query::Query,
    route::{Name, Route},
    router::{Link, Place},
    words,
};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
    /// The campaign.
    pub id: Name,
}

/// A link to the page of an ad; the text alone where the id is not valid.
pub(super) fn to_ad(ad_id: &str, text: Html, query: &Query) -> Html {
    match Name::new(ad_id) {
        Some(id) => html! { <Link to={Place::new(Route::Ad(id), query.carried())}>{ text }</Link> },
        None => text,
    }
}

/// A link to the page of a campaign; the text alone where the id is not valid.
pub(super) fn to_campaign(campaign_id: &str, text: Html, query: &Query) -> Html {
    match Name::new(campaign_id) {
        Some(id) => html! { <Link to={Place::new(Route::Campaign(id), query.carried())}>{ text }</Link> },
        None => text,
    }
}

/// The page.
#[component]
pub fn CampaignPage(props: &Props) -> Html {
    let (access, view) = (use_access(), &props.view);
    let campaign_id = props.id.as_str();
    let url = |path: &str| {
        let scope = view.scope.as_ref().map(ToString::to_string)?;
        let parameters = [("advertiser_id", Some(scope)), ("campaign_id", Some(campaign_id.to_owned()))];
        Some(http::url(path, parameters))
    };
    let known = use_query::<Page<Campaign>>(url("/api/v1/campaigns"));
    let ads = use_query::<Page<ListedAd>>(url("/api/v1/ads"));
    let subject = Subject { dimension: Dimension::CampaignId, id: campaign_id.to_owned() };
    let traffic = use_traffic(view, &subject);
    let names: Rc<BTreeMap<String, String>> = use_memo(ads.data.as_ref().map(Rc::as_ptr), |_| {
        let all = ads.data.iter().flat_map(|page| &page.data);
        all.map(|ad| (ad.ad_id.clone(), ad.name.clone())).collect()
    });
    let all = use_memo(names.clone(), |names| names.keys().cloned().collect::<Vec<_>>());
    let registered = known.data.as_ref().map(|page| page.data.first().map(|campaign| campaign.name.clone()));
    let standing = standing(registered, traffic.received());
    if standing == Standing::Missing {
        return html! { <Sheet title={words::CAMPAIGN}><Empty title={words::NO_SUCH_CAMPAIGN} text={words::NO_SUCH_CAMPAIGN_WHY} /></Sheet> };
    }
    let title =
        if let Standing::Registered(name) = &standing { name.clone() } else { campaign_id.to_owned() };
    let query = &view.place.query;
    let edits = access.role() == Role::Admin && matches!(standing, Standing::Registered(_));
    let edit = Place::new(Route::Campaigns, Query { part: Some(campaign_id.to_owned()), ..query.carried() });
    let explore = Place::new(Route::Explore, subject.in_explore(query, Dimension::AdId));
    let actions = html! {
        <>
            <Link class="quiet" to={explore}>{ words::IN_EXPLORE }</Link>
            if edits {
                <Link class="quiet" to={edit}>{ words::EDIT }</Link>
            }
            <Export url={traffic::file(view, &subject, Dimension::AdId, traffic.now_ms)} name={format!("clickwire-{campaign_id}")} prints=true />
        </>
    };
    let head = {
        let (names, query) = (names.clone(), query.clone());
        Callback::from(move |ad_id: AttrValue| match names.get(&*ad_id) {
            Some(known) => {
                html! { <>{ to_ad(&ad_id, name(known), &query) }{ " " }{ id(&ad_id) }</> }
            }
            None => to_ad(&ad_id, id(&ad_id), &query),
        })
    };
    let tables = html! {
        <Within view={view.clone()} subject={subject.clone()} group={Dimension::AdId} now_ms={traffic.now_ms} {head} {all} />
    };
    html! {
        <Sheet {title} {actions}>
            if let Some(failure) = known.failure.clone().or(ads.failure.clone()) {
                <Problem {failure} onretry={known.reload.reform({ let again = ads.reload.clone(); move |()| again.emit(()) })} />
            }
            { traffic.problem() }
            <p class="links" data-testid="campaign">
                <span class="with-copy">{ id(campaign_id) }<Copy text={campaign_id.to_owned()} what={words::THE_CAMPAIGN_ID} /></span>
                if standing == Standing::Counted {
                    <Badge text={words::NOT_REGISTERED} /><span class="soft">{ words::NOT_REGISTERED_WHY }</span>
                }
            </p>
            { traffic.show(view, tables) }
        </Sheet>
    }
}
