//! Webhook deliveries as administrators see them: news about incidents, and files of schedules.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The channel of a delivery: what is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryChannel {
    /// News about an incident.
    Incidents,
    /// A file of a schedule.
    Reports,
}

/// The outcome of a delivery, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The receiver has answered with a 2xx.
    Delivered,
    /// The delivery is sent, or sent again, by itself.
    Waiting,
    /// A silence keeps it from the receiver, or has kept it.
    Silenced,
    /// No attempt succeeded, and there is none any more.
    GivenUp,
    /// No attempt was made, and none will be: no receiver is set, or nobody sent for an hour. Before that it waits.
    NotSent,
}

impl DeliveryOutcome {
    /// Returns whether the delivery can be sent again by a person's order.
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
    /// The channel: what is delivered.
    pub channel: DeliveryChannel,
    /// The host that it is sent to, never the whole address; `null`: the aggregator knows it.
    pub receiver: Option<String>,
    /// The event, such as `opened`; of a file its format.
    pub event: String,
    /// The kind of incident, or of export.
    pub kind: String,
    /// The incident.
    pub alert_id: Option<Uuid>,
    /// Time since which it is to be delivered; Unix time in milliseconds.
    pub at_ms: i64,
    /// Attempts so far.
    pub attempts: i32,
    /// The outcome, so far.
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
