//! The pages, at the left: names and signs, signs alone where there is less room, at the bottom of a phone.

use yew::prelude::*;

use crate::{
    api::Role,
    kit::{Item, Menu, icon},
    logo::Logo,
    route::{Route, Section},
    router::{Link, Place, use_router},
    words,
};

/// Properties of the rail.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// Place of the page that is shown.
    pub(super) place: Place,
    /// The role whose pages are listed.
    pub(super) role: Role,
}

/// The rail.
#[component]
pub(super) fn Rail(props: &Props) -> Html {
    let here = props.place.route.map(Route::base);
    let open: Vec<Route> = Route::RAIL.into_iter().filter(|route| route.is_open_to(props.role)).collect();
    html! {
        <nav class="rail" aria-label={words::PAGES}>
            <div class="brand"><Logo /><span>{ words::BRAND }</span></div>
            { for Section::ALL.into_iter().map(|section| {
                let pages: Vec<Route> = open.iter().copied().filter(|route| route.section() == section).collect();
                let is_seldom = pages.iter().all(|route| route.is_seldom());
                html! {
                    if !pages.is_empty() {
                        <div class={classes!("rail-section", is_seldom.then_some("seldom"))}>
                            <h2>{ section.title() }</h2>
                            <ul>{ for pages.into_iter().map(|route| entry(route, here, &props.place)) }</ul>
                        </div>
                    }
                }
            }) }
            <More pages={open.iter().copied().filter(|route| route.is_seldom()).collect::<Vec<_>>()} place={props.place.clone()} />
        </nav>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct MoreProps {
    pages: Vec<Route>,
    place: Place,
}

/// The menu, on a phone, of the pages that have no room at its bottom.
#[component]
fn More(props: &MoreProps) -> Html {
    let router = use_router();
    if props.pages.is_empty() {
        return html! {};
    }
    let here = props.place.route.map(Route::base);
    let items = props.pages.iter().map(|route| {
        let mark = if here == Some(route.base()) { "● " } else { "" };
        Item::new(route.base(), format!("{mark}{}", route.title()))
    });
    let is_here = props.pages.iter().any(|route| here == Some(route.base()));
    let carried = props.place.query.carried();
    let onchoose = Callback::from(move |base: AttrValue| {
        if let Some(route) = Route::read(&base) {
            router.go(Place::new(route, carried.clone()));
        }
    });
    html! {
        <div class={classes!("rail-more", is_here.then_some("current"))}>
            <Menu button={icon("M3.5 8v.1M8 8v.1M12.5 8v.1")} label={words::MORE_PAGES} items={items.collect::<Vec<_>>()} {onchoose} style="plain" />
        </div>
    }
}

fn entry(route: Route, here: Option<&str>, place: &Place) -> Html {
    let to = Place::new(route, place.query.carried());
    html! {
        <li key={route.base()} class={route.is_seldom().then_some("seldom")}>
            <Link {to} current={here == Some(route.base())} label={route.title()}>{ icon(sign(route)) }<span>{ route.title() }</span></Link>
        </li>
    }
}

fn sign(route: Route) -> &'static str {
    match route {
        Route::Overview => "M2 11l3.5-4 3 2.5L14 4M2 14h12",
        Route::Explore => "M2 13.5v-5h3v5zM6.5 13.5v-11h3v11zM11 13.5v-7h3v7z",
        Route::Clicks => "M7 12a5 5 0 1 0 0-10 5 5 0 0 0 0 10M10.7 10.7L14 14",
        Route::Statement => "M3.5 2h9v12l-2-1.5-2.5 1.5-2.5-1.5-2 1.5zM6 5.5h4M6 8.5h4",
        Route::Reports => "M8 2v7.5M4.8 6.5L8 9.7l3.2-3.2M2.5 13.5h11",
        Route::Deployment => {
            "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M2 8h12M8 2c-4.4 3.6-4.4 8.4 0 12M8 2c4.4 3.6 4.4 8.4 0 12"
        }
        Route::Wall => "M1.5 3h13v8.5h-13zM5.5 14h5M8 11.5V14",
        Route::Links => {
            "M6.5 9.5l3-3M7 4.5l1.7-1.7a2.9 2.9 0 0 1 4.1 4.1L11 8.6M9 11.5l-1.7 1.7a2.9 2.9 0 0 1-4.1-4.1L5 7.4"
        }
        Route::Developers => "M5 4L1.5 8 5 12M11 4l3.5 4-3.5 4M9 2.5l-2 11",
        Route::Incidents(_) => "M8 2l6.5 11.5h-13zM8 6.5v3M8 11.5v.2",
        Route::Pipeline => "M2 8h3l2-4.5 2.5 9L11.5 8H14",
        Route::DeadLetters(_) => "M2 4h12v8.5H2zM2 4.5l6 4.5 6-4.5",
        Route::Rules(_) => "M2 3h12l-4.5 5.5V13l-3 1.5v-6z",
        Route::Storage => {
            "M2.5 4c0-1.2 2.5-2 5.5-2s5.5.8 5.5 2-2.5 2-5.5 2-5.5-.8-5.5-2M2.5 4v8c0 1.2 2.5 2 5.5 2s5.5-.8 5.5-2V4M2.5 8c0 1.2 2.5 2 5.5 2s5.5-.8 5.5-2"
        }
        Route::Setup => "M8 2v12M2 8h12",
        Route::Advertisers => "M2.5 14V4L8 2l5.5 2v10M5.5 6.5h1M9.5 6.5h1M5.5 9.5h1M9.5 9.5h1M1.5 14h13",
        Route::Campaigns | Route::Campaign(_) => "M2 6.5v3h2.5l7 3.5V3l-7 3.5zM14 7v2",
        Route::Ads | Route::Ad(_) => "M2 3.5h12v9H2zM4.5 10l2-3.5 2 3.5M5.2 9h2.6M10.5 6.5v3.5",
        Route::Keys => "M9.5 9.5a3.5 3.5 0 1 0-3-3L2 11v3h3v-2h2v-2z",
        Route::TestClicks => "M3 2l9.5 5.5-4 1.2-1.8 4zM9.5 10l3 4",
        Route::Accounts | Route::Account => {
            "M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8M2.5 14c.6-3 2.6-4.4 5.5-4.4s4.9 1.4 5.5 4.4"
        }
        Route::Audit => "M3.5 2h9v12h-9zM6 5.5h4M6 8h4M6 10.5h2.5",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::render;

    #[tokio::test]
    async fn a_role_sees_its_pages_and_where_it_is() {
        let rail = async |path: &str, role| {
            render::<Rail>(Props { place: Place::read(path, "?a=adv_001&q=x"), role }).await
        };
        let advertiser = rail("/explore", Role::Advertiser).await;
        assert!(!advertiser.contains("/keys") && !advertiser.contains("/incidents"), "{advertiser}");
        assert!(advertiser.contains(r#"href="/explore?a=adv_001""#), "{advertiser}");
        assert_eq!(advertiser.matches(r#"aria-current="page""#).count(), 1, "{advertiser}");
        let admin = rail("/incidents/018f6f0e-7c1a-7e2b-9d3c-4b5a69788796", Role::Admin).await;
        assert!(admin.contains("/keys") && admin.contains("/audit"), "{admin}");
        assert_eq!(admin.matches(r#"aria-current="page""#).count(), 1, "one incident is among incidents");
    }
}
