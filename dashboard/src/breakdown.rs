//! The table by campaign, most clicks first.

use clickwire_protocol::alerts::FraudRate;
use yew::prelude::*;

use crate::{
    directory::Names,
    format,
    overview::{Campaign, Severity, severity},
    palette::{OTHER, Palette},
};

/// What the table shows.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// In the order shown.
    pub campaigns: Vec<Campaign>,
    /// Names of campaigns.
    pub names: Names,
    /// The chart's colours.
    pub palette: Palette,
    /// How much fraud is too much.
    pub fraud_rate: Option<FraudRate>,
    /// There are no numbers yet.
    pub loading: bool,
    /// Whom and what it is about, for screen readers.
    pub caption: AttrValue,
}

/// The table.
#[component]
pub fn Breakdown(props: &Props) -> Html {
    let all: i64 = props.campaigns.iter().map(|campaign| campaign.total.clicks()).sum();
    html! {
        <table class="breakdown" aria-busy={props.loading.then_some("true")}>
            <caption class="hidden">{ &props.caption }</caption>
            <thead>
                <tr>
                    <th scope="col">{ "Campaign" }</th>
                    <th scope="col" class="share"><span class="hidden">{ "Share" }</span></th>
                    <th scope="col" class="n" aria-sort="descending">{ "Clicks" }</th>
                    <th scope="col" class="n">{ "Billable" }</th>
                    <th scope="col" class="n">{ "Invalid" }</th>
                    <th scope="col" class="n">{ "Duplicates" }</th>
                </tr>
            </thead>
            <tbody>
                if props.loading {
                    { for (0..4).map(|_| html! { <tr><td colspan="6"><div class="skeleton line" /></td></tr> }) }
                } else if props.campaigns.is_empty() {
                    <tr><td colspan="6" class="none">{ "No campaign had a click yet." }</td></tr>
                } else {
                    { for props.campaigns.iter().map(|campaign| row(campaign, all, props)) }
                }
            </tbody>
        </table>
    }
}

fn row(campaign: &Campaign, all: i64, props: &Props) -> Html {
    let counts = &campaign.total;
    let share = if all > 0 { counts.clicks() as f64 / all as f64 } else { 0.0 };
    let name = props.names.get(&campaign.id).unwrap_or(&campaign.id);
    let slot = props.palette.slot_of(&campaign.id).unwrap_or(OTHER);
    let tone = match severity(counts, props.fraud_rate.as_ref()) {
        Severity::Calm => None,
        Severity::Warning => Some("warning"),
        Severity::Critical => Some("critical"),
    };
    html! {
        <tr key={campaign.id.clone()}>
            <th scope="row" title={campaign.id.clone()}>
                <span class="campaign"><span class="swatch" data-slot={slot.to_string()} aria-hidden="true" />{ name }</span>
            </th>
            <td class="share">
                <span class="bar" aria-hidden="true"><span data-slot={slot.to_string()} style={format!("width:{:.1}%", share * 100.0)} /></span>
                <span class="percent">{ format::percent(Some(share)) }</span>
            </td>
            <td class="n strong">{ format::count(counts.clicks()) }</td>
            <td class="n" data-label="billable">{ format::count(counts.valid) }</td>
            <td class="n" data-label="invalid">
                <span class="soft">{ format::count(counts.fraud()) }</span>
                <span class={classes!("rate", tone)}>{ format::percent(counts.fraud_rate()) }</span>
            </td>
            <td class="n soft" data-label="duplicates">{ format::count(counts.duplicate) }</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::counts::Counts;

    use super::*;

    #[tokio::test]
    async fn rows_say_what_was_counted() {
        let campaign = |id: &str, total| Campaign { id: id.into(), total, by_minute: vec![] };
        let fraud_rate = |critical_percent| FraudRate {
            warning_percent: 1,
            critical_percent,
            minimum_clicks: 30,
            window_minutes: 10,
        };
        let props = Props {
            fraud_rate: Some(fraud_rate(5)),
            campaigns: vec![
                campaign("camp_001", Counts { valid: 1140, sivt: 60, duplicate: 7, ..Counts::default() }),
                campaign("camp_002", Counts { valid: 400, ..Counts::default() }),
            ],
            names: Names::from([("camp_001".into(), "Spring <sale>".into())]),
            palette: Palette::default(),
            loading: false,
            caption: "By campaign".into(),
        };
        let rendered = async |props: &Props| {
            yew::LocalServerRenderer::<Breakdown>::with_props(props.clone()).hydratable(false).render().await
        };
        let table = rendered(&props).await;
        for expected in
            ["Spring &lt;sale&gt;", "1,200", "1,140", "5.0%", "rate critical", "75.0%", ">7<", "camp_002"]
        {
            assert!(table.contains(expected), "{expected} is missing: {table}");
        }
        assert!(table.find("camp_001") < table.find("camp_002"));
        // The deployment's thresholds, not the page's.
        for (rule, tone) in [(Some(fraud_rate(6)), Some("rate warning")), (None, None)] {
            let table = rendered(&Props { fraud_rate: rule, ..props.clone() }).await;
            assert!(
                tone.is_none_or(|tone| table.contains(tone)) && !table.contains("rate critical"),
                "{table}"
            );
            assert_eq!(table.contains("rate warning"), tone.is_some(), "{table}");
        }
    }
}
