//! The frame around every page: the rail with the pages that a role has, the bar with the choices of the page and
//! the viewer.
//!
//! The frame asks who the viewer is, again and again, which keeps a browser's session alive. As long as the
//! server can't say, the last answer stays; only a refusal leads back to the sign-in.

mod bar;
mod rail;
mod ranges;

use std::rc::Rc;

use web_sys::Element;
use yew::prelude::*;

use crate::{
    access::Access,
    account::{Credential, RENEW_EVERY_MS, SESSION},
    api::{Advertiser, Page, Role, Session},
    app::Program,
    ask::{use_interval, use_query},
    bundles::Given,
    calls::use_calls,
    http::Failure,
    incidents::{Open, use_open},
    kept::use_kept,
    kit::{Empty, Problem, Toasts},
    pages::Sheet,
    query::{LocalTime, Range},
    route::Route,
    router::{Link, Place, use_router},
    words,
    zone::{self, Zone},
};

/// The wait before a question that failed is asked again, in milliseconds.
const AGAIN_MS: u32 = 3_000;

/// Path of the list of advertisers to choose from.
const ADVERTISERS_URL: &str = "/api/v1/advertisers";

/// Properties of the frame.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The pages of this program.
    pub pages: Program,
    /// Credential for the API.
    pub credential: Credential,
    /// Hears who leaves, and whether because the server wants it.
    pub onleave: Callback<(Credential, bool)>,
}

/// The frame, with the page of the address in it.
#[component]
pub fn Frame(props: &Props) -> Html {
    let onrefused = {
        let (onleave, credential) = (props.onleave.clone(), props.credential.clone());
        Callback::from(move |()| onleave.emit((credential.clone(), true)))
    };
    let access = Access { onrefused, ..Access::new(props.credential.clone()) };
    html! {
        <ContextProvider<Access> context={access.clone()}>
            <Known ..KnownProps { pages: props.pages, access: access.clone(), kept_at: None, onleave: props.onleave.clone() } />
        </ContextProvider<Access>>
    }
}

/// Returns the wait before the server is asked again, in milliseconds: longer with each miss in a row, because a
/// proxy may reach the server for some questions only.
fn again_ms(misses: u32) -> u32 {
    AGAIN_MS << misses.saturating_sub(1).min(5)
}

#[derive(Clone, PartialEq, Properties)]
struct KnownProps {
    pages: Program,
    access: Access,
    /// Time at which the oldest answer that is shown without a server was stored, in milliseconds since the Unix epoch.
    kept_at: Option<i64>,
    onleave: Callback<(Credential, bool)>,
}

/// Finds out who the viewer is.
#[component]
fn Known(props: &KnownProps) -> Html {
    let session = use_query::<Session>(Some(SESSION.to_owned()));
    let is_known = session.data.is_some();
    let advertisers = use_query::<Page<Advertiser>>(is_known.then(|| ADVERTISERS_URL.to_owned()));
    let kept = use_kept();
    let again =
        [session.failure.is_some() || kept.at_ms.is_some(), is_known && advertisers.failure.is_some()];
    use_interval(if again[0] { again_ms(kept.misses) } else { RENEW_EVERY_MS }, session.reload.clone());
    use_interval(if again[1] { AGAIN_MS } else { 0 }, advertisers.reload.clone());
    // What was known before it is asked again, or why it was not.
    let names = use_mut_ref(|| None::<Result<Rc<Page<Advertiser>>, Failure>>);
    match (&advertisers.data, &advertisers.failure) {
        (Some(page), _) => *names.borrow_mut() = Some(Ok(page.clone())),
        (None, Some(failure)) if !matches!(&*names.borrow(), Some(Ok(_))) => {
            *names.borrow_mut() = Some(Err(failure.clone()));
        }
        (None, _) => {}
    }
    let Some(known) = session.data.clone() else {
        return match session.failure {
            Some(failure) if failure != Failure::SignedOut => html! {
                <main class="alone"><Problem {failure} onretry={session.reload.clone()} /></main>
            },
            Some(_) | None => html! {},
        };
    };
    let names = names.borrow().clone();
    let access = Access {
        session: Some((*known).clone()),
        advertisers: names.iter().flatten().next().map(|page| page.data.clone()),
        advertisers_failure: names.and_then(Result::err),
        onadvertisers: advertisers.reload.clone(),
        round: kept.round,
        ..props.access.clone()
    };
    html! {
        <ContextProvider<Access> context={access.clone()}>
            <Toasts><Inside pages={props.pages} {access} kept_at={kept.at_ms} onleave={props.onleave.clone()} /></Toasts>
        </ContextProvider<Access>>
    }
}

/// The whole frame, once the viewer is known.
#[component]
fn Inside(props: &KnownProps) -> Html {
    let router = use_router();
    let access = &props.access;
    let colours = use_state_eq(|| 0_u32);
    let sees_incidents = Route::Incidents(None).is_open_to(access.role());
    let open = use_open(access, sees_incidents);
    use_calls(&open, access);
    let ontheme = {
        let colours = colours.clone();
        Callback::from(move |()| colours.set(*colours + 1))
    };
    let onsignout = {
        let (onleave, credential) = (props.onleave.clone(), access.credential.clone());
        Callback::from(move |()| onleave.emit((credential.clone(), false)))
    };
    let view = View::new(&router.place, access);
    let given = Given { view: &view, access, colours: *colours, ontheme: &ontheme, onleave: &props.onleave };
    let content = page(props.pages, &given);
    if view.place.route.is_some_and(|route| route.is_alone() && route.is_open_to(access.role())) {
        return html! { <ContextProvider<Open> context={open}><div id="content" tabindex="-1">{ content }</div></ContextProvider<Open>> };
    }
    html! {
        <ContextProvider<Open> context={open.clone()}>
            <a class="skip" href="#content">{ words::SKIP }</a>
            <div class="frame">
                <rail::Rail place={router.place.clone()} role={access.role()} />
                <bar::Bar view={view.clone()} access={access.clone()} bell={sees_incidents.then(|| open.clone())}
                    colours={*colours} ontheme={ontheme.clone()} {onsignout} />
                <div id="content" class="content" tabindex="-1">
                    if let Some(at_ms) = props.kept_at {
                        <p class="kept" role="status" data-testid="kept">{ words::kept_at(&view.zone.precise_time_of_day(at_ms)) }</p>
                    }
                    { content }
                </div>
            </div>
        </ContextProvider<Open>>
    }
}

/// The page of a place, as far as the viewer may see it.
fn page(pages: Program, given: &Given<'_>) -> Html {
    let Given { view, access, .. } = given;
    let Some(route) = view.place.route else {
        return html! {
            <main class="sheet"><h1>{ words::NO_SUCH_PAGE }</h1>
                <p class="soft">{ words::NO_SUCH_PAGE_WHY }</p>
                <p><Link to={Place::new(Route::Overview, view.place.query.carried())}>{ words::OVERVIEW }</Link></p></main>
        };
    };
    if !route.is_open_to(access.role()) {
        return html! {
            <main class="sheet"><h1>{ route.title() }</h1>
                <Empty title={words::NOT_YOURS} text={words::not_yours_why(access.role())} /></main>
        };
    }
    // Live numbers ask for an advertiser of their own.
    if view.scope.is_none() && route.is_of_one_advertiser() && route != Route::Overview {
        return html! { <Sheet title={route.title()}><Nobody access={(*access).clone()} /></Sheet> };
    }
    (pages.0)(route, given).unwrap_or_default()
}

#[derive(Clone, PartialEq, Properties)]
struct NobodyProps {
    access: Access,
}

/// What a page about one advertiser shows as long as there is none.
#[component]
fn Nobody(props: &NobodyProps) -> Html {
    let access = &props.access;
    let own = access.role() == Role::Advertiser;
    let text = if own { words::NOTHING_IS_YOURS } else { words::NO_ADVERTISERS_WHY };
    match &access.advertisers_failure {
        _ if own || access.advertisers.is_some() => {
            html! { <Empty title={words::NO_ADVERTISERS} {text} /> }
        }
        Some(failure) => {
            html! { <Problem failure={failure.clone()} onretry={access.onadvertisers.clone()} /> }
        }
        None => html! { <span class="skeleton line" /> },
    }
}

/// The view of a page: its address, with the open parts filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The address.
    pub place: Place,
    /// The advertiser whose clicks are shown; `None`: all.
    pub scope: Option<clickwire_protocol::ids::AdvertiserId>,
    /// The time zone.
    pub zone: Zone,
}

impl View {
    fn new(place: &Place, access: &Access) -> Self {
        let zone = Zone::named(place.query.zone.as_deref());
        Self { place: place.clone(), scope: scope(place, access), zone }
    }

    /// Returns the range as the API takes it: the start, and the end if it is not now. An address without a range means
    /// a day.
    pub fn times(&self, now_ms: i64) -> (String, Option<String>) {
        let utc = |local: LocalTime| zone::rfc3339(local.to_utc_ms(|at_ms| self.zone.ahead_minutes(at_ms)));
        match self.place.query.range {
            Some(Range::Between(start, end)) => (utc(start), Some(utc(end))),
            Some(Range::Last(minutes)) => (zone::rfc3339(now_ms - i64::from(minutes) * 60_000), None),
            None => (zone::rfc3339(now_ms - i64::from(ranges::REPORT_MINUTES) * 60_000), None),
        }
    }

    /// Returns the window of live numbers: the one in the address if gateways keep it, or else the default.
    pub fn window_minutes(&self) -> u32 {
        match self.place.query.range {
            Some(Range::Last(minutes)) if ranges::LIVE.contains(&minutes) => minutes,
            _ => crate::model::DEFAULT_WINDOW_MINUTES,
        }
    }
}

/// Returns the advertiser whose clicks a page shows: the one in the address, or else the first, on a page about one.
fn scope(place: &Place, access: &Access) -> Option<clickwire_protocol::ids::AdvertiserId> {
    let own = access.session.as_ref().and_then(|session| session.advertisers.as_ref());
    let named = place.query.scope.clone();
    if let Some(own) = own {
        // A link of somebody who sees more.
        let named = named.filter(|named| own.iter().any(|id| id == named.as_str()));
        return named.or_else(|| own.first().map(clickwire_protocol::ids::AdvertiserId::unchecked));
    }
    let first = || {
        let first = access.advertisers.as_ref()?.first()?;
        Some(clickwire_protocol::ids::AdvertiserId::unchecked(&first.advertiser_id))
    };
    named.or_else(|| place.route.filter(|route| route.is_of_one_advertiser()).and_then(|_| first()))
}

/// Properties of the status of the numbers.
#[derive(Clone, PartialEq, Properties)]
pub struct StatusProps {
    /// The status.
    pub children: Html,
}

/// Shows how fresh a page's numbers are: in the bar, wherever on the page it is known.
#[component]
pub fn DataStatus(props: &StatusProps) -> Html {
    let host = use_state_eq(|| None::<Element>);
    {
        let host = host.clone();
        use_effect_with((), move |()| {
            let document = web_sys::window().and_then(|window| window.document());
            host.set(document.and_then(|document| document.get_element_by_id(bar::STATUS_ID)));
        });
    }
    match &*host {
        Some(host) => create_portal(props.children.clone(), host.clone()),
        None => html! {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::render;

    fn access(own: Option<&[&str]>, all: &[&str]) -> Access {
        let list = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        let advertisers =
            all.iter().map(|&id| Advertiser { advertiser_id: id.to_owned(), name: id.to_owned() });
        let role = if own.is_some() { Role::Advertiser } else { Role::Admin };
        Access {
            session: Some(Session { name: "Anna".into(), role, advertisers: own.map(list) }),
            advertisers: Some(advertisers.collect()),
            ..Access::new(Credential::Cookie)
        }
    }

    #[test]
    fn a_page_is_about_whom_the_address_names_if_the_viewer_may_see_it() {
        let both: &[&str] = &["a", "b"];
        for (own, all, path, query, expected) in [
            (Some(both), both, "/", "", Some("a")),
            (Some(both), both, "/explore", "?a=b", Some("b")),
            (Some(both), both, "/explore", "?a=c", Some("a")),
            (None, both, "/", "", Some("a")),
            (None, both, "/", "?a=c", Some("c")),
            (None, both, "/explore", "", None),
            (None, both, "/explore", "?a=b", Some("b")),
            (None, &[], "/", "", None),
        ] {
            let found = scope(&Place::read(path, query), &access(own, all));
            assert_eq!(
                found.as_ref().map(clickwire_protocol::ids::AdvertiserId::as_str),
                expected,
                "{own:?} {path}{query}"
            );
        }
    }

    #[tokio::test]
    async fn advertisers_that_could_not_be_loaded_are_not_said_to_be_none() {
        let shown = async |own: Option<&[&str]>, advertisers, advertisers_failure| {
            let access = Access { advertisers, advertisers_failure, ..access(own, &[]) };
            render::<Nobody>(NobodyProps { access }).await
        };
        let (wait, away, none) = ("skeleton", r#"role="alert""#, words::NO_ADVERTISERS.get());
        for (own, advertisers, failure, expected) in [
            (None, None, None, wait),
            (None, None, Some(Failure::Away), away),
            (None, Some(Vec::new()), None, none),
            // Whose advertisers the session names needs no list.
            (Some([].as_slice()), None, Some(Failure::Away), words::NOTHING_IS_YOURS.get()),
        ] {
            let html = shown(own, advertisers, failure).await;
            for part in [wait, away, none, words::NOTHING_IS_YOURS.get()] {
                let is_one = part == expected || (part == none && own.is_some());
                assert_eq!(html.contains(part), is_one, "{part}: {html}");
            }
        }
    }
}
