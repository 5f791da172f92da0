//! Light, dark, or what the system says. The choice is kept in this browser; `boot.js` applies it
//! before the first paint.

use web_sys::window;
use yew::prelude::*;

use crate::{preferences, words};

const KEY: &str = "clickwire.theme";

/// A choice of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Colours of the system's choice.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// The next choice of the button.
    pub fn next(self) -> Self {
        match self {
            Self::Auto => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::Auto,
        }
    }

    /// Its key among the choices.
    pub fn label(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// Returns the name in storage and in the style sheet; the system's choice has none.
    fn stored_as(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }

    /// Returns the choice that was made in this browser.
    pub fn stored() -> Self {
        let stored = preferences::read(KEY);
        [Self::Light, Self::Dark]
            .into_iter()
            .find(|theme| theme.stored_as() == stored.as_deref())
            .unwrap_or_default()
    }

    /// Shows and keeps it. A browser that refuses storage forgets it with the page.
    pub fn apply(self) {
        let Some(window) = window() else { return };
        let root = window.document().and_then(|document| document.document_element());
        preferences::keep(KEY, self.stored_as());
        match self.stored_as() {
            Some(name) => {
                root.and_then(|root| root.set_attribute("data-theme", name).ok());
            }
            None => {
                root.and_then(|root| root.remove_attribute("data-theme").ok());
            }
        }
    }
}

/// The button that goes through the choices.
#[component]
pub fn Toggle() -> Html {
    let theme = use_state_eq(Theme::default);
    {
        let theme = theme.clone();
        use_effect_with((), move |()| theme.set(Theme::stored()));
    }
    let onclick = {
        let theme = theme.clone();
        Callback::from(move |_| {
            let next = theme.next();
            next.apply();
            theme.set(next);
        })
    };
    html! {
        <button type="button" class="quiet" {onclick} title={words::SWITCH_COLOURS}
            aria-label={words::colours_are(*theme)}>
            <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.2" /><path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" class="half" /></svg>
            <span class="wide">{ words::theme(*theme) }</span>
        </button>
    }
}
