//! Webhook deliveries as administrators see them: news about incidents, and files of schedules.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryChannel {
    /// News about an incident.
    Incidents,
    /// A file of a schedule.
    Reports,
}

/// How a delivery has ended, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The receiver has answered with a 2xx.
    Delivered,
    /// It is sent, or sent again, by itself.
    Waiting,
    /// A silence keeps it from the receiver, or has kept it.
    Silenced,
    /// No attempt succeeded, and there is none any more.
    GivenUp,
    /// There was no attempt, and there will be none: no receiver is set, or nobody sent for an hour. Before that the delivery waits.
    NotSent,
}

impl DeliveryOutcome {
    /// Whether it can be sent again by a person's order.
    pub fn may_be_resent(self) -> bool {
        matches!(self, Self::Delivered | Self::GivenUp | Self::NotSent)
    }
}

/// A delivery to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookDelivery {
    /// Its id: the channel and a number, or the id of a file.
    pub id: String,
    /// What is delivered.
    pub channel: DeliveryChannel,
    /// The host that it is sent to, never the whole address; `null`: the aggregator knows it.
    pub receiver: Option<String>,
    /// What has happened, such as `opened`; of a file its format.
    pub event: String,
    /// The kind of incident, or of export.
    pub kind: String,
    /// The incident.
    pub alert_id: Option<Uuid>,
    /// Since when it is to be delivered; Unix time in milliseconds.
    pub at_ms: i64,
    /// Attempts so far.
    pub attempts: i32,
    /// How it has ended, so far.
    pub outcome: DeliveryOutcome,
    /// The next attempt; Unix time in milliseconds.
    pub next_ms: Option<i64>,
}

/// The last deliveries, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookDeliveries {
    /// The deliveries.
    pub data: Vec<WebhookDelivery>,
}
