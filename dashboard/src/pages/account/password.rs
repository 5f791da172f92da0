//! Change of the password. The current one is asked for again: a browser that was left open is not enough.

use serde_json::json;
use yew::prelude::*;

use super::super::{beside, on_submit, wrong};
use crate::{
    ask::{Mutation, use_mutation},
    http::{Failure, Method, Request, WRONG_PASSWORD},
    kit::{Field, use_field, use_toast},
    words,
};

/// The form. It is empty again after the password was changed.
#[component]
pub(super) fn Change() -> Html {
    let round = use_state_eq(|| 0_u32);
    let onchanged = {
        let round = round.clone();
        Callback::from(move |()| round.set(*round + 1))
    };
    html! { <Form key={*round} {onchanged} /> }
}

#[derive(Clone, PartialEq, Properties)]
struct FormProps {
    onchanged: Callback<()>,
}

#[component]
fn Form(props: &FormProps) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (now, onnow) = use_field("");
    let (new, onnew) = use_field("");
    let (again, onagain) = use_field("");
    let differs = use_state_eq(|| false);
    let onsubmit = {
        let (mutation, differs, onchanged) = (mutation.clone(), differs.clone(), props.onchanged.clone());
        let (now, new, again) = (now.clone(), new.clone(), again.clone());
        on_submit(move || {
            differs.set(new != again);
            if new != again {
                return;
            }
            let body = json!({ "password": now, "new_password": new });
            let (toast, onchanged) = (toast.clone(), onchanged.clone());
            let then = Callback::from(move |_| {
                toast.emit(words::PASSWORD_CHANGED.into());
                onchanged.emit(());
            });
            mutation.send(Request::with(Method::Put, "/api/v1/account/password", &body), then);
        })
    };
    let is_wrong = is_wrong(&mutation);
    html! {
        <form class="form" {onsubmit}>
            <Field id="password-now" kind="password" autocomplete="current-password" label={words::PASSWORD_NOW} value={now} oninput={onnow} required=true
                error={is_wrong.then(|| words::PASSWORD_WRONG.to_string()).or_else(|| wrong(&mutation, "password"))} />
            <Field id="password-new" kind="password" autocomplete="new-password" label={words::PASSWORD_NEW} value={new} oninput={onnew} required=true
                hint={words::PASSWORD_NEW_HINT} error={wrong(&mutation, "new_password")} />
            <Field id="password-again" kind="password" autocomplete="new-password" label={words::PASSWORD_AGAIN} value={again} oninput={onagain} required=true
                error={differs.then(|| words::PASSWORD_DIFFERS.to_string())} />
            if !is_wrong {
                { beside(&mutation, &["password", "new_password"]) }
            }
            <p class="field-hint">{ words::PASSWORD_WHY }</p>
            <div class="form-end"><button type="submit" class="primary" disabled={mutation.is_busy}>{ words::PASSWORD_CHANGE }</button></div>
        </form>
    }
}

/// Returns whether the current password was refused: that is said at its field.
fn is_wrong(mutation: &Mutation) -> bool {
    matches!(&mutation.failure, Some(Failure::Refused { code, .. }) if code == WRONG_PASSWORD)
}
