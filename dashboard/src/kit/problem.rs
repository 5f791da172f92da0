//! A failure and the way on.

use yew::prelude::*;

use crate::{http::Failure, words};

/// Properties of the problem.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Failure that is shown.
    pub failure: Failure,
    /// Hears the wish to try again; without it there is no button.
    #[prop_or_default]
    pub onretry: Option<Callback<()>>,
}

/// The error state.
#[component]
pub fn Problem(props: &Props) -> Html {
    let text = props.failure.beside(&[]).unwrap_or_else(|| props.failure.message());
    html! {
        <div class="problem" role="alert">
            <p>{ text }</p>
            if let Some(onretry) = &props.onretry {
                <button type="button" class="quiet" onclick={onretry.reform(|_| ())}>{ words::TRY_AGAIN }</button>
            }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_failure_is_said_in_words_with_a_way_on() {
        let away = render::<Problem>(Props { failure: Failure::Away, onretry: Some(Callback::noop()) }).await;
        assert!(away.contains(r#"role="alert""#) && away.contains(words::TRY_AGAIN.get()), "{away}");
        let invalid = crate::http::invalid(&[("start_time", "Must be before end_time.")]);
        let invalid = render::<Problem>(Props { failure: invalid, onretry: None }).await;
        assert!(invalid.contains("start_time: Must be before end_time."), "{invalid}");
    }
}
