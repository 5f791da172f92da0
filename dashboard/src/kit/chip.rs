//! Words in a small shape: a badge says a state, a chip is something chosen that can be taken away.

use yew::prelude::*;

use super::{Tone, icon};
use crate::words;

/// Properties of a badge.
#[derive(Clone, PartialEq, Properties)]
pub struct BadgeProps {
    /// The words.
    pub text: AttrValue,
    /// Tone of the words.
    #[prop_or_default]
    pub tone: Tone,
}

/// A state in words; its colour says nothing that the words don't.
#[component]
pub fn Badge(props: &BadgeProps) -> Html {
    html! { <span class={classes!("badge", props.tone.class())}>{ &props.text }</span> }
}

/// Properties of a chip.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The words.
    pub text: AttrValue,
    /// Hears that it is taken away.
    pub onremove: Callback<()>,
}

/// The chip: a choice that can be taken away.
#[component]
pub fn Chip(props: &Props) -> Html {
    html! {
        <span class="chosen">
            <bdi>{ &props.text }</bdi>
            <button type="button" aria-label={words::remove(&props.text)} onclick={props.onremove.reform(|_| ())}>{ icon("M4 4l8 8M12 4l-8 8") }</button>
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_state_is_in_words_and_a_chip_says_what_it_removes() {
        let badge = render::<Badge>(BadgeProps { text: "Critical".into(), tone: Tone::Critical }).await;
        assert_eq!(badge, r#"<span class="badge critical">Critical</span>"#);
        let chip = render::<Chip>(Props { text: "Country: DE".into(), onremove: Callback::noop() }).await;
        assert!(chip.contains(r#"aria-label="Remove Country: DE""#), "{chip}");
    }
}
