//! The table of a report: its groups, each with a link to the groups within it.

use std::{collections::BTreeMap, rc::Rc};

use clickwire_protocol::{
    ids::AdvertiserId,
    report::{BreakdownRow, Dimension, Metric},
};
use yew::prelude::*;

use super::{
    super::name,
    answers::Listed,
    question::{Question, next_down},
};
use crate::{
    format,
    frame::View,
    kit::{Column, Empty, Loaded, Table},
    locale,
    query::{Filter, Query, Sort},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

/// Metrics of a row.
const METRICS: [Metric; 5] =
    [Metric::Clicks, Metric::Billable, Metric::FraudCount, Metric::Duplicates, Metric::Received];

/// Names by ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::pages) struct Names {
    /// Names of the advertiser's campaigns.
    pub(in crate::pages) campaigns: BTreeMap<String, String>,
    /// Names of the advertisers that the viewer may see.
    pub(in crate::pages) advertisers: BTreeMap<String, String>,
}

impl Names {
    /// A condition, for people.
    pub(super) fn filter(&self, filter: &Filter) -> String {
        let values: Vec<String> =
            filter.values.iter().map(|value| self.of(filter.dimension, value)).collect();
        words::filter(filter.dimension, filter.is_exclusion, &values.join(", "))
    }

    /// A value of a dimension, for people.
    pub(in crate::pages) fn of(&self, dimension: Dimension, value: &str) -> String {
        let named =
            |names: &BTreeMap<String, String>| names.get(value).cloned().unwrap_or_else(|| value.to_owned());
        match dimension {
            Dimension::AdvertiserId => named(&self.advertisers),
            Dimension::CampaignId => named(&self.campaigns),
            Dimension::Weekday => words::weekday(value),
            Dimension::HourOfDay => format!("{value:0>2}:00"),
            Dimension::Country if value == "ZZ" => words::UNKNOWN.to_string(),
            Dimension::Country => locale::country(value),
            Dimension::AdId | Dimension::DeviceType | Dimension::Os | Dimension::Browser => value.to_owned(),
        }
    }
}

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub(in crate::pages) struct Props {
    /// The report.
    pub(in crate::pages) table: Rc<Listed>,
    /// The question that the report answers.
    pub(in crate::pages) question: Question,
    /// The address.
    pub(in crate::pages) view: View,
    /// Names by ids.
    pub(in crate::pages) names: Rc<Names>,
}

/// Returns the query of a row's link: the row's group as a condition, and the next dimension down as the grouping.
fn down(query: &Query, dimension: Dimension, value: &str) -> Query {
    let mut query = query.clone();
    if dimension == Dimension::AdvertiserId {
        query.scope = AdvertiserId::new(value).ok();
        query.group = next_down(&query, dimension).into_iter().collect();
        query.sort = None;
        return query;
    }
    query.set_filter(Filter { dimension, values: vec![value.to_owned()], is_exclusion: false });
    query.group = next_down(&query, dimension).into_iter().collect();
    if query.group.is_empty() {
        query.group = vec![dimension];
    }
    query.sort = None;
    query
}

/// The table.
#[component]
pub(in crate::pages) fn Rows(props: &Props) -> Html {
    let router = use_router();
    let Props { table, question, view, names } = props;
    let compares = question.compares();
    let largest =
        table.rows.iter().filter_map(|row| question.metric.of(&row.numbers)).max().unwrap_or_default();
    let mut columns: Vec<Column> = question
        .group
        .iter()
        .map(|dimension| Column::text(words::dimension(*dimension)).sorts(dimension.as_str()))
        .collect();
    columns.extend(self::columns(question, compares));
    let row = {
        let (table, question, view, names) = (table.clone(), question.clone(), view.clone(), names.clone());
        Callback::from(move |index: usize| {
            let row = &table.rows[index];
            let heads =
                question.group.iter().map(|dimension| head(row, *dimension, &view.place.query, &names));
            heads.chain(numbers(row, &question, compares, largest)).collect()
        })
    };
    let foot = {
        let total = BreakdownRow {
            numbers: table.totals,
            previous: table.comparison.as_ref().map(|comparison| comparison.totals),
            ..BreakdownRow::default()
        };
        let cells = numbers(&total, question, compares, 0);
        html! {
            <tfoot><tr>
                <th scope="row" colspan={question.group.len().to_string()}>{ words::TOTAL }</th>
                { for cells.into_iter().map(|cell| html! { <td class="n">{ cell }</td> }) }
            </tr></tfoot>
        }
    };
    let onsort = Callback::from(move |sort: Sort| router.change(|query| query.sort = Some(sort)));
    html! {
        <>
            <Table caption={words::by(&question.group)} {columns} rows={table.rows.len()} loaded={Loaded::Yes} {row} sort={Some(question.sort.clone())} {onsort} {foot}
                empty={html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_WHY} /> }} />
            <p class="soft">{ words::groups(table.rows.len(), table.groups) }</p>
        </>
    }
}

fn head(row: &BreakdownRow, dimension: Dimension, query: &Query, names: &Names) -> Html {
    if row.group.other {
        return html! { <span class="soft">{ words::OTHERS }</span> };
    }
    let Some(value) = row.group.value(dimension) else { return html! {} };
    let text = names.of(dimension, &value);
    if dimension.is_time() {
        return html! { text };
    }
    let mut below = down(query, dimension, &value);
    // A campaign is its advertiser's.
    if let Some(advertiser_id) = &row.group.advertiser_id {
        below.scope = AdvertiserId::new(advertiser_id).ok();
    }
    let to = Place::new(Route::Explore, below);
    html! { <Link {to}>{ name(&text) }</Link> }
}

/// The columns of numbers.
pub(in crate::pages) fn columns(question: &Question, compares: bool) -> Vec<Column> {
    let mut columns =
        METRICS.map(|metric| Column::number(words::metric(metric)).sorts(metric.as_str())).to_vec();
    columns.insert(3, Column::number(words::INVALID_RATE));
    if question.metric == Metric::UniqueUsers {
        columns.push(Column::number(words::metric(Metric::UniqueUsers)).sorts(Metric::UniqueUsers.as_str()));
    }
    if compares {
        columns.push(Column::number(words::change_in(question.metric)));
    }
    columns
}

/// The numbers of a row, as cells in the order of [`columns`].
pub(in crate::pages) fn numbers(
    row: &BreakdownRow,
    question: &Question,
    compares: bool,
    largest: i64,
) -> Vec<Html> {
    let numbers = &row.numbers;
    let cell = |metric: Metric| {
        let value = metric.of(numbers);
        let text = value.map_or_else(|| "–".to_owned(), format::count);
        if metric == question.metric && largest > 0 {
            let share = value.unwrap_or_default() as f64 / largest as f64 * 100.0;
            return html! { <span class="measure"><span class="measure-bar" style={format!("width:{share:.1}%")} /><span>{ text }</span></span> };
        }
        html! { text }
    };
    let mut cells: Vec<Html> = METRICS.into_iter().map(cell).collect();
    let rate = numbers.invalid_share();
    cells.insert(3, html! { format::percent(rate) });
    if question.metric == Metric::UniqueUsers {
        cells.push(cell(Metric::UniqueUsers));
    }
    if compares {
        let (now, before) =
            (question.metric.of(numbers), row.previous.as_ref().and_then(|p| question.metric.of(p)));
        cells.push(match (now, before) {
            (Some(now), Some(before)) => html! { <span title={words::before(&format::count(before))}>{ words::change(now, before) }</span> },
            _ => html! { "–" },
        });
    }
    cells
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::report::{Basis, Breakdown, Comparison, Group, Numbers};

    use super::{super::question::tests::view, *};
    use crate::kit::render;

    #[test]
    fn a_row_leads_down_with_what_it_is_about() {
        for (query, dimension, value, to) in [
            ("?r=7d&s=-billable", Dimension::CampaignId, "c 1", "?r=7d&by=ad&f=campaign:c%201"),
            ("?by=advertiser&s=-clicks", Dimension::AdvertiserId, "adv_001", "?a=adv_001&by=campaign"),
            (
                "?by=advertiser&f=campaign:c",
                Dimension::AdvertiserId,
                "adv_001",
                "?a=adv_001&by=ad&f=campaign:c",
            ),
            ("?by=country&f=campaign:c", Dimension::Country, "DE", "?by=ad&f=campaign:c&f=country:DE"),
            (
                "?by=browser&f=campaign:c&f=ad:a&f=country:DE&f=device:mobile&f=os:x",
                Dimension::Browser,
                "Firefox",
                "?by=browser&f=campaign:c&f=ad:a&f=country:DE&f=device:mobile&f=os:x&f=browser:Firefox",
            ),
        ] {
            assert_eq!(down(&Query::read(query), dimension, value).write(), to, "{query}");
        }
    }

    #[tokio::test]
    async fn rows_have_names_numbers_and_a_total() {
        let row = |campaign: Option<&str>, clicks| BreakdownRow {
            group: match campaign {
                Some(id) => Group { campaign_id: Some(id.to_owned()), ..Group::default() },
                None => Group::others(),
            },
            numbers: Numbers { clicks, billable: clicks, ..Numbers::default() },
            previous: Some(Numbers { clicks: 100, ..Numbers::default() }),
        };
        let totals = Numbers { clicks: 1_260, fraud_count: 63, ..Numbers::default() };
        let table = Breakdown {
            rows: vec![row(Some("c1"), 1_250), row(Some("c2"), 9), row(None, 1)],
            groups: 7,
            totals,
            comparison: Some(Comparison { start_time: String::new(), end_time: String::new(), totals }),
            basis: Basis::default(),
        };
        let view = view("?cmp=prev");
        let campaigns = [("c1".to_owned(), "Spring <sale>".to_owned())].into();
        let names = Names { campaigns, ..Names::default() };
        let props = Props {
            table: Rc::new(Listed(table)),
            question: Question::new(&view, 0),
            view,
            names: Rc::new(names),
        };
        let table = render::<Rows>(props).await;
        for expected in [
            "Spring &lt;sale&gt;",
            ">c2<",
            "1,250",
            "+1150.0%",
            words::OTHERS.get(),
            "<tfoot>",
            "5.0%",
            "f=campaign:c1",
        ] {
            assert!(table.contains(expected), "{expected}: {table}");
        }
    }
}
