//! Traffic of a campaign or an ad in a range of time: numbers, a chart, tables of its parts. Questions and chart are
//! those of Explore, with one fixed condition that the page sets.

use std::rc::Rc;

use clickwire_protocol::report::{BreakdownRow, Dimension, Group, Numbers};
use yew::prelude::*;

use super::explore::{
    self,
    answers::{Drawn, Listed},
    chart,
    columns::Column,
    question::Question,
    rows, series,
};
use crate::{
    ask::{Answer, use_interval, use_query},
    clock,
    frame::{DataStatus, View},
    kit::{self, Empty, Loaded, Problem, Table},
    query::{Filter, Query, Range, Sort},
    route::Route,
    router::{Place, use_router},
    words,
};

/// The campaign or the ad that a page is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subject {
    /// The dimension: campaign or ad.
    pub(super) dimension: Dimension,
    /// Its id.
    pub(super) id: String,
}

impl Subject {
    fn filter(&self) -> Filter {
        Filter { dimension: self.dimension, values: vec![self.id.clone()], is_exclusion: false }
    }

    /// The numbers of the subject as Explore shows them, by one dimension.
    pub(super) fn in_explore(&self, query: &Query, group: Dimension) -> Query {
        let (metric, sort) = (query.metric, query.sort.clone());
        Query { filters: vec![self.filter()], group: vec![group], metric, sort, ..query.carried() }
    }

    fn question(&self, view: &View, group: Dimension, now_ms: i64) -> Question {
        let place = Place::new(Route::Explore, self.in_explore(&view.place.query, group));
        Question::new(&View { place, ..view.clone() }, now_ms)
    }
}

/// The state of a thing by its registration and its clicks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing<T> {
    /// The state is not known yet, or the request failed.
    Unknown,
    /// The thing is registered for this advertiser.
    Registered(T),
    /// The thing is not registered, or not any more; its clicks are counted all the same.
    Counted,
    /// The advertiser has no such thing.
    Missing,
}

/// Returns the state that an answer about the registration and a number of clicks give together.
pub(super) fn standing<T>(registered: Option<Option<T>>, received: Option<i64>) -> Standing<T> {
    match (registered, received) {
        (Some(Some(known)), _) => Standing::Registered(known),
        (Some(None), Some(0)) => Standing::Missing,
        (Some(None), Some(_)) => Standing::Counted,
        (Some(None), None) | (None, _) => Standing::Unknown,
    }
}

/// The numbers of a subject.
pub(super) struct Traffic {
    /// The numbers over time.
    answer: Answer<Drawn>,
    question: Question,
    /// Time of the questions, in milliseconds since the Unix epoch.
    pub(super) now_ms: i64,
}

/// The numbers of a subject in the range of the address, asked again as time goes on.
#[hook]
pub(super) fn use_traffic(view: &View, subject: &Subject) -> Traffic {
    let query = &view.place.query;
    // Now is a moment of its own: a range up to now must not be another question with every drawing.
    let round = use_state(|| 0_u32);
    let now_ms = *use_memo((query.clone(), *round), |_| clock::now_ms());
    let is_moving = !matches!(query.range, Some(Range::Between(..)));
    use_interval(if is_moving { explore::AGAIN_MS } else { 0 }, {
        let round = round.clone();
        Callback::from(move |()| round.set(*round + 1))
    });
    let question = subject.question(view, subject.dimension, now_ms);
    let answer = use_query::<Drawn>(view.scope.is_some().then(|| question.timeseries()));
    Traffic { answer, question, now_ms }
}

impl Traffic {
    /// Returns the last answer, which stays shown while the question is asked again.
    fn drawn(&self) -> Option<Rc<Drawn>> {
        self.answer.shown()
    }

    /// Returns the clicks of the range, of any verdict; `None`: not known.
    pub(super) fn received(&self) -> Option<i64> {
        self.drawn().map(|drawn| drawn.0.totals.received)
    }

    /// The message of the failure, if the numbers could not be loaded.
    pub(super) fn problem(&self) -> Html {
        let failure = self.answer.failure.clone();
        html! { if let Some(failure) = failure { <Problem {failure} onretry={self.answer.reload.clone()} /> } }
    }

    /// The numbers and the chart, with `tables` beside them.
    pub(super) fn show(&self, view: &View, tables: Html) -> Html {
        let drawn = self.drawn();
        let drawn = drawn.as_deref();
        let is_asking = self.answer.is_loading;
        let comparison = drawn.and_then(|drawn| drawn.0.comparison.as_ref());
        let chart =
            drawn.map(|drawn| Rc::new(series::Chart::new(&drawn.0, &self.question, &rows::Names::default())));
        html! {
            <div class={classes!("explore", is_asking.then_some("asking"))} aria-busy={is_asking.then_some("true")}>
                { explore::strip(drawn.map(|drawn| &drawn.0.totals), comparison.map(|comparison| &comparison.totals)) }
                <section class="card plot-card" aria-labelledby="traffic-chart">
                    <div class="plot-head"><h2 id="traffic-chart">{ words::over_time(self.question.metric) }</h2></div>
                    if let Some(chart) = chart {
                        <chart::Chart {chart} shape={self.question.shape} />
                    } else if self.answer.loaded() == Loaded::Failed {
                        <div class="plot-area"><Empty title={words::NOT_LOADED} /></div>
                    } else {
                        <div class="plot-area"><div class="skeleton block" /></div>
                    }
                </section>
                <div class="explore-rows">
                    { tables }
                    if let Some(drawn) = drawn {
                        <p class="soft basis">{ words::basis(&drawn.0.basis) }</p>
                        <DataStatus>{ explore::freshness(&drawn.0.basis, view) }</DataStatus>
                    }
                </div>
            </div>
        }
    }
}

/// The address of the table's file in a format.
pub(super) fn file(
    view: &View,
    subject: &Subject,
    group: Dimension,
    now_ms: i64,
) -> Callback<AttrValue, String> {
    let question = subject.question(view, group, now_ms);
    Callback::from(move |format: AttrValue| question.file(&format))
}

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address.
    pub(super) view: View,
    /// The campaign or the ad.
    pub(super) subject: Subject,
    /// The dimension that rows are grouped by.
    pub(super) group: Dimension,
    /// Time of the question, in milliseconds since the Unix epoch.
    pub(super) now_ms: i64,
    /// Draws the head of a row about a value.
    pub(super) head: Callback<AttrValue, Html>,
    /// Values that have a row even without clicks.
    #[prop_or_default]
    pub(super) all: Rc<Vec<String>>,
}

/// Returns the rows of a report, and an empty row for each other known value. Where the report has a row of others,
/// a value without a row may have clicks: none is added.
fn with_silent(rows: &[BreakdownRow], dimension: Dimension, all: &[String]) -> Vec<BreakdownRow> {
    let is_whole = !rows.iter().any(|row| row.group.other);
    let has_row =
        |value: &&String| rows.iter().any(|row| row.group.value(dimension).as_ref() == Some(*value));
    let silent = all.iter().filter(|value| is_whole && !has_row(value)).map(|value| {
        let group = match dimension {
            Dimension::AdId => Group { ad_id: Some(value.clone()), ..Group::default() },
            _ => Group { campaign_id: Some(value.clone()), ..Group::default() },
        };
        BreakdownRow { group, numbers: Numbers::default(), previous: None }
    });
    rows.iter().cloned().chain(silent).collect()
}

/// The clicks of a subject by one dimension.
#[component]
pub(super) fn Within(props: &Props) -> Html {
    let router = use_router();
    let Props { view, subject, group, now_ms, .. } = props;
    let group = *group;
    let question = subject.question(view, group, *now_ms);
    let answer = use_query::<Listed>(view.scope.is_some().then(|| question.breakdown()));
    let listed = answer.shown();
    let numbers = Column::all(&question);
    let all: Rc<Vec<BreakdownRow>> = Rc::new(
        listed.as_ref().map(|listed| with_silent(&listed.rows, group, &props.all)).unwrap_or_default(),
    );
    let largest = all.iter().filter_map(|row| question.metric.of(&row.numbers)).max().unwrap_or_default();
    let count = all.len();
    let mut columns = vec![kit::Column::text(words::dimension(group)).sorts(group.as_str())];
    columns.extend(numbers.iter().map(|column| column.head(&question)));
    let row = {
        let (all, question, head) = (all.clone(), question.clone(), props.head.clone());
        Callback::from(move |index: usize| {
            let row = &all[index];
            let head = match row.group.value(group) {
                Some(value) => head.emit(value.into()),
                None => html! { <span class="soft">{ words::OTHERS }</span> },
            };
            std::iter::once(head)
                .chain(numbers.iter().map(|column| column.cell(row, &question, largest)))
                .collect()
        })
    };
    let onsort = Callback::from(move |sort: Sort| router.change(|query| query.sort = Some(sort)));
    let loaded = if listed.is_some() { Loaded::Yes } else { answer.loaded() };
    html! {
        <div class="part">
            if let Some(failure) = answer.failure.clone() {
                <Problem {failure} onretry={answer.reload.clone()} />
            }
            <Table caption={words::by(&[group])} {columns} rows={count} {row} {loaded} sort={Some(question.sort.clone())} {onsort}
                empty={html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_WHY} /> }} />
            if let Some(listed) = listed.filter(|listed| listed.groups > listed.rows.len()) {
                <p class="soft">{ words::groups(listed.rows.len(), listed.groups) }</p>
            }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_thing_is_there_if_it_is_registered_or_has_clicks() {
        for (registered, received, expected) in [
            (None, None, Standing::Unknown),
            (None, Some(5), Standing::Unknown),
            (Some(None), None, Standing::Unknown),
            (Some(None), Some(0), Standing::Missing),
            (Some(None), Some(5), Standing::Counted),
            (Some(Some("x")), None, Standing::Registered("x")),
            (Some(Some("x")), Some(0), Standing::Registered("x")),
        ] {
            assert_eq!(standing(registered, received), expected, "{registered:?} {received:?}");
        }
    }

    #[test]
    fn what_is_asked_is_about_the_subject_alone_whatever_the_address_says() {
        let subject = Subject { dimension: Dimension::AdId, id: "ad 1".into() };
        let query = Query::read(
            "?a=adv_001&r=1h&cmp=prev&f=ad:another&f=country:DE&by=os&m=billable&s=country&z=UTC",
        );
        let place = Place::new(Route::Overview, query);
        let scope = place.query.scope.clone();
        let view = View { place, scope, zone: Zone::utc() };
        let hour = "advertiser_id=adv_001&start_time=1970-01-01T00:00:00Z&time_zone=UTC&ad_id=ad%201&compare=previous";
        assert_eq!(
            subject.question(&view, Dimension::AdId, HOUR_MS).timeseries(),
            format!(
                "/api/v1/analytics/timeseries?{hour}&granularity=auto&group_by=ad_id&order_by=-billable&limit=5"
            )
        );
        assert_eq!(
            subject.question(&view, Dimension::Country, HOUR_MS).breakdown(),
            format!("/api/v1/analytics/breakdown?{hour}&group_by=country&order_by=country&limit=1000")
        );
        assert_eq!(
            subject.in_explore(&view.place.query, Dimension::Country).write(),
            "?a=adv_001&r=1h&cmp=prev&by=country&f=ad:ad%201&s=country&m=billable&z=UTC"
        );
    }

    #[test]
    fn ads_without_clicks_have_a_row_where_that_is_known() {
        let row = |ad_id: &str| BreakdownRow {
            group: Group { ad_id: Some(ad_id.into()), ..Group::default() },
            numbers: Numbers { clicks: 5, ..Numbers::default() },
            previous: None,
        };
        let all = ["a".to_owned(), "b".to_owned()];
        let rows = with_silent(&[row("b")], Dimension::AdId, &all);
        let shown: Vec<_> = rows.iter().map(|row| (row.group.ad_id.as_deref(), row.numbers.clicks)).collect();
        assert_eq!(shown, [(Some("b"), 5), (Some("a"), 0)]);
        let others = BreakdownRow { group: Group::others(), ..row("b") };
        assert_eq!(
            with_silent(&[row("b"), others], Dimension::AdId, &all).len(),
            2,
            "it may be among the others"
        );
    }
}
