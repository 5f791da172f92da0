//! An advertiser's numbers: in one line, over time, and by campaign.

use std::rc::Rc;

use clickwire_protocol::{alerts::FraudRate, counts::Counts, live::RATE_SECONDS, times::UnixMs};
use yew::prelude::*;

use crate::{
    breakdown::Breakdown,
    chart::Chart,
    directory::Names,
    format,
    kpi::{Chip, Kpi, Tone},
    overview::{Overview, Severity, severity},
    palette::{Palette, SHOWN},
    stack::Stack,
    words,
    zone::Zone,
};

/// Properties of the numbers.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The numbers.
    pub overview: Rc<Overview>,
    /// Minutes that end at or before this are final; `None`: the server has not said.
    pub final_before: Option<UnixMs>,
    /// The rule that says how much fraud is too much; `None`: it is off, or not known yet.
    pub fraud_rate: Option<FraudRate>,
    /// The numbers are up to date.
    pub is_live: bool,
    /// There are no numbers yet.
    pub loading: bool,
    /// Names of campaigns.
    pub campaigns: Rc<Names>,
    /// The window that was asked for.
    pub window_minutes: u32,
    /// The time zone.
    pub zone: Zone,
    /// Changes when colours do.
    pub colours: u32,
}

/// Cards, chart and table.
#[component]
pub fn Numbers(props: &Props) -> Html {
    let overview = &props.overview;
    let shown = overview.rows.iter().take(SHOWN).map(|row| &*row.campaign.id);
    let palette = Palette::new(shown);
    let stack = Rc::new(Stack::new(overview, &palette, props.final_before));
    // A server that could not tell of more, for it stood still, has less than what was asked for.
    let minutes = if props.loading { props.window_minutes } else { overview.minutes() };
    let window = AttrValue::from(words::window(minutes));
    html! {
        <>
            <div class="kpis">{ cards(props, &window) }</div>
            <section class="card chart" aria-labelledby="chart-title">
                <h2 id="chart-title">{ words::CLICKS_BY_MINUTE }</h2>
                <Chart {stack} names={props.campaigns.clone()} window={window.clone()} is_live={props.is_live}
                    final_before={props.final_before} zone={props.zone.clone()} empty={overview.is_empty()} loading={props.loading} colours={props.colours} />
            </section>
            <section class="card table" aria-labelledby="table-title">
                <div class="title"><h2 id="table-title">{ words::BY_CAMPAIGN }</h2><span class="soft">{ words::in_last(&window) }</span></div>
                <Breakdown overview={overview.clone()} names={props.campaigns.clone()} {palette}
                    fraud_rate={props.fraud_rate} loading={props.loading} caption={words::campaigns_in_last(&window)} />
            </section>
        </>
    }
}

fn cards(props: &Props, window: &str) -> Html {
    let (overview, loading) = (&props.overview, props.loading);
    let total = &overview.total;
    let steps = overview.steps();
    let spark = |of: fn(&Counts) -> f64| steps.iter().map(of).collect::<Vec<f64>>();
    // Numbers that stand still are not compared: what they are compared with goes on.
    let comparison = overview.comparison.filter(|_| props.is_live);
    let growth = |of: fn(&Counts) -> i64| {
        comparison
            .and_then(|comparison| comparison.change(of))
            .map(|ratio| AttrValue::from(words::compared(ratio, props.window_minutes)))
    };
    let points = comparison.and_then(|comparison| comparison.change_of_fraud_rate());
    let points = points.map(|points| AttrValue::from(words::compared_points(points, props.window_minutes)));
    let (tone, chip) = judged(total, props.fraud_rate.as_ref());
    let billable = if total.clicks() > 0 {
        words::of_clicks(&format::percent(Some(total.valid as f64 / total.clicks() as f64)))
    } else {
        words::NO_CLICKS_TO_SHARE.into()
    };
    let minute = overview.trailing_minute();
    let pace = match overview.per_second() {
        Some(rate) => words::now_per_second(rate),
        None if props.is_live => words::MEASURING_RATE.into(),
        None => words::minute_up_to(&props.zone.precise_time_of_day(overview.edge_ms)),
    };
    html! {
        <>
            <Kpi label={words::CLICKS} testid="kpi-clicks" value={format::count(total.clicks())} data_value={total.clicks().to_string()}
                note={words::in_last(window)} change={growth(Counts::clicks)} spark={spark(|counts| counts.clicks() as f64)} {loading} />
            <Kpi label={words::BILLABLE} testid="kpi-billable" value={format::count(total.valid)} data_value={total.valid.to_string()}
                note={billable} change={growth(|counts| counts.valid)}
                spark={spark(|counts| counts.valid as f64)} {loading} />
            <Kpi label={words::FRAUD_RATE} testid="kpi-fraud-rate" value={format::percent(total.fraud_rate())} {tone} {chip}
                data_value={total.fraud_rate().map(|rate| format!("{rate:.4}")).unwrap_or_default()}
                note={words::invalid(total.fraud())} change={points}
                spark={spark(|counts| counts.fraud_rate().unwrap_or(0.0))} {loading} />
            <Kpi label={if props.is_live { words::LAST_MINUTE } else { words::LAST_KNOWN_MINUTE }} testid="kpi-last-minute"
                value={minute.map_or_else(|| "–".to_owned(), |clicks| format::count(clicks.round() as i64))}
                data_value={minute.map(|clicks| format!("{clicks:.0}")).unwrap_or_default()}
                note={pace} spark={overview.rates.clone()} spark_room={RATE_SECONDS as usize} {loading} />
        </>
    }
}

/// Returns the tone and the chip of these counts by the deployment's rule.
fn judged(total: &Counts, rule: Option<&FraudRate>) -> (Tone, Option<Chip>) {
    let (tone, text) = match severity(total, rule) {
        Severity::Calm => return (Tone::Neutral, None),
        Severity::Warning => (Tone::Warning, words::WARNING),
        Severity::Critical => (Tone::Critical, words::CRITICAL),
    };
    let title = rule.map(words::thresholds).unwrap_or_default();
    (tone, Some(Chip { text: text.into(), title, tone }))
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{MINUTE_MS, times::Minute};

    use super::*;
    use crate::{board::Board, overview::tests::board};

    async fn render(board: &Board, is_live: bool, measured: Option<i64>) -> String {
        let mut overview = Overview::new(board, 103 * MINUTE_MS + 20_000, 4);
        if let Some(from) = measured {
            overview.measure(&std::collections::BTreeMap::from([(6_199, 15)]), from);
        }
        let props = Props {
            overview: Rc::new(overview),
            final_before: Some(Minute(101).start()),
            fraud_rate: Some(FraudRate {
                warning_percent: 3,
                critical_percent: 5,
                minimum_clicks: 30,
                window_minutes: 10,
            }),
            is_live,
            loading: false,
            campaigns: Rc::default(),
            window_minutes: 4,
            zone: Zone::tokyo(),
            colours: 0,
        };
        yew::LocalServerRenderer::<Numbers>::with_props(props).hydratable(false).render().await
    }

    #[tokio::test]
    async fn what_is_not_known_is_not_said() {
        let mut board = board(100, &[(100, "a", 500, 0), (101, "a", 400, 100), (103, "a", 90, 0)]);
        let counts = [800, 0, 0, 900].map(|valid| Counts { valid, ..Counts::default() });
        board.ask_past(4);
        board.learn_past(Minute(96), &counts);
        let live = render(&board, true, Some(6_195)).await;
        for said in
            ["25% more than the 4 minutes before", "now 3 per second", "Critical", "critical from 5.0%"]
        {
            assert!(live.contains(said), "{said} is missing: {live}");
        }
        let begun = render(&board, true, None).await;
        assert!(begun.contains("measuring the rate") && !begun.contains("per second"), "{begun}");
        let stale = render(&board, false, None).await;
        assert!(stale.contains("the minute up to 10:43:20") && stale.contains("Critical"), "{stale}");
        for silent in ["per second", "than the 4 minutes before", "data-value=\"0\""] {
            assert!(!stale.contains(silent), "{silent}: {stale}");
        }
    }
}
