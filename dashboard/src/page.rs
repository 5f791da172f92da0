//! The page of one advertiser, as a function of what is known: no browser in here.

use std::rc::Rc;

use clickwire_protocol::{alerts::FraudRate, ids::AdvertiserId, times::UnixMs};
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::{
    directory::Names, format, locale, logo::Logo, model::Status, numbers::Numbers, overview::Overview,
    status::Pill, theme,
};

/// Windows to choose from, in minutes.
const WINDOWS: [(u32, &str); 4] = [(5, "5m"), (15, "15m"), (60, "1h"), (240, "4h")];

/// All that the page shows and does.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The numbers.
    pub overview: Rc<Overview>,
    /// Minutes that end at or before this are final; `None`: the server has not said.
    pub final_before: Option<UnixMs>,
    /// The rule that says how much fraud is too much; `None`: it is off, or not known yet.
    pub fraud_rate: Option<FraudRate>,
    /// What the numbers are worth.
    pub status: Status,
    /// There are no numbers yet.
    pub loading: bool,
    /// Ids and names to choose from.
    pub advertisers: Rc<Names<AdvertiserId>>,
    /// Who is watched.
    pub advertiser_id: Option<AdvertiserId>,
    /// Names of campaigns.
    pub campaigns: Rc<Names>,
    /// The window.
    pub window_minutes: u32,
    /// Something that the viewer should know.
    pub notice: Option<AttrValue>,
    /// Changes when colours do.
    pub colours: u32,
    /// Hears the choice of an advertiser.
    pub onadvertiser: Callback<AdvertiserId>,
    /// Hears the choice of a window.
    pub onwindow: Callback<u32>,
    /// Hears the wish to connect again.
    pub onreconnect: Callback<()>,
    /// Hears the wish to leave.
    pub onleave: Callback<()>,
    /// Hears the choice of colours.
    pub ontheme: Callback<theme::Theme>,
}

/// The page.
#[component]
pub fn Page(props: &Props) -> Html {
    let refused = matches!(props.status, Status::Refused(_));
    html! {
        <>
            <header class="top">
                <div class="inner">
                    <div class="brand"><Logo /><span>{ "Clickwire" }</span></div>
                    <div class="actions">
                        <Pill status={props.status} edge_ms={(!props.loading).then_some(props.overview.edge_ms)} onconnect={props.onreconnect.clone()} />
                        <theme::Toggle onchange={props.ontheme.clone()} />
                        <button type="button" class="quiet" aria-label="Sign out" title="Sign out" onclick={props.onleave.reform(|_| ())}>
                            <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3" /></svg>
                        </button>
                    </div>
                </div>
            </header>
            <main class={classes!("page", (props.status.is_stale() && !props.loading).then_some("stale"))}>
                <div class="head">
                    <div>
                        <h1>{ "Clicks as they happen" }</h1>
                        <p class="soft">{ format!("Every click counted once. Times in your zone, {}.", locale::zone()) }</p>
                    </div>
                    <div class="choices">
                        { advertiser_choice(props) }
                        { window_choice(props) }
                    </div>
                </div>
                if props.notice.is_some() || refused {
                    <div class="notice" role="alert">
                        <p>{ props.notice.clone().unwrap_or_else(|| "The server closed the connection and asked not to come back by itself. The page may be older than the server: load it again.".into()) }</p>
                        if refused {
                            <button type="button" class="quiet" onclick={props.onreconnect.reform(|_| ())}>{ "Connect again" }</button>
                        }
                    </div>
                }
                <Numbers overview={props.overview.clone()} final_before={props.final_before} fraud_rate={props.fraud_rate}
                    is_live={props.status.is_live()} loading={props.loading} campaigns={props.campaigns.clone()}
                    window_minutes={props.window_minutes} colours={props.colours} />
            </main>
        </>
    }
}

fn advertiser_choice(props: &Props) -> Html {
    if props.advertisers.len() < 2 {
        let name = props.advertisers.values().next();
        return html! { if let Some(name) = name { <bdi class="advertiser">{ name }</bdi> } };
    }
    let onchange = props.onadvertiser.reform(|event: Event| {
        let chosen = event.target_dyn_into::<HtmlSelectElement>().map(|select| select.value());
        AdvertiserId::unchecked(chosen.unwrap_or_default())
    });
    html! {
        <label class="select">
            <span class="hidden">{ "Advertiser" }</span>
            <select {onchange}>
                { for props.advertisers.iter().map(|(id, name)| html! {
                    <option key={id.as_str()} value={id.to_string()} selected={props.advertiser_id.as_ref() == Some(id)}>{ name }</option>
                }) }
            </select>
        </label>
    }
}

fn window_choice(props: &Props) -> Html {
    html! {
        <div class="segments" role="group" aria-label="Window">
            { for WINDOWS.iter().map(|&(minutes, label)| html! {
                <button type="button" key={minutes} aria-pressed={(minutes == props.window_minutes).to_string()}
                    title={format!("Last {}", format::window(minutes))} onclick={props.onwindow.reform(move |_| minutes)}>{ label }</button>
            }) }
        </div>
    }
}
