//! `/keys`: API keys that programs post clicks with. A secret is shown once, when it is made.

use serde_json::json;
use yew::prelude::*;

use super::{
    NEW, Sheet, beside, command::KeyCommand, done, id, name, on_submit, registered, sets,
    shown_once::ShownOnce, wrong,
};
use crate::{
    access::use_access,
    api::{Issued, Key, Page},
    ask::{use_mutation, use_pages},
    format,
    frame::View,
    http::{Method, Request},
    kit::{
        Badge, Column, Confirm, Dialog, Empty, Field, Pager, Problem, Segments, Select, Table, Tone,
        use_field, use_toast,
    },
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    words,
};

/// Time for which the secret before a rotation stays valid unless another one is entered, in hours.
const GRACE_HOURS: &str = "24";

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The dialog that is open: none, the rotation or revocation of a key, or a new secret.
#[derive(Clone, Debug, PartialEq)]
enum Doing {
    Nothing,
    Rotates(Key),
    Revokes(Key),
    Shows(Issued),
}

/// The page.
#[component]
pub fn Keys(props: &Props) -> Html {
    let (access, router, toast, mutation) = (use_access(), use_router(), use_toast(), use_mutation());
    let list = use_pages::<Page<Key>>(Some("/api/v1/admin/keys".to_owned()));
    let doing = use_state_eq(|| Doing::Nothing);
    let query = props.view.place.query.clone();
    let makes = query.part.as_deref() == Some(NEW);
    let at = move |part: Option<String>| Place::new(Route::Keys, Query { part, ..query.clone() });
    let onissued = {
        let (doing, reload, router, to) = (doing.clone(), list.reload.clone(), router.clone(), at(None));
        Callback::from(move |issued: Issued| {
            doing.set(Doing::Shows(issued));
            reload.emit(());
            router.replace(to.clone());
        })
    };
    let onrevoke = |key: Key| {
        let (mutation, doing) = (mutation.clone(), doing.clone());
        let then = done(&toast, words::KEY_REVOKED, &list.reload);
        Callback::from(move |()| {
            doing.set(Doing::Nothing);
            let url = registered("keys", &key.key_id) + "/revoke";
            mutation.send(Request::bare(Method::Post, &url), then.clone());
        })
    };
    let row = {
        let (rows, doing, zone) = (list.rows.clone(), doing.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let key = &rows[index];
            let button = |name: &'static str, text: words::Text, wanted: Doing| {
                let doing = doing.clone();
                let onclick = Callback::from(move |_: MouseEvent| doing.set(wanted.clone()));
                html! { <button type="button" class="link" data-key={name} aria-label={words::of_key(&text, &key.name)} {onclick}>{ text }</button> }
            };
            let scope = match &key.advertisers {
                None => words::ALL_ADVERTISERS.to_string(),
                Some(some) => some.iter().map(|id| access.advertiser_name(id)).collect::<Vec<_>>().join(", "),
            };
            vec![
                name(&key.name),
                id(&key.key_id),
                state(key, &zone),
                html! { words::mode(&key.mode) },
                name(&scope),
                html! { format::count(key.rate_per_second) },
                html! { zone.stamp(&key.created_at) },
                name(&key.created_by),
                html! {
                    if key.revoked_at.is_none() {
                        <span class="row-actions">
                            { button("rotate", words::ROTATE_MORE, Doing::Rotates(key.clone())) }
                            { button("revoke", words::REVOKE_MORE, Doing::Revokes(key.clone())) }
                        </span>
                    }
                },
            ]
        })
    };
    let columns = vec![
        Column::text(words::NAME),
        Column::text(words::ID),
        Column::text(words::STATE),
        Column::text(words::COUNTS),
        Column::text(words::ADVERTISERS),
        Column::number(words::RATE),
        Column::text(words::CREATED),
        Column::text(words::BY),
        Column::text(words::ACTIONS),
    ];
    let actions = html! { <Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_KEY }</Link> };
    let close = sets(&doing, Doing::Nothing);
    html! {
        <Sheet title={words::KEYS} {actions}>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            { beside(&mutation, &[]) }
            <Table caption={words::KEYS} {columns} rows={list.rows.len()} {row} loaded={list.loaded()}
                empty={html! { <Empty title={words::NO_KEYS} text={words::NO_KEYS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
            if makes {
                <New onissued={onissued.clone()} onclose={{ let (router, to) = (router.clone(), at(None)); Callback::from(move |()| router.go(to.clone())) }} />
            }
            { match &*doing {
                Doing::Nothing => html! {},
                Doing::Rotates(key) => html! { <Rotate key_={key.clone()} {onissued} onclose={close} /> },
                Doing::Revokes(key) => html! {
                    <Confirm title={words::revoke_what(&key.name)} text={words::REVOKE_WHY} action={words::REVOKE} onconfirm={onrevoke(key.clone())} onclose={close} />
                },
                Doing::Shows(issued) => html! {
                    <ShownOnce title={words::secret_of(&issued.name)} text={words::SECRET_ONCE} secret={issued.key.clone()} what={words::THE_KEY} onclose={close}>
                        <KeyCommand issued={issued.clone()} />
                    </ShownOnce>
                },
            } }
        </Sheet>
    }
}

fn state(key: &Key, zone: &crate::zone::Zone) -> Html {
    match (&key.revoked_at, &key.previous_until) {
        (Some(at), _) => html! { <span title={zone.stamp(at)}><Badge text={words::REVOKED} /></span> },
        (None, Some(until))
            if crate::zone::at_ms(until).is_some_and(|until| until > crate::clock::now_ms()) =>
        {
            html! { <span title={words::previous_until(&zone.stamp(until))}><Badge text={words::TWO_SECRETS} tone={Tone::Warning} /></span> }
        }
        (None, _) => html! { <Badge text={words::IN_USE} tone={Tone::Good} /> },
    }
}

#[derive(Clone, PartialEq, Properties)]
struct NewProps {
    onissued: Callback<Issued>,
    onclose: Callback<()>,
}

/// The form of a new key.
#[component]
fn New(props: &NewProps) -> Html {
    let (access, mutation) = (use_access(), use_mutation());
    let (label, onlabel) = use_field("");
    let (mode, scope) = (use_state_eq(|| AttrValue::from("live")), use_state_eq(AttrValue::default));
    let (rate, onrate) = use_field("1000");
    let onsubmit = {
        let (mutation, onissued) = (mutation.clone(), props.onissued.clone());
        let advertisers = (!scope.is_empty()).then(|| vec![scope.to_string()]);
        let rate_per_second = rate.trim().parse::<i64>().unwrap_or_default();
        let body = json!({
            "name": label, "mode": mode.as_str(), "advertisers": advertisers,
            "rate_per_second": rate_per_second, "burst": rate_per_second.saturating_mul(5),
        });
        on_submit(move || {
            mutation.run(Request::with(Method::Post, "/api/v1/admin/keys", &body), onissued.clone());
        })
    };
    let mut options = vec![(AttrValue::default(), AttrValue::from(words::ALL_ADVERTISERS))];
    let known = access.advertisers.iter().flatten();
    options.extend(known.map(|known| (known.advertiser_id.clone().into(), known.name.clone().into())));
    let modes =
        vec![("live".into(), words::mode("live").into()), ("test".into(), words::mode("test").into())];
    html! {
        <Dialog title={words::NEW_KEY} onclose={props.onclose.clone()}>
            <form class="form" {onsubmit}>
                <Field id="key-name" label={words::NAME} value={label} oninput={onlabel} required=true first=true hint={words::KEY_NAME_HINT} error={wrong(&mutation, "name")} />
                <Segments label={words::COUNTS} options={modes} value={(*mode).clone()} onchoose={{ let mode = mode.clone(); Callback::from(move |chosen| mode.set(chosen)) }} />
                <Select id="key-scope" label={words::POSTS_FOR} {options} value={(*scope).clone()} onchoose={{ let scope = scope.clone(); Callback::from(move |chosen| scope.set(chosen)) }} />
                <Field id="key-rate" label={words::RATE} kind="number" value={rate} oninput={onrate} required=true
                    error={wrong(&mutation, "rate_per_second").or_else(|| wrong(&mutation, "burst"))} />
                { beside(&mutation, &["name", "rate_per_second", "burst"]) }
                <div class="form-end"><button type="submit" class="primary" disabled={mutation.is_busy}>{ words::CREATE }</button></div>
            </form>
        </Dialog>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct RotateProps {
    key_: Key,
    onissued: Callback<Issued>,
    onclose: Callback<()>,
}

/// The question before a key gets a new secret.
#[component]
fn Rotate(props: &RotateProps) -> Html {
    let mutation = use_mutation();
    let (hours, onhours) = use_field(GRACE_HOURS);
    let onconfirm = {
        let (mutation, onissued) = (mutation.clone(), props.onissued.clone());
        let url = registered("keys", &props.key_.key_id) + "/rotate";
        let body = json!({ "grace_hours": hours.trim().parse::<u32>().unwrap_or(u32::MAX) });
        Callback::from(move |()| mutation.run(Request::with(Method::Post, &url, &body), onissued.clone()))
    };
    html! {
        <Confirm title={words::rotate_what(&props.key_.name)} text={words::ROTATE_WHY} action={words::ROTATE} {onconfirm} onclose={props.onclose.clone()} is_busy={mutation.is_busy}>
            <Field id="key-grace" label={words::GRACE} kind="number" value={hours} oninput={onhours} required=true first=true error={wrong(&mutation, "grace_hours")} />
            { beside(&mutation, &["grace_hours"]) }
        </Confirm>
    }
}
