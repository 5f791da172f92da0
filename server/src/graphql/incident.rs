//! Incidents as GraphQL answers them, to operators.

use async_graphql::{Enum, Json, SimpleObject};
use clickwire_protocol::alerts::{Alert, Which};
use serde_json::Value;

use super::scalar::{DateTime, Long};

/// State of the incidents that are asked for.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "Which")]
pub(super) enum IncidentState {
    Open,
    /// The latest about each thing that is silenced now, open or resolved.
    Silenced,
    Resolved,
    All,
}

/// An incident as it is, or was.
#[derive(SimpleObject)]
pub(super) struct Incident {
    alert_id: String,
    /// Kind of the incident: `ip_burst`, `fraud_rate`, `lag` and others.
    kind: String,
    /// An address's hash, a user, a campaign, a stream.
    subject: String,
    advertiser_id: Option<String>,
    campaign_id: Option<String>,
    /// `warning` or `critical`.
    severity: String,
    opened_at: DateTime,
    last_seen_at: DateTime,
    resolved_at: Option<DateTime>,
    /// The person who ended it, and why; null if it ended by itself.
    resolved_by: Option<String>,
    resolution: Option<String>,
    /// Judgement of the convictions by that person: `confirmed`, `released` or `other`; null if none.
    outcome: Option<String>,
    acknowledged_at: Option<DateTime>,
    acknowledged_by: Option<String>,
    /// The person who looks after it.
    assigned_to: Option<String>,
    /// Time until which nobody is called because of what it is about.
    silenced_until: Option<DateTime>,
    note_count: Long,
    /// Measurements, by kind.
    details: Json<Value>,
    version: Long,
}

/// A page of incidents, the latest opened first.
#[derive(SimpleObject)]
pub(super) struct IncidentPage {
    nodes: Vec<Incident>,
    /// Cursor of the next page, for `before`; null after the last.
    next: Option<String>,
}

impl IncidentPage {
    /// The first `limit` of these; of one more the next page begins.
    pub(super) fn of(mut alerts: Vec<Alert>, limit: usize) -> Self {
        let is_last = alerts.len() <= limit;
        alerts.truncate(limit);
        let next = alerts.last().filter(|_| !is_last).map(|alert| alert.alert_id.to_string());
        Self { nodes: alerts.into_iter().map(Incident::from).collect(), next }
    }
}

impl From<Alert> for Incident {
    fn from(alert: Alert) -> Self {
        Self {
            alert_id: alert.alert_id.to_string(),
            kind: alert.kind.as_str().to_owned(),
            subject: alert.subject,
            advertiser_id: alert.advertiser_id.map(|id| id.to_string()),
            campaign_id: alert.campaign_id.map(|id| id.to_string()),
            severity: alert.severity.as_str().to_owned(),
            opened_at: DateTime(alert.opened_at),
            last_seen_at: DateTime(alert.last_seen_at),
            resolved_at: alert.resolved_at.map(DateTime),
            resolved_by: alert.resolved_by,
            resolution: alert.resolution,
            outcome: alert.outcome.map(|outcome| outcome.as_str().to_owned()),
            acknowledged_at: alert.acknowledged_at.map(DateTime),
            acknowledged_by: alert.acknowledged_by,
            assigned_to: alert.assigned_to,
            silenced_until: alert.silenced_until.map(DateTime),
            note_count: Long(alert.note_count),
            details: Json(alert.details),
            version: Long(alert.version),
        }
    }
}
