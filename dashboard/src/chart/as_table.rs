//! The chart as a table: each minute with its layers, and in words what may still change.

use std::rc::Rc;

use yew::prelude::*;

use super::{name_of, readout::clicks, time_of};
use crate::{
    directory::Names,
    kit::{Column, Empty, Fold, Loaded, Table},
    stack::Stack,
    words,
    zone::Zone,
};

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The marks.
    pub(super) stack: Rc<Stack>,
    /// Names of campaigns.
    pub(super) names: Rc<Names>,
    /// The zone of times.
    pub(super) zone: Zone,
    /// There are no numbers yet.
    pub(super) loading: bool,
}

/// The table, folded.
#[component]
pub(super) fn AsTable(props: &Props) -> Html {
    let props = props.clone();
    let content = Callback::from(move |()| html! { <Minutes ..props.clone() /> });
    html! { <Fold summary={words::AS_TABLE} {content} /> }
}

/// The table.
#[component]
fn Minutes(props: &Props) -> Html {
    let Props { stack, names, zone, loading } = props.clone();
    let layers = || stack.layers.iter().rev();
    let mut columns = vec![Column::text(words::TIME), Column::number(words::TOTAL)];
    columns.extend(layers().map(|layer| Column::number(name_of(layer.campaign_id.as_deref(), &names))));
    columns.push(Column::text(words::STATE));
    let (rows, loaded) = if loading { (0, Loaded::NotYet) } else { (stack.at.len(), Loaded::Yes) };
    let row = Callback::from(move |point: usize| {
        let state = if stack.is_provisional(point) { words::STILL_PROVISIONAL.get() } else { "" };
        let mut cells =
            vec![html! { time_of(&stack, &zone, point) }, html! { clicks(stack.total_at(point)) }];
        let layers = stack.layers.iter().rev();
        let at = |clicks: &[f64]| clicks.get(point).copied().unwrap_or_default();
        cells.extend(layers.map(|layer| html! { clicks(at(&layer.clicks)) }));
        cells.push(html! { state });
        cells
    });
    let empty = html! { <Empty title={words::NO_CLICKS} /> };
    html! { <Table caption={words::CHART_AS_TABLE} {columns} {rows} {row} {loaded} {empty} /> }
}

#[cfg(test)]
mod tests {
    use super::{super::readout::tests::stack, *};
    use crate::kit::render;

    #[tokio::test]
    async fn each_minute_has_its_clicks_and_its_state_in_words() {
        let names = Rc::new(Names::from([("camp_001".into(), "Spring".into())]));
        let props = Props { stack: Rc::new(stack()), names, zone: Zone::tokyo(), loading: false };
        let loading = render::<Minutes>(Props { loading: true, ..props.clone() }).await;
        assert!(!loading.contains("06:20"), "nothing is known yet: {loading}");
        let table = render::<Minutes>(props).await;
        for expected in [
            r#"<th scope="row">06:20</th>"#,
            r#"data-label="Total" class="n">1,234<"#,
            r#"data-label="Spring" class="n">1,000<"#,
            r#"data-label="Other" class="n">234<"#,
            words::LAST_SECONDS.get(),
        ] {
            assert!(table.contains(expected), "{expected}: {table}");
        }
        let states =
            table.split(r#"data-label="State">"#).skip(1).map(|cell| cell.split('<').next().unwrap());
        assert_eq!(states.collect::<Vec<_>>(), ["", "provisional", "provisional"], "{table}");
    }
}
