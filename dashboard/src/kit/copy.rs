//! A button that copies a text.

use gloo_timers::callback::Timeout;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use yew::prelude::*;

use super::icon;
use crate::words;

/// The time for which the button says that it has copied, in milliseconds.
const SAYS_MS: u32 = 2_000;

/// Properties of the button.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The text.
    pub text: AttrValue,
    /// Name of the text, for screen readers.
    pub what: AttrValue,
}

/// The button. Where a browser keeps the clipboard from the page the text can be marked by hand.
#[component]
pub fn Copy(props: &Props) -> Html {
    let is_copied = use_state_eq(|| false);
    {
        let says = is_copied.clone();
        use_effect_with(*is_copied, move |&is_copied| {
            let timeout = is_copied.then(|| Timeout::new(SAYS_MS, move || says.set(false)));
            move || drop(timeout)
        });
    }
    let onclick = {
        let (text, is_copied) = (props.text.clone(), is_copied.clone());
        Callback::from(move |_: MouseEvent| {
            let (text, is_copied) = (text.clone(), is_copied.clone());
            spawn_local(async move {
                let Some(window) = web_sys::window().filter(web_sys::Window::is_secure_context) else {
                    return;
                };
                let copied = JsFuture::from(window.navigator().clipboard().write_text(&text)).await;
                is_copied.set(copied.is_ok());
            });
        })
    };
    html! {
        <button type="button" class="copy" {onclick} aria-label={words::copy_what(&props.what)} title={words::copy_what(&props.what)}>
            if *is_copied {
                { icon("M3 8.5l3.5 3.5L13 4.5") }
            } else {
                { icon("M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z") }
            }
            <span class="hidden" role="status">{ if *is_copied { words::COPIED.get() } else { "" } }</span>
        </button>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn the_button_says_what_it_copies() {
        let button = render::<Copy>(Props { text: "secret".into(), what: "the key".into() }).await;
        assert!(button.contains(r#"aria-label="Copy the key""#) && !button.contains("secret"), "{button}");
    }
}
