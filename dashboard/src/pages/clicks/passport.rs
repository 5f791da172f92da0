//! All that is known of a click: its fields, its verdict with the reasons, and later changes of the verdict.

use clickwire_protocol::ledger::{Change, FoundClick};
use yew::prelude::*;

use super::{
    super::{
        campaign::{to_ad, to_campaign},
        id,
        release::Release,
        sets,
    },
    verdict,
};
use crate::{access::use_access, api::Role, frame::View, kit::Copy, query::Query, words};

#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The click.
    pub(super) click: FoundClick,
    /// The address.
    pub(super) view: View,
    /// Hears that its verdict has changed.
    pub(super) onchanged: Callback<()>,
}

fn line(label: &str, value: Html) -> Html {
    html! { <><dt>{ label }</dt><dd>{ value }</dd></> }
}

/// A field that a click may lack.
fn text(label: &str, value: &Option<String>) -> Html {
    html! { if let Some(value) = value { { line(label, html! { <bdi>{ value }</bdi> }) } } }
}

/// The click.
#[component]
pub(super) fn Passport(props: &Props) -> Html {
    let access = use_access();
    let releases = use_state_eq(|| false);
    let Props { click, view, onchanged } = props;
    let whose = Query { scope: Some(click.advertiser_id.clone()), ..view.place.query.carried() };
    let may_release = access.role() == Role::Admin && super::is_convicted(click);
    html! {
        <>
            <dl class="facts" data-testid="passport">
                { line(&words::CLICK_ID, html! { <span class="with-copy">{ id(&click.click_id.to_string()) }<Copy text={click.click_id.to_string()} what={words::THE_ID} /></span> }) }
                { line(&words::TIME, html! { view.zone.stamp(&click.clicked_at) }) }
                { line(&words::RECEIVED_AT, html! { view.zone.stamp(&click.received_at) }) }
                { line(&words::ADVERTISER, html! { <bdi>{ words::named(&access.advertiser_name(click.advertiser_id.as_str()), click.advertiser_id.as_str()) }</bdi> }) }
                { line(&words::CAMPAIGN, to_campaign(&click.campaign_id, id(&click.campaign_id), &whose)) }
                { line(&words::AD, to_ad(&click.ad_id, id(&click.ad_id), &whose)) }
                { line(&words::COUNTRY, html! { if click.country == "ZZ" { { words::UNKNOWN } } else { { &click.country } } }) }
                { line(&words::DEVICE, html! { &click.device_type }) }
                { text(&words::OS, &click.os) }
                { text(&words::BROWSER, &click.browser) }
                { text(&words::USER, &click.user_id) }
                { text(&words::REFERRER, &click.referrer) }
            </dl>
            <h3>{ words::VERDICT }</h3>
            <dl class="facts" data-testid="verdict">
                { line(&words::VERDICT, html! { <>{ verdict(click) }{ " " }{ words::verdict_why(&click.disposition) }</> }) }
                if let Some(rule) = &click.rule {
                    { line(&words::DECIDED_BY, html! { words::rule_in(rule, click.rule_version) }) }
                }
                { text(&words::ROBOT, &click.robot) }
                if click.released {
                    { line(&words::STATE, html! { words::RELEASED }) }
                }
                if let Some(evidence) = click.evidence.as_ref().filter(|evidence| !evidence.is_empty()) {
                    { line(&words::EVIDENCE, html! { <ul class="plain-list">{ for evidence.iter().map(|rule| html! { <li key={rule.clone()}>{ words::evidence(rule) }</li> }) }</ul> }) }
                }
            </dl>
            if may_release {
                <div class="form-end"><button type="button" class="quiet" onclick={sets(&releases, true).reform(|_: MouseEvent| ())}>{ words::RELEASE_MORE }</button></div>
            }
            if !click.adjustments.is_empty() {
                <h3>{ words::CHANGES }</h3>
                { for click.adjustments.iter().map(|change| changed(change, view)) }
            }
            if !click.params.is_empty() {
                <h3>{ words::CAME_WITH }</h3>
                <dl class="facts">{ for click.params.iter().map(|(name, value)| line(name, html! { <bdi>{ value }</bdi> })) }</dl>
            }
            if *releases {
                <Release click={click.clone()} onclose={sets(&releases, false)} onreleased={onchanged.clone()} />
            }
        </>
    }
}

fn changed(change: &Change, view: &View) -> Html {
    html! {
        <dl class="facts">
            { line(&words::TIME, html! { view.zone.stamp(&change.adjusted_at) }) }
            { line(&words::CHANGED, html! { words::from_to(words::verdict(&change.from_disposition), words::verdict(&change.to_disposition)) }) }
            { line(&words::BY, html! { <bdi>{ words::changed_verdict_by(&change.actor) }</bdi> }) }
            if let Some(rule) = &change.rule {
                { line(&words::RULE, html! { words::rule_in(rule, change.rule_version) }) }
            }
            { line(&words::REASON, html! { <bdi>{ &change.reason }</bdi> }) }
        </dl>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::click, *};
    use crate::{kit::render, query::Query, route::Route, router::Place, zone::Zone};

    async fn passport(click: FoundClick) -> String {
        let view =
            View { place: Place::new(Route::Clicks, Query::default()), scope: None, zone: Zone::utc() };
        render::<Passport>(Props { click, view, onchanged: Callback::noop() }).await
    }

    #[tokio::test]
    async fn a_click_says_what_it_was_and_why_it_was_judged_so() {
        let plain = passport(click()).await;
        assert!(plain.contains("2026-11-28 10:00:00") && plain.contains("Valid"), "{plain}");
        for absent in [words::EVIDENCE, words::DECIDED_BY, words::CHANGES, words::CAME_WITH, words::ROBOT] {
            assert!(!plain.contains(&*absent), "{absent}: {plain}");
        }
        let change = Change {
            adjusted_at: "2026-11-28T11:00:00Z".into(),
            from_disposition: "sivt".into(),
            to_disposition: "valid".into(),
            rule: None,
            rule_version: None,
            actor: "operator".into(),
            reason: "an <office>".into(),
        };
        let full = passport(FoundClick {
            rule: Some("ip_velocity".into()),
            rule_version: Some(3),
            evidence: Some(vec!["ip_velocity".into(), "a_later_rule".into()]),
            robot: Some("http-library".into()),
            released: true,
            params: [("gclid".to_owned(), "x".to_owned())].into(),
            adjustments: vec![change],
            ..click()
        })
        .await;
        for expected in [
            "Too many clicks of one address (version 3)",
            "One address clicks faster than people do.",
            "a later rule",
            "http-library",
            "gclid",
            "an &lt;office&gt;",
            "Sophisticated invalid traffic → Valid",
        ] {
            assert!(full.contains(expected), "{expected}: {full}");
        }
    }
}
