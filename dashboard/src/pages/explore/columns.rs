//! Columns of numbers in a table of groups, and the menu that says which of them are shown.

use clickwire_protocol::report::{BreakdownRow, Metric};
use yew::prelude::*;

use super::question::Question;
use crate::{
    format,
    kit::{self, Item, Menu},
    router::use_router,
    words,
};

/// A column of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pages) enum Column {
    /// A count.
    Count(Metric),
    /// The share of invalid clicks.
    InvalidRate,
    /// The change of the metric that is drawn, against the period before.
    Change,
}

impl Column {
    /// Returns the columns that answer a question, in their order.
    pub(in crate::pages) fn all(question: &Question) -> Vec<Self> {
        let mut columns = vec![
            Self::Count(Metric::Clicks),
            Self::Count(Metric::Billable),
            Self::Count(Metric::FraudCount),
            Self::InvalidRate,
            Self::Count(Metric::Duplicates),
            Self::Count(Metric::Received),
        ];
        if question.metric == Metric::UniqueUsers {
            columns.push(Self::Count(Metric::UniqueUsers));
        }
        if question.compares() {
            columns.push(Self::Change);
        }
        columns
    }

    /// Returns the columns that an address does not hide; all of them if it hides each.
    pub(super) fn shown(question: &Question, hidden: &[&str]) -> Vec<Self> {
        let all = Self::all(question);
        let is_shown = |column: &Self| !hidden.contains(&column.name());
        let shown: Vec<Self> = all.iter().copied().filter(is_shown).collect();
        if shown.is_empty() { all } else { shown }
    }

    /// Its name in an address.
    fn name(self) -> &'static str {
        match self {
            Self::Count(metric) => metric.as_str(),
            Self::InvalidRate => "invalid_rate",
            Self::Change => "change",
        }
    }

    fn title(self, question: &Question) -> AttrValue {
        match self {
            Self::Count(metric) => words::metric(metric).into(),
            Self::InvalidRate => words::INVALID_RATE.into(),
            Self::Change => words::change_in(question.metric).into(),
        }
    }

    /// The column of a table.
    pub(in crate::pages) fn head(self, question: &Question) -> kit::Column {
        let column = kit::Column::number(self.title(question));
        if let Self::Count(metric) = self { column.sorts(metric.as_str()) } else { column }
    }

    /// The number of a row. A bar shows its share of the largest one of the metric that is drawn.
    pub(in crate::pages) fn cell(self, row: &BreakdownRow, question: &Question, largest: i64) -> Html {
        let numbers = &row.numbers;
        match self {
            Self::Count(metric) => {
                let value = metric.of(numbers);
                let text = value.map_or_else(|| "–".to_owned(), format::count);
                if metric != question.metric || largest <= 0 {
                    return html! { text };
                }
                let share = value.unwrap_or_default() as f64 / largest as f64 * 100.0;
                html! { <span class="measure"><span class="measure-bar" style={format!("width:{share:.1}%")} /><span>{ text }</span></span> }
            }
            Self::InvalidRate => html! { format::percent(numbers.invalid_share()) },
            Self::Change => {
                let before = row.previous.as_ref().and_then(|before| question.metric.of(before));
                match question.metric.of(numbers).zip(before) {
                    Some((now, before)) => {
                        html! { <span title={words::before(&format::count(before))}>{ words::change(now, before) }</span> }
                    }
                    None => html! { "–" },
                }
            }
        }
    }
}

/// Properties of the menu.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The question that the table answers.
    pub(super) question: Question,
    /// Columns that are hidden, by name.
    pub(super) hidden: Vec<&'static str>,
}

/// The menu of columns. The last one that is shown stays.
#[component]
pub(super) fn Columns(props: &Props) -> Html {
    let router = use_router();
    let items = items(&props.question, &props.hidden);
    let question = props.question.clone();
    let onchoose = Callback::from(move |key: AttrValue| {
        if let Some(column) = Column::all(&question).into_iter().find(|column| column.name() == key) {
            router.change(|query| {
                // An address that hides each shows all: one is hidden of these.
                if Column::all(&question).iter().all(|known| query.hidden.contains(&known.name())) {
                    query.hidden.clear();
                }
                query.toggle_column(column.name());
            });
        }
    });
    html! { <Menu button={html! { words::COLUMNS }} label={words::COLUMNS} {items} {onchoose} /> }
}

fn items(question: &Question, hidden: &[&str]) -> Vec<Item> {
    let shown = Column::shown(question, hidden);
    let item = |column: Column| {
        let is_shown = shown.contains(&column);
        let item = Item::new(column.name(), column.title(question)).checked(is_shown);
        if is_shown && shown.len() == 1 { item.fixed() } else { item }
    };
    Column::all(question).into_iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::question::tests::view, *};

    #[test]
    fn an_address_hides_columns_and_one_at_least_stays() {
        let question = |query: &str| Question::new(&view(query), 0);
        let shown = |query: &str| -> Vec<&str> {
            let hidden = view(query).place.query.hidden;
            Column::shown(&question(query), &hidden).into_iter().map(Column::name).collect()
        };
        let all = ["clicks", "billable", "fraud_count", "invalid_rate", "duplicates", "received"];
        assert_eq!(shown(""), all);
        assert_eq!(
            shown("?h=billable,invalid_rate,change"),
            ["clicks", "fraud_count", "duplicates", "received"]
        );
        assert_eq!(shown("?m=unique_users&cmp=prev&h=received")[5..], ["unique_users", "change"]);
        assert_eq!(shown(&format!("?h={}", all.join(","))), all, "none would be left");
    }

    #[test]
    fn the_menu_says_what_is_shown_and_what_has_to_stay() {
        let question = Question::new(&view(""), 0);
        let fixed = |hidden: &[&str]| items(&question, hidden).iter().filter(|item| item.is_fixed).count();
        assert_eq!(items(&question, &["billable"])[1].is_checked, Some(false));
        assert_eq!(fixed(&["billable"]), 0);
        assert_eq!(fixed(&["clicks", "billable", "fraud_count", "invalid_rate", "duplicates"]), 1);
    }
}
