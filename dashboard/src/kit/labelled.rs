//! The frame of a control of a form: its label, its purpose, and its error.

use yew::prelude::*;

/// Builds the frame with a control in it; `control` is given the ids for `aria-describedby`.
pub(super) fn labelled(
    id: &AttrValue,
    label: &AttrValue,
    hint: &AttrValue,
    error: Option<&str>,
    control: impl FnOnce(Option<String>) -> Html,
) -> Html {
    let (hint_id, error_id) = (format!("{id}-hint"), format!("{id}-error"));
    let described = match (error, hint.is_empty()) {
        (Some(_), true) => Some(error_id.clone()),
        (Some(_), false) => Some(format!("{error_id} {hint_id}")),
        (None, false) => Some(hint_id.clone()),
        (None, true) => None,
    };
    html! {
        <div class="field">
            <label for={id}>{ label }</label>
            { control(described) }
            if let Some(error) = error {
                <p class="field-error" id={error_id}>{ error }</p>
            }
            if !hint.is_empty() {
                <p class="field-hint" id={hint_id}>{ hint }</p>
            }
        </div>
    }
}
