//! Annotations: events in a range of time that explain a chart, the answer of `GET /api/v1/analytics/annotations`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{alerts, alerts::Severity, rules};

/// Annotations in one answer, at most.
pub const MAX: usize = 200;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AnnotationKind))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An incident that holds up what all charts show.
    Outage,
    /// Another incident.
    Incident,
    /// A version of a fraud rule came into force.
    Rule,
    /// A person made clicks of this time valid.
    Release,
    /// Rules convicted clicks of this time after they were counted as valid.
    Conviction,
    /// Rules made clicks of this time valid after they were counted as convicted.
    Acquittal,
    /// Minutes of this time were not what the ledger adds up to, and were mended.
    Repair,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Outage,
        Self::Incident,
        Self::Rule,
        Self::Release,
        Self::Conviction,
        Self::Acquittal,
        Self::Repair,
    ];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Incident => "incident",
            Self::Rule => "rule",
            Self::Release => "release",
            Self::Conviction => "conviction",
            Self::Acquittal => "acquittal",
            Self::Repair => "repair",
        }
    }
}

/// An event. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Annotation {
    /// The kind of the event.
    pub kind: Kind,
    /// Time at which it happened or began; of corrections, the time of the first click.
    pub start_time: String,
    /// Time at which it was over; of corrections, the time of the last click. `None`: it was a moment, or it lasts.
    pub end_time: Option<String>,
    /// The advertiser of the clicks, if they are one advertiser's.
    pub advertiser_id: Option<String>,
    /// The campaign of the clicks, if they are one campaign's.
    pub campaign_id: Option<String>,
    /// The kind of the incident.
    pub incident: Option<alerts::Kind>,
    /// The severity of the incident.
    pub severity: Option<Severity>,
    /// The id of the incident, for operators.
    pub alert_id: Option<Uuid>,
    /// The rule that came into force, or that convicted.
    pub rule: Option<String>,
    /// The version of the rule that came into force, for operators.
    pub version: Option<i32>,
    /// The mode of the rule that came into force, for operators.
    pub mode: Option<rules::Mode>,
    /// Clicks that were corrected, or buckets that were mended.
    pub count: Option<i64>,
}

impl Annotation {
    /// Builds an annotation of an event at a time, to be completed with what is known of it.
    pub fn bare(kind: Kind, start_time: String) -> Self {
        Self {
            kind,
            start_time,
            end_time: None,
            advertiser_id: None,
            campaign_id: None,
            incident: None,
            severity: None,
            alert_id: None,
            rule: None,
            version: None,
            mode: None,
            count: None,
        }
    }

    /// The importance: the least important annotations are left out where there is no room for all.
    fn importance(&self) -> (u8, i64) {
        let rank = match (self.kind, self.severity) {
            (Kind::Outage, _) => 4,
            (Kind::Incident, Some(Severity::Critical)) => 3,
            (Kind::Rule | Kind::Release | Kind::Repair, _) => 2,
            (Kind::Incident, _) => 1,
            (Kind::Conviction | Kind::Acquittal, _) => 0,
        };
        (rank, self.count.unwrap_or_default())
    }
}

/// The events in a range of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Annotations {
    /// The events in the order of their times; 200 at most.
    pub data: Vec<Annotation>,
    /// More events are there, less important ones: ask for a shorter range.
    pub has_more: bool,
}

impl Annotations {
    /// The most important of these, in the order of their times.
    pub fn of(mut all: Vec<Annotation>) -> Self {
        let has_more = all.len() > MAX;
        // Stable: of the same importance the first ones stay.
        all.sort_by_key(|annotation| std::cmp::Reverse(annotation.importance()));
        all.truncate(MAX);
        all.sort_by(|a, b| a.start_time.cmp(&b.start_time));
        Self { data: all, has_more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(kind: Kind, minute: usize) -> Annotation {
        Annotation::bare(kind, format!("2026-11-28T{:02}:{:02}:00.000Z", minute / 60, minute % 60))
    }

    #[test]
    fn names_are_the_same_on_the_wire() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn what_matters_most_stays_and_is_in_the_order_of_time() {
        let mut all: Vec<_> = (0..MAX).map(|minute| at(Kind::Conviction, minute)).collect();
        all[7].count = Some(5);
        assert!(!Annotations::of(all.clone()).has_more);
        all.push(at(Kind::Outage, 900));
        all.push(at(Kind::Rule, 0));
        let kept = Annotations::of(all);
        assert!(kept.has_more);
        assert_eq!(kept.data.len(), MAX);
        assert_eq!(kept.data.last().map(|last| last.kind), Some(Kind::Outage));
        assert!(kept.data.iter().any(|kept| kept.kind == Kind::Rule));
        assert!(kept.data.iter().any(|kept| kept.count == Some(5)), "of corrections the largest stay");
        assert!(kept.data.is_sorted_by(|a, b| a.start_time <= b.start_time));
        assert_eq!(Annotations::of(Vec::new()), Annotations::default());
    }
}
