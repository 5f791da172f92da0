//! A preview of a draft: verdicts on the last clicks, as they are counted and as the draft would have given them; of a
//! rule that opens incidents, their numbers.

use clickwire_protocol::rules::preview::{
    IncidentPreview, OpenedIncidents, Preview as Answer, RulePreview, Verdicts,
};
use serde_json::json;
use yew::prelude::*;

use super::{
    super::{beside, name},
    difference::Setting,
};
use crate::{
    access::{Access, use_access},
    ask::use_mutation,
    format,
    http::{Method, Request},
    words,
    zone::Zone,
};

/// Properties of the preview.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The rule.
    pub(super) rule: AttrValue,
    /// The draft. It is the component's key, too: of another draft nothing is shown, neither numbers nor a failure.
    pub(super) wanted: Setting,
    /// The zone of times.
    pub(super) zone: Zone,
}

/// The button, and the preview of the draft that it was pressed for.
#[component]
pub(super) fn Preview(props: &Props) -> Html {
    let (access, mutation) = (use_access(), use_mutation());
    let last = use_state(|| None::<Answer>);
    let onclick = {
        let (mutation, last, wanted) = (mutation.clone(), last.setter(), props.wanted.clone());
        let url = format!("/api/v1/admin/rules/{}/preview", props.rule);
        Callback::from(move |_: MouseEvent| {
            let body = json!({"mode": wanted.mode, "parameters": wanted.parameters});
            let last = last.clone();
            let then = Callback::from(move |preview| last.set(Some(preview)));
            mutation.run(Request::with(Method::Post, &url, &body), then);
        })
    };
    let sum = last.as_ref().map(|preview| sum(preview, &props.zone));
    html! {
        <div class="rule-preview" data-testid="rule-preview" aria-busy={mutation.is_busy.then_some("true")}>
            <button type="button" class="quiet" {onclick} disabled={mutation.is_busy}>
                { if mutation.is_busy { words::PREVIEW_BUSY } else { words::PREVIEW } }
            </button>
            { beside(&mutation, &[]) }
            <p aria-live="polite" hidden={sum.is_none()}>{ sum }</p>
            if let Some(preview) = &*last {
                { tables(preview, &props.zone, &access) }
            }
        </div>
    }
}

/// The range of a preview.
fn range(preview: &RulePreview, zone: &Zone) -> String {
    words::preview_range(
        preview.counted.clicks(),
        &zone.stamp_ms(preview.start_ms),
        &zone.stamp_ms(preview.end_ms),
        preview.is_cut,
    )
}

/// A preview in one sentence.
fn sum(preview: &Answer, zone: &Zone) -> String {
    match preview {
        Answer::Verdicts(preview) if preview.counted.clicks() == 0 => range(preview, zone),
        Answer::Verdicts(preview) => words::preview_sum(preview.to_invalid, preview.to_valid),
        Answer::Incidents(preview) if preview.campaign_count == 0 => minutes(preview, zone),
        Answer::Incidents(preview) => {
            let (current, previewed) = (preview.current, preview.previewed);
            words::preview_incidents(previewed.opened - current.opened, previewed.critical - current.critical)
        }
    }
}

/// The range of a preview of incidents.
fn minutes(preview: &IncidentPreview, zone: &Zone) -> String {
    words::preview_minutes(
        preview.campaign_count,
        &zone.stamp_ms(preview.start_ms),
        &zone.stamp_ms(preview.end_ms),
        preview.is_cut,
    )
}

/// The numbers of a preview.
fn tables(preview: &Answer, zone: &Zone, access: &Access) -> Html {
    match preview {
        Answer::Verdicts(preview) => verdicts(preview, zone, access),
        Answer::Incidents(preview) => incidents(preview, zone, access),
    }
}

fn incidents(preview: &IncidentPreview, zone: &Zone, access: &Access) -> Html {
    if preview.campaign_count == 0 {
        return html! {};
    }
    let number = |incidents: OpenedIncidents| words::of_them_critical(incidents.opened, incidents.critical);
    html! {
        <>
            <table class="difference">
                <caption class="hidden">{ words::PREVIEW_CAMPAIGNS }</caption>
                <thead><tr>
                    <th scope="col">{ words::CAMPAIGN }</th>
                    <th scope="col">{ words::AS_IT_IS }</th>
                    <th scope="col">{ words::AS_PREVIEWED }</th>
                </tr></thead>
                <tbody>
                    <tr class={(preview.current != preview.previewed).then_some("differs")}>
                        <th scope="row">{ words::ALL_CAMPAIGNS }</th>
                        <td>{ number(preview.current) }</td>
                        <td>{ number(preview.previewed) }</td>
                    </tr>
                    { for preview.campaigns.iter().map(|one| html! {
                        <tr key={format!("{}/{}", one.advertiser_id, one.campaign_id)}>
                            <th scope="row">
                                { name(&access.advertiser_name(one.advertiser_id.as_str())) }{ " / " }{ name(one.campaign_id.as_str()) }
                            </th>
                            <td>{ number(one.current) }</td>
                            <td>{ number(one.previewed) }</td>
                        </tr>
                    }) }
                </tbody>
            </table>
            <p class="soft">{ minutes(preview, zone) }</p>
        </>
    }
}

fn verdicts(preview: &RulePreview, zone: &Zone, access: &Access) -> Html {
    if preview.counted.clicks() == 0 {
        return html! {};
    }
    let line = |verdict: &str, number: fn(&Verdicts) -> i64| {
        let (counted, previewed) = (number(&preview.counted), number(&preview.previewed));
        html! {
            <tr class={(counted != previewed).then_some("differs")} data-verdict={verdict.to_owned()}>
                <th scope="row">{ words::verdict(verdict) }</th>
                <td>{ format::count(counted) }</td>
                <td>{ format::count(previewed) }</td>
            </tr>
        }
    };
    html! {
        <>
            <table class="difference">
                <caption class="hidden">{ words::PREVIEW_CAPTION }</caption>
                <thead><tr>
                    <th scope="col">{ words::VERDICT }</th>
                    <th scope="col">{ words::AS_COUNTED }</th>
                    <th scope="col">{ words::AS_PREVIEWED }</th>
                </tr></thead>
                <tbody>
                    { line("valid", |verdicts| verdicts.valid) }
                    { line("duplicate", |verdicts| verdicts.duplicate) }
                    { line("givt", |verdicts| verdicts.givt) }
                    { line("sivt", |verdicts| verdicts.sivt) }
                </tbody>
            </table>
            if !preview.advertisers.is_empty() {
                <table class="difference">
                    <caption class="hidden">{ words::PREVIEW_ADVERTISERS }</caption>
                    <thead><tr>
                        <th scope="col">{ words::ADVERTISER }</th>
                        <th scope="col">{ words::TO_INVALID }</th>
                        <th scope="col">{ words::TO_VALID }</th>
                    </tr></thead>
                    <tbody>
                        { for preview.advertisers.iter().map(|one| html! {
                            <tr key={one.advertiser_id.to_string()}>
                                <th scope="row">{ name(&access.advertiser_name(one.advertiser_id.as_str())) }</th>
                                <td>{ words::of_all_clicks(one.to_invalid, one.clicks) }</td>
                                <td>{ words::of_all_clicks(one.to_valid, one.clicks) }</td>
                            </tr>
                        }) }
                    </tbody>
                </table>
            }
            <p class="soft">{ range(preview, zone) }</p>
        </>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{
        ids::{AdvertiserId, CampaignId},
        rules::preview::{PreviewedAdvertiser, PreviewedCampaign},
    };

    use super::*;
    use crate::{account::Credential, kit::render};

    #[derive(Clone, PartialEq, Properties)]
    struct ShownProps {
        preview: Answer,
    }

    #[component]
    fn Shown(props: &ShownProps) -> Html {
        let (preview, zone) = (&props.preview, Zone::utc());
        html! { <>{ sum(preview, &zone) }{ tables(preview, &zone, &Access::new(Credential::Cookie)) }</> }
    }

    fn preview(valid: i64, sivt: i64) -> RulePreview {
        RulePreview {
            start_ms: 1_795_900_000_000,
            end_ms: 1_795_986_400_000,
            is_cut: true,
            counted: Verdicts { valid: 1_200, ..Verdicts::default() },
            previewed: Verdicts { valid, sivt, ..Verdicts::default() },
            to_invalid: 1_200 - valid,
            to_valid: 0,
            advertisers: vec![PreviewedAdvertiser {
                advertiser_id: AdvertiserId::new("adv_001").unwrap(),
                clicks: 1_200,
                to_invalid: 1_200 - valid,
                to_valid: 0,
            }],
        }
    }

    #[tokio::test]
    async fn both_verdicts_stand_beside_each_other() {
        let shown = render::<Shown>(ShownProps { preview: Answer::Verdicts(preview(1_000, 200)) }).await;
        for expected in [
            "1,200",
            "1,000",
            "200 valid clicks would be invalid",
            "adv_001",
            "earlier clicks of the 24 hours",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert_eq!(shown.matches("differs").count(), 2, "{shown}");
    }

    #[tokio::test]
    async fn no_clicks_are_said_to_be_none() {
        let mut preview = preview(0, 0);
        (preview.counted, preview.is_cut) = (Verdicts::default(), false);
        let shown = render::<Shown>(ShownProps { preview: Answer::Verdicts(preview) }).await;
        assert!(shown.contains("0 clicks") && !shown.contains("<table"), "{shown}");
    }

    #[tokio::test]
    async fn incidents_by_both_rules_stand_beside_each_other() {
        let [current, previewed] =
            [(3, 1), (1_200, 0)].map(|(opened, critical)| OpenedIncidents { opened, critical });
        let mut preview = IncidentPreview {
            start_ms: 1_795_900_000_000,
            end_ms: 1_795_986_400_000,
            is_cut: true,
            campaign_count: 500,
            current,
            previewed,
            campaigns: vec![PreviewedCampaign {
                advertiser_id: AdvertiserId::new("adv_001").unwrap(),
                campaign_id: CampaignId::new("camp_007").unwrap(),
                current: OpenedIncidents::default(),
                previewed,
            }],
        };
        let shown = render::<Shown>(ShownProps { preview: Answer::Incidents(preview.clone()) }).await;
        for expected in
            ["3, 1 of them critical", "1,200", "camp_007", "1,197 more", "500 campaigns", "most clicks"]
        {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        (preview.campaign_count, preview.is_cut) = (0, false);
        let shown = render::<Shown>(ShownProps { preview: Answer::Incidents(preview) }).await;
        assert!(shown.contains("No campaign had clicks") && !shown.contains("<table"), "{shown}");
    }
}
