//! The mark: a pulse on a wire.

use yew::prelude::*;

/// The mark, as large as the text around it; decoration beside the name.
#[component]
pub fn Logo() -> Html {
    html! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <rect width="32" height="32" rx="8" class="logo-ground" />
            <path class="logo-wire" d="M3 18h6l3-7 5 13 4-9 2 3h3" />
            <circle class="logo-click" cx="26.5" cy="18" r="2.6" />
        </svg>
    }
}
