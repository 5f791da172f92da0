//! The chart as a table: each bucket with the lines that are shown, and in words what may still change or is not
//! known.

use std::rc::Rc;

use yew::prelude::*;

use super::{chart::state, series::Chart};
use crate::{
    format,
    kit::{Column, Empty, Fold, Loaded, Table},
    words,
};

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The lines that are shown.
    pub(super) chart: Rc<Chart>,
    /// Lines stand on each other.
    pub(super) is_stacked: bool,
}

/// The table, folded.
#[component]
pub(super) fn AsTable(props: &Props) -> Html {
    let props = props.clone();
    let content = Callback::from(move |()| html! { <Buckets ..props.clone() /> });
    html! { <Fold summary={words::AS_TABLE} {content} /> }
}

/// The table.
#[component]
fn Buckets(props: &Props) -> Html {
    let Props { chart, is_stacked } = props.clone();
    let has_total = is_stacked && chart.lines.len() > 1;
    let mut columns = vec![Column::text(words::TIME)];
    columns.extend(chart.lines.iter().rev().map(|line| Column::number(line.name.clone())));
    columns.extend(has_total.then(|| Column::number(words::TOTAL)));
    columns.extend(chart.before.as_ref().map(|_| Column::number(words::BEFORE_TOTAL)));
    columns.push(Column::text(words::STATE));
    let rows = chart.buckets.len();
    let row = Callback::from(move |index: usize| {
        let number = |value: Option<i64>| match value {
            Some(value) => html! { format::count(value) },
            None => html! { words::UNKNOWN },
        };
        let bucket = &chart.buckets[index];
        let mut cells = vec![html! { bucket.time() }];
        cells.extend(chart.lines.iter().rev().map(|line| number(line.values.get(index).copied().flatten())));
        cells.extend(has_total.then(|| number(chart.total(index))));
        cells.extend(chart.before.as_ref().map(|before| number(before.get(index).copied())));
        cells.push(html! { state(bucket) });
        cells
    });
    let empty = html! { <Empty title={words::NO_CLICKS} /> };
    html! { <Table caption={words::CHART_AS_TABLE} {columns} {rows} {row} loaded={Loaded::Yes} {empty} /> }
}

#[cfg(test)]
mod tests {
    use super::{super::series::tests::chart, *};
    use crate::kit::render;

    #[tokio::test]
    async fn each_bucket_has_its_numbers_and_its_state_in_words() {
        let mut chart = chart();
        chart.lines[0].values[1] = None;
        let table = async |chart: &Rc<Chart>, is_stacked| {
            render::<Buckets>(Props { chart: chart.clone(), is_stacked }).await
        };
        let chart = Rc::new(chart);
        let stacked = table(&chart, true).await;
        assert_eq!(stacked.matches(r#"scope="row""#).count(), 3, "{stacked}");
        for expected in [
            "2026-11-28 10:00",
            r#"data-label="FR" class="n">12<"#,
            r#"data-label="Total" class="n">23<"#,
            r#"data-label="Total before" class="n">5<"#,
            r#"data-label="DE" class="n">Unknown<"#,
        ] {
            assert!(stacked.contains(expected), "{expected}: {stacked}");
        }
        assert_eq!(stacked.matches(words::STILL_CHANGES.get()).count(), 1, "{stacked}");
        let lines = table(&chart, false).await;
        assert!(!lines.contains(r#"data-label="Total""#), "lines have no total: {lines}");
        let alone = table(&chart.only(Some("FR")), true).await;
        assert!(alone.contains(">12<") && !alone.contains("DE"), "{alone}");
    }
}
