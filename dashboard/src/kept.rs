//! What the browser keeps for times without a server: its service worker (`sw.js`) answers then, and says so.

use std::cell::{Cell, RefCell};

use wasm_bindgen::JsValue;
use yew::prelude::*;

/// The header that says since when an answer is kept, in milliseconds since the Unix epoch.
pub const HEADER: &str = "clickwire-stored";

/// Whether the last answers were the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The age of the oldest answer that is not, in milliseconds since the Unix epoch; `None`: they are.
    pub at_ms: Option<i64>,
    /// Grows when the server is back: all that is shown is asked again.
    pub round: u32,
}

impl Kept {
    /// What is known after another answer, with what its header says.
    #[must_use]
    pub fn after(self, header: Option<&str>) -> Self {
        let at_ms: Option<i64> = header.and_then(|at| at.parse().ok());
        match (self.at_ms, at_ms) {
            (Some(oldest), Some(at)) => Self { at_ms: Some(at.min(oldest)), ..self },
            (Some(_), None) => Self { at_ms: None, round: self.round.wrapping_add(1) },
            (None, at_ms) => Self { at_ms, ..self },
        }
    }
}

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept { at_ms: None, round: 0 }) };
    static HEARS: RefCell<Option<Callback<Kept>>> = const { RefCell::new(None) };
}

/// Notes where an answer came from.
pub fn note(header: Option<&str>) {
    let (before, after) = (KEPT.get(), KEPT.get().after(header));
    if before != after {
        KEPT.set(after);
        // What hears it may ask something.
        let hears = HEARS.with_borrow(Clone::clone);
        if let Some(hears) = hears {
            hears.emit(after);
        }
    }
}

/// Whether the last answers were the server's; for the frame alone.
#[hook]
pub fn use_kept() -> Kept {
    let kept = use_state_eq(|| KEPT.get());
    {
        let kept = kept.setter();
        use_effect_with((), move |()| {
            HEARS.set(Some(Callback::from(move |now| kept.set(now))));
            || HEARS.set(None)
        });
    }
    *kept
}

/// Has an answer kept as the one to a question. A browser without a service worker keeps none.
pub fn keep(url: &str, text: &str) {
    let worker = web_sys::window().and_then(|window| {
        // Undefined where the page's address is not a secure one.
        let workers = window.navigator().service_worker();
        if workers.is_undefined() { None } else { workers.controller() }
    });
    let Some(worker) = worker else { return };
    let object = |entries: &[(&str, JsValue)]| {
        let object = js_sys::Object::new();
        for (name, value) in entries {
            // It fails only on objects that are frozen.
            js_sys::Reflect::set(&object, &JsValue::from_str(name), value).ok();
        }
        JsValue::from(object)
    };
    let answer = object(&[("url", url.into()), ("text", text.into())]);
    worker.post_message(&object(&[("answer", answer)])).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answer_counts_until_the_server_is_back() {
        let mut kept = Kept::default();
        for (header, at_ms, round) in [
            (None, None, 0),
            (Some("nonsense"), None, 0),
            (Some("2000"), Some(2_000), 0),
            (Some("1000"), Some(1_000), 0),
            (Some("3000"), Some(1_000), 0),
            (None, None, 1),
            (None, None, 1),
            (Some("5000"), Some(5_000), 1),
        ] {
            kept = kept.after(header);
            assert_eq!((kept.at_ms, kept.round), (at_ms, round), "{header:?}");
        }
    }
}
