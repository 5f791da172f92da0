//! Texts for people who let programs use the API.

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
        "viewer" => say!("Reports").to_owned(),
        "clicks" => say!("Single clicks").to_owned(),
        "staff" => say!("Reconciliation").to_owned(),
        "poster" => say!("Posting clicks").to_owned(),
        "operator" => say!("Operations").to_owned(),
        "admin" => say!("Administration").to_owned(),
        "account" => say!("Your account").to_owned(),
        "anybody" => say!("Without a token").to_owned(),
        other => subject(other),
    }
}

/// Credential for the operations of a tag.
pub fn opened_by(tag: &str) -> &'static str {
    match tag {
        "viewer" => say!("Takes an access token. It sees what your account sees."),
        "clicks" => say!("Takes an access token. Finance sees no single clicks."),
        "staff" => say!("Takes an access token of finance, an operator or administrator."),
        "poster" => say!("Takes a key that clicks are posted with."),
        "operator" => say!("Takes an access token of an operator or administrator."),
        "admin" => say!("Takes an access token of an administrator."),
        "account" => say!("Takes the session of a person who has signed in. No token opens it."),
        "anybody" => say!("Takes no token."),
        _ => "",
    }
}

/// Number of operations that were found.
pub fn operations_found(found: usize, all: usize) -> String {
    if found == all { say!("{all} operations", all) } else { say!("{found} of {all} operations", found, all) }
}

/// Name of a channel of deliveries.
pub fn delivery_channel(channel: DeliveryChannel) -> &'static str {
    match channel {
        DeliveryChannel::Incidents => say!("Incidents"),
        DeliveryChannel::Reports => say!("Reports"),
    }
}

/// Outcome of a delivery, so far.
pub fn delivery_outcome(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Delivered => say!("Delivered"),
        DeliveryOutcome::Waiting => say!("Waiting"),
        DeliveryOutcome::Silenced => say!("Silenced"),
        DeliveryOutcome::GivenUp => say!("Given up"),
        DeliveryOutcome::NotSent => say!("Not sent"),
    }
}

/// Meaning of a delivery's outcome.
pub fn delivery_outcome_why(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Delivered => say!("The receiver has answered with a status from 200 to 299."),
        DeliveryOutcome::Waiting => say!("It is sent, or sent again, by itself."),
        DeliveryOutcome::Silenced => say!("A silence keeps it from the receiver, or has kept it."),
        DeliveryOutcome::GivenUp => say!("No attempt succeeded in time."),
        DeliveryOutcome::NotSent => {
            say!("There was no attempt in time: no receiver is set, or no aggregator ran.")
        }
    }
}

/// Name of a delivery's event, with the kind of its subject.
pub fn delivered_event(event: &str, kind: &str) -> String {
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = known.map_or_else(|| kind.replace('_', " "), |known| super::kind(known).to_owned());
    format!("{kind}: {}", event.replace('_', " "))
}

/// The button that sends a delivery again, for those who hear it.
pub fn send_again(event: &str) -> String {
    say!("Send again: {event}", event)
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
