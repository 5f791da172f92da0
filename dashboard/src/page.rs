//! The page of one advertiser, as a function of what is known: no browser in here.

use std::rc::Rc;

use clickwire_protocol::{alerts::FraudRate, counts::Counts, ids::AdvertiserId, settings::Settings};
use yew::prelude::*;

use crate::{
    breakdown::Breakdown,
    chart::Chart,
    directory::Names,
    format,
    kpi::{Chip, Kpi, Tone},
    model::Status,
    overview::{Overview, Severity, severity},
    palette::Palette,
    stack::Stack,
    words,
};

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
    /// There are no numbers yet.
    pub loading: bool,
    /// Ids and names.
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
    /// Hears the wish to connect again.
    pub onreconnect: Callback<()>,
}

/// The page.
#[component]
pub fn Page(props: &Props) -> Html {
    let window = AttrValue::from(format::window(props.window_minutes));
    let refused = matches!(props.status, Status::Refused(_));
    html! {
        <>
            <main class={classes!("page", (!props.status.is_current() && !props.loading).then_some("stale"))}>
                <h1><bdi>{ advertiser_name(props) }</bdi></h1>
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

fn advertiser_name(props: &Props) -> String {
    let Some(id) = &props.advertiser_id else { return words::OVERVIEW.to_owned() };
    let named = props.advertisers.iter().find(|(known, _)| known == id);
    named.map_or_else(|| id.to_string(), |(_, name)| name.clone())
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
