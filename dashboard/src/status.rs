//! The pill that says whether the numbers are live.

use clickwire_protocol::live::close;
use yew::prelude::*;

use crate::{format, model::Status};

/// What the pill shows.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The connection.
    pub status: Status,
    /// How long ago the gateway was last heard, in milliseconds.
    pub age_ms: Option<i64>,
}

/// The name of a status for style sheets and tests.
pub fn name(status: Status) -> &'static str {
    match status {
        Status::Live => "live",
        Status::Polling => "polling",
        Status::Connecting => "connecting",
        Status::Reconnecting { .. } => "reconnecting",
        Status::Offline => "offline",
        Status::Refused(_) => "refused",
    }
}

/// The pill. What is read aloud changes with the state only, not with every second.
#[component]
pub fn Pill(props: &Props) -> Html {
    let (text, detail) = match props.status {
        Status::Live => ("Live", String::new()),
        Status::Polling => ("Live", "every 2 s".to_owned()),
        Status::Connecting => ("Connecting", String::new()),
        Status::Reconnecting { seconds: 0 } => ("Reconnecting", String::new()),
        Status::Reconnecting { seconds } => ("Reconnecting", format!("in {seconds} s")),
        Status::Offline => ("Offline", String::new()),
        Status::Refused(close::UNAUTHORIZED) => ("Not authorised", String::new()),
        Status::Refused(_) => ("Disconnected", String::new()),
    };
    let age = props.age_ms.filter(|&age_ms| !props.status.is_current() && age_ms >= 1_000);
    html! {
        <div class="connection" data-testid="connection" data-state={name(props.status)}>
            if let Some(age) = age {
                <span class="age" aria-hidden="true">{ format!("data {} old", format::age(age)) }</span>
            }
            <span class="pill">
                <span class="dot" aria-hidden="true" />
                <span role="status" aria-live="polite">{ text }</span>
                if !detail.is_empty() {
                    <span aria-hidden="true">{ detail }</span>
                }
            </span>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn render(status: Status) -> String {
        let props = Props { status, age_ms: Some(12_400) };
        yew::LocalServerRenderer::<Pill>::with_props(props).hydratable(false).render().await
    }

    #[tokio::test]
    async fn the_state_is_readable_by_people_and_tests() {
        let live = render(Status::Live).await;
        assert!(
            live.contains(r#"data-testid="connection""#) && live.contains(r#"data-state="live""#),
            "{live}"
        );
        assert!(live.contains(r#"aria-live="polite""#) && live.contains("Live"), "{live}");
        assert!(!live.contains("old"), "live data has no age: {live}");
    }

    #[tokio::test]
    async fn what_is_not_live_has_an_age_and_a_prospect() {
        let lost = render(Status::Reconnecting { seconds: 3 }).await;
        assert!(lost.contains("Reconnecting") && lost.contains("in 3 s"), "{lost}");
        assert!(lost.contains("data 12 s old"), "{lost}");
        let refused = render(Status::Refused(close::UNAUTHORIZED)).await;
        assert!(refused.contains("Not authorised"), "{refused}");
    }
}
