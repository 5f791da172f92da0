//! Tokens of the viewer's programs. A secret is shown once, when it is made.

use serde_json::json;
use yew::prelude::*;

use super::super::{NEW, beside, done, id, name, on_submit, sets, shown_once::ShownOnce, wrong};
use crate::{
    api::{IssuedToken, Page, Token},
    ask::{use_mutation, use_pages},
    clock,
    frame::View,
    http::{Method, Request},
    kit::{Badge, Column, Confirm, Dialog, Empty, Field, Pager, Problem, Table, Tone, use_field, use_toast},
    query::{self, Query},
    route::Route,
    router::{Link, Place, use_router},
    words,
    zone::{self, Zone},
};

const TOKENS: &str = "/api/v1/account/tokens";

/// Lifetime of a new token unless another one is entered, in days.
const DAYS: &str = "90";

/// Properties of the list.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address.
    pub(super) view: View,
}

/// The dialog that is open: none, the revocation of a token, or a new secret.
#[derive(Clone, Debug, PartialEq)]
enum Doing {
    Nothing,
    Revokes(Token),
    Shows(IssuedToken),
}

/// The list.
#[component]
pub(super) fn Tokens(props: &Props) -> Html {
    let (router, toast, mutation) = (use_router(), use_toast(), use_mutation());
    let list = use_pages::<Page<Token>>(Some(TOKENS.to_owned()));
    let doing = use_state_eq(|| Doing::Nothing);
    let query = props.view.place.query.clone();
    let makes = query.part.as_deref() == Some(NEW);
    let at = move |part: Option<String>| Place::new(Route::Account, Query { part, ..query.clone() });
    let onissued = {
        let (doing, reload, router, to) = (doing.clone(), list.reload.clone(), router.clone(), at(None));
        Callback::from(move |issued: IssuedToken| {
            doing.set(Doing::Shows(issued));
            reload.emit(());
            router.replace(to.clone());
        })
    };
    let onrevoke = |token: Token| {
        let (mutation, doing) = (mutation.clone(), doing.clone());
        let then = done(&toast, words::TOKEN_REVOKED, &list.reload);
        Callback::from(move |()| {
            doing.set(Doing::Nothing);
            let url = format!("{TOKENS}/{}/revoke", query::encode(&token.token_id));
            mutation.send(Request::bare(Method::Post, &url), then.clone());
        })
    };
    let row = {
        let (rows, doing, zone) = (list.rows.clone(), doing.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let token = &rows[index];
            let (doing, wanted) = (doing.clone(), Doing::Revokes(token.clone()));
            let onclick = Callback::from(move |_: MouseEvent| doing.set(wanted.clone()));
            vec![
                name(&token.name),
                id(&token.token_id),
                state(token, &zone),
                html! { zone.stamp(&token.created_at) },
                html! { zone.stamp(&token.expires_at) },
                html! {
                    if token.revoked_at.is_none() {
                        <button type="button" class="link" data-key="revoke" aria-label={words::of_key(words::REVOKE_MORE.get(), &token.name)} {onclick}>{ words::REVOKE_MORE }</button>
                    }
                },
            ]
        })
    };
    let columns = [words::NAME, words::ID, words::STATE, words::CREATED, words::EXPIRES, words::ACTIONS];
    let close = sets(&doing, Doing::Nothing);
    let onclose = {
        let (router, to) = (router.clone(), at(None));
        Callback::from(move |()| router.go(to.clone()))
    };
    html! {
        <div class="part">
            <div class="sheet-head">
                <h2>{ words::TOKENS }</h2>
                <div class="sheet-actions"><Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_TOKEN }</Link></div>
            </div>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            { beside(&mutation, &[]) }
            <Table caption={words::TOKENS} columns={columns.map(Column::text).to_vec()} rows={list.rows.len()} {row} loaded={list.loaded()}
                empty={html! { <Empty title={words::NO_TOKENS} text={words::TOKENS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
            if makes {
                <New {onissued} {onclose} />
            }
            { match &*doing {
                Doing::Nothing => html! {},
                Doing::Revokes(token) => html! {
                    <Confirm title={words::revoke_what(&token.name)} text={words::TOKEN_REVOKE_WHY} action={words::REVOKE} onconfirm={onrevoke(token.clone())} onclose={close} />
                },
                Doing::Shows(issued) => html! {
                    <ShownOnce title={words::token_of(&issued.name)} text={words::SECRET_ONCE} secret={issued.token.clone()} what={words::THE_TOKEN} onclose={close} />
                },
            } }
        </div>
    }
}

fn state(token: &Token, zone: &Zone) -> Html {
    let is_over = zone::at_ms(&token.expires_at).is_some_and(|at_ms| at_ms <= clock::now_ms());
    match &token.revoked_at {
        Some(at) => html! { <span title={zone.stamp(at)}><Badge text={words::REVOKED} /></span> },
        None if is_over => html! { <Badge text={words::EXPIRED} /> },
        None => html! { <Badge text={words::IN_USE} tone={Tone::Good} /> },
    }
}

#[derive(Clone, PartialEq, Properties)]
struct NewProps {
    onissued: Callback<IssuedToken>,
    onclose: Callback<()>,
}

/// The form of a new token.
#[component]
fn New(props: &NewProps) -> Html {
    let mutation = use_mutation();
    let (label, onlabel) = use_field("");
    let (days, ondays) = use_field(DAYS);
    let onsubmit = {
        let (mutation, onissued) = (mutation.clone(), props.onissued.clone());
        // What is no number is none that the server takes, which says so at the field.
        let body =
            json!({ "name": label, "expires_in_days": days.trim().parse::<i32>().unwrap_or_default() });
        on_submit(move || mutation.run(Request::with(Method::Post, TOKENS, &body), onissued.clone()))
    };
    html! {
        <Dialog title={words::NEW_TOKEN} onclose={props.onclose.clone()}>
            <form class="form" {onsubmit}>
                <p>{ words::TOKENS_WHY }</p>
                <Field id="token-name" label={words::NAME} value={label} oninput={onlabel} required=true first=true hint={words::TOKEN_NAME_HINT} error={wrong(&mutation, "name")} />
                <Field id="token-days" label={words::TOKEN_DAYS} kind="number" value={days} oninput={ondays} required=true hint={words::TOKEN_DAYS_HINT} error={wrong(&mutation, "expires_in_days")} />
                { beside(&mutation, &["name", "expires_in_days"]) }
                <div class="form-end"><button type="submit" class="primary" disabled={mutation.is_busy}>{ words::CREATE }</button></div>
            </form>
        </Dialog>
    }
}
