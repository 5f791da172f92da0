//! Evidence of an incident: the rule behind it, and a sample of its clicks. Clicks that were convicted wrongly can be
//! released.

use clickwire_protocol::{
    alerts::{Alert, Kind},
    ledger::FoundClick,
};
use yew::prelude::*;

use super::{
    super::{
        clicks::is_convicted,
        id,
        release::{Release, ReleaseAll},
        sets,
    },
    minutes::Minutes,
    rule::RuleThen,
};
use crate::{
    access::use_access,
    api::{Page, Role},
    ask::use_query,
    frame::View,
    http,
    kit::{Badge, Column, Empty, Problem, Table, Tone},
    words, zone,
};

/// Number of clicks in the sample.
const SAMPLE: usize = 50;

/// Time before the opening of an incident in which its clicks may have come, in milliseconds.
const BEFORE_MS: i64 = 15 * 60_000;

/// Properties of the evidence.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The incident.
    pub(super) alert: Alert,
    /// The address.
    pub(super) view: View,
}

/// Returns the rule behind a kind of incident; `None`: it is measured, not judged.
fn rule_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::IpBurst => Some("ip_velocity"),
        Kind::UserBurst => Some("user_velocity"),
        Kind::CampaignSpike => Some("campaign_spike"),
        Kind::FraudRate => Some("fraud_rate"),
        Kind::Lag
        | Kind::DeadLetters
        | Kind::BackgroundJob
        | Kind::Rollups
        | Kind::LakeStalled
        | Kind::StreamReplicas => None,
    }
}

/// Returns whether the search finds the incident's invalid clicks, and no others.
fn is_exact(alert: &Alert) -> bool {
    let is_of_advertiser = alert.advertiser_id.is_some();
    match alert.kind {
        // An address that several advertisers' clicks are of is judged by all of them.
        Kind::IpBurst => true,
        Kind::FraudRate | Kind::UserBurst => is_of_advertiser,
        Kind::CampaignSpike => is_of_advertiser && alert.campaign_id.is_some(),
        Kind::Lag
        | Kind::DeadLetters
        | Kind::BackgroundJob
        | Kind::Rollups
        | Kind::LakeStalled
        | Kind::StreamReplicas => false,
    }
}

/// Returns the query of the search for the incident's clicks; `None`: it is not about clicks.
fn search_of(alert: &Alert) -> Option<String> {
    let start = zone::at_ms(&alert.opened_at)? - BEFORE_MS;
    let end = zone::at_ms(alert.resolved_at.as_ref().unwrap_or(&alert.last_seen_at))? + 2 * 60_000;
    let text = |value: &str| Some(value.to_owned());
    let (disposition, rule) = match alert.kind {
        Kind::FraudRate => (text("givt,sivt"), None),
        Kind::IpBurst | Kind::UserBurst => (None, rule_of(alert.kind).and_then(text)),
        Kind::CampaignSpike => (None, None),
        Kind::Lag
        | Kind::DeadLetters
        | Kind::BackgroundJob
        | Kind::Rollups
        | Kind::LakeStalled
        | Kind::StreamReplicas => return None,
    };
    // A user is one within an advertiser, and so is an address that only its own keys tell of.
    let subject = match &alert.advertiser_id {
        Some(id) => alert.subject.strip_prefix(id.as_str()).and_then(|rest| rest.strip_prefix('/')),
        None => Some(alert.subject.as_str()),
    };
    let of = |kind: Kind| subject.filter(|_| alert.kind == kind).map(str::to_owned);
    Some(http::url(
        "",
        [
            ("advertiser_id", alert.advertiser_id.as_ref().map(ToString::to_string)),
            ("campaign_id", alert.campaign_id.as_ref().map(ToString::to_string)),
            ("start_time", Some(zone::rfc3339(start))),
            ("end_time", Some(zone::rfc3339(end))),
            ("user_id", of(Kind::UserBurst)),
            ("ip_hash", of(Kind::IpBurst)),
            ("bound", of(Kind::IpBurst).map(|_| alert.advertiser_id.is_some().to_string())),
            ("disposition", disposition),
            ("rule", rule),
        ],
    ))
}

/// The evidence.
#[component]
pub(super) fn Evidence(props: &Props) -> Html {
    let search = search_of(&props.alert);
    let is_exact = is_exact(&props.alert);
    html! {
        <>
            if let Some(rule) = rule_of(props.alert.kind) {
                <RuleThen {rule} at={props.alert.opened_at.clone()} view={props.view.clone()} />
            }
            <Minutes alert={props.alert.clone()} view={props.view.clone()} />
            if let Some(search) = search {
                <Sample {search} {is_exact} view={props.view.clone()} />
            }
        </>
    }
}

/// Returns a click's verdict and the rules that apply to it, in words.
fn judged(click: &FoundClick) -> (String, String) {
    let verdict = if click.released { words::RELEASED.get() } else { words::verdict(&click.disposition) };
    let evidence: Vec<&str> = click.evidence.iter().flatten().map(|name| words::rule(name)).collect();
    (verdict.to_owned(), evidence.join(", "))
}

#[derive(Clone, PartialEq, Properties)]
struct SampleProps {
    search: String,
    /// All invalid clicks that the search finds may be released together.
    is_exact: bool,
    view: View,
}

#[component]
fn Sample(props: &SampleProps) -> Html {
    let access = use_access();
    let clicks =
        use_query::<Page<FoundClick>>(Some(format!("/api/v1/clicks{}&limit={SAMPLE}", props.search)));
    let releases = use_state(|| None::<FoundClick>);
    let rows = clicks.data.as_ref().map(|page| page.data.clone()).unwrap_or_default();
    let count = rows.len();
    let may_release = access.role() == Role::Admin;
    let releases_all = use_state_eq(|| false);
    // Where the sample is not all of them, there may be invalid ones among the others.
    let may_have_convicted = count == SAMPLE || rows.iter().any(is_convicted);
    let may_release_all = may_release && props.is_exact && may_have_convicted;
    let row = {
        let (zone, releases) = (props.view.zone.clone(), releases.clone());
        Callback::from(move |index: usize| {
            let click = rows[index].clone();
            let is_convicted = is_convicted(&click);
            let tone = if is_convicted { Tone::Critical } else { Tone::Neutral };
            let (verdict, evidence) = judged(&click);
            let (releases, chosen) = (releases.clone(), click.clone());
            let onclick = Callback::from(move |_: MouseEvent| releases.set(Some(chosen.clone())));
            vec![
                html! { <span title={click.click_id.to_string()}>{ zone.stamp(&click.clicked_at) }</span> },
                html! { <Badge text={verdict} {tone} /> },
                html! { if may_release && is_convicted { <button type="button" class="link" {onclick}>{ words::RELEASE_MORE }</button> } },
                html! { evidence },
                id(&click.ad_id),
                html! { format!("{} · {}", click.country, click.device_type) },
            ]
        })
    };
    let columns =
        [words::TIME, words::VERDICT, words::ACTIONS, words::EVIDENCE, words::AD, words::FROM_WHERE];
    let onclose = super::super::sets_none(&releases);
    html! {
        <>
            <h3>{ words::CLICKS }</h3>
            if may_release_all {
                <div class="form-end"><button type="button" class="quiet" data-testid="release-all" onclick={sets(&releases_all, true).reform(|_: MouseEvent| ())}>{ words::RELEASE_ALL_MORE }</button></div>
            }
            if let Some(failure) = clicks.failure.clone() {
                <Problem {failure} onretry={clicks.reload.clone()} />
            }
            <Table caption={words::SAMPLE} columns={columns.map(Column::text).to_vec()} rows={count} {row} loaded={clicks.loaded()}
                empty={html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_WHY} /> }} />
            if count == SAMPLE {
                <p class="soft">{ words::only_latest(SAMPLE) }</p>
            }
            if let Some(click) = &*releases {
                <Release click={click.clone()} {onclose} onreleased={clicks.reload.clone()} />
            }
            if *releases_all {
                <ReleaseAll search={props.search.clone()} onclose={sets(&releases_all, false)} onreleased={clicks.reload.clone()} />
            }
        </>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{alerts::Severity, ids::CampaignId};

    use super::*;
    use crate::{incidents::tests::alert, pages::clicks::tests::click};

    #[test]
    fn a_click_of_the_sample_is_judged_in_words() {
        let convicted = FoundClick {
            disposition: "sivt".into(),
            evidence: Some(vec!["ip_velocity".into(), "duplicate".into()]),
            ..click()
        };
        let rules = "Too many clicks of one address, Repeat";
        assert_eq!(judged(&convicted), ("Sophisticated invalid traffic".into(), rules.into()));
        let released = FoundClick { released: true, ..convicted };
        assert_eq!(judged(&released), ("released".into(), rules.into()));
        assert_eq!(judged(&click()), ("Valid".into(), String::new()));
    }

    #[test]
    fn an_incident_about_clicks_has_a_sample_around_its_time() {
        let fraud = alert(0, Severity::Critical);
        let url = search_of(&fraud).unwrap();
        assert!(url.contains("start_time=2026-11-28T09:45:00Z&end_time=2026-11-28T10:07:00Z"), "{url}");
        assert!(url.contains("disposition=givt,sivt"), "{url}");
        for kind in Kind::ALL {
            let sample = search_of(&Alert { kind, ..fraud.clone() });
            assert_eq!(sample.is_some(), rule_of(kind).is_some(), "{kind:?}");
        }
        let burst = Alert { kind: Kind::UserBurst, subject: "adv_001/anna b".to_owned(), ..fraud.clone() };
        let advertiser_id = clickwire_protocol::ids::AdvertiserId::new("adv_001").ok();
        let url = search_of(&Alert { advertiser_id: advertiser_id.clone(), ..burst.clone() }).unwrap();
        assert!(url.contains("user_id=anna%20b"), "{url}");
        let of = |kind, campaign: Option<&str>| {
            let campaign_id = campaign.and_then(|id| CampaignId::new(id).ok());
            is_exact(&Alert { kind, campaign_id, advertiser_id: advertiser_id.clone(), ..burst.clone() })
        };
        assert!(of(Kind::UserBurst, None) && of(Kind::IpBurst, None));
        let everybodys = Alert { kind: Kind::IpBurst, subject: "00ff".to_owned(), ..fraud.clone() };
        let own = Alert {
            subject: "adv_001/00ff".to_owned(),
            advertiser_id: advertiser_id.clone(),
            ..everybodys.clone()
        };
        for (alert, of_advertiser) in [(everybodys, false), (own, true)] {
            let url = search_of(&alert).unwrap();
            assert!(
                url.contains(&format!("ip_hash=00ff&bound={of_advertiser}&rule=ip_velocity"))
                    && is_exact(&alert),
                "{url}"
            );
            assert_eq!(url.contains("advertiser_id=adv_001"), of_advertiser, "{url}");
        }
        assert!(of(Kind::CampaignSpike, Some("camp_001")) && !of(Kind::CampaignSpike, None));
        assert!(!is_exact(&Alert { advertiser_id: None, ..burst }), "of several advertisers");
    }
}
