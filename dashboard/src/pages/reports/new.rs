//! The form of a new schedule.

use std::collections::BTreeMap;

use clickwire_protocol::report::{Dimension, Granularity};
use serde_json::json;
use yew::prelude::*;

use super::{
    super::{beside, done, on_submit, wrong},
    SCHEDULES,
};
use crate::{
    access::use_access,
    ask::use_mutation,
    frame::View,
    http::{Method, Request},
    kit::{Field, Segments, Select, use_field, use_toast},
    words, zone,
};

/// Formats of files.
const FORMATS: [(&str, &str); 5] =
    [("csv", "CSV"), ("xlsx", "Excel"), ("ndjson", "NDJSON"), ("parquet", "Parquet"), ("arrow", "Arrow")];

/// Fields that show their own errors.
const SHOWN: [&str; 5] = ["name", "time_zone", "hour", "webhook_url", "kind"];

#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address.
    pub(super) view: View,
    /// Hears that it was made.
    pub(super) oncreated: Callback<()>,
}

/// Returns the group that is asked for: a breakdown has one in every case.
fn group_of<'a>(kind: &str, chosen: &'a str) -> &'a str {
    if kind == "breakdown" && chosen.is_empty() { Dimension::CampaignId.as_str() } else { chosen }
}

/// Returns the parameters of `GET /api/v1/exports/…`, by name.
fn parameters(kind: &str, group: &str, width: &str, format: &str) -> BTreeMap<&'static str, String> {
    let mut parameters = BTreeMap::from([("format", format.to_owned())]);
    let group = group_of(kind, group);
    if kind != "clicks" && !group.is_empty() {
        parameters.insert("group_by", group.to_owned());
    }
    if kind == "timeseries" {
        parameters.insert("granularity", width.to_owned());
    }
    parameters
}

fn chooses(state: &UseStateHandle<AttrValue>) -> Callback<AttrValue> {
    let state = state.setter();
    Callback::from(move |chosen| state.set(chosen))
}

/// The form.
#[component]
pub(super) fn New(props: &Props) -> Html {
    let (access, toast, mutation) = (use_access(), use_toast(), use_mutation());
    let (label, onlabel) = use_field("");
    let (hour, onhour) = use_field("6");
    let (webhook, onwebhook) = use_field("");
    let begin = |text: &'static str| move || AttrValue::Static(text);
    let (whose, kind, every) =
        (use_state_eq(begin("")), use_state_eq(begin("breakdown")), use_state_eq(begin("day")));
    let (group, width, format) =
        (use_state_eq(begin("campaign_id")), use_state_eq(begin("hour")), use_state_eq(begin("csv")));
    let own_zone = props.view.zone.name.clone();
    let chosen_zone = use_state_eq(|| own_zone);
    let all_zones = use_memo((), |()| zone::all());
    let onsubmit = {
        let (mutation, oncreated) = (mutation.clone(), props.oncreated.clone());
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let body = json!({
            "name": label, "advertiser_id": some(&whose), "kind": kind.as_str(),
            "parameters": parameters(&kind, &group, &width, &format),
            "every": every.as_str(), "time_zone": chosen_zone.as_str(),
            // What is no hour is none that the server takes, which says so at the field.
            "hour": hour.trim().parse::<i16>().unwrap_or(-1), "webhook_url": some(&webhook),
        });
        let then = done(&toast, words::SCHEDULE_CREATED, &oncreated);
        on_submit(move || mutation.send(Request::with(Method::Post, SCHEDULES, &body), then.clone()))
    };
    let option = |key: &str, text: &str| (AttrValue::from(key.to_owned()), AttrValue::from(text.to_owned()));
    let mut advertisers = vec![option("", words::ALL_ADVERTISERS.get())];
    let known = access.advertisers.iter().flatten();
    advertisers.extend(known.map(|known| option(&known.advertiser_id, &known.name)));
    let kinds = ["breakdown", "timeseries", "clicks"].map(|kind| option(kind, words::export_kind(kind)));
    let mut groups: Vec<_> =
        Dimension::ALL.map(|known| option(known.as_str(), words::dimension(known))).to_vec();
    if *kind == "timeseries" {
        groups.insert(0, option("", words::NO_SECOND.get()));
    }
    let widths = Granularity::ALL.map(|width| option(width.as_str(), words::granularity(width)));
    let turns = ["day", "week"].map(|every| option(every, words::every(every)));
    let mut zones: Vec<_> = all_zones.iter().map(|name| option(name, &name.replace('_', " "))).collect();
    if !zones.iter().any(|(key, _)| *key == *chosen_zone) {
        zones.push(((*chosen_zone).clone(), (*chosen_zone).clone()));
    }
    html! {
        <form class="form" {onsubmit}>
            <Field id="schedule-name" label={words::NAME} value={label} oninput={onlabel} required=true first=true error={wrong(&mutation, "name")} />
            <Select id="schedule-advertiser" label={words::ADVERTISER} options={advertisers} value={(*whose).clone()} onchoose={chooses(&whose)} />
            <p class="field-hint">{ words::SCHEDULE_WHOSE_HINT }</p>
            <Segments label={words::CONTENT} options={kinds.to_vec()} value={(*kind).clone()} onchoose={chooses(&kind)} />
            if *kind != "clicks" {
                <Select id="schedule-group" label={words::BY_DIMENSION} options={groups} value={group_of(&kind, &group).to_owned()} onchoose={chooses(&group)} />
            }
            if *kind == "timeseries" {
                <Select id="schedule-width" label={words::WIDTH} options={widths.to_vec()} value={(*width).clone()} onchoose={chooses(&width)} />
            }
            <Select id="schedule-format" label={words::FORMAT} options={FORMATS.map(|(key, text)| option(key, text)).to_vec()} value={(*format).clone()} onchoose={chooses(&format)} />
            <Segments label={words::WHEN} options={turns.to_vec()} value={(*every).clone()} onchoose={chooses(&every)} />
            <Field id="schedule-hour" kind="number" label={words::HOUR} value={hour} oninput={onhour} required=true hint={words::HOUR_HINT} error={wrong(&mutation, "hour")} />
            <Select id="schedule-zone" label={words::ZONE} options={zones} value={(*chosen_zone).clone()} onchoose={chooses(&chosen_zone)} />
            <Field id="schedule-webhook" kind="url" label={words::SENT_TO} value={webhook} oninput={onwebhook} hint={words::WEBHOOK_HINT} placeholder="https://" error={wrong(&mutation, "webhook_url")} />
            { beside(&mutation, &SHOWN) }
            <div class="form-end"><button type="submit" class="primary" disabled={mutation.is_busy}>{ words::CREATE }</button></div>
        </form>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_its_own_parameters() {
        for (kind, group, expected) in [
            ("breakdown", "country", r#"{"format":"csv","group_by":"country"}"#),
            ("breakdown", "", r#"{"format":"csv","group_by":"campaign_id"}"#),
            ("timeseries", "", r#"{"format":"csv","granularity":"hour"}"#),
            ("timeseries", "ad_id", r#"{"format":"csv","granularity":"hour","group_by":"ad_id"}"#),
            ("clicks", "country", r#"{"format":"csv"}"#),
        ] {
            let parameters = parameters(kind, group, "hour", "csv");
            assert_eq!(serde_json::to_string(&parameters).unwrap(), expected, "{kind}");
        }
    }
}
