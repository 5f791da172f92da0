//! The table by campaign, most clicks first. It shows only the number of rows that is asked for, however many
//! campaigns there are, and draws only those again whose numbers changed.

use std::rc::Rc;

use clickwire_protocol::{alerts::FraudRate, counts::Counts};
use yew::prelude::*;

use crate::{
    directory::Names,
    format,
    overview::{Overview, Severity, severity},
    palette::{OTHER, Palette},
    route::{Name, Route},
    router::{Link, Place, use_router},
    words,
};

/// Rows at first, and how many more at each wish.
const ROWS: usize = 25;
const MORE_ROWS: usize = 100;

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The numbers.
    pub overview: Rc<Overview>,
    /// Names of campaigns.
    pub names: Rc<Names>,
    /// The chart's colours.
    pub palette: Palette,
    /// Rule that says which fraud rate is too high.
    pub fraud_rate: Option<FraudRate>,
    /// There are no numbers yet.
    pub loading: bool,
    /// Caption for screen readers: the advertiser and the subject of the table.
    pub caption: AttrValue,
}

/// The table.
#[component]
pub fn Breakdown(props: &Props) -> Html {
    let (wanted, router) = (use_state_eq(|| ROWS), use_router());
    let rows = &props.overview.rows;
    let all = props.overview.total.clicks();
    let left = rows.len().saturating_sub(*wanted);
    let more = {
        let wanted = wanted.clone();
        Callback::from(move |_: MouseEvent| wanted.set(*wanted + MORE_ROWS))
    };
    let row = |row: &crate::overview::Row| {
        let id = &row.campaign.id;
        let name = props.names.get(&**id).map_or_else(|| Rc::clone(id), |name| name.as_str().into());
        let to = Name::new(id).map(|id| Place::new(Route::Campaign(id), router.place.query.carried()));
        html! {
            <Row key={&**id} id={Rc::clone(id)} {name} {to} slot={props.palette.slot_of(id).unwrap_or(OTHER)} counts={row.total}
                share={if all > 0 { row.total.clicks() as f64 / all as f64 } else { 0.0 }} fraud_rate={props.fraud_rate} />
        }
    };
    html! {
        <>
            <table class="breakdown" aria-busy={props.loading.then_some("true")} aria-rowcount={(rows.len() + 1).to_string()}>
                <caption class="hidden">{ &props.caption }</caption>
                <thead>
                    <tr>
                        <th scope="col">{ words::CAMPAIGN }</th>
                        <th scope="col" class="share"><span class="hidden">{ words::SHARE }</span></th>
                        <th scope="col" class="n" aria-sort="descending">{ words::CLICKS }</th>
                        <th scope="col" class="n">{ words::BILLABLE }</th>
                        <th scope="col" class="n">{ words::INVALID_CLICKS }</th>
                        <th scope="col" class="n">{ words::DUPLICATES }</th>
                    </tr>
                </thead>
                <tbody>
                    if props.loading {
                        { for (0..4).map(|_| html! { <tr><td colspan="6"><div class="skeleton line" /></td></tr> }) }
                    } else if rows.is_empty() {
                        <tr><td colspan="6" class="none">{ words::NO_CAMPAIGN_HAD_CLICKS }</td></tr>
                    } else {
                        { for rows.iter().take(*wanted).map(row) }
                    }
                </tbody>
            </table>
            if left > 0 && !props.loading {
                <button type="button" class="quiet more" onclick={more}>
                    { words::show_more(left.min(MORE_ROWS), rows.len()) }
                </button>
            }
        </>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct RowProps {
    id: Rc<str>,
    name: Rc<str>,
    /// Its page.
    to: Option<Place>,
    slot: usize,
    counts: Counts,
    share: f64,
    fraud_rate: Option<FraudRate>,
}

#[component]
fn Row(props: &RowProps) -> Html {
    let (counts, slot) = (&props.counts, props.slot.to_string());
    let tone = match severity(counts, props.fraud_rate.as_ref()) {
        Severity::Calm => None,
        Severity::Warning => Some("warning"),
        Severity::Critical => Some("critical"),
    };
    let name = html! { <bdi>{ &*props.name }</bdi> };
    let name = match &props.to {
        Some(to) => html! { <Link to={to.clone()}>{ name }</Link> },
        None => name,
    };
    html! {
        <tr>
            <th scope="row" title={words::named(&props.name, &props.id)}>
                <span class="campaign"><span class="swatch" data-slot={slot.clone()} aria-hidden="true" />{ name }</span>
            </th>
            <td class="share">
                <span class="bar" aria-hidden="true"><span data-slot={slot} style={format!("width:{:.1}%", props.share * 100.0)} /></span>
                <span class="percent">{ format::percent(Some(props.share)) }</span>
            </td>
            <td class="n strong" data-unit={words::LABEL_CLICKS}>{ format::count(counts.clicks()) }</td>
            <td class="n" data-column="billable" data-label={words::LABEL_BILLABLE}>{ format::count(counts.valid) }</td>
            <td class="n" data-column="invalid" data-label={words::LABEL_INVALID}>
                <span class="soft">{ format::count(counts.fraud()) }</span>
                <span class={classes!("rate", tone)}>{ format::percent(counts.fraud_rate()) }</span>
            </td>
            <td class="n soft" data-column="duplicates" data-label={words::LABEL_DUPLICATES}>{ format::count(counts.duplicate) }</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{MINUTE_MS, live::ViewCell, times::Minute};

    use super::*;
    use crate::board::Board;

    fn overview(campaigns: &[(String, Counts)]) -> Rc<Overview> {
        let cell = |(id, counts): &(String, Counts)| ViewCell {
            minute: Minute(100),
            group: vec![id.clone()],
            counts: *counts,
        };
        let mut board = Board::default();
        board.replace(Minute(41), campaigns.iter().map(cell).collect());
        Rc::new(Overview::new(&board, 100 * MINUTE_MS, 60))
    }

    fn props(campaigns: &[(String, Counts)]) -> Props {
        Props {
            overview: overview(campaigns),
            names: Rc::new(Names::from([("camp_001".into(), "Spring <sale>".into())])),
            palette: Palette::default(),
            fraud_rate: None,
            loading: false,
            caption: "By campaign".into(),
        }
    }

    async fn render(props: &Props) -> String {
        yew::LocalServerRenderer::<Breakdown>::with_props(props.clone()).hydratable(false).render().await
    }

    #[tokio::test]
    async fn rows_say_what_was_counted() {
        let fraud_rate = |critical_percent| FraudRate {
            warning_percent: 1,
            critical_percent,
            minimum_clicks: 30,
            window_minutes: 10,
        };
        let props = props(&[
            ("camp_001".into(), Counts { valid: 1140, sivt: 60, duplicate: 7, ..Counts::default() }),
            ("camp_002".into(), Counts { valid: 400, ..Counts::default() }),
        ]);
        let table = render(&Props { fraud_rate: Some(fraud_rate(5)), ..props.clone() }).await;
        for expected in
            ["Spring &lt;sale&gt;", "1,200", "1,140", "5.0%", "rate critical", "75.0%", ">7<", "camp_002"]
        {
            assert!(table.contains(expected), "{expected} is missing: {table}");
        }
        assert!(table.find("camp_001") < table.find("camp_002"));
        assert!(!table.contains("more of"), "all are shown");
        assert!(table.contains(r#"href="/campaigns/camp_001""#), "{table}");
        // The deployment's thresholds, not the page's.
        for (rule, tone) in [(Some(fraud_rate(6)), Some("rate warning")), (None, None)] {
            let table = render(&Props { fraud_rate: rule, ..props.clone() }).await;
            assert!(
                tone.is_none_or(|tone| table.contains(tone)) && !table.contains("rate critical"),
                "{table}"
            );
            assert_eq!(table.contains("rate warning"), tone.is_some(), "{table}");
        }
    }

    #[tokio::test]
    async fn of_many_campaigns_the_first_are_shown() {
        let many: Vec<(String, Counts)> = (0..400)
            .map(|n| (format!("campaign {n:03}"), Counts { valid: 1_000 - n, ..Counts::default() }))
            .collect();
        let table = render(&props(&many)).await;
        assert_eq!(table.matches("<tr>").count(), ROWS + 1);
        assert!(table.contains("Show 100 more of 400 campaigns"), "{table}");
        assert!(table.contains("campaign 024") && !table.contains("campaign 025"), "{table}");
    }
}
