//! The first page of a deployment without advertisers: an administrator is led to the first steps.

use yew::prelude::*;

use super::Sheet;
use crate::{
    api::Role,
    kit::Empty,
    query::Query,
    route::Route,
    router::{Place, use_router},
    words,
};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The viewer's role.
    pub role: Role,
}

/// The page.
#[component]
pub fn Welcome(props: &Props) -> Html {
    let router = use_router();
    let leads_on = Route::Setup.is_open_to(props.role);
    use_effect_with(leads_on, move |&leads_on| {
        if leads_on {
            router.replace(Place::new(Route::Setup, Query::default()));
        }
    });
    let text = if props.role == Role::Advertiser { words::NOTHING_IS_YOURS } else { words::NOTHING_IS_THERE };
    html! { <Sheet title={words::OVERVIEW}><Empty title={words::NO_ADVERTISERS} {text} /></Sheet> }
}
