//! Which pages are in which program: what one role alone sees, nobody else loads. A link from one program's
//! pages to the other's loads it like any link; the address is all that they share.

use yew::prelude::*;

use crate::{
    access::Access,
    account::Credential,
    app::Live,
    frame::View,
    pages::{
        account::Account, accounts::Accounts, ads::Ads, advertisers::Advertisers, audit::Audit,
        campaigns::Campaigns, clicks::Clicks, dead_letters::DeadLetters, developers::Developers,
        explore::Explore, incidents::Incidents, keys::Keys, pipeline::Pipeline, reports::Reports,
        rules::Rules, setup::Setup, statement::Statement, storage::Storage, test_clicks::TestClicks,
        welcome::Welcome,
    },
    route::Route,
};

/// What a page is given.
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

/// Pages about clicks.
pub fn clicks(route: Route, given: &Given<'_>) -> Option<Html> {
    let Given { view, access, colours, onleave, .. } = given;
    let is_empty = access.advertisers.as_ref().is_some_and(Vec::is_empty);
    match route {
        Route::Overview if is_empty => Some(html! { <Welcome role={access.role()} /> }),
        Route::Overview => Some(html! {
            <Live credential={access.credential.clone()} advertiser_id={view.scope.clone()} window_minutes={view.window_minutes()}
                colours={*colours} onleave={(*onleave).clone()} />
        }),
        Route::Explore => Some(html! { <Explore view={(*view).clone()} /> }),
        _ => None,
    }
}

/// Pages of operators and administrators, and those that everybody needs now and then.
pub fn staff(route: Route, given: &Given<'_>) -> Option<Html> {
    let view = given.view.clone();
    match route {
        Route::Overview | Route::Explore => None,
        Route::Clicks => Some(html! { <Clicks {view} /> }),
        Route::Statement => Some(html! { <Statement {view} /> }),
        Route::Reports => Some(html! { <Reports {view} /> }),
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
    use crate::{query::Query, router::Place, zone::Zone};

    #[test]
    fn each_page_is_in_the_program_that_its_address_loads() {
        let access = Access::new(Credential::Cookie);
        let (onleave, ontheme) = (Callback::noop(), Callback::noop());
        for route in Route::RAIL.into_iter().chain(Route::BESIDE) {
            let view = View { place: Place::new(route, Query::default()), scope: None, zone: Zone::utc() };
            let given =
                Given { view: &view, access: &access, colours: 0, ontheme: &ontheme, onleave: &onleave };
            let has = |pages: Pages| pages(route, &given).is_some();
            assert_eq!(has(clicks), route.bundle() == Bundle::Clicks, "{route:?}");
            assert_eq!(has(staff), route.bundle() == Bundle::Staff, "{route:?}");
        }
    }
}
