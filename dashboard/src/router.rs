//! The address as state: read once, written with every change, followed when the browser goes back.
//!
//! A small router over the browser's history instead of a crate's: decision 0067.

use clickwire_protocol::pages::Bundle;
use gloo_events::EventListener;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{HtmlElement, MouseEvent};
use yew::prelude::*;

use crate::{query::Query, route::Route, words};

/// A page and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page; `None`: there is none at this address.
    pub route: Option<Route>,
    /// State of the page.
    pub query: Query,
}

impl Place {
    /// A page as it is by itself.
    pub fn new(route: Route, query: Query) -> Self {
        Self { route: Some(route), query }
    }

    /// Reads path and query of an address.
    pub fn read(path: &str, query: &str) -> Self {
        Self { route: Route::read(path), query: Query::read(query) }
    }

    /// Its address.
    pub fn href(&self) -> String {
        self.route.map_or_else(|| "/".to_owned(), Route::path) + &self.query.write()
    }
}

/// A way to another place.
#[derive(Clone, Debug, PartialEq)]
struct Going {
    to: Place,
    /// The present entry in the browser's history is replaced.
    replaces: bool,
}

/// The present place, and the ways to others.
#[derive(Clone, PartialEq)]
pub struct Router {
    /// Place that is shown.
    pub place: Place,
    go: Callback<Going>,
}

impl Router {
    /// A router that stays where it is.
    pub fn still(place: Place) -> Self {
        Self { place, go: Callback::noop() }
    }

    /// Goes to another place.
    pub fn go(&self, to: Place) {
        self.go.emit(Going { to, replaces: false });
    }

    /// Goes to another place, in the place of this one.
    pub fn replace(&self, to: Place) {
        self.go.emit(Going { to, replaces: true });
    }

    /// Changes the state of the same page.
    pub fn change(&self, change: impl FnOnce(&mut Query)) {
        let mut to = self.place.clone();
        change(&mut to.query);
        if to != self.place {
            self.go(to);
        }
    }
}

/// The router of the page.
#[hook]
pub fn use_router() -> Router {
    use_context::<Router>().unwrap_or_else(|| Router::still(Place::read("/", "")))
}

/// Returns the place in the address bar.
fn present() -> Place {
    let location = web_sys::window().map(|window| window.location());
    let part = |of: fn(&web_sys::Location) -> Result<String, JsValue>| {
        location.as_ref().and_then(|location| of(location).ok()).unwrap_or_default()
    };
    Place::read(&part(web_sys::Location::pathname), &part(web_sys::Location::search))
}

/// The program that shows a place.
fn bundle_of(place: &Place) -> Bundle {
    place.route.map_or(Bundle::Clicks, Route::bundle)
}

/// Goes to a page of the other program, as any link does.
fn load(going: &Going) {
    let Some(location) = web_sys::window().map(|window| window.location()) else { return };
    let href = going.to.href();
    let done = if going.replaces { location.replace(&href) } else { location.assign(&href) };
    // It fails only where a page may not leave its frame.
    done.ok();
}

fn remember(going: &Going) {
    let Some(history) = web_sys::window().and_then(|window| window.history().ok()) else { return };
    let href = going.to.href();
    let done = if going.replaces {
        history.replace_state_with_url(&JsValue::NULL, "", Some(&href))
    } else {
        history.push_state_with_url(&JsValue::NULL, "", Some(&href))
    };
    // A browser that limits how often an address changes shows the page all the same.
    done.ok();
}

/// Properties of the router's provider.
#[derive(Clone, PartialEq, Properties)]
pub struct RoutingProps {
    /// Content that knows the router.
    pub children: Html,
}

/// Gives the router to everything below.
#[component]
pub fn Routing(props: &RoutingProps) -> Html {
    let place = use_state_eq(present);
    {
        let place = place.setter();
        use_effect_with((), move |()| {
            let listener = web_sys::window()
                .map(|window| EventListener::new(&window, "popstate", move |_| place.set(present())));
            move || drop(listener)
        });
    }
    {
        let route = place.route;
        // The page's name, and the focus where its content begins: as after a page was loaded.
        let is_first = use_mut_ref(|| true);
        // Lists and what is in them have one base; one campaign is another page than the list of all.
        use_effect_with(route.map(|route| (route.base(), route.title())), move |_| {
            let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
            document.set_title(&words::document_title(&route.map_or(words::NO_SUCH_PAGE, Route::title)));
            if is_first.replace(false) {
                return;
            }
            let main =
                document.get_element_by_id("content").and_then(|main| main.dyn_into::<HtmlElement>().ok());
            if let Some(main) = main {
                main.focus().ok();
                main.scroll_into_view_with_bool(true);
            }
        });
    }
    let go = {
        let present_place = (*place).clone();
        let place = place.setter();
        let here = bundle_of(&present_place);
        Callback::from(move |going: Going| {
            if bundle_of(&going.to) == here {
                remember(&going);
                place.set(going.to);
            } else {
                load(&going);
            }
        })
    };
    let router = Router { place: (*place).clone(), go };
    html! { <ContextProvider<Router> context={router}>{ props.children.clone() }</ContextProvider<Router>> }
}

/// Properties of a link.
#[derive(Clone, PartialEq, Properties)]
pub struct LinkProps {
    /// Place to which the link leads.
    pub to: Place,
    /// The place is the present one.
    #[prop_or_default]
    pub current: bool,
    /// Classes.
    #[prop_or_default]
    pub class: Classes,
    /// Its name where the content is a sign.
    #[prop_or_default]
    pub label: Option<AttrValue>,
    /// Content of the link.
    pub children: Html,
}

/// A link within the page. Opened in another tab it is a link like any other.
#[component]
pub fn Link(props: &LinkProps) -> Html {
    let router = use_router();
    let onclick = {
        let to = props.to.clone();
        Callback::from(move |event: MouseEvent| {
            let elsewhere = event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key();
            if event.button() == 0 && !elsewhere {
                event.prevent_default();
                router.go(to.clone());
            }
        })
    };
    html! {
        <a href={props.to.href()} class={props.class.clone()} aria-current={props.current.then_some("page")}
            aria-label={props.label.clone()} title={props.label.clone()} {onclick}>{ props.children.clone() }</a>
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::query::Range;

    #[test]
    fn a_change_of_state_is_an_entry_that_the_browser_goes_back_from() {
        let gone = Rc::new(RefCell::new(Vec::new()));
        let go = {
            let gone = gone.clone();
            Callback::from(move |going: Going| gone.borrow_mut().push((going.to.href(), going.replaces)))
        };
        let router = Router { place: Place::read("/explore", "?r=1h"), go };
        router.change(|query| query.range = Range::read("2026-11-01..2026-11-02"));
        router.change(|query| query.range = Range::read("1h"));
        router.replace(Place::read("/explore", "?q=x"));
        let expected = [("/explore?r=2026-11-01..2026-11-02", false), ("/explore?q=x", true)];
        assert_eq!(*gone.borrow(), expected.map(|(href, replaces)| (href.to_owned(), replaces)));
    }

    #[test]
    fn a_place_is_its_address() {
        for href in ["/", "/explore?a=adv_001&by=campaign", "/incidents?p=all"] {
            let (path, query) = href.split_once('?').unwrap_or((href, ""));
            assert_eq!(Place::read(path, query).href(), href);
        }
        assert_eq!(Place::read("/nothing", "?a=x").route, None);
    }
}
