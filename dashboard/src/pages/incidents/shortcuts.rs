//! Single-key shortcuts: `j` and `k` go through the list, `a` acknowledges. They can be switched off (WCAG 2.1.4): a
//! person who dictates says letters.

use std::rc::Rc;

use clickwire_protocol::alerts::Alert;
use gloo_events::EventListener;
use uuid::Uuid;
use wasm_bindgen::JsCast as _;
use web_sys::{Document, HtmlElement, KeyboardEvent};
use yew::prelude::*;

use crate::preferences::Switch;

/// An action that a key of the keyboard asks for.
pub(super) enum Key {
    To(Uuid),
    Acknowledge(Uuid),
}

/// The circumstances of a key press.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Press {
    /// A modifier key is held: the press is the browser's or the system's.
    is_modified: bool,
    /// A field has the focus: the press is a letter.
    is_in_field: bool,
    /// A dialog is open over the list.
    is_behind_dialog: bool,
    /// The viewer has switched shortcuts off.
    is_switched_off: bool,
}

impl Press {
    fn of(event: &KeyboardEvent, document: &Document) -> Self {
        Self {
            is_modified: event.ctrl_key() || event.meta_key() || event.alt_key() || event.shift_key(),
            is_in_field: is_field(event),
            is_behind_dialog: document.query_selector("dialog[open]").is_ok_and(|dialog| dialog.is_some()),
            is_switched_off: !Switch::Shortcuts.is_on(),
        }
    }

    /// Returns whether it is meant for the list.
    fn is_shortcut(self) -> bool {
        self == Self::default()
    }
}

/// Listens to `j`, `k` and `a`.
#[hook]
pub(super) fn use_keys(rows: Rc<Vec<Alert>>, chosen: Option<usize>, then: Callback<Key>) {
    let latest = use_mut_ref(|| None::<(Rc<Vec<Alert>>, Option<usize>, Callback<Key>)>);
    *latest.borrow_mut() = Some((rows, chosen, then));
    use_effect_with((), move |()| {
        let document = web_sys::window().and_then(|window| window.document());
        let listener = document.map(|document| {
            EventListener::new(&document.clone(), "keydown", move |event| {
                let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
                if !Press::of(event, &document).is_shortcut() {
                    return;
                }
                let Some((rows, chosen, then)) = latest.borrow().clone() else { return };
                if let Some(key) = meant(&event.key(), &rows, chosen) {
                    then.emit(key);
                }
            })
        });
        move || drop(listener)
    });
}

fn is_field(event: &KeyboardEvent) -> bool {
    let at = event.target().and_then(|at| at.dyn_into::<HtmlElement>().ok());
    at.is_some_and(|at| matches!(at.tag_name().as_str(), "INPUT" | "SELECT" | "TEXTAREA"))
}

fn meant(key: &str, rows: &[Alert], chosen: Option<usize>) -> Option<Key> {
    let id = |index: usize| rows.get(index).map(|alert| alert.alert_id);
    match (key, chosen) {
        ("j", None) => id(0).map(Key::To),
        ("j", Some(index)) => id(index + 1).map(Key::To),
        ("k", None) => id(rows.len().checked_sub(1)?).map(Key::To),
        ("k", Some(index)) => id(index.checked_sub(1)?).map(Key::To),
        ("a", Some(index)) => {
            let alert = rows.get(index)?;
            let is_due = alert.acknowledged_at.is_none() && alert.resolved_at.is_none();
            is_due.then_some(Key::Acknowledge(alert.alert_id))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::alerts::Severity;

    use super::*;
    use crate::incidents::tests::alert;

    #[test]
    fn a_letter_is_a_shortcut_only_where_nothing_else_wants_it() {
        assert!(Press::default().is_shortcut());
        for press in [
            Press { is_modified: true, ..Press::default() },
            Press { is_in_field: true, ..Press::default() },
            Press { is_behind_dialog: true, ..Press::default() },
            Press { is_switched_off: true, ..Press::default() },
        ] {
            assert!(!press.is_shortcut(), "{press:?}");
        }
    }

    #[test]
    fn keys_go_through_the_list_and_acknowledge_what_is_due() {
        let mut rows = vec![alert(1, Severity::Warning), alert(2, Severity::Critical)];
        rows[1].acknowledged_at = Some("2026-11-28T10:00:00Z".into());
        let to = |key, chosen| match meant(key, &rows, chosen) {
            Some(Key::To(id)) => format!("to {}", id.as_u128()),
            Some(Key::Acknowledge(id)) => format!("acknowledge {}", id.as_u128()),
            None => "nothing".to_owned(),
        };
        for (key, chosen, expected) in [
            ("j", None, "to 1"),
            ("j", Some(0), "to 2"),
            ("j", Some(1), "nothing"),
            ("k", None, "to 2"),
            ("k", Some(1), "to 1"),
            ("k", Some(0), "nothing"),
            ("a", None, "nothing"),
            ("a", Some(0), "acknowledge 1"),
            ("a", Some(1), "nothing"),
            ("x", Some(0), "nothing"),
        ] {
            assert_eq!(to(key, chosen), expected, "{key} at {chosen:?}");
        }
        assert!(meant("k", &[], None).is_none() && meant("j", &[], None).is_none());
    }
}
