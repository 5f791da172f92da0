//! `/deployment`: all advertisers together, for operators: totals of a range beside the period before, a chart of the
//! range, and the advertisers, campaigns and countries with the most clicks.

mod top;

use std::rc::Rc;

use clickwire_protocol::{
    pipeline::Pipeline as Measured,
    report::{Compare, Dimension, Metric, Numbers},
};
use yew::prelude::*;

use self::top::{Kind, Top};
use super::{
    Sheet,
    campaign_names::{advertisers_of, use_campaign_names},
    explore::{
        answers::{Drawn, Listed},
        chart::Chart,
        question::Question,
        rows::Names,
        series,
    },
    final_to,
};
use crate::{
    access::use_access,
    ask::{Answer, use_interval, use_query},
    clock, format,
    frame::{DataStatus, View},
    kit::{Empty, Loaded, Problem},
    query::{Query, Range, Shape},
    route::Route,
    router::{Link, Place},
    words,
};

/// Interval between two requests for a range up to now, in milliseconds.
const AGAIN_MS: u32 = 60_000;

/// Interval between two requests for the rate, in milliseconds: two of them per measurement of the server.
const RATE_EVERY_MS: u32 = 5_000;

/// Rows of each table; all other groups share one more row.
const ROWS: usize = 10;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// Returns the view of the reports: range and zone of the address, all advertisers, compared with the period before
/// unless the address names another comparison.
fn asked(view: &View) -> View {
    let Query { range, compare, zone, .. } = view.place.query.clone();
    let query = Query {
        range,
        compare: Some(compare.unwrap_or(Compare::Previous)),
        zone,
        group: vec![Dimension::AdvertiserId],
        shape: Shape::Stack,
        ..Query::default()
    };
    View { place: Place::new(Route::Explore, query), scope: None, zone: view.zone.clone() }
}

/// The page.
#[component]
pub fn Deployment(props: &Props) -> Html {
    let (access, view) = (use_access(), &props.view);
    // Now is a moment of its own: a range up to now must not be another question with every drawing.
    let round = use_state(|| 0_u32);
    let now_ms = *use_memo((view.place.query.asked(), *round), |_| clock::now_ms());
    let is_moving = !matches!(view.place.query.range, Some(Range::Between(..)));
    use_interval(if is_moving { AGAIN_MS } else { 0 }, {
        let round = round.clone();
        Callback::from(move |()| round.set(*round + 1))
    });
    let question = Question::new(&asked(view), now_ms);
    let series = use_query::<Drawn>(Some(question.timeseries()));
    let advertisers = use_query::<Listed>(Some(question.top(&[Dimension::AdvertiserId], ROWS)));
    let by_campaign = [Dimension::AdvertiserId, Dimension::CampaignId];
    let campaigns = use_query::<Listed>(Some(question.top(&by_campaign, ROWS)));
    let countries = use_query::<Listed>(Some(question.top(&[Dimension::Country], ROWS)));
    let measured = use_query::<Measured>(Some("/api/v1/admin/pipeline".to_owned()));
    use_interval(RATE_EVERY_MS, measured.reload.clone());
    let known = campaigns.shown();
    let owners = known.as_ref().map(|known| advertisers_of(&known.rows)).unwrap_or_default();
    let named = use_campaign_names(owners, 0);
    let names: Rc<Names> = use_memo(access.advertisers.clone(), |known| Names {
        advertisers: known.iter().flatten().map(|a| (a.advertiser_id.clone(), a.name.clone())).collect(),
        ..Names::default()
    });
    let failure = [&series.failure, &advertisers.failure, &campaigns.failure, &countries.failure];
    let failure = failure.into_iter().flatten().next().cloned();
    let onretry = {
        let again =
            [&series.reload, &advertisers.reload, &campaigns.reload, &countries.reload].map(Clone::clone);
        Callback::from(move |()| again.iter().for_each(|again| again.emit(())))
    };
    let drawn = series.shown();
    let totals = advertisers.shown();
    let is_asking = [series.is_loading, advertisers.is_loading, campaigns.is_loading, countries.is_loading];
    let is_asking = is_asking.contains(&true);
    let rate = measured.data.as_ref().filter(|_| measured.failure.is_none());
    let rate = rate.and_then(|measured| measured.stages.as_ref()?.intake.accepted_per_second);
    let table = |kind: Kind, answer: &Answer<Listed>| {
        html! {
            <Top {kind} table={answer.shown()} loaded={answer.loaded()} names={names.clone()} campaigns={named.clone()}
                view={view.clone()} />
        }
    };
    let actions = html! { <Link class="quiet" to={Place::new(Route::Wall, view.place.query.carried())}>{ words::WALL_OPEN }</Link> };
    html! {
        <Sheet title={words::ALL_ADVERTISERS} {actions}>
            if let Some(failure) = failure {
                <Problem {failure} {onretry} />
            }
            <div class={classes!("explore", "deployment", is_asking.then_some("asking"))} aria-busy={is_asking.then_some("true")}>
                { strip(totals.as_deref(), rate) }
                <section class="card plot-card" aria-labelledby="deployment-chart">
                    <div class="plot-head"><h2 id="deployment-chart">{ words::over_time(Metric::Clicks) }</h2></div>
                    if let Some(drawn) = &drawn {
                        <Chart chart={Rc::new(series::Chart::new(&drawn.0, &question, &names))} shape={Shape::Stack} />
                    } else if series.loaded() == Loaded::Failed {
                        <div class="plot-area"><Empty title={words::NOT_LOADED} /></div>
                    } else {
                        <div class="plot-area"><div class="skeleton block" /></div>
                    }
                </section>
                <div class="tops">
                    { table(Kind::Advertisers, &advertisers) }
                    { table(Kind::Campaigns, &campaigns) }
                    { table(Kind::Countries, &countries) }
                </div>
                if let Some(totals) = &totals {
                    <p class="soft basis">{ words::basis(&totals.basis) }</p>
                    <DataStatus><span class="freshness">{ final_to(&totals.basis, view) }</span></DataStatus>
                }
            </div>
        </Sheet>
    }
}

/// The numbers of the whole range, and the rate of this moment.
fn strip(totals: Option<&Listed>, rate: Option<f64>) -> Html {
    let before = totals.and_then(|totals| totals.comparison.as_ref()).map(|comparison| comparison.totals);
    let cell = |metric: Metric| {
        let now = totals.and_then(|totals| metric.of(&totals.totals));
        let was = before.as_ref().and_then(|totals| metric.of(totals));
        html! {
            <div class="figure" key={metric.as_str()}>
                <dt>{ words::metric(metric) }</dt>
                <dd data-testid={format!("deployment-{}", metric.as_str())} data-value={now.map(|now| now.to_string())}>
                    { now.map_or_else(|| "–".to_owned(), format::count) }
                    if let Some(was) = was {
                        <span class="before">{ words::against(now.unwrap_or_default(), was) }</span>
                    }
                </dd>
            </div>
        }
    };
    html! {
        <dl class="strip">
            { for [Metric::Received, Metric::Billable].map(cell) }
            <div class="figure">
                <dt>{ words::INVALID_RATE }</dt>
                <dd>{ format::percent(totals.and_then(|totals| Numbers::invalid_share(&totals.totals))) }
                    if let Some(was) = before.as_ref().and_then(Numbers::invalid_share) {
                        <span class="before">{ words::before(&format::percent(Some(was))) }</span>
                    }
                </dd>
            </div>
            // It is the servers' own, and known when reports are not.
            <div class="figure">
                <dt>{ words::PER_SECOND_NOW }</dt>
                <dd data-testid="deployment-rate" data-rate={rate.map(|rate| rate.to_string())}>{ rate.map_or_else(|| "–".to_owned(), format::per_second) }</dd>
            </div>
        </dl>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{router::Place, zone::Zone};

    fn view(query: &str) -> View {
        View { place: Place::read("/deployment", query), scope: None, zone: Zone::utc() }
    }

    #[test]
    fn reports_are_about_all_advertisers_beside_the_period_before() {
        let now_ms = 1_795_894_205_250; // 2026-11-28T19:30:05.250Z
        for (query, range, compare) in [
            ("", "start_time=2026-11-27T19:30:00Z", "previous"),
            (
                "?a=adv_001&r=1h&f=country:DE&by=country&m=billable",
                "start_time=2026-11-28T18:30:00Z",
                "previous",
            ),
            ("?r=7d&cmp=year", "start_time=2026-11-21T19:30:00Z", "year"),
        ] {
            let question = Question::new(&asked(&view(query)), now_ms);
            let url = question.top(&[Dimension::AdvertiserId], ROWS);
            assert_eq!(
                url,
                format!(
                    "/api/v1/analytics/breakdown?{range}&time_zone=UTC&compare={compare}&group_by=advertiser_id&order_by=-clicks&limit=10"
                ),
                "{query}"
            );
            assert!(
                question.timeseries().contains("group_by=advertiser_id&order_by=-clicks&limit=5"),
                "{query}"
            );
        }
    }

    #[test]
    fn nothing_has_no_share() {
        let numbers = |clicks, fraud_count| Numbers { clicks, fraud_count, ..Numbers::default() };
        assert_eq!(
            [Numbers::invalid_share(&numbers(0, 0)), Numbers::invalid_share(&numbers(8, 2))],
            [None, Some(0.25)]
        );
    }
}
