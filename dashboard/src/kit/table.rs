//! A table of any number of rows: of many, only those in sight are in the page.

use std::ops::Range;

use web_sys::HtmlElement;
use yew::prelude::*;

use super::Empty;
use crate::{print::use_printing, query::Sort, words};

/// The height of a row, in CSS pixels; the style sheet has the same.
const ROW_PX: usize = 28;

/// Number of rows from which the table scrolls by itself, and has only some of its rows in the page.
const VIRTUAL_FROM: usize = 200;

/// Rows of a long table that are in the page at once: two screens of 4K.
const AT_ONCE: usize = 160;

/// Step in rows by which the first row changes, so that not every pixel of scrolling draws.
const STEP: usize = 20;

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in [`Sort::by`]; empty: rows can't be ordered by it.
    pub key: AttrValue,
    /// Heading of the column.
    pub title: AttrValue,
    /// The column holds numbers.
    pub is_number: bool,
}

impl Column {
    /// A column of texts.
    pub fn text(title: impl Into<AttrValue>) -> Self {
        Self { key: AttrValue::default(), title: title.into(), is_number: false }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<AttrValue>) -> Self {
        Self { is_number: true, ..Self::text(title) }
    }

    /// Returns the column as one by which rows can be ordered.
    pub fn sorts(self, key: impl Into<AttrValue>) -> Self {
        Self { key: key.into(), ..self }
    }
}

/// The loading state of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Loaded: the rows that are shown are all there are, or there are none.
    Yes,
    /// The rows are being loaded.
    NotYet,
    /// Loading failed: it is not known whether there are any rows. The reason is shown elsewhere.
    Failed,
}

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Subject of the table, for screen readers.
    pub caption: AttrValue,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The number of rows.
    pub rows: usize,
    /// A row's cells, as many as there are columns; the first one is the row's head.
    pub row: Callback<usize, Vec<Html>>,
    /// Number of the row whose details are shown.
    #[prop_or_default]
    pub selected: Option<usize>,
    /// The order of rows.
    #[prop_or_default]
    pub sort: Option<Sort>,
    /// Hears the wish for another order.
    #[prop_or_default]
    pub onsort: Callback<Sort>,
    /// Loading state of the rows. Not optional: a table without rows says that there are none.
    pub loaded: Loaded,
    /// Content in place of rows where there are none.
    #[prop_or_default]
    pub empty: Html,
    /// Rows below the others, such as totals.
    #[prop_or_default]
    pub foot: Html,
}

/// The table.
#[component]
pub fn Table(props: &Props) -> Html {
    let first = use_state_eq(|| 0_usize);
    let is_virtual = props.rows >= VIRTUAL_FROM;
    let is_printing = use_printing();
    let shown = in_page(props.rows, *first, is_printing);
    let onscroll = is_virtual.then(|| {
        let first = first.setter();
        Callback::from(move |event: Event| {
            let top = event.target_dyn_into::<HtmlElement>().map_or(0, |element| element.scroll_top());
            let row = usize::try_from(top).unwrap_or_default() / ROW_PX;
            first.set(row.saturating_sub(AT_ONCE / 4) / STEP * STEP);
        })
    });
    let gap = |key: &'static str, rows: usize| {
        (rows > 0).then(|| html! {
            <tr {key} class="gap" aria-hidden="true"><td colspan={props.columns.len().to_string()} style={format!("height:{}px", rows * ROW_PX)} /></tr>
        })
    };
    html! {
        // It scrolls sideways where there is no room: by keys, too.
        <div class={classes!("rows", is_virtual.then_some("scrolls"))} {onscroll} tabindex="0" role="region" aria-label={props.caption.clone()}>
            <table aria-busy={(props.loaded == Loaded::NotYet).then_some("true")} aria-rowcount={is_virtual.then(|| (props.rows + 1).to_string())}>
                <caption class="hidden">{ &props.caption }</caption>
                <thead><tr>{ for props.columns.iter().map(|column| head(column, props)) }</tr></thead>
                <tbody>
                    if props.loaded == Loaded::NotYet {
                        { for (0..4).map(|_| html! { <tr><td colspan={props.columns.len().to_string()}><span class="skeleton line" /></td></tr> }) }
                    } else if props.rows == 0 && props.loaded == Loaded::Failed {
                        <tr><td class="none" colspan={props.columns.len().to_string()}><Empty title={words::NOT_LOADED} /></td></tr>
                    } else if props.rows == 0 {
                        <tr><td class="none" colspan={props.columns.len().to_string()}>{ props.empty.clone() }</td></tr>
                    } else {
                        { for gap("above", shown.start) }
                        { for shown.clone().map(|index| row(index, is_virtual, props)) }
                        { for gap("below", props.rows - shown.end) }
                    }
                </tbody>
                { props.foot.clone() }
            </table>
        </div>
    }
}

/// Returns the rows that are in the page, with the first one in sight about `first`; on paper it is all of them.
fn in_page(rows: usize, first: usize, is_printing: bool) -> Range<usize> {
    if rows < VIRTUAL_FROM || is_printing {
        return 0..rows;
    }
    let begin = first.min(rows - AT_ONCE);
    begin..begin + AT_ONCE
}

fn head(column: &Column, props: &Props) -> Html {
    let class = column.is_number.then_some("n");
    if column.key.is_empty() {
        return html! { <th scope="col" {class}>{ &column.title }</th> };
    }
    let order = props.sort.as_ref().filter(|sort| sort.by == column.key.as_str());
    let (sorted, sign) = match order {
        Some(sort) if sort.descends => (Some("descending"), "↓"),
        Some(_) => (Some("ascending"), "↑"),
        None => (None, ""),
    };
    // Numbers are looked at from the largest on, names from the first.
    let descends = order.map_or(column.is_number, |sort| !sort.descends);
    let wanted = Sort { by: column.key.to_string(), descends };
    let onclick = props.onsort.reform(move |_: MouseEvent| wanted.clone());
    html! {
        <th scope="col" {class} aria-sort={sorted}>
            <button type="button" class="sort" title={words::sort_by(&column.title)} {onclick}>{ &column.title }<span aria-hidden="true">{ sign }</span></button>
        </th>
    }
}

fn row(index: usize, is_virtual: bool, props: &Props) -> Html {
    let cells = props.row.emit(index);
    let cells = cells.into_iter().zip(&props.columns).enumerate().map(|(at, (cell, column))| {
        let class = column.is_number.then_some("n");
        if at == 0 {
            html! { <th scope="row" {class}>{ cell }</th> }
        } else {
            html! { <td {class} data-label={&column.title}>{ cell }</td> }
        }
    });
    let is_selected = props.selected == Some(index);
    html! {
        <tr key={index} class={is_selected.then_some("selected")} aria-rowindex={is_virtual.then(|| (index + 2).to_string())}>{ for cells }</tr>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    fn props(rows: usize) -> Props {
        yew::props!(Props {
            caption: "Clicks by campaign",
            columns: vec![
                Column::text("Campaign").sorts("campaign_id"),
                Column::number("Clicks").sorts("clicks")
            ],
            rows,
            row: Callback::from(|index: usize| vec![html! { format!("row {index}") }, html! { index }]),
            sort: Some(Sort { by: "clicks".into(), descends: true }),
            loaded: Loaded::Yes,
            empty: html! { "None." }
        })
    }

    #[tokio::test]
    async fn a_table_says_its_order_and_heads_its_rows() {
        let table = render::<Table>(props(2)).await;
        assert!(table.contains(r#"<caption class="hidden">Clicks by campaign</caption>"#), "{table}");
        assert!(table.contains(r#"aria-sort="descending""#), "{table}");
        assert_eq!(table.matches("aria-sort").count(), 1);
        assert!(table.contains(r#"<th scope="row">row 1</th>"#), "{table}");
        assert!(table.contains(r#"role="region" aria-label="Clicks by campaign""#), "{table}");
    }

    #[tokio::test]
    async fn of_many_rows_only_those_in_sight_are_there() {
        let table = render::<Table>(props(5_000)).await;
        assert_eq!(table.matches(r#"scope="row""#).count(), AT_ONCE);
        assert!(table.contains(r#"aria-rowcount="5001""#) && table.contains(r#"aria-rowindex="2""#));
        assert!(table.contains(&format!("height:{}px", (5_000 - AT_ONCE) * ROW_PX)), "the rest is a gap");
    }

    #[test]
    fn all_rows_are_printed() {
        for (rows, first, is_printing, expected) in [
            (199, 0, false, 0..199),
            (200, 0, false, 0..160),
            (5_000, 4_000, false, 4_000..4_160),
            (5_000, 4_990, false, 4_840..5_000),
            (200, 0, true, 0..200),
            (5_000, 4_000, true, 0..5_000),
        ] {
            assert_eq!(in_page(rows, first, is_printing), expected, "{rows} {first} {is_printing}");
        }
    }

    #[tokio::test]
    async fn without_rows_it_says_why() {
        assert!(render::<Table>(props(0)).await.contains("None."));
        let loading = render::<Table>(Props { loaded: Loaded::NotYet, ..props(0) }).await;
        assert!(loading.contains(r#"aria-busy="true""#) && !loading.contains("None."), "{loading}");
        let failed = render::<Table>(Props { loaded: Loaded::Failed, ..props(0) }).await;
        assert!(failed.contains(words::NOT_LOADED.get()) && !failed.contains("None."), "{failed}");
    }
}
