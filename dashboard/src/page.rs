//! The page of one advertiser, as a function of what is known: no browser in here.

use std::rc::Rc;

use clickwire_protocol::{alerts::FraudRate, ids::AdvertiserId, times::UnixMs};
use yew::prelude::*;

use crate::{directory::Names, model::Status, numbers::Numbers, overview::Overview, words, zone::Zone};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The numbers.
    pub overview: Rc<Overview>,
    /// Minutes that end at or before this are final; `None`: the server has not said.
    pub final_before: Option<UnixMs>,
    /// The rule that says how much fraud is too much; `None`: it is off, or not known yet.
    pub fraud_rate: Option<FraudRate>,
    /// Status of the numbers.
    pub status: Status,
    /// There are no numbers yet.
    pub loading: bool,
    /// Ids and names.
    pub advertisers: Rc<Names<AdvertiserId>>,
    /// Advertiser that is watched.
    pub advertiser_id: Option<AdvertiserId>,
    /// Names of campaigns.
    pub campaigns: Rc<Names>,
    /// The window.
    pub window_minutes: u32,
    /// The time zone.
    pub zone: Zone,
    /// Notice for the viewer.
    pub notice: Option<AttrValue>,
    /// Changes when colours do.
    pub colours: u32,
    /// Hears the wish to connect again.
    pub onreconnect: Callback<()>,
}

/// The page.
#[component]
pub fn Page(props: &Props) -> Html {
    let refused = matches!(props.status, Status::Refused(_));
    html! {
        <>
            <main class={classes!("page", (props.status.is_stale() && !props.loading).then_some("stale"))}>
                <h1><bdi>{ advertiser_name(props) }</bdi></h1>
                if props.notice.is_some() || refused {
                    <div class="notice" role="alert">
                        <p>{ props.notice.clone().unwrap_or_else(|| words::CLOSED_FOR_GOOD.into()) }</p>
                        if refused {
                            <button type="button" class="quiet" onclick={props.onreconnect.reform(|_| ())}>{ words::CONNECT_AGAIN }</button>
                        }
                    </div>
                }
                <Numbers overview={props.overview.clone()} final_before={props.final_before} fraud_rate={props.fraud_rate}
                    is_live={props.status.is_live()} loading={props.loading} campaigns={props.campaigns.clone()}
                    window_minutes={props.window_minutes} zone={props.zone.clone()} colours={props.colours} />
            </main>
        </>
    }
}

fn advertiser_name(props: &Props) -> String {
    let Some(id) = &props.advertiser_id else { return words::OVERVIEW.to_string() };
    props.advertisers.get(id).cloned().unwrap_or_else(|| id.to_string())
}
