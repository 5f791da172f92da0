//! Makes a click valid that was convicted wrongly.

use clickwire_protocol::ledger::FoundClick;
use serde_json::json;
use yew::prelude::*;

use super::{beside, done, wrong};
use crate::{
    ask::use_mutation,
    http::{self, Method, Request},
    kit::{Confirm, Field, use_field, use_toast},
    words,
};

/// What is released.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The click.
    pub(super) click: FoundClick,
    /// Hears that the question is to be closed.
    pub(super) onclose: Callback<()>,
    /// Hears that the click is valid now.
    pub(super) onreleased: Callback<()>,
}

/// The question, with the reason that is recorded.
#[component]
pub(super) fn Release(props: &Props) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (reason, onreason) = use_field("");
    let onconfirm = {
        let (mutation, click) = (mutation.clone(), &props.click);
        let url = http::url(
            &format!("/api/v1/admin/clicks/{}/release", click.click_id),
            [
                ("advertiser_id", Some(click.advertiser_id.to_string())),
                ("clicked_at", Some(click.clicked_at.clone())),
            ],
        );
        let body = json!({ "reason": reason });
        let (onclose, onreleased) = (props.onclose.clone(), props.onreleased.clone());
        let then = done(
            &toast,
            words::RELEASED_TOAST,
            &Callback::from(move |()| {
                onclose.emit(());
                onreleased.emit(());
            }),
        );
        Callback::from(move |()| mutation.send(Request::with(Method::Post, &url, &body), then.clone()))
    };
    html! {
        <Confirm title={words::RELEASE_TITLE} text={words::RELEASE_WHY} action={words::RELEASE} {onconfirm} onclose={props.onclose.clone()} is_busy={mutation.is_busy}>
            <Field id="release-reason" label={words::REASON} value={reason} oninput={onreason} required=true first=true error={wrong(&mutation, "reason")} />
            { beside(&mutation, &["reason"]) }
        </Confirm>
    }
}
