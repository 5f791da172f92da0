//! A secret that was made a moment ago: it is shown this once.

use yew::prelude::*;

use crate::{
    kit::{Dialog, Secret},
    words,
};

/// Properties of the dialog.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The title.
    pub(super) title: AttrValue,
    /// The note that the secret is not shown again.
    pub(super) text: AttrValue,
    /// The secret.
    pub(super) secret: AttrValue,
    /// The name of its kind.
    pub(super) what: AttrValue,
    /// Hears that it is saved.
    pub(super) onclose: Callback<()>,
    /// What can be done with it.
    #[prop_or_default]
    pub(super) children: Html,
}

/// The dialog.
#[component]
pub(super) fn ShownOnce(props: &Props) -> Html {
    let Props { title, text, secret, what, onclose, children } = props;
    html! {
        <Dialog {title} onclose={onclose.clone()}>
            <p>{ text }</p>
            <Secret text={secret} {what} testid="secret" />
            { children.clone() }
            <div class="form-end"><button type="button" class="primary" onclick={onclose.reform(|_: MouseEvent| ())}>{ words::SECRET_KEPT }</button></div>
        </Dialog>
    }
}
