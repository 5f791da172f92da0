//! The page of one advertiser, as a function of what is known: no browser in here.

use std::rc::Rc;

use clickwire_protocol::{alerts::FraudRate, counts::Counts, ids::AdvertiserId, settings::Settings};
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::{
    breakdown::Breakdown,
    chart::Chart,
    directory::Names,
    format,
    kpi::{Chip, Kpi, Tone},
    logo::Logo,
    model::Status,
    overview::{Overview, Severity, severity},
    palette::Palette,
    stack::Stack,
    status::Pill,
    theme,
};

/// Windows to choose from, in minutes.
const WINDOWS: [(u32, &str); 4] = [(5, "5m"), (15, "15m"), (60, "1h"), (240, "4h")];

/// All that the page shows and does.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The numbers.
    pub overview: Rc<Overview>,
    /// The chart's layers.
    pub stack: Rc<Stack>,
    /// Who has which colour.
    pub palette: Palette,
    /// How the deployment judges numbers; `None`: that is not known yet.
    pub settings: Option<Settings>,
    /// The connection.
    pub status: Status,
    /// How long ago the gateway was last heard, in milliseconds.
    pub age_ms: Option<i64>,
    /// There are no numbers yet.
    pub loading: bool,
    /// Ids and names to choose from.
    pub advertisers: Vec<(AdvertiserId, String)>,
    /// Who is watched.
    pub advertiser_id: Option<AdvertiserId>,
    /// Names of campaigns.
    pub campaigns: Names,
    /// The window.
    pub window_minutes: u32,
    /// The viewer's zone, in minutes ahead of UTC.
    pub zone_offset_minutes: i64,
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
    let window = AttrValue::from(format::window(props.window_minutes));
    let refused = matches!(props.status, Status::Refused(_));
    html! {
        <>
            <header class="top">
                <div class="inner">
                    <div class="brand"><Logo /><span>{ "Clickwire" }</span></div>
                    <div class="actions">
                        <Pill status={props.status} age_ms={props.age_ms} />
                        <theme::Toggle onchange={props.ontheme.clone()} />
                        <button type="button" class="quiet" aria-label="Sign out" title="Sign out" onclick={props.onleave.reform(|_| ())}>
                            <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3" /></svg>
                        </button>
                    </div>
                </div>
            </header>
            <main class={classes!("page", (!props.status.is_current() && !props.loading).then_some("stale"))}>
                <div class="head">
                    <div>
                        <h1>{ "Clicks as they happen" }</h1>
                        <p class="soft">{ format!("Every click counted once. Times in your zone, {}.", format::zone(props.zone_offset_minutes)) }</p>
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
                <div class="kpis">{ cards(props, &window) }</div>
                <section class="card chart" aria-labelledby="chart-title">
                    <h2 id="chart-title">{ "Clicks by minute" }</h2>
                    <Chart stack={props.stack.clone()} names={props.campaigns.clone()} zone_offset_minutes={props.zone_offset_minutes}
                        window={window.clone()} provisional_ms={props.settings.as_ref().map(|settings| settings.provisional_ms)} empty={props.overview.is_empty()} loading={props.loading} colours={props.colours} />
                </section>
                <section class="card" aria-labelledby="table-title">
                    <div class="title"><h2 id="table-title">{ "By campaign" }</h2><span class="soft">{ format!("last {window}") }</span></div>
                    <Breakdown campaigns={props.overview.campaigns.clone()} names={props.campaigns.clone()} palette={props.palette.clone()}
                        fraud_rate={fraud_rate(props)} loading={props.loading} caption={format!("Clicks by campaign in the last {window}")} />
                </section>
            </main>
        </>
    }
}

fn fraud_rate(props: &Props) -> Option<FraudRate> {
    props.settings.as_ref().and_then(|settings| settings.fraud_rate)
}

fn advertiser_choice(props: &Props) -> Html {
    if props.advertisers.len() < 2 {
        let name = props.advertisers.first().map(|(_, name)| name.clone());
        return html! { if let Some(name) = name { <span class="advertiser">{ name }</span> } };
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

fn cards(props: &Props, window: &str) -> Html {
    let (overview, loading) = (&props.overview, props.loading);
    let total = &overview.total;
    let steps = overview.steps();
    let spark = |of: fn(&Counts) -> f64| steps.iter().map(of).collect::<Vec<f64>>();
    let growth = |ratio: Option<f64>| {
        ratio.map(|ratio| Chip {
            text: format::change(ratio),
            title: "later against earlier half of the window".to_owned(),
            tone: if ratio < 0.0 { Tone::Neutral } else { Tone::Good },
        })
    };
    let rate = overview.trailing_minute();
    let rule = fraud_rate(props);
    let (tone, verdict) = match severity(total, rule.as_ref()) {
        Severity::Calm => (Tone::Neutral, None),
        Severity::Warning => (Tone::Warning, Some("Warning")),
        Severity::Critical => (Tone::Critical, Some("Critical")),
    };
    let fraud_chip = match (verdict, overview.change_of_fraud_rate().filter(|points| points.abs() >= 0.000_5))
    {
        (Some(verdict), _) => Some(Chip {
            text: verdict.to_owned(),
            title: rule
                .map(|rule| {
                    format!(
                        "warning from {}%, critical from {}%",
                        rule.warning_percent, rule.critical_percent
                    )
                })
                .unwrap_or_default(),
            tone,
        }),
        (None, Some(points)) => Some(Chip {
            text: format::points(points),
            title: "later against earlier half of the window".to_owned(),
            tone: if points > 0.0 { Tone::Neutral } else { Tone::Good },
        }),
        (None, None) => None,
    };
    let billable = if total.clicks() > 0 {
        format!("{} of clicks", format::percent(Some(total.valid as f64 / total.clicks() as f64)))
    } else {
        "no clicks yet".to_owned()
    };
    html! {
        <>
            <Kpi label="Clicks" testid="kpi-clicks" value={format::count(total.clicks())} data_value={total.clicks().to_string()}
                note={format!("last {window}")} chip={growth(overview.change_of_clicks())} spark={spark(|counts| counts.clicks() as f64)} {loading} />
            <Kpi label="Billable" testid="kpi-billable" value={format::count(total.valid)} data_value={total.valid.to_string()}
                note={billable} chip={growth(overview.change_of_billable())}
                spark={spark(|counts| counts.valid as f64)} {loading} />
            <Kpi label="Fraud rate" testid="kpi-fraud-rate" value={format::percent(total.fraud_rate())} {tone}
                data_value={total.fraud_rate().map(|rate| format!("{rate:.4}")).unwrap_or_default()}
                note={format!("{} invalid", format::count(total.fraud()))} chip={fraud_chip}
                spark={spark(|counts| counts.fraud_rate().unwrap_or(0.0))} {loading} />
            <Kpi label="Last minute" testid="kpi-last-minute" value={format::count(rate.round() as i64)} data_value={format!("{rate:.0}")}
                note={format!("now {} per second", format::per_second(overview.rates.last().copied().unwrap_or_default()))} chip={None::<Chip>}
                spark={overview.rates.clone()} {loading} />
        </>
    }
}
