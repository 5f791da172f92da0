//! The pages of each program: pages for one role alone are loaded by nobody else. A link from one program's
//! pages to the other's loads it like any link; the address is all that they share.

use yew::prelude::*;

use crate::{
    access::Access,
    account::Credential,
    app::Live,
    frame::View,
    pages::{
        account::Account, accounts::Accounts, ad::AdPage, ads::Ads, advertisers::Advertisers, audit::Audit,
        campaign::CampaignPage, campaigns::Campaigns, clicks::Clicks, dead_letters::DeadLetters,
        deployment::Deployment, developers::Developers, explore::Explore, incidents::Incidents, keys::Keys,
        links::Links, pipeline::Pipeline, reports::Reports, rules::Rules, setup::Setup, statement::Statement,
        storage::Storage, test_clicks::TestClicks, wall::Wall, welcome::Welcome,
    },
    route::Route,
};

/// The input of a page.
pub struct Given<'a> {
    /// The address, and what it leaves open filled in.
    pub view: &'a View,
    /// The viewer.
    pub access: &'a Access,
    /// Changes when colours do.
    pub colours: u32,
    /// Hears that they have changed.
    pub ontheme: &'a Callback<()>,
    /// Hears who leaves, and whether because the server wants it.
    pub onleave: &'a Callback<(Credential, bool)>,
}

/// The page of a route; `None`: it is in another program.
pub type Pages = fn(Route, &Given<'_>) -> Option<Html>;

/// The overview.
pub fn clicks(route: Route, given: &Given<'_>) -> Option<Html> {
    let Given { view, access, colours, onleave, .. } = given;
    let is_empty = access.advertisers.as_ref().is_some_and(Vec::is_empty);
    match route {
        Route::Overview if is_empty => Some(html! { <Welcome role={access.role()} /> }),
        Route::Overview => Some(html! {
            <Live credential={access.credential.clone()} advertiser_id={view.scope.clone()} window_minutes={view.window_minutes()}
                zone={view.zone.clone()} colours={*colours} onleave={(*onleave).clone()} />
        }),
        _ => None,
    }
}

/// All other pages.
pub fn staff(route: Route, given: &Given<'_>) -> Option<Html> {
    let view = given.view.clone();
    match route {
        Route::Overview => None,
        Route::Explore => Some(html! { <Explore {view} /> }),
        Route::Clicks => Some(html! { <Clicks {view} /> }),
        Route::Statement => Some(html! { <Statement {view} /> }),
        Route::Reports => Some(html! { <Reports {view} /> }),
        Route::Deployment => Some(html! { <Deployment {view} /> }),
        Route::Wall => Some(html! { <Wall {view} /> }),
        Route::Links => Some(html! { <Links {view} /> }),
        // Another advertiser's campaign of the same name is another one.
        Route::Campaign(id) => {
            let key = format!("{:?} {id:?}", view.scope);
            Some(html! { <CampaignPage {view} {id} {key} /> })
        }
        Route::Ad(id) => {
            let key = format!("{:?} {id:?}", view.scope);
            Some(html! { <AdPage {view} {id} {key} /> })
        }
        Route::Developers => Some(html! { <Developers {view} /> }),
        Route::Incidents(id) => Some(html! { <Incidents {view} {id} /> }),
        Route::DeadLetters(sequence) => Some(html! { <DeadLetters {view} {sequence} /> }),
        Route::Pipeline => Some(html! { <Pipeline {view} /> }),
        Route::Storage => Some(html! { <Storage {view} /> }),
        Route::Rules(rule) => Some(html! { <Rules {view} {rule} /> }),
        Route::Setup => Some(html! { <Setup /> }),
        Route::Advertisers => Some(html! { <Advertisers /> }),
        Route::Campaigns => Some(html! { <Campaigns {view} /> }),
        Route::Ads => Some(html! { <Ads {view} /> }),
        Route::Keys => Some(html! { <Keys {view} /> }),
        Route::TestClicks => Some(html! { <TestClicks {view} /> }),
        Route::Accounts => Some(html! { <Accounts {view} /> }),
        Route::Audit => Some(html! { <Audit {view} /> }),
        Route::Account => {
            Some(html! { <Account {view} colours={given.colours} ontheme={given.ontheme.clone()} /> })
        }
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::pages::Bundle;

    use super::*;
    use crate::{query::Query, route::Name, router::Place, zone::Zone};

    #[test]
    fn the_service_worker_opens_an_address_with_the_same_program() {
        let first: Vec<_> = clickwire_protocol::pages::ADDRESSES
            .into_iter()
            .filter(|(_, bundle)| *bundle == Bundle::Clicks)
            .map(|(address, _)| format!("{address:?}"))
            .collect();
        let expected = format!("const FIRST = [{}];", first.join(", "));
        assert!(include_str!("../sw.js").contains(&expected), "sw.js: {expected}");
    }

    #[test]
    fn each_page_is_in_the_program_that_its_address_loads() {
        let access = Access::new(Credential::Cookie);
        let (onleave, ontheme) = (Callback::noop(), Callback::noop());
        let single = Name::new("x").map(|id| [Route::Campaign(id), Route::Ad(id)]).unwrap();
        for route in Route::RAIL.into_iter().chain(Route::BESIDE).chain(single) {
            let view = View { place: Place::new(route, Query::default()), scope: None, zone: Zone::utc() };
            let given =
                Given { view: &view, access: &access, colours: 0, ontheme: &ontheme, onleave: &onleave };
            let has = |pages: Pages| pages(route, &given).is_some();
            assert_eq!(has(clicks), route.bundle() == Bundle::Clicks, "{route:?}");
            assert_eq!(has(staff), route.bundle() == Bundle::Staff, "{route:?}");
        }
    }
}
