//! `/links`: the links of an advertiser's ads, to copy and to try out.

mod trial;

use clickwire_protocol::registry::ListedAd;
use yew::prelude::*;

use self::trial::Trial;
use super::{
    Sheet,
    ad::link,
    campaign::{to_ad, to_campaign},
    id, name, on_submit, sets_none,
};
use crate::{
    api::Page,
    ask::use_pages,
    frame::View,
    http,
    kit::{Column, Drawer, Empty, Field, Pager, Problem, Table},
    router::use_router,
    words,
};

/// Ads per page of the list.
const ROWS: usize = 100;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// Returns the API's URL for the ads that an address searches for; `None`: no advertiser is chosen.
fn url(view: &View) -> Option<String> {
    let scope = view.scope.as_ref().map(ToString::to_string)?;
    let search = Some(view.place.query.search.clone()).filter(|search| !search.is_empty());
    let parameters = [("advertiser_id", Some(scope)), ("search", search), ("limit", Some(ROWS.to_string()))];
    Some(http::url("/api/v1/ads", parameters))
}

/// The page.
#[component]
pub fn Links(props: &Props) -> Html {
    let view = &props.view;
    let query = view.place.query.clone();
    let list = use_pages::<Page<ListedAd>>(url(view));
    // A test click is no part of the address: whoever loads the page again makes no other one.
    let tried = use_state_eq(|| None::<ListedAd>);
    {
        let tried = tried.setter();
        use_effect_with(view.scope.clone(), move |_| tried.set(None));
    }
    let aside = (*tried).clone().map(|ad| {
        let key = ad.ad_id.clone();
        html! {
            <Drawer title={words::test_click_on(&ad.name)} onclose={sets_none(&tried)} {key}><Trial {ad} view={view.clone()} /></Drawer>
        }
    });
    let selected = tried.as_ref().and_then(|ad| list.rows.iter().position(|row| row.ad_id == ad.ad_id));
    let row = {
        let (rows, tried, query) = (list.rows.clone(), tried.setter(), query.clone());
        Callback::from(move |index: usize| {
            let ad = &rows[index];
            let (tried, wanted) = (tried.clone(), ad.clone());
            let onclick = Callback::from(move |_: MouseEvent| tried.set(Some(wanted.clone())));
            vec![
                to_ad(&ad.ad_id, name(&ad.name), &query),
                id(&ad.ad_id),
                to_campaign(&ad.campaign_id, name(&ad.campaign_name), &query),
                link(&ad.ad_id),
                html! { <span class="url" title={ad.target_url.clone()}>{ &ad.target_url }</span> },
                html! {
                    <button type="button" class="link" data-key="test" aria-label={words::test_click_on(&ad.name)} {onclick}>{ words::TEST_CLICK }</button>
                },
            ]
        })
    };
    let columns = [words::AD, words::ID, words::CAMPAIGN, words::LINK, words::TARGET, words::ACTIONS];
    let empty = if query.search.is_empty() {
        html! { <Empty title={words::NO_ADS} text={words::NO_ADS_WHY} /> }
    } else {
        html! { <Empty title={words::NO_AD_MATCHES} text={words::NO_AD_MATCHES_WHY} /> }
    };
    html! {
        <Sheet title={words::LINKS} {aside}>
            <p class="soft lead">{ words::LINKS_LEAD }</p>
            <Search search={query.search.clone()} />
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::LINKS} columns={columns.map(Column::text).to_vec()} rows={list.rows.len()} {row} {selected} loaded={list.loaded()} {empty} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct SearchProps {
    search: String,
}

/// The field that ads are searched in.
#[component]
fn Search(props: &SearchProps) -> Html {
    let router = use_router();
    let entered = use_state_eq(|| props.search.clone());
    {
        // The same field for another address: the focus stays in it.
        let entered = entered.setter();
        use_effect_with(props.search.clone(), move |search| entered.set(search.clone()));
    }
    let oninput = {
        let entered = entered.setter();
        Callback::from(move |text: String| entered.set(text))
    };
    let onsubmit = {
        let (router, entered) = (router.clone(), entered.clone());
        on_submit(move || router.change(|query| query.search = entered.trim().to_owned()))
    };
    let onclear = Callback::from(move |_: MouseEvent| router.change(|query| query.search.clear()));
    html! {
        <form class="toolbar search" {onsubmit} role="search">
            <Field id="ad-search" label={words::SEARCH_ADS} value={(*entered).clone()} {oninput} />
            <div class="search-end">
                <button type="submit" class="primary">{ words::SEARCH }</button>
                if !props.search.is_empty() {
                    <button type="button" class="quiet" onclick={onclear}>{ words::CLEAR }</button>
                }
            </div>
        </form>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{query::Query, route::Route, router::Place, zone::Zone};

    #[test]
    fn what_an_address_searches_is_asked_of_its_advertiser() {
        let view = |address: &str| {
            let place = Place::new(Route::Links, Query::read(address));
            let scope = place.query.scope.clone();
            View { place, scope, zone: Zone::utc() }
        };
        for (address, asked) in [
            ("", None),
            ("?q=x", None),
            ("?a=adv_001", Some("/api/v1/ads?advertiser_id=adv_001&limit=100")),
            ("?a=adv_001&q=a%20b%25", Some("/api/v1/ads?advertiser_id=adv_001&search=a%20b%25&limit=100")),
        ] {
            assert_eq!(url(&view(address)).as_deref(), asked, "{address}");
        }
    }
}
