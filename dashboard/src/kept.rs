//! Answers that the browser keeps for times without a server: its service worker (`sw.js`) answers then, and says so.

use std::cell::{Cell, RefCell};

use wasm_bindgen::JsValue;
use yew::prelude::*;

/// The header that says since when an answer is kept, in milliseconds since the Unix epoch.
pub const HEADER: &str = "clickwire-stored";

/// The cache of answers (`sw.js`).
const ANSWERS: &str = "clickwire-answers";

/// The origin of the answers that are shown: the server, or the browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Time of storing of the oldest kept answer, in milliseconds since the Unix epoch; `None`: all are the server's.
    pub at_ms: Option<i64>,
    /// Grows when the server is back: all that is shown is asked again.
    pub round: u32,
    /// Rounds in a row with an answer that was again not the server's: a proxy may reach it for some questions only.
    pub misses: u32,
}

impl Kept {
    /// Returns the state after another answer, with the value of its header. Only the answer to who is signed in says
    /// whether the server is back: others may be the server's while it is not.
    #[must_use]
    pub fn after(self, header: Option<&str>, is_session: bool) -> Self {
        let at_ms: Option<i64> = header.and_then(|at| at.parse().ok());
        match (self.at_ms, at_ms) {
            (Some(oldest), Some(at)) => Self { at_ms: Some(at.min(oldest)), ..self },
            (Some(_), None) if is_session => Self { at_ms: None, round: self.round.wrapping_add(1), ..self },
            (None, Some(at)) => Self { at_ms: Some(at), misses: self.misses.saturating_add(1), ..self },
            (None, None) if is_session => Self { misses: 0, ..self },
            (_, None) => self,
        }
    }
}

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept { at_ms: None, round: 0, misses: 0 }) };
    static HEARS: RefCell<Option<Callback<Kept>>> = const { RefCell::new(None) };
}

/// Returns the time at which the oldest answer that is shown was stored, in milliseconds since the Unix epoch; `None`:
/// all are the server's.
pub fn at_ms() -> Option<i64> {
    KEPT.get().at_ms
}

/// Notes where an answer came from.
pub fn note(header: Option<&str>, is_session: bool) {
    let (before, after) = (KEPT.get(), KEPT.get().after(header, is_session));
    if before != after {
        KEPT.set(after);
        // What hears it may ask something.
        let hears = HEARS.with_borrow(Clone::clone);
        if let Some(hears) = hears {
            hears.emit(after);
        }
    }
}

/// Returns the origin of the last answers, and follows it; for the frame alone.
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

/// Keeps an answer as the one to a question. A browser without a service worker keeps none.
pub fn keep(url: &str, text: &str) {
    let answer = object(&[("url", url.into()), ("text", text.into())]);
    tell(&object(&[("answer", answer)]));
}

/// Deletes all answers, also where the service worker does not hear of it: a page that was loaded past it has none.
pub fn forget() {
    let Some(window) = web_sys::window() else { return };
    if let Ok(caches) = window.caches()
        && !caches.is_undefined()
    {
        // It ends by itself.
        drop(caches.delete(ANSWERS));
    }
    tell(&object(&[("forgets", JsValue::TRUE)]));
}

/// A JavaScript object.
fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = js_sys::Object::new();
    for (name, value) in entries {
        // It fails only on objects that are frozen.
        js_sys::Reflect::set(&object, &JsValue::from_str(name), value).ok();
    }
    object.into()
}

/// Sends the service worker a message, if there is one.
fn tell(message: &JsValue) {
    let worker = web_sys::window().and_then(|window| {
        // Undefined where the page's address is not a secure one.
        let workers = window.navigator().service_worker();
        if workers.is_undefined() { None } else { workers.controller() }
    });
    if let Some(worker) = worker {
        // It fails only on what can't be copied.
        worker.post_message(message).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answer_counts_until_the_server_is_back() {
        let mut kept = Kept::default();
        for (header, is_session, at_ms, round, misses) in [
            (None, true, None, 0, 0),
            (Some("nonsense"), false, None, 0, 0),
            (Some("2000"), false, Some(2_000), 0, 1),
            (Some("1000"), true, Some(1_000), 0, 1),
            (Some("3000"), false, Some(1_000), 0, 1),
            // Some question gets through.
            (None, false, Some(1_000), 0, 1),
            (None, true, None, 1, 1),
            (None, false, None, 1, 1),
            // Another one does not.
            (Some("5000"), false, Some(5_000), 1, 2),
            (None, true, None, 2, 2),
            (None, true, None, 2, 0),
        ] {
            kept = kept.after(header, is_session);
            assert_eq!((kept.at_ms, kept.round, kept.misses), (at_ms, round, misses), "{header:?}");
        }
    }

    /// Returns the keys under which the worker keeps questions, each asked at a moment.
    fn keys(asked: &[(&str, &str)]) -> Vec<String> {
        let asked = serde_json::to_string(asked).unwrap();
        let script = format!(
            "globalThis.self = {{ addEventListener() {{}} }}; {}; \
             const keys = {asked}.map(([query, now]) => key(new URL(`http://x/y?${{query}}`), Date.parse(now)).search); \
             console.log(JSON.stringify(keys))",
            include_str!("../sw.js").replace("\"use strict\";", "")
        );
        let output = std::process::Command::new("node").args(["-e", &script]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    #[test]
    fn a_question_about_the_last_minutes_is_the_same_one_at_any_later_moment() {
        let last = |start: &str, now: &str| {
            keys(&[(
                &format!("advertiser_id=a&start_time=2026-11-29T{start}:00Z"),
                &format!("2026-11-29T{now}Z"),
            )])
        };
        let expected = last("10:07", "11:07:00");
        // Either half of a minute; starts at quarters, at an hour and at midnight.
        for (start, now) in [
            ("10:07", "11:07:29.999"),
            ("10:07", "11:07:30.001"),
            ("10:07", "11:07:59.999"),
            ("10:15", "11:15:20"),
            ("10:30", "11:30:45"),
            ("10:00", "11:00:00"),
            ("00:00", "01:00:31"),
        ] {
            assert_eq!(last(start, now), expected, "{start} at {now}");
        }
        assert_ne!(last("10:07", "11:08:00"), expected, "a minute more");
        let (now, later) = ("2026-11-29T11:07:00Z", "2026-11-29T11:09:00Z");
        let day = "start_time=2026-11-29T00:00:00Z&end_time=2026-11-30T00:00:00Z";
        let [first, same, poll, polled] =
            &keys(&[(day, now), (day, later), ("a=1&since=5", now), ("a=1&since=9", later)])[..]
        else {
            panic!()
        };
        assert_eq!((first, poll), (same, polled));
        assert!(first.contains("end_time="), "{first}");
    }
}
