//! The table of a report: its groups, each with a link to the groups within it.

use std::{collections::BTreeMap, rc::Rc};

use clickwire_protocol::{
    ids::AdvertiserId,
    report::{BreakdownRow, Dimension, Numbers},
};
use yew::prelude::*;

use super::{
    super::name,
    answers::Listed,
    columns::{Column, Columns},
    question::{Question, next_down},
};
use crate::{
    frame::View,
    kit::{self, Empty, Field, Loaded, Table},
    locale,
    query::{Filter, Query, Sort},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

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
        query.group_by(next_down(&query, dimension).into_iter().collect());
        return query;
    }
    query.set_filter(Filter { dimension, values: vec![value.to_owned()], is_exclusion: false });
    query.group_by(vec![next_down(&query, dimension).unwrap_or(dimension)]);
    query
}

/// Returns the numbers of the rows in which a text is found, in any of the names at their heads.
fn found(rows: &[BreakdownRow], group: &[Dimension], names: &Names, text: &str) -> Vec<usize> {
    let text = text.trim().to_lowercase();
    let has = |row: &BreakdownRow| {
        let mut titles = group.iter().filter_map(|dimension| title(row, *dimension, names));
        titles.any(|title| title.to_lowercase().contains(&text))
    };
    (0..rows.len()).filter(|index| text.is_empty() || has(&rows[*index])).collect()
}

/// Returns the sums of some rows. Users of several rows may be the same ones: they are not summed up.
fn sum<'a>(rows: impl Iterator<Item = &'a BreakdownRow> + Clone) -> BreakdownRow {
    let add = |sum: Numbers, of: Numbers| Numbers {
        clicks: sum.clicks + of.clicks,
        billable: sum.billable + of.billable,
        fraud_count: sum.fraud_count + of.fraud_count,
        duplicates: sum.duplicates + of.duplicates,
        received: sum.received + of.received,
        unique_users: None,
    };
    BreakdownRow {
        numbers: rows.clone().map(|row| row.numbers).reduce(add).unwrap_or_default(),
        previous: rows.filter_map(|row| row.previous).reduce(add),
        ..BreakdownRow::default()
    }
}

/// The table, with a search in it and the choice of its columns.
#[component]
pub(in crate::pages) fn Rows(props: &Props) -> Html {
    let router = use_router();
    let Props { table, question, view, names } = props;
    let query = &view.place.query;
    let is_search = !query.search.trim().is_empty();
    let found = Rc::new(found(&table.rows, &question.group, names, &query.search));
    let shown = Column::shown(question, &query.hidden);
    let largest =
        table.rows.iter().filter_map(|row| question.metric.of(&row.numbers)).max().unwrap_or_default();
    let of_group =
        |dimension: &Dimension| kit::Column::text(words::dimension(*dimension)).sorts(dimension.as_str());
    let columns: Vec<kit::Column> =
        question.group.iter().map(of_group).chain(shown.iter().map(|column| column.head(question))).collect();
    let row = {
        let (table, question, view, names) = (table.clone(), question.clone(), view.clone(), names.clone());
        let (found, shown) = (found.clone(), shown.clone());
        Callback::from(move |index: usize| {
            let row = &table.rows[found[index]];
            let heads =
                question.group.iter().map(|dimension| head(row, *dimension, &view.place.query, &names));
            heads.chain(shown.iter().map(|column| column.cell(row, &question, largest))).collect()
        })
    };
    let total = if is_search {
        sum(found.iter().map(|index| &table.rows[*index]))
    } else {
        let previous = table.comparison.as_ref().map(|comparison| comparison.totals);
        BreakdownRow { numbers: table.totals, previous, ..BreakdownRow::default() }
    };
    let total_of = if is_search { words::total_found(found.len()) } else { words::TOTAL.to_string() };
    let foot = html! {
        if !is_search || !found.is_empty() {
            <tfoot><tr>
                <th scope="row" colspan={question.group.len().to_string()}>{ total_of }</th>
                { for shown.iter().map(|column| html! { <td class="n">{ column.cell(&total, question, 0) }</td> }) }
            </tr></tfoot>
        }
    };
    let onsort = {
        let router = router.clone();
        Callback::from(move |sort: Sort| router.change(|query| query.sort = Some(sort)))
    };
    // Letter by letter it is the same entry in the browser's history.
    let onsearch = Callback::from(move |text: String| {
        let mut to = router.place.clone();
        to.query.search = text;
        router.replace(to);
    });
    let empty = if is_search {
        let onall = onsearch.reform(|_: MouseEvent| String::new());
        html! { <Empty title={words::NO_ROWS_FOUND}><button type="button" class="quiet" onclick={onall}>{ words::SHOW_ALL_ROWS }</button></Empty> }
    } else {
        html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_WHY} /> }
    };
    let count = if is_search {
        words::found(found.len(), table.rows.len())
    } else {
        words::groups(table.rows.len(), table.groups)
    };
    html! {
        <>
            <div class="toolbar row-tools">
                <Field id="rows-search" kind="search" label={words::SEARCH_ROWS} value={query.search.clone()} oninput={onsearch} />
                <Columns question={question.clone()} hidden={query.hidden.clone()} />
            </div>
            <Table caption={words::by(&question.group)} {columns} rows={found.len()} loaded={Loaded::Yes} {row} sort={Some(question.sort.clone())} {onsort} {foot} {empty} />
            <p class="soft" role="status">{ count }</p>
        </>
    }
}

/// Returns the name of a row's group in a dimension, for people.
fn title(row: &BreakdownRow, dimension: Dimension, names: &Names) -> Option<String> {
    if row.group.other {
        return Some(words::OTHERS.to_string());
    }
    row.group.value(dimension).map(|value| names.of(dimension, &value))
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

#[cfg(test)]
mod tests {
    use clickwire_protocol::report::{Basis, Breakdown, Comparison, Group, Metric};

    use super::{super::question::tests::view, *};
    use crate::kit::render;

    #[test]
    fn a_row_leads_down_with_what_it_is_about() {
        for (query, dimension, value, to) in [
            (
                "?r=7d&s=-billable&l=c%201&q=c&h=change",
                Dimension::CampaignId,
                "c 1",
                "?r=7d&by=ad&f=campaign:c%201&h=change",
            ),
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

    fn row(campaign: Option<&str>, clicks: i64) -> BreakdownRow {
        BreakdownRow {
            group: match campaign {
                Some(id) => Group { campaign_id: Some(id.to_owned()), ..Group::default() },
                None => Group::others(),
            },
            numbers: Numbers { clicks, billable: clicks, ..Numbers::default() },
            previous: Some(Numbers { clicks: 100, ..Numbers::default() }),
        }
    }

    /// The table of an address.
    async fn table(query: &str) -> String {
        let totals = Numbers { clicks: 1_260, fraud_count: 63, ..Numbers::default() };
        let table = Breakdown {
            rows: vec![row(Some("c1"), 1_250), row(Some("c2"), 9), row(None, 1)],
            groups: 7,
            totals,
            comparison: Some(Comparison { start_time: String::new(), end_time: String::new(), totals }),
            basis: Basis::default(),
        };
        let view = view(query);
        let campaigns = [("c1".to_owned(), "Spring <sale>".to_owned())].into();
        let names = Names { campaigns, ..Names::default() };
        let props = Props {
            table: Rc::new(Listed(table)),
            question: Question::new(&view, 0),
            view,
            names: Rc::new(names),
        };
        render::<Rows>(props).await
    }

    #[tokio::test]
    async fn rows_have_names_numbers_and_a_total() {
        let table = table("?cmp=prev").await;
        for expected in [
            "Spring &lt;sale&gt;",
            ">c2<",
            "1,250",
            "+1150.0%",
            words::OTHERS.get(),
            "<tfoot>",
            ">Total<",
            "5.0%",
            "f=campaign:c1",
        ] {
            assert!(table.contains(expected), "{expected}: {table}");
        }
    }

    #[tokio::test]
    async fn a_search_shows_the_rows_with_the_text_in_their_names_and_their_total() {
        let found = table("?cmp=prev&q=%20SALE").await;
        assert!(found.contains("Spring") && !found.contains(">c2<"), "{found}");
        assert!(found.contains("Total of the row that is found") && !found.contains("1,260"), "{found}");
        assert!(found.contains("1 of 3 rows found") && found.contains(r#"value=" SALE""#), "{found}");
        let others = table("?q=oth").await;
        assert!(others.contains(words::OTHERS.get()) && !others.contains("Spring"), "{others}");
        let none = table("?q=sale%20%3C").await;
        assert!(none.contains(words::NO_ROWS_FOUND.get()) && !none.contains("<tfoot>"), "{none}");
        assert!(none.contains(words::SHOW_ALL_ROWS.get()), "{none}");
    }

    #[tokio::test]
    async fn a_column_that_is_hidden_is_in_no_row() {
        let table = table("?h=billable,invalid_rate").await;
        assert!(!table.contains(words::BILLABLE.get()) && !table.contains("5.0%"), "{table}");
        assert!(table.contains(words::metric(Metric::Duplicates)), "{table}");
    }

    #[test]
    fn users_of_several_rows_are_not_summed_up() {
        let users = |unique_users| {
            let row = row(Some("c1"), 5);
            BreakdownRow { numbers: Numbers { unique_users: Some(unique_users), ..row.numbers }, ..row }
        };
        let rows = [users(3), users(4)];
        let both = sum(rows.iter());
        assert_eq!((both.numbers.clicks, both.numbers.unique_users), (10, None));
        assert_eq!(both.previous.map(|before| before.clicks), Some(200));
        assert_eq!(sum(rows[..1].iter()).numbers.unique_users, Some(3));
    }
}
