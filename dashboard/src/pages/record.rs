//! The form of a thing that is registered under an id: it is saved under its URL, and deleted after a question.

use serde_json::Value;
use yew::prelude::*;

use super::{beside, done, on_submit, registered, sets, wrong};
use crate::{
    ask::{Mutation, use_mutation},
    http::{Method, Request},
    kit::{Confirm, use_toast},
    words,
};

/// A registered thing that a form is about.
pub(super) struct Record {
    url: String,
    is_new: bool,
    /// The viewer may change it.
    is_open: bool,
    onchanged: Callback<()>,
    mutation: Mutation,
    toast: Callback<AttrValue>,
    /// The viewer is asked whether it is to be deleted.
    deletes: UseStateHandle<bool>,
}

/// The thing with an id among those of a kind, such as `ads`; `onchanged` hears that it was saved or deleted.
#[hook]
pub(super) fn use_record(
    kind: &str,
    id: &str,
    is_new: bool,
    is_open: bool,
    onchanged: &Callback<()>,
) -> Record {
    Record {
        url: registered(kind, id),
        is_new,
        is_open,
        onchanged: onchanged.clone(),
        mutation: use_mutation(),
        toast: use_toast(),
        deletes: use_state_eq(|| false),
    }
}

impl Record {
    /// Returns the form's handler, which saves this content. A new thing replaces none that has its id.
    pub(super) fn saves(&self, mut content: Value) -> Callback<SubmitEvent> {
        if self.is_new {
            content["if_absent"] = true.into();
        }
        let (mutation, url) = (self.mutation.clone(), self.url.clone());
        let then = done(&self.toast, words::SAVED, &self.onchanged);
        on_submit(move || mutation.send(Request::with(Method::Put, &url, &content), then.clone()))
    }

    /// Returns the error of a field.
    pub(super) fn wrong(&self, field: &str) -> Option<String> {
        wrong(&self.mutation, field)
    }

    /// The end of the form, behind these fields.
    pub(super) fn end(&self, fields: &[&str]) -> Html {
        html! {
            <>
                { beside(&self.mutation, fields) }
                if self.is_open {
                    <div class="form-end">
                        <button type="submit" class="primary" disabled={self.mutation.is_busy}>{ if self.is_new { words::CREATE } else { words::SAVE } }</button>
                        if !self.is_new {
                            <button type="button" class="quiet danger" onclick={sets(&self.deletes, true).reform(|_: MouseEvent| ())}>{ words::DELETE }</button>
                        }
                    </div>
                }
            </>
        }
    }

    /// The question before it is deleted, beside the form: its name, and what follows.
    pub(super) fn question(&self, name: &str, what_follows: words::Text) -> Html {
        if !*self.deletes {
            return Html::default();
        }
        let onconfirm = {
            let (mutation, url, deletes) = (self.mutation.clone(), self.url.clone(), self.deletes.clone());
            let then = done(&self.toast, words::DELETED, &self.onchanged);
            Callback::from(move |()| {
                deletes.set(false);
                mutation.send(Request::bare(Method::Delete, &url), then.clone());
            })
        };
        html! {
            <Confirm title={words::delete_what(name)} text={what_follows} action={words::DELETE} {onconfirm} onclose={sets(&self.deletes, false)} />
        }
    }
}
