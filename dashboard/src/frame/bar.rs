//! The bar above a page: the choices of advertiser, range, comparison and zone; the status of the numbers; incidents;
//! the viewer.

use clickwire_protocol::{alerts::Severity, ids::AdvertiserId, report::Compare};
use yew::prelude::*;

use super::{View, ranges};
use crate::{
    access::Access,
    incidents::Open,
    kit::{Dialog, Field, Item, Menu, Select, icon, use_field},
    query::{LocalTime, Query, Range},
    route::Route,
    router::{Link, Place, use_router},
    theme::Theme,
    words, zone,
};

/// Id of the element in which pages show the status of their numbers.
pub(super) const STATUS_ID: &str = "data-status";

const ALL: &str = "";
const OTHER: &str = "other";

/// Properties of the bar.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// View of the page.
    pub(super) view: View,
    /// The viewer.
    pub(super) access: Access,
    /// Incidents, for those who look after them.
    pub(super) bell: Option<Open>,
    /// Changes when colours do.
    pub(super) colours: u32,
    /// Hears that colours have changed.
    pub(super) ontheme: Callback<()>,
    /// Hears the wish to leave.
    pub(super) onsignout: Callback<()>,
}

/// The bar.
#[component]
pub(super) fn Bar(props: &Props) -> Html {
    let place = &props.view.place;
    let has = |of: fn(Route) -> bool| place.route.is_some_and(of);
    html! {
        <header class="topbar">
            <div class="bar-choices">
                if has(Route::has_scope) {
                    <Scope view={props.view.clone()} access={props.access.clone()} />
                }
                if let Some(route) = place.route.filter(|route| *route == Route::Overview || route.has_range()) {
                    <Span {route} view={props.view.clone()} />
                }
                if has(Route::compares) {
                    <Against query={place.query.clone()} />
                }
                if has(|route| route != Route::Setup) {
                    <ZoneChoice view={props.view.clone()} />
                }
            </div>
            <div class="bar-state">
                <div id={STATUS_ID} />
                if let Some(open) = &props.bell {
                    { bell(open, &place.query) }
                }
                <You access={props.access.clone()} carried={place.query.carried()} colours={props.colours} ontheme={props.ontheme.clone()} onsignout={props.onsignout.clone()} />
            </div>
        </header>
    }
}

fn bell(open: &Open, query: &Query) -> Html {
    let ringing = open.ringing();
    let tone = match open.worst() {
        Some(Severity::Critical) => "critical",
        Some(Severity::Warning) => "warning",
        None => "calm",
    };
    html! {
        <Link class={classes!("bell", tone)} to={Place::new(Route::Incidents(None), query.carried())} label={words::bell(open.is_known, ringing, open.total() - ringing)}>
            { icon("M4 11V7.2a4 4 0 0 1 8 0V11l1.2 1.5H2.8zM6.5 14h3") }
            if open.is_known && ringing > 0 {
                <span class="count" data-testid="bell">{ crate::format::count(ringing) }</span>
            }
        </Link>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ViewAndAccess {
    view: View,
    access: Access,
}

/// The advertiser whose clicks are shown.
#[component]
fn Scope(props: &ViewAndAccess) -> Html {
    let router = use_router();
    let (view, access) = (&props.view, &props.access);
    let is_limited = access.session.as_ref().is_some_and(|session| session.advertisers.is_some());
    let advertisers = access.advertisers.clone().unwrap_or_default();
    let must_be_one = is_limited || view.place.route.is_some_and(Route::is_of_one_advertiser);
    if advertisers.len() == 1 && must_be_one {
        return html! { <span class="bar-scope"><bdi>{ &advertisers[0].name }</bdi></span> };
    }
    let mut options: Vec<(AttrValue, AttrValue)> =
        advertisers.iter().map(|a| (a.advertiser_id.clone().into(), a.name.clone().into())).collect();
    if !must_be_one {
        options.insert(0, (ALL.into(), words::ALL_ADVERTISERS.into()));
    }
    let value = view.scope.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default();
    if advertisers.is_empty() {
        return html! {};
    }
    if !options.iter().any(|(key, _)| *key == value) {
        // Beyond the first thousand, or none of those that are registered.
        options.push((value.clone().into(), value.clone().into()));
    }
    let onchoose = Callback::from(move |chosen: AttrValue| {
        router.change(|query| {
            query.scope = AdvertiserId::new(&chosen).ok();
            // Campaigns and ads are an advertiser's.
            query.filters.clear();
            query.search.clear();
            query.line = None;
            query.part = None;
        });
    });
    html! { <Select id="scope" label={words::ADVERTISER} {options} {value} {onchoose} bare=true /> }
}

#[derive(Clone, PartialEq, Properties)]
struct SpanProps {
    route: Route,
    view: View,
}

/// The choice of the range.
#[component]
fn Span(props: &SpanProps) -> Html {
    let router = use_router();
    let chooses = use_state_eq(|| false);
    let route = props.route;
    let mut options: Vec<(AttrValue, AttrValue)> =
        ranges::options(route).into_iter().map(|(key, text)| (key.into(), text.into())).collect();
    let range = props.view.place.query.range.clone();
    let is_live = route == Route::Overview;
    let present = match (&range, is_live) {
        (_, true) => Range::Last(props.view.window_minutes()),
        (Some(range), false) => range.clone(),
        (None, false) => Range::Last(ranges::usual(route)),
    };
    let value = present.write();
    if !options.iter().any(|(key, _)| *key == value) {
        options.push((value.clone().into(), words::range(&present).into()));
    }
    if !is_live {
        options.push((OTHER.into(), words::OTHER_RANGE.into()));
    }
    let onchoose = {
        let (router, chooses) = (router.clone(), chooses.clone());
        Callback::from(move |chosen: AttrValue| {
            if chosen == OTHER {
                chooses.set(true);
            } else {
                router.change(|query| query.range = Range::read(&chosen));
            }
        })
    };
    let onclose = {
        let chooses = chooses.clone();
        Callback::from(move |()| chooses.set(false))
    };
    html! {
        <>
            <Select id="range" label={words::RANGE} {options} {value} {onchoose} bare=true key={chooses.to_string()} />
            if *chooses {
                <Between view={props.view.clone()} {onclose} />
            }
        </>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct BetweenProps {
    view: View,
    onclose: Callback<()>,
}

/// The form for a range from one time to another.
#[component]
fn Between(props: &BetweenProps) -> Html {
    let router = use_router();
    let now = LocalTime(now_in(&props.view));
    let (start, end) = match props.view.place.query.range {
        Some(Range::Between(start, end)) => (start, end),
        // Since the midnight before, up to the minute.
        _ => (LocalTime(now.0.div_euclid(1_440) * 1_440), now),
    };
    let (start, onstart) = use_field(&start.to_field());
    let (end, onend) = use_field(&end.to_field());
    let range = Range::read(&format!("{start}..{end}"));
    let error = range.is_none().then(|| words::NOT_A_RANGE.to_string());
    let onsubmit = {
        let (onclose, zone) = (props.onclose.clone(), props.view.zone.name.to_string());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            if let Some(range) = range.clone() {
                onclose.emit(());
                // Times of a zone, which may be this browser's choice: the link says it.
                router.change(|query| (query.range, query.zone) = (Some(range), Some(zone.clone())));
            }
        })
    };
    html! {
        <Dialog title={words::OTHER_RANGE} onclose={props.onclose.clone()}>
            <form {onsubmit} class="form">
                <Field id="range-start" kind="datetime-local" label={words::FROM} value={start} oninput={onstart} required=true first=true />
                <Field id="range-end" kind="datetime-local" label={words::TO} value={end} oninput={onend} required=true {error}
                    hint={words::in_zone(&props.view.zone.name)} />
                <div class="form-end"><button type="submit" class="primary">{ words::SHOW }</button></div>
            </form>
        </Dialog>
    }
}

fn now_in(view: &View) -> i64 {
    let now_ms = crate::clock::now_ms();
    now_ms.div_euclid(60_000) + view.zone.ahead_minutes(now_ms)
}

#[derive(Clone, PartialEq, Properties)]
struct QueryProps {
    query: Query,
}

/// The choice of the comparison.
#[component]
fn Against(props: &QueryProps) -> Html {
    let router = use_router();
    let options =
        [("", words::NO_COMPARISON), ("previous", words::PERIOD_BEFORE), ("year", words::YEAR_BEFORE)];
    let options = options.map(|(key, text)| (key.into(), text.into())).to_vec();
    let value = props.query.compare.map_or("", Compare::as_str);
    let onchoose = Callback::from(move |chosen: AttrValue| {
        router.change(|query| {
            query.compare =
                [Compare::Previous, Compare::Year].into_iter().find(|known| known.as_str() == chosen);
        });
    });
    html! { <Select id="compare" label={words::COMPARE} {options} {value} {onchoose} bare=true /> }
}

#[derive(Clone, PartialEq, Properties)]
struct ZoneProps {
    view: View,
}

/// The choice of the zone.
#[component]
fn ZoneChoice(props: &ZoneProps) -> Html {
    let router = use_router();
    let all = use_memo((), |()| zone::all());
    let mut options: Vec<(AttrValue, AttrValue)> =
        all.iter().map(|name| (name.clone().into(), name.replace('_', " ").into())).collect();
    let value = props.view.zone.name.clone();
    if !options.iter().any(|(key, _)| *key == value) {
        options.push((value.clone(), value.clone()));
    }
    let onchoose = Callback::from(move |chosen: AttrValue| {
        router.change(|query| query.zone = Some(chosen.to_string()));
    });
    html! { <Select id="zone" label={words::ZONE} {options} {value} {onchoose} bare=true /> }
}

#[derive(Clone, PartialEq, Properties)]
struct YouProps {
    access: Access,
    carried: Query,
    colours: u32,
    ontheme: Callback<()>,
    onsignout: Callback<()>,
}

/// The viewer, and what the viewer may choose.
#[component]
fn You(props: &YouProps) -> Html {
    let theme = use_state_eq(Theme::default);
    {
        let theme = theme.clone();
        use_effect_with(props.colours, move |_| theme.set(Theme::stored()));
    }
    let router = use_router();
    let session = props.access.session.as_ref();
    let name = session.map(|session| words::person(&session.name).to_owned()).unwrap_or_default();
    let head = html! {
        <div class="you">
            <bdi class="you-name">{ &name }</bdi>
            <span class="soft">{ words::role(props.access.role()) }</span>
        </div>
    };
    let mut items: Vec<Item> = Theme::ALL
        .into_iter()
        .map(|choice| {
            let mark = if choice == *theme { "● " } else { "○ " };
            Item::new(choice.label(), format!("{mark}{}", words::colours(choice)))
        })
        .collect();
    items.insert(0, Item::new("account", words::ACCOUNT));
    items.push(Item::new("out", words::SIGN_OUT));
    let onchoose = {
        let (theme, ontheme, onsignout) = (theme.clone(), props.ontheme.clone(), props.onsignout.clone());
        let account = Place::new(Route::Account, props.carried.clone());
        Callback::from(move |key: AttrValue| {
            match Theme::ALL.into_iter().find(|choice| choice.label() == key) {
                Some(choice) => {
                    choice.apply();
                    theme.set(choice);
                    ontheme.emit(());
                }
                None if key == "account" => router.go(account.clone()),
                None => onsignout.emit(()),
            }
        })
    };
    let button = html! {
        <>{ icon("M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8M2.5 14c.6-3 2.6-4.4 5.5-4.4s4.9 1.4 5.5 4.4") }<bdi class="wide">{ &name }</bdi></>
    };
    html! { <Menu {button} label={words::you(&name)} {head} {items} {onchoose} style="quiet you-button" /> }
}
