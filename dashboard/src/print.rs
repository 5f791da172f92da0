//! Printing: on paper is the whole page, not only the part of it that is in sight.

use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use web_sys::{Event, Window};
use yew::prelude::*;

/// The browser's event before it prints.
const BEFORE: &str = "beforeprint";

/// The browser's event after it has printed.
const AFTER: &str = "afterprint";

/// Returns whether the page is being printed.
#[hook]
pub fn use_printing() -> bool {
    let is_printing = use_state_eq(|| false);
    {
        let is_printing = is_printing.setter();
        use_effect_with((), move |()| {
            let listeners = web_sys::window().map(|window| {
                [(BEFORE, true), (AFTER, false)].map(|(event, prints)| {
                    let is_printing = is_printing.clone();
                    EventListener::new(&window, event, move |_| is_printing.set(prints))
                })
            });
            move || drop(listeners)
        });
    }
    *is_printing
}

/// Prints the page, or saves it as PDF, as the browser offers it.
///
/// Components are drawn in a microtask, and none runs between `print()` and its event. So they hear of it here, and
/// `print()` is called in a task of its own, when they are drawn.
pub fn page() {
    let Some(window) = web_sys::window() else { return };
    let tell = |window: &Window, event| {
        // It fails only for an event that is under way.
        Event::new(event).ok().map(|event| window.dispatch_event(&event).ok());
    };
    tell(&window, BEFORE);
    Timeout::new(0, move || {
        // Where nothing can be printed, nothing says that it is over.
        if window.print().is_err() {
            tell(&window, AFTER);
        }
    })
    .forget();
}
