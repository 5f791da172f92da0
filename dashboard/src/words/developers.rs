//! What people read who let programs use the API.

use clickwire_protocol::{
    alerts::Kind,
    deliveries::{DeliveryChannel, DeliveryOutcome},
};

use super::subject;

texts! {
    DEVELOPERS = "Developers";
    DOWNLOAD_OPENAPI = "OpenAPI document";
    DOWNLOAD_GRAPHQL = "GraphQL schema";
    DEVELOPERS_LEAD = "These are the operations of this server that your role may call. A program sends a token or a key with each request.";
    FIND_OPERATION = "Find an operation";
    FIND_OPERATION_HINT = "Words of its path, method or summary.";
    OPERATIONS = "Operations";
    NO_OPERATIONS = "No operation matches.";
    METHOD = "Method";
    PATH = "Path";
    SUMMARY = "Summary";
    EXAMPLE = "the example";
    TO_TOKENS = "Create an access token";
    TO_KEYS = "Create a key";
    ASK_FOR_KEY = "An administrator creates keys.";
    DELIVERIES = "Webhook deliveries";
    DELIVERIES_WHY = "The last 100 posts to webhooks: news about incidents, and files of schedules. Of a receiver only its host is shown.";
    NO_DELIVERIES = "No deliveries.";
    NO_DELIVERIES_WHY = "News about incidents and files of schedules are listed here once there are some.";
    CHANNEL = "Channel";
    EVENT = "Event";
    RECEIVER = "Receiver";
    OF_THE_AGGREGATOR = "set in the aggregator";
    ATTEMPTS = "Attempts";
    RESULT = "Result";
    NEXT_ATTEMPT = "Next attempt";
    SEND_AGAIN = "Send again";
    SENT_AGAIN = "It is sent again.";
    KEY_PLACEHOLDER = "YOUR_KEY";
    TOKEN_PLACEHOLDER = "YOUR_TOKEN";
}

/// Operations by the tag of the document, which names their callers.
pub fn operations_of(tag: &str) -> String {
    match tag {
        "viewer" => "Reports and clicks".to_owned(),
        "poster" => "Posting clicks".to_owned(),
        "operator" => "Operations".to_owned(),
        "admin" => "Administration".to_owned(),
        "account" => "Your account".to_owned(),
        "anybody" => "Without a token".to_owned(),
        other => subject(other),
    }
}

/// What opens the operations of a tag.
pub fn opened_by(tag: &str) -> &'static str {
    match tag {
        "viewer" => "Takes an access token. It sees what your account sees.",
        "poster" => "Takes a key that clicks are posted with.",
        "operator" => "Takes an access token of an operator or administrator.",
        "admin" => "Takes an access token of an administrator.",
        "account" => "Takes the session of a person who has signed in. No token opens it.",
        "anybody" => "Takes no token.",
        _ => "",
    }
}

/// Operations of those that there are.
pub fn operations_found(found: usize, all: usize) -> String {
    if found == all { format!("{all} operations") } else { format!("{found} of {all} operations") }
}

/// What is delivered.
pub fn delivery_channel(channel: DeliveryChannel) -> &'static str {
    match channel {
        DeliveryChannel::Incidents => "Incidents",
        DeliveryChannel::Reports => "Reports",
    }
}

/// How a delivery has ended, so far.
pub fn delivery_outcome(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Delivered => "Delivered",
        DeliveryOutcome::Waiting => "Waiting",
        DeliveryOutcome::Silenced => "Silenced",
        DeliveryOutcome::GivenUp => "Given up",
        DeliveryOutcome::NotSent => "Not sent",
    }
}

/// What the outcome of a delivery means.
pub fn delivery_outcome_why(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Delivered => "The receiver has answered with a status from 200 to 299.",
        DeliveryOutcome::Waiting => "It is sent, or sent again, by itself.",
        DeliveryOutcome::Silenced => "A silence keeps it from the receiver, or has kept it.",
        DeliveryOutcome::GivenUp => "No attempt succeeded in time.",
        DeliveryOutcome::NotSent => "There was no attempt in time: no receiver is set, or no aggregator ran.",
    }
}

/// What is delivered, in a word or two, and of what kind.
pub fn delivered_event(event: &str, kind: &str) -> String {
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = known.map_or_else(|| kind.replace('_', " "), |known| super::kind(known).to_owned());
    format!("{kind}: {}", event.replace('_', " "))
}

/// The button that sends a delivery again, for those who hear it.
pub fn send_again(event: &str) -> String {
    format!("{SEND_AGAIN}: {event}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_said_with_what_it_is_about() {
        assert_eq!(delivered_event("opened", "campaign_spike"), "Spike of a campaign: opened");
        assert_eq!(delivered_event("csv", "breakdown"), "breakdown: csv");
        assert_eq!([operations_found(3, 3), operations_found(1, 3)], ["3 operations", "1 of 3 operations"]);
    }
}
