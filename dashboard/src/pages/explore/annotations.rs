//! Annotations: events in the range of the chart, as marks at its foot and as a list below it.
//!
//! Events near each other share one mark with a number, so that a mark can be pointed at on a phone, too. Answers are
//! read by hand, as reports are: every byte of this is in the page's first load.

use std::ops::Range;

use clickwire_protocol::{
    alerts,
    annotations::{Annotation, Annotations, Kind},
    report::Dimension,
    rules::Mode,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use uuid::Uuid;
use yew::prelude::*;

use super::{answers::text, rows::Names};
use crate::{
    access::Access,
    frame::View,
    route::Route,
    router::{Link, Place},
    words, zone,
};

/// Marks that fit beside each other.
const MARKS: usize = 24;

/// Entries of a mark that are read out.
const READ: usize = 4;

/// Entries that stand below a picture.
const LINES: usize = 8;

/// The API's answer.
#[derive(Debug, PartialEq)]
pub(super) struct Told(pub(super) Annotations);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let all = value.get("data").and_then(Value::as_array);
        let all = all.ok_or_else(|| D::Error::custom("no annotations"))?;
        // What a later server tells beside these is left out.
        let data = all.iter().filter_map(annotation).collect();
        let has_more = value.get("has_more").and_then(Value::as_bool).unwrap_or_default();
        Ok(Self(Annotations { data, has_more }))
    }
}

fn annotation(value: &Value) -> Option<Annotation> {
    let name = |field: &str| value.get(field).and_then(Value::as_str);
    let kind = Kind::ALL.into_iter().find(|kind| name("kind") == Some(kind.as_str()))?;
    let severities = [alerts::Severity::Warning, alerts::Severity::Critical];
    let modes = [("off", Mode::Off), ("report_only", Mode::ReportOnly), ("flag", Mode::Flag)];
    Some(Annotation {
        end_time: text(value, "end_time"),
        advertiser_id: text(value, "advertiser_id"),
        campaign_id: text(value, "campaign_id"),
        incident: alerts::Kind::ALL.into_iter().find(|kind| name("incident") == Some(kind.as_str())),
        severity: severities.into_iter().find(|severity| name("severity") == Some(severity.as_str())),
        alert_id: name("alert_id").and_then(|id| Uuid::try_parse(id).ok()),
        rule: text(value, "rule"),
        version: value.get("version").and_then(Value::as_i64).and_then(|version| version.try_into().ok()),
        mode: modes.into_iter().find(|(known, _)| name("mode") == Some(known)).map(|(_, mode)| mode),
        count: value.get("count").and_then(Value::as_i64),
        ..Annotation::bare(kind, text(value, "start_time")?)
    })
}

/// An event of the range, in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    at_ms: i64,
    sign: &'static str,
    when: String,
    text: String,
    alert_id: Option<Uuid>,
}

/// The events of the range, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::pages) struct Happened {
    entries: Vec<Entry>,
    has_more: bool,
}

/// A mark of the chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    /// The bucket that it stands at.
    pub(super) bucket: usize,
    entries: Range<usize>,
}

/// The sign of a kind: each has a shape of its own.
fn sign(kind: Kind) -> &'static str {
    match kind {
        Kind::Outage => "■",
        Kind::Incident => "▲",
        Kind::Rule => "◆",
        Kind::Release | Kind::Conviction | Kind::Acquittal => "●",
        Kind::Repair => "+",
    }
}

impl Happened {
    /// Puts the answer into the words and the zone of the page.
    pub(super) fn new(told: &Told, view: &View, access: &Access, names: &Names) -> Self {
        let sees_incidents = Route::Incidents(None).is_open_to(access.role());
        let minute = |time: &str| view.zone.stamp(time).get(..16).unwrap_or(time).to_owned();
        let entry = |annotation: &Annotation| {
            let is_incident = annotation.incident.is_some();
            let whose = annotation.advertiser_id.as_ref().filter(|_| view.scope.is_none());
            let whose = whose.map(|id| access.advertiser_name(id));
            let campaign = annotation.campaign_id.as_ref().map(|id| names.of(Dimension::CampaignId, id));
            let of: Vec<String> = whose.into_iter().chain(campaign).collect();
            let end = annotation.end_time.as_deref().map(minute);
            let lasts = is_incident && end.is_none();
            Some(Entry {
                at_ms: zone::at_ms(&annotation.start_time)?,
                sign: sign(annotation.kind),
                when: words::happened_at(&minute(&annotation.start_time), end.as_deref(), lasts),
                text: words::annotation(annotation, &of.join(" · ")),
                alert_id: annotation.alert_id.filter(|_| sees_incidents),
            })
        };
        Self { entries: told.0.data.iter().filter_map(entry).collect(), has_more: told.0.has_more }
    }

    /// Returns the marks over buckets that begin at these times; an event before the first bucket stands at it.
    pub(super) fn marks(&self, begins: &[i64]) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for (index, entry) in self.entries.iter().enumerate().filter(|_| !begins.is_empty()) {
            let bucket = begins.partition_point(|begin| *begin <= entry.at_ms).saturating_sub(1);
            match marks.last_mut().filter(|mark| bucket < mark.bucket + width(begins.len())) {
                Some(mark) => mark.entries.end = index + 1,
                None => marks.push(Mark { bucket, entries: index..index + 1 }),
            }
        }
        marks
    }

    /// Returns a mark as it is drawn: a sign, or the number of its events.
    pub(super) fn drawn(&self, mark: &Mark) -> String {
        match self.entries.get(mark.entries.clone()) {
            Some([entry]) => entry.sign.to_owned(),
            entries => entries.map_or(0, <[Entry]>::len).to_string(),
        }
    }

    /// The events of a mark in words, up to `READ` of them.
    pub(super) fn read(&self, mark: &Mark) -> Html {
        let entries = self.entries.get(mark.entries.clone()).unwrap_or_default();
        html! {
            <>
                { for entries.iter().take(READ).map(|entry| html! {
                    <p class="told"><span aria-hidden="true">{ entry.sign }</span>{ format!(" {} ", entry.when) }<bdi>{ &entry.text }</bdi></p>
                }) }
                if entries.len() > READ {
                    <p class="soft">{ words::more_in_list(entries.len() - READ) }</p>
                }
            </>
        }
    }

    /// Returns the lines below a picture: the first events, and the number of the others.
    pub(super) fn lines(&self) -> Vec<String> {
        let rest = self.entries.len().saturating_sub(LINES);
        let entries = self.entries.iter().take(LINES);
        let lines = entries.map(|entry| format!("{} {} {}", entry.sign, entry.when, entry.text));
        lines.chain((rest > 0).then(|| words::more(rest))).collect()
    }

    /// The list of events, for screen readers and for print.
    pub(super) fn list(&self, view: &View) -> Html {
        if self.entries.is_empty() {
            return html! { <p class="soft happened">{ words::NOTHING_HAPPENED.get() }</p> };
        }
        html! {
            <details class="happened" data-testid="annotations">
                <summary>{ words::happened(self.entries.len()) }</summary>
                <ul tabindex="0">
                    { for self.entries.iter().map(|entry| html! {
                        <li>
                            <span class="sign" aria-hidden="true">{ entry.sign }</span><span class="soft">{ &entry.when }</span>{ " " }
                            if let Some(id) = entry.alert_id {
                                <Link to={Place::new(Route::Incidents(Some(id)), view.place.query.carried())}>{ &entry.text }</Link>
                            } else {
                                <bdi>{ &entry.text }</bdi>
                            }
                        </li>
                    }) }
                    if self.has_more {
                        <li class="soft">{ words::HAPPENED_MORE.get() }</li>
                    }
                </ul>
            </details>
        }
    }
}

/// Returns the width of a mark, in buckets.
fn width(buckets: usize) -> usize {
    buckets.div_ceil(MARKS).max(1)
}

/// Returns the mark at a bucket that is pointed at, or near it.
pub(super) fn mark_at(marks: &[Mark], bucket: usize, buckets: usize) -> Option<&Mark> {
    let nearest = marks.iter().min_by_key(|mark| mark.bucket.abs_diff(bucket))?;
    (nearest.bucket.abs_diff(bucket) <= width(buckets) / 2).then_some(nearest)
}

/// Returns the bucket that a page key leads to: that of the next mark, or of the one before.
pub(super) fn page_to(marks: &[Mark], from: Option<usize>, is_down: bool) -> Option<usize> {
    let buckets = || marks.iter().map(|mark| mark.bucket);
    match from {
        Some(from) if is_down => buckets().find(|bucket| *bucket > from).or(Some(from)),
        Some(from) => buckets().rfind(|bucket| *bucket < from).or(Some(from)),
        None if is_down => buckets().next(),
        None => buckets().next_back(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::question::tests::view, *};
    use crate::{
        account::Credential,
        api::{Role, Session},
    };

    const ID: Uuid = Uuid::from_u128(7);

    fn all() -> Annotations {
        let at = |kind, time: &str| Annotation::bare(kind, format!("2026-11-28T{time}:00.000Z"));
        let end = |time: &str| Some(format!("2026-11-28T{time}:00.000Z"));
        let outage = Annotation {
            incident: Some(alerts::Kind::Lag),
            severity: Some(alerts::Severity::Critical),
            alert_id: Some(ID),
            ..at(Kind::Outage, "08:00")
        };
        let spike = Annotation {
            incident: Some(alerts::Kind::CampaignSpike),
            severity: Some(alerts::Severity::Warning),
            advertiser_id: Some("adv_001".into()),
            campaign_id: Some("c1".into()),
            end_time: end("09:40"),
            ..at(Kind::Incident, "09:30")
        };
        let rule = Annotation {
            rule: Some("ip_velocity".into()),
            version: Some(2),
            mode: Some(Mode::Flag),
            ..at(Kind::Rule, "11:10")
        };
        let convicted = Annotation {
            rule: Some("user_velocity".into()),
            count: Some(12),
            end_time: end("11:20"),
            ..at(Kind::Conviction, "11:20")
        };
        Annotations { data: vec![outage, spike, rule, convicted], has_more: true }
    }

    pub(in super::super) fn happened(role: Role, query: &str) -> Happened {
        let session = Some(Session { name: "Anna".into(), role, advertisers: None });
        let access = Access { session, ..Access::new(Credential::Cookie) };
        let names = Names { campaigns: [("c1".to_owned(), "Spring".to_owned())].into(), ..Names::default() };
        Happened::new(&Told(all()), &view(query), &access, &names)
    }

    /// Hours from 09:00 on, as in `series::tests`.
    fn hours(count: i64) -> Vec<i64> {
        let first = zone::at_ms("2026-11-28T09:00:00Z").unwrap();
        (0..count).map(|hour| first + hour * 3_600_000).collect()
    }

    #[test]
    fn they_are_read_as_the_protocol_reads_them() {
        let text = serde_json::to_string(&all()).unwrap();
        assert_eq!(serde_json::from_str::<Annotations>(&text).unwrap(), all());
        assert_eq!(serde_json::from_str::<Told>(&text).unwrap().0, all());
        let later = r#"{"data":[{"kind":"eclipse","start_time":"2026-11-28T08:00:00Z"}],"has_more":false}"#;
        assert_eq!(serde_json::from_str::<Told>(later).unwrap().0, Annotations::default());
        assert!(serde_json::from_str::<Told>("{}").is_err());
    }

    #[test]
    fn what_is_near_each_other_is_one_mark_with_a_number() {
        let happened = happened(Role::Admin, "");
        let drawn = |begins: &[i64]| -> Vec<(usize, String)> {
            let marks = happened.marks(begins);
            marks.iter().map(|mark| (mark.bucket, happened.drawn(mark))).collect()
        };
        let of = |bucket: usize, text: &str| (bucket, text.to_owned());
        assert_eq!(
            drawn(&hours(3)),
            [of(0, "2"), of(2, "2")],
            "what began before stands at the first bucket"
        );
        assert_eq!(drawn(&hours(1)), [of(0, "4")]);
        assert_eq!(drawn(&[]), []);
        let first = hours(1)[0];
        let minutes: Vec<i64> = (0..180).map(|minute| first + minute * 60_000).collect();
        assert_eq!(drawn(&minutes), [of(0, "■"), of(30, "▲"), of(130, "◆"), of(140, "●")]);
    }

    #[test]
    fn a_mark_is_pointed_at_from_both_sides_and_paged_to() {
        let mark = |bucket| Mark { bucket, entries: 0..1 };
        let marks = [mark(10), mark(30)];
        for (bucket, expected) in [(0, None), (6, Some(10)), (14, Some(10)), (20, None), (34, Some(30))] {
            assert_eq!(mark_at(&marks, bucket, 192).map(|mark| mark.bucket), expected, "{bucket}");
        }
        assert_eq!(mark_at(&marks, 11, 20), None, "of few buckets each is by itself");
        for (from, is_down, expected) in [
            (None, true, Some(10)),
            (None, false, Some(30)),
            (Some(10), true, Some(30)),
            (Some(30), true, Some(30)),
            (Some(30), false, Some(10)),
            (Some(3), false, Some(3)),
        ] {
            assert_eq!(page_to(&marks, from, is_down), expected, "{from:?} {is_down}");
        }
        assert_eq!(page_to(&[], None, true), None);
    }

    #[tokio::test]
    async fn the_list_says_when_what_and_to_whom_and_leads_operators_on() {
        #[derive(Clone, PartialEq, Properties)]
        struct Props {
            happened: Happened,
        }
        #[component]
        fn List(props: &Props) -> Html {
            props.happened.list(&view("a=adv_001"))
        }
        let list = async |happened| crate::kit::render::<List>(Props { happened }).await;
        let told = list(happened(Role::Admin, "a=adv_001")).await;
        for expected in [
            "What happened (4)",
            "since 2026-11-28 08:00",
            "2026-11-28 09:30 – 2026-11-28 09:40",
            "Spike of a campaign · Spring",
            "version 2, decides",
            "12 clicks",
            words::HAPPENED_MORE.get(),
            "/incidents/00000000-0000-0000-0000-000000000007?a=adv_001",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        let told = list(happened(Role::Advertiser, "a=adv_001")).await;
        assert!(!told.contains("href") && told.contains("Clicks wait"), "{told}");
        assert!(list(happened(Role::Admin, "")).await.contains("adv_001 · Spring"), "of all: whose");
        assert!(list(Happened::default()).await.contains(words::NOTHING_HAPPENED.get()));
    }
}
