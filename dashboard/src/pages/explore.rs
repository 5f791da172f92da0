//! `/explore`: any report about any range, as a chart and a table, down to countries, devices and browsers.
//!
//! All choices are in the address. A row leads to the groups within it; they sum up to the row, for each level is the
//! same report with one more condition.

mod annotations;
pub(super) mod answers;
mod as_table;
pub(super) mod chart;
pub(super) mod columns;
mod filters;
mod heat;
mod picture;
pub(super) mod question;
mod reading;
pub(super) mod rows;
pub(super) mod series;

use std::rc::Rc;

use clickwire_protocol::report::{Basis, Dimension, Granularity, Metric, Numbers};
use yew::prelude::*;

use self::{
    annotations::{Happened, Told},
    answers::{Drawn, Listed},
    question::Question,
};
use super::{Sheet, export::Export, final_to};
use crate::{
    access::use_access,
    api::{Campaign, Page},
    ask::{use_interval, use_query},
    clock, format,
    frame::{DataStatus, View},
    http, kept,
    kit::{Empty, Loaded, Problem, Segments, Select, use_toast},
    query::{Filter, Query, Range, Shape, Sort, short},
    route::{Name, Route},
    router::{Link, Place, use_router},
    words,
};

/// Interval between two requests for a range up to now, in milliseconds.
pub(super) const AGAIN_MS: u32 = 60_000;

/// Dimensions that rows can be grouped by, in the order of drilling down. The advertiser is left out for rows of one
/// advertiser, unless the address groups by it.
fn dimensions(view: &View) -> Vec<Dimension> {
    let is_of_all = view.scope.is_none() || view.place.query.group.contains(&Dimension::AdvertiserId);
    Dimension::ALL
        .into_iter()
        .filter(|dimension| is_of_all || *dimension != Dimension::AdvertiserId)
        .collect()
}

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Explore(props: &Props) -> Html {
    let (access, router, toast, view) = (use_access(), use_router(), use_toast(), &props.view);
    let query = &view.place.query;
    // Now is a moment of its own: a range up to now must not be another question with every drawing.
    let round = use_state(|| 0_u32);
    let now_ms = *use_memo((query.asked(), *round), |_| clock::now_ms());
    let question = Question::new(view, now_ms);
    let is_moving = !matches!(query.range, Some(Range::Between(..)));
    use_interval(if is_moving { AGAIN_MS } else { 0 }, {
        let round = round.clone();
        Callback::from(move |()| round.set(*round + 1))
    });
    let series = use_query::<Drawn>(Some(question.timeseries()));
    let table = use_query::<Listed>(Some(question.breakdown()));
    let told = use_query::<Told>((!query.hides_happened).then(|| question.annotations()));
    let campaigns = view
        .scope
        .as_ref()
        .map(|id| http::url("/api/v1/campaigns", [("advertiser_id", Some(id.to_string()))]));
    let campaigns = use_query::<Page<Campaign>>(campaigns);
    let known = access.advertisers.clone();
    let named: Rc<rows::Names> = use_memo((campaigns.data.as_ref().map(Rc::as_ptr), known), |(_, known)| {
        let all = campaigns.data.iter().flat_map(|page| &page.data);
        let advertisers = known.iter().flatten();
        rows::Names {
            campaigns: all.map(|known| (known.campaign_id.clone(), known.name.clone())).collect(),
            advertisers: advertisers.map(|known| (known.advertiser_id.clone(), known.name.clone())).collect(),
        }
    });
    let whose = view
        .scope
        .as_ref()
        .map_or(words::ALL_ADVERTISERS.to_string(), |id| access.advertiser_name(id.as_str()));
    let title = title(&whose, query, &named);
    let failure = series.failure.clone().or(table.failure.clone());
    let onretry = series.reload.reform({
        let again = table.reload.clone();
        move |()| again.emit(())
    });
    let (drawn, listed) = (series.shown(), table.shown());
    let conditions = drawn.as_ref().map(|drawn| {
        let filters = query.filters.iter().map(|filter| named.filter(filter));
        std::iter::once(words::basis_range(&drawn.0.basis)).chain(filters).collect::<Vec<_>>().join(" · ")
    });
    let happened = told.shown().filter(|_| !query.hides_happened);
    let happened = happened.map(|told| Rc::new(Happened::new(&told, view, &access, &named)));
    let is_asking = series.is_loading || table.is_loading;
    let chart = drawn.as_ref().map(|drawn| Rc::new(series::Chart::new(&drawn.0, &question, &named)));
    // Not of the question before, whose numbers are still shown: the picture says what was asked.
    let onpicture = chart.clone().zip(series.data.as_ref()).map(|(chart, drawn)| {
        let picture = picture::Picture {
            chart: chart.only(query.line.as_deref()),
            shape: question.shape,
            happened: happened.clone().unwrap_or_default(),
            title: words::picture(&title, &words::over_time(question.metric)),
            range: conditions.clone().unwrap_or_default(),
            as_of: words::picture_as_of(
                &view.zone.stamp_ms(kept::at_ms().unwrap_or(question.now_ms)),
                &final_to(&drawn.0.basis, view),
            ),
        };
        let toast = toast.clone();
        Callback::from(move |name: String| picture.save(name, toast.clone()))
    });
    let url = {
        let question = question.clone();
        Callback::from(move |format: AttrValue| question.file(&format))
    };
    let page = view.scope.as_ref().and_then(|_| page_of(query));
    let actions = html! { <>if let Some((to, text)) = page { <Link class="quiet" {to}>{ text }</Link> }<filters::Filters view={view.clone()} names={named.clone()} /><Export {url} {onpicture} prints=true /></> };
    html! {
        <Sheet {title} {actions}>
            if let Some(failure) = failure {
                <Problem {failure} {onretry} />
            }
            <div class={classes!("explore", is_asking.then_some("asking"))} aria-busy={is_asking.then_some("true")}>
                if let Some(conditions) = conditions {
                    // On paper there are no chips.
                    <p class="printed soft">{ conditions }</p>
                }
                { strip(listed.as_ref().map(|listed| &listed.totals), listed.as_ref().and_then(|listed| listed.comparison.as_ref()).map(|comparison| &comparison.totals)) }
                <section class="card plot-card" aria-labelledby="explore-chart">
                    <div class="plot-head">
                        <h2 id="explore-chart">{ words::over_time(question.metric) }</h2>
                        { choices(view, &router) }
                    </div>
                    if let Some(chart) = chart {
                        <chart::Chart {chart} shape={question.shape} happened={happened.clone().unwrap_or_default()} />
                    } else if series.loaded() == Loaded::Failed {
                        <div class="plot-area"><Empty title={words::NOT_LOADED} /></div>
                    } else {
                        <div class="plot-area"><div class="skeleton block" /></div>
                    }
                    if told.failure.is_some() {
                        <p class="soft happened">{ words::HAPPENED_NOT_LOADED }</p>
                    } else if let Some(happened) = happened {
                        { happened.list(view) }
                    } else if !query.hides_happened {
                        <p class="happened" />
                    }
                </section>
                <div class="explore-rows">
                    { groupings(view, &router) }
                    if let Some(listed) = listed.as_ref().filter(|_| heat::is_of(&question.group)) {
                        { heat::map(&listed.0.rows, question.metric) }
                    }
                    if let Some(listed) = &listed {
                        <rows::Rows table={listed.clone()} question={question.clone()} view={view.clone()} names={named} />
                    } else if table.loaded() == Loaded::Failed {
                        <Empty title={words::NOT_LOADED} />
                    } else {
                        <div class="rows"><span class="skeleton line" /></div>
                    }
                    if let Some(listed) = &listed {
                        <p class="soft basis">{ words::basis(&listed.0.basis) }</p>
                        <DataStatus>{ freshness(&listed.0.basis, view) }</DataStatus>
                    }
                </div>
            </div>
        </Sheet>
    }
}

/// Returns the title: an advertiser, a campaign of it, an ad of that.
fn title(whose: &str, query: &Query, names: &rows::Names) -> String {
    let mut title = whose.to_owned();
    for dimension in [Dimension::CampaignId, Dimension::AdId] {
        let is_one = |filter: &&Filter| filter.dimension == dimension && !filter.is_exclusion;
        if let Some([value]) = query.filters.iter().find(is_one).map(|filter| filter.values.as_slice()) {
            title = words::within(&title, &names.of(dimension, value));
        }
    }
    title
}

/// Returns the page of the ad, or else of the campaign, if the numbers are of that alone.
fn page_of(query: &Query) -> Option<(Place, &'static str)> {
    let only = |dimension: Dimension| {
        let mut filters = query.filters.iter();
        let filter = filters.find(|filter| filter.dimension == dimension && !filter.is_exclusion)?;
        if let [value] = filter.values.as_slice() { Name::new(value) } else { None }
    };
    let (route, text) = match only(Dimension::AdId) {
        Some(id) => (Route::Ad(id), words::AD_PAGE.get()),
        None => (Route::Campaign(only(Dimension::CampaignId)?), words::CAMPAIGN_PAGE.get()),
    };
    Some((Place::new(route, query.carried()), text))
}

/// The time up to which the numbers are final.
pub(super) fn freshness(basis: &Basis, view: &View) -> Html {
    html! { <span class="freshness">{ final_to(basis, view) }</span> }
}

/// The numbers of the whole range, and of the range that it is compared with.
pub(super) fn strip(totals: Option<&Numbers>, comparison: Option<&Numbers>) -> Html {
    let cell = |metric: Metric| {
        let now = totals.and_then(|totals| metric.of(totals));
        let before = comparison.and_then(|totals| metric.of(totals));
        html! {
            <div class="figure" key={metric.as_str()}>
                <dt>{ words::metric(metric) }</dt>
                <dd data-testid={format!("total-{}", metric.as_str())} data-value={now.map(|now| now.to_string())}>
                    { now.map_or_else(|| "–".to_owned(), format::count) }
                    if let Some(before) = before {
                        <span class="before">{ words::against(now.unwrap_or_default(), before) }</span>
                    }
                </dd>
            </div>
        }
    };
    let rate = Numbers::invalid_share;
    html! {
        <dl class="strip">
            { for [Metric::Clicks, Metric::Billable, Metric::FraudCount].map(cell) }
            <div class="figure">
                <dt>{ words::INVALID_RATE }</dt>
                <dd>{ format::percent(totals.and_then(rate)) }
                    if let Some(before) = comparison.and_then(rate) {
                        <span class="before">{ words::before(&format::percent(Some(before))) }</span>
                    }
                </dd>
            </div>
            { for [Metric::Duplicates, Metric::Received].map(cell) }
        </dl>
    }
}

/// The choices of the chart: annotations, metric, width of buckets, shape.
fn choices(view: &View, router: &crate::router::Router) -> Html {
    let query = &view.place.query;
    let metrics = Metric::ALL.map(|metric| (metric.as_str().into(), words::metric(metric).into()));
    let widths = Granularity::ALL.map(|width| (width.as_str().into(), words::granularity(width).into()));
    let widths =
        std::iter::once((AttrValue::default(), words::AUTO_WIDTH.into())).chain(widths).collect::<Vec<_>>();
    let shapes = Shape::ALL.map(|shape| (shape.as_str().into(), words::shape(shape).into()));
    let on = |change: fn(&mut crate::query::Query, &str)| {
        let router = router.clone();
        Callback::from(move |chosen: AttrValue| router.change(|query| change(query, &chosen)))
    };
    let onhappened = {
        let router = router.clone();
        Callback::from(move |_: Event| router.change(|query| query.hides_happened = !query.hides_happened))
    };
    html! {
        <div class="plot-choices">
            <label class="inline"><input type="checkbox" data-testid="show-happened" checked={!query.hides_happened} onchange={onhappened} />{ words::WHAT_HAPPENED }</label>
            <Select id="metric" label={words::METRIC} options={metrics.to_vec()} value={query.metric.unwrap_or(Metric::Clicks).as_str()} bare=true
                onchoose={on(|query, chosen| query.metric = Metric::ALL.into_iter().find(|metric| metric.as_str() == chosen).filter(|metric| *metric != Metric::Clicks))} />
            <Select id="width" label={words::WIDTH} options={widths} value={query.granularity.map_or("", Granularity::as_str)} bare=true
                onchoose={on(|query, chosen| query.granularity = Granularity::ALL.into_iter().find(|width| width.as_str() == chosen))} />
            <Segments label={words::SHAPE} options={shapes.to_vec()} value={query.shape.as_str()}
                onchoose={on(|query, chosen| query.shape = Shape::ALL.into_iter().find(|shape| shape.as_str() == chosen).unwrap_or_default())} />
        </div>
    }
}

/// The choices of the dimensions that rows are grouped by.
fn groupings(view: &View, router: &crate::router::Router) -> Html {
    let group = question::groups(&view.place.query);
    let all = dimensions(view);
    let option = |dimension: Dimension| (short(dimension).into(), words::dimension(dimension).into());
    let first = all.iter().copied().map(option).collect::<Vec<_>>();
    let rest = all.iter().copied().filter(|dimension| Some(dimension) != group.first()).map(option);
    let second: Vec<(AttrValue, AttrValue)> =
        std::iter::once((AttrValue::default(), words::NO_SECOND.into())).chain(rest).collect();
    let chosen = |at: usize| group.get(at).map_or("", |dimension| short(*dimension));
    let on = |at: usize| {
        let (router, group, all) = (router.clone(), group.clone(), all.clone());
        Callback::from(move |chosen: AttrValue| {
            let wanted = all.iter().copied().find(|dimension| short(*dimension) == chosen);
            let mut group = group.clone();
            group.truncate(if at == 0 { 2 } else { 1 });
            match wanted {
                Some(wanted) => {
                    group.retain(|known| *known != wanted);
                    group.insert(at.min(group.len()), wanted);
                    if at == 0 && group.len() > 1 {
                        // The one before made room.
                        group.remove(1);
                    }
                }
                None => group.truncate(1),
            }
            router.change(|query| query.group_by(group));
        })
    };
    let onweek = {
        let router = router.clone();
        Callback::from(move |_: MouseEvent| {
            router.change(|query| {
                query.group_by(heat::GROUP.to_vec());
                // From Monday on.
                query.sort = Some(Sort { by: Dimension::Weekday.as_str().to_owned(), descends: false });
            });
        })
    };
    html! {
        <div class="toolbar">
            <span class="inline">{ words::BY_DIMENSION }<Select id="by" label={words::BY_DIMENSION} options={first} value={chosen(0)} onchoose={on(0)} bare=true /></span>
            <span class="inline">{ words::THEN_BY }<Select id="then" label={words::THEN_BY} options={second} value={chosen(1)} onchoose={on(1)} bare=true /></span>
            if !heat::is_of(&group) {
                <button type="button" class="quiet" data-testid="hours-of-week" onclick={onweek}>{ words::HOURS_OF_WEEK }</button>
            }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_advertiser_are_not_told_apart_by_it() {
        for (query, offered) in [("", true), ("?a=adv_001", false), ("?a=adv_001&by=advertiser", true)] {
            let found = dimensions(&question::tests::view(query));
            assert_eq!(found.contains(&Dimension::AdvertiserId), offered, "{query}");
            assert_eq!(found.len(), if offered { 9 } else { 8 }, "{query}");
        }
    }

    #[test]
    fn the_title_is_what_the_numbers_are_of() {
        let campaigns = [("c1".to_owned(), "Spring sale".to_owned())].into();
        let names = rows::Names { campaigns, ..rows::Names::default() };
        for (query, expected) in [
            ("", "Northwind"),
            ("f=campaign:c1", "Northwind › Spring sale"),
            ("f=campaign:c1&f=ad:a 1", "Northwind › Spring sale › a 1"),
            ("f=campaign:c1,c2&f=country:DE", "Northwind"),
            ("f=!campaign:c1", "Northwind"),
        ] {
            assert_eq!(title("Northwind", &Query::read(query), &names), expected, "{query}");
        }
    }

    #[test]
    fn one_campaign_or_ad_has_a_page_of_its_own() {
        for (query, expected) in [
            ("r=1h", None),
            ("r=1h&f=campaign:c1&s=-clicks", Some("/campaigns/c1?r=1h")),
            ("f=campaign:c1&f=ad:a1", Some("/ads/a1")),
            ("f=campaign:c1,c2", None),
            ("f=!campaign:c1", None),
            ("f=campaign:c%201", None),
        ] {
            let href = page_of(&Query::read(query)).map(|(to, _)| to.href());
            assert_eq!(href.as_deref(), expected, "{query}");
        }
    }
}
