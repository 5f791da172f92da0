//! Choices that this browser keeps, beside colours ([`theme`](crate::theme)) and language
//! ([`language`](crate::language)). A browser that refuses storage forgets them with the page.

use std::{cell::RefCell, collections::BTreeMap};

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use web_sys::Storage;
use yew::prelude::*;

const ZONE: &str = "clickwire.zone";

/// A choice that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Single letters are shortcuts on the page of incidents.
    Shortcuts,
    /// The browser notifies of incidents.
    Notifications,
    /// A tone sounds with an incident.
    Sound,
}

impl Switch {
    fn key(self) -> &'static str {
        match self {
            Self::Shortcuts => "clickwire.shortcuts",
            Self::Notifications => "clickwire.notifications",
            Self::Sound => "clickwire.sound",
        }
    }

    /// The state before anybody has chosen.
    fn is_on_at_first(self) -> bool {
        match self {
            Self::Shortcuts => true,
            Self::Notifications | Self::Sound => false,
        }
    }

    fn read(self, stored: Option<&str>) -> bool {
        match stored {
            Some("on") => true,
            Some("off") => false,
            Some(_) | None => self.is_on_at_first(),
        }
    }

    /// Returns whether it is on in this browser.
    pub fn is_on(self) -> bool {
        self.read(read(self.key()).as_deref())
    }

    fn keep(self, is_on: bool) {
        keep(self.key(), Some(if is_on { "on" } else { "off" }));
    }
}

/// The state of a switch, and the callback that sets and keeps it.
#[hook]
pub fn use_switch(switch: Switch) -> (bool, Callback<bool>) {
    let is_on = use_state_eq(|| switch.is_on_at_first());
    {
        let is_on = is_on.setter();
        use_effect_with(switch, move |switch| is_on.set(switch.is_on()));
    }
    let set = is_on.setter();
    let onswitch = Callback::from(move |is_on: bool| {
        switch.keep(is_on);
        set.set(is_on);
    });
    (*is_on, onswitch)
}

/// Returns the IANA name of the time zone that was chosen; `None`: the browser's own.
pub fn zone() -> Option<String> {
    read(ZONE)
}

/// Keeps the choice of a time zone.
pub fn keep_zone(name: Option<&str>) {
    keep(ZONE, name);
}

/// Returns whether the browser is asked to save data (`navigator.connection.saveData`, WICG Save Data API). A browser
/// that has no such choice saves none.
pub fn saves_data() -> bool {
    let Some(window) = web_sys::window() else { return false };
    let of = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).ok();
    let connection = of(&window.navigator(), "connection").filter(|connection| !connection.is_undefined());
    connection.and_then(|connection| of(&connection, "saveData")).is_some_and(|saves| saves.is_truthy())
}

thread_local! {
    /// Choices that the browser has refused to keep.
    static REFUSED: RefCell<BTreeMap<&'static str, Option<String>>> = const { RefCell::new(BTreeMap::new()) };
}

fn storage() -> Option<Storage> {
    // Tests have no browser.
    if cfg!(not(target_arch = "wasm32")) {
        return None;
    }
    web_sys::window()?.local_storage().ok()?
}

/// The choice of a key.
pub(crate) fn read(key: &'static str) -> Option<String> {
    let refused = REFUSED.with_borrow(|refused| refused.get(key).cloned());
    refused.unwrap_or_else(|| storage()?.get_item(key).ok()?)
}

/// Keeps a choice; returns whether it outlives the page.
pub(crate) fn keep(key: &'static str, value: Option<&str>) -> bool {
    let kept = storage().is_some_and(|storage| {
        let kept = match value {
            Some(value) => storage.set_item(key, value),
            None => storage.remove_item(key),
        };
        kept.is_ok()
    });
    REFUSED.with_borrow_mut(|refused| {
        if kept {
            refused.remove(key);
        } else {
            refused.insert(key, value.map(str::to_owned));
        }
    });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_that_is_not_kept_holds_for_the_page() {
        assert!(!keep("a test's", Some("x")), "no browser, no storage");
        assert_eq!(read("a test's").as_deref(), Some("x"));
        keep("a test's", None);
        assert_eq!(read("a test's"), None);
    }

    #[test]
    fn only_shortcuts_are_on_until_somebody_chooses() {
        for (switch, at_first) in
            [(Switch::Shortcuts, true), (Switch::Notifications, false), (Switch::Sound, false)]
        {
            let read = [None, Some("x"), Some("on"), Some("off")].map(|stored| switch.read(stored));
            assert_eq!(read, [at_first, at_first, true, false], "{switch:?}");
        }
    }
}
