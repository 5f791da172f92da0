//! Notifications of the browser (Notifications API).

use gloo_events::EventListener;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Notification, NotificationOptions, NotificationPermission};
use yew::Callback;

/// The browser's answer to whether a page may notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// The page may notify.
    Granted,
    /// The person, or the browser by itself, has refused, or has not answered.
    Refused,
    /// The browser has no notifications, or none at an address that is not secure.
    Missing,
}

/// Returns whether the page may notify now.
pub fn permission() -> Permission {
    if !js_sys::Reflect::has(&js_sys::global(), &"Notification".into()).unwrap_or_default() {
        return Permission::Missing;
    }
    match Notification::permission() {
        NotificationPermission::Granted => Permission::Granted,
        _ => Permission::Refused,
    }
}

/// Asks the person, unless the answer is known.
pub async fn ask() -> Permission {
    if permission() == Permission::Refused
        && let Ok(asked) = Notification::request_permission()
    {
        // The answer is read from the browser, whatever the promise says.
        JsFuture::from(asked).await.ok();
    }
    permission()
}

/// Shows a notification. Tabs of one browser show one with the same `tag` once.
pub(super) fn show(title: &str, text: &str, tag: &str, onclick: Callback<()>) {
    if permission() != Permission::Granted {
        return;
    }
    let options = NotificationOptions::new();
    options.set_body(text);
    options.set_tag(tag);
    // Browsers of phones refuse it to a page.
    let Ok(notification) = Notification::new_with_options(title, &options) else { return };
    let shown = notification.clone();
    let clicked = EventListener::once(&notification, "click", move |_| {
        shown.close();
        if let Some(window) = web_sys::window() {
            // A browser that keeps a page in the background leaves it there.
            window.focus().ok();
        }
        onclick.emit(());
    });
    // It may be clicked for as long as the page lives.
    clicked.forget();
}
