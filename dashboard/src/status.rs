//! The pill that shows the status of the numbers, and the button that connects now.

use yew::prelude::*;

use crate::{model::Status, words, zone::Zone};

/// Properties of the pill.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Status of the numbers.
    pub status: Status,
    /// Time at which the numbers end, in milliseconds since the Unix epoch; `None` before there are any.
    pub edge_ms: Option<i64>,
    /// The zone of that time.
    pub zone: Zone,
    /// Hears the wish to connect now.
    #[prop_or_default]
    pub onconnect: Callback<()>,
}

/// The name of a status for style sheets and tests.
pub fn name(status: Status) -> &'static str {
    match status {
        Status::Live => "live",
        Status::Streaming => "streaming",
        Status::Polling => "polling",
        Status::Delayed(_) => "delayed",
        Status::Connecting => "connecting",
        Status::Offline(_) => "offline",
        Status::Refused(_) => "refused",
    }
}

/// The pill. What is read aloud changes with the state only, not with every second.
#[component]
pub fn Pill(props: &Props) -> Html {
    let detail = words::status_detail(props.status);
    // On paper nothing is live.
    let is_stale = props.status.is_stale();
    html! {
        <div class="connection" data-testid="connection" data-state={name(props.status)}>
            if let Some(at_ms) = props.edge_ms {
                <span class={classes!("age", (!is_stale).then_some("printed"))} data-testid={is_stale.then_some("as-of")}>{ words::as_of(&props.zone.precise_time_of_day(at_ms)) }</span>
            }
            <span class="pill">
                <span class="dot" aria-hidden="true" />
                <span role="status" aria-live="polite">{ words::status(props.status) }</span>
                if !detail.is_empty() {
                    <span class="detail">{ detail }</span>
                }
            </span>
            if matches!(props.status, Status::Offline(_)) {
                <button type="button" class="quiet connect" onclick={props.onconnect.reform(|_| ())}>{ words::CONNECT_NOW }</button>
            }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::live::close;

    use super::*;
    use crate::{freshness::Delay, model::Cause};

    async fn render(status: Status) -> String {
        let props = Props { status, edge_ms: Some(12_400), zone: Zone::tokyo(), onconnect: Callback::noop() };
        yew::LocalServerRenderer::<Pill>::with_props(props).hydratable(false).render().await
    }

    #[tokio::test]
    async fn the_state_is_readable_by_people_and_tests() {
        for (status, state, words) in [
            (Status::Live, "live", &["Live"][..]),
            (Status::Streaming, "streaming", &["Live"]),
            (Status::Polling, "polling", &["Live", "every 2 s"]),
            (Status::Delayed(Delay::Ms(61_000)), "delayed", &["Delayed", "1 min", "as of 09:00:12"]),
            (Status::Delayed(Delay::Unknown), "delayed", &["Delayed", "nothing counted yet"]),
            (Status::Connecting, "connecting", &["Connecting"]),
            (
                Status::Offline(Cause::Silence),
                "offline",
                &["Offline", "no answer", "as of 09:00:12", "Connect now"],
            ),
            (Status::Offline(Cause::NoNetwork), "offline", &["Offline", "no network", "Connect now"]),
            (
                Status::Offline(Cause::Lost { seconds: 3 }),
                "offline",
                &["Offline", "again in 3 s", "Connect now"],
            ),
            (Status::Refused(close::UNAUTHORIZED), "refused", &["Not authorised"]),
        ] {
            let pill = render(status).await;
            assert!(pill.contains(&format!(r#"data-state="{state}""#)), "{pill}");
            assert!(pill.contains(r#"aria-live="polite""#), "{pill}");
            for word in words {
                assert!(pill.contains(word), "{word} is missing: {pill}");
            }
            assert!(pill.contains("as of 09:00:12"), "on paper: {pill}");
            assert_eq!(pill.contains(r#"data-testid="as-of""#), status.is_stale(), "{pill}");
            assert_eq!(pill.contains("age printed"), !status.is_stale(), "{pill}");
            assert_eq!(pill.contains("Connect now"), state == "offline", "{pill}");
        }
    }
}
